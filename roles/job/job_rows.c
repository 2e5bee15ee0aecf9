/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_rows.h"
#include "data/datasets.h"
#include "data/plan.h"
#include "models/models.h"
#include "ps/policies.h"
#include <string.h>

#define INTEGER_MAX 9007199254740992.0 /* 2^53: what a JSON number holds exactly everywhere */

static const struct mu_option none[] = {{.name = NULL}};

const struct mu_option mu_job_root_rows[] = {
    {.name = "name",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct mu_job, name),
        .bytes = MU_NAME_MAX,
        .fallback = "",
        .doc = "names the run directory; the file's name without .json if it is absent"},
    {.name = NULL},
};

static const struct mu_option data_rows[] = {
    {.name = "batch",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_data, batch),
        .min = 1,
        .max = 1 << 20,
        .fallback = "64",
        .doc = "samples that a replica computes at once"},
    {.name = "accumulate",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_data, accumulate),
        .min = 1,
        .max = 1024,
        .fallback = "1",
        .doc = "batches per replica and step; their gradients are added and exchanged once"},
    {.name = "prefetch",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_data, prefetch),
        .min = 2,
        .max = 64,
        .fallback = "3",
        .doc = "steps whose data is held, one in work and the others read ahead (dense data "
               "only where replicas leave a processor to spare)"},
    {.name = "shuffle",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct mu_job_data, shuffle),
        .fallback = "true",
        .doc = "draw the order of samples anew each epoch; text is drawn in blocks of 64 lines"},
    {.name = NULL},
};

#define MODE_CHOICE(name, text) "|" text

static const struct mu_option mode_rows[] = {
    {.name = "kind",
        .type = MU_OPTION_CHOICE,
        .offset = offsetof(struct mu_job_mode, kind),
        .fallback = "sync",
        .choices = &MU_MODE_ROWS(MODE_CHOICE)[1], /* without the first bar */
        .doc = "sync: all-reduce between replicas, or with workers or backups, and all others: "
               "parameter servers"},
    {.name = "bucket_bytes",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, bucket_bytes),
        .min = 1 << 10,
        .max = 1 << 30,
        .fallback = "1048576",
        .doc = "sync: gradients travel in buckets of about so many bytes"},
    {.name = "first_bucket_bytes",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, first_bucket_bytes),
        .min = 1 << 10,
        .max = 1 << 30,
        .fallback = "65536",
        .doc =
            "sync: the first bucket of a step is of about so many, so that talking begins early"},
    {.name = "transport",
        .type = MU_OPTION_CHOICE,
        .offset = offsetof(struct mu_job_mode, transport),
        .fallback = "route",
        .choices = "route|shm|tcp",
        .doc = "how gradients travel; route: shared memory on one host (with servers, too), tcp to "
               "others; mpi is none: there one lost process ends all"},
    {.name = "streams",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, streams),
        .min = 0,
        .max = MU_JOB_STREAMS_MAX,
        .fallback = "0",
        .doc = "sync: connections to each replica of another host; 0: as many as prove worth it"},
    {.name = "algorithm",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct mu_job_mode, algorithm),
        .bytes = MU_NAME_MAX,
        .fallback = "",
        .doc = "sync: one for all sums, as ring; empty: the best for each, by measured costs"},
    {.name = "deterministic",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct mu_job_mode, deterministic),
        .fallback = "true",
        .doc = "sync: the same bits whichever algorithm adds the gradients"},
    {.name = "arena",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct mu_job_mode, arena),
        .fallback = "true",
        .doc = "sync: replicas of one host have their gradients in shared memory"},
    {.name = "check_every",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, check_every),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "50",
        .doc = "sync: steps between checks that the replicas are equal; 0: only at the end"},
    {.name = "in_flight",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, in_flight),
        .min = 1,
        .max = 16,
        .fallback = "1",
        .doc = "async, softsync: pushes of one worker under way at once"},
    {.name = "workers",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, workers),
        .min = 0,
        .max = MU_REPLICAS_MAX,
        .fallback = "0",
        .doc = "sync: the first so many gradients are a step, through parameter servers; 0: all "
               "replicas but the backups"},
    {.name = "backups",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, backups),
        .min = 0,
        .max = MU_REPLICAS_MAX,
        .fallback = "0",
        .choices = "auto",
        .doc = "sync: replicas beyond the workers; who is late is dropped and sent on; auto: what "
               "the measured times make best"},
    {.name = "gradients",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, gradients),
        .min = 1,
        .max = 1e6,
        .fallback = "1",
        .doc = "softsync: the mean of so many gradients is a step"},
    {.name = "bound",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, bound),
        .min = 0,
        .max = 1e6,
        .fallback = "16",
        .choices = "auto",
        .doc = "bounded: steps that a worker may be ahead of the slowest; auto: what the measured "
               "times make best; policy drop: updates by which a gradient may be late"},
    {.name = "auto_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, auto_steps),
        .min = 4,
        .max = 10000,
        .fallback = "100",
        .doc = "with auto: steps of all replicas that are measured first"},
    {.name = "warmup_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, warmup_steps),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "0",
        .doc = "through parameter servers: replica 0 does the first steps alone, the others wait"},
    {.name = "warmup_epochs",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, warmup_epochs),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "the same in epochs: replica 0 reads the first ones whole, the others begin after "
               "them"},
    {.name = "audit",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct mu_job_mode, audit),
        .fallback = "false",
        .doc = "through parameter servers: each writes down what makes which version"},
    {.name = "replicas",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, replicas),
        .min = 0,
        .max = 1,
        .fallback = "0",
        .doc = "1: each part of the parameters has a hot standby on another server, which takes "
               "over when the first is lost"},
    {.name = "recovery_seconds",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_job_mode, recovery_seconds),
        .min = 0,
        .max = 1e6,
        .fallback = "auto",
        .choices = "auto",
        .doc = "a parameter server that is lost is waited for so long, and the run goes on from "
               "the last checkpoint; 0: the run ends; auto: 60 through parameter servers without "
               "standbys, else 0"},
    {.name = "rows",
        .type = MU_OPTION_CHOICE,
        .offset = offsetof(struct mu_job_mode, rows),
        .fallback = "touch",
        .choices = "touch|dense",
        .doc = "when a row of the embedding table begins: with its first gradient; or all at the "
               "start, in memory for every id that the data may have"},
    {.name = "row_split",
        .type = MU_OPTION_CHOICE,
        .offset = offsetof(struct mu_job_mode, row_split),
        .fallback = "hash",
        .choices = "hash|range",
        .doc = "how rows of the embedding table are split over servers: by a hash of the id; or a "
               "range of ids each, all of one length, for ids that are used alike"},
    {.name = "row_limit",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_mode, row_limit),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "0",
        .doc = "rows of the embedding table, on all servers together: those not used for long "
               "leave; 0: memory is the limit"},
    {.name = "policy",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct mu_job_mode, policy),
        .bytes = MU_NAME_MAX,
        .fallback = "apply",
        .doc = "what becomes of a stale gradient, below"},
    {.name = NULL},
};

static const struct mu_option train_rows[] = {
    {.name = "epochs",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_train, epochs),
        .min = 1,
        .max = 1e9,
        .fallback = "1",
        .doc = "passes over the data"},
    {.name = "steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_train, steps),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "0",
        .doc = "stop after so many steps (asynchronous: gradients); 0: after the epochs"},
    {.name = "seed",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_train, seed),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "1",
        .doc = "of the first parameters and of the order of the data"},
    {.name = "bad_steps_max",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_train, bad_steps_max),
        .min = 0,
        .max = 1e6,
        .fallback = "10",
        .doc = "steps in a row that may have a loss or gradient that is not finite"},
    {.name = "device",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct mu_job_train, device),
        .bytes = MU_NAME_MAX,
        .fallback = "cpu",
        .doc = "cpu (the vector instructions of this machine) or reference (plain loops)"},
    {.name = NULL},
};

static const struct mu_option checkpoint_rows[] = {
    {.name = "every_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_checkpoint, every_steps),
        .min = 0,
        .max = INTEGER_MAX,
        .fallback = "0",
        .doc = "steps between checkpoints; 0: not by steps"},
    {.name = "every_seconds",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_job_checkpoint, every_seconds),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "seconds between checkpoints; 0: not by time"},
    {.name = "keep",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_checkpoint, keep),
        .min = 1,
        .max = 1000,
        .fallback = "3",
        .doc = "newest checkpoints that are kept"},
    {.name = NULL},
};

static const struct mu_option log_rows[] = {
    {.name = "every_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_log, every_steps),
        .min = 0,
        .max = 1e9,
        .fallback = "20",
        .doc = "steps between points in event files and metrics.jsonl; 0: none"},
    {.name = "timeline_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_log, timeline_steps),
        .min = 0,
        .max = 10000,
        .fallback = "0",
        .doc = "sync: the leader draws so many of its first steps in timeline.json; 0: none"},
    {.name = NULL},
};

/* One row a table; the tables differ in type only. */
static struct mu_job_kind describe(const char *name, const char *doc,
    const struct mu_option *options, size_t option_bytes, const void *ops)
{
    return (struct mu_job_kind){name, doc, options ? options : none, option_bytes, ops};
}

static bool model_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_model_ops *ops = mu_models[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

static bool data_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_dataset_ops *ops = mu_datasets[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

static bool policy_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_policy_ops *ops = mu_policies[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

static bool optimizer_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_optimizer_ops *ops = mu_optimizers[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

static bool compressor_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_compressor_ops *ops = mu_compressors[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

static bool schedule_kind(size_t index, struct mu_job_kind *ret)
{
    const struct mu_schedule_ops *ops = mu_schedules[index];
    if (ops)
        *ret = describe(ops->name, ops->doc, ops->options, ops->option_bytes, ops);
    return ops != NULL;
}

const struct mu_job_section mu_job_sections[MU_JOB_SECTIONS] = {
    {.name = "model",
        .doc = "what is trained",
        .rows = none,
        .kind = model_kind,
        .kind_key = "kind",
        .ops_offset = offsetof(struct mu_job, model),
        .options_offset = offsetof(struct mu_job, model_options)},
    {.name = "data",
        .doc = "what it learns from",
        .rows = data_rows,
        .offset = offsetof(struct mu_job, data),
        .kind = data_kind,
        .kind_key = "kind",
        .kind_fallback = "glyphs",
        .ops_offset = offsetof(struct mu_job, dataset),
        .options_offset = offsetof(struct mu_job, dataset_options)},
    {.name = "mode",
        .doc = "how the processes work together",
        .rows = mode_rows,
        .list_key = "schedule",
        .offset = offsetof(struct mu_job, mode),
        .kind = policy_kind,
        .kind_key = "policy",
        .kind_fallback = "apply",
        .ops_offset = offsetof(struct mu_job, policy),
        .options_offset = offsetof(struct mu_job, policy_options)},
    {.name = "optimizer",
        .doc = "how a gradient becomes a step",
        .rows = mu_optim_common_rows,
        .offset = offsetof(struct mu_job, optim),
        .kind = optimizer_kind,
        .kind_key = "kind",
        .kind_fallback = "sgd",
        .ops_offset = offsetof(struct mu_job, optimizer),
        .options_offset = offsetof(struct mu_job, optimizer_options)},
    {.name = "schedule",
        .doc = "the learning rate over the steps",
        .rows = none,
        .kind = schedule_kind,
        .kind_key = "kind",
        .kind_fallback = "constant",
        .ops_offset = offsetof(struct mu_job, schedule),
        .options_offset = offsetof(struct mu_job, schedule_options)},
    {.name = "compress",
        .doc = "fewer bytes, synchronous: how gradients are summed approximately",
        .rows = none,
        .kind = compressor_kind,
        .kind_key = "kind",
        .kind_fallback = "none",
        .ops_offset = offsetof(struct mu_job, compressor),
        .options_offset = offsetof(struct mu_job, compressor_options)},
    {.name = "train",
        .doc = "how long, and on what",
        .rows = train_rows,
        .offset = offsetof(struct mu_job, train)},
    {.name = "checkpoint",
        .doc = "when the state is saved",
        .rows = checkpoint_rows,
        .offset = offsetof(struct mu_job, checkpoint)},
    {.name = "log",
        .doc = "what is written down",
        .rows = log_rows,
        .offset = offsetof(struct mu_job, log)},
};

const struct mu_option *mu_job_row_find(const char *path)
{
    for (int i = 0; i < MU_JOB_SECTIONS; i++) {
        size_t length = strlen(mu_job_sections[i].name);
        if (strncmp(path, mu_job_sections[i].name, length) == 0 && path[length] == '.')
            return mu_options_find(mu_job_sections[i].rows, path + length + 1);
    }
    return NULL;
}

bool mu_job_kind_find(
    const struct mu_job_section *section, const char *name, struct mu_job_kind *ret_kind)
{
    struct mu_job_kind kind;
    for (size_t i = 0; section->kind(i, &kind); i++)
        if (strcmp(kind.name, name) == 0) {
            *ret_kind = kind;
            return true;
        }
    return false;
}

void **mu_job_options_field(const struct mu_job_section *section, struct mu_job *job)
{
    return (void **)(void *)((char *)job + section->options_offset);
}

struct mu_job_kind mu_job_kind_chosen(
    const struct mu_job_section *section, const struct mu_job *job)
{
    struct mu_job_kind kind = {0};
    const char *const *ops = NULL; /* of every table the first member is the name */
    memcpy(&ops, (const char *)job + section->ops_offset, sizeof(ops));
    for (size_t i = 0; section->kind(i, &kind); i++)
        if (strcmp(kind.name, *ops) == 0)
            return kind;
    assert(!"the driver of a job is in its table");
    return kind;
}
