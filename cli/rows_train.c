/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "ps/split.h"
#include "roles/run_request.h"

#define TEXT_OF(token) #token
#define SECONDS(number) TEXT_OF(number)

/* Flags that set a key of the job: range and doc are those of the job's own row. */
#define JOB_FLAGS(options)                                                                         \
    {.option = {.name = "set",                                                                     \
         .offset = offsetof(options, sets),                                                        \
         .type = MU_OPTION_STRING,                                                                 \
         .doc = "sets a key of the job, as in optimizer.learning_rate=0.1; may be repeated"},      \
        .value = "KEY=VALUE",                                                                      \
        .repeated = true},                                                                         \
        {.option = {.name = "epochs", .offset = offsetof(options, sets)},                          \
            .value = "N",                                                                          \
            .sets = "train.epochs"},                                                               \
        {.option = {.name = "steps", .offset = offsetof(options, sets)},                           \
            .value = "N",                                                                          \
            .sets = "train.steps"},                                                                \
        {.option = {.name = "batch", .offset = offsetof(options, sets)},                           \
            .value = "N",                                                                          \
            .sets = "data.batch"},                                                                 \
    {                                                                                              \
        .option = {.name = "lr", .offset = offsetof(options, sets)}, .value = "RATE",              \
        .sets = "optimizer.learning_rate"                                                          \
    }

#define TEXT_FLAG(options, flag, field, called, text)                                              \
    {                                                                                              \
        .option = {.name = flag,                                                                   \
            .type = MU_OPTION_STRING,                                                              \
            .offset = offsetof(options, field),                                                    \
            .bytes = sizeof(((options *)NULL)->field),                                             \
            .fallback = "",                                                                        \
            .doc = text},                                                                          \
        .value = called                                                                            \
    }

#define JOB_OPERAND(options)                                                                       \
    {                                                                                              \
        .name = "JOB", .doc = "a job file; `muster man job` describes it",                         \
        .offset = offsetof(options, job), .bytes = sizeof(((options *)NULL)->job)                  \
    }

#define RUN struct mu_cmd_run_options

const struct mu_flag mu_flags_run[] = {
    TEXT_FLAG(RUN, "local", local, "ROLES",
        "starts every task on this machine: a number of workers, or as in chief=1,worker=3,ps=2"),
    TEXT_FLAG(RUN, "cluster", cluster, "FILE", "who is in the cluster, in the form of TF_CONFIG"),
    TEXT_FLAG(RUN, "task", task, "TASK", "which task this is, as in worker/0"),
    TEXT_FLAG(RUN, "roles", roles, "ROLES",
        "what the ranks of a launcher become, in this order, as in chief=1,worker=3,ps=2; "
        "without it all are workers"),
    TEXT_FLAG(RUN, "out", out, "DIR", "where the run is written; runs/NAME if absent"),
    {.option = {.name = "resume",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(RUN, resume),
         .doc = "goes on from the newest checkpoint of the run"}},
    JOB_FLAGS(RUN),
    {.option = {.name = "start-timeout",
         .type = MU_OPTION_REAL,
         .offset = offsetof(RUN, start_timeout),
         .min = 1,
         .max = 86400,
         .fallback = SECONDS(MU_RUN_START_TIMEOUT),
         .doc = "seconds to wait for all tasks to come"},
        .value = "SECONDS"},
    {.option = {.name = "step-timeout",
         .type = MU_OPTION_REAL,
         .offset = offsetof(RUN, step_timeout),
         .min = 1,
         .max = 86400,
         .fallback = SECONDS(MU_RUN_STEP_TIMEOUT),
         .doc = "seconds that a step may take before it counts as hanging"},
        .value = "SECONDS"},
    {.option = {.name = "failure-detection",
         .type = MU_OPTION_CHOICE,
         .offset = offsetof(RUN, failure_detection),
         .fallback = "default",
         .choices = "default|fast",
         .doc = "a silent task is given up after 5 s, or after 0.8 s"},
        .value = "HOW"},
    {.option = {.name = "quiet",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(RUN, quiet),
         .doc = "says only what went wrong"},
        .letter = 'q'},
    {.option = {.name = "verbose",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(RUN, verbose),
         .doc = "says more"},
        .letter = 'v'},
    MU_FLAG_NONE,
};
const struct mu_operand mu_operands_run[] = {JOB_OPERAND(RUN), MU_OPERAND_NONE};

#define SIMULATE struct mu_cmd_simulate_options

const struct mu_flag mu_flags_simulate[] = {
    {.option = {.name = "workers",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(SIMULATE, workers),
         .min = 1,
         .max = 1024,
         .fallback = "2",
         .doc = "workers of the simulated cluster"},
        .value = "N"},
    {.option = {.name = "ps",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(SIMULATE, ps),
         .min = 0,
         .max = MU_PS_SERVERS_MAX,
         .fallback = "0",
         .doc = "parameter servers of the simulated cluster"},
        .value = "N"},
    {.option = {.name = "seed",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(SIMULATE, seed),
         .min = 0,
         .max = 9007199254740992.0,
         .fallback = "1",
         .doc = "of everything that chance decides: the same seed, the same run"},
        .value = "N"},
    TEXT_FLAG(SIMULATE, "out", out, "DIR", "where the run is written; nothing is if absent"),
    {.option = {.name = "resume",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(SIMULATE, resume),
         .doc = "goes on from the newest checkpoint of the run in --out"}},
    {.option = {.name = "compute",
         .type = MU_OPTION_STRING,
         .offset = offsetof(SIMULATE, compute),
         .bytes = sizeof(((SIMULATE *)NULL)->compute),
         .fallback = "fixed:10",
         .doc = "virtual time of a step's arithmetic: fixed:MEAN, or lognormal:MEAN,SIGMA with "
                "the mean in ms (or 20us, 1s) and the sigma of the logarithm"},
        .value = "HOW"},
    {.option = {.name = "straggle",
         .type = MU_OPTION_STRING,
         .offset = offsetof(SIMULATE, straggle),
         .bytes = sizeof(((SIMULATE *)NULL)->straggle),
         .fallback = "0,1",
         .doc = "this fraction of a worker's steps takes so many times as long: 0.02,10"},
        .value = "FRACTION,FACTOR"},
    {.option = {.name = "link",
         .type = MU_OPTION_STRING,
         .offset = offsetof(SIMULATE, link),
         .bytes = sizeof(((SIMULATE *)NULL)->link),
         .fallback = "1e9,100",
         .doc = "of every task: bits per second (or 10G), and latency in us (or 50us, 1ms)"},
        .value = "BITS,LATENCY"},
    {.option = {.name = "evaluator",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(SIMULATE, evaluator),
         .doc = "one task more: says how good each checkpoint is"}},
    JOB_FLAGS(SIMULATE),
    {.option = {.name = "quiet",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(SIMULATE, quiet),
         .doc = "says only what went wrong"},
        .letter = 'q'},
    {.option = {.name = "verbose",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(SIMULATE, verbose),
         .doc = "says more"},
        .letter = 'v'},
    MU_FLAG_NONE,
};
const struct mu_operand mu_operands_simulate[] = {JOB_OPERAND(SIMULATE), MU_OPERAND_NONE};

#define BENCH struct mu_cmd_bench_train_options

const struct mu_flag mu_flags_bench_train[] = {
    {.option = {.name = "job",
         .type = MU_OPTION_STRING,
         .offset = offsetof(BENCH, job),
         .bytes = sizeof(((BENCH *)NULL)->job),
         .fallback = "configs/demo.json",
         .doc = "the job"},
        .value = "FILE"},
    {.option = {.name = "workers",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(BENCH, workers),
         .min = 1,
         .max = 64,
         .fallback = "2",
         .doc = "workers, each a process on this machine"},
        .value = "N"},
    {.option = {.name = "ps",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(BENCH, ps),
         .min = 0,
         .max = 64,
         .fallback = "0",
         .doc = "parameter servers, each a process on this machine"},
        .value = "N"},
    {.option = {.name = "json",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(BENCH, json),
         .doc = "the result as one line of JSON"}},
    JOB_FLAGS(BENCH),
    MU_FLAG_NONE,
};
const struct mu_operand mu_operands_bench_train[] = {MU_OPERAND_NONE};

#define CHECKPOINT struct mu_cmd_checkpoint_options

const struct mu_flag mu_flags_checkpoint[] = {
    {.option = {.name = "step",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(CHECKPOINT, step),
         .min = -1,
         .max = 9007199254740992.0,
         .fallback = "-1",
         .doc = "of one checkpoint; -1: the newest, or all where all are looked at"},
        .value = "N"},
    {.option = {.name = "json",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(CHECKPOINT, json),
         .doc = "as JSON"}},
    MU_FLAG_NONE,
};
const struct mu_operand mu_operands_checkpoint[] = {
    {.name = "DIR",
        .doc = "of a run, of its checkpoints, or of one of them",
        .offset = offsetof(CHECKPOINT, directory),
        .bytes = sizeof(((CHECKPOINT *)NULL)->directory)},
    MU_OPERAND_NONE,
};
