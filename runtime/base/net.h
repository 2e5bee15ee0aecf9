/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_NET_H
#define MU_BASE_NET_H

#include "runtime/base/world.h"

/*
 * The network half of the world seam: an event loop and byte streams, owned by one thread. All
 * calls and all callbacks are on that thread, except wake. Callbacks run only inside turn; they
 * finish an operation or append to a queue and never wait, turn, or run an algorithm.
 * The real driver is runtime/io/loop.c (libuv), the simulated one sim/sim_net.c. Framing,
 * handshakes and everything above is the same code on both.
 */
#define MU_HOST_MAX 256

/* "10.0.0.1", "::1" (no brackets) or a name; port in host order. "unix:NAME", in the real world
 * only: a socket of this host that ends with its listener, for processes of the same user; the port
 * says nothing. */
struct mu_address {
    char host[MU_HOST_MAX];
    int port;
};

struct mu_stream;
struct mu_listener;
struct mu_timer;

/* What an owner of a stream is told. */
struct mu_stream_events {
    /* The connect has finished: OK, or why not, with the errno. After a failure the stream is
     * closed by itself. Not called for accepted streams. */
    void (*connected)(void *owner, enum mu_status status, int error);
    /* Where may the next bytes go? Sets *ret_bytes to 0 to take none until `resume`. */
    void (*room)(void *owner, void **ret_at, size_t *ret_bytes);
    /* `bytes` > 0 were put at the place that room named. */
    void (*got)(void *owner, size_t bytes);
    /* The peer closed (error 0) or the stream broke (errno). Writes that were under way have
     * finished with CLOSED before this. The owner still has to close the stream. */
    void (*ended)(void *owner, int error);
};

struct mu_part {
    const void *at;
    size_t bytes;
};
#define MU_PARTS_MAX 3

/* One write, in the caller's memory until it is done. */
struct mu_write {
    void (*done)(struct mu_write *write, enum mu_status status); /* OK, CLOSED */
    void *owner;
    void *driver[4]; /* of the loop's driver */
};

struct mu_net_ops {
    void (*destroy)(struct mu_loop *loop); /* every stream, listener and timer closed before */

    /* Runs what is ready; if nothing is, waits for something, a wake, or the deadline (which may
     * have passed: then it only polls). OK if anything ran or woke, TIMEOUT otherwise. */
    enum mu_status (*turn)(struct mu_loop *loop, int64_t deadline_ns);
    /* Makes the current or the next turn return. From any thread. */
    void (*wake)(struct mu_loop *loop);

    /* Accepts at exactly this address. `error` gets the errno: UNAVAILABLE (in use, EADDRINUSE),
     * CONFIG (not of this host, EADDRNOTAVAIL), NO_INPUT (its name cannot be resolved, or with
     * EAGAIN not yet: to be tried again at once), NO_MEMORY, IO_ERROR. `accepted` gets streams
     * without owner: it must own or close them before it returns. Port 0 is not allowed here.
     * `inherited_fd` >= 0: a listening socket that the launcher has bound already. */
    enum mu_status (*listen)(struct mu_loop *loop, const struct mu_address *address,
        int inherited_fd, void (*accepted)(void *owner, struct mu_stream *stream), void *owner,
        struct mu_listener **ret_listener, int *ret_error);
    void (*listener_close)(struct mu_listener *listener); /* takes NULL */

    /* Starts to connect; `connected` follows, always from a later turn. Resolving a name is part of
     * it (status NO_INPUT if the name cannot be resolved). NO_MEMORY; UNAVAILABLE if it is known at
     * once that there is no way there: then nothing was made and nothing follows. */
    enum mu_status (*connect)(struct mu_loop *loop, const struct mu_address *address,
        const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream);
    /* Takes an accepted stream; reading starts. */
    void (*own)(struct mu_stream *stream, const struct mu_stream_events *events, void *owner);
    /* Writes all parts in order, after the writes before it; their memory stays the caller's and
     * unchanged until done is called, which may be before this returns only if `done` is then
     * called from inside it; the caller must allow for that. */
    void (*write)(struct mu_stream *stream, struct mu_write *write, const struct mu_part *parts,
        int part_count);
    /* Asks `room` again after it gave none. */
    void (*resume)(struct mu_stream *stream);
    /* Has the other end's host all that was written and is done? What it has not is lost if the
     * stream is closed while something is unread, or comes. Never waits. */
    bool (*delivered)(struct mu_stream *stream);
    /* For large writes: of a stream inside one host the kernel holds about so many bytes, so that
     * what is written is still in a cache when it is read. NULL: the driver knows no such thing. */
    void (*hold_at_most)(struct mu_stream *stream, int bytes);
    /* "10.0.0.3:41233", the other end. */
    void (*peer_name)(struct mu_stream *stream, char *out, size_t bytes);
    /* No callback comes after this, except `done` with CLOSED for writes that were under way, from
     * inside it. Takes NULL. */
    void (*close)(struct mu_stream *stream);

    /* Calls `fired` every `period_ns`, from inside a turn. NO_MEMORY. */
    enum mu_status (*timer_start)(struct mu_loop *loop, int64_t period_ns,
        void (*fired)(void *owner), void *owner, struct mu_timer **ret_timer);
    void (*timer_stop)(struct mu_timer *timer); /* takes NULL */
};

/* The head of every driver's loop. */
struct mu_loop {
    const struct mu_net_ops *ops;
    struct mu_world *world;
    /* Once not OK, every wait on this loop returns it: somebody was lost, or the user said stop. */
    enum mu_status cancelled;
    int processors; /* that this process may run on; 0: time stands still while one looks */
    /* How mu_loop_until waits, set by who waits: it looks again and again for so long before it
     * sleeps, because to sleep and be woken takes longer than most messages. 0: it sleeps at once.
     * Only where there are processors. */
    int64_t spin_ns;
    int64_t
        crowded_until_ns; /* others want the processors: till then nobody looks again and again */
    /* Set by who turns the loop soon after it has written: small writes wait for the next turn, to
     * leave together. A driver may write at once all the same. */
    bool gathers;
};

/* One turn that waits for nothing: between two pieces of what takes long, so that others hear of
 * this process meanwhile. NULL: nobody has to. */
void mu_loop_poll(struct mu_loop *loop);

/* One turn of a wait that has begun at `began_ns`: looks, or sleeps if it has looked for spin_ns.
 */
void mu_loop_wait(struct mu_loop *loop, int64_t began_ns, int64_t now_ns, int64_t deadline_ns);

/* Turns the loop until *flag is true, the loop is cancelled or the deadline passes: OK, the
 * cancelling status, or TIMEOUT. The one place where straight-line code waits for the network. */
enum mu_status mu_loop_until(struct mu_loop *loop, const bool *flag, int64_t deadline_ns);

#endif
