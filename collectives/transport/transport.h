/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TRANSPORT_H
#define MU_COLLECTIVES_TRANSPORT_H

#include "collectives/request.h"
#include "runtime/base/log.h"
#include "runtime/base/world.h"
#include "runtime/io/link.h"

/*
 * Moves bytes between the ranks of a group, straight from and into the caller's memory. A transport
 * belongs to one thread of one rank. Messages from one rank to another arrive in order; each is
 * received by a receive with the same tag and the same length, posted in the order of sending. A
 * message that nobody has posted a receive for waits at its sender.
 */
struct mu_transport;

#define MU_SIGNATURE_NOTE_BYTES 96

/* One send or receive under way, in the caller's memory: filled by the transport. */
struct mu_op {
    bool done;
    enum mu_status status; /* OK, CLOSED (the peer is gone), PROTOCOL (it sent something else),
                            * TIMEOUT (some rank has waited too long, as it says) */
    int rank;              /* the peer */
    uint64_t tag;
    void *at;
    size_t bytes;
    struct mu_op *next;
    struct mu_send send;
    uint8_t note[MU_SIGNATURE_NOTE_BYTES]; /* our signatures, where they go with this message */
    /* Of a driver that sends a long message in parts: into how many it is cut (0: not known yet),
     * which are here, how many are still to leave. */
    uint8_t parts, arrived, leaving;
};

/* It leaves the list of what is under way. */
static inline void mu_op_end(struct mu_op **list, struct mu_op *op, enum mu_status status)
{
    struct mu_op **at = list;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    op->status = status;
    op->done = true;
}

struct mu_transport_ops {
    const char *name; /* "tcp" */
    const char *doc;
    /* Start; never block; the memory is the transport's until done. `bytes` > 0, at most
     * MU_FRAME_PAYLOAD_MAX. */
    void (*send)(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
        const void *from, size_t bytes);
    void (*receive)(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
        void *to, size_t bytes);
    /* Blocks until the op is done: its status, TIMEOUT, or what the loop was cancelled with. After
     * a TIMEOUT without `done` it may be waited for again. First
     * it spins for a short time: to sleep and be woken costs more than most messages. */
    enum mu_status (*wait)(struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns);
    /* Moves on what can be moved at once; false: nothing is under way any more. NULL: what is under
     * way moves by itself, or when the loop is turned. */
    bool (*poll)(struct mu_transport *transport);
    /* Is there a way to this rank? NULL: to all. */
    bool (*reaches)(struct mu_transport *transport, int rank);
    /* Tells the others why this rank goes no further, as far as that can be done at once; they find
     * it in `seen`. What they wait for ends with mu_seen_status(status). TIMEOUT: rank `late` has
     * not come; -1: it is not known who. NULL: they only see it gone. */
    void (*abort)(struct mu_transport *transport, enum mu_status status, int late, const char *why);
    /* Puts into `seen` what can be known without asking. NULL: it is there already. */
    void (*look)(struct mu_transport *transport);
    /* Asks all ranks what they are doing and waits for those that answer: in `seen`. NULL: only
     * what came by itself is known. Blocks. */
    void (*survey)(struct mu_transport *transport, int64_t deadline_ns);
    /* Takes back what is under way and frees the transport. */
    void (*close)(struct mu_transport *transport);
};

/* What is known about a rank, for messages. */
struct mu_seen {
    struct mu_signature signature; /* what it entered last; sequence 0: nothing yet */
    int64_t since_ns;              /* when this was heard */
    bool answers;                  /* it answered the last survey */
    bool hearsay;         /* heard, not read: what it does while it does not answer is not known */
    bool inside;          /* it was still in that operation when it last said so */
    enum mu_status ended; /* mu_seen_status of what it goes no further for; OK: it goes on */
    /* The operation that was its last, which it was not through with; sequence 0: not known. */
    struct mu_signature ended_in;
    int late;           /* TIMEOUT: the rank that it has waited for; -1: not known */
    char farewell[384]; /* why it said it would go no further; "" */
};

/* What waiting for a rank ends with that ends with `status`: ranks disagree, some rank has not
 * come, or anything else. */
static inline enum mu_status mu_seen_status(enum mu_status status)
{
    return status == MU_PROTOCOL || status == MU_TIMEOUT ? status : MU_CLOSED;
}

struct mu_swap;

struct mu_transport {
    const struct mu_transport_ops *ops;
    int rank, count;
    /* What this rank is doing; NULL: nothing is compared. It travels with the first message to each
     * rank; a receive from a rank that does something else ends with PROTOCOL, before any byte of
     * it is used, and `seen` has what that was. */
    const struct mu_signature *signature;
    /* Of which operation that is a step, for those who only ask what this rank does; NULL: none. */
    const struct mu_signature *operation;
    /* (members) the ranks that take part in that operation; NULL: all. What becomes of the others
     * ends nothing but what is waited for from them. */
    const int *member;
    int members;
    struct mu_seen *seen;       /* (count), of the driver */
    const char *const *names;   /* (count) "worker/1 (10.0.0.2:2222)"; NULL: rank numbers serve */
    struct mu_loop *loop;       /* that waits turn; NULL: none */
    struct mu_transport *whole; /* whose messages these are; NULL: our own */
    /* Swaps that failed, whose memory it still knows: freed by the driver when it has closed
     * (mu_swap_free_kept). */
    struct mu_swap *kept;
};

static inline bool mu_transport_takes_part(const struct mu_transport *transport, int rank)
{
    if (!transport->member)
        return true;
    for (int i = 0; i < transport->members; i++)
        if (transport->member[i] == rank)
            return true;
    return false;
}

/* A rank of the operation `ours` has gone no further than `last`: will it never be through with
 * ours? After the failure of an operation of another group it may have been before; whoever still
 * waits for something from it then learns that it will not come. */
static inline bool mu_signature_stops(
    const struct mu_signature *last, const struct mu_signature *ours)
{
    return last->sequence == 0 ||
           (last->group == ours->group && (int32_t)(last->sequence - ours->sequence) <= 0);
}

/* The registry, for help and checks: "inproc", "tcp", "shm", "route", "mpi". NULL-terminated. */
extern const struct mu_transport_ops *const mu_transports[];

/*
 * tcp: over links that are greeted already, both ways over the same: `link[r]` leads to rank r, or
 * is NULL where there is none. The transport owns them from now on. `loop`: of the links.
 */
enum mu_status mu_tcp_open(struct mu_loop *loop, int rank, int count, uint32_t generation,
    struct mu_link *const link[], struct mu_transport **ret_transport);
/*
 * Collective: ranks of the same host (as `home` says, see segments.h) put unix sockets in the place
 * of TCP between them, where that works; where it does not they stay as they are. A setting, so
 * that either can be measured.
 */
enum mu_status mu_tcp_move_home(
    struct mu_transport *tcp, struct mu_log *log, const bool home[], int64_t deadline_ns);

/*
 * Collective, before anything else is sent: further links between ranks of different hosts, over
 * which long messages go in parts, for links that one stream does not fill. `wanted`: how many
 * streams to each rank, 1 to MU_TCP_STREAMS_MAX, the least of what the ranks say; 0: as many as a
 * short measurement finds worth it, and one between ranks that are at `home` (NULL: not known, then
 * all are). Unix sockets stay alone in any case. The costs of measuring are two or three messages
 * of 256 KiB for each number that is tried. `links` of `more` gives a further link to each rank,
 * greeted and held, collectively; NULL where there is none.
 */
#define MU_TCP_STREAMS_MAX 8
struct mu_tcp_more {
    enum mu_status (*links)(void *owner, int64_t deadline_ns, struct mu_link *ret_link[]);
    void *owner;
};
enum mu_status mu_tcp_widen(struct mu_transport *tcp, struct mu_log *log, int wanted,
    const bool home[], const struct mu_tcp_more *more, int64_t deadline_ns);

/* shm: through rings of bytes in shared memory, to the ranks that `segments` reaches, each of
 * mu_shm_segment_bytes(count). Takes the segments; NO_MEMORY: they are closed. `messages` is
 * borrowed, its loop is turned while waiting; NULL: there is no loop. */
struct mu_segments;
size_t mu_shm_segment_bytes(int count);
enum mu_status mu_shm_open(struct mu_world *world, int rank, struct mu_segments *segments,
    struct mu_transport *messages, struct mu_transport **ret_transport);

/* route: to each rank by the first of the two that reaches it; takes both. NO_MEMORY: they are
 * closed. `near` may have borrowed `far`. */
enum mu_status mu_route_open(struct mu_world *world, struct mu_transport *near,
    struct mu_transport *far, struct mu_transport **ret_transport);

/* inproc: ranks are threads of one world; for tests, and the oracle of the others. */
struct mu_inproc_hub;
enum mu_status mu_inproc_hub_create(
    struct mu_world *world, int count, struct mu_inproc_hub **ret_hub);
void mu_inproc_hub_destroy(struct mu_inproc_hub *hub); /* after all its transports */
enum mu_status mu_inproc_open(
    struct mu_inproc_hub *hub, int rank, struct mu_transport **ret_transport);

#endif
