/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_SIMULATE_H
#define MU_SIM_SIMULATE_H

#include "sim/sim_faults.h"
#include "sim/sim_world.h"

/*
 * A simulated cluster: tasks that run unmodified on worlds of virtual time, in one thread of one
 * process, and the same way every time for the same options.
 *
 *   mu_sim_create(&options, log, &sim);
 *   for each task i: mu_sim_start(sim, i, "main", run, argument);    on mu_sim_task_world(sim, i)
 *   mu_sim_run(sim);                                                 until all have returned
 *   mu_sim_destroy(sim);
 */
struct mu_sim;

#define MU_SIM_TASKS_MAX 4096

struct mu_sim_options {
    int tasks;
    const char *const *names; /* "worker/0"; NULL: "task/0", "task/1", ... */
    uint64_t seed;            /* of each world's random_bytes and of drawn computing times */
    struct mu_sim_compute compute;
    int64_t link_bits_per_second; /* of each task, each way; 0: no limit */
    int64_t link_latency_ns;      /* one way, between any two tasks */

    FILE *events;                       /* events.log, borrowed; NULL: not written */
    enum mu_level level;                /* what the logs of tasks take */
    struct mu_log *also;                /* is told what tasks say, with their names; or NULL */
    const struct mu_sim_faults *faults; /* borrowed; NULL: none */

    /* The simulation ends with BROKEN when it goes further. 0: MU_SIM_..._MAX. */
    int64_t now_ns_max;
    uint64_t events_max;
};
#define MU_SIM_NOW_NS_MAX (INT64_C(365) * 24 * 3600 * MU_SECOND)
#define MU_SIM_EVENTS_MAX UINT64_C(10000000000)
/* How often threads may run without time going on. */
#define MU_SIM_INSTANT_RUNS_MAX UINT64_C(5000000)

/* `log` is for what the simulation itself has to say. NO_MEMORY. */
enum mu_status mu_sim_create(
    const struct mu_sim_options *options, struct mu_log *log, struct mu_sim **ret_sim);
/* Takes NULL. What killed and unfinished tasks had allocated is lost. */
void mu_sim_destroy(struct mu_sim *sim);

/* Of task 0 <= i < tasks, valid until destroy. */
struct mu_world *mu_sim_task_world(struct mu_sim *sim, int task);
struct mu_log *mu_sim_task_log(struct mu_sim *sim, int task);
const char *mu_sim_task_host(struct mu_sim *sim, int task); /* its address; any port is free */

/* The main thread of a task; it runs in mu_sim_run. Once a task; a task without one does not take
 * part. NO_MEMORY. */
enum mu_status mu_sim_start(
    struct mu_sim *sim, int task, const char *name, void (*run)(void *argument), void *argument);

/* The task dies at this time: its threads never run again, its streams end (see sim_net.h), and the
 * run does not wait for it. May be called before the run and, by any task, during it. NO_MEMORY. */
enum mu_status mu_sim_kill(struct mu_sim *sim, int task, int64_t at_ns);
/* The task does not run in this time, as after SIGSTOP. `to_ns` may be MU_FOREVER; then kill it
 * some time, or the run has no end but its bounds. NO_MEMORY. */
enum mu_status mu_sim_pause(struct mu_sim *sim, int task, int64_t from_ns, int64_t to_ns);
/* A task that was killed starts again, as a new process on the same host. `name` is borrowed. The
 * run waits for it from then on, but is over before if nobody else runs. NO_MEMORY. */
enum mu_status mu_sim_restart(struct mu_sim *sim, int task, int64_t at_ns, const char *name,
    void (*run)(void *argument), void *argument);
bool mu_sim_task_killed(struct mu_sim *sim, int task);

/* Until every main thread has returned or was killed. BROKEN, and why: nothing can ever run again
 * (all that waits is listed with what it waits for), a bound was passed, or a thread was not
 * joined. IO_ERROR: events.log could not be written. */
enum mu_status mu_sim_run(struct mu_sim *sim);

#endif
