/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_JOB_H
#define MU_ROLES_JOB_H

#include "collectives/compress/compressor.h"
#include "muster/dataset.h"
#include "muster/model.h"
#include "muster/optimizer.h"
#include "muster/policy.h"
#include "muster/tensor.h"
#include "ps/ps_plan.h"
#include "runtime/base/json.h"
#include "runtime/optim/optimizers.h"
#include "runtime/optim/schedules.h"

/*
 * A job says what to learn; a spec says where. Each section names one driver by "kind" and gives
 * its options; the drivers' rows are the schema. Documented in docs/JOB.md, made from the rows.
 */
#define MU_JOB_STREAMS_MAX 8
#define MU_MODE_ROWS(ROW)                                                                          \
    ROW(SYNC, "sync")                                                                              \
    ROW(ASYNC, "async")                                                                            \
    ROW(SOFTSYNC, "softsync")                                                                      \
    ROW(BOUNDED, "bounded")

#define MU_MODE_ENUM(name, text) MU_MODE_##name,
enum mu_mode_kind { MU_MODE_ROWS(MU_MODE_ENUM) MU_MODE_COUNT };
#undef MU_MODE_ENUM
enum mu_mode_rows { MU_ROWS_TOUCH, MU_ROWS_DENSE };
enum mu_mode_row_split { MU_ROW_SPLIT_HASH, MU_ROW_SPLIT_RANGE };

enum mu_mode_transport { MU_MODE_ROUTE, MU_MODE_SHM, MU_MODE_TCP };

#define MU_MODE_AUTO (-1)          /* of backups or bound: chosen from measured times */
#define MU_JOB_RECOVERY_SECONDS 60 /* unless a job says another time, or has standbys */

struct mu_job_data {
    int64_t batch;      /* rows of a replica that are computed at once */
    int64_t accumulate; /* such batches in a step: their gradients are added up */
    int64_t prefetch;   /* steps read ahead */
    bool shuffle;
};

struct mu_job_mode {
    int kind;                    /* enum mu_mode_kind */
    int64_t bucket_bytes;        /* sync: gradients travel in buckets of about this size */
    int64_t first_bucket_bytes;  /* and the first of a step of this one */
    bool deterministic;          /* sync: the same bits whichever algorithm adds them */
    bool arena;                  /* sync: on one host the gradients lie in shared memory */
    int transport;               /* enum mu_mode_transport */
    int64_t streams;             /* sync: of tcp to each replica of another host; 0: measured */
    char algorithm[MU_NAME_MAX]; /* sync: a name from the table of algorithms; "": the best */
    int64_t
        check_every; /* sync: steps between checks that replicas are equal; 0: only at the end */
    /* Through parameter servers: */
    int64_t in_flight;        /* pushes of one worker under way at once */
    int64_t workers;          /* sync: gradients of a step; 0: all-reduce, or all but the backups */
    int64_t backups;          /* sync: replicas beyond these; MU_MODE_AUTO */
    int64_t gradients;        /* softsync: of a step */
    int64_t bound;            /* bounded: clocks ahead of the slowest, or MU_MODE_AUTO; drop: the
                                 staleness allowed */
    int64_t auto_steps;       /* that are measured for MU_MODE_AUTO */
    int64_t warmup_steps;     /* the first ones, with one replica */
    int64_t warmup_epochs;    /* the same, in epochs that this replica reads alone */
    bool audit;               /* what makes which version is written down */
    int64_t replicas;         /* of each server's part of the parameters, beside the first */
    double recovery_seconds;  /* for a server that was lost to come back; 0: the run ends;
                                 MU_MODE_AUTO: mu_job_recovery_seconds */
    int rows;                 /* enum mu_mode_rows */
    int row_split;            /* enum mu_mode_row_split */
    int64_t row_limit;        /* of an embedding table, on all servers together; 0: none */
    char policy[MU_NAME_MAX]; /* a name from the table of policies */
};

/* One entry of mode.schedule. */
#define MU_JOB_PHASES_MAX (MU_PS_PHASES_MAX - 1)
struct mu_job_phase {
    int64_t from_step, from_epoch; /* one of them is more than 0 */
    struct mu_job_mode mode;       /* what a schedule cannot change is as it is in the job */
    const struct mu_policy_ops *policy;
    void *policy_options;
};

struct mu_job_train {
    int64_t epochs;
    int64_t steps; /* 0: as many as the epochs have; else stop after so many global steps */
    int64_t seed;
    int64_t bad_steps_max; /* steps in a row with a loss or gradient that is not finite */
    char device[MU_NAME_MAX];
};

struct mu_job_checkpoint {
    int64_t every_steps;  /* 0: only at the end */
    double every_seconds; /* 0: not by time */
    int64_t keep;
};

struct mu_job_log {
    int64_t every_steps;    /* between points in event files and metrics.jsonl; 0: none */
    int64_t timeline_steps; /* the leader draws so many of its first steps; 0: none */
};

struct mu_job {
    struct mu_json *json; /* as resolved, --set included */
    char name[MU_NAME_MAX];
    const struct mu_model_ops *model;
    void *model_options;
    const struct mu_dataset_ops *dataset;
    void *dataset_options;
    struct mu_job_data data;
    struct mu_job_mode mode;
    void *policy_options; /* of the policy that mode.policy names, or NULL */
    const struct mu_policy_ops *policy;
    struct mu_job_phase phase[MU_JOB_PHASES_MAX];
    int phase_count;
    const struct mu_optimizer_ops *optimizer;
    void *optimizer_options;
    struct mu_optim_common optim;
    const struct mu_compressor_ops *compressor;
    void *compressor_options;
    const struct mu_schedule_ops *schedule;
    void *schedule_options;
    struct mu_job_train train;
    struct mu_job_checkpoint checkpoint;
    struct mu_job_log log;
    /* CRC-64-like hash over what must agree between tasks: everything but "name", "data.path",
     * "checkpoint", "log" and "train.device". */
    uint64_t hash;
};

/* Reads FILE, applies `sets` ("data.path=DIR", NULL-terminated, may be NULL), checks every section.
 * Messages name file, line and the nearest name. CONFIG, NO_INPUT, USAGE (a malformed set). */
enum mu_status mu_job_load(
    struct mu_log *log, const char *path, const char *const sets[], struct mu_job **ret_job);
/* The same from text, as mu_job_write gives it; `source` names it in messages. */
enum mu_status mu_job_parse(struct mu_log *log, const char *source, const char *text, size_t bytes,
    struct mu_job **ret_job);
void mu_job_destroy(struct mu_job *job); /* takes NULL */

/* Does it train through parameter servers? If not, by all-reduce, or alone. A single replica
 * without servers applies each of its gradients itself, which is what mode `async` asks for; and
 * replicas that share an embedding table share it by the servers, also in mode `sync`. */
bool mu_job_uses_servers(const struct mu_job *job, int replica_count, int ps_count);
/* How long such a cluster waits for a server that was lost; 0: not at all. */
double mu_job_recovery_seconds(const struct mu_job *job, int replica_count, int ps_count);
/* How its servers make steps of gradients, from the first on and as mode.schedule has it later. The
 * same on every task and in a replay: `sample_count` is that of the training data. */
struct mu_ps_plan mu_job_ps_plan(const struct mu_job *job, int replica_count, size_t sample_count);

/* Can a cluster of so many replicas and parameter servers train it? CONFIG, and why. To be asked
 * before any task is started: each of them would say the same. */
enum mu_status mu_job_fit(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count);
/* The same of a cluster that was asked for: then one without servers is refused in a mode for them,
 * of a single replica too. Where none was, a process trains alone. */
enum mu_status mu_job_fit_cluster(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count);
/* The same where all its replicas are on this machine: then it is known too which algorithms can
 * add their gradients. */
enum mu_status mu_job_fit_local(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count);
/* The learning rate of the step that `step` steps are done before, of `steps_total` that the run
 * plans. One that it does beyond them has the rate of the last that was planned. */
double mu_job_rate(const struct mu_job *job, int64_t step, int64_t steps_total);
/* Rows that a replica works on in a step. */
static inline int64_t mu_job_rows(const struct mu_job *job)
{
    return job->data.batch * job->data.accumulate;
}
/* The job as resolved, every default filled in: job.json of the run directory. */
void mu_job_write(const struct mu_job *job, struct mu_text *out);
/* Every section with its rows: `muster run --help-job`, docs/JOB.md, the man page. */
void mu_job_describe(struct mu_text *out);

#endif
