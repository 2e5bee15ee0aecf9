/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/staleness.h"
#include <assert.h>

#define EXACT_MAX 4 /* up to here a bucket is one value */

int mu_staleness_bucket(uint64_t value)
{
    if (value <= EXACT_MAX)
        return (int)value;
    int bucket = EXACT_MAX + 1;
    for (uint64_t rest = (value - 1) / EXACT_MAX; rest > 1; rest /= 2)
        bucket++;
    return bucket < MU_STALENESS_BUCKETS ? bucket : MU_STALENESS_BUCKETS - 1;
}

uint64_t mu_staleness_bucket_min(int bucket)
{
    assert(bucket >= 0 && bucket < MU_STALENESS_BUCKETS);
    if (bucket <= EXACT_MAX)
        return (uint64_t)bucket;
    return ((uint64_t)EXACT_MAX << (bucket - EXACT_MAX - 1)) + 1;
}

void mu_staleness_add(struct mu_staleness *staleness, enum mu_verdict verdict, uint64_t value)
{
    assert(verdict < MU_VERDICT_COUNT);
    staleness->verdicts[verdict]++;
    if (verdict == MU_VERDICT_REFUSE)
        return;
    staleness->buckets[mu_staleness_bucket(value)]++;
    staleness->count++;
    staleness->sum += value;
    if (value > staleness->max)
        staleness->max = value;
}

double mu_staleness_mean(const struct mu_staleness *staleness)
{
    return staleness->count ? (double)staleness->sum / (double)staleness->count : 0.0;
}
