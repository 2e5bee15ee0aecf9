/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_PRETENDED_HOSTS_H
#define MU_TEST_PRETENDED_HOSTS_H

#include "collectives/build.h"
#include "runtime/io/shared_memory.h"
#include "tcp_ranks.h"

/*
 * Ranks on hosts that are pretended: threads over tcp, each of which says of which kernel it is by
 * the number of its host. For one file of a test that is linked with
 * --wrap=mu_shared_memory_host.
 */
static _Thread_local uint8_t pretended_host;

void __real_mu_shared_memory_host(struct mu_shared_memory_host *ret_host);
void __wrap_mu_shared_memory_host(struct mu_shared_memory_host *ret_host);
void __wrap_mu_shared_memory_host(struct mu_shared_memory_host *ret_host)
{
    __real_mu_shared_memory_host(ret_host);
    memset(ret_host->boot, pretended_host, sizeof(ret_host->boot));
}

/* The rank's own group, of ranks that lie on `hosts`, "1122", as mu_group_build makes it; its loop
 * is to be destroyed after it, also where this fails once *ret_loop is set. */
static inline enum mu_status pretended_build(struct rank *rank, const char *hosts,
    const struct mu_build_options *options, struct mu_group *ret_group, struct mu_loop **ret_loop)
{
    struct mu_transport *tcp;
    *ret_loop = NULL;
    pretended_host = (uint8_t)hosts[rank->rank];
    MU_TRY(tcp_open(rank, &tcp));
    *ret_loop = tcp->loop;
    return mu_group_build(ret_group, &rank->ranks->real.world, tcp, options, ranks_soon(rank));
}

static const struct mu_costs pretended_costs = {.message = 1e-5, .byte = 1e-9, .add = 1e-10};

/* With costs that are given: measuring them takes longer than what these tests do. */
static inline enum mu_status pretended_build_unprobed(
    struct rank *rank, const char *hosts, struct mu_group *ret_group, struct mu_loop **ret_loop)
{
    const struct mu_build_options options = {.log = &rank->log.log, .costs = &pretended_costs};
    return pretended_build(rank, hosts, &options, ret_group, ret_loop);
}

#endif
