/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_LEVELS_H
#define MU_DEVICE_LEVELS_H

#include "runtime/device/gemm.h"
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"

/*
 * loops.c, optim_loops.c and gemm_kernel.c are compiled once for each instruction set; meson.build
 * gives each copy the name of the table it defines (MU_KERNELS, MU_OPTIM_KERNELS, MU_GEMM_KERNEL).
 * This header is for these files and kernels.c.
 */
extern const struct mu_kernels mu_kernels_baseline;
extern const struct mu_optim_kernels mu_optim_kernels_baseline;
extern const struct mu_gemm_kernel mu_gemm_kernel_baseline;
#if defined(__x86_64__)
extern const struct mu_kernels mu_kernels_avx2, mu_kernels_avx512;
extern const struct mu_optim_kernels mu_optim_kernels_avx2, mu_optim_kernels_avx512;
extern const struct mu_gemm_kernel mu_gemm_kernel_avx2, mu_gemm_kernel_avx512;
#endif

#endif
