/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/inproc.h"
#include "collectives/swap.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>

/* What is under way from one rank to another: the sends and the receives that have not met. */
struct pair {
    struct mu_op *sends, **last_send;
    struct mu_op *receives, **last_receive;
    enum mu_status over; /* why nothing goes this way any more; OK: it does */
};

struct rank;

struct mu_inproc_hub {
    struct mu_world *world;
    struct mu_monitor *monitor;
    int count;
    struct rank *ranks; /* (count) */
    struct pair *pairs; /* (from, to) */
};

/* What the others may know of a rank. */
struct rank {
    bool gone;
    bool is_signed; /* its last message was part of: */
    struct mu_signature signature;
    int64_t since_ns;
    bool inside;
    enum mu_status ended;
    struct mu_signature ended_in;
    int late;
    char farewell[sizeof((struct mu_seen){0}.farewell)];
};

struct inproc {
    struct mu_transport base;
    struct mu_inproc_hub *hub;
};

static struct pair *pair_of(struct mu_inproc_hub *hub, int from, int to)
{
    return &hub->pairs[from * hub->count + to];
}

static void push(struct mu_op **first, struct mu_op ***last, struct mu_op *op)
{
    (void)first;
    **last = op;
    *last = &op->next;
}

static struct mu_op *pop(struct mu_op **first, struct mu_op ***last)
{
    struct mu_op *op = *first;
    *first = op->next;
    if (!*first)
        *last = first;
    return op;
}

static void finish(struct mu_op *op, enum mu_status status)
{
    op->status = status;
    __atomic_store_n(&op->done, true, __ATOMIC_RELEASE); /* its thread may look outside */
}

static bool same_operation(const struct rank *a, const struct rank *b)
{
    return !a->is_signed || !b->is_signed || mu_signature_equal(&a->signature, &b->signature);
}

static void end_pair(struct pair *pair, enum mu_status why)
{
    while (pair->sends)
        finish(pop(&pair->sends, &pair->last_send), why);
    while (pair->receives)
        finish(pop(&pair->receives, &pair->last_receive), why);
    if (pair->over == MU_OK)
        pair->over = why;
}

/* Do both wait for the other, in different operations? */
static bool differ(struct mu_inproc_hub *hub, int a, int b)
{
    const struct pair *out = pair_of(hub, a, b), *in = pair_of(hub, b, a);
    return (out->sends || in->receives) && (in->sends || out->receives) &&
           !same_operation(&hub->ranks[a], &hub->ranks[b]);
}

static void disagree(struct mu_inproc_hub *hub, int a, int b)
{
    end_pair(pair_of(hub, a, b), MU_PROTOCOL);
    end_pair(pair_of(hub, b, a), MU_PROTOCOL);
}

/* The oldest send meets the oldest receive. Inside the monitor. */
static void meet(struct mu_inproc_hub *hub, int from, int to)
{
    struct pair *pair = pair_of(hub, from, to);
    if (differ(hub, from, to))
        disagree(hub, from, to);
    while (pair->sends && pair->receives) {
        struct mu_op *send = pair->sends, *receive = pair->receives;
        bool same = same_operation(&hub->ranks[from], &hub->ranks[to]);
        if (!same || send->tag != receive->tag || send->bytes != receive->bytes) {
            disagree(hub, from, to);
            return;
        }
        memcpy(receive->at, send->at, send->bytes);
        finish(pop(&pair->sends, &pair->last_send), MU_OK);
        finish(pop(&pair->receives, &pair->last_receive), MU_OK);
    }
}

/* Inside the monitor. */
static void sign(struct mu_inproc_hub *hub, const struct mu_transport *transport)
{
    struct rank *us = &hub->ranks[transport->rank];
    us->is_signed = transport->signature != NULL;
    if (!us->is_signed || mu_signature_equal(&us->signature, transport->signature))
        return;
    us->signature = *transport->signature;
    us->since_ns = mu_now(hub->world);
}

/* Inside the monitor. */
static void look_at(struct mu_inproc_hub *hub, struct mu_transport *transport, int rank)
{
    const struct rank *them = &hub->ranks[rank];
    struct mu_seen *seen = &transport->seen[rank];
    seen->signature = them->signature;
    seen->since_ns = them->since_ns;
    seen->inside = them->inside;
    seen->ended = them->ended;
    seen->ended_in = them->ended_in;
    seen->late = them->late;
    memcpy(seen->farewell, them->farewell, sizeof(seen->farewell));
}

static void post(struct inproc *inproc, struct mu_op *op, int from, int to, bool is_send)
{
    struct mu_inproc_hub *hub = inproc->hub;
    struct pair *pair = pair_of(hub, from, to);
    hub->world->ops->enter(hub->world, hub->monitor);
    sign(hub, &inproc->base);
    if (pair->over != MU_OK) {
        finish(op, pair->over);
    } else {
        if (is_send)
            push(&pair->sends, &pair->last_send, op);
        else
            push(&pair->receives, &pair->last_receive, op);
        meet(hub, from, to);
        hub->world->ops->notify(hub->world, hub->monitor);
    }
    hub->world->ops->leave(hub->world, hub->monitor);
}

static void inproc_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    /* The receiver only reads from there. */
    *op = (struct mu_op){.rank = rank, .tag = tag, .at = (void *)(uintptr_t)from, .bytes = bytes};
    post((struct inproc *)transport, op, transport->rank, rank, true);
}

static void inproc_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    *op = (struct mu_op){.rank = rank, .tag = tag, .at = to, .bytes = bytes};
    post((struct inproc *)transport, op, rank, transport->rank, false);
}

static enum mu_status inproc_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct mu_inproc_hub *hub = ((struct inproc *)transport)->hub;
    struct rank *us = &hub->ranks[transport->rank];
    enum mu_status waited = MU_OK;
    hub->world->ops->enter(hub->world, hub->monitor);
    us->inside = true;
    while (!op->done && waited != MU_TIMEOUT)
        waited = hub->world->ops->wait(hub->world, hub->monitor, deadline_ns);
    enum mu_status status = op->done ? op->status : MU_TIMEOUT;
    us->inside = status != MU_OK;
    look_at(hub, transport, op->rank);
    hub->world->ops->leave(hub->world, hub->monitor);
    return status;
}

/* Whoever waits for a rank that has gone hears so. Inside the monitor. */
static void leave(struct mu_inproc_hub *hub, int rank, enum mu_status why)
{
    hub->ranks[rank].gone = true;
    for (int peer = 0; peer < hub->count; peer++) {
        end_pair(pair_of(hub, rank, peer), why);
        end_pair(pair_of(hub, peer, rank), why);
    }
    hub->world->ops->notify(hub->world, hub->monitor);
}

static void inproc_abort(
    struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    struct mu_inproc_hub *hub = ((struct inproc *)transport)->hub;
    struct rank *us = &hub->ranks[transport->rank];
    hub->world->ops->enter(hub->world, hub->monitor);
    mu_text_copy(us->farewell, sizeof(us->farewell), why);
    us->ended = mu_seen_status(status);
    if (transport->signature)
        us->ended_in = transport->operation ? *transport->operation : *transport->signature;
    us->late = late;
    leave(hub, transport->rank, us->ended);
    hub->world->ops->leave(hub->world, hub->monitor);
}

static void inproc_look(struct mu_transport *transport)
{
    struct mu_inproc_hub *hub = ((struct inproc *)transport)->hub;
    hub->world->ops->enter(hub->world, hub->monitor);
    for (int rank = 0; rank < hub->count; rank++) {
        look_at(hub, transport, rank);
        transport->seen[rank].answers = !hub->ranks[rank].gone;
    }
    hub->world->ops->leave(hub->world, hub->monitor);
}

static void inproc_survey(struct mu_transport *transport, int64_t deadline_ns)
{
    (void)deadline_ns; /* nobody needs to be asked */
    inproc_look(transport);
}

static void inproc_close(struct mu_transport *transport)
{
    struct mu_inproc_hub *hub = ((struct inproc *)transport)->hub;
    hub->world->ops->enter(hub->world, hub->monitor);
    leave(hub, transport->rank, MU_CLOSED);
    hub->world->ops->leave(hub->world, hub->monitor);
    mu_swap_free_kept(transport);
    free(transport->seen);
    free(transport);
}

const struct mu_transport_ops mu_inproc_ops = {
    .name = "inproc",
    .doc = "ranks are threads of one process; for tests",
    .send = inproc_send,
    .receive = inproc_receive,
    .wait = inproc_wait,
    .abort = inproc_abort,
    .look = inproc_look,
    .survey = inproc_survey,
    .close = inproc_close,
};

enum mu_status mu_inproc_hub_create(
    struct mu_world *world, int count, struct mu_inproc_hub **ret_hub)
{
    struct mu_inproc_hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return MU_NO_MEMORY;
    size_t pair_count = (size_t)count * (size_t)count;
    *hub = (struct mu_inproc_hub){.world = world, .count = count};
    hub->ranks = calloc((size_t)count, sizeof(*hub->ranks));
    hub->pairs = calloc(pair_count, sizeof(*hub->pairs));
    if (!hub->ranks || !hub->pairs || world->ops->monitor_create(world, &hub->monitor) != MU_OK) {
        mu_inproc_hub_destroy(hub);
        return MU_NO_MEMORY;
    }
    for (size_t i = 0; i < pair_count; i++) {
        hub->pairs[i].last_send = &hub->pairs[i].sends;
        hub->pairs[i].last_receive = &hub->pairs[i].receives;
    }
    *ret_hub = hub;
    return MU_OK;
}

void mu_inproc_hub_destroy(struct mu_inproc_hub *hub)
{
    if (!hub)
        return;
    hub->world->ops->monitor_destroy(hub->world, hub->monitor);
    free(hub->ranks);
    free(hub->pairs);
    free(hub);
}

enum mu_status mu_inproc_open(
    struct mu_inproc_hub *hub, int rank, struct mu_transport **ret_transport)
{
    struct inproc *inproc = calloc(1, sizeof(*inproc));
    if (!inproc)
        return MU_NO_MEMORY;
    inproc->base = (struct mu_transport){.ops = &mu_inproc_ops, .rank = rank, .count = hub->count};
    inproc->base.seen = calloc((size_t)hub->count, sizeof(*inproc->base.seen));
    if (!inproc->base.seen) {
        free(inproc);
        return MU_NO_MEMORY;
    }
    inproc->hub = hub;
    *ret_transport = &inproc->base;
    return MU_OK;
}
