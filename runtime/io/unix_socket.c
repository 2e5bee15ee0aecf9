/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/unix_socket.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PREFIX "unix:"
/* Asked for; the kernel gives what net.core.wmem_max allows. */
#define SEND_BUFFER_BYTES (512 << 10)

const char *mu_unix_name(const char *host)
{
    size_t bytes = strlen(PREFIX);
    return strncmp(host, PREFIX, bytes) == 0 ? host + bytes : NULL;
}

/* 0 if the name is too long. */
static socklen_t fill(struct sockaddr_un *address, const char *name)
{
    size_t bytes = strlen(name);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (bytes == 0 || bytes >= sizeof(address->sun_path))
        return 0;
    memcpy(address->sun_path + 1, name, bytes); /* the NUL before it makes it abstract */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + bytes);
}

/* A socket that connect or bind has been asked about. */
static int open_with(
    const char *name, int (*ask)(int fd, const struct sockaddr *address, socklen_t bytes))
{
    struct sockaddr_un address;
    socklen_t address_bytes = fill(&address, name);
    if (address_bytes == 0)
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const int buffer_bytes = SEND_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
    if (ask(fd, (const struct sockaddr *)&address, address_bytes) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int mu_unix_connect(const char *name)
{
    return open_with(name, connect);
}

int mu_unix_bind(const char *name)
{
    return open_with(name, bind);
}

bool mu_unix_same_user(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.uid == geteuid();
}
