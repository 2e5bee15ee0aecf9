/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tree_double.h"
#include "collectives/flow.h"
#include "collectives/ring_index.h"
#include "collectives/tree_index.h"
#include "runtime/device/reduce.h"
#include <math.h>

/*
 * Each tick moves one segment of each half: up to the roots, adding what the children bring, and
 * `lag` ticks later, when it has come back from the root, down again.
 *
 *   tick            0    1    2   ...   lag       lag + 1
 *   up, halves a b  a0   a1   a2        a(lag)    ...
 *                   b0   b1   b2        b(lag)
 *   down                                a0 b0     a1 b1
 *
 * Between two ranks all is sent and received in this order: by tick, up before down, a before b.
 * A broadcast goes down only; its root stands above the roots of both trees, which are made of the
 * other ranks.
 */
#define TREES 2
#define UP_STEP 0
#define DOWN_STEP TREES

/* A rank has at most two children in both trees together, and two parents. */
#define CHILDREN 2
static_assert(CHILDREN + TREES <= MU_OPS_IN_FLIGHT, "each has an operation of its own");

struct run {
    struct mu_group *group;
    const struct mu_reducer *reducer;
    char *data;
    size_t element_bytes, segment;
    struct mu_tree_place place[TREES]; /* ranks of the group */
    struct mu_span half[TREES];
    int64_t deadline_ns;
    int *ret_rank;
};

/* ---- segments ---- */

static size_t segments_of(const struct run *run, int tree)
{
    return (run->half[tree].count + run->segment - 1) / run->segment;
}

static bool exists(const struct run *run, int tree, int64_t index)
{
    return index >= 0 && (size_t)index < segments_of(run, tree);
}

static struct mu_span segment_of(const struct run *run, int tree, int64_t index)
{
    size_t begin = (size_t)index * run->segment, left = run->half[tree].count - begin;
    return (struct mu_span){
        run->half[tree].first + begin, left < run->segment ? left : run->segment};
}

static char *at(const struct run *run, struct mu_span span)
{
    return run->data + span.first * run->element_bytes;
}

static char *landing(const struct run *run, int child)
{
    return (char *)run->group->scratch + (size_t)child * MU_SEGMENT_BYTES;
}

/* ---- operations: 0 and 1 children, 2 and 3 parents of the trees ---- */

static void post_send(
    struct run *run, int op, int rank, uint32_t step, int64_t index, struct mu_span span)
{
    mu_group_send(run->group, &run->group->send[op], rank,
        mu_group_tag(run->group, step, (uint64_t)index), at(run, span),
        span.count * run->element_bytes);
}

static void post_receive(
    struct run *run, int op, int rank, uint32_t step, int64_t index, struct mu_span span, char *to)
{
    mu_group_receive(run->group, &run->group->receive[op], rank,
        mu_group_tag(run->group, step, (uint64_t)index), to, span.count * run->element_bytes);
}

static enum mu_status received(struct run *run, int op)
{
    return mu_group_wait(run->group, &run->group->receive[op], run->deadline_ns, run->ret_rank);
}

static enum mu_status sent(struct run *run, int op)
{
    return mu_group_wait(run->group, &run->group->send[op], run->deadline_ns, run->ret_rank);
}

/* ---- up ---- */

static void expect_children(struct run *run, int64_t index)
{
    for (int tree = 0, op = 0; tree < TREES; tree++)
        for (int c = 0; c < 2; c++) {
            int child = run->place[tree].child[c];
            if (child < 0)
                continue;
            if (exists(run, tree, index))
                post_receive(run, op, child, UP_STEP + (uint32_t)tree, index,
                    segment_of(run, tree, index), landing(run, op));
            op++;
        }
}

static enum mu_status add_children(struct run *run, int tree, int *op, struct mu_span span)
{
    for (int c = 0; c < 2; c++)
        if (run->place[tree].child[c] >= 0) {
            MU_TRY(received(run, *op));
            run->reducer->two(at(run, span), at(run, span), landing(run, *op), span.count);
            ++*op;
        }
    return MU_OK;
}

static int child_count(const struct run *run, int tree)
{
    return (run->place[tree].child[0] >= 0) + (run->place[tree].child[1] >= 0);
}

static enum mu_status up(struct run *run, int64_t index)
{
    for (int tree = 0, first = 0; tree < TREES; tree++) {
        int parent = run->place[tree].parent, op = first;
        first += child_count(run, tree);
        if (!exists(run, tree, index))
            continue;
        struct mu_span span = segment_of(run, tree, index);
        MU_TRY(add_children(run, tree, &op, span));
        if (parent < 0)
            continue;
        if (index > 0)
            MU_TRY(sent(run, CHILDREN + tree));
        post_send(run, CHILDREN + tree, parent, UP_STEP + (uint32_t)tree, index, span);
    }
    return MU_OK;
}

/* ---- down ---- */

static void expect_parents(struct run *run, int64_t index)
{
    for (int tree = 0; tree < TREES; tree++)
        if (run->place[tree].parent >= 0 && exists(run, tree, index)) {
            struct mu_span span = segment_of(run, tree, index);
            post_receive(run, CHILDREN + tree, run->place[tree].parent, DOWN_STEP + (uint32_t)tree,
                index, span, at(run, span));
        }
}

static enum mu_status down(struct run *run, int64_t index)
{
    for (int tree = 0, op = 0; tree < TREES; tree++) {
        bool here = exists(run, tree, index);
        if (here && run->place[tree].parent >= 0)
            MU_TRY(received(run, CHILDREN + tree));
        for (int c = 0; c < 2; c++) {
            int child = run->place[tree].child[c];
            if (child < 0)
                continue;
            if (here && index > 0)
                MU_TRY(sent(run, op));
            if (here)
                post_send(run, op, child, DOWN_STEP + (uint32_t)tree, index,
                    segment_of(run, tree, index));
            op++;
        }
    }
    return MU_OK;
}

/* The last ones. */
static enum mu_status finish(struct run *run, bool reduces)
{
    for (int tree = 0, op = 0; tree < TREES; tree++) {
        if (reduces && run->place[tree].parent >= 0 && exists(run, tree, 0))
            MU_TRY(sent(run, CHILDREN + tree));
        for (int c = 0; c < child_count(run, tree); c++, op++)
            if (exists(run, tree, 0))
                MU_TRY(sent(run, op));
    }
    return MU_OK;
}

/* ---- the run ---- */

/* All ranks are nodes. */
static void place_all(struct run *run)
{
    for (int tree = 0; tree < TREES; tree++)
        run->place[tree] = mu_tree_place(run->group->count, run->group->rank, tree);
}

static int rank_of(const struct mu_group *group, int root, int node)
{
    return node < 0 ? node : (root + 1 + node) % group->count;
}

/* The nodes are those after the root; the root is above. */
static void place_below(struct run *run, int root)
{
    const struct mu_group *group = run->group;
    int nodes = group->count - 1, node = (group->rank - root - 1 + group->count) % group->count;
    for (int tree = 0; tree < TREES; tree++) {
        struct mu_tree_place place = {-1, {mu_tree_root(nodes, tree), -1}};
        if (node < nodes)
            place = mu_tree_place(nodes, node, tree);
        run->place[tree] = (struct mu_tree_place){
            .parent = rank_of(group, root, place.parent),
            .child = {rank_of(group, root, place.child[0]), rank_of(group, root, place.child[1])},
        };
        if (node < nodes && place.parent < 0)
            run->place[tree].parent = root;
    }
}

/* From a leaf to the root and back, so that nobody waits for what is still on its way. */
static int lag_of(const struct mu_group *group, bool reduces)
{
    return reduces ? 2 * mu_tree_depth(group->count) + 2 : 0;
}

/* More of them than a ring has: the first has a long way before the second is of use. */
static size_t segment_bytes(const struct mu_group *group, size_t bytes)
{
    return mu_flow_segment_bytes(&group->costs, bytes / 2 / 4);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    bool reduces = request->kind == MU_ALLREDUCE;
    size_t each = mu_dtype_bytes(request->dtype);
    struct run run = {.group = group,
        .reducer = mu_reducer(request->dtype, request->reduction),
        .data = request->data,
        .element_bytes = each,
        .segment = segment_bytes(group, request->count * each) / each,
        .half = {mu_ring_chunk(request->count, 2, 0), mu_ring_chunk(request->count, 2, 1)},
        .deadline_ns = deadline_ns,
        .ret_rank = ret_rank};
    if (reduces)
        place_all(&run);
    else
        place_below(&run, request->root);
    int64_t lag = lag_of(group, reduces), ticks = (int64_t)segments_of(&run, 0) + lag;
    if (reduces)
        expect_children(&run, 0);
    else
        expect_parents(&run, 0);
    for (int64_t tick = 0; tick < ticks; tick++) {
        if (reduces) {
            MU_TRY(up(&run, tick));
            expect_children(&run, tick + 1);
        }
        MU_TRY(down(&run, tick - lag));
        expect_parents(&run, tick + 1 - lag);
    }
    return finish(&run, reduces);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    size_t bytes = request->count * mu_dtype_bytes(request->dtype);
    if (!mu_flow_is_whole(request, ret_why))
        return INFINITY;
    double segment = fmin((double)bytes / 2, (double)segment_bytes(group, bytes));
    double way = mu_tree_depth(group->count) * (costs->message + segment * costs->byte);
    if (request->kind == MU_BROADCAST)
        return (double)bytes * costs->byte + way + costs->message;
    return (double)bytes * (2 * costs->byte + costs->add) + 2 * way;
}

const struct mu_algorithm mu_tree_double = {
    .name = "double-tree",
    .doc = "two binary trees, half of the vector each, in segments (Sanders et al. 2009)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_BROADCAST,
    .score = score,
    .run = run,
};
