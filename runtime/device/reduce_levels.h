/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_REDUCE_LEVELS_H
#define MU_DEVICE_REDUCE_LEVELS_H

#include "runtime/device/reduce.h"

/*
 * reduce_loops.c is compiled once for each type and instruction set; meson.build gives each copy
 * the name of the table it defines (MU_REDUCE_TABLE). This header is for that file, reduce.c and
 * their test.
 */
struct mu_reduce_table {
    struct mu_reducer sum, min, max;
    void (*divide)(void *x, int by, size_t count);
    /* Of half types only. */
    void (*narrow)(uint16_t *to, const float *from, size_t count);
    void (*widen)(float *to, const uint16_t *from, size_t count);
    void (*add_half)(float *to, const uint16_t *from, size_t count);
};

extern const struct mu_reduce_table mu_reduce_float32_baseline, mu_reduce_float64_baseline,
    mu_reduce_float16_baseline, mu_reduce_bfloat16_baseline, mu_reduce_int32_baseline,
    mu_reduce_int64_baseline, mu_reduce_uint8_baseline;
#if defined(__x86_64__)
extern const struct mu_reduce_table mu_reduce_float32_avx2, mu_reduce_float64_avx2,
    mu_reduce_float16_avx2, mu_reduce_bfloat16_avx2, mu_reduce_int32_avx2, mu_reduce_int64_avx2,
    mu_reduce_uint8_avx2;
extern const struct mu_reduce_table mu_reduce_float32_avx512, mu_reduce_float64_avx512,
    mu_reduce_float16_avx512, mu_reduce_bfloat16_avx512, mu_reduce_int32_avx512,
    mu_reduce_int64_avx512, mu_reduce_uint8_avx512;
#endif

/* Of the instruction sets that mu_kernels_at counts. */
const struct mu_reduce_table *mu_reduce_table_at(int index, enum mu_dtype dtype);

#endif
