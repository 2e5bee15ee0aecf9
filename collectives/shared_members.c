/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared_members.h"
#include <stdlib.h>

struct members {
    struct mu_transport base;
    struct mu_transport *whole;
    const int *member;
    struct mu_transport_ops ops; /* under the name of the whole */
    const char *names[];         /* (count) */
};

static struct members *members_of(struct mu_transport *transport)
{
    return (struct members *)transport;
}

static void members_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct members *members = members_of(transport);
    members->whole->ops->send(members->whole, op, members->member[rank], tag, from, bytes);
}

static void members_receive(struct mu_transport *transport, struct mu_op *op, int rank,
    uint64_t tag, void *to, size_t bytes)
{
    struct members *members = members_of(transport);
    members->whole->ops->receive(members->whole, op, members->member[rank], tag, to, bytes);
}

static enum mu_status members_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct members *members = members_of(transport);
    return members->whole->ops->wait(members->whole, op, deadline_ns);
}

static bool members_reaches(struct mu_transport *transport, int rank)
{
    struct members *members = members_of(transport);
    return !members->whole->ops->reaches ||
           members->whole->ops->reaches(members->whole, members->member[rank]);
}

static void members_close(struct mu_transport *transport)
{
    free(members_of(transport));
}

static const struct mu_transport_ops members_ops = {
    .send = members_send,
    .receive = members_receive,
    .wait = members_wait,
    .reaches = members_reaches,
    .close = members_close,
};

enum mu_status mu_shared_members_open(
    const struct mu_group *group, struct mu_transport **ret_transport)
{
    struct mu_transport *whole = group->transport;
    struct members *members =
        calloc(1, sizeof(*members) + (size_t)group->count * sizeof(*members->names));
    if (!members)
        return MU_NO_MEMORY;
    members->whole = whole;
    members->member = group->member;
    members->ops = members_ops;
    members->ops.name = whole->ops->name;
    members->ops.doc = whole->ops->doc;
    members->base = (struct mu_transport){.ops = &members->ops,
        .rank = group->rank,
        .count = group->count,
        .loop = whole->loop,
        .whole = whole};
    for (int rank = 0; whole->names && rank < group->count; rank++)
        members->names[rank] = whole->names[group->member[rank]];
    if (whole->names)
        members->base.names = members->names;
    *ret_transport = &members->base;
    return MU_OK;
}
