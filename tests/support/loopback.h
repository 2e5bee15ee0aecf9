/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_LOOPBACK_H
#define MU_TEST_LOOPBACK_H

#include "runtime/base/net.h"
#include <arpa/inet.h>
#include <unistd.h>

/* A socket at a free port of this host, which is its until it is closed: nobody listens there yet.
 * -1: there is none. */
static inline int loopback_bind(struct mu_address *ret_address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_bound = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
                    getsockname(fd, (struct sockaddr *)&at, &bytes) == 0;
    *ret_address = (struct mu_address){.host = "127.0.0.1", .port = ntohs(at.sin_port)};
    if (is_bound || fd < 0)
        return fd;
    close(fd);
    return -1;
}

#endif
