/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"

#include "runtime/base/status.h"
#include "runtime/device/levels.h"

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static bool has_baseline(void)
{
    return true;
}

/* Best first. */
static const struct level {
    const struct mu_kernels *kernels;
    bool (*runs_here)(void);
} levels[] = {
#if defined(__x86_64__)
    {&mu_kernels_avx512, has_avx512},
    {&mu_kernels_avx2, has_avx2},
#endif
    {&mu_kernels_baseline, has_baseline},
};

const struct mu_kernels *mu_kernels_at(int index)
{
    for (size_t i = 0; i < MU_COUNT_OF(levels); i++)
        if (levels[i].runs_here() && index-- == 0)
            return levels[i].kernels;
    return NULL;
}

const struct mu_kernels *mu_kernels(void)
{
    return mu_kernels_at(0);
}
