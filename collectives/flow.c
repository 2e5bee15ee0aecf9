/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/flow.h"
#include "runtime/device/reduce.h"

#define IN_FLIGHT MU_OPS_IN_FLIGHT
#define MESSAGES_A_SEGMENT 8

/* One segment on its way. */
struct piece {
    int rank;
    size_t count;
    const char *from;
    char *to;
    enum mu_leg_use use;
    uint64_t tag;
    /* Which comes first, here and at the other end: by step and segment. Whoever waits, waits for
     * the earliest of all that it has under way; so somebody can always go on, however unequal the
     * legs are. */
    uint64_t turn;
};

/* One direction: its legs, cut into pieces. */
struct lane {
    const struct mu_flow *flow;
    struct mu_leg (*leg_of)(const void *plan, int step);
    int step;
    struct mu_leg leg;
    size_t done, segment; /* elements of the leg */
    uint32_t index;       /* of the next segment of the leg */
    uint64_t posted, finished;
    struct piece under_way[IN_FLIGHT];
    struct mu_op *ops;
};

struct run {
    const struct mu_flow *flow;
    const struct mu_reducer *reducer;
    size_t element_bytes;
    bool narrows;
    uint64_t here; /* the turn of the next piece to come */
    struct lane out, in;
};

/* ---- cutting ---- */

static size_t least_segment_bytes(const struct mu_costs *costs)
{
    double worth = costs->byte > 0 ? MESSAGES_A_SEGMENT * costs->message / costs->byte : 0;
    size_t least = MU_FLOW_SEGMENT_BYTES_MIN;
    while (least < MU_SEGMENT_BYTES && (double)(2 * least) <= worth)
        least *= 2;
    return least;
}

size_t mu_flow_segment_bytes(const struct mu_costs *costs, size_t bytes)
{
    size_t quarter = (bytes / 4 + 4095) & ~(size_t)4095, least = least_segment_bytes(costs);
    if (quarter < least)
        return least;
    return quarter < MU_SEGMENT_BYTES ? quarter : MU_SEGMENT_BYTES;
}

static size_t segment_of(const struct mu_flow *flow, size_t count)
{
    size_t each = mu_dtype_bytes(flow->request->dtype);
    return mu_flow_segment_bytes(&flow->group->costs, count * each) / each;
}

/* Goes to the next leg with something in it, if this one has ended; false: there is none. */
static bool more(struct lane *lane)
{
    while (lane->done == lane->leg.count) {
        if (lane->step + 1 >= lane->flow->steps)
            return false;
        lane->leg = lane->leg_of(lane->flow->plan, ++lane->step);
        lane->segment = segment_of(lane->flow, lane->leg.count);
        lane->done = 0;
        lane->index = 0;
    }
    return true;
}

static uint64_t turn_of(int step, uint32_t index)
{
    return (uint64_t)step << 32 | index;
}

/* Of a relay all that one sends is all that its neighbour receives, so that numbers go on from
 * round to round. */
static uint64_t tag_of(const struct lane *lane)
{
    const struct mu_flow *flow = lane->flow;
    uint32_t step = (uint32_t)(flow->relays ? lane->step % flow->relays : lane->step);
    uint64_t segment = flow->relays ? lane->posted & MU_GROUP_SEGMENT_MAX : lane->index;
    return mu_group_tag(flow->group, flow->step_first + step, segment);
}

static struct piece *cut(struct lane *lane, size_t element_bytes)
{
    const struct mu_leg *leg = &lane->leg;
    size_t left = leg->count - lane->done, offset = lane->done * element_bytes;
    struct piece *piece = &lane->under_way[lane->posted % IN_FLIGHT];
    *piece = (struct piece){
        .rank = leg->rank,
        .count = left < lane->segment ? left : lane->segment,
        .from = leg->from ? (const char *)leg->from + offset : NULL,
        .to = leg->to ? (char *)leg->to + offset : NULL,
        .use = leg->use,
        .tag = tag_of(lane),
        .turn = turn_of(lane->step, lane->index),
    };
    lane->done += piece->count;
    lane->index++;
    return piece;
}

static struct lane lane_of(const struct mu_flow *flow,
    struct mu_leg (*leg_of)(const void *plan, int step), struct mu_op *ops)
{
    return (struct lane){.flow = flow, .leg_of = leg_of, .step = -1, .ops = ops};
}

/* ---- moving ---- */

/* Where a piece lands that cannot go straight to its place, and where one is narrowed. */
static char *landing(const struct run *run, uint64_t number)
{
    return (char *)run->flow->group->scratch + number % IN_FLIGHT * MU_SEGMENT_BYTES;
}

static char *narrowing(const struct run *run, uint64_t number)
{
    static_assert(sizeof(uint16_t) * 2 == sizeof(float), "both fit into one segment of scratch");
    return landing(run, number) + MU_SEGMENT_BYTES / 2;
}

static void post_receive(struct run *run)
{
    struct lane *in = &run->in;
    struct piece *piece = cut(in, run->element_bytes);
    bool straight = piece->use == MU_LEG_REPLACES && !run->narrows;
    size_t bytes = piece->count * mu_flow_wire_bytes(run->flow->request);
    mu_group_receive(run->flow->group, &in->ops[in->posted % IN_FLIGHT], piece->rank, piece->tag,
        straight ? piece->to : landing(run, in->posted), bytes);
    in->posted++;
}

static void post_send(struct run *run)
{
    struct lane *out = &run->out;
    enum mu_dtype wire = run->flow->request->wire;
    struct piece *piece = cut(out, run->element_bytes);
    const void *from = piece->from;
    if (run->narrows) {
        uint16_t *half = (uint16_t *)(void *)narrowing(run, out->posted);
        mu_reduce_narrow(wire, half, (const float *)from, piece->count);
        if (piece->to)
            mu_reduce_widen(wire, (float *)(void *)piece->to, half, piece->count);
        from = half;
    }
    size_t bytes = piece->count * mu_flow_wire_bytes(run->flow->request);
    mu_group_send(
        run->flow->group, &out->ops[out->posted % IN_FLIGHT], piece->rank, piece->tag, from, bytes);
    out->posted++;
}

static void use_narrowed(struct run *run, const struct piece *piece, const void *landed)
{
    enum mu_dtype wire = run->flow->request->wire;
    float *to = (float *)(void *)piece->to;
    if (piece->use == MU_LEG_REPLACES)
        mu_reduce_widen(wire, to, landed, piece->count);
    else
        mu_reduce_add_half(wire, to, landed, piece->count);
}

/* A piece is here. */
static void use(struct run *run, uint64_t number)
{
    const struct piece *piece = &run->in.under_way[number % IN_FLIGHT];
    const void *landed = landing(run, number);
    if (run->narrows)
        use_narrowed(run, piece, landed);
    else if (piece->use == MU_LEG_BEFORE)
        run->reducer->two(piece->to, landed, piece->to, piece->count);
    else if (piece->use == MU_LEG_AFTER)
        run->reducer->two(piece->to, piece->to, landed, piece->count);
}

/* ---- the run ---- */

/* May the next piece be sent? There is one. */
static bool is_here(const struct run *run)
{
    const struct lane *out = &run->out;
    int relays = run->flow->relays;
    return !relays || out->step % relays == 0 || turn_of(out->step - 1, out->index) < run->here;
}

/* What others wait for goes first. */
static void post_all(struct run *run)
{
    while (run->out.posted - run->out.finished < IN_FLIGHT && more(&run->out) && is_here(run))
        post_send(run);
    while (run->in.posted - run->in.finished < IN_FLIGHT && more(&run->in))
        post_receive(run);
}

static bool under_way(const struct lane *lane)
{
    return lane->posted > lane->finished;
}

static const struct piece *oldest(const struct lane *lane)
{
    return &lane->under_way[lane->finished % IN_FLIGHT];
}

/* A segment that is sent may be one that is added to: then it must have left first. */
static bool waits_for_send(const struct run *run)
{
    if (!under_way(&run->in))
        return true;
    return under_way(&run->out) && oldest(&run->out)->turn <= oldest(&run->in)->turn;
}

static enum mu_status wait_for_oldest(struct lane *lane, int64_t deadline_ns, int *ret_rank)
{
    return mu_group_wait(
        lane->flow->group, &lane->ops[lane->finished % IN_FLIGHT], deadline_ns, ret_rank);
}

/* Does it travel in a half type (request->wire)? */
static bool narrows_on_wire(const struct mu_request *request)
{
    return request->kind == MU_ALLREDUCE && request->dtype == MU_FLOAT32 &&
           (request->wire == MU_FLOAT16 || request->wire == MU_BFLOAT16);
}

enum mu_status mu_flow_run(const struct mu_flow *flow, int64_t deadline_ns, int *ret_rank)
{
    const struct mu_request *request = flow->request;
    struct run run = {
        .flow = flow,
        .reducer = mu_reducer(request->dtype, request->reduction),
        .element_bytes = mu_dtype_bytes(request->dtype),
        .narrows = narrows_on_wire(request),
        .out = lane_of(flow, flow->sends, flow->group->send),
        .in = lane_of(flow, flow->receives, flow->group->receive),
    };
    for (post_all(&run); under_way(&run.in) || under_way(&run.out); post_all(&run)) {
        if (waits_for_send(&run)) {
            MU_TRY(wait_for_oldest(&run.out, deadline_ns, ret_rank));
            run.out.finished++;
        } else {
            MU_TRY(wait_for_oldest(&run.in, deadline_ns, ret_rank));
            run.here = oldest(&run.in)->turn + 1;
            use(&run, run.in.finished++);
        }
    }
    return MU_OK;
}

/* ---- one step ---- */

struct exchange {
    struct mu_leg sent, received;
};

static struct mu_leg exchange_sends(const void *plan, int step)
{
    (void)step;
    return ((const struct exchange *)plan)->sent;
}

static struct mu_leg exchange_receives(const void *plan, int step)
{
    (void)step;
    return ((const struct exchange *)plan)->received;
}

enum mu_status mu_flow_exchange(struct mu_group *group, const struct mu_request *request,
    uint32_t step, struct mu_leg sent, struct mu_leg received, int64_t deadline_ns, int *ret_rank)
{
    struct exchange exchange = {sent, received};
    struct mu_flow flow = {.group = group,
        .request = request,
        .step_first = step,
        .steps = 1,
        .sends = exchange_sends,
        .receives = exchange_receives,
        .plan = &exchange};
    return mu_flow_run(&flow, deadline_ns, ret_rank);
}

/* ---- what a request asks for ---- */

size_t mu_flow_wire_bytes(const struct mu_request *request)
{
    return narrows_on_wire(request) ? sizeof(uint16_t) : mu_dtype_bytes(request->dtype);
}

bool mu_flow_is_whole(const struct mu_request *request, const char **ret_why)
{
    bool narrows = narrows_on_wire(request);
    if (narrows)
        *ret_why = "does not narrow on the way";
    return !narrows;
}
