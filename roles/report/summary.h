/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SUMMARY_H
#define MU_ROLES_SUMMARY_H

#include "cluster/load.h"
#include "muster/policy.h"
#include "runtime/base/log.h"
#include "runtime/base/text.h"

/* summary.json: the end of a run in numbers, for scripts. */
#define MU_SUMMARY_STALENESS_MAX 64 /* buckets 0, 1, ... 62, and "63 or more" */

/* What became of the gradients of one replica. */
struct mu_summary_task {
    char name[MU_TASK_NAME_MAX]; /* "worker/0" */
    int64_t verdicts[MU_VERDICT_COUNT];
};

/* What a parameter server had to do, and what it kept at the end. */
struct mu_summary_server {
    char name[MU_TASK_NAME_MAX]; /* "ps/0" */
    struct mu_load load;
};

struct mu_summary {
    int exit;                   /* the exit code of the run */
    int64_t steps, epochs;      /* done; epochs: whole ones */
    int64_t samples;            /* trained on, those of dropped gradients too */
    int64_t samples_again;      /* read besides, by what a lost server cost; -1: not known */
    double wall_seconds;        /* from the start of the process */
    double first_step_seconds;  /* until the first step was done; NaN: none was */
    double samples_per_second;  /* between the first step and the last; NaN: there were no two */
    double rows_per_second;     /* from the start of the process to the last step, the scan of the
                                   data counted; NaN: no step was done */
    double train_loss;          /* mean of the last epoch or interval; NaN: not known */
    double test_accuracy;       /* 0..1; NaN: not known */
    double test_loss, test_auc; /* means over the test set; NaN: not known */
    int64_t embedding_rows;     /* of the model's table; -1: it has none */
    int64_t exchange_bytes;     /* of gradients that one replica sent; synchronous */
    uint32_t parameters_crc32c; /* mu_layout_crc32c_of the parameters, then the embedding rows */
    int64_t staleness[MU_SUMMARY_STALENESS_MAX]; /* pushes by their staleness; synchronous: zeros */
    double staleness_sum;
    int64_t staleness_max;
    int64_t verdicts[MU_VERDICT_COUNT];
    int64_t recoveries;      /* lost servers that the run waited for and went on with */
    int64_t updates_lost;    /* by that, or by the end: applied, and not in the checkpoint then */
    double takeover_seconds; /* until the standby of a lost server answered; NaN: none had to */
    double takeover_silence_seconds;     /* the same, since the leader had heard that server last */
    const struct mu_summary_task *tasks; /* (task_count), borrowed; synchronous: none */
    int task_count;
    const struct mu_summary_server
        *servers; /* (server_count), borrowed; of a run that ended well */
    int server_count;
    int64_t servers_since; /* the step from which they count */
};

/* `exit`, `steps`, `epochs`, `samples`, `samples_again`, `wall_seconds`, `first_step_seconds`,
 * `samples_per_second`, `rows_per_second`, `train_loss`, `test_accuracy`, `test_loss`, `test_auc`,
 * `embedding_rows`, `exchange_bytes`, `parameters_crc32c` (eight hex digits), `staleness` (`mean`,
 * `max`, `histogram`: counts for 0, 1, 2, ... up to the largest seen), `verdicts` (counts by name),
 * `recoveries`, `updates_lost`, `takeover_seconds`, `takeover_silence_seconds`, `verdicts_by_task`
 * (the same for each replica, by its name; synchronous: empty), `servers` (the load of each
 * parameter server, by its name), `servers_since` (the step from which they count), `dense_balance`
 * (the most dense bytes of a server by the mean). What is not known is null. */
void mu_summary_write(const struct mu_summary *summary, struct mu_text *out);
/* Written aside and renamed: a reader never meets half a summary. CANNOT_CREATE, IO_ERROR. */
enum mu_status mu_summary_save(
    struct mu_log *log, const char *path, const struct mu_summary *summary);

#endif
