/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TRANSPORT_H
#define MU_COLLECTIVES_TRANSPORT_H

#include "runtime/base/world.h"
#include "runtime/io/link.h"

/*
 * Moves bytes between the ranks of a group, straight from and into the caller's memory. A transport
 * belongs to one thread of one rank. Messages from one rank to another arrive in order; each is
 * received by a receive with the same tag and the same length, posted in the order of sending. A
 * message that nobody has posted a receive for waits at its sender.
 */
struct mu_transport;

/* One send or receive under way, in the caller's memory: filled by the transport. */
struct mu_op {
    bool done;
    enum mu_status status; /* OK, CLOSED (the peer is gone), PROTOCOL (it sent something else) */
    int rank;              /* the peer */
    uint64_t tag;
    void *at;
    size_t bytes;
    struct mu_op *next;
    struct mu_send send;
};

struct mu_transport_ops {
    const char *name; /* "tcp" */
    const char *doc;
    /* Start; never block; the memory is the transport's until done. `bytes` > 0, at most
     * MU_FRAME_PAYLOAD_MAX. */
    void (*send)(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
        const void *from, size_t bytes);
    void (*receive)(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
        void *to, size_t bytes);
    /* Blocks until the op is done: its status, TIMEOUT, or what the loop was cancelled with. */
    enum mu_status (*wait)(struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns);
    /* Takes back what is under way and frees the transport. */
    void (*close)(struct mu_transport *transport);
};

struct mu_transport {
    const struct mu_transport_ops *ops;
    int rank, count;
};

/* The registry, for help and checks: "tcp", "inproc". NULL-terminated. */
extern const struct mu_transport_ops *const mu_transports[];

/*
 * tcp: over links that are greeted already. `link[r]` leads to rank r or is NULL where none is
 * needed; `incoming[r]` comes from rank r. The transport owns them from now on.
 */
enum mu_status mu_tcp_open(int rank, int count, uint32_t generation,
    struct mu_link *const outgoing[], struct mu_link *const incoming[],
    struct mu_transport **ret_transport);

/* inproc: ranks are threads of one world; for tests, and the oracle of the others. */
struct mu_inproc_hub;
enum mu_status mu_inproc_hub_create(
    struct mu_world *world, int count, struct mu_inproc_hub **ret_hub);
void mu_inproc_hub_destroy(struct mu_inproc_hub *hub); /* after all its transports */
enum mu_status mu_inproc_open(
    struct mu_inproc_hub *hub, int rank, struct mu_transport **ret_transport);

#endif
