/* SPDX-License-Identifier: Apache-2.0 */
#include "../support/test.h"

#include "runtime/base/random.h"
#include "runtime/base/status.h"
#include "runtime/device/reduce_levels.h"
#include <math.h>

/*
 * Every type, reduction and instruction set against one element at a time in plain C: all bits
 * equal. Values are random bits, so that infinities, subnormals and NaN occur; of a NaN it only
 * matters that it is one.
 */
#define COUNT_MAX 2100 /* more than a block of any type but the widest: those have two */
#define RANKS_MAX 5
static const size_t element_bytes[MU_DTYPE_COUNT] = {4, 8, 2, 2, 4, 8, 1};
static const size_t counts[] = {0, 1, 3, 15, 16, 17, 100, 1023, 1024, 1025, COUNT_MAX};

union element {
    float f32;
    double f64;
    uint16_t half;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
};

/* ---- the reference ---- */

static double half_value(int exponent_bits, uint16_t half)
{
    int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = half >> fraction_bits & ((1 << exponent_bits) - 1);
    int fraction = half & ((1 << fraction_bits) - 1);
    double sign = half & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static int exponent_bits(enum mu_dtype dtype)
{
    return dtype == MU_FLOAT16 ? 5 : 8;
}

/* The nearest half, by looking at the two around it; of two as near, the even one. */
static uint16_t nearest_half(enum mu_dtype dtype, float value)
{
    int bits = exponent_bits(dtype), fraction_bits = 15 - bits;
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    uint16_t infinite = (uint16_t)(((1 << bits) - 1) << fraction_bits);
    double size = fabs((double)value);
    if (isnan(value))
        return infinite | 1;
    uint16_t low = 0, high = infinite; /* low <= size < high */
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (half_value(bits, middle) <= size)
            low = middle;
        else
            high = middle;
    }
    /* Infinity rounds as if it were the next number after the last. */
    double above = high == infinite ? 2 * half_value(bits, low) - half_value(bits, low - 1)
                                    : half_value(bits, high);
    double down = size - half_value(bits, low), up = above - size;
    bool takes_high = down > up || (down == up && (low & 1));
    return sign | (isinf(size) ? infinite : takes_high ? high : low);
}

static double number(enum mu_dtype dtype, union element x)
{
    switch (dtype) {
    case MU_FLOAT32:
        return (double)x.f32;
    case MU_FLOAT64:
        return x.f64;
    default:
        return half_value(exponent_bits(dtype), x.half);
    }
}

static int64_t whole(enum mu_dtype dtype, union element x)
{
    return dtype == MU_INT32 ? x.i32 : dtype == MU_INT64 ? x.i64 : x.u8;
}

static bool is_integer(enum mu_dtype dtype)
{
    return dtype == MU_INT32 || dtype == MU_INT64 || dtype == MU_UINT8;
}

static union element sum_of(enum mu_dtype dtype, union element a, union element b)
{
    union element x = {0};
    switch (dtype) {
    case MU_FLOAT32:
        x.f32 = a.f32 + b.f32;
        break;
    case MU_FLOAT64:
        x.f64 = a.f64 + b.f64;
        break;
    case MU_INT32:
        x.i32 = (int32_t)((uint32_t)a.i32 + (uint32_t)b.i32);
        break;
    case MU_INT64:
        x.i64 = (int64_t)((uint64_t)a.i64 + (uint64_t)b.i64);
        break;
    case MU_UINT8:
        x.u8 = (uint8_t)(a.u8 + b.u8);
        break;
    default:
        x.half = nearest_half(dtype, (float)number(dtype, a) + (float)number(dtype, b));
    }
    return x;
}

static bool less(enum mu_dtype dtype, union element a, union element b)
{
    if (is_integer(dtype))
        return whole(dtype, a) < whole(dtype, b);
    double x = number(dtype, a), y = number(dtype, b);
    return x < y || (x == y && signbit(x) && !signbit(y));
}

static union element reduced(
    enum mu_dtype dtype, enum mu_reduction reduction, union element a, union element b)
{
    if (reduction == MU_SUM)
        return sum_of(dtype, a, b);
    if (!is_integer(dtype) && isnan(number(dtype, a)))
        return a;
    if (!is_integer(dtype) && isnan(number(dtype, b)))
        return b;
    return less(dtype, a, b) == (reduction == MU_MIN) ? a : b;
}

static union element at(enum mu_dtype dtype, const void *vector, size_t index)
{
    union element x = {0};
    memcpy(&x, (const char *)vector + index * element_bytes[dtype], element_bytes[dtype]);
    return x;
}

static bool same(enum mu_dtype dtype, union element a, union element b)
{
    if (!is_integer(dtype) && isnan(number(dtype, a)))
        return isnan(number(dtype, b));
    return memcmp(&a, &b, element_bytes[dtype]) == 0;
}

/* ---- the cases ---- */

static _Alignas(64) uint8_t given[RANKS_MAX][COUNT_MAX * 8 + 64],
    given_again[RANKS_MAX][COUNT_MAX * 8 + 64];

/* Random bits, half of the words of a size that is added to something (not lost, not infinite). */
static void fill(enum mu_dtype dtype)
{
    struct mu_random random;
    mu_random_init(&random, 7);
    for (int r = 0; r < RANKS_MAX; r++)
        for (size_t i = 0; i < COUNT_MAX; i++) {
            union element x = {.i64 = (int64_t)mu_random_next(&random)};
            if (i % 2 && dtype == MU_FLOAT32)
                x.f32 = (float)mu_random_unit(&random) - 0.5F;
            if (i % 2 && dtype == MU_FLOAT64)
                x.f64 = mu_random_unit(&random) - 0.5;
            if (i % 2 && (dtype == MU_FLOAT16 || dtype == MU_BFLOAT16))
                x.half = nearest_half(dtype, (float)mu_random_unit(&random) - 0.5F);
            memcpy(given[r] + i * element_bytes[dtype], &x, element_bytes[dtype]);
        }
    memcpy(given_again, given, sizeof(given));
}

static void check(
    enum mu_dtype dtype, enum mu_reduction reduction, int ranks, const void *got, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        union element expected = at(dtype, given_again[0], i);
        for (int r = 1; r < ranks; r++)
            expected = reduced(dtype, reduction, expected, at(dtype, given_again[r], i));
        union element x = at(dtype, got, i);
        if (!same(dtype, expected, x))
            fail_msg("dtype %d reduction %d ranks %d element %zu: %llx, not %llx", (int)dtype,
                (int)reduction, ranks, i, (unsigned long long)x.i64,
                (unsigned long long)expected.i64);
    }
}

static const struct mu_reducer *of(const struct mu_reduce_table *table, enum mu_reduction reduction)
{
    return reduction == MU_SUM ? &table->sum : reduction == MU_MIN ? &table->min : &table->max;
}

/* `to` is the first, the second, or neither. */
static void check_two(
    const struct mu_reduce_table *table, enum mu_dtype dtype, enum mu_reduction reduction)
{
    static _Alignas(64) uint8_t apart[COUNT_MAX * 8];
    void *const to[] = {apart, given[0], given[1]};
    for (size_t c = 0; c < MU_COUNT_OF(counts); c++)
        for (size_t k = 0; k < MU_COUNT_OF(to); k++) {
            memcpy(given, given_again, sizeof(given));
            of(table, reduction)->two(to[k], given[0], given[1], counts[c]);
            check(dtype, reduction, 2, to[k], counts[c]);
        }
}

static void check_many(
    const struct mu_reduce_table *table, enum mu_dtype dtype, enum mu_reduction reduction)
{
    static _Alignas(64) uint8_t apart[COUNT_MAX * 8];
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (int k = -1; k < ranks; k++) {
            const void *from[RANKS_MAX];
            memcpy(given, given_again, sizeof(given));
            for (int r = 0; r < ranks; r++)
                from[r] = given[r];
            void *to = k < 0 ? apart : given[k];
            of(table, reduction)->many(to, from, ranks, COUNT_MAX);
            check(dtype, reduction, ranks, to, COUNT_MAX);
        }
}

/* In place on all, from an odd element on, nothing after the end is touched. */
static void check_all(
    const struct mu_reduce_table *table, enum mu_dtype dtype, enum mu_reduction reduction)
{
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (size_t c = 0; c < MU_COUNT_OF(counts); c++) {
            void *to[RANKS_MAX];
            const void *from[RANKS_MAX];
            size_t bytes = element_bytes[dtype];
            for (int r = 0; r < ranks; r++) {
                from[r] = to[r] = given[r] + bytes;
                memcpy(to[r], given_again[r], COUNT_MAX * bytes);
                memset(given[r] + (counts[c] + 1) * bytes, 0x5a, 8);
            }
            of(table, reduction)->many_to_many(to, from, ranks, counts[c]);
            for (int r = 0; r < ranks; r++) {
                check(dtype, reduction, ranks, to[r], counts[c]);
                assert_int_equal(given[r][(counts[c] + 1) * bytes], 0x5a);
            }
        }
}

static void every_reduction_is_as_one_element_at_a_time(void **state)
{
    (void)state;
    static const enum mu_reduction reductions[] = {MU_SUM, MU_MIN, MU_MAX};
    for (int level = 0; mu_kernels_at(level); level++)
        for (int dtype = 0; dtype < MU_DTYPE_COUNT; dtype++) {
            const struct mu_reduce_table *table = mu_reduce_table_at(level, (enum mu_dtype)dtype);
            fill((enum mu_dtype)dtype);
            for (size_t k = 0; k < MU_COUNT_OF(reductions); k++) {
                check_two(table, (enum mu_dtype)dtype, reductions[k]);
                check_many(table, (enum mu_dtype)dtype, reductions[k]);
                check_all(table, (enum mu_dtype)dtype, reductions[k]);
            }
        }
}

static void integers_wrap(void **state)
{
    (void)state;
    int32_t a = INT32_MAX, one = 1;
    int64_t b = INT64_MIN, minus = -1;
    mu_reducer(MU_INT32, MU_SUM)->two(&a, &a, &one, 1);
    mu_reducer(MU_INT64, MU_MEAN)->two(&b, &b, &minus, 1);
    assert_int_equal(a, INT32_MIN);
    assert_true(b == INT64_MAX);
}

/* Which of two is named first does not show in a bit: what ranks reduce in different orders is
 * equal on all. */
static void minimum_and_maximum_do_not_know_who_came_first(void **state)
{
    (void)state;
    for (int level = 0; mu_kernels_at(level); level++) {
        const struct mu_reduce_table *table = mu_reduce_table_at(level, MU_FLOAT32);
        uint32_t odd[] = {0, 0x80000000, 0x7fc00001, 0xffc00000, 0x7f800000, 0x3f800000};
        for (size_t i = 0; i < MU_COUNT_OF(odd); i++)
            for (size_t j = 0; j < MU_COUNT_OF(odd); j++) {
                uint32_t one, other;
                table->min.two(&one, &odd[i], &odd[j], 1);
                table->min.two(&other, &odd[j], &odd[i], 1);
                assert_int_equal(one, other);
                table->max.two(&one, &odd[i], &odd[j], 1);
                table->max.two(&other, &odd[j], &odd[i], 1);
                assert_int_equal(one, other);
            }
    }
}

static void check_divide(const struct mu_reduce_table *table, enum mu_dtype dtype, int by)
{
    fill(dtype);
    table->divide(given, by, COUNT_MAX);
    for (size_t i = 0; i < COUNT_MAX; i++) {
        union element x = at(dtype, given_again, i), got = at(dtype, given, i);
        if (is_integer(dtype)) {
            assert_true(whole(dtype, got) == whole(dtype, x) / by);
            continue;
        }
        if (dtype == MU_FLOAT32)
            x.f32 /= (float)by;
        else if (dtype == MU_FLOAT64)
            x.f64 /= by;
        else
            x.half = nearest_half(dtype, (float)number(dtype, x) / (float)by);
        assert_true(same(dtype, x, got));
    }
}

static void a_mean_is_divided_once_and_integers_towards_zero(void **state)
{
    (void)state;
    for (int level = 0; mu_kernels_at(level); level++)
        for (int dtype = 0; dtype < MU_DTYPE_COUNT; dtype++)
            for (int by = 1; by < 400; by += 133)
                check_divide(
                    mu_reduce_table_at(level, (enum mu_dtype)dtype), (enum mu_dtype)dtype, by);
}

static void every_half_widens_to_its_value_and_narrows_to_itself(void **state)
{
    (void)state;
    static uint16_t halves[1 << 16], back[1 << 16];
    static float wide[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        halves[i] = (uint16_t)i;
    for (int level = 0; mu_kernels_at(level); level++)
        for (enum mu_dtype dtype = MU_FLOAT16; dtype <= MU_BFLOAT16; dtype++) {
            const struct mu_reduce_table *table = mu_reduce_table_at(level, dtype);
            table->widen(wide, halves, 1 << 16);
            table->narrow(back, wide, 1 << 16);
            for (int i = 0; i < 1 << 16; i++) {
                double value = half_value(exponent_bits(dtype), (uint16_t)i);
                if (isnan(value)) {
                    assert_true(isnan(wide[i]));
                    assert_true(isnan(half_value(exponent_bits(dtype), back[i])));
                } else {
                    assert_true((double)wide[i] == value);
                    assert_int_equal(back[i], i);
                }
            }
        }
}

/* The float just below, at and just above the middle between each half and the next. */
static void narrowing_goes_to_the_nearest_and_of_two_to_the_even(void **state)
{
    (void)state;
    for (int level = 0; mu_kernels_at(level); level++)
        for (enum mu_dtype dtype = MU_FLOAT16; dtype <= MU_BFLOAT16; dtype++) {
            int bits = exponent_bits(dtype), infinite = ((1 << bits) - 1) << (15 - bits);
            for (int i = 0; i < infinite - 1; i++) {
                double middle =
                    (half_value(bits, (uint16_t)i) + half_value(bits, (uint16_t)(i + 1))) / 2;
                float around[] = {nextafterf((float)middle, 0), (float)middle,
                    nextafterf((float)middle, INFINITY), -(float)middle};
                uint16_t got[MU_COUNT_OF(around)];
                mu_reduce_table_at(level, dtype)->narrow(got, around, MU_COUNT_OF(around));
                for (size_t k = 0; k < MU_COUNT_OF(around); k++)
                    assert_int_equal(got[k], nearest_half(dtype, around[k]));
            }
            float large[] = {65519.996F, 65520, 3.3895314e38F, 3.3961775e38F, 3.4028235e38F};
            uint16_t got[MU_COUNT_OF(large)];
            mu_reduce_table_at(level, dtype)->narrow(got, large, MU_COUNT_OF(large));
            for (size_t k = 0; k < MU_COUNT_OF(large); k++)
                assert_int_equal(got[k], nearest_half(dtype, large[k]));
        }
}

static void halves_are_added_to_floats_in_float(void **state)
{
    (void)state;
    fill(MU_FLOAT16);
    for (int level = 0; mu_kernels_at(level); level++)
        for (enum mu_dtype dtype = MU_FLOAT16; dtype <= MU_BFLOAT16; dtype++) {
            static float sums[COUNT_MAX];
            uint16_t halves[COUNT_MAX];
            memcpy(halves, given_again, sizeof(halves));
            for (size_t i = 0; i < COUNT_MAX; i++)
                sums[i] = 0.1F * (float)i;
            mu_reduce_table_at(level, dtype)->add_half(sums, halves, COUNT_MAX);
            for (size_t i = 0; i < COUNT_MAX; i++) {
                float expected =
                    0.1F * (float)i + (float)half_value(exponent_bits(dtype), halves[i]);
                assert_true(sums[i] == expected || (isnan(sums[i]) && isnan(expected)));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reduction_is_as_one_element_at_a_time),
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(minimum_and_maximum_do_not_know_who_came_first),
        cmocka_unit_test(a_mean_is_divided_once_and_integers_towards_zero),
        cmocka_unit_test(every_half_widens_to_its_value_and_narrows_to_itself),
        cmocka_unit_test(narrowing_goes_to_the_nearest_and_of_two_to_the_even),
        cmocka_unit_test(halves_are_added_to_floats_in_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
