/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <stdio.h>

/*
 * A parameter server is lost whose part of the parameters others have, too: the run goes on without
 * it, and nothing of it comes back. The leader tells everybody (GONE); what that means for the
 * links to it is for the layers above. The server itself is told as well, on the link that the
 * leader then closes: if it was only stopped, or cut off, it finds that there when it goes on, and
 * does not take the closed link for the leader's end.
 */

bool mu_gone_can(const struct mu_cluster *cluster, int task)
{
    return cluster->leads && cluster->stands_by && cluster->gone < 0 && task >= 0 &&
           task < cluster->spec->task_count && cluster->spec->task[task].role == MU_ROLE_PS;
}

/* Who has the part of a server, too: the next one, as in ps/seats.h. */
static void name_standby(const struct mu_spec *spec, int task, char out[MU_TASK_NAME_MAX])
{
    int order = mu_spec_ps_order(spec, task);
    mu_task_name(
        &spec->task[mu_spec_ps(spec, (order + 1) % spec->ps_count)], out, MU_TASK_NAME_MAX);
}

static void note(struct mu_cluster *cluster, int task, const char *text)
{
    mu_say(cluster->log, MU_LEVEL_WARN, "%s", text);
    cluster->gone = task;
    cluster->suspect = -1;
    if (cluster->on_gone)
        cluster->on_gone(cluster->gone_owner, task);
}

/* ---- the leader ---- */

void mu_gone_put_silence(const struct mu_cluster *cluster, int task, struct mu_body *body)
{
    struct mu_world *world = cluster->world;
    bool is_member = task >= 0 && task < cluster->spec->task_count && task != cluster->spec->self;
    int64_t silence = is_member ? mu_now(world) - cluster->member[task].heard_ns : 0;
    bool was_silent = is_member && silence >= cluster->options.dead_ns;
    mu_body_put_int(body, "since", was_silent ? world->ops->wall_ns(world) - silence : 0);
    mu_body_put_int(body, "limit", was_silent ? cluster->options.dead_ns : 0);
}

static void put(const struct mu_cluster *cluster, int task, const char *text, struct mu_body *body)
{
    mu_body_put_int(body, "task", task);
    mu_body_put_text(body, "text", text);
    mu_gone_put_silence(cluster, task, body);
    assert(!body->failed);
}

static void parting_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    struct mu_member *member = owner;
    member->parting = NULL;
    mu_link_close(link);
}

static const struct mu_link_events parting_events = {
    .frame = mu_link_skip,
    .arrived = mu_link_ignore,
    .ended = parting_ended,
};

/* It hangs up when it has read that, or we do at the end: whatever is closed at once may take with
 * it what was said last. */
void mu_gone_part(struct mu_cluster *cluster, int task, const char *text)
{
    struct mu_member *member = &cluster->member[task];
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 128];
    struct mu_body body;
    if (!member->link)
        return;
    mu_body_begin(&body, memory, sizeof(memory), 2 + MU_GONE_SILENCE_FIELDS);
    put(cluster, task, text, &body);
    mu_link_post(member->link, MU_FRAME_GONE, cluster->entered, 0, &body);
    mu_link_close(member->parting); /* of its predecessor */
    member->parting = member->link;
    member->link = NULL;
    mu_link_adopt(member->parting, &parting_events, member);
}

void mu_gone_tell(struct mu_cluster *cluster, int task, const char *text)
{
    char said[MU_CLUSTER_TEXT_MAX];
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 128];
    struct mu_body body;
    snprintf(said, sizeof(said), "%.560s; the run goes on without it", text);
    mu_text_copy(cluster->gone_text, sizeof(cluster->gone_text), text);
    /* One that said goodbye hangs up by itself. */
    if (!cluster->member[task].left)
        mu_gone_part(cluster, task, said);
    mu_body_begin(&body, memory, sizeof(memory), 2 + MU_GONE_SILENCE_FIELDS);
    put(cluster, task, said, &body);
    mu_control_broadcast(cluster, MU_FRAME_GONE, &body);
    note(cluster, task, said);
}

void mu_gone_refuse(const struct mu_cluster *cluster, struct mu_refusal *refusal)
{
    char name[MU_TASK_NAME_MAX], standby[MU_TASK_NAME_MAX];
    mu_task_name(&cluster->spec->task[cluster->gone], name, sizeof(name));
    name_standby(cluster->spec, cluster->gone, standby);
    refusal->error = MU_E0309;
    snprintf(refusal->text, sizeof(refusal->text),
        "the run is under way and goes on without %s: %s has what it had, and nothing acknowledged "
        "is lost (%s)",
        name, standby, cluster->gone_text);
    snprintf(refusal->help, sizeof(refusal->help),
        "nothing to type: leave %s ended, it is one of the servers again when all tasks are "
        "started "
        "for the next run, or to resume this one",
        name);
}

/* ---- the one that is given up ---- */

/* "chief/0 (10.0.0.1:2222) has heard nothing from it since ..., for longer than 5.0 s"; false: that
 * was not why. */
static bool read_silence(
    const struct mu_cluster *cluster, struct mu_decoder *decoder, char out[MU_CLUSTER_TEXT_MAX])
{
    char who[160], time[40], limit[32];
    int64_t since, limit_ns;
    if (!mu_decoder_int(decoder, "since", 1, INT64_MAX, &since) ||
        !mu_decoder_int(decoder, "limit", 1, INT64_MAX, &limit_ns))
        return false;
    mu_cluster_who(cluster, cluster->spec->leader, who, sizeof(who));
    mu_text_time(time, sizeof(time), since);
    mu_text_duration(limit, sizeof(limit), limit_ns);
    snprintf(out, MU_CLUSTER_TEXT_MAX, "%s had heard nothing from it since %s, and the limit is %s",
        who, time, limit);
    return true;
}

static void end_given_up(
    struct mu_cluster *cluster, const char *why, const char *then, const char *help)
{
    if (cluster->failed != MU_OK || cluster->over)
        return;
    mu_cluster_fail(cluster,
        mu_fail(cluster->log, MU_E0405, help, "this task was given up: %s; %s", why, then));
}

bool mu_gone_is_own(struct mu_cluster *cluster, struct mu_decoder *decoder, int64_t task)
{
    char why[MU_CLUSTER_TEXT_MAX], go_on[1024];
    if (task != cluster->spec->self || !cluster->started || !read_silence(cluster, decoder, why))
        return false;
    if (cluster->options.go_on)
        cluster->options.go_on(cluster->options.owner, go_on, sizeof(go_on));
    end_given_up(
        cluster, why, "the run has ended with that", cluster->options.go_on ? go_on : NULL);
    return true;
}

/* What a leader finds within this time of going on was so before. */
#define JUST_AWAKE_NS (2 * MU_SECOND)

/* The last that the others have heard was said at the last tick. */
void mu_gone_note_sleep(struct mu_cluster *cluster, int64_t now)
{
    int64_t slept_ns = now - cluster->ticked_ns;
    if (slept_ns < cluster->options.dead_ns)
        return;
    cluster->slept_ns = slept_ns;
    cluster->woke_ns = now;
}

bool mu_gone_slept(struct mu_cluster *cluster, const char *text)
{
    char slept[32], limit[32], time[40], why[MU_CLUSTER_TEXT_MAX], then[MU_CLUSTER_TEXT_MAX];
    char go_on[1024];
    struct mu_world *world = cluster->world;
    int64_t now = mu_now(world);
    /* What has come on a link may be seen before the tick that is late. */
    mu_gone_note_sleep(cluster, now);
    if (!cluster->leads || !cluster->started || cluster->slept_ns == 0 ||
        now - cluster->woke_ns > JUST_AWAKE_NS)
        return false;
    mu_text_duration(slept, sizeof(slept), cluster->slept_ns);
    mu_text_duration(limit, sizeof(limit), cluster->options.dead_ns);
    mu_text_time(time, sizeof(time),
        world->ops->wall_ns(world) - (now - cluster->woke_ns) - cluster->slept_ns);
    snprintf(why, sizeof(why),
        "it did nothing for %s, since %s (stopped, or on a machine that slept), and the limit of "
        "the others is %s",
        slept, time, limit);
    snprintf(then, sizeof(then),
        "the run has ended with that, and what it finds now is no cause: %s", text);
    if (cluster->options.go_on)
        cluster->options.go_on(cluster->options.owner, go_on, sizeof(go_on));
    end_given_up(cluster, why, then, cluster->options.go_on ? go_on : NULL);
    return true;
}

static void read_own(struct mu_cluster *cluster, struct mu_decoder *decoder, const char *text)
{
    char why[MU_CLUSTER_TEXT_MAX], then[160], help[240], name[MU_TASK_NAME_MAX];
    if (!read_silence(cluster, decoder, why))
        mu_text_copy(why, sizeof(why), text);
    if (!cluster->options.has_standbys) {
        end_given_up(cluster, why, "the run waits for it to be started again",
            "start it again as it was started, if nothing else does");
        return;
    }
    name_standby(cluster->spec, cluster->spec->self, name);
    snprintf(then, sizeof(then),
        "the run goes on without it: %s has what it had and serves that, and nothing acknowledged "
        "is lost",
        name);
    mu_task_name(&cluster->spec->task[cluster->spec->self], name, sizeof(name));
    snprintf(help, sizeof(help),
        "nothing to type: leave %s ended, it is one of the servers again when all tasks are "
        "started "
        "for the next run, or to resume this one",
        name);
    end_given_up(cluster, why, then, help);
}

void mu_gone_read(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    int64_t task;
    /* An observer has no links to it. */
    if (cluster->leads || cluster->gone >= 0 || cluster->over ||
        !mu_cluster_needs(cluster, cluster->spec->self) ||
        !mu_decoder_int(decoder, "task", 0, cluster->spec->task_count - 1, &task) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    if (task == cluster->spec->self)
        read_own(cluster, decoder, text);
    else
        note(cluster, (int)task, text);
}

void mu_gone_add_help(const struct mu_cluster *cluster, int task, struct mu_text *help)
{
    const struct mu_spec *spec = cluster->spec;
    char name[MU_TASK_NAME_MAX];
    if (task != spec->leader || cluster->leads || !cluster->options.has_standbys ||
        cluster->gone >= 0 || spec->task[spec->self].role != MU_ROLE_PS)
        return;
    name_standby(spec, spec->self, name);
    mu_text_add(help,
        "if it is there and only this task was cut off, the run goes on with %s in its "
        "place, and there is nothing to type; if not, ",
        name);
}

/* ---- for the layers above ---- */

void mu_cluster_stand_by(struct mu_cluster *cluster)
{
    cluster->stands_by = true;
}

void mu_cluster_on_gone(
    struct mu_cluster *cluster, void (*on_gone)(void *owner, int task), void *owner)
{
    cluster->on_gone = on_gone;
    cluster->gone_owner = owner;
}
