/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_ZIPF_H
#define MU_DATA_ZIPF_H

#include "runtime/base/random.h"

/* Ranks 0 .. count-1 where rank r comes (r + 1)^-exponent as often as the first: drawn by rejection
 * from the inverted integral (Hoermann and Derflinger 1996), which needs no table. */
struct mu_zipf {
    double exponent; /* 0: all alike */
    uint64_t count;
    double integral_first, integral_last, sure;
};

void mu_zipf_init(struct mu_zipf *zipf, double exponent, uint64_t count);
uint64_t mu_zipf_draw(const struct mu_zipf *zipf, struct mu_random *random);

#endif
