/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_REPLICA_H
#define MU_ROLES_REPLICA_H

#include "cluster/cluster.h"
#include "collectives/group.h"
#include "data/prefetch.h"
#include "ps/client.h"
#include "ps/snapshot.h"
#include "roles/async/async_rows.h"
#include "roles/checkpoint/positions.h"
#include "roles/checkpoint/saver.h"
#include "roles/communicator.h"
#include "roles/evaluate.h"
#include "roles/own_rows.h"
#include "roles/report/reporter.h"
#include "roles/report/timeline.h"
#include "runtime/device/device.h"

/*
 * A task that trains: the chief and the workers. Two threads: the training thread (main) reads
 * batches and computes, the communication thread talks. Pieces: replica.c prepares, starts and ends
 * it, replica_links.c makes its links, replica_state.c restores and saves, sync.c and async.c are
 * the two ways to train.
 */
struct mu_push_counts;

#define MU_REPLICA_MESH_MAX 64 /* replicas that all have a link to each other */

struct mu_replica {
    struct mu_task_run *run;
    struct mu_world *world;
    struct mu_log *log;
    const struct mu_job *job;
    const struct mu_spec *spec;
    int rank, count;
    bool leads;

    /* ---- the model ---- */
    struct mu_layout layout;
    struct mu_device *device;
    void *model;
    struct mu_arena parameters;
    struct mu_arena slots[MU_SLOTS_MAX]; /* synchronous: of the optimizer */
    struct mu_slice_listener needs;  /* told before forward reads parameters; nobody: no `ready` */
    struct mu_arena accumulated;     /* of later parts of a batch; empty without such */
    struct mu_own_rows rows;         /* embedding rows, where this replica trains alone */
    struct mu_async_rows async_rows; /* the same, where parameter servers have them */

    /* ---- what is done and what is left ---- */
    struct mu_positions positions;
    struct mu_plan plan;
    struct mu_prefetch *prefetch;
    int64_t step;        /* optimizer steps done, from the start of the run */
    int64_t steps_begun; /* the same, when this process began */
    int64_t steps_own;   /* batches that this replica has trained on since then */
    int64_t steps_total;
    struct mu_ps_plan modes; /* with parameter servers: which mode when */
    int64_t samples_before;  /* that counted when this generation began */
    int64_t samples_own;     /* read by this replica in the generations before, all that it read */
    bool stopped;            /* asked to stop before the end */
    bool again;              /* this is not the first generation of the run */
    int64_t recoveries, updates_lost;
    bool took_over; /* a standby has answered in place of a lost server, after so long: */
    double takeover_seconds;
    double silence_seconds; /* leader: since it heard the lost server last */
    bool closed;            /* leader: the summary is written */
    bool ends;              /* leader: and nothing is left to do but to tell the others */

    /* ---- what others see ---- */
    struct mu_activity activity;
    struct mu_reporter reporter;
    struct mu_summary_task *task_summaries;     /* (count), with parameter servers, at the end */
    struct mu_summary_server *server_summaries; /* (ps_count), leader with parameter servers */
    struct mu_summary_task *task_counts; /* (count), the same: by heartbeats, while it trains */
    struct mu_timer *status_timer;       /* the communication thread's; NULL: none */
    struct mu_timeline timeline;         /* leader, if the job wants one */
    struct mu_saver saver;               /* leader with a run directory */
    int64_t saved_ns, saved_step;
    struct mu_push_counts *counts; /* asynchronous */

    /* ---- the communication thread's; the training thread only between commands ---- */
    struct mu_communicator communicator;
    struct mu_cluster *cluster; /* NULL: alone */
    struct mu_group group;
    char names[MU_REPLICA_MESH_MAX][MU_TASK_NAME_MAX]; /* of its ranks, where all have links */
    const char *name[MU_REPLICA_MESH_MAX];
    void *compressor;            /* synchronous: its state */
    struct mu_arena residual;    /* what it has left out so far; empty if it leaves out nothing */
    struct mu_ps_client *client; /* asynchronous */
    struct mu_vectors vectors;   /* of its pushes; they stay until it has gone */
    struct mu_ps_snapshot *snapshot; /* asynchronous, leader */
    struct mu_redial redial;         /* asynchronous: to servers whose link broke */
    struct mu_redial redial_state;   /* the same of the leader's for checkpoints */
    struct mu_timer *relink;
    _Atomic int64_t gone_ns;    /* when a server was lost that has a standby; 0: none was */
    int gone_task;              /* which one; before gone_ns */
    int64_t gone_heard_ns;      /* leader: and when it was heard last; the same */
    enum mu_status failed;      /* a command has failed: nothing is under way any more */
    int64_t last_start_wall_ns; /* of the tasks of this cluster */
};

/* Shares of a step's arithmetic, for worlds where it has a duration. */
#define MU_FORWARD_SHARE (1.0 / 3)
#define MU_BACKWARD_SHARE (1 - MU_FORWARD_SHARE)

/* ---- replica.c ---- */

/* Has a replica of this host no processor for anything but its arithmetic? */
bool mu_replica_is_crowded(const struct mu_replica *replica);
/* The next batch; mu_prefetch_done when it is worked. NO_INPUT (MU_E0501) if it does not come. */
enum mu_status mu_replica_next_batch(
    struct mu_replica *replica, const struct mu_prefetch_batch **ret_batch);
/* Of the next step, by the schedule. */
double mu_replica_learning_rate(const struct mu_replica *replica);
/* Who is alive of all that train or serve, as far as this replica knows, into what it reports. */
void mu_replica_count_tasks(const struct mu_replica *replica, struct mu_report *report);
/* With parameter servers: gradients (in a synchronous mode steps) that this replica has to do. */
int64_t mu_replica_own_gradients(const struct mu_replica *replica);

/* ---- replica_links.c ---- */

/* Joins the cluster, if this has not been done, and makes every link: to the replicas that this
 * one talks to, and to the parameter servers. */
enum mu_status mu_replica_connect(struct mu_replica *replica);
/* A generation has ended with `*status`. True: a lost server has come back, and another begins, for
 * which all is to be done again that mu_replica_connect and mu_replica_restore do. Otherwise
 * `*status` is what to end with. */
bool mu_replica_begin_again(struct mu_replica *replica, enum mu_status *status);
/* Training has failed: from now on nobody writes into the memory that pushes and snapshots had. */
void mu_replica_let_go(struct mu_replica *replica, enum mu_status status);
/* The leader ends the run with `status`; a member waits until it is over. Returns the status to end
 * with. */
enum mu_status mu_replica_part(struct mu_replica *replica, enum mu_status status);
/* Closes all, after telling the leader what went wrong, if something did. */
void mu_replica_disconnect(struct mu_replica *replica, enum mu_status status);
/* On the communication thread, when a command has failed with `status`: closes the links to the
 * replicas and to the servers, so that none of the memory the command was given is used any more.
 * Returns `status`. */
enum mu_status mu_replica_cut(struct mu_replica *replica, enum mu_status status);
/* The same after finding out what a failed wait for replica `rank` (-1: it is not known) means. */
enum mu_status mu_replica_blame(struct mu_replica *replica, enum mu_status status, int rank,
    const char *what, int64_t since_ns);
/* On the communication thread: a request of the group, for which all wait until the deadline of
 * `timeout_ns`. Begins nothing after a command has failed; blames for what fails, in `what`. */
enum mu_status mu_replica_ask(struct mu_replica *replica, const struct mu_request *request,
    int64_t timeout_ns, const char *what);
/* Bytes of replica `root` for all, by a command; no deadline but the life of the others. */
enum mu_status mu_replica_broadcast(
    struct mu_replica *replica, int root, void *data, size_t bytes, const char *what);
static inline int mu_replica_leader(const struct mu_replica *replica)
{
    return replica->spec->task[replica->spec->leader].replica;
}
/* All-reduce by sum of a small vector, for barriers and closing counts; no deadline but the life of
 * the others. */
enum mu_status mu_replica_sum(struct mu_replica *replica, float *data, size_t count);
bool mu_replica_stop_wanted(struct mu_replica *replica);
static inline bool mu_replica_uses_servers(const struct mu_replica *replica)
{
    return mu_job_uses_servers(replica->job, replica->count, replica->spec->ps_count);
}
/* A step under way has the number that it will have when it is done. */
static inline void mu_replica_doing(struct mu_replica *replica, enum mu_doing doing)
{
    bool under_way = doing >= MU_DOING_READING && doing <= MU_DOING_PUSHING;
    mu_activity_set(&replica->activity, doing, replica->step + under_way, mu_now(replica->world));
}

/* ---- replica_status.c ---- */

/* From now on status.json follows the run, if the task keeps one. NO_MEMORY. */
enum mu_status mu_replica_status_begin(struct mu_replica *replica);
/* On the communication thread: before the next second is over. */
void mu_replica_status_look(struct mu_replica *replica);
/* The same, while the cluster is there: a last look. */
void mu_replica_status_end(struct mu_replica *replica);
/* The saver has been started: what it cannot save is to be seen there too. */
void mu_replica_status_saves(struct mu_replica *replica);

/* ---- replica_state.c ---- */

/* Parameters, slots and the position in the data: drawn from the seed, or from the checkpoint that
 * the leader has. All replicas (and servers) begin with the same bits. */
enum mu_status mu_replica_restore(struct mu_replica *replica);
/* Begins to read batches. */
enum mu_status mu_replica_start_reading(struct mu_replica *replica);
/* Synchronous: the leader saves if this is `due` and the writer is free (or `wait`: when it is, and
 * has written). With a compressor that keeps something all replicas take part, and `due` is equal
 * on all. */
enum mu_status mu_replica_save(struct mu_replica *replica, bool due, bool wait);
/* Fills in what is not vectors, from the steps of each replica since this process began. */
void mu_replica_describe_snapshot(
    struct mu_replica *replica, int64_t step, const int64_t *steps_since);
bool mu_replica_save_is_due(const struct mu_replica *replica, int64_t step);

/* ---- sync.c, async.c ---- */
enum mu_status mu_sync_train(struct mu_replica *replica);
enum mu_status mu_async_train(struct mu_replica *replica);

#endif
