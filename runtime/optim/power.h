/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_POWER_H
#define MU_OPTIM_POWER_H

#include <stdint.h>

/* base^exponent for exponent >= 0, by squaring: pow may differ in the last bit from one C library
 * or processor to the next, and replicas on different machines must not. */
double mu_power(double base, int64_t exponent);

#endif
