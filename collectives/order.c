/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/order.h"
#include <stdbool.h>

static bool goes_before(
    const struct mu_order_bucket *a, const struct mu_order_bucket *b, double now)
{
    bool a_ready = a->ready <= now, b_ready = b->ready <= now;
    if (a_ready != b_ready)
        return a_ready;
    if (!a_ready && a->ready != b->ready)
        return a->ready < b->ready;
    return a->first < b->first;
}

static bool is_placed(const int *order, int placed, int number)
{
    for (int i = 0; i < placed; i++)
        if (order[i] == number)
            return true;
    return false;
}

void mu_order_plan(const struct mu_order_bucket *bucket, int count, int *ret_order)
{
    double now = 0;
    for (int placed = 0; placed < count; placed++) {
        int best = -1;
        for (int i = 0; i < count; i++)
            if (!is_placed(ret_order, placed, i) &&
                (best < 0 || goes_before(&bucket[i], &bucket[best], now)))
                best = i;
        ret_order[placed] = best;
        now = (bucket[best].ready > now ? bucket[best].ready : now) + bucket[best].seconds;
    }
}
