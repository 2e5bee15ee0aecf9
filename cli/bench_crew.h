/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_BENCH_CREW_H
#define MU_CLI_BENCH_CREW_H

#include "cli/bench_rank.h"
#include <stdio.h>
#include <sys/types.h>

/*
 * The ranks of one side of a bench, ours or a peer's, as the lead sees them: processes that speak
 * the lines of bench_rank.h over a stream each. Forked from this one, or started by a command (an
 * mpirun) and calling a socket in a private folder.
 */
struct mu_bench_crew {
    struct mu_log *log;
    const char *name;   /* "muster", "openmpi" */
    const char *member; /* "rank", "server" */
    int count;
    struct mu_bench_crew *beside;     /* whose end may show in what this one says; NULL: none */
    FILE *stream[MU_BENCH_RANKS_MAX]; /* a socket */
    pid_t child[MU_BENCH_RANKS_MAX];  /* 0: none */
    bool ended[MU_BENCH_RANKS_MAX];
    int wait_status[MU_BENCH_RANKS_MAX]; /* of those that have ended */
    bool met;                            /* a stream is at the place of its rank */
    char folder[64];                     /* "": none */
    char socket[80];
    int listen_fd;
    bool failed;        /* its ranks are not to be waited for */
    char algorithm[32]; /* that rank 0 chose for the size at hand */
};

/* All functions say what went wrong: UNAVAILABLE (a rank does not start, or is gone, or silent),
 * BROKEN (a rank has a wrong result), IO_ERROR, NO_MEMORY. */
void mu_bench_crew_init(struct mu_bench_crew *crew, struct mu_log *log, const char *name,
    const char *member, int count);
void mu_bench_crew_finish(struct mu_bench_crew *crew);

/* Each child returns from this with *ret_rank >= 0 and its stream; the lead with -1. */
enum mu_status mu_bench_crew_fork(struct mu_bench_crew *crew, int *ret_rank, int *ret_fd);

/* Makes crew->socket; then starts `argv` and waits until all ranks have called. */
enum mu_status mu_bench_crew_listen(struct mu_bench_crew *crew);
enum mu_status mu_bench_crew_command(struct mu_bench_crew *crew, char *const argv[]);
/* All ranks have said who they are. */
enum mu_status mu_bench_crew_meet(struct mu_bench_crew *crew);

/* "size 4096", "check", "explain": all ranks do it. */
__attribute__((format(printf, 2, 3))) enum mu_status mu_bench_crew_do(
    struct mu_bench_crew *crew, const char *format, ...);
/* Microseconds of one operation, on the slowest rank. */
enum mu_status mu_bench_crew_batch(struct mu_bench_crew *crew, int operations, double *ret_us);
/* How many operations, `operations_max` at the most, take the budget? */
enum mu_status mu_bench_crew_find(
    struct mu_bench_crew *crew, double budget_us, int operations_max, int *ret_operations);

/* Ports of this host. One that is bound already cannot be taken by somebody else before its rank
 * listens. CONFIG (MU_E0303). */
enum mu_status mu_bench_bind_ports(
    struct mu_log *log, int count, int listen_fd[], struct mu_address address[]);
/* Sorts the values. */
double mu_bench_median(double *values, int count);

#endif
