/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_rank.h"
#include "collectives/choose.h"
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 977 /* of the data: prime, so that no part of a vector looks like another */
#define SCALE 0x1p-110f
#define DOUBLINGS 220 /* from SCALE, and the sum is still finite */
#define WARM_UPS 3
#define PAGE_BYTES 4096
#define START_TIMEOUT_NS (30 * MU_SECOND)

struct bench_rank {
    struct mu_group *group;
    bool in_arena;
    float *data;
    size_t count;         /* of floats */
    float period[PERIOD]; /* what this rank fills the vector with */
    int run_max;          /* operations between two fillings */
    FILE *in, *out;
};

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * MU_SECOND + time.tv_nsec;
}

static enum mu_status allreduce(struct bench_rank *bench, float *data, size_t count)
{
    return mu_group_allreduce(bench->group, data, count, MU_FLOAT32, MU_SUM);
}

/* ---- data ---- */

static void fill(struct bench_rank *bench)
{
    for (size_t at = 0; at < bench->count; at += PERIOD) {
        size_t left = bench->count - at;
        memcpy(bench->data + at, bench->period, sizeof(float) * (left < PERIOD ? left : PERIOD));
    }
}

/* Small integers times a power of two: their sum is exact in any order. */
static float expected(const struct bench_rank *bench, size_t index)
{
    int n = bench->group->count;
    return SCALE * (float)(((int)(index % PERIOD) + 1) * n + n * (n - 1) / 2);
}

static enum mu_status verify(struct bench_rank *bench)
{
    fill(bench);
    MU_TRY(allreduce(bench, bench->data, bench->count));
    for (size_t i = 0; i < bench->count; i++)
        if (bench->data[i] != expected(bench, i)) {
            snprintf(bench->group->error, sizeof(bench->group->error),
                "element %zu is %g and should be %g", i, (double)bench->data[i],
                (double)expected(bench, i));
            return MU_BROKEN;
        }
    return MU_OK;
}

static void release(struct bench_rank *bench)
{
    if (bench->in_arena)
        mu_group_free(bench->group, bench->data);
    else
        free(bench->data);
    bench->data = NULL;
}

static enum mu_status allocate(struct bench_rank *bench, size_t bytes)
{
    release(bench);
    bench->count = bytes / sizeof(float);
    size_t rounded = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    bench->data = bench->in_arena ? mu_group_alloc(bench->group, rounded)
                                  : aligned_alloc(PAGE_BYTES, rounded);
    if (bench->data)
        return MU_OK;
    snprintf(bench->group->error, sizeof(bench->group->error), "no memory for %zu bytes", bytes);
    return MU_NO_MEMORY;
}

/* ---- what the lead asks for ---- */

static enum mu_status do_size(struct bench_rank *bench, const char *argument)
{
    MU_TRY(allocate(bench, strtoull(argument, NULL, 10)));
    MU_TRY(verify(bench));
    const struct mu_request request = {.kind = MU_ALLREDUCE,
        .dtype = MU_FLOAT32,
        .wire = MU_FLOAT32,
        .data = bench->data,
        .count = bench->count};
    const struct mu_algorithm *algorithm = mu_choose(bench->group, &request);
    fprintf(bench->out, "ready %s\n", algorithm ? algorithm->name : "?");
    return MU_OK;
}

/* The ranks meet, so that nobody's time begins long before the others'. */
static enum mu_status meet(struct bench_rank *bench)
{
    float nothing = 0;
    return allreduce(bench, &nothing, 1);
}

static enum mu_status timed_run(struct bench_rank *bench, int operations, int64_t *ret_ns)
{
    fill(bench);
    MU_TRY(meet(bench));
    int64_t begin = now_ns();
    for (int i = 0; i < operations; i++)
        MU_TRY(allreduce(bench, bench->data, bench->count));
    *ret_ns = now_ns() - begin;
    return MU_OK;
}

static enum mu_status do_batch(struct bench_rank *bench, const char *argument)
{
    int operations = atoi(argument);
    int64_t ns, total = 0;
    MU_TRY(timed_run(bench, WARM_UPS < bench->run_max ? WARM_UPS : bench->run_max, &ns));
    for (int done = 0; done < operations;) {
        int run = operations - done < bench->run_max ? operations - done : bench->run_max;
        MU_TRY(timed_run(bench, run, &ns));
        total += ns;
        done += run;
    }
    fprintf(bench->out, "took %lld\n", (long long)total);
    return MU_OK;
}

/* After the last batch the memory is as used as it gets: does it still add? */
static enum mu_status do_check(struct bench_rank *bench)
{
    MU_TRY(verify(bench));
    fprintf(bench->out, "ready\n");
    return MU_OK;
}

static enum mu_status do_explain(
    struct bench_rank *bench, const struct mu_cmd_bench_allreduce_options *options)
{
    struct mu_request request[MU_INTEGERS_MAX];
    struct mu_text text;
    for (int i = 0; i < options->bytes.count; i++)
        request[i] = (struct mu_request){.kind = MU_ALLREDUCE,
            .dtype = MU_FLOAT32,
            .wire = MU_FLOAT32,
            .data = bench->data,
            .count = (size_t)options->bytes.value[i] / sizeof(float)};
    mu_text_init(&text);
    mu_choose_explain(bench->group, request, (size_t)options->bytes.count, &text);
    if (bench->group->rank == 0)
        fputs(text.data, stdout);
    fflush(stdout);
    mu_text_finish(&text);
    fprintf(bench->out, "ready\n");
    return MU_OK;
}

static enum mu_status obey(struct bench_rank *bench,
    const struct mu_cmd_bench_allreduce_options *options, const char *line)
{
    if (strncmp(line, "size ", 5) == 0)
        return do_size(bench, line + 5);
    if (strncmp(line, "batch ", 6) == 0)
        return do_batch(bench, line + 6);
    if (strcmp(line, "check\n") == 0)
        return do_check(bench);
    if (strcmp(line, "explain\n") == 0)
        return do_explain(bench, options);
    return MU_PROTOCOL;
}

/* ---- life ---- */

enum bind { BIND_AUTO, BIND_SPREAD, BIND_NONE }; /* the choices of its row */

/* A core each, as mpirun does, while there are enough; or cores in turn. */
static void pin(int rank, int count, enum bind bind)
{
    cpu_set_t allowed, one;
    if (bind == BIND_NONE || sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return;
    int cores = CPU_COUNT(&allowed), cpu = -1;
    if (cores < count && bind != BIND_SPREAD)
        return;
    for (int seen = -1; seen < rank % cores;)
        seen += CPU_ISSET(++cpu, &allowed) != 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    int code = sched_setaffinity(0, sizeof(one), &one);
    (void)code; /* unpinned is only slower */
}

static enum mu_status open_group(struct bench_rank *bench, struct mu_log *log,
    const struct mu_cmd_bench_allreduce_options *options, const struct mu_group_place *place)
{
    static const char *const transports[] = {"route", "shm", "tcp", "mpi"};
    const struct mu_build_options build = {
        .log = log,
        .transport = transports[options->transport],
        .algorithm = options->algorithm[0] ? options->algorithm : NULL,
        .deterministic = options->deterministic,
        .home = options->home ? MU_BUILD_HOME_TCP : MU_BUILD_HOME_BEST,
    };
    if (place) /* otherwise mpirun has done it */
        pin(place->rank, place->count, (enum bind)options->bind);
    MU_TRY(mu_group_open_place(place, &build, START_TIMEOUT_NS, &bench->group));
    bench->run_max = (int)(DOUBLINGS / log2(bench->group->count));
    for (int i = 0; i < PERIOD; i++)
        bench->period[i] = SCALE * (float)(i + bench->group->rank + 1);
    return MU_OK;
}

static enum mu_status serve(
    struct bench_rank *bench, const struct mu_cmd_bench_allreduce_options *options)
{
    char line[MU_BENCH_LINE_MAX];
    fprintf(bench->out, "rank %d\n", bench->group->rank);
    fflush(bench->out);
    while (fgets(line, sizeof(line), bench->in)) {
        enum mu_status status = obey(bench, options, line);
        if (status != MU_OK) {
            const char *why = mu_group_error(bench->group);
            fprintf(bench->out, "%s %s\n", status == MU_CONFIG ? "cannot" : "failed",
                why[0] ? why : mu_status_text(status));
            return status;
        }
        fflush(bench->out);
    }
    return MU_OK;
}

int mu_bench_rank_serve(struct mu_log *log, const struct mu_cmd_bench_allreduce_options *options,
    const struct mu_group_place *place, int fd)
{
    struct bench_rank *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return mu_status_exit(MU_NO_MEMORY);
    bench->in = fdopen(fd, "r");
    bench->out = fdopen(dup(fd), "w");
    bench->in_arena = options->memory == 0;
    enum mu_status status = open_group(bench, log, options, place);
    if (status == MU_OK)
        status = serve(bench, options);
    release(bench);
    mu_group_close(bench->group);
    fclose(bench->out);
    fclose(bench->in);
    free(bench);
    return mu_status_exit(status);
}
