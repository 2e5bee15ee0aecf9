/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "numbers.h"
#include "runtime/device/cpu.h"
#include "runtime/device/cuda.h"
#include <math.h>

/* Conformance: every device, and "cpu" with every instruction set, against "reference" over a table
 * of cases, with a tolerance. */
#define FLOATS_MAX (1 << 20)

struct bench {
    struct mu_test_log log;
    struct mu_device *reference;
    float *a, *b, *c, *expected, *got;
};

static struct bench bench;

static int set_up(void **state)
{
    (void)state;
    mu_test_log_init(&bench.log);
    assert_ok(mu_reference_create(&bench.log.log, &bench.reference));
    float **arrays[] = {&bench.a, &bench.b, &bench.c, &bench.expected, &bench.got};
    for (size_t i = 0; i < MU_COUNT_OF(arrays); i++) {
        *arrays[i] = aligned_alloc(64, FLOATS_MAX * sizeof(float));
        assert_non_null(*arrays[i]);
        numbers_fill(*arrays[i], FLOATS_MAX, i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mu_device_destroy(bench.reference);
    free(bench.a);
    free(bench.b);
    free(bench.c);
    free(bench.expected);
    free(bench.got);
    return 0;
}

/* The devices of the registry, then "cpu" at every level; NULL after the last. */
static struct mu_device *device_at(int index)
{
    struct mu_device *device = NULL;
    int count = 0;
    for (; mu_device_names[count]; count++)
        if (count == index) {
            assert_ok(mu_device_create(mu_device_names[index], &bench.log.log, &device));
            return device;
        }
    const struct mu_kernels *kernels = mu_kernels_at(index - count);
    if (kernels)
        assert_ok(mu_cpu_create(kernels, &bench.log.log, &device));
    return device;
}

static void assert_near(const float *got, const float *expected, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)expected[i]);
        if (!(error <= tolerance * (1 + fabs((double)expected[i]))))
            fail_msg("element %zu is %g, not %g", i, (double)got[i], (double)expected[i]);
    }
}

struct shape {
    size_t m, n, k;
};
static const struct shape shapes[] = {{1, 1, 1}, {1, 10, 3}, {7, 16, 5}, {8, 48, 64}, {9, 49, 65},
    {16, 32, 0}, {13, 10, 300}, {64, 10, 512}, {10, 64, 17}, {129, 33, 31}, {5, 800, 260},
    {64, 128, 257}, {140, 100, 90}, {3, 47, 7}, {33, 64, 16}};

static void check_product(struct mu_device *device, struct mu_product product)
{
    size_t rows = product.m;
    size_t stride = product.c_stride ? product.c_stride : product.n;
    size_t watched = rows * stride + 64; /* what lies behind must stay */
    memcpy(bench.expected, bench.c, watched * sizeof(float));
    memcpy(bench.got, bench.c, watched * sizeof(float));
    product.c = bench.expected;
    bench.reference->ops->gemm(bench.reference, &product);
    product.c = bench.got;
    device->ops->gemm(device, &product);
    double tolerance = 1e-6 * (1 + sqrt((double)product.k));
    assert_near(bench.got, bench.expected, watched, tolerance);
}

static void gemm_agrees_with_the_reference(void **state)
{
    (void)state;
    struct mu_device *device;
    for (int index = 0; (device = device_at(index)); index++) {
        for (size_t i = 0; i < MU_COUNT_OF(shapes); i++)
            for (int variant = 0; variant < 16; variant++) {
                struct mu_product product = {.transpose_a = variant & 1,
                    .transpose_b = (variant & 2) != 0,
                    .m = shapes[i].m,
                    .n = shapes[i].n,
                    .k = shapes[i].k,
                    .alpha = variant & 4 ? 0.5F : 1,
                    .beta = variant & 8 ? 1.5F : 0,
                    .a = bench.a,
                    .b = bench.b};
                check_product(device, product);
            }
        mu_device_destroy(device);
    }
}

static void gemm_follows_strides_and_writes_nothing_between_rows(void **state)
{
    (void)state;
    struct mu_device *device;
    for (int index = 0; (device = device_at(index)); index++) {
        for (size_t i = 0; i < MU_COUNT_OF(shapes); i++)
            for (int variant = 0; variant < 4; variant++) {
                struct mu_product product = {.transpose_a = variant & 1,
                    .transpose_b = (variant & 2) != 0,
                    .m = shapes[i].m,
                    .n = shapes[i].n,
                    .k = shapes[i].k,
                    .alpha = 1,
                    .a = bench.a + 3,
                    .b = bench.b + 5,
                    .a_stride = 310,
                    .b_stride = 810,
                    .c_stride = shapes[i].n + 9};
                check_product(device, product);
            }
        mu_device_destroy(device);
    }
}

static void gemm_with_beta_zero_does_not_read_the_result(void **state)
{
    (void)state;
    struct mu_device *device;
    for (int index = 0; (device = device_at(index)); index++) {
        float a[9 * 4] = {1}, b[4 * 50] = {2}, c[9 * 50];
        for (size_t i = 0; i < MU_COUNT_OF(c); i++)
            c[i] = NAN;
        struct mu_product product = {.m = 9, .n = 50, .k = 4, .alpha = 1, .a = a, .b = b, .c = c};
        device->ops->gemm(device, &product);
        for (size_t i = 0; i < MU_COUNT_OF(c); i++)
            assert_true(c[i] == (i == 0 ? 2 : 0));
        mu_device_destroy(device);
    }
}

static void a_row_of_gemm_does_not_depend_on_the_other_rows(void **state)
{
    (void)state;
    struct mu_device *device;
    enum { M = 200, N = 64, K = 300 };
    for (int index = 0; (device = device_at(index)); index++) {
        struct mu_product product = {
            .m = M, .n = N, .k = K, .alpha = 1, .a = bench.a, .b = bench.b, .c = bench.expected};
        device->ops->gemm(device, &product);
        static const size_t cuts[] = {0, 1, 9, 77, M};
        for (size_t i = 1; i < MU_COUNT_OF(cuts); i++) {
            product.m = cuts[i] - cuts[i - 1];
            product.a = bench.a + cuts[i - 1] * K;
            product.c = bench.got + cuts[i - 1] * N;
            device->ops->gemm(device, &product);
        }
        assert_memory_equal(bench.got, bench.expected, M * N * sizeof(float));
        mu_device_destroy(device);
    }
}

static void element_wise_operators_agree_with_the_reference(void **state)
{
    (void)state;
    static const struct shape cases[] = {{1, 1, 0}, {3, 10, 0}, {64, 512, 0}, {5, 33, 0}};
    struct mu_device *device, *reference = bench.reference;
    for (int index = 0; (device = device_at(index)); index++) {
        for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
            size_t rows = cases[i].m, columns = cases[i].n, count = rows * columns;
            for (int relu = 0; relu < 2; relu++) {
                memcpy(bench.expected, bench.c, count * sizeof(float));
                memcpy(bench.got, bench.c, count * sizeof(float));
                reference->ops->bias_relu(reference, rows, columns, bench.a, relu, bench.expected);
                device->ops->bias_relu(device, rows, columns, bench.a, relu, bench.got);
                assert_near(bench.got, bench.expected, count, 0);
            }
            reference->ops->relu_backward(reference, count, bench.a, bench.expected);
            device->ops->relu_backward(device, count, bench.a, bench.got);
            assert_near(bench.got, bench.expected, count, 0);
            reference->ops->column_sums(reference, rows, columns, bench.a, bench.expected);
            device->ops->column_sums(device, rows, columns, bench.a, bench.got);
            assert_near(bench.got, bench.expected, columns, 1e-5);
        }
        mu_device_destroy(device);
    }
}

static void softmax_loss_agrees_with_the_reference(void **state)
{
    (void)state;
    enum { ROWS = 40, CLASSES = 11 };
    int32_t labels[ROWS];
    for (int i = 0; i < ROWS; i++)
        labels[i] = i * 7 % CLASSES;
    struct mu_device *device;
    for (int index = 0; (device = device_at(index)); index++) {
        for (float size = 0.1F; size < 2000; size *= 100) { /* the largest would overflow */
            for (int i = 0; i < ROWS * CLASSES; i++)
                bench.got[i] = bench.expected[i] = size * bench.a[i];
            size_t correct = 1000, expected_correct = 0;
            double loss = device->ops->softmax_loss(
                device, ROWS, CLASSES, labels, 0.25F, bench.got, &correct);
            double expected = bench.reference->ops->softmax_loss(
                bench.reference, ROWS, CLASSES, labels, 0.25F, bench.expected, &expected_correct);
            assert_true(fabs(loss - expected) <= 1e-5 * (1 + expected));
            assert_int_equal(correct, expected_correct);
            assert_near(bench.got, bench.expected, ROWS * CLASSES, 1e-5);
        }
        mu_device_destroy(device);
    }
}

static void softmax_of_two_equal_logits_is_a_half_each(void **state)
{
    (void)state;
    struct mu_device *device;
    for (int index = 0; (device = device_at(index)); index++) {
        float logits[] = {3, 3};
        size_t correct = 9;
        double loss =
            device->ops->softmax_loss(device, 1, 2, (const int32_t[]){1}, 2, logits, &correct);
        assert_true(fabs(loss - log(2)) < 1e-6);
        assert_int_equal(correct, 0); /* of equals the first is the largest */
        assert_true(fabsf(logits[0] - 1) < 1e-6F && fabsf(logits[1] + 1) < 1e-6F);
        mu_device_destroy(device);
    }
}

static void an_unknown_device_names_those_there_are(void **state)
{
    (void)state;
    struct mu_device *device = NULL;
    assert_int_equal(mu_device_create("abacus", &bench.log.log, &device), MU_UNAVAILABLE);
    assert_null(device);
    assert_said(&bench.log, "abacus");
    assert_said(&bench.log, "cpu, reference");
}

static void the_doctor_reads_one_line_about_gpus(void **state)
{
    (void)state;
    char text[256] = "";
    int count = mu_cuda_device_count(text, sizeof(text));
    assert_true(count >= 0);
    assert_true(strlen(text) > 0 && !strchr(text, '\n'));
    assert_int_equal(count == 0, strncmp(text, "none", 4) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_agrees_with_the_reference),
        cmocka_unit_test(gemm_follows_strides_and_writes_nothing_between_rows),
        cmocka_unit_test(gemm_with_beta_zero_does_not_read_the_result),
        cmocka_unit_test(a_row_of_gemm_does_not_depend_on_the_other_rows),
        cmocka_unit_test(element_wise_operators_agree_with_the_reference),
        cmocka_unit_test(softmax_loss_agrees_with_the_reference),
        cmocka_unit_test(softmax_of_two_equal_logits_is_a_half_each),
        cmocka_unit_test(an_unknown_device_names_those_there_are),
        cmocka_unit_test(the_doctor_reads_one_line_about_gpus),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
