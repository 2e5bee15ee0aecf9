/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_FLOW_H
#define MU_COLLECTIVES_FLOW_H

#include "collectives/group.h"

/*
 * What the message-passing algorithms are made of: stretches of memory ("legs") that go to ranks
 * while others come from ranks, in segments, MU_OPS_IN_FLIGHT of them under way in each direction.
 * A segment is added while it is still in the cache and the next ones arrive.
 *
 *     sends      leg of step 0, leg of step 1, ...      each cut into segments
 *     receives   leg of step 0, leg of step 1, ...
 *
 * The steps of a flow are not told apart on the wire: there is no pause between them. Where the
 * flow `relays`, it does so in rounds of `relays` steps: within a round the leg sent at step i+1 is
 * the one received at step i, and each of its segments leaves as soon as it is here. What is sent
 * at the first step of a round, and without relaying at any, lies ready from the start.
 *
 * The legs of both ends must fit: what rank a sends to b at a step, b receives from a at that step.
 */
enum mu_leg_use {
    MU_LEG_REPLACES, /* what comes is stored */
    MU_LEG_BEFORE,   /* there = what comes (+) there */
    MU_LEG_AFTER,    /* there = there (+) what comes */
};

struct mu_leg {
    int rank;
    size_t count; /* of elements; 0: nothing goes */
    const void *from;
    /* Received: where to. Sent and narrowed: where the narrowed values are stored too, so that the
     * sender has what the others get; NULL: nowhere. */
    void *to;
    enum mu_leg_use use;
};

struct mu_flow {
    struct mu_group *group;
    const struct mu_request *request; /* for its types and its reduction */
    uint32_t step_first;              /* for tags: several flows may make one operation */
    int steps;
    int relays; /* steps of a round, of which all have as many; 0: none relays */
    struct mu_leg (*sends)(const void *plan, int step);
    struct mu_leg (*receives)(const void *plan, int step);
    const void *plan;
};

/* OK; TIMEOUT, CLOSED or PROTOCOL with *ret_rank, whom it was waiting for; or what the loop was
 * cancelled with. Uses the group's scratch for what is added or narrowed. */
enum mu_status mu_flow_run(const struct mu_flow *flow, int64_t deadline_ns, int *ret_rank);

/* A flow of one step: `sent` goes while `received` comes; a count of 0 where only one does. They
 * may be the same memory. */
enum mu_status mu_flow_exchange(struct mu_group *group, const struct mu_request *request,
    uint32_t step, struct mu_leg sent, struct mu_leg received, int64_t deadline_ns, int *ret_rank);

/* Segments that a leg of `bytes` travels in: at least four, so that what comes is passed on while
 * the rest is still coming, but none so short that its header and its wake-up count: it takes at
 * least as long as eight messages, as far as MU_SEGMENT_BYTES allow. (Where ranks share processors,
 * or a message takes a wake-up, more segments are more changes of who runs.) */
#define MU_FLOW_SEGMENT_BYTES_MIN ((size_t)16 << 10)
size_t mu_flow_segment_bytes(const struct mu_costs *costs, size_t bytes);

/* The bytes of an element on its way. */
size_t mu_flow_wire_bytes(const struct mu_request *request);

/* For scores of what moves elements as they are: false, and why it cannot, where they narrow. */
bool mu_flow_is_whole(const struct mu_request *request, const char **ret_why);

#endif
