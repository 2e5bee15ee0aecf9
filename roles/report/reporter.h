/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_REPORTER_H
#define MU_ROLES_REPORTER_H

#include "roles/report/summary.h"
#include "roles/task.h"
#include "watch/event_file.h"
#include "watch/metrics.h"
#include "watch/progress.h"

/*
 * What one sees of a task that trains: points in its event file, and for the leader metrics.jsonl,
 * the progress line and the summary. On the training thread.
 */
struct mu_reporter {
    struct mu_task_run *run;
    bool leads;
    struct mu_event_file *events;
    struct mu_metrics *metrics;
    int64_t steps_total, epochs;
    int64_t first_step_ns, last_ns; /* of the world's clock */
    int64_t last_start_wall_ns;     /* when the last task of the cluster was started */
    int64_t samples;                /* of the whole run since this process began */
    int64_t first_samples;          /* at first_step_ns */
    int64_t first_step;             /* done at first_step_ns */
    int64_t samples_before;         /* of earlier processes of this run */
    int64_t point_ns, point_samples, told_ns;
    int64_t loads_ns;            /* when the loads of the servers were looked at last */
    int64_t noted_ns;            /* when status.json was given the progress last */
    double speed;                /* samples per second, recent */
    struct mu_progress progress; /* the last */
    bool beyond;                 /* more steps are done than were planned, which has been said */
    bool at_end;                 /* the step that was planned as the last has been shown */
    struct mu_summary summary;
};

/* One step of the run, as the task knows it. */
struct mu_report {
    int64_t step; /* done, from the start of the run */
    int64_t epoch;
    int64_t samples; /* since this process began, of all replicas */
    double loss, accuracy;
    double learning_rate;
    double staleness;        /* of the last push; NaN in synchronous mode */
    const int64_t *verdicts; /* (MU_VERDICT_COUNT) of this task so far; NULL in synchronous mode */
    int alive, tasks;
};

/* `resume_step` < 0: a new run. CANNOT_CREATE. */
enum mu_status mu_reporter_open(struct mu_reporter *reporter, struct mu_task_run *run, bool leads,
    int64_t resume_step, int64_t steps_total, int64_t last_start_wall_ns, int64_t samples_before);
/* The run has lost what came after `step` and `samples`, since this process began, and goes on from
 * there: what was written of it is not seen any more. CANNOT_CREATE. */
enum mu_status mu_reporter_go_back(
    struct mu_reporter *reporter, int64_t step, int64_t steps_total, int64_t samples);
void mu_reporter_step(struct mu_reporter *reporter, const struct mu_report *report);
/* The load of each server; what became of the gradients of each task so far, and how stale they all
 * were (MU_SUMMARY_STALENESS_MAX). */
struct mu_report_loads {
    const struct mu_summary_server *servers;
    int server_count;
    const struct mu_summary_task *tasks;
    int task_count;
    const int64_t *staleness;
};
/* Of more tasks a line of metrics has the sums, beside these first ones: "verdict/drop/all". */
#define MU_REPORT_TASKS_MAX 64
/* A line of metrics with that. */
void mu_reporter_loads(
    struct mu_reporter *reporter, int64_t step, const struct mu_report_loads *loads);
/* The closing numbers; leader only: writes summary.json and says them. */
enum mu_status mu_reporter_finish(struct mu_reporter *reporter, enum mu_status status);
void mu_reporter_close(struct mu_reporter *reporter); /* takes a zeroed one */

#endif
