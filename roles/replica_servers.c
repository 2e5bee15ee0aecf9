/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/replica_servers.h"
#include "ps/seats.h"
#include "roles/relink.h"
#include "roles/task_cluster.h"

#define RELINK_LOOK_NS (20 * MU_MS)

static int standbys(const struct mu_replica *replica)
{
    return (int)replica->job->mode.replicas;
}

static enum mu_status blame_server(struct mu_replica *replica, enum mu_status status, int order,
    const char *what, int64_t since_ns)
{
    int task = mu_spec_ps(replica->spec, order);
    return mu_replica_cut(
        replica, mu_cluster_blame(replica->cluster, status, task, what, since_ns));
}

enum mu_status mu_replica_client_ended(
    struct mu_replica *replica, enum mu_status status, const char *what, int64_t since_ns)
{
    if (status == MU_OK)
        return MU_OK;
    return blame_server(replica, status, mu_ps_client_culprit(replica->client), what, since_ns);
}

enum mu_status mu_replica_snapshot_ended(
    struct mu_replica *replica, enum mu_status status, const char *what, int64_t since_ns)
{
    if (status == MU_OK)
        return MU_OK;
    return blame_server(replica, status, mu_ps_snapshot_culprit(replica->snapshot), what, since_ns);
}

/* ---- links to each seat ---- */

static int client_unlinked(const void *client, int seat)
{
    return mu_ps_client_unlinked(client, seat);
}

static int64_t client_unlinked_since_ns(const void *client, int seat)
{
    return mu_ps_client_lost_since_ns(client, seat);
}

static void add_to_client(void *client, int seat, struct mu_link *link)
{
    mu_ps_client_add_server(client, seat, link);
}

static int snapshot_unlinked(const void *snapshot, int seat)
{
    return mu_ps_snapshot_unlinked(snapshot, seat);
}

static int64_t snapshot_unlinked_since_ns(const void *snapshot, int seat)
{
    return mu_ps_snapshot_lost_since_ns(snapshot, seat);
}

static void add_to_snapshot(void *snapshot, int seat, struct mu_link *link)
{
    mu_ps_snapshot_add_server(snapshot, seat, link);
}

/* What a server has not answered is sent again. */
static struct mu_relink relink_of_client(const struct mu_replica *replica)
{
    static const struct mu_relink_ops pushes = {
        .kind = MU_KIND_PUSH,
        .unlinked = client_unlinked,
        .unlinked_since_ns = client_unlinked_since_ns,
        .add = add_to_client,
    };
    return (struct mu_relink){
        .ops = &pushes, .owner = replica->client, .run = replica->run, .cluster = replica->cluster};
}

/* A snapshot that was under way begins anew. */
static struct mu_relink relink_of_snapshot(const struct mu_replica *replica)
{
    static const struct mu_relink_ops state = {
        .kind = MU_KIND_STATE,
        .unlinked = snapshot_unlinked,
        .unlinked_since_ns = snapshot_unlinked_since_ns,
        .add = add_to_snapshot,
    };
    return (struct mu_relink){.ops = &state,
        .owner = replica->snapshot,
        .run = replica->run,
        .cluster = replica->cluster};
}

/* Before any replica pushes, so that servers answer at once. */
static enum mu_status call_seats(const struct mu_replica *replica, struct mu_relink relink)
{
    int count = mu_ps_seat_count(replica->spec->ps_count, standbys(replica));
    for (int seat = 0; seat < count; seat++)
        MU_TRY(mu_relink_make(&relink, seat));
    return MU_OK;
}

static enum mu_status make_client(struct mu_replica *replica)
{
    const struct mu_ps_client_options options = {
        .loop = replica->communicator.loop,
        .log = replica->log,
        .replica = replica->rank,
        .server_count = replica->spec->ps_count,
        .replicas = standbys(replica),
        .in_flight = (int)replica->job->mode.in_flight,
        .generation = mu_cluster_generation(replica->cluster),
        .element_count = replica->layout.element_count,
        .relinks = true,
        .row_width = replica->async_rows.width,
        .row_max = replica->async_rows.entry_max,
    };
    MU_TRY(mu_ps_client_create(&options, &replica->client));
    return call_seats(replica, relink_of_client(replica));
}

static enum mu_status make_snapshot(struct mu_replica *replica)
{
    const struct mu_ps_snapshot_options options = {
        .loop = replica->communicator.loop,
        .log = replica->log,
        .server_count = replica->spec->ps_count,
        .replica_count = replica->count,
        .replicas = standbys(replica),
        .relinks = true,
        .slot_count = replica->job->optimizer->slot_count,
        .generation = mu_cluster_generation(replica->cluster),
        .element_count = replica->layout.element_count,
        .row_width = replica->async_rows.width,
        .row_range_ids = replica->async_rows.split.range_ids,
    };
    MU_TRY(mu_ps_snapshot_create(&options, &replica->snapshot));
    return call_seats(replica, relink_of_snapshot(replica));
}

/* ---- links that break ---- */

/* The servers live, or the cluster would say otherwise. */
static void relink(void *owner)
{
    struct mu_replica *replica = owner;
    const struct mu_relink client = relink_of_client(replica);
    const struct mu_relink snapshot = relink_of_snapshot(replica);
    bool ends = replica->communicator.loop->cancelled != MU_OK;
    if (replica->client && !ends)
        mu_relink_look(&client, 1, &replica->redial);
    if (replica->snapshot && !ends)
        mu_relink_look(&snapshot, 1, &replica->redial_state);
}

/* ---- a server that is lost ---- */

/* Nobody but the leader hears servers. */
static int64_t heard_age_ns(const struct mu_replica *replica, int task)
{
    return replica->leads ? mu_cluster_view(replica->cluster, task).heard_age_ns : 0;
}

static void on_gone(void *owner, int task)
{
    struct mu_replica *replica = owner;
    int order = mu_spec_ps_order(replica->spec, task);
    int seats = mu_ps_seat_count(replica->spec->ps_count, standbys(replica));
    int64_t since = mu_now(replica->world);
    /* Since the first of our own links to it ended, if that was seen before the cluster told us. */
    for (int seat = 0; replica->client && seat < seats; seat++) {
        int64_t ended = mu_ps_client_lost_since_ns(replica->client, seat);
        if (mu_relink_task(replica->spec, seat) == task && ended >= 0 && ended < since)
            since = ended;
    }
    replica->gone_task = task;
    replica->gone_heard_ns = mu_now(replica->world) - heard_age_ns(replica, task);
    atomic_store(&replica->gone_ns, since);
    if (replica->client)
        mu_ps_client_lose_server(replica->client, order);
    if (replica->snapshot)
        mu_ps_snapshot_lose_server(replica->snapshot, order);
}

void mu_replica_note_answer(struct mu_replica *replica, int64_t pushed_ns, int64_t awaited_ns)
{
    int64_t gone_ns = atomic_load(&replica->gone_ns), now = mu_now(replica->world);
    char took[32], silence[32], name[MU_TASK_NAME_MAX];
    /* What had been answered before the loss says nothing. */
    bool shows = awaited_ns <= gone_ns || pushed_ns >= gone_ns;
    if (gone_ns == 0 || replica->took_over || !shows)
        return;
    replica->took_over = true;
    replica->takeover_seconds = (double)(now - gone_ns) / (double)MU_SECOND;
    replica->silence_seconds = (double)(now - replica->gone_heard_ns) / (double)MU_SECOND;
    mu_text_duration(took, sizeof(took), now - gone_ns);
    mu_text_duration(silence, sizeof(silence), now - replica->gone_heard_ns);
    mu_task_name(&replica->spec->task[replica->gone_task], name, sizeof(name));
    if (replica->leads)
        mu_say(replica->log, MU_LEVEL_INFO,
            "the standby took over in %s, %s after %s was last heard", took, silence, name);
}

/* ---- for all of them ---- */

enum mu_status mu_replica_call_servers(struct mu_replica *replica)
{
    struct mu_loop *loop = replica->communicator.loop;
    if (replica->leads)
        MU_TRY(make_snapshot(replica));
    MU_TRY(make_client(replica));
    MU_TRY(mu_redial_init(&replica->redial, replica->cluster));
    MU_TRY(mu_redial_init(&replica->redial_state, replica->cluster));
    mu_cluster_on_gone(replica->cluster, on_gone, replica);
    return loop->ops->timer_start(loop, RELINK_LOOK_NS, relink, replica, &replica->relink);
}

void mu_replica_hang_up(struct mu_replica *replica)
{
    struct mu_loop *loop = replica->communicator.loop;
    if (loop)
        loop->ops->timer_stop(replica->relink);
    if (replica->cluster)
        mu_cluster_on_gone(replica->cluster, NULL, NULL);
    mu_redial_finish(&replica->redial);
    mu_redial_finish(&replica->redial_state);
    mu_ps_client_destroy(replica->client);
    mu_ps_snapshot_destroy(replica->snapshot);
    replica->relink = NULL;
    replica->client = NULL;
    replica->snapshot = NULL;
}
