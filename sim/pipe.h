/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_PIPE_H
#define MU_SIM_PIPE_H

#include "runtime/base/net.h"
#include "sim/agenda.h"

/*
 * How long bytes take. A port is the network card of a task: what leaves it goes out one chunk
 * after the other at its rate, and so does what comes in. A pipe is one direction of a connection
 * between two ports.
 *
 *   written ----> departed ----> (latency) ----> arrived ----> taken
 *        egress queue of               ingress queue of
 *        the sender's port             the receiver's port
 *
 * A pipe that has bytes queues for its port with one chunk at a time, so that connections share a
 * port evenly. A chunk comes in while it goes out (the receiver's port works on its first bytes
 * when they are there): alone on the wire, n bytes arrive after n / rate + latency. What a receiver
 * does not take stays here, and a full window stops the sender, as a socket's buffers do.
 */
#define MU_PIPE_CHUNK_BYTES (256 * 1024)
#define MU_PIPE_WINDOW_BYTES (4 * 1024 * 1024)
static_assert(MU_PIPE_WINDOW_BYTES >= 2 * MU_PIPE_CHUNK_BYTES, "a window holds chunks");

struct mu_port {
    struct mu_agenda *agenda;
    int64_t bits_per_second; /* each way; 0: no limit */
    struct mu_event departed;
    struct mu_pipe *sending;      /* the chunk that goes out is its */
    uint64_t sending_end;         /* where in the pipe the chunk ends */
    struct mu_pipe *first, *last; /* that have something to send */
    int64_t ingress_free_ns;
};

/* What the ends of a pipe are told. */
struct mu_pipe_events {
    void (*departed)(void *owner); /* bytes have left the sender's port */
    void (*arrived)(void *owner);  /* there are bytes to take, or the end */
    /* Latency of what sets out now; MU_FOREVER: it will never arrive, nor anything after it. */
    int64_t (*latency_ns)(void *owner);
};

struct mu_pipe {
    struct mu_port *from, *to;
    const struct mu_pipe_events *events;
    void *owner;
    bool open; /* the connection is made: bytes may set out */
    uint64_t written, sent, departed, arrived, taken; /* bytes; sent: of chunks that were started */
    struct mu_parcel *first, *last;                   /* the bytes that were not taken yet */
    struct mu_chunk *flight_first, *flight_last;      /* the chunks between the ports */
    int64_t heads_ns; /* when the first byte of the last chunk arrives */

    bool ending, end_sent, end_arrived, lost;
    int error; /* of the end: 0 or an errno */
    bool queued;
    struct mu_pipe *next; /* in the queue of its port */
};

enum mu_status mu_port_init(
    struct mu_port *port, struct mu_agenda *agenda, int64_t bits_per_second); /* NO_MEMORY */
void mu_port_finish(struct mu_port *port);

void mu_pipe_init(struct mu_pipe *pipe, struct mu_port *from, struct mu_port *to,
    const struct mu_pipe_events *events, void *owner);
void mu_pipe_finish(struct mu_pipe *pipe); /* forgets what is under way */
void mu_pipe_open(struct mu_pipe *pipe);
/* Copies the bytes. NO_MEMORY: nothing was written. */
enum mu_status mu_pipe_write(struct mu_pipe *pipe, const struct mu_part *parts, int part_count);
/* Forgets the bytes that have not set out. Nothing is written afterwards. */
void mu_pipe_drop(struct mu_pipe *pipe);
/* Once. The end follows the chunks that have set out; what has not is dropped. */
void mu_pipe_end(struct mu_pipe *pipe, int error);
size_t mu_pipe_available(const struct mu_pipe *pipe); /* bytes to take */
/* Takes the next bytes, at most what is available. */
void mu_pipe_take(struct mu_pipe *pipe, void *at, size_t bytes);

#endif
