/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_BENCH_TASKS_H
#define MU_CLI_BENCH_TASKS_H

#include "cli/bench_rank.h"
#include "ps/seats.h"
#include "runtime/base/net.h"

/*
 * The processes of `muster bench ps`: servers that add every gradient to their part of the
 * parameters, and workers that push and pull. Each does what the lead tells it over a stream:
 *
 *   to the lead          from the lead
 *   ready                size BYTES COUNT    begin with zeros, COUNT operations in flight at most
 *                        op NAME COUNT       worker: what is measured next, how many in flight
 *   took NANOSECONDS     batch COUNT         worker: so many operations
 *                        fill                worker: push every embedding row once
 *                        load                server: tell mu_bench_load what has passed so far
 *                        check               worker: what all have pushed is what is pulled
 *                        end                 the parameters are not needed any more
 *   failed WHY           (end of file)       the end
 *
 * What is added are small integers that are not the same for two elements beside each other, nor
 * for two workers, so that every sum is exact and every byte of it known.
 */
#define MU_BENCH_PUSHES_MAX (1 << 21) /* of one size, of all workers: sums stay at 2^24 or less */
#define MU_BENCH_SAMPLES_MAX (1 << 16)
#define MU_BENCH_PS_SHM 1 /* --transport, as its row says */
#define MU_BENCH_WAYS_MAX (2 * MU_BENCH_PS_SERVERS_MAX * (MU_BENCH_PS_WORKERS_MAX + 2))

/* How long the first operations of the last batches took, where the lead sees it. */
struct mu_bench_samples {
    int count;
    uint32_t ns[MU_BENCH_SAMPLES_MAX];
};

/* What has passed through a server: bytes of frames, and rows of the table that were in them. */
struct mu_bench_load {
    uint64_t bytes, rows;
};

/* A way is a port that only one process calls, so that nobody has to say who it is. */
struct mu_bench_ps {
    struct mu_log *log;
    const struct mu_cmd_bench_ps_options *options;
    int listen_fd[MU_BENCH_WAYS_MAX];
    struct mu_address address[MU_BENCH_WAYS_MAX];
    struct mu_bench_samples *samples; /* (workers), shared */
    struct mu_bench_load *loads;      /* (servers), shared */
};

/* With standbys twice as many as servers. */
static inline int mu_bench_seats(const struct mu_bench_ps *bench)
{
    return mu_ps_seat_count((int)bench->options->servers, (int)bench->options->replicas);
}

static inline int mu_bench_way_of_worker(const struct mu_bench_ps *bench, int seat, int worker)
{
    return seat * (int)bench->options->workers + worker;
}

/* From a seat but the first to the head; to its deputy. */
static inline int mu_bench_way_of_follower(const struct mu_bench_ps *bench, int seat)
{
    return mu_bench_seats(bench) * (int)bench->options->workers + seat;
}

static inline int mu_bench_way_to_deputy(const struct mu_bench_ps *bench, int seat)
{
    return mu_bench_way_of_follower(bench, mu_bench_seats(bench) + seat);
}

/* 0: the servers have no embedding table. */
static inline size_t mu_bench_row_width(const struct mu_bench_ps *bench)
{
    return bench->options->rows > 0 ? (size_t)bench->options->row_width : 0;
}

static inline int mu_bench_ways(const struct mu_bench_ps *bench)
{
    return mu_bench_way_to_deputy(bench, mu_bench_seats(bench));
}

/* What a worker's gradient has at this place: -8 to 8, and not 0. */
static inline float mu_bench_gradient(int worker, size_t index)
{
    uint32_t mixed = ((uint32_t)index + 1) * UINT32_C(2654435761) + (uint32_t)worker * 40503u;
    int value = (int)(mixed >> 28);
    return (float)(value < 8 ? value - 8 : value - 7);
}

/* Serve until the lead goes; return the exit code of the process. */
int mu_bench_server_serve(struct mu_bench_ps *bench, int order, int fd);
int mu_bench_worker_serve(struct mu_bench_ps *bench, int replica, int fd);

/* Calls a way until it is answered. UNAVAILABLE: nobody is there. */
struct mu_link;
enum mu_status mu_bench_call(
    struct mu_loop *loop, const struct mu_address *address, struct mu_link **ret_link);

#endif
