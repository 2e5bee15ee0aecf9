/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/route.h"
#include "collectives/swap.h"
#include <stdlib.h>

/* How long one of the two is waited for before the other, which is busy too, has its turn. */
#define SLICE_NS (MU_MS / 20)

struct route {
    struct mu_transport base;
    struct mu_world *world;
    struct mu_transport *near, *far;
    struct mu_transport **by; /* (count) */
};

static struct route *route_of(struct mu_transport *transport)
{
    return (struct route *)transport;
}

/* What was set on the route holds for both. */
static struct mu_transport *pass_on(const struct route *route, struct mu_transport *transport)
{
    transport->signature = route->base.signature;
    transport->operation = route->base.operation;
    transport->member = route->base.member;
    transport->members = route->base.members;
    transport->names = route->base.names;
    return transport;
}

static struct mu_transport *by(struct route *route, int rank)
{
    return pass_on(route, route->by[rank]);
}

static void route_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct mu_transport *way = by(route_of(transport), rank);
    way->ops->send(way, op, rank, tag, from, bytes);
}

static void route_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct mu_transport *way = by(route_of(transport), rank);
    way->ops->receive(way, op, rank, tag, to, bytes);
}

static bool poll_one(struct mu_transport *transport)
{
    return transport->ops->poll && transport->ops->poll(transport);
}

static bool route_poll(struct mu_transport *transport)
{
    struct route *route = route_of(transport);
    bool near = poll_one(route->near), far = poll_one(route->far);
    return near || far;
}

/* ---- waiting ---- */

static void see(struct route *route)
{
    for (int rank = 0; rank < route->base.count; rank++)
        if (route->by[rank]->seen)
            route->base.seen[rank] = route->by[rank]->seen[rank];
}

static void look_one(struct mu_transport *transport)
{
    if (transport->ops->look)
        transport->ops->look(transport);
}

static void route_look(struct mu_transport *transport)
{
    struct route *route = route_of(transport);
    look_one(route->near);
    look_one(route->far);
    see(route);
}

/* In slices, as long as the other way has something to move that only polling moves. */
static enum mu_status wait_both(struct route *route, struct mu_transport *way,
    struct mu_transport *other, struct mu_op *op, int64_t deadline_ns)
{
    while (poll_one(other)) {
        int64_t slice_ns = mu_now(route->world) + SLICE_NS;
        if (slice_ns >= deadline_ns)
            break;
        enum mu_status status = way->ops->wait(way, op, slice_ns);
        if (status != MU_TIMEOUT)
            return status;
        if (__atomic_load_n(&op->done, __ATOMIC_ACQUIRE)) /* since: its way says how */
            break;
    }
    return way->ops->wait(way, op, deadline_ns);
}

static enum mu_status route_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct route *route = route_of(transport);
    struct mu_transport *way = by(route, op->rank);
    struct mu_transport *other = way == route->near ? route->far : route->near;
    enum mu_status status = wait_both(route, way, other, op, deadline_ns);
    if (status != MU_OK)
        route_look(transport);
    else if (way->seen)
        route->base.seen[op->rank].signature = way->seen[op->rank].signature;
    return status;
}

static bool reaches(struct mu_transport *transport, int rank)
{
    return !transport->ops->reaches || transport->ops->reaches(transport, rank);
}

static bool route_reaches(struct mu_transport *transport, int rank)
{
    return reaches(route_of(transport)->by[rank], rank);
}

/* ---- saying and asking why ---- */

static void abort_one(
    struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    if (transport->ops->abort)
        transport->ops->abort(transport, status, late, why);
}

static void route_abort(
    struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    struct route *route = route_of(transport);
    abort_one(pass_on(route, route->near), status, late, why);
    abort_one(pass_on(route, route->far), status, late, why);
}

static void survey_one(struct mu_transport *transport, int64_t deadline_ns)
{
    if (transport->ops->survey)
        transport->ops->survey(transport, deadline_ns);
}

/* Half of the time for each: one that is stopped near must not hide those that answer from afar. */
static void route_survey(struct mu_transport *transport, int64_t deadline_ns)
{
    struct route *route = route_of(transport);
    int64_t now_ns = mu_now(route->world);
    survey_one(route->near, now_ns + (deadline_ns - now_ns) / 2);
    survey_one(route->far, deadline_ns);
    see(route);
}

/* ---- life ---- */

static void route_close(struct mu_transport *transport)
{
    struct route *route = route_of(transport);
    route->near->ops->close(route->near);
    route->far->ops->close(route->far);
    mu_swap_free_kept(transport);
    free(route->base.seen);
    free(route->by);
    free(route);
}

const struct mu_transport_ops mu_route_ops = {
    .name = "route",
    .doc = "shared memory to the ranks of this host, tcp to the others",
    .send = route_send,
    .receive = route_receive,
    .wait = route_wait,
    .poll = route_poll,
    .reaches = route_reaches,
    .abort = route_abort,
    .look = route_look,
    .survey = route_survey,
    .close = route_close,
};

static enum mu_status create(
    struct mu_transport *near, struct mu_transport *far, struct route **ret_route)
{
    struct route *route = calloc(1, sizeof(*route));
    if (!route)
        return MU_NO_MEMORY;
    size_t count = (size_t)near->count;
    route->base = (struct mu_transport){.ops = &mu_route_ops,
        .rank = near->rank,
        .count = near->count,
        .loop = far->loop,
        .names = far->names};
    route->base.seen = calloc(count, sizeof(*route->base.seen));
    route->by = calloc(count, sizeof(struct mu_transport *));
    if (!route->base.seen || !route->by) {
        free(route->base.seen);
        free(route->by);
        free(route);
        return MU_NO_MEMORY;
    }
    *ret_route = route;
    return MU_OK;
}

enum mu_status mu_route_open(struct mu_world *world, struct mu_transport *near,
    struct mu_transport *far, struct mu_transport **ret_transport)
{
    assert(near->rank == far->rank && near->count == far->count);
    struct route *route;
    enum mu_status status = create(near, far, &route);
    if (status != MU_OK) {
        near->ops->close(near);
        far->ops->close(far);
        return status;
    }
    route->world = world;
    route->near = near;
    route->far = far;
    for (int rank = 0; rank < near->count; rank++)
        route->by[rank] = reaches(near, rank) ? near : far;
    *ret_transport = &route->base;
    return MU_OK;
}
