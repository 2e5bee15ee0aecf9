/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_STALENESS_H
#define MU_PS_STALENESS_H

#include "muster/policy.h"
#include <stddef.h>

/*
 * What has become of all gradients so far: counts of verdicts, and how stale the gradients were.
 * Bucket 0..4 count exactly that staleness; then 5-8, 9-16, 17-32, ...; the last is open.
 */
#define MU_STALENESS_BUCKETS 16

struct mu_staleness {
    uint64_t verdicts[MU_VERDICT_COUNT];
    uint64_t buckets[MU_STALENESS_BUCKETS];
    uint64_t count, sum, max; /* of staleness, over all gradients but refused ones */
};

void mu_staleness_add(struct mu_staleness *staleness, enum mu_verdict verdict, uint64_t value);
double mu_staleness_mean(const struct mu_staleness *staleness); /* 0 if there is none */
int mu_staleness_bucket(uint64_t value);
/* The smallest value of a bucket; the largest is one less than that of the next. */
uint64_t mu_staleness_bucket_min(int bucket);

#endif
