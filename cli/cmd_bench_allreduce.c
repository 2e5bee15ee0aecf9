/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_crew.h"
#include "cli/bench_peer.h"
#include "collectives/choose.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * muster bench allreduce: leads the ranks through the sizes, a peer's ranks by turns with ours.
 *
 *   for each size: both sides allocate and verify; find out how many operations fill the budget
 *       for each round: a batch of ours, a batch of the peer's
 *
 * A rank that is not measured sleeps. The ratio of a round is that of two batches next to each
 * other in time, so that what disturbs the machine for longer disturbs both.
 */
#define OPERATIONS_MAX 20000

struct rows {
    double ours[MU_BENCH_ROUNDS_MAX], peers[MU_BENCH_ROUNDS_MAX], ratio[MU_BENCH_ROUNDS_MAX];
};

struct bench {
    struct mu_log *log;
    const struct mu_cmd_bench_allreduce_options *options;
    struct mu_bench_crew ours, peer;
    struct rows rows;
};

static const char *const transports[] = {"route", "shm", "tcp", "mpi"};
#define TRANSPORT_MPI 3

/* ---- measuring ---- */

static enum mu_status measure(struct bench *bench, int64_t bytes)
{
    struct rows *rows = &bench->rows;
    int ours = 0, peers = 0;
    bool with_peer = bench->peer.count > 0;
    MU_TRY(mu_bench_crew_do(&bench->ours, "size %lld", (long long)bytes));
    MU_TRY(
        mu_bench_crew_find(&bench->ours, bench->options->budget_ms * 1e3, OPERATIONS_MAX, &ours));
    if (with_peer) {
        MU_TRY(mu_bench_crew_do(&bench->peer, "size %lld", (long long)bytes));
        MU_TRY(mu_bench_crew_find(
            &bench->peer, bench->options->budget_ms * 1e3, OPERATIONS_MAX, &peers));
    }
    for (int round = 0; round < bench->options->rounds; round++) {
        MU_TRY(mu_bench_crew_batch(&bench->ours, ours, &rows->ours[round]));
        if (with_peer)
            MU_TRY(mu_bench_crew_batch(&bench->peer, peers, &rows->peers[round]));
        rows->ratio[round] = with_peer ? rows->ours[round] / rows->peers[round] : 0;
    }
    return mu_bench_crew_do(&bench->ours, "check");
}

/* ---- printing ---- */

static void print_head(const struct bench *bench)
{
    const struct mu_cmd_bench_allreduce_options *options = bench->options;
    if (options->json)
        return;
    printf("all-reduce of float32, sum, in place; %d ranks, transport %s, memory %s, %d rounds\n",
        (int)options->ranks, transports[options->transport], options->memory ? "any" : "arena",
        (int)options->rounds);
    printf("%11s  %-12s %12s %12s %12s", "bytes", "algorithm", "median us", "min us", "max us");
    if (bench->peer.count > 0)
        printf(" %17s %7s", bench->peer.name, "ratio");
    printf("\n");
}

static void print_table_row(struct bench *bench, int64_t bytes)
{
    int rounds = (int)bench->options->rounds;
    double *ours = bench->rows.ours, middle = mu_bench_median(ours, rounds);
    printf("%11lld  %-12s %12.2f %12.2f %12.2f", (long long)bytes, bench->ours.algorithm, middle,
        ours[0], ours[rounds - 1]);
    if (bench->peer.count > 0)
        printf(" %14.2f us %7.3f", mu_bench_median(bench->rows.peers, rounds),
            mu_bench_median(bench->rows.ratio, rounds));
    printf("\n");
}

static void print_json_row(struct bench *bench, int64_t bytes)
{
    int rounds = (int)bench->options->rounds;
    double *ours = bench->rows.ours, middle = mu_bench_median(ours, rounds);
    printf("{\"bench\":\"allreduce\",\"bytes\":%lld,\"ranks\":%d,\"transport\":\"%s\","
           "\"memory\":\"%s\",\"algorithm\":\"%s\",\"median_us\":%.3f,\"min_us\":%.3f,"
           "\"max_us\":%.3f",
        (long long)bytes, bench->ours.count, transports[bench->options->transport],
        bench->options->memory ? "any" : "arena", bench->ours.algorithm, middle, ours[0],
        ours[rounds - 1]);
    if (bench->peer.count > 0)
        printf(",\"peer\":\"%s\",\"peer_median_us\":%.3f,\"ratio\":%.4f", bench->peer.name,
            mu_bench_median(bench->rows.peers, rounds), mu_bench_median(bench->rows.ratio, rounds));
    printf("}\n");
}

static enum mu_status run_sizes(struct bench *bench)
{
    const struct mu_integers *bytes = &bench->options->bytes;
    if (bench->options->explain)
        return mu_bench_crew_do(&bench->ours, "explain");
    print_head(bench);
    for (int i = 0; i < bytes->count; i++) {
        fflush(stdout);
        MU_TRY(measure(bench, bytes->value[i]));
        if (bench->options->json)
            print_json_row(bench, bytes->value[i]);
        else
            print_table_row(bench, bytes->value[i]);
    }
    fflush(stdout);
    return MU_OK;
}

/* ---- our ranks ---- */

static void close_others(int count, int listen_fd[], int except)
{
    for (int rank = 0; rank < count; rank++)
        if (rank != except && listen_fd[rank] >= 0)
            close(listen_fd[rank]);
}

static enum mu_status fork_ours(struct bench *bench)
{
    struct mu_address address[MU_BENCH_RANKS_MAX];
    int listen_fd[MU_BENCH_RANKS_MAX], count = (int)bench->options->ranks, rank = -1, fd = -1;
    memset(listen_fd, -1, sizeof(listen_fd));
    enum mu_status status = mu_bench_bind_ports(bench->log, count, listen_fd, address);
    if (status == MU_OK)
        status = mu_bench_crew_fork(&bench->ours, &rank, &fd);
    close_others(count, listen_fd, rank);
    if (rank < 0)
        return status;
    const struct mu_group_place place = {
        .rank = rank, .count = count, .address = address, .listen_fd = listen_fd[rank]};
    int code = mu_bench_rank_serve(bench->log, bench->options, &place, fd);
    fflush(stdout);
    _exit(code);
}

/* ---- the whole ---- */

static enum mu_status check_adds(struct mu_log *log, const char *algorithm)
{
    struct mu_text why;
    mu_text_init(&why);
    enum mu_status status = MU_OK;
    if (!mu_choose_adds(algorithm, &why))
        status = mu_fail(log, MU_E0001, "without --algorithm the best is taken",
            "%s cannot do all-reduce: %s", algorithm, why.data);
    mu_text_finish(&why);
    return status;
}

static enum mu_status check_options(
    struct mu_log *log, const struct mu_cmd_bench_allreduce_options *options)
{
    for (int i = 0; i < options->bytes.count; i++)
        if (options->bytes.value[i] % (int)sizeof(float) != 0)
            return mu_fail(log, MU_E0001, "a float32 has 4 bytes",
                "--bytes: %lld is no multiple of 4", (long long)options->bytes.value[i]);
    MU_TRY(mu_build_check(
        log, transports[options->transport], options->algorithm[0] ? options->algorithm : NULL));
    return options->algorithm[0] ? check_adds(log, options->algorithm) : MU_OK;
}

static enum mu_status lead(struct bench *bench, char *const *arguments)
{
    if (bench->options->transport == TRANSPORT_MPI)
        MU_TRY(mu_bench_peer_start_ours(&bench->ours, arguments));
    else
        MU_TRY(fork_ours(bench));
    MU_TRY(mu_bench_crew_meet(&bench->ours));
    if (bench->peer.count > 0) {
        MU_TRY(mu_bench_peer_start(&bench->peer, bench->options));
        MU_TRY(mu_bench_crew_meet(&bench->peer));
    }
    return run_sizes(bench);
}

static int join(struct mu_log *log, const struct mu_cmd_bench_allreduce_options *options)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mu_text_copy(at.sun_path, sizeof(at.sun_path), options->join);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
        return mu_status_exit(
            mu_fail(log, MU_E0301, NULL, "--join: %s: %s", options->join, strerror(errno)));
    return mu_bench_rank_serve(log, options, NULL, fd);
}

static int run(struct mu_log *log, const void *given, char *const *arguments)
{
    const struct mu_cmd_bench_allreduce_options *options = given;
    enum mu_status status = check_options(log, options);
    if (status != MU_OK)
        return mu_status_exit(status);
    if (options->join[0])
        return join(log, options);
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return mu_status_exit(mu_fail(log, MU_E0801, NULL, "no memory for a bench"));
    bench->log = log;
    bench->options = options;
    const char *peer = mu_bench_peer_name(options);
    mu_bench_crew_init(&bench->ours, log, "muster", "rank", (int)options->ranks);
    mu_bench_crew_init(&bench->peer, log, peer, "rank", peer ? (int)options->ranks : 0);
    status = lead(bench, arguments);
    mu_bench_crew_finish(&bench->ours);
    mu_bench_crew_finish(&bench->peer);
    free(bench);
    return mu_status_exit(status);
}

static const char *const examples[] = {
    "muster bench allreduce --ranks 2 --bytes 4,1024,4194304 --transport tcp --peer openmpi",
    "muster bench allreduce --ranks 4 --explain", NULL};

const struct mu_command mu_command_bench_allreduce = {
    .name = "bench allreduce",
    .doc = "the speed of all-reduce, beside that of other libraries",
    .details =
        "Microseconds of one operation on the slowest rank: median, least and most of the batches. "
        "Every size is verified against what the sum must be, before and after. Ranks have a core "
        "each while there are enough. With --peer, batches of both run by turns and the ratio is "
        "the median of those of the rounds: below 1, ours is faster.",
    .examples = examples,
    .flags = mu_flags_bench_allreduce,
    .operands = mu_operands_bench_allreduce,
    .option_bytes = sizeof(struct mu_cmd_bench_allreduce_options),
    .run = run,
};
