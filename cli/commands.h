/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_COMMANDS_H
#define MU_CLI_COMMANDS_H

#include "cli/args.h"
#include "roles/run_request.h"

/*
 * Every command: the struct that its flags fill. cmd_NAME.c does the work; the table lists what
 * this build has.
 */
extern const struct mu_command *const mu_commands[]; /* NULL-terminated */
/* The command that `arguments` name, by one word or two, and how many; NULL if there is none. */
const struct mu_command *mu_command_find(char *const *arguments, int *ret_words);
/* Is `word` the first of its two? */
bool mu_command_is_of(const struct mu_command *command, const char *word);

#define MU_CLI_PATH_MAX 4096

struct mu_cmd_run_options {
    char job[MU_CLI_PATH_MAX];
    char local[256]; /* "" or roles */
    char roles[256]; /* for launchers that only count */
    char cluster[MU_CLI_PATH_MAX];
    char task[64];
    char out[MU_CLI_PATH_MAX];
    struct mu_flag_list sets;
    bool resume, quiet, verbose;
    double start_timeout, step_timeout; /* seconds */
    int failure_detection;              /* enum mu_failure_detection */
};

enum mu_simulate_compute { MU_SIMULATE_FIXED, MU_SIMULATE_LOGNORMAL };

struct mu_cmd_simulate_options {
    char job[MU_CLI_PATH_MAX];
    char out[MU_CLI_PATH_MAX];
    struct mu_flag_list sets;
    int64_t workers, ps, seed;
    char compute[64];  /* "fixed:MEAN" or "lognormal:MEAN,SIGMA" */
    char straggle[64]; /* "FRACTION,FACTOR" */
    char link[64];     /* "BITS,LATENCY" */
    bool evaluator, resume, quiet, verbose;
};
/* USAGE naming the flag and its range. */
enum mu_status mu_simulate_parse_compute(struct mu_log *log, const char *text,
    enum mu_simulate_compute *ret_kind, double *ret_mean_ms, double *ret_sigma);
enum mu_status mu_simulate_parse_straggle(
    struct mu_log *log, const char *text, double *ret_fraction, double *ret_factor);
enum mu_status mu_simulate_parse_link(
    struct mu_log *log, const char *text, int64_t *ret_bits_per_second, int64_t *ret_latency_ns);

struct mu_cmd_bench_train_options {
    char job[MU_CLI_PATH_MAX];
    struct mu_flag_list sets;
    int64_t workers, ps;
    bool json;
};

#define MU_BENCH_RANKS_MAX 64
#define MU_BENCH_ROUNDS_MAX 1000

struct mu_cmd_bench_allreduce_options {
    int64_t ranks, rounds;
    struct mu_integers bytes;
    int transport, home, bind, memory, peer; /* places in the choices of their rows */
    char algorithm[32];                /* "": the best */
    double budget_ms;
    bool deterministic, explain, json;
    char join[256]; /* "": this process leads */
};

#define MU_BENCH_PS_WORKERS_MAX 16
#define MU_BENCH_PS_SERVERS_MAX 8

struct mu_cmd_bench_ps_options {
    int64_t workers, servers, replicas, rounds;
    int64_t in_flight; /* 0: by the bytes */
    struct mu_integers bytes;
    int64_t rows, row_width, batch; /* rows 0: no embedding table */
    int transport, op;              /* places in the choices of their rows */
    double budget_ms;
    bool dense, json;
};

struct mu_cmd_checkpoint_options {
    char directory[MU_CLI_PATH_MAX]; /* of a run, or of its checkpoints */
    int64_t step;                    /* -1: the newest (show), all (verify) */
    bool json;
};

struct mu_cmd_status_options {
    char directory[MU_CLI_PATH_MAX]; /* of a run; "": the newest */
    bool watch, json;
    char pid[MU_TASK_NAME_MAX]; /* of this task; "": all */
};

struct mu_cmd_audit_options {
    char directory[MU_CLI_PATH_MAX]; /* of a run, or of its logs */
    int64_t to;                      /* version; -1: the end */
    bool json;
};

struct mu_cmd_spec_options {
    char cluster[MU_CLI_PATH_MAX];
    char task[64];
    char roles[256];
};

struct mu_cmd_spec_make_options {
    struct mu_flag_list chief, worker, ps, evaluator; /* addresses, also with commas between */
    char task[64];
};

struct mu_cmd_man_options {
    char words[2][32]; /* "spec", "check" */
    bool troff;
};

struct mu_cmd_explain_options {
    char error[32]; /* "E0104", or an exit code */
};

/* The ends of rows. */
#define MU_FLAG_NONE                                                                               \
    {                                                                                              \
        .option = {.name = NULL }                                                                  \
    }
#define MU_OPERAND_NONE                                                                            \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* A command's rows are beside its function, in cmd_NAME.c. */
extern const struct mu_command mu_command_run, mu_command_simulate, mu_command_bench_train,
    mu_command_bench_allreduce, mu_command_bench_ps, mu_command_checkpoint_list,
    mu_command_checkpoint_verify, mu_command_checkpoint_show, mu_command_audit_replay,
    mu_command_spec_check, mu_command_spec_make, mu_command_doctor, mu_command_explain,
    mu_command_man, mu_command_status;

/* rows_train.c: the rows of the commands that train and of those that look at what is left;
 * rows_bench.c: those of the other benches. */
extern const struct mu_flag mu_flags_run[], mu_flags_simulate[], mu_flags_bench_train[],
    mu_flags_bench_allreduce[], mu_flags_bench_ps[], mu_flags_checkpoint[];
extern const struct mu_operand mu_operands_run[], mu_operands_simulate[], mu_operands_bench_train[],
    mu_operands_bench_allreduce[], mu_operands_bench_ps[], mu_operands_checkpoint[];

#endif
