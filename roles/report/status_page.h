/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_STATUS_PAGE_H
#define MU_ROLES_STATUS_PAGE_H

#include "cluster/cluster.h"
#include "watch/progress.h"

/*
 * status.json: how a run is doing, for somebody who has nothing but its directory. The leader, who
 * hears everybody's heartbeats, writes it anew every second (status_keeper.h); `muster status`
 * shows it. docs/RUN_DIRECTORY.md has its keys.
 */
#define MU_STATUS_TASKS_MAX 2000 /* that are listed: with servers, what mu_json_read takes */

enum mu_status_phase {
    MU_STATUS_STARTING, /* until all tasks have come */
    MU_STATUS_TRAINING,
    MU_STATUS_ENDED
};

/* One task, as the leader sees it. */
struct mu_status_task {
    char name[MU_TASK_NAME_MAX];
    char address[MU_HOST_MAX + 16]; /* "": the run has one process */
    char host[64];
    int process; /* 0: not known */
    enum { MU_STATUS_MISSING, MU_STATUS_HERE, MU_STATUS_GONE } state;
    bool done;          /* gone: it has ended well */
    char absent[320];   /* why it has not come, as far as is known */
    int64_t awaited_ns; /* so long the run still waits for it; 0: it does not */
    int64_t started_wall_ns, heard_wall_ns;
    int doing; /* enum mu_doing */
    int64_t step, doing_age_ns, samples;
    bool has_load;
    struct mu_load load;

    /* Differences over the last seconds; NaN: not known yet. */
    bool rated;
    double samples_per_second, per_second[MU_LOAD_COUNT], staleness;
    int64_t mark_ns, mark_samples; /* 0: there is no mark */
    struct mu_load mark;
};

struct mu_status_page {
    enum mu_status_phase phase;
    int64_t written_wall_ns, started_wall_ns;
    char run[72], leader[MU_TASK_NAME_MAX], host[64];
    int process;
    int64_t process_started; /* mu_host_process_started */
    struct mu_progress progress;
    int exit; /* of a run that has ended */
    int error_number;
    char error[512], error_help[1792]; /* "": none */
    char command[1536];                /* that begins this run, without --resume; "": not known */
    char unsaved[512]; /* why the newest checkpoint could not be written; "": it could */
    int64_t unsaved_step, unsaved_wall_ns; /* since when none could */
    int64_t servers_since;                 /* the step from which the servers count */
    struct mu_status_task *task;           /* (task_count) */
    int task_count;
};

/* Puts in what is seen now, and the rates since the last marks. */
void mu_status_page_look(
    struct mu_status_task *task, const struct mu_task_view *view, int64_t now_ns);
void mu_status_page_write(const struct mu_status_page *page, struct mu_text *out);

#endif
