/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * A parameter server is lost, and the run waits for it:
 *
 *   leader                              member
 *   PAUSE ----------------------------> every wait ends: it closes all links but this one,
 *   so does it                          <-- HEARTBEAT, awaiting --  and waits here
 *   <-- HELLO --- the server, started again by whoever starts tasks
 *   START, generation + 1 ------------> waits work again: links are made as at the start
 *   BACK -----------------------------> says from which version the run goes on
 *
 * So all leave a generation before one enters the next, and what one knew of the parameters has
 * come with its heartbeat by then.
 */

bool mu_recover_is_server(const struct mu_cluster *cluster, int task)
{
    return task >= 0 && task < cluster->spec->task_count &&
           cluster->spec->task[task].role == MU_ROLE_PS;
}

bool mu_cluster_would_fail_again(int exit_code)
{
    static const enum mu_status lasting[] = {MU_USAGE, MU_BAD_DATA, MU_NO_INPUT, MU_BROKEN,
        MU_CANNOT_CREATE, MU_PROTOCOL, MU_DENIED, MU_CONFIG};
    for (size_t i = 0; i < MU_COUNT_OF(lasting); i++)
        if (mu_status_exit(lasting[i]) == exit_code)
            return true;
    return false;
}

bool mu_recover_can(const struct mu_cluster *cluster, enum mu_error error, int task)
{
    return cluster->leads && cluster->started && cluster->options.recover_ns > 0 &&
           mu_recover_is_server(cluster, task) &&
           !(error == MU_E0403 && mu_cluster_would_fail_again(cluster->member[task].exit));
}

/* ---- a generation ends ---- */

static bool is_under_way(int doing)
{
    return doing >= MU_DOING_READING && doing <= MU_DOING_PUSHING;
}

/* The newest version of the parameters that anybody has told of. */
static void note_versions(struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++) {
        const struct mu_member *member = &cluster->member[i];
        int64_t version = member->step - is_under_way(member->doing);
        if (member->doing == MU_DOING_STARTING)
            continue; /* in this generation it has none yet: the step is of the one before */
        if (version > cluster->version_seen)
            cluster->version_seen = version;
    }
}

void mu_recover_add_cost(struct mu_cluster *cluster, char text[MU_CLUSTER_TEXT_MAX])
{
    char cost[128];
    if (!cluster->leads || !cluster->options.saved)
        return;
    mu_control_note_self(cluster, mu_now(cluster->world));
    note_versions(cluster);
    bool is_written;
    int64_t saved = cluster->options.saved(cluster->options.owner, &is_written);
    int64_t seen = cluster->version_seen;
    if (seen == 0)
        return;
    cluster->updates_lost = seen > saved ? seen - saved : 0;
    snprintf(cost, sizeof(cost), "; updates lost: %" PRId64 ", since version %" PRId64 ", %s",
        cluster->updates_lost, saved,
        is_written  ? "the checkpoint that is being written"
        : saved > 0 ? "the last checkpoint"
                    : "its initial parameters");
    size_t used = strlen(text), room = MU_CLUSTER_TEXT_MAX - sizeof(cost);
    mu_text_copy(text + (used < room ? used : room), sizeof(cost), cost);
}

void mu_recover_interrupt(struct mu_cluster *cluster)
{
    cluster->paused = cluster->interrupted = true;
    cluster->suspect = -1;
    cluster->loop->cancelled = MU_UNAVAILABLE;
}

static void say_lost(struct mu_cluster *cluster, const char *text)
{
    char time[40], patience[32], said[MU_CLUSTER_TEXT_MAX];
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    mu_text_time(time, sizeof(time), cluster->world->ops->wall_ns(cluster->world));
    mu_text_duration(patience, sizeof(patience), cluster->options.recover_ns);
    snprintf(said, sizeof(said), "%.480s; the run waits for it since %s, for up to %s", text, time,
        patience);
    mu_say(cluster->log, MU_LEVEL_WARN, "%s", said);
    mu_body_begin(&body, memory, sizeof(memory), 1);
    mu_body_put_text(&body, "text", said);
    mu_control_broadcast(cluster, MU_FRAME_PAUSE, &body);
}

bool mu_recover_await(struct mu_cluster *cluster, int task, const char *text)
{
    struct mu_member *member = &cluster->member[task];
    int64_t now = mu_now(cluster->world);
    note_versions(cluster);
    /* One that said goodbye hangs up by itself. */
    if (!member->left)
        mu_gone_part(cluster, task, text);
    member->joined = false;
    member->step = 0;
    /* It had come back, and is gone again: it has no more time for that. */
    if (member->lost)
        return false;
    member->lost = true;
    member->lost_ns = now;
    cluster->paused_until_ns = mu_deadline(now, cluster->options.recover_ns);
    cluster->join_ns = cluster->said_ns = now;
    mu_text_copy(cluster->lost_text, sizeof(cluster->lost_text), text);
    mu_recover_interrupt(cluster);
    say_lost(cluster, text);
    return true;
}

/* ---- the next one begins ---- */

static void say_who_came_back(struct mu_cluster *cluster)
{
    struct mu_text text;
    mu_text_init(&text);
    for (int i = 0; i < cluster->spec->task_count; i++) {
        char who[160], age[32];
        if (!cluster->member[i].lost)
            continue;
        mu_cluster_who(cluster, i, who, sizeof(who));
        mu_text_duration(age, sizeof(age), mu_now(cluster->world) - cluster->member[i].lost_ns);
        mu_text_add(&text, "%s%s is back after %s", text.bytes > 0 ? ", " : "", who, age);
    }
    mu_text_copy(cluster->back, sizeof(cluster->back), text.data);
    mu_text_finish(&text);
}

void mu_recover_begin(struct mu_cluster *cluster)
{
    int64_t now = mu_now(cluster->world);
    say_who_came_back(cluster);
    for (int i = 0; i <= cluster->spec->task_count; i++) {
        struct mu_member *member = &cluster->member[i];
        member->lost = member->told = false;
        if (i != cluster->spec->self && !member->link)
            continue;
        member->beaten = false;
        member->heard_ns = member->since_ns = now;
        member->doing = MU_DOING_STARTING;
        member->step = 0;
    }
    cluster->generation++;
    cluster->paused = false;
    mu_control_tell_start(cluster);
}

static bool all_wait_here(const struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++) {
        const struct mu_member *member = &cluster->member[i];
        if (mu_cluster_needs(cluster, i) && !member->lost && member->doing != MU_DOING_AWAITING)
            return false;
    }
    return true;
}

static void say_awaited(struct mu_cluster *cluster, int64_t now)
{
    struct mu_text text;
    char left[32];
    mu_text_init(&text);
    mu_cluster_list_missing(cluster, 3, &text);
    mu_text_duration(left, sizeof(left), cluster->paused_until_ns - now);
    mu_say(cluster->log, MU_LEVEL_INFO, "waiting for %s to come back, %s left", text.data, left);
    mu_text_finish(&text);
}

static void give_up(struct mu_cluster *cluster)
{
    char patience[32], said[MU_CLUSTER_TEXT_MAX];
    mu_text_duration(patience, sizeof(patience), cluster->options.recover_ns);
    snprintf(
        said, sizeof(said), "%.480s; it did not come back within %s", cluster->lost_text, patience);
    mu_recover_add_cost(cluster, said);
    mu_cluster_lose(cluster, MU_E0401, -1, said);
}

void mu_recover_tick(struct mu_cluster *cluster, int64_t now)
{
    if (!cluster->leads || !cluster->paused || cluster->failed != MU_OK)
        return;
    if (mu_cluster_missing_count(cluster) == 0) {
        note_versions(cluster);
        if (all_wait_here(cluster))
            mu_recover_begin(cluster);
    } else if (now >= cluster->paused_until_ns) {
        give_up(cluster);
    } else if (mu_cluster_time_to_say(cluster)) {
        say_awaited(cluster, now);
    }
}

/* ---- for the layers above ---- */

/* Asked to stop while nothing could be saved: what was saved last is what there is. */
static bool stop(struct mu_cluster *cluster, enum mu_status *status)
{
    if (!cluster->leads || !mu_cluster_stop_wanted(cluster))
        return false;
    *status = MU_PREEMPTED;
    char go_on[MU_CLUSTER_GO_ON_MAX], text[MU_CLUSTER_TEXT_MAX];
    bool is_known = mu_cluster_how_to_go_on(cluster, go_on) != NULL;
    mu_text_copy(text, sizeof(text), cluster->lost_text);
    mu_recover_add_cost(cluster, text);
    mu_say(cluster->log, MU_LEVEL_INFO, "stopped while it waited: %s%s%s", text,
        is_known ? "\n  = help: " : "", is_known ? go_on : "");
    mu_cluster_finish(cluster, *status);
    return true;
}

static bool ends(struct mu_cluster *cluster, enum mu_status *status)
{
    if (cluster->failed != MU_OK)
        *status = cluster->failed;
    else if (cluster->over)
        *status = cluster->over_status;
    else
        return stop(cluster, status);
    return true;
}

/* Of the generation that has ended. */
static void close_waiting(struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->waiting_count; i++) {
        struct mu_waiting_link *place = &cluster->waiting[i];
        if (!place->link || place->generation == cluster->generation)
            continue;
        mu_link_close(place->link);
        place->link = NULL;
    }
}

/* Of a generation that nobody entered, because a server was lost again, all counts for the next. */
static void enter(struct mu_cluster *cluster)
{
    cluster->entered = cluster->generation;
    cluster->interrupted = false;
    cluster->version_left = cluster->version_seen;
    cluster->version_seen = 0;
    mu_text_copy(cluster->came_back, sizeof(cluster->came_back), cluster->back);
}

bool mu_cluster_begin_again(struct mu_cluster *cluster, enum mu_status *status)
{
    if (*status != MU_UNAVAILABLE || !cluster->interrupted)
        return false;
    while (cluster->paused) {
        if (ends(cluster, status))
            return false;
        enum mu_status turned = cluster->loop->ops->turn(
            cluster->loop, mu_now(cluster->world) + cluster->options.heartbeat_ns);
        (void)turned;
    }
    if (cluster->failed != MU_OK || cluster->over)
        return !ends(cluster, status);
    close_waiting(cluster);
    enter(cluster);
    cluster->loop->cancelled = *status = MU_OK;
    return true;
}

bool mu_cluster_interrupted(const struct mu_cluster *cluster)
{
    return cluster->interrupted && cluster->failed == MU_OK;
}

void mu_cluster_tell_back(struct mu_cluster *cluster, const char *how)
{
    char text[MU_CLUSTER_TEXT_MAX];
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    snprintf(text, sizeof(text), "%.480s: %.150s", cluster->came_back, how);
    mu_say(cluster->log, MU_LEVEL_INFO, "%s", text);
    mu_body_begin(&body, memory, sizeof(memory), 1);
    mu_body_put_text(&body, "text", text);
    mu_control_broadcast(cluster, MU_FRAME_BACK, &body);
}

/* An observer was not told of the loss either. */
void mu_recover_read_back(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    if (!cluster->leads && mu_cluster_needs(cluster, cluster->spec->self) &&
        mu_decoder_text(decoder, "text", text, sizeof(text)))
        mu_say(cluster->log, MU_LEVEL_INFO, "%s", text);
}

int64_t mu_cluster_version_seen(const struct mu_cluster *cluster)
{
    return cluster->version_left;
}

int64_t mu_cluster_updates_lost(const struct mu_cluster *cluster)
{
    return cluster->updates_lost;
}
