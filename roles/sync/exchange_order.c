/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/order.h"
#include "roles/sync/exchange_inside.h"
#include <stdlib.h>

static void forget_times(struct mu_exchange *exchange)
{
    for (int i = 0; i < exchange->bucket_max; i++)
        exchange->bucket[i]->ready_sum = exchange->bucket[i]->exchange_sum = 0;
}

static enum mu_status run_share_order(struct mu_command *command)
{
    struct mu_exchange *exchange = command->owner;
    struct mu_replica *replica = exchange->replica;
    const struct mu_request request = {.kind = MU_BROADCAST,
        .dtype = MU_INT32,
        .wire = MU_INT32,
        .data = exchange->order,
        .count = (size_t)exchange->order_count,
        .root = mu_replica_leader(replica)};
    return mu_replica_ask(
        replica, &request, replica->run->timeouts.step_ns, "planning the order of buckets");
}

/* The extras go first in any order. */
static void plan(struct mu_exchange *exchange, struct mu_order_bucket *times)
{
    exchange->order[0] = 0;
    for (int i = 1; i < exchange->order_count; i++)
        times[i - 1] = (struct mu_order_bucket){.first = exchange->bucket[i]->span.first,
            .ready = exchange->bucket[i]->ready_sum,
            .seconds = exchange->bucket[i]->exchange_sum};
    mu_order_plan(times, exchange->order_count - 1, exchange->order + 1);
    for (int i = 1; i < exchange->order_count; i++)
        exchange->order[i]++;
}

/* Every bucket once: it came from another process. */
static bool is_order(const struct mu_exchange *exchange)
{
    const int *order = exchange->order;
    int count = exchange->order_count;
    for (int i = 0; i < count; i++) {
        if (order[i] < 0 || order[i] >= count)
            return false;
        for (int j = 0; j < i; j++)
            if (order[j] == order[i])
                return false;
    }
    return true;
}

static enum mu_status make_order(struct mu_exchange *exchange)
{
    int count = exchange->bucket_count;
    struct mu_order_bucket *times = calloc((size_t)count + 1, sizeof(*times));
    exchange->order = calloc((size_t)count + 1, sizeof(*exchange->order));
    exchange->order_count = count;
    if (times && exchange->order && exchange->replica->leads)
        plan(exchange, times);
    bool made = times && exchange->order;
    free(times);
    if (!made)
        return mu_fail(exchange->replica->log, MU_E0801, NULL, "no memory for an order");
    MU_TRY(mu_communicator_do(&exchange->replica->communicator, run_share_order, exchange));
    if (is_order(exchange))
        return MU_OK;
    return mu_fail(exchange->replica->log, MU_E0404, NULL,
        "the order of buckets that the leader has sent is none of %d buckets", count);
}

enum mu_status mu_exchange_order_step(struct mu_exchange *exchange)
{
    exchange->steps++;
    if (exchange->plans && exchange->steps == MU_EXCHANGE_LOOK_FROM)
        forget_times(exchange);
    if (exchange->plans && exchange->steps == MU_EXCHANGE_LOOK_UNTIL)
        return make_order(exchange);
    return MU_OK;
}
