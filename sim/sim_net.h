/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_NET_H
#define MU_SIM_NET_H

#include "sim/event_log.h"
#include "sim/pipe.h"
#include "sim/scheduler.h"
#include "sim/sim_faults.h"

/*
 * The simulated driver of runtime/base/net.h: sim_net.c has hosts, loops, listeners and timers,
 * sim_stream.c the connections. Every task is a host of its own, with one address. What the kernel
 * of a real host does goes on while its task is stopped, and is what its peers see when it is
 * killed: connections are accepted into a backlog, bytes come in up to the window, and every stream
 * of a killed task ends (with a reset where it had not read everything).
 */
struct mu_sim_net {
    struct mu_scheduler *scheduler;
    struct mu_event_log *events;
    int64_t latency_ns;
    const struct mu_sim_faults *faults; /* never NULL */
    struct mu_sim_host *hosts;
    int host_count;
    struct mu_connection *connections;
};

struct mu_sim_host {
    struct mu_sim_net *net;
    int index;
    const char *task; /* for the event log */
    char address[32]; /* "10.0.0.1" */
    struct mu_port port;
    int ephemeral_port; /* of the next connection made from here */
    struct mu_sim_loop *loops;
    struct mu_listener *listeners;
};

#define MU_SIM_HOSTS_MAX 65536
#define MU_SIM_EPHEMERAL_FIRST 40000

/* Sets up host `index` of the net's hosts; its address follows from the index. NO_MEMORY. */
enum mu_status mu_sim_net_host_init(
    struct mu_sim_net *net, int index, const char *task, int64_t bits_per_second);
/* Everything that belongs to the host's task is gone, as when its process ends. Not while one of
 * its strands runs. */
void mu_sim_net_host_reset(struct mu_sim_host *host);
/* After all hosts were reset. */
void mu_sim_net_host_finish(struct mu_sim_host *host);

/* Owned by the strand that runs now. NO_MEMORY. */
enum mu_status mu_sim_net_loop_create(
    struct mu_sim_host *host, struct mu_world *world, struct mu_loop **ret_loop);

#endif
