/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_TASK_H
#define MU_ROLES_TASK_H

#include "cluster/spec.h"
#include "roles/checkpoint/saved_version.h"
#include "roles/job/job.h"
#include "runtime/base/world.h"
#include "watch/event_file.h"

/*
 * One task of a cluster, in whatever world: `muster run` makes one in the real world, `muster
 * simulate` makes a whole cluster of them in one process on virtual time. What follows from here on
 * is the same code in both.
 */

/* Data sets, opened once a process: simulated tasks share them. */
struct mu_task_data {
    void *train, *test; /* NULL: not opened */
    struct mu_dataset_facts train_facts, test_facts;
};

enum mu_status mu_task_data_open(const struct mu_job *job, bool train, bool test,
    struct mu_log *log, struct mu_task_data *ret_data);
void mu_task_data_close(const struct mu_job *job, struct mu_task_data *data);
/* Are the files of both splits there? Says what is missing; reads nothing. NO_INPUT. */
enum mu_status mu_task_data_find(const struct mu_job *job, struct mu_log *log);

struct mu_task_timeouts {
    int64_t start_ns, step_ns, dead_ns, heartbeat_ns;
};
extern const struct mu_task_timeouts mu_task_timeouts_default;

struct mu_go_on;
struct mu_progress_display;
struct mu_status_keeper;

struct mu_task_run {
    struct mu_world *world;
    struct mu_log *log;
    const struct mu_spec *spec; /* `self` says which task this is */
    const struct mu_job *job;
    const struct mu_task_data *data; /* borrowed; what the role needs is opened */
    const char *out_dir;             /* NULL: nothing is written but the log */
    bool resume;
    int inherited_fd;       /* listening socket from a launcher, or -1 */
    struct mu_go_on *go_on; /* for help lines; NULL: nobody knows how to go on with this run */
    struct mu_task_timeouts timeouts;
    int64_t started_ns; /* of this process or simulated task */
    int64_t started_wall_ns;
    int64_t newest_before; /* evaluator: mu_task_newest of when it began, before it read data */
    struct mu_progress_display *display; /* of the leader; NULL: none */
    struct mu_status_keeper *status;     /* of the leader in the real world; NULL: none */
    struct mu_saved_version saved;       /* of the leader */
    bool launcher_kills; /* servers that are stopped and waited for, to start them again */
    /* A service manager in the real world; NULL: nobody. `ready` once, when the run has begun. */
    void (*ready)(const char *status);
    void (*beat)(void *owner);
    void (*tell)(const char *status);
};

/* Runs the task to its end. What went wrong has been said. */
enum mu_status mu_task_run(struct mu_task_run *run);

/* Which data sets the role of this task reads. */
bool mu_task_reads_train(const struct mu_spec *spec);
/* Sparse data: the most entries of a sample, of the sets that are open. */
static inline size_t mu_task_entry_max(const struct mu_task_data *data)
{
    size_t train = data->train_facts.entry_max, test = data->test_facts.entry_max;
    return train > test ? train : test;
}
/* Below which the ids of both are; 0: any. A table of servers must have room for what is tested. */
static inline uint64_t mu_task_id_count(const struct mu_task_data *data)
{
    uint64_t train = data->train_facts.id_count, test = data->test_facts.id_count;
    return train > 0 && test > train ? test : train;
}
bool mu_task_reads_test(const struct mu_spec *spec);
/* This task's event file, below `tb`; `resume_step` as in watch/event_file.h. CANNOT_CREATE. */
enum mu_status mu_task_events_open(
    const struct mu_task_run *run, int64_t resume_step, struct mu_event_file **ret_events);

/* Step of the newest checkpoint; -1: there is none. Takes NULL. */
int64_t mu_task_newest(struct mu_store *store);

/* The roles. */
enum mu_status mu_replica_run(struct mu_task_run *run);
enum mu_status mu_ps_role_run(struct mu_task_run *run);
enum mu_status mu_evaluator_run(struct mu_task_run *run);

#endif
