/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/conn_inside.h"
#include "runtime/io/resolve.h"
#include "runtime/io/tcp_socket.h"
#include "runtime/io/unix_socket.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of one stream in one turn, about: then whoever waits for them uses them while they are in the
 * cache, and the other streams get their turn. */
#define READ_BYTES_MAX ((size_t)256 << 10)

/* ---- life ---- */

static void stream_free_if_done(struct mu_stream *stream)
{
    if (stream->closed && stream->handle_gone)
        free(stream);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct mu_stream *stream = handle->data;
    stream->handle_gone = true;
    stream_free_if_done(stream);
}

static struct mu_stream *stream_create(struct mu_uv_loop *loop, bool is_unix)
{
    struct mu_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->loop = loop;
    if ((is_unix ? uv_pipe_init(&loop->uv, &stream->uv.pipe, 0)
                 : uv_tcp_init(&loop->uv, &stream->uv.tcp)) != 0) {
        free(stream);
        return NULL;
    }
    stream->uv.handle.data = stream;
    return stream;
}

static bool is_unix(const struct mu_stream *stream)
{
    return stream->uv.handle.type == UV_NAMED_PIPE;
}

static void link_to(struct mu_stream **list, struct mu_stream *stream)
{
    stream->next = *list;
    stream->link = list;
    if (*list)
        (*list)->link = &stream->next;
    *list = stream;
}

static void unlink_stream(struct mu_stream *stream)
{
    if (!stream->link)
        return;
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    stream->link = NULL;
}

/* Closes the handle; what was being written finishes here with CLOSED, and libuv touches none of
 * its memory any more. */
static void shut(struct mu_stream *stream)
{
    if (stream->closing)
        return;
    stream->closing = true;
    unlink_stream(stream);
    mu_resolve_drop(stream->question);
    stream->question = NULL;
    uv_close(&stream->uv.handle, on_handle_closed);
    mu_uv_writes_abandon(stream);
}

void mu_uv_close(struct mu_stream *stream)
{
    if (!stream || stream->closed)
        return;
    stream->closed = true;
    mu_uv_flush(stream);
    shut(stream);
    stream_free_if_done(stream);
}

/* ---- connecting ---- */

/* Gradients leave as soon as they are ready. */
static void tune(struct mu_stream *stream)
{
    uv_os_fd_t fd;
    if (is_unix(stream))
        return;
    uv_tcp_nodelay(&stream->uv.tcp, 1);
    if (uv_fileno(&stream->uv.handle, &fd) == 0)
        mu_tcp_socket_unpace(fd);
}

static bool had_its_turn(struct mu_stream *stream)
{
    if (stream->turn != stream->loop->turns)
        stream->turn_got = 0;
    stream->turn = stream->loop->turns;
    return stream->turn_got >= READ_BYTES_MAX;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct mu_stream *stream = handle->data;
    void *at = NULL;
    size_t bytes = 0;
    if (!had_its_turn(stream))
        stream->events->room(stream->owner, &at, &bytes);
    *buffer = uv_buf_init(at, (unsigned)(bytes < INT32_MAX ? bytes : INT32_MAX));
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
    (void)buffer;
    struct mu_stream *stream = handle->data;
    stream->loop->happened++;
    if (count > 0) {
        stream->turn_got += (size_t)count;
        stream->events->got(stream->owner, (size_t)count);
    } else if (count == UV_ENOBUFS && !had_its_turn(stream)) {
        stream->reading = false;
        uv_read_stop(handle);
    } else if (count < 0 && count != UV_ENOBUFS) {
        shut(stream);
        if (!stream->closed)
            stream->events->ended(stream->owner, count == UV_EOF ? 0 : (int)-count);
    }
}

/* What is written to a unix socket lies with its peer at once. */
bool mu_uv_delivered(struct mu_stream *stream)
{
    uv_os_fd_t fd;
    return is_unix(stream) || uv_fileno(&stream->uv.handle, &fd) != 0 ||
           mu_tcp_socket_delivered(fd);
}

void mu_uv_resume(struct mu_stream *stream)
{
    if (!stream->closing && !stream->reading) {
        stream->reading = true;
        uv_read_start(&stream->uv.stream, on_alloc, on_read);
    }
}

static void connect_failed(struct mu_stream *stream, enum mu_status status, int error)
{
    const struct mu_stream_events *events = stream->events;
    void *owner = stream->owner;
    mu_uv_close(stream);
    events->connected(owner, status, error);
}

static void connect_worked(struct mu_stream *stream)
{
    stream->loop->happened++;
    tune(stream);
    mu_uv_resume(stream);
    stream->events->connected(stream->owner, MU_OK, 0);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct mu_stream *stream = request->data;
    stream->loop->happened++;
    if (stream->closed)
        return;
    if (status != 0)
        connect_failed(stream, MU_UNAVAILABLE, -status);
    else
        connect_worked(stream);
}

void mu_uv_tell_fresh(struct mu_uv_loop *loop)
{
    while (loop->fresh) {
        struct mu_stream *stream = loop->fresh;
        unlink_stream(stream);
        connect_worked(stream);
    }
}

/* A unix socket is connected at once or not at all. */
static int connect_unix(struct mu_stream *stream, const char *name)
{
    int fd = mu_unix_connect(name);
    if (fd < 0)
        return fd;
    if (!mu_unix_same_user(fd)) {
        close(fd);
        return UV_EPERM;
    }
    int error = uv_pipe_open(&stream->uv.pipe, fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    link_to(&stream->loop->fresh, stream);
    return 0;
}

static int start_connecting(struct mu_stream *stream, const struct sockaddr_storage *address)
{
    stream->connecting.data = stream;
    return uv_tcp_connect(
        &stream->connecting, &stream->uv.tcp, (const struct sockaddr *)address, on_connected);
}

/* On a thread of the resolver. */
static void on_answered(void *owner)
{
    struct mu_stream *stream = owner;
    mu_uv_wake(stream->loop);
}

static int start_resolving(struct mu_stream *stream, const struct mu_address *address)
{
    stream->port = address->port;
    enum mu_status status = mu_resolve_ask(address->host, on_answered, stream, &stream->question);
    if (status == MU_OK)
        link_to(&stream->loop->resolving, stream);
    return status == MU_OK ? 0 : status == MU_NO_MEMORY ? UV_ENOMEM : UV_EAGAIN;
}

static void resolved(struct mu_stream *stream)
{
    struct sockaddr_storage address;
    struct mu_question *question = stream->question;
    stream->question = NULL;
    unlink_stream(stream);
    if (!mu_resolve_take(question, stream->port, &address)) {
        connect_failed(stream, MU_NO_INPUT, ENOENT);
        return;
    }
    int error = start_connecting(stream, &address);
    if (error != 0)
        connect_failed(stream, MU_UNAVAILABLE, -error);
}

static struct mu_stream *first_resolved(const struct mu_uv_loop *loop)
{
    struct mu_stream *stream = loop->resolving;
    while (stream && !mu_resolve_is_answered(stream->question))
        stream = stream->next;
    return stream;
}

void mu_uv_tell_resolved(struct mu_uv_loop *loop)
{
    for (struct mu_stream *stream; (stream = first_resolved(loop));)
        resolved(stream);
}

enum mu_status mu_uv_connect(struct mu_loop *base, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream)
{
    const char *name = mu_unix_name(address->host);
    struct mu_stream *stream = stream_create((struct mu_uv_loop *)base, name != NULL);
    if (!stream)
        return MU_NO_MEMORY;
    stream->events = events;
    stream->owner = owner;
    struct sockaddr_storage numeric;
    int error;
    if (name)
        error = connect_unix(stream, name);
    else if (mu_resolve_numeric(address->host, address->port, &numeric))
        error = start_connecting(stream, &numeric);
    else
        error = start_resolving(stream, address);
    if (error != 0) {
        mu_uv_close(stream);
        return error == UV_ENOMEM ? MU_NO_MEMORY : MU_UNAVAILABLE;
    }
    *ret_stream = stream;
    return MU_OK;
}

static bool may_talk(struct mu_stream *stream)
{
    uv_os_fd_t fd;
    return !is_unix(stream) || (uv_fileno(&stream->uv.handle, &fd) == 0 && mu_unix_same_user(fd));
}

struct mu_stream *mu_uv_accept(struct mu_uv_loop *loop, uv_stream_t *server)
{
    struct mu_stream *stream = stream_create(loop, server->type == UV_NAMED_PIPE);
    if (!stream)
        return NULL;
    if (uv_accept(server, &stream->uv.stream) != 0 || !may_talk(stream)) {
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

void mu_uv_hold_at_most(struct mu_stream *stream, int bytes)
{
    uv_os_fd_t fd;
    if (!is_unix(stream) && !stream->closing && uv_fileno(&stream->uv.handle, &fd) == 0)
        mu_tcp_socket_hold_at_most(fd, bytes);
}

/* ---- questions ---- */

void mu_uv_peer_name(struct mu_stream *stream, char *out, size_t bytes)
{
    struct sockaddr_storage peer;
    int peer_bytes = sizeof(peer);
    char host[64] = "?";
    int port = 0;
    if (is_unix(stream)) {
        snprintf(out, bytes, "unix socket");
        return;
    }
    if (uv_tcp_getpeername(&stream->uv.tcp, (struct sockaddr *)&peer, &peer_bytes) == 0) {
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
