/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/doubling.h"
#include "collectives/doubling_index.h"
#include "collectives/flow.h"
#include "runtime/device/reduce.h"
#include <math.h>
#include <string.h>

/*
 * Exchanging, six ranks; the core is 0 to 3:
 *
 *   fold      4 -> 0   5 -> 1                     what is beyond the core is added to it
 *   round 0   0 <-> 1  2 <-> 3
 *   round 1   0 <-> 2  1 <-> 3                    every rank of the core has the sum
 *   unfold    0 -> 4   1 -> 5
 */
#define FOLD_STEP 62
#define UNFOLD_STEP 63

static struct mu_leg whole(const struct mu_request *request, int rank, enum mu_leg_use use)
{
    return (struct mu_leg){.rank = rank,
        .count = request->count,
        .from = request->data,
        .to = request->data,
        .use = use};
}

static const struct mu_leg nothing;

static enum mu_status exchange(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    int rank = group->rank, core = mu_doubling_core(group->count);
    bool beyond = rank >= core, folds = beyond || rank + core < group->count;
    int other = beyond ? rank - core : rank + core;
    struct mu_leg out = whole(request, other, MU_LEG_REPLACES);
    struct mu_leg in = whole(request, other, MU_LEG_AFTER);
    if (folds)
        MU_TRY(mu_flow_exchange(group, request, FOLD_STEP, beyond ? out : nothing,
            beyond ? nothing : in, deadline_ns, ret_rank));
    for (int round = 0; !beyond && 1 << round < core; round++) {
        int peer = rank ^ 1 << round;
        /* Both add in the same order: then even a NaN is the same on both. */
        struct mu_leg sent = whole(request, peer, MU_LEG_REPLACES);
        struct mu_leg received = whole(request, peer, peer < rank ? MU_LEG_BEFORE : MU_LEG_AFTER);
        MU_TRY(mu_flow_exchange(
            group, request, (uint32_t)round, sent, received, deadline_ns, ret_rank));
    }
    in.use = MU_LEG_REPLACES;
    if (folds)
        MU_TRY(mu_flow_exchange(group, request, UNFOLD_STEP, beyond ? nothing : out,
            beyond ? in : nothing, deadline_ns, ret_rank));
    return MU_OK;
}

/*
 * Gathering, five ranks; rank 3's scratch:
 *
 *   start     3 . . . .
 *   round 0   3 4 . . .      one comes from rank 4
 *   round 1   3 4 0 1 .      two from rank 0
 *   round 2   3 4 0 1 2      one from rank 2
 */
struct block {
    struct mu_group *group;
    const struct mu_request *request;
    struct mu_span span; /* of the vector: so much that all ranks' fit into the scratch */
    size_t bytes;
};

static char *slot(const struct block *block, int place)
{
    return (char *)block->group->scratch + (size_t)place * block->bytes;
}

static enum mu_status gather_block(struct block *block, int64_t deadline_ns, int *ret_rank)
{
    struct mu_group *group = block->group;
    int rounds = mu_doubling_rounds(group->count);
    for (int i = 0; i < rounds; i++) {
        struct mu_doubling_round round = mu_doubling_round(group->count, group->rank, i);
        size_t count = (size_t)round.moves * block->span.count;
        struct mu_leg sent = {.rank = round.to, .count = count, .from = slot(block, 0)};
        struct mu_leg received = {.rank = round.from, .count = count, .to = slot(block, round.has)};
        MU_TRY(mu_flow_exchange(
            group, block->request, (uint32_t)i, sent, received, deadline_ns, ret_rank));
    }
    return MU_OK;
}

/* Of one part, as far as it lies in the block: rank `first` begins. */
#define VECTORS_AT_ONCE 16

static void add_part(const struct block *block, char *to, size_t offset, size_t count, int first)
{
    const struct mu_group *group = block->group;
    const struct mu_reducer *reducer = mu_reducer(block->request->dtype, block->request->reduction);
    const void *from[VECTORS_AT_ONCE];
    int gathered = 0;
    for (int i = 0; i < group->count; i++) {
        int rank = (first + i) % group->count;
        int place = (rank - group->rank + group->count) % group->count;
        from[gathered++] = slot(block, place) + offset;
        if (gathered == VECTORS_AT_ONCE || i == group->count - 1) {
            reducer->many(to, from, gathered, count);
            from[0] = to;
            gathered = 1;
        }
    }
}

static void add_block(const struct block *block)
{
    const struct mu_request *request = block->request;
    size_t each = mu_dtype_bytes(request->dtype);
    size_t end = block->span.first + block->span.count;
    for (int part = 0; part < block->group->count; part++) {
        struct mu_span span = mu_request_part(request, block->group->count, part);
        size_t first = span.first > block->span.first ? span.first : block->span.first;
        size_t last = span.first + span.count < end ? span.first + span.count : end;
        if (first < last)
            add_part(block, (char *)request->data + first * each,
                (first - block->span.first) * each, last - first, part);
    }
}

static enum mu_status gather_and_add(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    size_t each = mu_dtype_bytes(request->dtype);
    size_t room = MU_OPS_IN_FLIGHT * MU_SEGMENT_BYTES / each / (size_t)group->count;
    for (size_t first = 0; first < request->count; first += room) {
        size_t left = request->count - first;
        struct block block = {group, request, {first, left < room ? left : room}, 0};
        block.bytes = block.span.count * each;
        memcpy(slot(&block, 0), (char *)request->data + first * each, block.bytes);
        MU_TRY(gather_block(&block, deadline_ns, ret_rank));
        add_block(&block);
    }
    return MU_OK;
}

/* ---- all-gather, in place ---- */

/* Parts `first`, `first` + 1, ... in the order of ranks after the last one comes the first: as a
 * vector they are one stretch or two. */
struct stretch {
    int rank;
    struct mu_span span[2];
};

struct gathering {
    const struct mu_request *request;
    struct stretch sent, received;
};

static struct stretch stretch_of(
    const struct mu_request *request, int ranks, int rank, int first, int parts)
{
    struct stretch stretch = {.rank = rank};
    int before = first + parts <= ranks ? parts : ranks - first; /* up to the end of the vector */
    struct mu_span begin = mu_request_part(request, ranks, first);
    struct mu_span end = mu_request_part(request, ranks, first + before - 1);
    stretch.span[0] = (struct mu_span){begin.first, end.first + end.count - begin.first};
    if (before < parts) {
        end = mu_request_part(request, ranks, parts - before - 1);
        stretch.span[1] = (struct mu_span){0, end.first + end.count};
    }
    return stretch;
}

static struct mu_leg leg_of(
    const struct mu_request *request, const struct stretch *stretch, int step)
{
    char *at = (char *)request->data + stretch->span[step].first * mu_dtype_bytes(request->dtype);
    return (struct mu_leg){
        .rank = stretch->rank, .count = stretch->span[step].count, .from = at, .to = at};
}

static struct mu_leg gathering_sends(const void *plan, int step)
{
    const struct gathering *gathering = plan;
    struct mu_leg leg = leg_of(gathering->request, &gathering->sent, step);
    leg.to = NULL;
    return leg;
}

static struct mu_leg gathering_receives(const void *plan, int step)
{
    const struct gathering *gathering = plan;
    return leg_of(gathering->request, &gathering->received, step);
}

enum mu_status mu_doubling_gather(struct mu_group *group, const struct mu_request *request,
    uint32_t step, int64_t deadline_ns, int *ret_rank)
{
    int ranks = group->count;
    for (int i = 0; i < mu_doubling_rounds(ranks); i++) {
        struct mu_doubling_round round = mu_doubling_round(ranks, group->rank, i);
        struct gathering gathering = {.request = request};
        gathering.sent = stretch_of(request, ranks, round.to, group->rank, round.moves);
        gathering.received = stretch_of(request, ranks, round.from, round.from, round.moves);
        struct mu_flow flow = {.group = group,
            .request = request,
            .step_first = step + 2 * (uint32_t)i,
            .steps = 2,
            .sends = gathering_sends,
            .receives = gathering_receives,
            .plan = &gathering};
        MU_TRY(mu_flow_run(&flow, deadline_ns, ret_rank));
    }
    return MU_OK;
}

/* ---- barrier ---- */

/* After round k a rank knows of 2^(k+1) ranks, itself and those before it, that they are here. */
static enum mu_status meet(
    struct mu_group *group, uint64_t segment, int64_t deadline_ns, int *ret_rank)
{
    static const char token = 1;
    for (int i = 0; i < mu_doubling_rounds(group->count); i++) {
        struct mu_doubling_round round = mu_doubling_round(group->count, group->rank, i);
        uint64_t tag = mu_group_tag(group, (uint32_t)i, segment);
        mu_group_send(group, &group->send[0], round.to, tag, &token, 1);
        mu_group_receive(group, &group->receive[0], round.from, tag, group->scratch, 1);
        MU_TRY(mu_group_wait(group, &group->receive[0], deadline_ns, ret_rank));
        MU_TRY(mu_group_wait(group, &group->send[0], deadline_ns, ret_rank));
    }
    return MU_OK;
}

enum mu_status mu_doubling_meet(struct mu_group *group, int64_t deadline_ns, int *ret_rank)
{
    return meet(group, MU_GROUP_SEGMENT_MAX, deadline_ns, ret_rank);
}

/* ---- the choice between the two, and the score ---- */

static double exchange_seconds(const struct mu_group *group, double bytes)
{
    const struct mu_costs *costs = &group->costs;
    int core = mu_doubling_core(group->count);
    double moved = costs->message + bytes * costs->byte, added = bytes * costs->add;
    double folding = core < group->count ? 2 * moved + added : 0;
    return mu_doubling_rounds(core) * (moved + added) + folding;
}

static double gather_seconds(const struct mu_group *group, double bytes)
{
    const struct mu_costs *costs = &group->costs;
    return mu_doubling_rounds(group->count) * costs->message +
           (group->count - 1) * bytes * (costs->byte + costs->add);
}

static bool gathers(const struct mu_group *group, const struct mu_request *request)
{
    double bytes = (double)request->count * (double)mu_dtype_bytes(request->dtype);
    return group->deterministic || gather_seconds(group, bytes) < exchange_seconds(group, bytes);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    if (request->kind == MU_BARRIER)
        return meet(group, 0, deadline_ns, ret_rank);
    if (request->kind == MU_ALLGATHER)
        return mu_doubling_gather(group, request, 0, deadline_ns, ret_rank);
    if (gathers(group, request))
        return gather_and_add(group, request, deadline_ns, ret_rank);
    return exchange(group, request, deadline_ns, ret_rank);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    double bytes = (double)request->count * (double)mu_dtype_bytes(request->dtype);
    if (!mu_flow_is_whole(request, ret_why))
        return INFINITY;
    if (request->kind == MU_ALLREDUCE)
        return gathers(group, request) ? gather_seconds(group, bytes)
                                       : exchange_seconds(group, bytes);
    double moved = request->kind == MU_ALLGATHER ? bytes - bytes / group->count : 0;
    return mu_doubling_rounds(group->count) * costs->message + moved * costs->byte;
}

const struct mu_algorithm mu_doubling = {
    .name = "doubling",
    .doc = "recursive doubling, for short vectors (Thakur, Rabenseifner and Gropp 2005)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_ALLGATHER | 1u << MU_BARRIER,
    .keeps_order = true,
    .score = score,
    .run = run,
};
