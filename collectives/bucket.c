/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bucket.h"
#include <assert.h>

void mu_bucketer_begin(struct mu_bucketer *bucketer, size_t end)
{
    bucketer->pending = (struct mu_span){.first = end};
}

void mu_bucketer_flush(struct mu_bucketer *bucketer)
{
    struct mu_span bucket = bucketer->pending;
    bucketer->pending.count = 0;
    if (bucket.count > 0)
        bucketer->full(bucketer->owner, bucket);
}

void mu_bucketer_add(void *owner, struct mu_span slice)
{
    struct mu_bucketer *bucketer = owner;
    assert(slice.first + slice.count == bucketer->pending.first);
    bucketer->pending.first = slice.first;
    bucketer->pending.count += slice.count;
    if (bucketer->pending.count >= bucketer->bucket_count)
        mu_bucketer_flush(bucketer);
}
