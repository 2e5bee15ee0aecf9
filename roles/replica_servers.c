/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/replica_servers.h"
#include "ps/seats.h"
#include "roles/task_cluster.h"

#define RELINK_LOOK_NS (20 * MU_MS)

static int standbys(const struct mu_replica *replica)
{
    return (int)replica->job->mode.replicas;
}

int mu_replica_server_task(const struct mu_replica *replica, int seat)
{
    return mu_spec_ps(replica->spec, mu_ps_seat_process(seat, replica->spec->ps_count));
}

enum mu_status mu_replica_blame_server(struct mu_replica *replica, enum mu_status status, int order,
    const char *what, int64_t since_ns)
{
    int task = mu_spec_ps(replica->spec, order);
    return mu_replica_cut(
        replica, mu_cluster_blame(replica->cluster, status, task, what, since_ns));
}

/* Before any replica pushes, so that servers answer at once. */
static enum mu_status call_seats(struct mu_replica *replica, int kind,
    void (*add)(void *to, int order, struct mu_link *link), void *to)
{
    int count = mu_ps_seat_count(replica->spec->ps_count, standbys(replica));
    for (int seat = 0; seat < count; seat++) {
        int task = mu_replica_server_task(replica, seat);
        int64_t since = mu_now(replica->world);
        int64_t deadline = mu_deadline(since, replica->run->timeouts.step_ns);
        struct mu_link *link;
        enum mu_status status =
            mu_cluster_dial(replica->cluster, task, kind, (uint32_t)seat, deadline, &link);
        if (status != MU_OK)
            return mu_cluster_blame(replica->cluster, status, task, "connecting", since);
        add(to, seat, link);
    }
    return MU_OK;
}

static void add_to_client(void *client, int order, struct mu_link *link)
{
    mu_ps_client_add_server(client, order, link);
}

static void add_to_snapshot(void *snapshot, int order, struct mu_link *link)
{
    mu_ps_snapshot_add_server(snapshot, order, link);
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
    return call_seats(replica, MU_KIND_PUSH, add_to_client, replica->client);
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
    };
    MU_TRY(mu_ps_snapshot_create(&options, &replica->snapshot));
    return call_seats(replica, MU_KIND_STATE, add_to_snapshot, replica->snapshot);
}

/* ---- links that break ---- */

static void say_there(const struct mu_replica *replica, int seat, int64_t since_ns)
{
    char name[MU_TASK_NAME_MAX], age[32];
    mu_task_name(&replica->spec->task[mu_replica_server_task(replica, seat)], name, sizeof(name));
    mu_text_duration(age, sizeof(age), mu_now(replica->world) - since_ns);
    mu_say(replica->log, MU_LEVEL_INFO,
        "the connection to %s broke and is there again after %s: nothing is lost", name, age);
}

static void call_again(
    const struct mu_replica *replica, struct mu_redial *redial, int kind, int seat)
{
    if (seat >= 0)
        mu_redial_start(redial, mu_replica_server_task(replica, seat), kind, (uint32_t)seat);
}

/* What a server has not answered is sent again. */
static void relink_client(struct mu_replica *replica)
{
    struct mu_ps_client *client = replica->client;
    struct mu_link *link;
    uint32_t seat;
    if (mu_redial_done(&replica->redial, &link, &seat)) {
        int64_t since = mu_ps_client_lost_since_ns(client, (int)seat);
        if (mu_ps_client_unlinked(client, (int)seat) != (int)seat) {
            mu_link_close(link);
        } else {
            mu_ps_client_add_server(client, (int)seat, link);
            say_there(replica, (int)seat, since);
        }
    }
    call_again(replica, &replica->redial, MU_KIND_PUSH, mu_ps_client_unlinked(client, 0));
}

/* A snapshot that was under way begins anew. */
static void relink_snapshot(struct mu_replica *replica)
{
    struct mu_ps_snapshot *snapshot = replica->snapshot;
    struct mu_link *link;
    uint32_t seat;
    if (mu_redial_done(&replica->redial_state, &link, &seat)) {
        int64_t since = mu_ps_snapshot_lost_since_ns(snapshot, (int)seat);
        if (mu_ps_snapshot_unlinked(snapshot, (int)seat) != (int)seat) {
            mu_link_close(link);
        } else {
            mu_ps_snapshot_add_server(snapshot, (int)seat, link);
            say_there(replica, (int)seat, since);
        }
    }
    call_again(
        replica, &replica->redial_state, MU_KIND_STATE, mu_ps_snapshot_unlinked(snapshot, 0));
}

/* The servers live, or the cluster would say otherwise. */
static void relink(void *owner)
{
    struct mu_replica *replica = owner;
    bool ends = replica->communicator.loop->cancelled != MU_OK;
    if (replica->client && !ends)
        relink_client(replica);
    if (replica->snapshot && !ends)
        relink_snapshot(replica);
}

/* ---- a server that is lost ---- */

static void on_gone(void *owner, int task)
{
    struct mu_replica *replica = owner;
    int order = mu_spec_ps_order(replica->spec, task);
    int seats = mu_ps_seat_count(replica->spec->ps_count, standbys(replica));
    int64_t since = mu_now(replica->world);
    /* Since the first of our own links to it ended, if that was seen before the cluster told us. */
    for (int seat = 0; replica->client && seat < seats; seat++) {
        int64_t ended = mu_ps_client_lost_since_ns(replica->client, seat);
        if (mu_replica_server_task(replica, seat) == task && ended >= 0 && ended < since)
            since = ended;
    }
    atomic_store(&replica->gone_ns, since);
    if (replica->client)
        mu_ps_client_lose_server(replica->client, order);
    if (replica->snapshot)
        mu_ps_snapshot_lose_server(replica->snapshot, order);
}

void mu_replica_note_answer(struct mu_replica *replica, int64_t pushed_ns, int64_t awaited_ns)
{
    int64_t gone_ns = atomic_load(&replica->gone_ns), now = mu_now(replica->world);
    char took[32];
    /* What had been answered before the loss says nothing. */
    bool shows = awaited_ns <= gone_ns || pushed_ns >= gone_ns;
    if (gone_ns == 0 || replica->took_over || !shows)
        return;
    replica->took_over = true;
    replica->takeover_seconds = (double)(now - gone_ns) / (double)MU_SECOND;
    mu_text_duration(took, sizeof(took), now - gone_ns);
    if (replica->leads)
        mu_say(replica->log, MU_LEVEL_INFO, "the standby took over in %s", took);
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
