/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOCAL_H
#define MU_ROLES_LOCAL_H

#include "cluster/spec.h"

/*
 * The local launcher: `muster run JOB.json --local chief=1,worker=3,ps=2` starts every task of a
 * cluster on this machine, each a process of its own.
 *
 *   ports     the launcher binds them and hands each task its listening socket (fd 3, named by
 *             MUSTER_LISTEN_FD), so nobody else can take one in between
 *   identity  TF_CONFIG; whatever else could say who a task is (Slurm, Open MPI, torchrun) is
 *             taken out of its environment
 *   output    a pipe a task; each line is printed whole, with `[worker/1] ` before it. With
 *             MUSTER_LAUNCHED=terminal the leader's lines that end in \r are shown as one line at
 *             the bottom, overwritten
 *   the end   the launcher decides nothing that the cluster can decide: a task that a signal ended,
 *             or that ended with 69 or 75, is left to the survivors, which end by themselves soon
 *             (and are stopped if they do not). Any other code is a failure
 *             that no survivor can heal, and everything is stopped. The evaluator's failure is told
 *             and changes nothing
 *   again     with `ps_restarts` a parameter server that dies is started again after a while, as
 *             long as all replicas are there: the cluster waits for it. One that is stopped (state
 *             T) for longer than the cluster waits for a sign of life is killed for that
 *   signals   SIGINT, SIGTERM and SIGHUP become one SIGTERM for every task, which saves its state;
 *             a second one, or the end of the grace, kills. Tasks die with the launcher
 *   exit      of the first task by time that ended by a signal (128+n) or with another code than
 *             0, 69 or 75; else 69 if any ended so; else 75; else 0. What the launcher itself did
 *             to a task is no cause; where a second ^C killed them it is 128 + that signal
 */
#define MU_LOCAL_TASKS_MAX 256
#define MU_LOCAL_GRACE_MS 30000      /* from SIGTERM to SIGKILL */
#define MU_LOCAL_SURVIVORS_MS 3000   /* for the others to end by themselves after a task is lost */
#define MU_LOCAL_LINGER_MS 30000     /* for a ps after the last replica has ended */
#define MU_LOCAL_EVALUATOR_MS 600000 /* for the evaluator, to finish its last evaluation */
#define MU_LOCAL_SAY_MS 2000         /* after the last replica has ended: who is waited for */
#define MU_LOCAL_AGAIN_MS 100        /* before a server is started again; twice as long each time */
#define MU_LOCAL_GIVEN_UP_MS 500     /* for the cluster to say that it has given a server up */

struct mu_local_request {
    const int *counts;   /* [MU_ROLE_COUNT] */
    char *const *argv;   /* arguments after the program's name, NULL-terminated */
    const char *out_dir; /* shorter than MU_RUN_DIR_PATH_MAX; NULL: not told */
    bool quiet;          /* no lines of the launcher's own, but for failures */
    const char *program; /* NULL: this very program */
    int grace_ms;        /* 0: MU_LOCAL_GRACE_MS */
    bool has_standbys;   /* the run goes on without one parameter server */
    int ps_restarts;     /* of each parameter server; 0: one that dies ends the run */
    int silence_ms;      /* after which the cluster gives a silent task up */
};

/* Runs the cluster to its end and returns the exit code. To be called on the main thread, with no
 * other running: tasks die with the thread that started them. */
int mu_local_run(struct mu_log *log, const struct mu_local_request *request);

#endif
