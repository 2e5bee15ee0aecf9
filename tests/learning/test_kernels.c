/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "numbers.h"
#include "runtime/device/gemm.h"
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"

/* Conformance: every instruction set that this processor runs against the baseline, bit for bit,
 * at counts around the widths of vectors. */
#define COUNT_MAX 1100
static const size_t counts[] = {0, 1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1024, COUNT_MAX};

static const struct mu_kernels *baseline(void)
{
    const struct mu_kernels *last = NULL;
    for (int i = 0; mu_kernels_at(i); i++)
        last = mu_kernels_at(i);
    assert_string_equal(last->name, "baseline");
    return last;
}

struct vectors {
    float x[COUNT_MAX], y[COUNT_MAX], u[COUNT_MAX], v[COUNT_MAX];
    double sum;
};

static void fill(struct vectors *vectors)
{
    numbers_fill(vectors->x, COUNT_MAX, 1);
    numbers_fill(vectors->y, COUNT_MAX, 2);
    numbers_fill(vectors->u, COUNT_MAX, 3);
    numbers_fill(vectors->v, COUNT_MAX, 4);
    for (size_t i = 0; i < COUNT_MAX; i++)
        vectors->v[i] *= vectors->v[i]; /* Adam's second slot is not negative */
    vectors->sum = 0;
}

static struct mu_optim_step step_of(struct vectors *vectors, size_t count)
{
    return (struct mu_optim_step){.count = count,
        .parameters = vectors->x,
        .gradients = vectors->y,
        .slots = {vectors->u, vectors->v},
        .learning_rate = 0.03F,
        .weight_decay = 0.01F,
        .gradient_scale = 0.7F,
        .step = 3};
}

static void run_add(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    kernels->add(vectors->x, vectors->y, count);
}

static void run_scale(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    kernels->scale(vectors->x, 0.3F, count);
}

static void run_square_sum(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    vectors->sum = kernels->square_sum(vectors->x, count);
}

static void run_from_bytes(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    kernels->from_bytes(vectors->x, (const uint8_t *)vectors->y, count);
}

static void run_bias_relu(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    for (size_t columns = 1; columns <= count && columns <= 50; columns += 7)
        kernels->bias_relu(count / columns, columns, vectors->y, columns % 2 != 0, vectors->x);
}

static void run_relu_backward(
    const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    kernels->relu_backward(count, vectors->y, vectors->x);
}

static void run_column_sums(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    for (size_t columns = 1; columns <= count && columns <= 50; columns += 7)
        kernels->column_sums(count / columns, columns, vectors->x, vectors->u + columns);
}

static void run_sgd(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    kernels->optim->sgd(&step);
}

static void run_momentum(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    kernels->optim->momentum(&step, 0.9F, false);
    kernels->optim->momentum(&step, 0.9F, true);
}

static const struct mu_adam_factors adam_factors = {.beta1 = 0.9F,
    .beta2 = 0.999F,
    .rate = 0.02F,
    .denominator = 3,
    .epsilon = 1e-8F,
    .decay = 0.99F};
static const struct mu_adagrad_factors adagrad_factors = {.initial = 0.1F, .epsilon = 1e-7F};
static const struct mu_ftrl_factors ftrl_factors = {.beta = 1, .l1 = 2, .l2 = 0.5F};

static void run_adam(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    kernels->optim->adam(&step, &adam_factors);
}

static void run_adagrad(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    step.slots[0] = vectors->v;
    kernels->optim->adagrad(&step, &adagrad_factors);
}

static void run_rmsprop(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    const struct mu_rmsprop_factors factors = {.decay = 0.9F, .momentum = 0.5F, .epsilon = 1e-7F};
    step.slots[0] = vectors->v;
    step.slots[1] = vectors->u;
    kernels->optim->rmsprop(&step, &factors);
}

static void run_ftrl(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    kernels->optim->ftrl(&step, &ftrl_factors);
}

static void run_lamb(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    struct mu_optim_step step = step_of(vectors, count);
    vectors->sum = kernels->optim->lamb_averages(&step, &adam_factors);
    kernels->optim->lamb(&step, &adam_factors, 0.3F);
}

/* Rows lie in x: three vectors of Adam and FTRL, two of AdaGrad, whose last must not be negative.
 */
static void run_rows(const struct mu_kernels *kernels, struct vectors *vectors, size_t count)
{
    static const size_t widths[] = {1, 3, 8, 16, 17, 32, 33};
    float *row[COUNT_MAX];
    for (size_t i = 0; i < COUNT_MAX; i++)
        vectors->x[i] = vectors->v[i];
    for (size_t w = 0; w < MU_COUNT_OF(widths); w++) {
        struct mu_optim_rows rows = {.count = count / (3 * widths[w]),
            .width = widths[w],
            .row = row,
            .gradients = vectors->y,
            .learning_rate = 0.03F,
            .weight_decay = 0.01F,
            .gradient_scale = 0.7F};
        for (size_t i = 0; i < rows.count; i++)
            row[i] = vectors->x + i * 3 * widths[w];
        kernels->optim->sgd_rows(&rows);
        kernels->optim->adagrad_rows(&rows, &adagrad_factors);
        kernels->optim->adam_rows(&rows, &adam_factors);
        kernels->optim->ftrl_rows(&rows, &ftrl_factors);
    }
}

static void all_levels_give_the_same_bits(void **state)
{
    (void)state;
    static void (*const runs[])(const struct mu_kernels *, struct vectors *, size_t) = {run_add,
        run_scale, run_square_sum, run_from_bytes, run_bias_relu, run_relu_backward,
        run_column_sums, run_sgd, run_momentum, run_adam, run_adagrad, run_rmsprop, run_ftrl,
        run_lamb, run_rows};
    static struct vectors before, expected, got;
    memset(&before, 0, sizeof(before));
    fill(&before);
    for (size_t run = 0; run < MU_COUNT_OF(runs); run++)
        for (size_t i = 0; i < MU_COUNT_OF(counts); i++) {
            expected = before;
            runs[run](baseline(), &expected, counts[i]);
            if (counts[i] == COUNT_MAX)
                assert_memory_not_equal(&expected, &before, sizeof(before));
            for (int level = 0; mu_kernels_at(level); level++) {
                got = before;
                runs[run](mu_kernels_at(level), &got, counts[i]);
                assert_memory_equal(&got, &expected, sizeof(got));
            }
        }
}

static void bytes_become_parts_of_one(void **state)
{
    (void)state;
    uint8_t bytes[256];
    float x[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    mu_kernels()->from_bytes(x, bytes, 256);
    for (int i = 0; i < 256; i++)
        assert_true(x[i] == (float)i / 255.0F);
}

static void sums_of_squares_are_in_double(void **state)
{
    (void)state;
    float x[] = {4096, 0x1p-12F, 3, 1e30F, 1e30F};
    assert_true(mu_kernels()->square_sum(x, 3) == 16777216.0 + 0x1p-24 + 9.0);
    assert_true(mu_kernels()->square_sum(x + 3, 2) == 2 * ((double)1e30F * (double)1e30F));
}

static const struct mu_gemm_kernel *gemm_named(const char *name)
{
    for (int i = 0; mu_kernels_at(i); i++)
        if (strcmp(mu_kernels_at(i)->name, name) == 0)
            return mu_kernels_at(i)->gemm;
    return NULL;
}

enum { GEMM_M = 70, GEMM_N = 144, GEMM_K = 600 };

struct gemm_rig {
    float a[GEMM_M * GEMM_K], b[GEMM_K * GEMM_N], x[GEMM_M * GEMM_N], y[GEMM_M * GEMM_N];
    _Alignas(64) float packed[MU_GEMM_PACKED_FLOATS];
};

static struct gemm_rig *gemm_rig_open(void)
{
    struct gemm_rig *rig = aligned_alloc(64, sizeof(*rig));
    assert_non_null(rig);
    memset(rig, 0, sizeof(*rig));
    numbers_fill(rig->a, GEMM_M * GEMM_K, 5);
    numbers_fill(rig->b, GEMM_K * GEMM_N, 6);
    return rig;
}

static struct mu_product gemm_product(const struct gemm_rig *rig, size_t m, size_t n)
{
    return (struct mu_product){.m = m, .n = n, .k = GEMM_K, .alpha = 1, .a = rig->a, .b = rig->b};
}

/* The promise that lets machines with AVX2 and AVX-512 train together. */
static void gemm_has_the_same_bits_wherever_multiply_add_is_fused(void **state)
{
    (void)state;
    const struct mu_gemm_kernel *wide = gemm_named("avx512"), *narrow = gemm_named("avx2");
    if (!wide || !narrow)
        skip_saying("this processor has not both");
    struct gemm_rig *rig = gemm_rig_open();
    for (int transposes = 0; transposes < 4; transposes++)
        for (size_t n = 90; n <= GEMM_N; n += 54) {
            struct mu_product product = gemm_product(rig, n == 90 ? GEMM_M : 30, n);
            product.transpose_a = transposes & 1;
            product.transpose_b = (transposes & 2) != 0;
            product.beta = transposes == 3;
            product.c = rig->x;
            mu_gemm(wide, rig->packed, &product);
            product.c = rig->y;
            mu_gemm(narrow, rig->packed, &product);
            assert_memory_equal(rig->x, rig->y, sizeof(rig->x));
        }
    free(rig);
}

/* Few rows times a transposed b are made as the transpose of b * a^T: not for the results. */
static void gemm_has_the_same_bits_for_few_rows_as_for_many(void **state)
{
    (void)state;
    for (int level = 0; mu_kernels_at(level); level++) {
        struct gemm_rig *rig = gemm_rig_open();
        struct mu_product product = gemm_product(rig, GEMM_M, GEMM_N);
        product.transpose_b = true;
        product.alpha = 0.5F;
        product.c = rig->x;
        mu_gemm(mu_kernels_at(level)->gemm, rig->packed, &product);
        product.c = rig->y;
        for (size_t i = 0; i < GEMM_M; i += product.m) {
            product.m = i == 0 ? 1 : i == 1 ? 2 : i == 3 ? 59 : 4;
            product.a = rig->a + i * GEMM_K;
            product.c = rig->y + i * GEMM_N;
            mu_gemm(mu_kernels_at(level)->gemm, rig->packed, &product);
        }
        assert_memory_equal(rig->x, rig->y, sizeof(rig->x));
        free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_levels_give_the_same_bits),
        cmocka_unit_test(bytes_become_parts_of_one),
        cmocka_unit_test(sums_of_squares_are_in_double),
        cmocka_unit_test(gemm_has_the_same_bits_wherever_multiply_add_is_fused),
        cmocka_unit_test(gemm_has_the_same_bits_for_few_rows_as_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
