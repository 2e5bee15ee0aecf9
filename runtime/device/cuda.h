/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_CUDA_H
#define MU_DEVICE_CUDA_H

#include <stddef.h>

/* The GPUs that the CUDA driver of this machine shows, for `muster doctor`; training does not use
 * them. `out` becomes one line: their names and memory, or why there are none. The driver is looked
 * for at the call and nowhere else. */
int mu_cuda_device_count(char *out, size_t bytes);

#endif
