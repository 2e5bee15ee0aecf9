/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bucket.h"

void mu_bucketer_begin(struct mu_bucketer *bucketer)
{
    bucketer->pending = (struct mu_span){0};
    bucketer->begun = false;
}

void mu_bucketer_flush(struct mu_bucketer *bucketer)
{
    struct mu_span bucket = bucketer->pending;
    bucketer->pending = (struct mu_span){0};
    if (bucket.count == 0)
        return;
    bucketer->begun = true;
    bucketer->full(bucketer->owner, bucket);
}

static bool extend(struct mu_span *pending, struct mu_span slice)
{
    bool below = slice.first + slice.count == pending->first;
    bool above = pending->first + pending->count == slice.first;
    if (pending->count > 0 && !below && !above)
        return false;
    if (pending->count == 0 || below)
        pending->first = slice.first;
    pending->count += slice.count;
    return true;
}

void mu_bucketer_add(void *owner, struct mu_span slice)
{
    struct mu_bucketer *bucketer = owner;
    if (slice.count == 0)
        return;
    if (!extend(&bucketer->pending, slice)) {
        mu_bucketer_flush(bucketer);
        bucketer->pending = slice;
    }
    size_t enough = bucketer->begun ? bucketer->bucket_count : bucketer->first_count;
    if (bucketer->pending.count >= enough)
        mu_bucketer_flush(bucketer);
}
