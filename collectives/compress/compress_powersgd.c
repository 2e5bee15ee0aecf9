/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include "collectives/compress/compress_basis.h"
#include "runtime/base/random.h"
#include "runtime/device/gemm.h"
#include "runtime/device/kernels.h"
#include <stdlib.h>
#include <string.h>

/*
 * PowerSGD (Vogels 2019): one step of a power iteration a training step, begun where the last one
 * ended. Of each matrix M = gradient + residual (rows, columns), with r = `rank`:
 *
 *     P (rows, r) = M Q           all-reduced, then made orthonormal
 *     Q (columns, r) = M^T P      of this replica
 *     residual = M - P Q^T        of this replica: what it has in the directions of P is done with,
 *                                 also where the others have something else
 *     Q all-reduced               kept for the next step
 *     gradient = P Q^T
 *
 * All P of a bucket travel as one vector, with everything that is no matrix or would not become
 * half as long (vectors, what lies between views) as it is; then all Q as another.
 *
 * A bucket should not cut a matrix. Where it does, the whole rows in it are a matrix of their own,
 * rows that are cut go as they are, and the pieces share their view's Q: as good as before if the
 * rows of a layer are alike, and the residual sees to the rest.
 *
 * Replicas are bit-equal as far as gemm is: on all processors with fused multiply-add.
 */
struct options {
    int64_t rank;
};

/* Rows of a view that lie in a bucket. */
struct matrix {
    struct mu_span span;
    size_t rows, columns;
    int view;
    float *p, *q; /* (rows, rank), (columns, rank): of this step, in the workspace */
};

struct powersgd {
    struct mu_layout layout;
    size_t columns[MU_VIEWS_MAX];  /* of the view as a matrix; 0: it is none */
    size_t q_offset[MU_VIEWS_MAX]; /* of its Q in `q` */
    size_t rank;
    uint64_t seed;
    float *residual;
    float *q; /* the shared state */
    size_t q_count;
    float *work;   /* of one bucket: every P, what goes as it is, every Q */
    float *packed; /* of gemm */
    struct matrix matrix[MU_VIEWS_MAX];
    int matrix_count;
    uint64_t sent_bytes;
};

/* ---- which parts are matrices ---- */

/* Half as long, at least: the reference program's rule. */
static bool pays(size_t rows, size_t columns, size_t rank)
{
    return 2 * (rows + columns) * rank <= rows * columns;
}

/* A tensor is cut into rows and columns where the two are the fewest: (out, in x height x width)
 * and (height x width x in, out) are both seen as they should be. 0: it does not pay. */
static size_t columns_of(const struct mu_view *view, size_t rank)
{
    size_t rows = 1, best = 0, least = SIZE_MAX;
    for (int axis = 0; axis + 1 < view->rank && view->span.count > 0; axis++) {
        rows *= (size_t)view->shape[axis];
        size_t columns = view->span.count / rows;
        if (rows + columns < least) {
            least = rows + columns;
            best = columns;
        }
    }
    return best > 0 && pays(view->span.count / best, best, rank) ? best : 0;
}

static bool matrix_in(
    const struct powersgd *powersgd, int view, struct mu_span span, struct matrix *ret_matrix)
{
    size_t columns = powersgd->columns[view];
    struct mu_span piece = mu_compress_piece(&powersgd->layout, view, span);
    if (columns == 0 || piece.count == 0)
        return false;
    size_t begin = piece.first - powersgd->layout.view[view].span.first;
    size_t row = (begin + columns - 1) / columns, end = (begin + piece.count) / columns;
    if (end <= row || !pays(end - row, columns, powersgd->rank))
        return false;
    *ret_matrix = (struct matrix){.rows = end - row, .columns = columns, .view = view};
    ret_matrix->span.first = piece.first - begin + row * columns;
    ret_matrix->span.count = ret_matrix->rows * columns;
    return true;
}

static void find_matrices(struct powersgd *powersgd, struct mu_span span)
{
    powersgd->matrix_count = 0;
    for (int view = 0; view < powersgd->layout.view_count; view++)
        if (matrix_in(powersgd, view, span, &powersgd->matrix[powersgd->matrix_count]))
            powersgd->matrix_count++;
}

/* ---- the workspace: never longer than the bucket, because compressing pays ---- */

static float *place_p(struct powersgd *powersgd)
{
    float *at = powersgd->work;
    for (int m = 0; m < powersgd->matrix_count; m++) {
        powersgd->matrix[m].p = at;
        at += powersgd->matrix[m].rows * powersgd->rank;
    }
    return at;
}

static float *place_q(struct powersgd *powersgd, float *at)
{
    for (int m = 0; m < powersgd->matrix_count; m++) {
        powersgd->matrix[m].q = at;
        at += powersgd->matrix[m].columns * powersgd->rank;
    }
    return at;
}

static float *move(float *data, float *work, size_t count, bool back)
{
    memcpy(back ? data : work, back ? work : data, count * sizeof(*data));
    return work + count;
}

/* Copies what lies between the matrices from `data` to the workspace, or back. Where it ends. */
static float *move_rest(
    const struct powersgd *powersgd, struct mu_span span, float *data, float *work, bool back)
{
    size_t at = 0;
    for (int m = 0; m < powersgd->matrix_count; m++) {
        const struct matrix *matrix = &powersgd->matrix[m];
        size_t begin = matrix->span.first - span.first;
        work = move(data + at, work, begin - at, back);
        at = begin + matrix->span.count;
    }
    return move(data + at, work, span.count - at, back);
}

/* ---- arithmetic ---- */

static float *q_of(const struct powersgd *powersgd, const struct matrix *matrix)
{
    return powersgd->q + powersgd->q_offset[matrix->view];
}

static void draw_column(
    const struct powersgd *powersgd, const struct matrix *matrix, size_t column, int64_t step)
{
    uint64_t seed = mu_random_mix(powersgd->seed, (uint64_t)step);
    seed = mu_random_mix(seed, powersgd->q_offset[matrix->view] + column);
    for (size_t i = 0; i < matrix->columns; i++) {
        int64_t drawn = (int64_t)(mu_random_mix(seed, i) >> 40) - (INT64_C(1) << 23);
        q_of(powersgd, matrix)[i * powersgd->rank + column] = (float)drawn * 0x1p-23f;
    }
}

/* Orthonormal, so that its scale is not squared from step to step. A column that says nothing (the
 * first step, a gradient of lower rank, a step that was not finite) is drawn anew. */
static void renew_q(const struct powersgd *powersgd, const struct matrix *matrix, int64_t step)
{
    float *q = q_of(powersgd, matrix);
    mu_compress_scrub(q, matrix->columns * powersgd->rank);
    for (size_t column = 0; column < powersgd->rank; column++)
        if (!mu_compress_basis_column(q, matrix->columns, powersgd->rank, column)) {
            draw_column(powersgd, matrix, column, step);
            (void)mu_compress_basis_column(q, matrix->columns, powersgd->rank, column);
        }
}

static void multiply(const struct powersgd *powersgd, const struct mu_product *product)
{
    mu_gemm(mu_kernels()->gemm, powersgd->packed, product);
}

/* P = M Q */
static void project(const struct powersgd *powersgd, const struct matrix *matrix, const float *m)
{
    multiply(powersgd, &(struct mu_product){.m = matrix->rows,
                           .n = powersgd->rank,
                           .k = matrix->columns,
                           .alpha = 1,
                           .a = m,
                           .b = q_of(powersgd, matrix),
                           .c = matrix->p});
}

/* Q = M^T P */
static void project_back(
    const struct powersgd *powersgd, const struct matrix *matrix, const float *m)
{
    multiply(powersgd, &(struct mu_product){.transpose_a = true,
                           .m = matrix->columns,
                           .n = powersgd->rank,
                           .k = matrix->rows,
                           .alpha = 1,
                           .a = m,
                           .b = matrix->p,
                           .c = matrix->q});
}

/* m = alpha P Q^T + beta m */
static void expand(
    const struct powersgd *powersgd, const struct matrix *matrix, float alpha, float beta, float *m)
{
    multiply(powersgd, &(struct mu_product){.transpose_b = true,
                           .m = matrix->rows,
                           .n = matrix->columns,
                           .k = powersgd->rank,
                           .alpha = alpha,
                           .beta = beta,
                           .a = matrix->p,
                           .b = matrix->q,
                           .c = m});
}

/* ---- a bucket ---- */

static void make_p(struct powersgd *powersgd, struct mu_span span, const float *data, int64_t step)
{
    for (int m = 0; m < powersgd->matrix_count; m++) {
        const struct matrix *matrix = &powersgd->matrix[m];
        renew_q(powersgd, matrix, step);
        project(powersgd, matrix, data + (matrix->span.first - span.first));
    }
}

/* And what this replica's Q leaves out. `data` is the gradient with the residual. */
static void make_q(struct powersgd *powersgd, struct mu_span span, const float *data)
{
    float *residual = powersgd->residual + span.first;
    memset(residual, 0, span.count * sizeof(*residual));
    for (int m = 0; m < powersgd->matrix_count; m++) {
        const struct matrix *matrix = &powersgd->matrix[m];
        size_t offset = matrix->span.first - span.first;
        mu_compress_basis(matrix->p, matrix->rows, powersgd->rank);
        project_back(powersgd, matrix, data + offset);
        memcpy(residual + offset, data + offset, matrix->span.count * sizeof(*data));
        expand(powersgd, matrix, -1, 1, residual + offset);
    }
    mu_compress_scrub(residual, span.count);
}

static void take_sums(struct powersgd *powersgd, struct mu_span span, float *data)
{
    for (int m = 0; m < powersgd->matrix_count; m++) {
        const struct matrix *matrix = &powersgd->matrix[m];
        expand(powersgd, matrix, 1, 0, data + (matrix->span.first - span.first));
        memcpy(q_of(powersgd, matrix), matrix->q,
            matrix->columns * powersgd->rank * sizeof(*matrix->q));
    }
}

static enum mu_status allreduce(void *state, struct mu_group *group, struct mu_span span,
    float *data, int64_t step, int64_t deadline_ns, int *ret_rank)
{
    struct powersgd *powersgd = state;
    struct mu_compress_call call = {group, deadline_ns, ret_rank, &powersgd->sent_bytes};
    mu_kernels()->add(data, powersgd->residual + span.first, span.count);

    find_matrices(powersgd, span);
    float *rest = place_p(powersgd);
    make_p(powersgd, span, data, step);
    float *q = move_rest(powersgd, span, data, rest, false);
    float *end = place_q(powersgd, q);
    MU_TRY(mu_compress_sum(&call, powersgd->work, (size_t)(q - powersgd->work), MU_FLOAT32));
    make_q(powersgd, span, data);
    MU_TRY(mu_compress_sum(&call, q, (size_t)(end - q), MU_FLOAT32));
    take_sums(powersgd, span, data);
    (void)move_rest(powersgd, span, data, rest, true);
    return MU_OK;
}

/* ---- open and close ---- */

static void close(void *state)
{
    struct powersgd *powersgd = state;
    if (!powersgd)
        return;
    free(powersgd->q);
    free(powersgd->work);
    free(powersgd->packed);
    free(powersgd);
}

static float *floats(size_t count)
{
    size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    return aligned_alloc(64, bytes ? bytes : 64);
}

static enum mu_status open(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    struct powersgd *powersgd = calloc(1, sizeof(*powersgd));
    if (!powersgd)
        return MU_NO_MEMORY;
    powersgd->layout = *layout;
    powersgd->rank = (size_t)((const struct options *)options)->rank;
    powersgd->seed = seed;
    powersgd->residual = residual;
    for (int view = 0; view < layout->view_count; view++) {
        powersgd->columns[view] = columns_of(&layout->view[view], powersgd->rank);
        powersgd->q_offset[view] = powersgd->q_count;
        powersgd->q_count += powersgd->columns[view] * powersgd->rank;
    }
    powersgd->q = calloc(powersgd->q_count + 1, sizeof(float));
    powersgd->work = floats(layout->element_count);
    powersgd->packed = floats(MU_GEMM_PACKED_FLOATS);
    if (!powersgd->q || !powersgd->work || !powersgd->packed) {
        close(powersgd);
        return MU_NO_MEMORY;
    }
    *ret_state = powersgd;
    return MU_OK;
}

static float *shared_state(void *state, size_t *ret_count)
{
    struct powersgd *powersgd = state;
    *ret_count = powersgd->q_count;
    return powersgd->q;
}

static uint64_t sent_bytes(const void *state)
{
    const struct powersgd *powersgd = state;
    return powersgd->sent_bytes;
}

static const struct mu_option rows[] = {
    {.name = "rank",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, rank),
        .min = 1,
        .max = 256,
        .fallback = "2",
        .doc = "columns of the two matrices that stand for a gradient's"},
    {.name = NULL},
};

const struct mu_compressor_ops mu_compress_powersgd = {
    .name = "powersgd",
    .doc = "matrices as products of two thin ones, the rest later (Vogels 2019)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .has_residual = true,
    .open = open,
    .allreduce = allreduce,
    .shared_state = shared_state,
    .sent_bytes = sent_bytes,
    .close = close,
};
