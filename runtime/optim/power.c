/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/power.h"

double mu_power(double base, int64_t exponent)
{
    double result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2)
            result *= base;
        base *= base;
    }
    return result;
}
