/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/kept_rows.h"
#include "roles/replica_servers.h"
#include <stdlib.h>
#include <string.h>

/* ---- from servers ---- */

static void take(void *owner, const uint64_t *ids, const float *rows, size_t count)
{
    struct mu_taken_rows *taken = owner;
    if (!taken->no_memory)
        taken->no_memory = mu_saved_rows_add(taken->saved, ids, rows, count) != MU_OK;
}

struct mu_row_sink mu_kept_rows_sink(struct mu_taken_rows *taken, struct mu_saved_rows *saved)
{
    *taken = (struct mu_taken_rows){.saved = saved};
    mu_saved_rows_clear(saved);
    return (struct mu_row_sink){.put = take, .owner = taken};
}

enum mu_status mu_kept_rows_leave_out(struct mu_replica *replica, int64_t step, bool is_last)
{
    mu_saver_drop(&replica->saver);
    replica->saved_step = step;
    if (is_last)
        return mu_fail(replica->log, MU_E0801, NULL,
            "no memory to save step %lld: the leader needs all embedding rows once",
            (long long)step);
    mu_say(replica->log, MU_LEVEL_WARN,
        "no memory to save step %lld: the leader needs all embedding rows once", (long long)step);
    return MU_OK;
}

/* ---- to servers ---- */

enum mu_status mu_kept_rows_open(struct mu_given_rows *given, struct mu_replica *replica)
{
    size_t slots = (size_t)replica->job->optimizer->slot_count;
    *given = (struct mu_given_rows){
        .replica = replica, .stride = replica->async_rows.width * (1 + slots)};
    given->ids = calloc(MU_KEPT_ROWS_GIVEN_MAX, sizeof(*given->ids));
    given->rows = calloc(MU_KEPT_ROWS_GIVEN_MAX, given->stride * sizeof(*given->rows));
    if (given->ids && given->rows)
        return MU_OK;
    mu_kept_rows_close(given);
    return mu_fail(replica->log, MU_E0801, NULL, "no memory to give servers their embedding rows");
}

void mu_kept_rows_close(struct mu_given_rows *given)
{
    free(given->ids);
    free(given->rows);
    *given = (struct mu_given_rows){0};
}

static enum mu_status run_give(struct mu_command *command)
{
    struct mu_given_rows *given = command->owner;
    struct mu_replica *replica = given->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_ps_snapshot_give_rows(replica->snapshot, given->ids, given->rows,
        given->count, mu_deadline(since, replica->run->timeouts.step_ns));
    return mu_replica_snapshot_ended(replica, status, "restoring the embedding rows", since);
}

enum mu_status mu_kept_rows_end(struct mu_given_rows *given)
{
    if (given->count == 0)
        return MU_OK;
    MU_TRY(mu_communicator_do(&given->replica->communicator, run_give, given));
    given->count = 0;
    return MU_OK;
}

enum mu_status mu_kept_rows_put(void *owner, uint64_t id, const float *row)
{
    struct mu_given_rows *given = owner;
    given->ids[given->count] = id;
    memcpy(given->rows + given->count * given->stride, row, given->stride * sizeof(*row));
    given->count++;
    return given->count < MU_KEPT_ROWS_GIVEN_MAX ? MU_OK : mu_kept_rows_end(given);
}
