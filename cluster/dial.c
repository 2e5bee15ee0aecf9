/* SPDX-License-Identifier: Apache-2.0 */
/* Links between two tasks for the layers above: the one calls, the other finds the link kept. */
#include "cluster/cluster_inside.h"
#include <stdlib.h>

#define REDIAL_PATIENCE_NS (2 * MU_SECOND)
#define REDIAL_PAUSE_NS (50 * MU_MS)

/* ---- kept until somebody asks ---- */

static void waiting_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    struct mu_waiting_link *waiting = owner;
    waiting->link = NULL;
    mu_link_close(link);
}

static const struct mu_link_events waiting_events = {
    .frame = mu_link_hold,
    .ended = waiting_ended,
};

bool mu_cluster_keep(
    struct mu_cluster *cluster, struct mu_link *link, int task, const struct mu_hello *hello)
{
    for (int i = 0; i < cluster->waiting_count; i++) {
        struct mu_waiting_link *place = &cluster->waiting[i];
        if (place->link)
            continue;
        *place = (struct mu_waiting_link){.link = link,
            .task = task,
            .kind = hello->kind,
            .lane = hello->lane,
            .generation = hello->generation};
        mu_link_adopt(link, &waiting_events, place);
        return true;
    }
    return false;
}

static bool take_waiting(
    struct mu_cluster *cluster, int task, int kind, uint32_t lane, struct mu_link **ret_link)
{
    for (int i = 0; i < cluster->waiting_count; i++) {
        struct mu_waiting_link *place = &cluster->waiting[i];
        bool other = place->generation != 0 && place->generation != cluster->entered;
        if (!place->link || place->task != task || place->kind != kind || place->lane != lane ||
            other)
            continue;
        *ret_link = place->link;
        mu_link_adopt(place->link, &mu_link_hold_events, NULL);
        place->link = NULL;
        return true;
    }
    return false;
}

enum mu_status mu_cluster_answer(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link)
{
    while (!take_waiting(cluster, task, kind, lane, ret_link)) {
        if (cluster->loop->cancelled != MU_OK)
            return cluster->loop->cancelled;
        if (mu_now(cluster->world) >= deadline_ns)
            return MU_TIMEOUT;
        enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline_ns);
        (void)turned;
    }
    return MU_OK;
}

/* ---- calls ---- */

/* What such a link begins with. */
static struct mu_hello hello_of(const struct mu_cluster *cluster, int kind, uint32_t lane)
{
    struct mu_hello hello = cluster->hello;
    hello.kind = (enum mu_link_kind)kind;
    hello.lane = lane;
    hello.generation = cluster->entered;
    hello.spec[0] = hello.job[0] = '\0';
    return hello;
}

enum mu_status mu_cluster_dial(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link)
{
    struct mu_hello hello = hello_of(cluster, kind, lane);
    struct mu_caller caller;
    mu_caller_start(&caller, cluster->loop, &cluster->spec->task[task].address, &hello);
    enum mu_status status = mu_loop_until(cluster->loop, &caller.done, deadline_ns);
    if (status == MU_OK)
        status = caller.status;
    if (status == MU_OK) {
        *ret_link = caller.link;
        mu_link_adopt(caller.link, &mu_link_hold_events, NULL);
        caller.link = NULL;
    } else if (caller.refused) {
        status = mu_fail(cluster->log, caller.refusal.error, NULL, "%s", caller.refusal.text);
    } else if (status == MU_PROTOCOL) {
        status =
            mu_fail(cluster->log, MU_E0404, NULL, "task %d answers a call with nonsense", task);
    }
    mu_caller_finish(&caller);
    return status == MU_UNAVAILABLE && cluster->loop->cancelled == MU_OK ? MU_CLOSED : status;
}

/* ---- links that broke ---- */

void mu_redial_finish(struct mu_redial *redial)
{
    if (redial->calls)
        mu_caller_finish(redial->caller);
    free(redial->caller);
    free(redial->hello);
    *redial = (struct mu_redial){0};
}

enum mu_status mu_redial_init(struct mu_redial *redial, struct mu_cluster *cluster)
{
    *redial = (struct mu_redial){.cluster = cluster};
    redial->caller = calloc(1, sizeof(*redial->caller));
    redial->hello = calloc(1, sizeof(*redial->hello));
    if (redial->caller && redial->hello)
        return MU_OK;
    mu_redial_finish(redial);
    return MU_NO_MEMORY;
}

void mu_redial_start(struct mu_redial *redial, int task, int kind, uint32_t lane)
{
    struct mu_cluster *cluster = redial->cluster;
    int64_t now = mu_now(cluster->world);
    if (redial->calls || now < redial->again_ns)
        return;
    *redial->hello = hello_of(cluster, kind, lane);
    mu_caller_start(
        redial->caller, cluster->loop, &cluster->spec->task[task].address, redial->hello);
    redial->calls = true;
    redial->lane = lane;
    redial->until_ns = now + REDIAL_PATIENCE_NS;
}

bool mu_redial_done(struct mu_redial *redial, struct mu_link **ret_link, uint32_t *ret_lane)
{
    struct mu_caller *caller = redial->caller;
    int64_t now = mu_now(redial->cluster->world);
    if (!redial->calls || (!caller->done && now < redial->until_ns))
        return false;
    bool here = caller->done && caller->status == MU_OK && mu_link_alive(caller->link);
    if (here) {
        *ret_link = caller->link;
        *ret_lane = redial->lane;
        mu_link_adopt(caller->link, &mu_link_hold_events, NULL);
        caller->link = NULL;
    }
    mu_caller_finish(caller);
    redial->calls = false;
    int64_t pause = 2 * redial->pause_ns;
    redial->pause_ns = here                      ? 0
                       : pause < REDIAL_PAUSE_NS ? REDIAL_PAUSE_NS
                       : pause > MU_SECOND       ? MU_SECOND
                                                 : pause;
    redial->again_ns = now + redial->pause_ns;
    return here;
}
