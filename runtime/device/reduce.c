/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/reduce.h"

#include "runtime/base/status.h"
#include "runtime/device/levels.h"
#include "runtime/device/reduce_levels.h"

static const struct level {
    const struct mu_kernels *kernels; /* of the same instruction set */
    const struct mu_reduce_table *table[MU_DTYPE_COUNT];
} levels[] = {
#if defined(__x86_64__)
    {&mu_kernels_avx512,
        {&mu_reduce_float32_avx512, &mu_reduce_float64_avx512, &mu_reduce_float16_avx512,
            &mu_reduce_bfloat16_avx512, &mu_reduce_int32_avx512, &mu_reduce_int64_avx512,
            &mu_reduce_uint8_avx512}},
    {&mu_kernels_avx2, {&mu_reduce_float32_avx2, &mu_reduce_float64_avx2, &mu_reduce_float16_avx2,
                           &mu_reduce_bfloat16_avx2, &mu_reduce_int32_avx2, &mu_reduce_int64_avx2,
                           &mu_reduce_uint8_avx2}},
#endif
    {&mu_kernels_baseline,
        {&mu_reduce_float32_baseline, &mu_reduce_float64_baseline, &mu_reduce_float16_baseline,
            &mu_reduce_bfloat16_baseline, &mu_reduce_int32_baseline, &mu_reduce_int64_baseline,
            &mu_reduce_uint8_baseline}},
};

const struct mu_reduce_table *mu_reduce_table_at(int index, enum mu_dtype dtype)
{
    const struct mu_kernels *kernels = mu_kernels_at(index);
    for (size_t i = 0; i < MU_COUNT_OF(levels); i++)
        if (levels[i].kernels == kernels)
            return levels[i].table[dtype];
    return NULL;
}

static const struct mu_reduce_table *best(enum mu_dtype dtype)
{
    /* Whoever comes first looks; the answer is the same for all. */
    static const struct mu_reduce_table *known[MU_DTYPE_COUNT];
    const struct mu_reduce_table *table = __atomic_load_n(&known[dtype], __ATOMIC_RELAXED);
    if (!table) {
        table = mu_reduce_table_at(0, dtype);
        __atomic_store_n(&known[dtype], table, __ATOMIC_RELAXED);
    }
    return table;
}

const struct mu_reducer *mu_reducer(enum mu_dtype dtype, enum mu_reduction reduction)
{
    const struct mu_reduce_table *table = best(dtype);
    if (reduction == MU_MIN)
        return &table->min;
    return reduction == MU_MAX ? &table->max : &table->sum;
}

void mu_reduce_divide(enum mu_dtype dtype, void *x, int by, size_t count)
{
    best(dtype)->divide(x, by, count);
}

void mu_reduce_narrow(enum mu_dtype half, uint16_t *to, const float *from, size_t count)
{
    best(half)->narrow(to, from, count);
}

void mu_reduce_widen(enum mu_dtype half, float *to, const uint16_t *from, size_t count)
{
    best(half)->widen(to, from, count);
}

void mu_reduce_add_half(enum mu_dtype half, float *to, const uint16_t *from, size_t count)
{
    best(half)->add_half(to, from, count);
}
