/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/kept_rows.h"
#include "roles/replica_servers.h"
#include <stdlib.h>
#include <string.h>

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
