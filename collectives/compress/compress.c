/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include "runtime/device/kernels.h"
#include <math.h>

enum mu_status mu_compress_sum(
    const struct mu_compress_call *call, float *x, size_t count, enum mu_dtype wire)
{
    uint64_t ranks = (uint64_t)call->group->count;
    if (count == 0)
        return MU_OK;
    struct mu_request request = {.kind = MU_ALLREDUCE,
        .dtype = MU_FLOAT32,
        .wire = wire,
        .reduction = MU_SUM,
        .data = x,
        .count = count};
    *call->sent_bytes += 2 * (ranks - 1) * count * mu_dtype_bytes(wire) / ranks;
    return mu_group_run(call->group, &request, call->deadline_ns, call->ret_rank);
}

enum mu_status mu_compress_gather(
    const struct mu_compress_call *call, void *parts, const size_t counts[])
{
    struct mu_request request = {
        .kind = MU_ALLGATHER, .dtype = MU_INT32, .wire = MU_INT32, .data = parts, .counts = counts};
    for (int r = 0; r < call->group->count; r++)
        request.count += counts[r];
    if (request.count == 0)
        return MU_OK;
    *call->sent_bytes +=
        (uint64_t)(call->group->count - 1) * counts[call->group->rank] * sizeof(uint32_t);
    return mu_group_run(call->group, &request, call->deadline_ns, call->ret_rank);
}

bool mu_compress_scrub(float *x, size_t count)
{
    /* Squares of float32 do not overflow in double. */
    if (isfinite(mu_kernels()->square_sum(x, count)))
        return false;
    for (size_t i = 0; i < count; i++)
        x[i] = isfinite(x[i]) ? x[i] : 0;
    return true;
}

struct mu_span mu_compress_piece(const struct mu_layout *layout, int view, struct mu_span span)
{
    struct mu_span piece = layout->view[view].span;
    size_t end = piece.first + piece.count, span_end = span.first + span.count;
    if (piece.first < span.first)
        piece.first = span.first;
    if (end > span_end)
        end = span_end;
    piece.count = end > piece.first ? end - piece.first : 0;
    return piece;
}

/* Deep Gradient Compression (Lin 2018) begins with 25 % and goes down by quarters. Powers of two,
 * so that all replicas, on whatever machine, come to the same number. */
#define WARMUP_DENSITY 0.25
#define WARMUP_STAGES 4

static size_t part_of(double density, size_t count)
{
    size_t part = (size_t)ceil(density * (double)count);
    return part < count ? part : count;
}

size_t mu_compress_density_count(
    const struct mu_compress_density *density, size_t count, int64_t step)
{
    double now = density->density;
    if (step < density->warmup_steps) {
        int64_t stage = step < 0 ? 0 : step / ((density->warmup_steps - 1) / WARMUP_STAGES + 1);
        now = fmax(now, ldexp(WARMUP_DENSITY, (int)(-2 * stage)));
    }
    return part_of(now, count);
}

size_t mu_compress_density_most(const struct mu_compress_density *density, size_t count)
{
    return part_of(
        density->warmup_steps > 0 ? fmax(density->density, WARMUP_DENSITY) : density->density,
        count);
}

const struct mu_option mu_compress_density_rows[] = {
    {.name = "density",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_compress_density, density),
        .min = 1e-6,
        .max = 1,
        .fallback = "0.01",
        .doc = "share of the elements of a bucket that are sent"},
    {.name = "warmup_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_compress_density, warmup_steps),
        .min = 0,
        .max = 1e12,
        .fallback = "0",
        .doc = "steps in which the density comes down from 25 % in quarters (Lin 2018)"},
    {.name = NULL},
};
