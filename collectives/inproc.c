/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/inproc.h"
#include <stdlib.h>
#include <string.h>

/* What is under way from one rank to another: the sends and the receives that have not met. */
struct pair {
    struct mu_op *sends, **last_send;
    struct mu_op *receives, **last_receive;
};

struct mu_inproc_hub {
    struct mu_world *world;
    struct mu_monitor *monitor;
    int count;
    bool *gone;         /* (count) */
    struct pair *pairs; /* (from, to) */
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
    op->done = true;
}

/* The oldest send meets the oldest receive. Inside the monitor. */
static void meet(struct pair *pair)
{
    while (pair->sends && pair->receives) {
        struct mu_op *send = pop(&pair->sends, &pair->last_send);
        struct mu_op *receive = pop(&pair->receives, &pair->last_receive);
        bool agree = send->tag == receive->tag && send->bytes == receive->bytes;
        if (agree)
            memcpy(receive->at, send->at, send->bytes);
        finish(send, agree ? MU_OK : MU_PROTOCOL);
        finish(receive, agree ? MU_OK : MU_PROTOCOL);
    }
}

static void post(struct inproc *inproc, struct mu_op *op, int from, int to, bool is_send)
{
    struct mu_inproc_hub *hub = inproc->hub;
    struct pair *pair = pair_of(hub, from, to);
    hub->world->ops->enter(hub->world, hub->monitor);
    if (hub->gone[op->rank]) {
        finish(op, MU_CLOSED);
    } else {
        if (is_send)
            push(&pair->sends, &pair->last_send, op);
        else
            push(&pair->receives, &pair->last_receive, op);
        meet(pair);
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
    enum mu_status waited = MU_OK;
    hub->world->ops->enter(hub->world, hub->monitor);
    while (!op->done && waited != MU_TIMEOUT)
        waited = hub->world->ops->wait(hub->world, hub->monitor, deadline_ns);
    enum mu_status status = op->done ? op->status : MU_TIMEOUT;
    hub->world->ops->leave(hub->world, hub->monitor);
    return status;
}

/* A rank that has gone: whoever waits for it hears so. */
static void inproc_close(struct mu_transport *transport)
{
    struct mu_inproc_hub *hub = ((struct inproc *)transport)->hub;
    hub->world->ops->enter(hub->world, hub->monitor);
    hub->gone[transport->rank] = true;
    for (int peer = 0; peer < hub->count; peer++) {
        struct pair *to = pair_of(hub, transport->rank, peer);
        struct pair *from = pair_of(hub, peer, transport->rank);
        while (to->receives)
            finish(pop(&to->receives, &to->last_receive), MU_CLOSED);
        while (from->sends)
            finish(pop(&from->sends, &from->last_send), MU_CLOSED);
        while (to->sends)
            finish(pop(&to->sends, &to->last_send), MU_CLOSED);
        while (from->receives)
            finish(pop(&from->receives, &from->last_receive), MU_CLOSED);
    }
    hub->world->ops->notify(hub->world, hub->monitor);
    hub->world->ops->leave(hub->world, hub->monitor);
    free(transport);
}

const struct mu_transport_ops mu_inproc_ops = {
    .name = "inproc",
    .doc = "ranks are threads of one process; for tests",
    .send = inproc_send,
    .receive = inproc_receive,
    .wait = inproc_wait,
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
    hub->gone = calloc((size_t)count, sizeof(*hub->gone));
    hub->pairs = calloc(pair_count, sizeof(*hub->pairs));
    if (!hub->gone || !hub->pairs || world->ops->monitor_create(world, &hub->monitor) != MU_OK) {
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
    free(hub->gone);
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
    inproc->hub = hub;
    *ret_transport = &inproc->base;
    return MU_OK;
}
