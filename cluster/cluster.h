/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_CLUSTER_H
#define MU_CLUSTER_CLUSTER_H

#include "cluster/activity.h"
#include "cluster/hello.h"
#include "cluster/load.h"
#include "runtime/io/link.h"

/*
 * This task's view of the cluster: who is there, what they do, who is lost. A star: each member
 * holds one control link to the leader (the chief, or worker/0). The leader starts the run when all
 * that it needs are there, hears their heartbeats, names the culprit when one is lost, and says
 * when the run is over.
 *
 * All calls are on the loop's thread unless said otherwise. When a task is lost, the reason is
 * said, `loop->cancelled` becomes UNAVAILABLE, and every wait on the loop ends. So does the run,
 * and is resumed from its checkpoint; unless the lost task is a parameter server that has a
 * standby, without which the others go on at once, or `recover_ns` > 0: then the run waits for it,
 * and goes on in another generation (mu_cluster_begin_again).
 */
struct mu_cluster;
struct mu_caller;

/* Of the training data: what a task that reads none must know all the same. */
struct mu_data_shape {
    int64_t samples, features, classes, fields;
    int64_t entries; /* sparse data: the most of any sample that the run reads */
    uint64_t ids;    /* sparse data: ids are below it; 0: any */
};

/* A command to type, and what it goes on from, with its end. */
#define MU_CLUSTER_GO_ON_MAX 1536

struct mu_cluster_options {
    struct mu_world *world;
    struct mu_loop *loop;
    struct mu_log *log;
    const struct mu_spec *spec; /* borrowed; with at least two tasks that train or serve */
    uint64_t job_hash;
    const char *job; /* what the hash is over, as JSON, to show a difference; may be NULL */
    uint32_t layout_crc32c;
    uint32_t data_crc32c;       /* 0: reads no training data */
    struct mu_data_shape shape; /* the leader's goes to all with the start */
    int64_t started_wall_ns;    /* of this process */
    int inherited_fd;           /* a listening socket from the launcher, or -1 */
    int64_t start_timeout_ns;   /* for everybody to come */
    int64_t heartbeat_ns;       /* 100 ms */
    int64_t step_ns;            /* after which a task that computes or reads counts as hanging */
    int64_t dead_ns;            /* silence after which a task counts as lost */
    int64_t recover_ns;  /* for a parameter server that was lost to come back; 0: nobody waits */
    bool launcher_kills; /* whom of those the run waits for is stopped, whoever starts it ends */
    /* Which of so many parameter servers has the part of this one, too, by their order in the
     * spec; NULL: each part is kept once. */
    int (*standby_of)(int server, int server_count);
    /* Leader: the version that the servers would come back with, that of the newest checkpoint; 0:
     * none, they would begin anew. Is it only being written? Asks no disk. NULL: there are no
     * servers, or they keep nothing. */
    int64_t (*saved)(void *owner, bool *ret_is_written);
    /* How to go on after a failure, for the help lines, in up to MU_CLUSTER_GO_ON_MAX bytes. The
     * leader's asks no disk, which may hang. NULL: nobody knows. */
    void (*go_on)(void *owner, char *out, size_t bytes);
    /* The command that starts a task of this cluster, in up to MU_CLUSTER_GO_ON_MAX bytes; "" where
     * that is not known. NULL: nobody knows. */
    void (*start)(void *owner, int task, char *out, size_t bytes);
    struct mu_activity *activity; /* of this task, sent with heartbeats */
    void (*beat)(void *owner);    /* called with each heartbeat: a watchdog; NULL: none */
    /* Has this run left something since we began to wait? Then a leader that is not there any more
     * will not come. NULL: it may still come. */
    bool (*was_there)(void *owner);
    /* Has a run left something that this task can do without a leader? Then one that never comes is
     * no error of this task. NULL: no. */
    bool (*has_left)(void *owner);
    void *owner;
};

/* Copies what it needs except what is marked borrowed. NO_MEMORY. */
enum mu_status mu_cluster_create(
    const struct mu_cluster_options *options, struct mu_cluster **ret_cluster);
void mu_cluster_destroy(struct mu_cluster *cluster); /* takes NULL; closes all its links */

/* Listens on this task's address. Says why not: in use and by whom (MU_E0302, or MU_E0307 if it is
 * this very task that runs there), not of this host (MU_E0303), no such name (MU_E0310). */
enum mu_status mu_cluster_open(struct mu_cluster *cluster);

/*
 * The start: members call the leader until it answers; the leader waits for every replica and every
 * parameter server, and meanwhile calls those who are missing to learn why. Whoever waits says for
 * whom every five seconds. OK: the run has begun, with generation 1. UNAVAILABLE at the start
 * time-out, naming all that are missing; PROTOCOL if specs, jobs, models or data differ, or the
 * address belongs to something else.
 * An evaluator joins as an observer: it is not waited for, and may come later. UNAVAILABLE also if
 * the run was over before it could join.
 */
enum mu_status mu_cluster_join(struct mu_cluster *cluster);

/* From now on heartbeats say this server's load. */
void mu_cluster_tell_load(
    struct mu_cluster *cluster, void (*load)(void *owner, struct mu_load *ret_load), void *owner);
/* Numbers that only the layers above know how to read. */
struct mu_cluster_numbers {
    const int64_t *value; /* (count) borrowed */
    size_t count;
};
/* From now on heartbeats say numbers of this replica: `counts` writes them and returns how many. On
 * the loop's thread; with a view of this task, too. */
#define MU_CLUSTER_COUNTS_MAX 72
void mu_cluster_tell_counts(struct mu_cluster *cluster,
    size_t (*counts)(void *owner, int64_t out[MU_CLUSTER_COUNTS_MAX]), void *owner);
/* Leader: asks all parameter servers, so that what mu_cluster_view says of them is not older than
 * this call. OK also if one is gone; TIMEOUT, or what the loop was cancelled with. */
enum mu_status mu_cluster_ask_loads(struct mu_cluster *cluster, int64_t deadline_ns);

/* A task as this one sees it; the leader sees all. */
struct mu_task_view {
    bool here;   /* it has come, and its link is there */
    bool joined; /* it has come */
    bool done;   /* it has gone, and had ended well */
    int process; /* 0: not known */
    const char *host;
    int64_t started_wall_ns;
    int64_t heard_wall_ns; /* its last sign of life */
    int64_t heard_age_ns;  /* since that; to the leader, who alone hears all */
    int doing;             /* enum mu_doing */
    int64_t step, doing_age_ns, samples;
    const char *absent;               /* why it has not come, as far as is known; "" */
    int64_t awaited_ns;               /* so long the run still waits for it; 0: it does not */
    const struct mu_load *load;       /* NULL: none, or not known */
    struct mu_cluster_numbers counts; /* that it tells of itself; none: it has told none */
};
/* Borrowed until the loop turns. */
struct mu_task_view mu_cluster_view(struct mu_cluster *cluster, int task);
bool mu_cluster_started(const struct mu_cluster *cluster);

/* A greeted link to a task that listens, or from one that calls; both wait until the deadline.
 * The caller adopts and resumes it. `lane` tells several of one kind between two tasks apart. */
enum mu_status mu_cluster_dial(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link);
enum mu_status mu_cluster_answer(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link);

/* One call at a time to tasks whose link broke, which waits for nothing: from a timer. */
struct mu_redial {
    struct mu_cluster *cluster;
    struct mu_caller *caller;
    struct mu_hello *hello;
    bool calls;
    uint32_t lane;
    int64_t until_ns, again_ns, pause_ns;
};
enum mu_status mu_redial_init(struct mu_redial *redial, struct mu_cluster *cluster); /* NO_MEMORY */
void mu_redial_finish(struct mu_redial *redial); /* takes a zeroed one */
/* Unless one is under way, or the last one failed just now. */
void mu_redial_start(struct mu_redial *redial, int task, int kind, uint32_t lane);
/* Is the link of the call under way here? */
bool mu_redial_done(struct mu_redial *redial, struct mu_link **ret_link, uint32_t *ret_lane);

/* Leader: from now on the run can do without one of its parameter servers. */
void mu_cluster_stand_by(struct mu_cluster *cluster);
/* Called when a server is lost and the run goes on without it, on all tasks, inside of the loop's
 * callbacks. NULL: nobody. */
void mu_cluster_on_gone(
    struct mu_cluster *cluster, void (*on_gone)(void *owner, int task), void *owner);

/*
 * A generation has ended with `*status` for this task, which has closed all links that it made in
 * it, and said AWAITING in its activity. True: parameter servers were lost, have come back, all
 * others wait here too, and the next generation has begun: waits work again. Otherwise `*status` is
 * what to end with.
 */
bool mu_cluster_begin_again(struct mu_cluster *cluster, enum mu_status *status);
/* Would a task that ended with this exit code do so again if it was only started again? */
bool mu_cluster_would_fail_again(int exit_code);
/* Has a generation ended that this task has not left yet? */
bool mu_cluster_interrupted(const struct mu_cluster *cluster);
/* Leader, after that: the newest version of the parameters that any task had seen of the generation
 * before. From the thread that waited for it, too: it stays until it begins again once more. */
int64_t mu_cluster_version_seen(const struct mu_cluster *cluster);
/* Leader: what the loss of a server costs with which the run ends, as its last words say; 0: it
 * ended with none. */
int64_t mu_cluster_updates_lost(const struct mu_cluster *cluster);
/* Leader: all tasks say "ps/1 (10.0.0.4:2222) is back after 3.2 s: " and `how`. */
void mu_cluster_tell_back(struct mu_cluster *cluster, const char *how);

uint64_t mu_cluster_run(const struct mu_cluster *cluster); /* its id, after join */
uint32_t mu_cluster_generation(const struct mu_cluster *cluster);
/* The shape of the training data, as the leader has it; after join. */
struct mu_data_shape mu_cluster_shape(const struct mu_cluster *cluster);
/* When the last of the tasks that the leader knows was started. */
int64_t mu_cluster_last_start_wall_ns(const struct mu_cluster *cluster);

/*
 * A wait has failed: `status` is what it returned, `task` whom it was waiting for (-1: somebody).
 * Finds out who is the cause (asking the leader, for at most 1.5 s), says so, and returns the
 * status to end with. `what` names the wait: "all-reduce 813 (bucket 2 of 5)", `since_ns` its
 * beginning.
 */
enum mu_status mu_cluster_blame(struct mu_cluster *cluster, enum mu_status status, int task,
    const char *what, int64_t since_ns);

/*
 * Member: this task has cut off another one for what it did, and the run cannot go on without that.
 * Tells the leader, which ends the run, and returns: the caller serves on until its waits end. Who
 * broke a rule (MU_E0404) ends with that, all others with MU_E0403; who hangs (MU_E0402) as others.
 * With it go numbers, up to MU_CLUSTER_NUMBERS_MAX: what the leader would have asked for at the end
 * of a run that ends well.
 */
#define MU_CLUSTER_NUMBERS_MAX 6400
void mu_cluster_accuse(struct mu_cluster *cluster, int task, enum mu_error error, const char *text,
    struct mu_cluster_numbers numbers);
/* Leader: those of the accusation that ended the run; none: nobody was accused. */
struct mu_cluster_numbers mu_cluster_accused_with(const struct mu_cluster *cluster);

/* Has somebody asked for the run to stop (SIGTERM here or, as the leader heard, elsewhere)? An
 * evaluator's SIGTERM is for itself: mu_stop_requested. From any thread. */
bool mu_cluster_stop_wanted(const struct mu_cluster *cluster);
void mu_cluster_want_stop(struct mu_cluster *cluster); /* from any thread */

/* Leader: the run is over, with OK or PREEMPTED; tells everybody and waits until they have gone (at
 * most two seconds). */
void mu_cluster_finish(struct mu_cluster *cluster, enum mu_status status);
/* Member: waits until the leader says that the run is over: returns the status to end with. */
enum mu_status mu_cluster_wait_over(struct mu_cluster *cluster);
/* Is it over? Its address can be given to a server to watch. */
const bool *mu_cluster_over(const struct mu_cluster *cluster);
enum mu_status mu_cluster_over_status(const struct mu_cluster *cluster);
/* This task fails for a reason of its own, or is an evaluator that was asked to stop (PREEMPTED):
 * tells the leader, so that others know. */
void mu_cluster_goodbye(struct mu_cluster *cluster, enum mu_status status, const char *text);

#endif
