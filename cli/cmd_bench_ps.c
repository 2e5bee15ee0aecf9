/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_crew.h"
#include "cli/bench_rows.h"
#include "cli/bench_tasks.h"
#include "ps/server/server.h"
#include "ps/table/table_room.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * muster bench ps: leads servers and workers through the sizes.
 *
 *   for each size:       both begin with parameters that are zero
 *       for each row:    find out how many operations fill the budget; so many, some times; check
 */
#define IN_FLIGHT_BYTES (8 << 20)
#define IN_FLIGHT_ROW_BYTES (1 << 20)
#define IN_FLIGHT_FEWEST 2
#define DENSE_BYTES 64            /* of the parameters beside a table */
#define FILL_PUSHES_MAX (1 << 18) /* of all workers */
#define FILL_PUSHES 256           /* of each worker, that are asked for at once */
#define SAID_SECONDS 5            /* between two lines that say how far the rows are */
#define SAMPLES_ALL_MAX ((size_t)MU_BENCH_PS_WORKERS_MAX * MU_BENCH_SAMPLES_MAX)

struct bench {
    struct mu_bench_ps ps;
    struct mu_bench_crew servers, workers;
    double us[MU_BENCH_ROUNDS_MAX], cpu_us[MU_BENCH_ROUNDS_MAX];
    double p50_us[MU_BENCH_ROUNDS_MAX], p99_us[MU_BENCH_ROUNDS_MAX];
    double wire_ratio; /* of the last row of a table: bytes by those of its ids and rows */
    uint32_t samples_ns[SAMPLES_ALL_MAX]; /* of all workers, sorted */
    size_t sample_count;
};

/* In the order of --op, after `all`. */
static const struct row {
    const char *name, *op;
    bool many, of_table;
} rows[] = {
    {"push", "push", false, false},
    {"pull", "pull", false, false},
    {"push-in-flight", "push", true, false},
    {"pull-in-flight", "pull", true, false},
    {"rows", "push", false, true},
    {"rows-in-flight", "push", true, true},
};

/* ---- measuring ---- */

/* Of the embedding rows of an operation, one way. */
static int64_t row_bytes_of(const struct mu_cmd_bench_ps_options *options)
{
    return options->batch * options->row_width * (int64_t)sizeof(float);
}

static int in_flight_for(const struct mu_cmd_bench_ps_options *options, int64_t bytes)
{
    int64_t fitting = (options->rows > 0 ? IN_FLIGHT_ROW_BYTES : IN_FLIGHT_BYTES) / bytes;
    if (options->in_flight > 0)
        return (int)options->in_flight;
    if (fitting > MU_PS_IN_FLIGHT_MAX)
        return MU_PS_IN_FLIGHT_MAX;
    return fitting > IN_FLIGHT_FEWEST ? (int)fitting : IN_FLIGHT_FEWEST;
}

static double cpu_us_of(const struct mu_bench_crew *crew)
{
    double sum = 0;
    for (int i = 0; i < crew->count; i++) {
        clockid_t clock;
        struct timespec time;
        if (clock_getcpuclockid(crew->child[i], &clock) == 0 && clock_gettime(clock, &time) == 0)
            sum += (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
    }
    return sum;
}

static double cpu_us(const struct bench *bench)
{
    return cpu_us_of(&bench->servers) + cpu_us_of(&bench->workers);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void collect_samples(struct bench *bench)
{
    bench->sample_count = 0;
    for (int i = 0; i < bench->workers.count; i++) {
        const struct mu_bench_samples *samples = &bench->ps.samples[i];
        for (int k = 0; k < samples->count; k++)
            bench->samples_ns[bench->sample_count++] = samples->ns[k];
    }
    qsort(bench->samples_ns, bench->sample_count, sizeof(*bench->samples_ns), by_value);
}

static double quantile_us(const struct bench *bench, double share)
{
    return (double)bench->samples_ns[(size_t)(share * (double)(bench->sample_count - 1))] / 1e3;
}

static enum mu_status measure_round(struct bench *bench, int round, int operations)
{
    double before_us = cpu_us(bench);
    MU_TRY(mu_bench_crew_batch(&bench->workers, operations, &bench->us[round]));
    bench->cpu_us[round] = (cpu_us(bench) - before_us) / operations / bench->workers.count;
    collect_samples(bench);
    bench->p50_us[round] = quantile_us(bench, 0.5);
    bench->p99_us[round] = quantile_us(bench, 0.99);
    return MU_OK;
}

/* Of one worker. Two rows push; finding out takes less than twice what is found. */
static int most_operations(const struct mu_cmd_bench_ps_options *options)
{
    int64_t most = MU_BENCH_PUSHES_MAX / options->workers / (2 * (options->rounds + 2));
    return most < 1 ? 1 : (int)most;
}

/* Each worker does so with the pushes that touch all its rows, some at once: none is silent for
 * long, and whoever waits is told how far it is. */
static enum mu_status pass_rows(struct bench *bench, const char *what, const char *said)
{
    const struct mu_cmd_bench_ps_options *options = bench->ps.options;
    int count = mu_bench_rows_fill_count(options->rows, options->workers, options->batch);
    time_t said_at = time(NULL);
    for (int first = 0; first < count; first += FILL_PUSHES) {
        int here = count - first < FILL_PUSHES ? count - first : FILL_PUSHES;
        MU_TRY(mu_bench_crew_do(&bench->workers, "%s %d %d", what, first, here));
        if (time(NULL) - said_at < SAID_SECONDS)
            continue;
        said_at = time(NULL);
        mu_say(bench->ps.log, MU_LEVEL_INFO, "%d%% of %lld rows %s",
            (int)(100.0 * (first + here) / count), (long long)options->rows, said);
    }
    return MU_OK;
}

static enum mu_status check(struct bench *bench)
{
    MU_TRY(mu_bench_crew_do(&bench->workers, "check"));
    return bench->ps.options->rows > 0 ? pass_rows(bench, "rows", "are compared") : MU_OK;
}

/* What has passed through all servers so far. */
static enum mu_status load(struct bench *bench, struct mu_bench_load *ret_sum)
{
    *ret_sum = (struct mu_bench_load){0};
    if (bench->ps.options->rows == 0)
        return MU_OK;
    MU_TRY(mu_bench_crew_do(&bench->servers, "load"));
    for (int i = 0; i < bench->servers.count; i++) {
        ret_sum->bytes += bench->ps.loads[i].bytes;
        ret_sum->rows += bench->ps.loads[i].rows;
    }
    return MU_OK;
}

static double ratio_of(
    const struct bench *bench, const struct mu_bench_load *from, const struct mu_bench_load *to)
{
    size_t row_bytes = sizeof(uint64_t) + mu_bench_row_width(&bench->ps) * sizeof(float);
    return (double)(to->bytes - from->bytes) / (double)((to->rows - from->rows) * row_bytes);
}

static enum mu_status measure(struct bench *bench, const struct row *row, int in_flight)
{
    const struct mu_cmd_bench_ps_options *options = bench->ps.options;
    int operations = 0;
    MU_TRY(mu_bench_crew_do(&bench->workers, "op %s %d", row->op, row->many ? in_flight : 1));
    MU_TRY(mu_bench_crew_find(
        &bench->workers, options->budget_ms * 1e3, most_operations(options), &operations));
    struct mu_bench_load before, after;
    MU_TRY(load(bench, &before));
    for (int round = 0; round < options->rounds; round++)
        MU_TRY(measure_round(bench, round, operations));
    MU_TRY(load(bench, &after));
    bench->wire_ratio = ratio_of(bench, &before, &after);
    return check(bench);
}

/* ---- printing ---- */

static const char *transport_name(const struct mu_cmd_bench_ps_options *options)
{
    return options->transport == MU_BENCH_PS_SHM ? "shm" : "tcp";
}

static void print_head(const struct mu_cmd_bench_ps_options *options)
{
    if (options->json)
        return;
    printf("servers add gradients of float32; %d workers, %d servers, %s, %d rounds\n",
        (int)options->workers, (int)options->servers, transport_name(options),
        (int)options->rounds);
    if (options->rows > 0)
        printf("%lld embedding rows of %d; an operation pushes %d and pulls %d\n",
            (long long)options->rows, (int)options->row_width, (int)options->batch,
            (int)options->batch);
    printf("%10s  %-15s %9s %10s %10s %12s %10s %10s%s\n", "bytes", "op", "in flight", "p50 us",
        "p99 us", "ops/s", "GB/s", "CPU us/op", options->rows > 0 ? " rows/s each  of wire" : "");
}

/* Medians over the rounds. */
struct numbers {
    double p50, p99, per_second, cpu;
};

static struct numbers numbers_of(struct bench *bench)
{
    int rounds = (int)bench->ps.options->rounds;
    return (struct numbers){.p50 = mu_bench_median(bench->p50_us, rounds),
        .p99 = mu_bench_median(bench->p99_us, rounds),
        .per_second = (double)bench->ps.options->workers * 1e6 / mu_bench_median(bench->us, rounds),
        .cpu = mu_bench_median(bench->cpu_us, rounds)};
}

static void print_row(struct bench *bench, const struct row *row, int64_t bytes, int in_flight)
{
    const struct mu_cmd_bench_ps_options *options = bench->ps.options;
    int flying = row->many ? in_flight : 1;
    struct numbers n = numbers_of(bench);
    if (options->json)
        printf("{\"bench\":\"ps\",\"bytes\":%lld,\"op\":\"%s\",\"workers\":%d,\"servers\":%d,"
               "\"replicas\":%d,"
               "\"transport\":\"%s\",\"in_flight\":%d,\"p50_us\":%.2f,\"p99_us\":%.2f,"
               "\"ops_per_second\":%.1f,\"bytes_per_second\":%.0f,\"cpu_us_per_op\":%.2f}\n",
            (long long)bytes, row->name, (int)options->workers, (int)options->servers,
            (int)options->replicas, transport_name(options), flying, n.p50, n.p99, n.per_second,
            n.per_second * (double)bytes, n.cpu);
    else
        printf("%10lld  %-15s %9d %10.1f %10.1f %12.0f %10.3f %10.2f\n", (long long)bytes,
            row->name, flying, n.p50, n.p99, n.per_second, n.per_second * (double)bytes / 1e9,
            n.cpu);
    fflush(stdout);
}

static void print_table_row(struct bench *bench, const struct row *row, int in_flight)
{
    const struct mu_cmd_bench_ps_options *options = bench->ps.options;
    struct numbers n = numbers_of(bench);
    double rows_per_second = n.per_second * (double)options->batch;
    double bytes = (double)row_bytes_of(options);
    if (options->json)
        printf("{\"bench\":\"ps\",\"op\":\"%s\",\"rows\":%lld,\"row_width\":%d,\"batch\":%d,"
               "\"bytes\":%.0f,\"workers\":%d,\"servers\":%d,\"replicas\":%d,\"transport\":\"%s\","
               "\"in_flight\":%d,\"p50_us\":%.2f,\"p99_us\":%.2f,\"ops_per_second\":%.1f,"
               "\"bytes_per_second\":%.0f,\"rows_per_second\":%.0f,\"wire_ratio\":%.4f,"
               "\"cpu_us_per_op\":%.2f}\n",
            row->name, (long long)options->rows, (int)options->row_width, (int)options->batch,
            bytes, (int)options->workers, (int)options->servers, (int)options->replicas,
            transport_name(options), row->many ? in_flight : 1, n.p50, n.p99, n.per_second,
            n.per_second * bytes, rows_per_second, bench->wire_ratio, n.cpu);
    else
        printf("%10.0f  %-15s %9d %10.1f %10.1f %12.0f %10.3f %10.2f %12.0f %8.4f\n", bytes,
            row->name, row->many ? in_flight : 1, n.p50, n.p99, n.per_second,
            n.per_second * bytes / 1e9, n.cpu, rows_per_second, bench->wire_ratio);
    fflush(stdout);
}

/* ---- the whole ---- */

static enum mu_status run_size(struct bench *bench, int64_t bytes)
{
    const struct mu_cmd_bench_ps_options *options = bench->ps.options;
    int in_flight = in_flight_for(options, options->rows > 0 ? row_bytes_of(options) : bytes);
    MU_TRY(mu_bench_crew_do(&bench->servers, "size %lld %d", (long long)bytes, in_flight));
    MU_TRY(mu_bench_crew_do(&bench->workers, "size %lld %d", (long long)bytes, in_flight));
    if (options->rows > 0 && !options->dense)
        MU_TRY(pass_rows(bench, "fill", "are there"));
    for (int i = 0; i < (int)MU_COUNT_OF(rows); i++) {
        if (rows[i].of_table != (options->rows > 0) || (options->op != 0 && options->op != 1 + i))
            continue;
        MU_TRY(measure(bench, &rows[i], in_flight));
        if (options->rows > 0)
            print_table_row(bench, &rows[i], in_flight);
        else
            print_row(bench, &rows[i], bytes, in_flight);
    }
    MU_TRY(mu_bench_crew_do(&bench->workers, "end"));
    return mu_bench_crew_do(&bench->servers, "end");
}

static enum mu_status run_sizes(struct bench *bench)
{
    const struct mu_integers *bytes = &bench->ps.options->bytes;
    print_head(bench->ps.options);
    if (bench->ps.options->rows > 0)
        return run_size(bench, DENSE_BYTES);
    for (int i = 0; i < bytes->count; i++)
        MU_TRY(run_size(bench, bytes->value[i]));
    return MU_OK;
}

/* A child does not return. */
static enum mu_status fork_crew(struct bench *bench, struct mu_bench_crew *crew,
    int (*serve)(struct mu_bench_ps *bench, int rank, int fd))
{
    int rank = -1, fd = -1;
    MU_TRY(mu_bench_crew_fork(crew, &rank, &fd));
    if (rank >= 0)
        _exit(serve(&bench->ps, rank, fd));
    return MU_OK;
}

/* What children and lead share: the loads, then the samples. */
static enum mu_status map_shared(struct bench *bench)
{
    size_t load_bytes = (size_t)bench->servers.count * sizeof(*bench->ps.loads);
    size_t bytes = load_bytes + (size_t)bench->workers.count * sizeof(*bench->ps.samples);
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return mu_fail(bench->ps.log, MU_E0801, NULL, "no memory for a bench");
    bench->ps.loads = (struct mu_bench_load *)(void *)memory;
    bench->ps.samples = (struct mu_bench_samples *)(void *)(memory + load_bytes);
    return MU_OK;
}

static enum mu_status lead(struct bench *bench)
{
    MU_TRY(map_shared(bench));
    MU_TRY(mu_bench_bind_ports(
        bench->ps.log, mu_bench_ways(&bench->ps), bench->ps.listen_fd, bench->ps.address));
    MU_TRY(fork_crew(bench, &bench->servers, mu_bench_server_serve));
    MU_TRY(fork_crew(bench, &bench->workers, mu_bench_worker_serve));
    return run_sizes(bench);
}

/* Of servers, and of workers, who count the pushes of each row. */
static enum mu_status check_memory(
    struct mu_log *log, const struct mu_cmd_bench_ps_options *options)
{
    const struct mu_table_room room = {
        .rows = (uint64_t)options->rows,
        .stride = (size_t)options->row_width,
        .dense = options->dense,
        .tables = 1 + (int)options->replicas,
        .bytes_besides = (uint64_t)options->rows * sizeof(uint32_t),
        .help = "fewer --rows, or a smaller --row-width",
    };
    return mu_table_room_check(&room, log, "--rows %lld of %lld floats", (long long)options->rows,
        (long long)options->row_width);
}

static enum mu_status check_rows(struct mu_log *log, const struct mu_cmd_bench_ps_options *options)
{
    if (options->op > 0 && rows[options->op - 1].of_table != (options->rows > 0))
        return mu_fail(log, MU_E0001, "rows and rows-in-flight, and only they, go with --rows",
            "--op %s with --rows %lld", rows[options->op - 1].name, (long long)options->rows);
    if (options->rows > 0 && options->rows < options->workers)
        return mu_fail(log, MU_E0001, NULL, "--rows %lld: each of %lld workers needs its own",
            (long long)options->rows, (long long)options->workers);
    if (options->dense && options->rows == 0)
        return mu_fail(log, MU_E0001, "say how many: --rows 10000000", "--dense goes with --rows");
    if (options->rows / options->batch > FILL_PUSHES_MAX)
        return mu_fail(log, MU_E0001, "use a larger --batch, or fewer --rows",
            "--rows %lld: more than %d batches of %lld", (long long)options->rows, FILL_PUSHES_MAX,
            (long long)options->batch);
    return options->rows > 0 ? check_memory(log, options) : MU_OK;
}

static enum mu_status check_options(
    struct mu_log *log, const struct mu_cmd_bench_ps_options *options)
{
    for (int i = 0; i < options->bytes.count; i++)
        if (options->bytes.value[i] % (int)sizeof(float) != 0)
            return mu_fail(log, MU_E0001, "a float32 has 4 bytes",
                "--bytes: %lld is no multiple of 4", (long long)options->bytes.value[i]);
    if (options->replicas > 0 && options->servers < 2)
        return mu_fail(log, MU_E0001, "add --servers 2",
            "--replicas %lld: a standby is on another server", (long long)options->replicas);
    return check_rows(log, options);
}

static int run(struct mu_log *log, const void *given, char *const *arguments)
{
    (void)arguments;
    const struct mu_cmd_bench_ps_options *options = given;
    enum mu_status status = check_options(log, options);
    if (status != MU_OK)
        return mu_status_exit(status);
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return mu_status_exit(mu_fail(log, MU_E0801, NULL, "no memory for a bench"));
    bench->ps.log = log;
    bench->ps.options = options;
    mu_bench_crew_init(&bench->servers, log, "muster", "server", (int)options->servers);
    mu_bench_crew_init(&bench->workers, log, "muster", "worker", (int)options->workers);
    bench->servers.beside = &bench->workers;
    bench->workers.beside = &bench->servers;
    status = lead(bench);
    bench->servers.failed |= bench->workers.failed;
    mu_bench_crew_finish(&bench->workers);
    mu_bench_crew_finish(&bench->servers);
    free(bench);
    return mu_status_exit(status);
}

static const char *const examples[] = {
    "muster bench ps --workers 2 --servers 1 --bytes 4096,4194304 --json",
    "muster bench ps --rows 10000000 --row-width 16 --batch 4096", NULL};

const struct mu_command mu_command_bench_ps = {
    .name = "bench ps",
    .doc = "the speed of pushes to parameter servers, and of pulls",
    .details =
        "Servers that add each gradient to the parameters, and workers that push and pull with "
        "nothing to compute, a process each: one operation at a time and several in flight. "
        "Medians over the rounds; microseconds are those of one operation, from its beginning "
        "until its worker sees its end. After every row all parameters are compared with what they "
        "must be. CPU us/op is the time of all processes together for one operation. With --rows "
        "an "
        "operation pushes the gradients of a batch of embedding rows and pulls those of the next "
        "one; every row that is pulled is compared, and `of wire` is how many times the bytes of "
        "ids and rows the servers received and sent.",
    .examples = examples,
    .flags = mu_flags_bench_ps,
    .operands = mu_operands_bench_ps,
    .option_bytes = sizeof(struct mu_cmd_bench_ps_options),
    .run = run,
};
