/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_TCP_RANKS_H
#define MU_TEST_TCP_RANKS_H

#include "collectives/mesh.h"
#include "loopback.h"
#include "rank_threads.h"
#include <unistd.h>

/* Ranks on links of their own over loopback, each a thread with a loop. */
static struct mu_address tcp_address[RANKS_MAX];
static int tcp_listen_fd[RANKS_MAX];

static inline int tcp_bind_ports(int count)
{
    for (int r = 0; r < count; r++) {
        tcp_listen_fd[r] = loopback_bind(&tcp_address[r]);
        if (tcp_listen_fd[r] < 0)
            return -1;
    }
    return 0;
}

static inline enum mu_status tcp_open(struct rank *rank, struct mu_transport **ret_tcp)
{
    struct mu_world *world = &rank->ranks->real.world;
    int count = rank->ranks->count;
    struct mu_link *link[RANKS_MAX] = {0};
    struct mu_loop *loop;
    MU_TRY(world->ops->loop_create(world, &loop));
    const struct mu_mesh_request request = {.loop = loop,
        .log = &rank->log.log,
        .rank = rank->rank,
        .count = count,
        .address = tcp_address,
        .listen_fd = tcp_listen_fd[rank->rank],
        .group = 7};
    MU_TRY(mu_mesh_open(&request, ranks_soon(rank), link));
    return mu_tcp_open(loop, rank->rank, count, 1, link, ret_tcp);
}

static inline void tcp_close(struct mu_transport *tcp)
{
    struct mu_loop *loop = tcp->loop;
    tcp->ops->close(tcp);
    loop->ops->destroy(loop);
}

/* "rank 1 does ...; rank 0 does ...": all of it by number, for it may be told by a third. */
static inline bool names_both(const char *error)
{
    const char *first = strstr(error, " does "), *second = first ? strstr(first, "; rank ") : NULL;
    return second && strstr(second, " does ");
}

#endif
