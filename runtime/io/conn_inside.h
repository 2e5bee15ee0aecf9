/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_CONN_INSIDE_H
#define MU_IO_CONN_INSIDE_H

#include "runtime/io/uv_loop.h"

/*
 * A stream from inside. conn.c: its life and what it reads; conn_write.c: what it writes.
 */
struct mu_question;

/* Writes that wait for others to leave with them, see struct mu_loop. */
#define MU_UV_GATHERED_MAX 64
#define MU_UV_GATHERED_BYTES_MAX ((size_t)256 << 10)

struct mu_uv_gathered {
    struct mu_stream *next, **link; /* in loop->gathering; the link is NULL if not */
    int write_count;
    unsigned buffer_count;
    size_t bytes;
    struct mu_write *writes[MU_UV_GATHERED_MAX];
    uint8_t parts[MU_UV_GATHERED_MAX]; /* of each write */
    uv_buf_t buffers[MU_UV_GATHERED_MAX * MU_PARTS_MAX];
};

struct mu_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connecting;
    struct mu_question *question; /* while its host's name is being resolved, for */
    int port;
    struct mu_uv_loop *loop;
    const struct mu_stream_events *events;
    void *owner;
    struct mu_uv_write *writes;     /* under way, newest first */
    struct mu_uv_gathered gathered; /* after those */
    struct mu_stream *next, **link; /* in loop->fresh or ->resolving; the link is NULL if not */
    bool reading;
    uint64_t turn;    /* of the loop, in which it has read: */
    size_t turn_got;  /* bytes */
    bool closing;     /* the handle is being closed: by the owner, or because the stream broke */
    bool handle_gone; /* it has been */
    bool closed;      /* the owner needs the stream no more */
};

/* Writes now what was gathered; what the socket does not take stays. */
void mu_uv_flush(struct mu_stream *stream);
/* The handle is being closed: all writes under way end with CLOSED. */
void mu_uv_writes_abandon(struct mu_stream *stream);

#endif
