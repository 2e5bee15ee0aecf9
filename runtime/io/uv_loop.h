/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_UV_LOOP_H
#define MU_IO_UV_LOOP_H

#include "runtime/base/net.h"
#include <stdatomic.h>
#include <uv.h>

/*
 * The real driver of net.h, on libuv: loop.c turns, conn.c and conn_write.c have the streams,
 * listener.c accepts. Besides these files, real_world.c includes it, to make loops.
 */
struct mu_uv_write;

struct mu_uv_loop {
    struct mu_loop base;
    uv_loop_t uv;
    uv_poll_t wakeup; /* of wake_fd */
    int wake_fd;
    atomic_bool woken; /* and not yet seen: wake_fd can be read */
    uv_timer_t deadline;
    int64_t deadline_ns; /* what the timer is set to; MU_FOREVER: stopped */
    uint64_t happened;   /* callbacks so far: how turn knows that something ran */
    uint64_t turns;
    struct mu_stream *fresh;     /* connected at once: told so by the next turn */
    struct mu_stream *resolving; /* their hosts' names are being resolved */
    struct mu_stream *gathering; /* have writes that wait for the next turn */
    struct mu_uv_write *free_writes;
};

enum mu_status mu_uv_loop_create(struct mu_world *world, struct mu_loop **ret_loop);
/* From any thread. */
void mu_uv_wake(struct mu_uv_loop *loop);

/* conn.c */
enum mu_status mu_uv_connect(struct mu_loop *loop, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream);
void mu_uv_tell_fresh(struct mu_uv_loop *loop);
void mu_uv_tell_resolved(struct mu_uv_loop *loop);
/* A stream for the connection that is ready to be accepted; NULL if it cannot be. */
struct mu_stream *mu_uv_accept(struct mu_uv_loop *loop, uv_stream_t *server);
void mu_uv_own(struct mu_stream *stream, const struct mu_stream_events *events, void *owner);
void mu_uv_write(
    struct mu_stream *stream, struct mu_write *write, const struct mu_part *parts, int part_count);
void mu_uv_resume(struct mu_stream *stream);
bool mu_uv_delivered(struct mu_stream *stream);
void mu_uv_hold_at_most(struct mu_stream *stream, int bytes);
void mu_uv_peer_name(struct mu_stream *stream, char *out, size_t bytes);
void mu_uv_close(struct mu_stream *stream);
/* Writes what all streams have gathered. False: there was nothing. */
bool mu_uv_flush_all(struct mu_uv_loop *loop);
/* Records for as many writes at once as a training step makes, so that none is made on the way.
 * False: no memory; free what there is. */
bool mu_uv_writes_reserve(struct mu_uv_loop *loop);
void mu_uv_writes_free(struct mu_uv_loop *loop);

/* listener.c */
enum mu_status mu_uv_listen(struct mu_loop *loop, const struct mu_address *address,
    int inherited_fd, void (*accepted)(void *owner, struct mu_stream *stream), void *owner,
    struct mu_listener **ret_listener, int *ret_error);
void mu_uv_listener_close(struct mu_listener *listener);

#endif
