/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/residuals.h"
#include "runtime/device/kernels.h"
#include <stdlib.h>
#include <string.h>

static enum mu_status spread(struct mu_replica *replica, int root, void *data, size_t bytes)
{
    if (replica->count == 1 || bytes == 0)
        return MU_OK;
    return mu_replica_broadcast(replica, root, data, bytes, "the exchange of residuals");
}

/* ---- opening ---- */

/* The part of the velocity that the optimizer keeps; 0: it has none. */
static double momentum_of(const struct mu_job *job)
{
    const struct mu_option *row = job->optimizer->options;
    for (; row && row->name; row++)
        if (strcmp(row->name, "momentum") == 0 && row->type == MU_OPTION_REAL) {
            double momentum;
            memcpy(&momentum, (const char *)job->optimizer_options + row->offset, sizeof(momentum));
            return momentum;
        }
    return 0;
}

/* What comes late comes in bursts, and momentum repeats each (docs/COLLECTIVES.md). A step of the
 * whole velocity is rate / (1 - momentum) of a gradient: 0.5 is measured to hold, 2 to diverge. */
#define ONEBIT_RATE_MAX 1.0

static void warn_of_bursts(const struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    double momentum = momentum_of(job), rate = job->optim.learning_rate;
    bool randomk = strcmp(job->compressor->name, "randomk") == 0;
    bool onebit = strcmp(job->compressor->name, "onebit") == 0;
    if (!replica->leads || momentum == 0 || !(randomk || onebit))
        return;
    if (onebit && rate < ONEBIT_RATE_MAX * (1 - momentum))
        return;
    mu_say(replica->log, MU_LEVEL_WARN,
        "compress.kind `%s` with momentum %g at learning rate %g may diverge: take a lower rate, "
        "or sgd, or compress.kind topk or powersgd",
        job->compressor->name, momentum, rate);
}

static enum mu_status run_open(struct mu_command *command)
{
    struct mu_replica *replica = command->owner;
    const struct mu_job *job = replica->job;
    return job->compressor->open(job->compressor_options, &replica->layout,
        (uint64_t)job->train.seed, &replica->group, replica->residual.data, &replica->compressor);
}

static float *shared_of(const struct mu_replica *replica, size_t *ret_count)
{
    const struct mu_compressor_ops *ops = replica->job->compressor;
    *ret_count = 0;
    return ops->shared_state ? ops->shared_state(replica->compressor, ret_count) : NULL;
}

bool mu_residuals_kept(const struct mu_replica *replica)
{
    size_t shared;
    return replica->residual.data || shared_of(replica, &shared);
}

/* What the leader has loaded, told to all: how many rows, whether it fits this job. */
struct loaded_head {
    int64_t residuals, elements, shared;
};

/* Row r belongs to replica r, or, if their number has changed, to all in equal parts. */
static enum mu_status share_rows(
    struct mu_replica *replica, const struct loaded_head *head, const float *rows, float *passing)
{
    size_t count = replica->layout.element_count, bytes = count * sizeof(float);
    float *residual = replica->residual.data;
    for (int64_t row = 0; row < head->residuals; row++) {
        if (replica->leads)
            memcpy(passing, rows + (size_t)row * count, bytes);
        MU_TRY(spread(replica, mu_replica_leader(replica), passing, bytes));
        if (head->residuals != replica->count)
            mu_kernels()->add(residual, passing, count);
        else if (row == replica->rank)
            memcpy(residual, passing, bytes);
    }
    if (head->residuals != replica->count)
        mu_kernels()->scale(residual, 1.0F / (float)replica->count, count);
    return MU_OK;
}

static enum mu_status share_loaded(
    struct mu_replica *replica, const struct mu_checkpoint_residual *loaded)
{
    struct loaded_head head = {
        loaded->residual_count, (int64_t)loaded->element_count, (int64_t)loaded->shared_count};
    size_t count = replica->layout.element_count, shared_count;
    float *shared = shared_of(replica, &shared_count);
    MU_TRY(spread(replica, mu_replica_leader(replica), &head, sizeof(head)));
    if (head.residuals > 0 && replica->residual.data && (size_t)head.elements == count) {
        struct mu_arena passing = {0};
        MU_TRY(mu_arena_init(&passing, count));
        enum mu_status status = share_rows(replica, &head, loaded->data, passing.data);
        mu_arena_finish(&passing);
        MU_TRY(status);
    }
    if (!shared || (size_t)head.shared != shared_count)
        return MU_OK;
    if (replica->leads)
        memcpy(shared, loaded->data + (size_t)head.residuals * (size_t)head.elements,
            shared_count * sizeof(float));
    return spread(replica, mu_replica_leader(replica), shared, shared_count * sizeof(float));
}

static enum mu_status make_room_in_saver(struct mu_replica *replica)
{
    struct mu_saver *saver = &replica->saver;
    size_t shared_count, residuals = replica->residual.data ? (size_t)replica->count : 0;
    shared_of(replica, &shared_count);
    if (!saver->world || residuals + shared_count == 0)
        return MU_OK;
    MU_TRY(
        mu_arena_init(&saver->residuals, residuals * replica->layout.element_count + shared_count));
    saver->snapshot.residual_count = (int)residuals;
    saver->snapshot.residuals = saver->residuals.data;
    saver->snapshot.shared_count = shared_count;
    saver->snapshot.shared = saver->residuals.data + residuals * replica->layout.element_count;
    return MU_OK;
}

enum mu_status mu_residuals_open(struct mu_replica *replica, const struct mu_manifest *manifest)
{
    warn_of_bursts(replica);
    if (replica->job->compressor->has_residual)
        MU_TRY(mu_arena_init(&replica->residual, replica->layout.element_count));
    MU_TRY(mu_communicator_do(&replica->communicator, run_open, replica));
    if (!mu_residuals_kept(replica))
        return MU_OK;
    MU_TRY(make_room_in_saver(replica));
    struct mu_checkpoint_residual loaded = {0};
    if (manifest && replica->leads)
        MU_TRY(mu_checkpoint_read_residual(replica->world->store, replica->log, manifest, &loaded));
    enum mu_status status = share_loaded(replica, &loaded);
    free(loaded.data);
    return status;
}

/* ---- gathering ---- */

enum mu_status mu_residuals_gather(struct mu_replica *replica, bool keep)
{
    size_t count = replica->layout.element_count, shared_count;
    float *room = keep ? replica->saver.residuals.data : NULL;
    const float *shared = shared_of(replica, &shared_count);
    int rows = replica->residual.data ? replica->count : 0;
    struct mu_arena passing = {0};
    if (rows > 0)
        MU_TRY(mu_arena_init(&passing, count));
    enum mu_status status = MU_OK;
    for (int row = 0; row < rows && status == MU_OK; row++) {
        if (row == replica->rank)
            memcpy(passing.data, replica->residual.data, count * sizeof(float));
        status = spread(replica, row, passing.data, count * sizeof(float));
        if (room && status == MU_OK)
            memcpy(room + (size_t)row * count, passing.data, count * sizeof(float));
    }
    if (room && shared && status == MU_OK)
        memcpy(room + (size_t)rows * count, shared, shared_count * sizeof(float));
    mu_arena_finish(&passing);
    return status;
}
