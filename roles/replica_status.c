/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/replica.h"
#include "roles/report/status_keeper.h"

/* What the leader puts into status.json, on its communication thread. */

/* The only process there is. */
static struct mu_task_view view_alone(struct mu_replica *replica)
{
    const struct mu_activity *activity = &replica->activity;
    int64_t since_ns = atomic_load_explicit(&activity->since_ns, memory_order_relaxed);
    return (struct mu_task_view){
        .here = true,
        .joined = true,
        .process = replica->world->process,
        .host = replica->world->host,
        .started_wall_ns = replica->run->started_wall_ns,
        .heard_wall_ns = replica->world->ops->wall_ns(replica->world),
        .doing = atomic_load_explicit(&activity->doing, memory_order_relaxed),
        .step = atomic_load_explicit(&activity->step, memory_order_relaxed),
        .doing_age_ns = mu_now(replica->world) - since_ns,
        .samples = atomic_load_explicit(&activity->samples, memory_order_relaxed),
        .absent = "",
    };
}

static void look(void *owner)
{
    struct mu_replica *replica = owner;
    if (!replica->run->status)
        return;
    struct mu_cluster *cluster = replica->cluster;
    bool alone = replica->spec->local;
    struct mu_status_page *page = mu_status_keeper_enter(replica->run->status);
    int64_t now = mu_now(replica->world);
    bool has_begun = alone || (cluster && mu_cluster_started(cluster));
    if (!replica->ends)
        page->phase = has_begun ? MU_STATUS_TRAINING : MU_STATUS_STARTING;
    for (int i = 0; i < page->task_count && (alone || cluster); i++) {
        struct mu_task_view view = alone ? view_alone(replica) : mu_cluster_view(cluster, i);
        mu_status_page_look(&page->task[i], &view, now);
    }
    mu_status_keeper_leave(replica->run->status, true);
}

/* On the thread that saves. */
static void note_unsaved(void *owner, int64_t since_step, const char *text)
{
    struct mu_replica *replica = owner;
    if (!replica->run->status)
        return;
    struct mu_status_page *page = mu_status_keeper_enter(replica->run->status);
    if (text && !page->unsaved[0])
        page->unsaved_wall_ns = replica->world->ops->wall_ns(replica->world);
    page->unsaved_step = since_step;
    mu_text_copy(page->unsaved, sizeof(page->unsaved), text ? text : "");
    mu_status_keeper_leave(replica->run->status, true);
}

void mu_replica_status_saves(struct mu_replica *replica)
{
    replica->saver.trouble.tell = note_unsaved;
    replica->saver.trouble.owner = replica;
}

static enum mu_status run_begin(struct mu_command *command)
{
    struct mu_replica *replica = command->owner;
    struct mu_loop *loop = replica->communicator.loop;
    look(replica);
    return loop->ops->timer_start(loop, MU_STATUS_EVERY_NS, look, replica, &replica->status_timer);
}

enum mu_status mu_replica_status_begin(struct mu_replica *replica)
{
    return replica->run->status ? mu_communicator_do(&replica->communicator, run_begin, replica)
                                : MU_OK;
}

void mu_replica_status_look(struct mu_replica *replica)
{
    look(replica);
}

void mu_replica_status_end(struct mu_replica *replica)
{
    if (!replica->status_timer)
        return;
    replica->communicator.loop->ops->timer_stop(replica->status_timer);
    replica->status_timer = NULL;
    look(replica);
}
