/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PS_REPORT_H
#define MU_ROLES_PS_REPORT_H

#include "cluster/load.h"
#include "ps/server/server.h"
#include "roles/task.h"
#include "watch/event_file.h"

/*
 * What the process of a parameter server reports of its work: its load, to the leader and as points
 * for TensorBoard, and at the end what became of all gradients. On the thread of its loop.
 */
struct mu_ps_report {
    struct mu_task_run *run;
    const char *const *replica_names; /* (replica_count), borrowed */
    struct mu_event_file *events;     /* NULL: none is written */
    int64_t load_ns;                  /* when the load was written last */
    bool has_points;                  /* `events` has some of this generation */
    uint64_t *written; /* (replica_count, MU_VERDICT_COUNT) its points of verdicts; with `events` */
    /* Of this generation, borrowed. */
    const struct mu_ps_server *server;  /* NULL between two generations */
    const struct mu_ps_server *standby; /* NULL: none */
};

/* Where the job has an output directory, with the file for TensorBoard. Fails like opening it. */
enum mu_status mu_ps_report_open(struct mu_ps_report *report, struct mu_task_run *run);
void mu_ps_report_close(struct mu_ps_report *report); /* takes a zeroed one */

/* Fits mu_cluster_tell_load; there must be a server. */
void mu_ps_report_load(void *report, struct mu_load *ret_load);
/* Now and then: a point of the load every second; of who judges also of what became of gradients.
 */
void mu_ps_report_note(struct mu_ps_report *report, int64_t now_ns);
/* A generation has ended: the next may begin at an older version. */
void mu_ps_report_forget(struct mu_ps_report *report);
/* The run is over: what was judged, if anything was, and all numbers once more. */
void mu_ps_report_end(struct mu_ps_report *report);

#endif
