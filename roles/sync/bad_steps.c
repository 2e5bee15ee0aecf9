/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/sync/bad_steps.h"
#include "runtime/base/text.h"
#include "runtime/optim/usable.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a replica finds: as floats, which are summed, these are exact. */
enum { NOTHING, LOSS, ROWS, VIEW }; /* VIEW + i: tensor i */

#define SUM_ROUNDING 0x1p-10f /* of a half type's unit, with room */

/* ---- looking ---- */

static float limit_of(const struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    float limit = job->optim.clip_norm > 0 ? INFINITY : MU_USABLE_LIMIT;
    float sum_max = mu_replica_uses_servers(replica) ? 0 : job->compressor->sum_max;
    if (sum_max <= 0)
        return limit;
    /* Sums are narrowed, and rounded up perhaps, on each of `count` ways. */
    float count = (float)replica->count, rounded = 1 + count * SUM_ROUNDING;
    return fminf(limit, sum_max / count / rounded);
}

enum mu_status mu_bad_steps_init(struct mu_bad_steps *bad, struct mu_replica *replica)
{
    *bad = (struct mu_bad_steps){.replica = replica, .limit = limit_of(replica)};
    bad->found_by_rank = calloc((size_t)replica->count, sizeof(*bad->found_by_rank));
    return bad->found_by_rank ? MU_OK : MU_NO_MEMORY;
}

void mu_bad_steps_finish(struct mu_bad_steps *bad)
{
    free(bad->found_by_rank);
    *bad = (struct mu_bad_steps){0};
}

void mu_bad_steps_begin(struct mu_bad_steps *bad, float *gradients)
{
    bad->gradients = gradients;
    bad->found = NOTHING;
    bad->held = (struct mu_span){0};
}

void mu_bad_steps_loss(struct mu_bad_steps *bad, double loss)
{
    if (!isfinite(loss))
        bad->found = LOSS;
}

/* The first tensor with something in it that was found in the slice. */
static int view_of(const struct mu_bad_steps *bad, struct mu_span slice)
{
    const struct mu_layout *layout = &bad->replica->layout;
    for (int i = 0; i < layout->view_count; i++) {
        struct mu_span span = layout->view[i].span;
        bool overlaps =
            span.first < slice.first + slice.count && slice.first < span.first + span.count;
        if (overlaps && !mu_usable_are(bad->gradients + span.first, span.count, bad->limit))
            return VIEW + i;
    }
    return VIEW;
}

void mu_bad_steps_slice(struct mu_bad_steps *bad, struct mu_span slice)
{
    if (bad->found == NOTHING &&
        !mu_usable_are(bad->gradients + slice.first, slice.count, bad->limit))
        bad->found = view_of(bad, slice);
}

void mu_bad_steps_rows(struct mu_bad_steps *bad, const float *gradients, size_t count)
{
    if (bad->found == NOTHING && !mu_usable_are(gradients, count, bad->limit))
        bad->found = ROWS;
}

bool mu_bad_steps_any(const struct mu_bad_steps *bad)
{
    return bad->found != NOTHING;
}

/* ---- counting ---- */

#define TEXT_MAX 192

static void describe(
    const struct mu_bad_steps *bad, int found, const char *who, char out[static TEXT_MAX])
{
    const struct mu_layout *layout = &bad->replica->layout;
    if (found == NOTHING)
        mu_format(out, TEXT_MAX, "the sum over all replicas is not finite");
    else if (found == LOSS)
        mu_format(out, TEXT_MAX, "the loss of %s is not finite", who);
    else if (found == ROWS)
        mu_format(out, TEXT_MAX,
            "the gradient of %s is not finite, or too large, in its embedding rows", who);
    else
        mu_format(out, TEXT_MAX, "the gradient of %s is not finite, or too large, in `%s`", who,
            layout->view[found - VIEW].name);
}

static enum mu_status count(struct mu_bad_steps *bad, int rank, int found, const char *what)
{
    const struct mu_replica *replica = bad->replica;
    const struct mu_spec *spec = replica->spec;
    char who[MU_TASK_NAME_MAX], why[TEXT_MAX];
    mu_task_name(&spec->task[mu_spec_replica(spec, rank)], who, sizeof(who));
    describe(bad, found, who, why);
    bad->in_row++;
    mu_say(
        replica->log, MU_LEVEL_WARN, "step %lld %s: %s", (long long)replica->step + 1, what, why);
    if (bad->in_row < replica->job->train.bad_steps_max)
        return MU_OK;
    return mu_fail(replica->log, MU_E0702, "try a lower learning rate, or optimizer.clip_norm",
        "%lld steps in a row were left out; step %lld: %s", (long long)bad->in_row,
        (long long)replica->step + 1, why);
}

enum mu_status mu_bad_steps_count_own(struct mu_bad_steps *bad)
{
    return count(bad, bad->replica->rank, bad->found, "is not pushed");
}

void mu_bad_steps_good(struct mu_bad_steps *bad)
{
    bad->in_row = 0;
}

/* ---- synchronous ---- */

void mu_bad_steps_send(struct mu_bad_steps *bad, struct mu_exchange *exchange, struct mu_span slice)
{
    mu_bad_steps_slice(bad, slice);
    if (slice.first == 0)
        bad->held = slice;
    else
        mu_exchange_slice(exchange, slice);
}

/* Of all NaNs the one with the largest bits: a compressor that takes the largest takes it. */
void mu_bad_steps_send_last(struct mu_bad_steps *bad, struct mu_exchange *exchange)
{
    static const uint32_t largest = UINT32_C(0x7fffffff);
    if (bad->found != NOTHING && bad->held.count > 0)
        memcpy(bad->gradients, &largest, sizeof(largest));
    mu_exchange_slice(exchange, bad->held);
}

/* Of those compressors that keep a part for later some say it at another element of the bucket. */
enum mu_status mu_bad_steps_hear(
    const struct mu_bad_steps *bad, struct mu_exchange *exchange, bool *ret_none)
{
    bool anywhere = bad->replica->job->compressor->has_residual;
    *ret_none = bad->found == NOTHING;
    for (int i = 0; i < mu_exchange_count(exchange); i++) {
        struct mu_span bucket = mu_exchange_span(exchange, i);
        if (bucket.first > 0 || bucket.count == 0)
            continue;
        MU_TRY(mu_exchange_wait(exchange, i));
        *ret_none = mu_usable_are(bad->gradients, anywhere ? bucket.count : 1, INFINITY);
    }
    return MU_OK;
}

enum mu_status mu_bad_steps_count(struct mu_bad_steps *bad)
{
    struct mu_replica *replica = bad->replica;
    int rank = 0;
    memset(bad->found_by_rank, 0, (size_t)replica->count * sizeof(*bad->found_by_rank));
    bad->found_by_rank[replica->rank] = (float)bad->found;
    if (replica->count > 1)
        MU_TRY(mu_replica_sum(replica, bad->found_by_rank, (size_t)replica->count));
    while (rank + 1 < replica->count && bad->found_by_rank[rank] == 0)
        rank++;
    return count(bad, rank, (int)bad->found_by_rank[rank], "is left out on all replicas");
}
