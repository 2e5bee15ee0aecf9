/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/gradient.h"
#include "runtime/device/kernels.h"

/* One part of the rows under way. */
struct part {
    struct mu_span forward_at; /* what forward is working with */
    struct mu_replica *replica;
    const struct mu_gradient_request *request;
    float *into; /* where backward writes: the gradients, or the vector beside them */
    double share;
    bool last;
};

static void on_slice(void *owner, struct mu_span slice)
{
    struct part *part = owner;
    const struct mu_gradient_request *request = part->request;
    struct mu_world *world = part->replica->world;
    double elements = (double)part->replica->layout.element_count;
    world->ops->computed(
        world, request->step, part->share * MU_BACKWARD_SHARE * (double)slice.count / elements);
    if (part->into != request->gradients)
        mu_kernels()->add(request->gradients + slice.first, part->into + slice.first, slice.count);
    if (part->last && request->ready)
        request->ready(request->owner, slice);
}

static void forward_passed(struct part *part)
{
    struct mu_world *world = part->replica->world;
    double elements = (double)part->replica->layout.element_count;
    if (part->forward_at.count > 0)
        world->ops->computed(world, part->request->step,
            part->share * MU_FORWARD_SHARE * (double)part->forward_at.count / elements);
}

/* Forward goes on to the next slice: the time of the one before has passed. */
static void on_need(void *owner, struct mu_span slice)
{
    struct part *part = owner;
    const struct mu_slice_listener *needs = &part->replica->needs;
    forward_passed(part);
    part->forward_at = slice;
    if (needs->ready)
        needs->ready(needs->owner, slice);
}

static void run_part(struct part *part, const struct mu_batch *rows, struct mu_loss *sum)
{
    struct mu_replica *replica = part->replica;
    const struct mu_gradient_request *request = part->request;
    const struct mu_model_ops *model = replica->job->model;
    struct mu_loss loss;
    const struct mu_slice_listener needs = {.ready = on_need, .owner = part};
    if (model->watch)
        model->watch(replica->model, &needs);
    else
        part->forward_at.count = replica->layout.element_count;
    model->forward(replica->model, request->parameters, rows, &loss);
    forward_passed(part);
    if (model->watch)
        model->watch(replica->model, NULL);
    sum->loss_sum += loss.loss_sum;
    sum->correct_count += loss.correct_count;
    if (part->last && request->measured)
        request->measured(request->owner, sum);
    const struct mu_slice_listener listener = {.ready = on_slice, .owner = part};
    model->backward(
        replica->model, request->parameters, rows, request->scale, part->into, &listener);
}

void mu_gradient_compute(
    struct mu_replica *replica, const struct mu_gradient_request *request, struct mu_loss *ret_loss)
{
    const struct mu_batch *batch = request->batch;
    size_t rows_max = (size_t)replica->job->data.batch;
    size_t parts = batch->row_count > 0 ? (batch->row_count + rows_max - 1) / rows_max : 1;
    *ret_loss = (struct mu_loss){0};
    for (size_t i = 0; i < parts; i++) {
        size_t first = i * rows_max;
        size_t left = batch->row_count - first;
        struct mu_batch rows = *batch;
        rows.row_count = left < rows_max ? left : rows_max;
        rows.features += first * batch->feature_count;
        rows.labels += first;
        struct part part = {.replica = replica,
            .request = request,
            .into = i == 0 ? request->gradients : replica->accumulated.data,
            .share = 1.0 / (double)parts,
            .last = i + 1 == parts};
        run_part(&part, &rows, ret_loss);
    }
}
