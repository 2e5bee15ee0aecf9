/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_NETWORKS_H
#define MU_COLLECTIVES_MPI_NETWORKS_H

#include "runtime/base/net.h"

/*
 * Which of its addresses should each host use, so that all can reach all? A bridge of containers or
 * virtual machines (docker0) has one and the same address on every host: a network serves only if
 * no two hosts share an address in it.
 */
#define MU_MPI_NETWORKS_MAX 16
#define MU_MPI_NETWORKS_TEXT_MAX 640
#define MU_MPI_HOST_NAME_MAX 128

struct mu_mpi_network {
    uint32_t address; /* IPv4, in host order */
    int prefix;       /* 0..32 */
};

struct mu_mpi_host {
    char name[MU_MPI_HOST_NAME_MAX];
    int count;
    struct mu_mpi_network network[MU_MPI_NETWORKS_MAX];
};

/* The networks of this host, that of the default route first. `interface` may be NULL: all. */
void mu_mpi_networks_find(const char *interface, struct mu_mpi_host *ret_host);
/* "node3 10.0.0.3/24 192.168.7.3/16" and back; false if it is no such text. */
void mu_mpi_networks_write(const struct mu_mpi_host *host, char *out, size_t bytes);
bool mu_mpi_networks_parse(const char *text, struct mu_mpi_host *ret_host);
/* One address for each rank, ranks of one host the same. hosts: [count], by rank. False: there is
 * no network in common. */
bool mu_mpi_networks_choose(const struct mu_mpi_host *hosts, int count, uint32_t *ret_addresses);
void mu_mpi_networks_format(uint32_t address, char *out, size_t bytes);

#endif
