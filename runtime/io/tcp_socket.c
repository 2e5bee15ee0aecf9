/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/tcp_socket.h"
#include <assert.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Of loopback. With less than two of them the receiver would wait for the second before it
 * acknowledges the first, for 40 ms. */
#define SEGMENT_BYTES (64 << 10)

static bool same_ip(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return a->ss_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
               &((const struct sockaddr_in6 *)b)->sin6_addr);
}

static bool has_one_address(int fd)
{
    struct sockaddr_storage near = {0}, far = {0};
    socklen_t near_bytes = sizeof(near), far_bytes = sizeof(far);
    return getsockname(fd, (struct sockaddr *)&near, &near_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&far, &far_bytes) == 0 && same_ip(&near, &far);
}

bool mu_tcp_socket_delivered(int fd)
{
    int unacknowledged = 0;
    return ioctl(fd, SIOCOUTQ, &unacknowledged) != 0 || unacknowledged == 0;
}

void mu_tcp_socket_unpace(int fd)
{
    if (!has_one_address(fd))
        return;
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

void mu_tcp_socket_hold_at_most(int fd, int bytes)
{
    /* The kernel takes twice what it is asked for, and counts what it needs itself, too. */
    const int asked = bytes / 2 > 2 * SEGMENT_BYTES ? bytes / 2 : 2 * SEGMENT_BYTES;
    if (has_one_address(fd))
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &asked, sizeof(asked));
}
