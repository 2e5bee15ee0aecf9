/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/sync/settle.h"
#include "roles/checkpoint/residuals.h"
#include "runtime/optim/tensors.h"

static bool overlap(struct mu_span a, struct mu_span b)
{
    return a.first < b.first + b.count && b.first < a.first + a.count;
}

static void apply(struct mu_settle *settle, struct mu_span span)
{
    struct mu_replica *replica = settle->exchange->replica;
    const struct mu_job *job = replica->job;
    struct mu_optim_step step = settle->step;
    int64_t since = mu_now(replica->world);
    step.count = span.count;
    step.parameters = replica->parameters.data + span.first;
    step.gradients = settle->exchange->gradients + span.first;
    for (int i = 0; i < job->optimizer->slot_count; i++)
        step.slots[i] = replica->slots[i].data + span.first;
    mu_tensors_step(job->optimizer, job->optimizer_options, &replica->layout, span.first, &step);
    mu_timeline_add(&replica->timeline, MU_TIMELINE_UPDATING, 0, step.step, since);
}

/* All buckets are one step: there are none, or a tensor may lie in several. */
static bool steps_whole(const struct mu_settle *settle)
{
    const struct mu_replica *replica = settle->exchange->replica;
    return replica->count == 1 || replica->job->optimizer->by_tensor;
}

static void settle_bucket(struct mu_settle *settle, int bucket)
{
    struct mu_exchange *exchange = settle->exchange;
    struct mu_replica *replica = exchange->replica;
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_exchange_wait(exchange, bucket);
    mu_timeline_add(&replica->timeline, MU_TIMELINE_WAITING, 0, settle->step.step, since);
    if (settle->status == MU_OK)
        settle->status = status;
    if (status == MU_OK && settle->apply && !steps_whole(settle))
        apply(settle, mu_exchange_span(exchange, bucket));
}

/* These parameters are about to be read. Fits struct mu_slice_listener. */
static void settle_span(void *owner, struct mu_span span)
{
    struct mu_settle *settle = owner;
    if (!settle->open)
        return;
    int count = mu_exchange_count(settle->exchange);
    for (int i = 0; i < count; i++)
        if (overlap(mu_exchange_span(settle->exchange, i), span) &&
            mu_exchange_take(settle->exchange, i))
            settle_bucket(settle, i);
}

void mu_settle_init(struct mu_settle *settle, struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    const struct mu_job *job = replica->job;
    *settle = (struct mu_settle){.exchange = exchange};
    settle->late = job->model->watch && job->optim.clip_norm <= 0 && !steps_whole(settle) &&
                   !exchange->on_training_thread;
    /* What a compressor keeps depends on the order in which it sees the buckets. */
    exchange->plans = settle->late && !mu_residuals_kept(replica);
    replica->needs = settle->late
                         ? (struct mu_slice_listener){.ready = settle_span, .owner = settle}
                         : (struct mu_slice_listener){0};
}

void mu_settle_begin(struct mu_settle *settle, const struct mu_optim_step *step, bool apply_it)
{
    settle->step = *step;
    settle->apply = apply_it;
    settle->open = true;
}

enum mu_status mu_settle_all(struct mu_settle *settle)
{
    struct mu_replica *replica = settle->exchange->replica;
    const struct mu_span whole = {0, replica->layout.element_count};
    settle_span(settle, whole);
    if (settle->open && settle->apply && settle->status == MU_OK && steps_whole(settle))
        apply(settle, whole);
    settle->open = false;
    return settle->status;
}
