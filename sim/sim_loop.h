/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_LOOP_H
#define MU_SIM_LOOP_H

#include "sim/sim_net.h"

/* What sim_net.c and sim_stream.c share. */

/* Something whose owner has to be called back, at the next turn of its loop. */
struct mu_sim_item {
    struct mu_sim_loop *loop;
    void (*run)(struct mu_sim_item *item);
    struct mu_sim_item *next, *previous;
    uint64_t turn; /* in which it was queued */
    bool queued;
};

struct mu_sim_loop {
    struct mu_loop base;
    struct mu_sim_host *host;
    struct mu_strand *strand; /* its owner */
    struct mu_sim_item *first, *last;
    uint64_t turn;
    bool woken, waiting;
    struct mu_timer *timers;
    struct mu_sim_loop *next; /* of the host */
};

struct mu_listener {
    struct mu_sim_item item;
    int port;
    void (*accepted)(void *owner, struct mu_stream *stream);
    void *owner;
    struct mu_stream *first; /* the backlog, by next_in_backlog */
    bool closed, running;
    struct mu_listener *next; /* of the host */
};

void mu_sim_item_queue(struct mu_sim_item *item);
void mu_sim_item_unqueue(struct mu_sim_item *item);

/* The host at an address as seen from another; NULL if there is none. */
struct mu_sim_host *mu_sim_net_find(struct mu_sim_host *from, const char *address);
struct mu_listener *mu_sim_net_listener(struct mu_sim_host *host, int port);
int64_t mu_sim_net_latency_ns(const struct mu_sim_host *from, const struct mu_sim_host *to);

/* sim_stream.c */
enum mu_status mu_sim_stream_connect(struct mu_loop *loop, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream);
void mu_sim_stream_own(
    struct mu_stream *stream, const struct mu_stream_events *events, void *owner);
void mu_sim_stream_write(
    struct mu_stream *stream, struct mu_write *write, const struct mu_part *parts, int part_count);
void mu_sim_stream_resume(struct mu_stream *stream);
bool mu_sim_stream_delivered(struct mu_stream *stream);
void mu_sim_stream_peer_name(struct mu_stream *stream, char *out, size_t bytes);
void mu_sim_stream_close(struct mu_stream *stream);
/* Takes the oldest stream of a backlog; NULL if there is none. */
struct mu_stream *mu_sim_stream_next(struct mu_listener *listener);
/* Hands it to `accepted`. */
void mu_sim_stream_hand_over(struct mu_listener *listener, struct mu_stream *stream);
/* Ends every stream of a host without telling its owners. */
void mu_sim_stream_reset_all(struct mu_sim_host *host);

#endif
