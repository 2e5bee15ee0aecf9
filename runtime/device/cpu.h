/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_CPU_H
#define MU_DEVICE_CPU_H

#include "runtime/device/device.h"
#include "runtime/device/kernels.h"

/* The two drivers on the CPU; device.c chooses. Both return OK or NO_MEMORY (MU_E0801). */
enum mu_status mu_cpu_create(
    const struct mu_kernels *kernels, struct mu_log *log, struct mu_device **ret_device);
enum mu_status mu_reference_create(struct mu_log *log, struct mu_device **ret_device);

#endif
