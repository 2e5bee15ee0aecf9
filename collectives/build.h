/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_BUILD_H
#define MU_COLLECTIVES_BUILD_H

#include "collectives/group.h"
#include "runtime/base/log.h"

/*
 * From a way to send messages to a whole group: unix sockets or shared memory at home, the groups
 * of this host and of the first ranks of all hosts, the costs. The same for the trainer, whose
 * links cluster/ has greeted, and for a group that stands alone.
 */
enum mu_build_home {
    MU_BUILD_HOME_BEST, /* unix sockets between ranks of one host, where they work */
    MU_BUILD_HOME_TCP,  /* TCP between all; to measure it */
};

struct mu_build_options {
    struct mu_log *log;
    const char *transport; /* "tcp", "shm", "route", "mpi"; NULL: "route" */
    const char *algorithm; /* NULL: the best for each request */
    bool deterministic;
    enum mu_build_home home;
    const struct mu_costs *costs; /* NULL: measured */
    int64_t timeout_ns;           /* of the group's calls; 0: 300 s */
    int streams;                  /* of tcp to each rank of another host; 0: measured */
    struct mu_tcp_more more;      /* `links` NULL: one */
};

/*
 * Collective. Takes `transport` (NULL for a group of one): tcp, whose links reach every rank, or
 * mpi or inproc, which are left as they are. The group is for mu_group_finish, which ends all of
 * it; on failure there is none.
 *
 * CONFIG (MU_E0802: not all ranks are on one host and "shm" was asked for; an unknown name),
 * NO_MEMORY; TIMEOUT, CLOSED, PROTOCOL as the transport.
 */
enum mu_status mu_group_build(struct mu_group *group, struct mu_world *world,
    struct mu_transport *transport, const struct mu_build_options *options, int64_t deadline_ns);

/* Is there a transport, an algorithm of this name? NULL is one. USAGE (MU_E0001) with the names
 * there are; UNAVAILABLE (MU_E0802): not in this build. */
enum mu_status mu_build_check(struct mu_log *log, const char *transport, const char *algorithm);

#endif
