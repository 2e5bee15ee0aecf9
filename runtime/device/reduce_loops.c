/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/reduce_half.h"
#include "runtime/device/reduce_levels.h"
#include <string.h>

/*
 * Compiled once for each type and instruction set, without contraction: plain C that the compiler
 * turns into vectors. meson.build says which type this copy is of: MU_REDUCE_STORED is what lies in
 * memory; at most one of
 * MU_REDUCE_INTEGER, _FLOAT16 and _BFLOAT16 is 1.
 *
 * The loops take the operation as a constant argument and are always inlined, so each of the nine
 * functions of the table is one loop around one instruction. `omp simd` says that elements do not
 * depend on each other: `to` may be one of the sources, but never overlaps it otherwise.
 */
typedef MU_REDUCE_STORED stored;
#define INLINE inline __attribute__((always_inline))
#define BLOCK_BYTES 4096 /* what stays in the nearest cache between one source and the next */
#define BLOCK (BLOCK_BYTES / sizeof(value))

/* ---- one element ---- */

#if MU_REDUCE_FLOAT16 || MU_REDUCE_BFLOAT16
typedef float value;

static INLINE value load(stored x)
{
    return MU_REDUCE_FLOAT16 ? mu_half_from_float16(x) : mu_half_from_bfloat16(x);
}

static INLINE stored store(value x)
{
    return MU_REDUCE_FLOAT16 ? mu_half_to_float16(x) : mu_half_to_bfloat16(x);
}
#else
typedef stored value;

static INLINE value load(stored x)
{
    return x;
}

static INLINE stored store(value x)
{
    return x;
}
#endif

/* What is left of a sum between one addition and the next. */
static INLINE value rounded(value x)
{
    return load(store(x));
}

/* The result is not rounded yet to what is stored. */
typedef value operation(value a, value b);

#if MU_REDUCE_INTEGER
static INLINE value sum_of(value a, value b)
{
    return (value)((uint64_t)a + (uint64_t)b); /* wraps */
}

static INLINE value min_of(value a, value b)
{
    return a < b ? a : b;
}

static INLINE value max_of(value a, value b)
{
    return a > b ? a : b;
}
#else
static INLINE value sum_of(value a, value b)
{
    return a + b;
}

/* A NaN wins, and is always the same one; of two zeros the negative one is less: so that the result
 * has the same bits whichever of the two is named first. */
static INLINE value min_of(value a, value b)
{
    value less = a < b || (a == b && __builtin_signbit(a)) ? a : b;
    return __builtin_isunordered(a, b) ? (value)__builtin_nan("") : less;
}

static INLINE value max_of(value a, value b)
{
    value more = a > b || (a == b && !__builtin_signbit(a)) ? a : b;
    return __builtin_isunordered(a, b) ? (value)__builtin_nan("") : more;
}
#endif

/* ---- vectors ---- */

static INLINE void two(operation *by, stored *to, const stored *a, const stored *b, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = store(by(load(a[i]), load(b[i])));
}

/* All sources of `count` elements from `first` on, at most BLOCK. */
static INLINE void gather(operation *by, stored *result, const void *const from[], int from_count,
    size_t first, size_t count)
{
    value so_far[BLOCK];
    const stored *source = (const stored *)from[0] + first;
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        so_far[i] = load(source[i]);
    for (int k = 1; k < from_count - 1; k++) {
        source = (const stored *)from[k] + first;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            so_far[i] = rounded(by(so_far[i], load(source[i])));
    }
    source = (const stored *)from[from_count - 1] + first;
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        result[i] = store(by(so_far[i], load(source[i])));
}

static INLINE void many(
    operation *by, stored *to, const void *const from[], int from_count, size_t count)
{
    if (from_count == 1 && to != from[0])
        memcpy(to, from[0], count * sizeof(stored));
    if (from_count == 2)
        two(by, to, from[0], from[1], count);
    if (from_count <= 2)
        return;
    for (size_t first = 0; first < count; first += BLOCK)
        gather(
            by, to + first, from, from_count, first, count - first < BLOCK ? count - first : BLOCK);
}

/* `vector_count` is constant: nothing lies between the loads of an element and its stores. */
#define FUSED_MAX 4
static INLINE void fused(
    operation *by, void *const to[], const void *const from[], int vector_count, size_t count)
{
    stored *results[FUSED_MAX];
    const stored *sources[FUSED_MAX];
    for (int k = 0; k < vector_count; k++) {
        results[k] = to[k];
        sources[k] = from[k];
    }
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        value so_far = load(sources[0][i]);
        for (int k = 1; k < vector_count; k++)
            so_far = by(rounded(so_far), load(sources[k][i]));
        stored result = store(so_far);
        for (int k = 0; k < vector_count; k++)
            results[k][i] = result;
    }
}

static INLINE void blockwise(
    operation *by, void *const to[], const void *const from[], int vector_count, size_t count)
{
    stored result[BLOCK] __attribute__((aligned(64)));
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t some = count - first < BLOCK ? count - first : BLOCK;
        gather(by, result, from, vector_count, first, some);
        for (int k = 0; k < vector_count; k++)
            memcpy((stored *)to[k] + first, result, some * sizeof(stored));
    }
}

static INLINE void many_to_many(
    operation *by, void *const to[], const void *const from[], int vector_count, size_t count)
{
    if (vector_count == 1)
        many(by, to[0], from, 1, count);
    else if (vector_count == 2)
        fused(by, to, from, 2, count);
    else if (vector_count == 3)
        fused(by, to, from, 3, count);
    else if (vector_count == 4)
        fused(by, to, from, 4, count);
    else
        blockwise(by, to, from, vector_count, count);
}

/* ---- the table ---- */

static void sum_two(void *to, const void *a, const void *b, size_t count)
{
    two(sum_of, to, a, b, count);
}

static void min_two(void *to, const void *a, const void *b, size_t count)
{
    two(min_of, to, a, b, count);
}

static void max_two(void *to, const void *a, const void *b, size_t count)
{
    two(max_of, to, a, b, count);
}

static void sum_many(void *to, const void *const from[], int from_count, size_t count)
{
    many(sum_of, to, from, from_count, count);
}

static void min_many(void *to, const void *const from[], int from_count, size_t count)
{
    many(min_of, to, from, from_count, count);
}

static void max_many(void *to, const void *const from[], int from_count, size_t count)
{
    many(max_of, to, from, from_count, count);
}

static void sum_many_to_many(
    void *const to[], const void *const from[], int vector_count, size_t count)
{
    many_to_many(sum_of, to, from, vector_count, count);
}

static void min_many_to_many(
    void *const to[], const void *const from[], int vector_count, size_t count)
{
    many_to_many(min_of, to, from, vector_count, count);
}

static void max_many_to_many(
    void *const to[], const void *const from[], int vector_count, size_t count)
{
    many_to_many(max_of, to, from, vector_count, count);
}

static void divide(void *x, int by, size_t count)
{
    stored *to = x;
    value divisor = (value)by;
#if MU_REDUCE_INTEGER
    if (divisor != by) { /* more ranks than the type can count: less than one each */
        memset(x, 0, count * sizeof(stored));
        return;
    }
#endif
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = store(load(to[i]) / divisor);
}

#if MU_REDUCE_FLOAT16 || MU_REDUCE_BFLOAT16
static void narrow(uint16_t *to, const float *from, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = store(from[i]);
}

static void widen(float *to, const uint16_t *from, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] = load(from[i]);
}

static void add_half(float *to, const uint16_t *from, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        to[i] += load(from[i]);
}
#endif

const struct mu_reduce_table MU_REDUCE_TABLE = {
    .sum = {sum_two, sum_many, sum_many_to_many},
    .min = {min_two, min_many, min_many_to_many},
    .max = {max_two, max_many, max_many_to_many},
    .divide = divide,
#if MU_REDUCE_FLOAT16 || MU_REDUCE_BFLOAT16
    .narrow = narrow,
    .widen = widen,
    .add_half = add_half,
#endif
};
