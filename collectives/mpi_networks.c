/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi_networks.h"

#include "runtime/base/text.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t mask_of(int prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

static bool is_same_network(struct mu_mpi_network a, struct mu_mpi_network b)
{
    return a.prefix == b.prefix && ((a.address ^ b.address) & mask_of(a.prefix)) == 0;
}

void mu_mpi_networks_format(uint32_t address, char *out, size_t bytes)
{
    mu_format(out, bytes, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
        address & 255);
}

/* ---- this host ---- */

/* Name of the interface of the default route, "" if there is none. */
static void find_default_interface(char name[IF_NAMESIZE])
{
    char line[256], found[IF_NAMESIZE];
    unsigned destination;
    name[0] = 0;
    FILE *routes = fopen("/proc/net/route", "re");
    if (!routes)
        return;
    while (!name[0] && fgets(line, sizeof(line), routes))
        if (sscanf(line, "%15s %x", found, &destination) == 2 && destination == 0)
            mu_text_copy(name, IF_NAMESIZE, found);
    fclose(routes);
}

static bool is_usable(const struct ifaddrs *at, const char *interface)
{
    unsigned need = IFF_UP | IFF_RUNNING;
    return at->ifa_addr && at->ifa_netmask && at->ifa_addr->sa_family == AF_INET &&
           (at->ifa_flags & need) == need && !(at->ifa_flags & IFF_LOOPBACK) &&
           (!interface || strcmp(at->ifa_name, interface) == 0);
}

static struct mu_mpi_network network_of(const struct ifaddrs *at)
{
    struct sockaddr_in address, mask;
    memcpy(&address, at->ifa_addr, sizeof(address));
    memcpy(&mask, at->ifa_netmask, sizeof(mask));
    return (struct mu_mpi_network){.address = ntohl(address.sin_addr.s_addr),
        .prefix = __builtin_popcount(mask.sin_addr.s_addr)};
}

static void add_networks(const struct ifaddrs *all, const char *interface, const char *first,
    bool want_first, struct mu_mpi_host *host)
{
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        bool is_first = strcmp(at->ifa_name, first) == 0;
        if (is_first == want_first && is_usable(at, interface) && host->count < MU_MPI_NETWORKS_MAX)
            host->network[host->count++] = network_of(at);
    }
}

void mu_mpi_networks_find(const char *interface, struct mu_mpi_host *ret_host)
{
    struct ifaddrs *all = NULL;
    char first[IF_NAMESIZE];
    *ret_host = (struct mu_mpi_host){0};
    if (gethostname(ret_host->name, sizeof(ret_host->name) - 1) != 0 || !ret_host->name[0])
        mu_text_copy(ret_host->name, sizeof(ret_host->name), "?");
    if (getifaddrs(&all) != 0)
        return;
    find_default_interface(first);
    add_networks(all, interface, first, true, ret_host);
    add_networks(all, interface, first, false, ret_host);
    freeifaddrs(all);
}

/* ---- as text ---- */

void mu_mpi_networks_write(const struct mu_mpi_host *host, char *out, size_t bytes)
{
    char address[16], word[24];
    mu_text_copy(out, bytes, host->name);
    for (int i = 0; i < host->count; i++) {
        mu_mpi_networks_format(host->network[i].address, address, sizeof(address));
        mu_format(word, sizeof(word), " %s/%d", address, host->network[i].prefix);
        size_t used = strlen(out);
        mu_text_copy(out + used, bytes - used, word);
    }
}

static bool parse_network(const char *text, struct mu_mpi_network *ret_network)
{
    char address[16];
    int prefix, used = 0;
    struct in_addr parsed;
    if (sscanf(text, "%15[0-9.]/%2d%n", address, &prefix, &used) != 2 || text[used] || prefix < 0 ||
        prefix > 32 || inet_pton(AF_INET, address, &parsed) != 1)
        return false;
    *ret_network = (struct mu_mpi_network){.address = ntohl(parsed.s_addr), .prefix = prefix};
    return true;
}

bool mu_mpi_networks_parse(const char *text, struct mu_mpi_host *ret_host)
{
    char copy[MU_MPI_NETWORKS_TEXT_MAX], *rest = NULL;
    struct mu_mpi_host host = {0};
    mu_text_copy(copy, sizeof(copy), text);
    char *word = strtok_r(copy, " ", &rest);
    if (!word)
        return false;
    mu_text_copy(host.name, sizeof(host.name), word);
    while ((word = strtok_r(NULL, " ", &rest)))
        if (host.count == MU_MPI_NETWORKS_MAX || !parse_network(word, &host.network[host.count++]))
            return false;
    *ret_host = host;
    return true;
}

/* ---- all hosts ---- */

static bool is_same_host(const struct mu_mpi_host *a, const struct mu_mpi_host *b)
{
    return strcmp(a->name, b->name) == 0;
}

static bool find_in(
    const struct mu_mpi_host *host, struct mu_mpi_network network, uint32_t *ret_address)
{
    for (int i = 0; i < host->count; i++)
        if (is_same_network(host->network[i], network)) {
            *ret_address = host->network[i].address;
            return true;
        }
    return false;
}

/* Two hosts with one address: the network is not one, but the same name for two. */
static bool is_shared(const struct mu_mpi_host *hosts, const uint32_t *addresses, int rank)
{
    for (int other = 0; other < rank; other++)
        if (addresses[other] == addresses[rank] && !is_same_host(&hosts[other], &hosts[rank]))
            return true;
    return false;
}

static bool try_network(const struct mu_mpi_host *hosts, int count, struct mu_mpi_network network,
    uint32_t *ret_addresses)
{
    for (int rank = 0; rank < count; rank++)
        if (!find_in(&hosts[rank], network, &ret_addresses[rank]) ||
            is_shared(hosts, ret_addresses, rank))
            return false;
    return true;
}

/* Hosts in different networks with a router between them: the address of the default route. */
static bool try_first(const struct mu_mpi_host *hosts, int count, uint32_t *ret_addresses)
{
    for (int rank = 0; rank < count; rank++) {
        if (hosts[rank].count == 0)
            return false;
        ret_addresses[rank] = hosts[rank].network[0].address;
        if (is_shared(hosts, ret_addresses, rank))
            return false;
    }
    return true;
}

bool mu_mpi_networks_choose(const struct mu_mpi_host *hosts, int count, uint32_t *ret_addresses)
{
    assert(count > 0);
    for (int i = 0; i < hosts[0].count; i++)
        if (try_network(hosts, count, hosts[0].network[i], ret_addresses))
            return true;
    return try_first(hosts, count, ret_addresses);
}
