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

void mu_gone_name_standby(const struct mu_cluster *cluster, int task, char out[MU_TASK_NAME_MAX])
{
    const struct mu_spec *spec = cluster->spec;
    int order = cluster->options.standby_of(mu_spec_ps_order(spec, task), spec->ps_count);
    mu_task_name(&spec->task[mu_spec_ps(spec, order)], out, MU_TASK_NAME_MAX);
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
    mu_gone_name_standby(cluster, cluster->gone, standby);
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

/* ---- the others ---- */

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
        mu_given_up_read(cluster, decoder, text);
    else
        note(cluster, (int)task, text);
}

/* ---- for the layers above ---- */

void mu_cluster_stand_by(struct mu_cluster *cluster)
{
    assert(cluster->options.standby_of);
    cluster->stands_by = true;
}

void mu_cluster_on_gone(
    struct mu_cluster *cluster, void (*on_gone)(void *owner, int task), void *owner)
{
    cluster->on_gone = on_gone;
    cluster->gone_owner = owner;
}
