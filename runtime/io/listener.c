/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/resolve.h"
#include "runtime/io/unix_socket.h"
#include "runtime/io/uv_loop.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128
/* So long the loop stands still for the name of its own host. */
#define NAME_PATIENCE_NS (500 * MU_MS)

struct mu_listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct mu_uv_loop *loop;
    void (*accepted)(void *owner, struct mu_stream *stream);
    void *owner;
};

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void mu_uv_listener_close(struct mu_listener *listener)
{
    if (listener)
        uv_close(&listener->uv.handle, on_listener_closed);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct mu_listener *listener = server->data;
    listener->loop->happened++;
    if (status != 0)
        return;
    struct mu_stream *stream = mu_uv_accept(listener->loop, server);
    if (stream)
        listener->accepted(listener->owner, stream);
}

static int bind_unix(struct mu_listener *listener, const char *name)
{
    int fd = mu_unix_bind(name);
    int error = fd < 0 ? fd : uv_pipe_open(&listener->uv.pipe, fd);
    if (fd >= 0 && error != 0)
        close(fd);
    return error;
}

static bool is_every_address(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    return address->ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)
                                          : four->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Binds to the first address that the host name stands for: one that stands for every address would
 * open the port to networks that nobody has named. */
static int bind_to(struct mu_listener *listener, const struct mu_address *address)
{
    struct sockaddr_storage own;
    enum mu_status status = MU_OK;
    if (!mu_resolve_numeric(address->host, address->port, &own))
        status = mu_resolve_wait(address->host, address->port, NAME_PATIENCE_NS, &own);
    if (status != MU_OK)
        return status == MU_NO_INPUT ? UV_ENOENT : status == MU_TIMEOUT ? UV_EAGAIN : UV_ENOMEM;
    if (is_every_address(&own))
        return UV_EADDRNOTAVAIL;
    return uv_tcp_bind(&listener->uv.tcp, (const struct sockaddr *)&own, 0);
}

static enum mu_status status_of(int error)
{
    switch (error) {
    case UV_EADDRINUSE:
        return MU_UNAVAILABLE;
    case UV_EADDRNOTAVAIL:
        return MU_CONFIG;
    case UV_ENOENT:
    case UV_EAGAIN:
        return MU_NO_INPUT;
    case UV_ENOMEM:
        return MU_NO_MEMORY;
    default:
        return MU_IO_ERROR;
    }
}

enum mu_status mu_uv_listen(struct mu_loop *base, const struct mu_address *address,
    int inherited_fd, void (*accepted)(void *owner, struct mu_stream *stream), void *owner,
    struct mu_listener **ret_listener, int *ret_error)
{
    struct mu_uv_loop *loop = (struct mu_uv_loop *)base;
    struct mu_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return MU_NO_MEMORY;
    *listener = (struct mu_listener){.loop = loop, .accepted = accepted, .owner = owner};
    const char *name = mu_unix_name(address->host);
    if ((name ? uv_pipe_init(&loop->uv, &listener->uv.pipe, 0)
              : uv_tcp_init(&loop->uv, &listener->uv.tcp)) != 0) {
        free(listener);
        return MU_NO_MEMORY;
    }
    listener->uv.handle.data = listener;
    int error = name                ? bind_unix(listener, name)
                : inherited_fd >= 0 ? uv_tcp_open(&listener->uv.tcp, inherited_fd)
                                    : bind_to(listener, address);
    if (error == 0)
        error = uv_listen(&listener->uv.stream, LISTEN_BACKLOG, on_connection);
    if (error != 0) {
        mu_uv_listener_close(listener);
        *ret_error = -error;
        return status_of(error);
    }
    *ret_listener = listener;
    return MU_OK;
}
