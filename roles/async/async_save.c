/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/async/async_save.h"
#include "roles/replica_servers.h"
#include <stdlib.h>

/* ---- communication thread ---- */

/* How long servers may wait for our disk: workers wait for servers. Nobody trains when the last
 * one is taken. */
static int64_t patience(const struct mu_async_save *save)
{
    const struct mu_replica *replica = save->replica;
    return replica->saver.is_last ? MU_FOREVER : replica->run->timeouts.step_ns / 4;
}

static enum mu_status run_snapshot_start(struct mu_command *command)
{
    struct mu_async_save *save = command->owner;
    struct mu_replica *replica = save->replica;
    MU_TRY(replica->failed);
    float *vectors[1 + MU_SLOTS_MAX];
    for (int i = 0; i <= MU_SLOTS_MAX; i++)
        vectors[i] = replica->saver.vectors[i].data;
    struct mu_row_spool *spool = &replica->saver.spool;
    const struct mu_row_sink sink = {.put = mu_row_spool_put, .owner = spool};
    if (replica->saver.snapshot.runs)
        mu_row_spool_begin(spool, patience(save));
    enum mu_status status = mu_ps_snapshot_start(replica->snapshot, vectors, &sink);
    return mu_replica_snapshot_ended(replica, status, "a snapshot", mu_now(replica->world));
}

struct snapshot_end {
    struct mu_async_save *save;
    bool wait, done;
    bool is_cut; /* a server was lost: it may be taken anew */
    int64_t version;
};

/* As long as rows come the servers are alive, however many there are; if rows wait for our disk, it
 * is not the servers who are late. */
static enum mu_status await_snapshot(struct snapshot_end *end)
{
    const struct mu_replica *replica = end->save->replica;
    struct mu_ps_snapshot *snapshot = replica->snapshot;
    enum mu_status status;
    uint64_t come;
    do {
        come = mu_ps_snapshot_rows_come(snapshot);
        int64_t deadline = mu_deadline(mu_now(replica->world), replica->run->timeouts.step_ns);
        status = mu_ps_snapshot_wait(snapshot, deadline, &end->version, end->save->judged);
    } while (status == MU_TIMEOUT &&
             (mu_ps_snapshot_rows_come(snapshot) > come || mu_ps_snapshot_is_held(snapshot)));
    return status;
}

static enum mu_status run_snapshot_end(struct mu_command *command)
{
    struct snapshot_end *end = command->owner;
    struct mu_replica *replica = end->save->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    end->is_cut = false;
    if (!end->wait && !mu_ps_snapshot_done(replica->snapshot))
        return MU_OK;
    enum mu_status status = await_snapshot(end);
    end->done = status == MU_OK;
    end->is_cut = status == MU_UNAVAILABLE && replica->communicator.loop->cancelled == MU_OK;
    return end->is_cut ? MU_OK : mu_replica_snapshot_ended(replica, status, "a snapshot", since);
}

/* ---- training thread ---- */

static enum mu_status start_saving(struct mu_async_save *save, bool wait)
{
    struct mu_replica *replica = save->replica;
    if (!replica->saver.world || save->under_way || !mu_saver_begin(&replica->saver, wait))
        return MU_OK;
    save->under_way = true;
    return mu_communicator_do(&replica->communicator, run_snapshot_start, save);
}

/* If the snapshot has come (or `wait`), hands it to the writer. */
static enum mu_status end_saving(struct mu_async_save *save, bool wait)
{
    struct mu_replica *replica = save->replica;
    struct snapshot_end end = {.save = save, .wait = wait};
    if (!save->under_way)
        return MU_OK;
    MU_TRY(mu_communicator_do(&replica->communicator, run_snapshot_end, &end));
    while (end.is_cut) {
        MU_TRY(mu_communicator_do(&replica->communicator, run_snapshot_start, save));
        MU_TRY(mu_communicator_do(&replica->communicator, run_snapshot_end, &end));
    }
    if (!end.done)
        return MU_OK;
    save->under_way = false;
    mu_replica_describe_snapshot(replica, end.version, save->judged);
    mu_saver_submit(&replica->saver);
    return MU_OK;
}

enum mu_status mu_async_save_start(struct mu_async_save *save)
{
    return start_saving(save, false);
}

enum mu_status mu_async_save_end(struct mu_async_save *save)
{
    return end_saving(save, false);
}

enum mu_status mu_async_save_last(struct mu_async_save *save)
{
    struct mu_replica *replica = save->replica;
    if (!replica->saver.world)
        return MU_OK;
    MU_TRY(end_saving(save, true));
    MU_TRY(start_saving(save, true));
    MU_TRY(end_saving(save, true));
    MU_TRY(mu_saver_end(&replica->saver));
    replica->step = replica->saver.snapshot.step;
    return MU_OK;
}

/* ---- life ---- */

enum mu_status mu_async_save_init(struct mu_async_save *save, struct mu_replica *replica)
{
    *save = (struct mu_async_save){.replica = replica};
    save->judged = calloc((size_t)replica->count, sizeof(*save->judged));
    return save->judged ? MU_OK : MU_NO_MEMORY;
}

void mu_async_save_finish(struct mu_async_save *save)
{
    if (save->under_way)
        mu_saver_drop(&save->replica->saver);
    free(save->judged);
    *save = (struct mu_async_save){0};
}
