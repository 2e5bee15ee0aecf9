/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/uv_loop.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WRITES_RESERVED 32 /* of a loop, before it makes more */

struct mu_stream {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_getaddrinfo_t resolving;
    struct mu_uv_loop *loop;
    const struct mu_stream_events *events;
    void *owner;
    struct mu_uv_write *writes; /* under way, newest first */
    int port;
    bool resolving_now, reading;
    bool closing;     /* the handle is being closed: by the owner, or because the stream broke */
    bool handle_gone; /* it has been */
    bool closed;      /* the owner needs the stream no more */
};

/* libuv's part of a write. It is ours and not the caller's: after a close libuv still looks at it,
 * when the caller's memory may be gone. */
struct mu_uv_write {
    uv_write_t uv;
    struct mu_stream *stream;
    struct mu_write *write; /* NULL: its owner knows already */
    struct mu_uv_write *next, **link;
};

/* ---- life ---- */

static void stream_free_if_done(struct mu_stream *stream)
{
    if (stream->closed && stream->handle_gone && !stream->resolving_now)
        free(stream);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct mu_stream *stream = handle->data;
    stream->handle_gone = true;
    stream_free_if_done(stream);
}

static struct mu_stream *stream_create(struct mu_uv_loop *loop)
{
    struct mu_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->loop = loop;
    if (uv_tcp_init(&loop->uv, &stream->tcp) != 0) {
        free(stream);
        return NULL;
    }
    stream->tcp.data = stream;
    return stream;
}

static void unlink_write(struct mu_uv_write *write)
{
    *write->link = write->next;
    if (write->next)
        write->next->link = write->link;
}

/* Closes the handle; what was being written finishes here with CLOSED, and libuv touches none of
 * its memory any more. */
static void shut(struct mu_stream *stream)
{
    if (stream->closing)
        return;
    stream->closing = true;
    if (stream->resolving_now)
        uv_cancel((uv_req_t *)&stream->resolving);
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
    for (struct mu_uv_write *write = stream->writes; write; write = write->next) {
        struct mu_write *told = write->write;
        write->write = NULL;
        if (told)
            told->done(told, MU_CLOSED);
    }
}

void mu_uv_close(struct mu_stream *stream)
{
    if (!stream || stream->closed)
        return;
    stream->closed = true;
    shut(stream);
    stream_free_if_done(stream);
}

/* ---- connecting ---- */

/* Gradients leave as soon as they are ready; and on loopback the default congestion control may
 * pace a stream to a third of what the machine can do. */
static void tune(struct mu_stream *stream)
{
    uv_tcp_nodelay(&stream->tcp, 1);
    struct sockaddr_storage peer;
    int peer_bytes = sizeof(peer);
    uv_os_fd_t fd;
    if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&peer, &peer_bytes) != 0 ||
        uv_fileno((uv_handle_t *)&stream->tcp, &fd) != 0)
        return;
    bool loopback = false;
    if (peer.ss_family == AF_INET)
        loopback = ntohl(((struct sockaddr_in *)&peer)->sin_addr.s_addr) >> 24 == 127;
    else if (peer.ss_family == AF_INET6)
        loopback = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&peer)->sin6_addr);
    if (loopback && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct mu_stream *stream = handle->data;
    void *at = NULL;
    size_t bytes = 0;
    stream->events->room(stream->owner, &at, &bytes);
    *buffer = uv_buf_init(at, (unsigned)(bytes < INT32_MAX ? bytes : INT32_MAX));
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
    (void)buffer;
    struct mu_stream *stream = handle->data;
    stream->loop->happened++;
    if (count > 0) {
        stream->events->got(stream->owner, (size_t)count);
    } else if (count == UV_ENOBUFS) {
        stream->reading = false;
        uv_read_stop(handle);
    } else if (count < 0) {
        shut(stream);
        if (!stream->closed)
            stream->events->ended(stream->owner, count == UV_EOF ? 0 : (int)-count);
    }
}

void mu_uv_resume(struct mu_stream *stream)
{
    if (!stream->closing && !stream->reading) {
        stream->reading = true;
        uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    }
}

static void connect_failed(struct mu_stream *stream, enum mu_status status, int error)
{
    const struct mu_stream_events *events = stream->events;
    void *owner = stream->owner;
    mu_uv_close(stream);
    events->connected(owner, status, error);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct mu_stream *stream = request->data;
    stream->loop->happened++;
    if (stream->closed)
        return;
    if (status != 0) {
        connect_failed(stream, MU_UNAVAILABLE, -status);
        return;
    }
    tune(stream);
    mu_uv_resume(stream);
    stream->events->connected(stream->owner, MU_OK, 0);
}

static int start_connecting(struct mu_stream *stream, const struct sockaddr *address)
{
    stream->connecting.data = stream;
    return uv_tcp_connect(&stream->connecting, &stream->tcp, address, on_connected);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct mu_stream *stream = request->data;
    stream->loop->happened++;
    stream->resolving_now = false;
    if (stream->closed) {
        uv_freeaddrinfo(found);
        stream_free_if_done(stream);
        return;
    }
    if (status != 0) {
        connect_failed(stream, MU_NO_INPUT, ENOENT);
        return;
    }
    int error = start_connecting(stream, found->ai_addr);
    uv_freeaddrinfo(found);
    if (error != 0)
        connect_failed(stream, MU_UNAVAILABLE, -error);
}

/* Names are resolved on libuv's pool, whose threads are made only then. */
static int start_resolving(struct mu_stream *stream, const struct mu_address *address)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", address->port & 0xffff);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    stream->resolving.data = stream;
    int error = uv_getaddrinfo(
        &stream->loop->uv, &stream->resolving, on_resolved, address->host, port, &hints);
    stream->resolving_now = error == 0;
    return error;
}

enum mu_status mu_uv_connect(struct mu_loop *base, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream)
{
    struct mu_stream *stream = stream_create((struct mu_uv_loop *)base);
    if (!stream)
        return MU_NO_MEMORY;
    stream->events = events;
    stream->owner = owner;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    int error;
    if (uv_ip4_addr(address->host, address->port, &ip4) == 0)
        error = start_connecting(stream, (const struct sockaddr *)&ip4);
    else if (uv_ip6_addr(address->host, address->port, &ip6) == 0)
        error = start_connecting(stream, (const struct sockaddr *)&ip6);
    else
        error = start_resolving(stream, address);
    if (error != 0) {
        mu_uv_close(stream);
        return error == UV_ENOMEM ? MU_NO_MEMORY : MU_UNAVAILABLE;
    }
    *ret_stream = stream;
    return MU_OK;
}

struct mu_stream *mu_uv_accept(struct mu_uv_loop *loop, uv_stream_t *server)
{
    struct mu_stream *stream = stream_create(loop);
    if (!stream)
        return NULL;
    if (uv_accept(server, (uv_stream_t *)&stream->tcp) != 0) {
        mu_uv_close(stream);
        return NULL;
    }
    tune(stream);
    return stream;
}

void mu_uv_own(struct mu_stream *stream, const struct mu_stream_events *events, void *owner)
{
    stream->events = events;
    stream->owner = owner;
    mu_uv_resume(stream);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct mu_uv_write *write = request->data;
    struct mu_uv_loop *loop = write->stream->loop;
    struct mu_write *told = write->write;
    loop->happened++;
    unlink_write(write);
    write->next = loop->free_writes;
    loop->free_writes = write;
    if (told)
        told->done(told, status == 0 ? MU_OK : MU_CLOSED);
}

void mu_uv_write(
    struct mu_stream *stream, struct mu_write *caller, const struct mu_part *parts, int part_count)
{
    assert(part_count <= MU_PARTS_MAX);
    if (stream->closing) {
        caller->done(caller, MU_CLOSED);
        return;
    }
    struct mu_uv_loop *loop = stream->loop;
    struct mu_uv_write *write = loop->free_writes;
    if (write)
        loop->free_writes = write->next;
    else
        write = calloc(1, sizeof(*write));
    uv_buf_t buffers[MU_PARTS_MAX];
    for (int i = 0; i < part_count; i++)
        buffers[i] = (uv_buf_t){.base = (char *)(uintptr_t)parts[i].at, .len = parts[i].bytes};
    if (!write) {
        caller->done(caller, MU_CLOSED);
        return;
    }
    *write = (struct mu_uv_write){
        .stream = stream, .write = caller, .next = stream->writes, .link = &stream->writes};
    write->uv.data = write;
    if (stream->writes)
        stream->writes->link = &write->next;
    stream->writes = write;
    if (uv_write(&write->uv, (uv_stream_t *)&stream->tcp, buffers, (unsigned)part_count,
            on_written) != 0) {
        unlink_write(write);
        write->next = loop->free_writes;
        loop->free_writes = write;
        caller->done(caller, MU_CLOSED);
    }
}

bool mu_uv_writes_reserve(struct mu_uv_loop *loop)
{
    for (int i = 0; i < WRITES_RESERVED; i++) {
        struct mu_uv_write *write = calloc(1, sizeof(*write));
        if (!write)
            return false;
        write->next = loop->free_writes;
        loop->free_writes = write;
    }
    return true;
}

void mu_uv_writes_free(struct mu_uv_loop *loop)
{
    while (loop->free_writes) {
        struct mu_uv_write *write = loop->free_writes;
        loop->free_writes = write->next;
        free(write);
    }
}

void mu_uv_peer_name(struct mu_stream *stream, char *out, size_t bytes)
{
    struct sockaddr_storage peer;
    int peer_bytes = sizeof(peer);
    char host[64] = "?";
    int port = 0;
    if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&peer, &peer_bytes) == 0) {
        if (peer.ss_family == AF_INET6) {
            uv_ip6_name((struct sockaddr_in6 *)&peer, host, sizeof(host));
            port = ntohs(((struct sockaddr_in6 *)&peer)->sin6_port);
        } else {
            uv_ip4_name((struct sockaddr_in *)&peer, host, sizeof(host));
            port = ntohs(((struct sockaddr_in *)&peer)->sin_port);
        }
    }
    snprintf(out, bytes, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}
