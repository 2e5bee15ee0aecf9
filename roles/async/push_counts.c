/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/async/push_counts.h"
#include <stdlib.h>
#include <string.h>

static_assert(MU_PUSH_COUNTS_BEAT <= MU_CLUSTER_COUNTS_MAX, "heartbeats have room for them");

static void tell(struct mu_push_counts *counts, int at, int64_t count)
{
    atomic_store_explicit(&counts->told[at], count, memory_order_relaxed);
}

void mu_push_counts_add(struct mu_push_counts *counts, const struct mu_ps_result *result)
{
    int64_t top = MU_SUMMARY_STALENESS_MAX - 1;
    tell(counts, (int)result->verdict, ++counts->verdicts[result->verdict]);
    if (result->verdict == MU_VERDICT_REFUSE)
        return; /* how stale it was is not known */
    int64_t bucket = result->staleness < top ? result->staleness : top;
    tell(counts, MU_VERDICT_COUNT + (int)bucket, ++counts->staleness[bucket]);
    counts->staleness_sum += result->staleness;
    if (result->staleness > counts->staleness_most)
        counts->staleness_most = result->staleness;
}

size_t mu_push_counts_beat(void *counts, int64_t out[MU_CLUSTER_COUNTS_MAX])
{
    struct mu_push_counts *own = counts;
    size_t count = 0;
    for (size_t i = 0; i < MU_PUSH_COUNTS_BEAT; i++) {
        out[i] = atomic_load_explicit(&own->told[i], memory_order_relaxed);
        if (out[i] > 0)
            count = i + 1;
    }
    return count;
}

void mu_push_counts_heard(struct mu_cluster_numbers numbers, int64_t *verdicts, int64_t *staleness)
{
    for (size_t i = 0; i < numbers.count && i < MU_PUSH_COUNTS_BEAT; i++)
        if (i < MU_VERDICT_COUNT)
            verdicts[i] += numbers.value[i];
        else
            staleness[i - MU_VERDICT_COUNT] += numbers.value[i];
}

/* ---- numbers in a vector ---- */

/*
 * Counts are summed as float32: in pieces of 12 bits, which stay exact for up to MU_REPLICAS_MAX
 * replicas. What is of one replica has a place of its own there, after what is summed.
 */
#define PIECE_BITS 12
#define PIECES 4
enum { STOPPED, SUM, SAMPLES, READ, STALENESS };
#define OWN (STALENESS + MU_SUMMARY_STALENESS_MAX)
enum { OWN_MOST, OWN_VERDICTS };
#define OWN_COUNT (OWN_VERDICTS + MU_VERDICT_COUNT)

static_assert(MU_REPLICAS_MAX << PIECE_BITS <= 1 << 24, "a sum of pieces is exact in float32");

static int own_place(int rank, int what)
{
    return OWN + rank * OWN_COUNT + what;
}

static void put(float *all, int at, int64_t count)
{
    for (int i = 0; i < PIECES; i++)
        all[PIECES * at + i] = (float)(count >> (PIECE_BITS * i) & ((1 << PIECE_BITS) - 1));
}

static int64_t get(const float *all, int at)
{
    int64_t count = 0;
    for (int i = 0; i < PIECES; i++)
        count += (int64_t)all[PIECES * at + i] << (PIECE_BITS * i);
    return count;
}

static void put_counts(
    const struct mu_replica *replica, const struct mu_push_counts *counts, float *all)
{
    put(all, STOPPED, replica->stopped);
    put(all, SUM, counts->staleness_sum);
    put(all, SAMPLES, atomic_load(&replica->activity.samples));
    put(all, READ, replica->samples_own + atomic_load(&replica->activity.samples));
    for (int i = 0; i < MU_SUMMARY_STALENESS_MAX; i++)
        put(all, STALENESS + i, counts->staleness[i]);
    put(all, own_place(replica->rank, OWN_MOST), counts->staleness_most);
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        put(all, own_place(replica->rank, OWN_VERDICTS + i), counts->verdicts[i]);
}

static void put_task(struct mu_replica *replica, int rank, const int64_t verdicts[MU_VERDICT_COUNT])
{
    struct mu_summary *summary = &replica->reporter.summary;
    struct mu_summary_task *task = &replica->task_summaries[rank];
    mu_task_name(
        &replica->spec->task[mu_spec_replica(replica->spec, rank)], task->name, sizeof(task->name));
    for (int i = 0; i < MU_VERDICT_COUNT; i++) {
        task->verdicts[i] = verdicts[i];
        summary->verdicts[i] += verdicts[i];
    }
}

static void get_task(struct mu_replica *replica, const float *all, int rank)
{
    struct mu_summary *summary = &replica->reporter.summary;
    int64_t most = get(all, own_place(rank, OWN_MOST)), verdicts[MU_VERDICT_COUNT];
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        verdicts[i] = get(all, own_place(rank, OWN_VERDICTS + i));
    put_task(replica, rank, verdicts);
    if (most > summary->staleness_max)
        summary->staleness_max = most;
}

static void get_counts(struct mu_replica *replica, const float *all)
{
    struct mu_summary *summary = &replica->reporter.summary;
    replica->stopped = get(all, STOPPED) > 0;
    replica->reporter.samples = mu_push_counts_samples_before(replica) + get(all, SAMPLES);
    summary->samples_again = get(all, READ) - replica->reporter.samples;
    summary->staleness_sum = (double)get(all, SUM);
    for (int i = 0; i < MU_SUMMARY_STALENESS_MAX; i++)
        summary->staleness[i] = get(all, STALENESS + i);
    memset(summary->verdicts, 0, sizeof(summary->verdicts));
    for (int r = 0; r < replica->count; r++)
        get_task(replica, all, r);
    summary->tasks = replica->task_summaries;
    summary->task_count = replica->count;
}

static enum mu_status make_summaries(struct mu_replica *replica)
{
    free(replica->task_summaries); /* of a generation that came as far */
    replica->task_summaries = calloc((size_t)replica->count, sizeof(*replica->task_summaries));
    return replica->task_summaries ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_push_counts_share(struct mu_replica *replica, const struct mu_push_counts *counts)
{
    size_t floats = PIECES * (size_t)own_place(replica->count, 0);
    float *all = calloc(floats, sizeof(*all));
    enum mu_status status = all ? make_summaries(replica) : MU_NO_MEMORY;
    if (status == MU_OK) {
        put_counts(replica, counts, all);
        status = mu_replica_sum(replica, all, floats);
    }
    if (status == MU_OK)
        get_counts(replica, all);
    replica->reporter.last_ns = mu_now(replica->world);
    free(all);
    return status;
}

/* ---- without the others ---- */

enum mu_status mu_push_counts_know(struct mu_replica *replica)
{
    struct mu_summary *summary = &replica->reporter.summary;
    const struct mu_push_counts *counts = replica->counts;
    if (!counts || summary->task_count > 0)
        return MU_OK;
    MU_TRY(make_summaries(replica));
    put_task(replica, replica->rank, counts->verdicts);
    memcpy(summary->staleness, counts->staleness, sizeof(summary->staleness));
    summary->staleness_sum = (double)counts->staleness_sum;
    summary->staleness_max = counts->staleness_most;
    summary->tasks = &replica->task_summaries[replica->rank];
    summary->task_count = 1;
    return MU_OK;
}

/* ---- with an accusation ---- */

enum { TOLD_SUM, TOLD_MAX, TOLD_VERDICTS }; /* (replicas, MU_VERDICT_COUNT) */

static_assert(MU_PUSH_COUNTS_TOLD_MAX <= MU_CLUSTER_NUMBERS_MAX, "an accusation has room for them");

static size_t told_count(int replica_count)
{
    return TOLD_VERDICTS + (size_t)replica_count * MU_VERDICT_COUNT;
}

size_t mu_push_counts_tell(
    const struct mu_ps_server *server, int replica_count, int64_t out[MU_PUSH_COUNTS_TOLD_MAX])
{
    const struct mu_staleness *staleness = mu_ps_server_staleness(server);
    out[TOLD_SUM] = (int64_t)staleness->sum;
    out[TOLD_MAX] = (int64_t)staleness->max;
    for (int r = 0; r < replica_count; r++)
        for (int i = 0; i < MU_VERDICT_COUNT; i++)
            out[TOLD_VERDICTS + r * MU_VERDICT_COUNT + i] =
                (int64_t)mu_ps_server_verdicts(server, r)[i];
    return told_count(replica_count);
}

enum mu_status mu_push_counts_told(struct mu_replica *replica, const int64_t *numbers, size_t count)
{
    struct mu_summary *summary = &replica->reporter.summary;
    if (count != told_count(replica->count))
        return MU_OK;
    MU_TRY(make_summaries(replica));
    summary->staleness_sum = (double)numbers[TOLD_SUM];
    summary->staleness_max = numbers[TOLD_MAX];
    for (int r = 0; r < replica->count; r++)
        put_task(replica, r, numbers + TOLD_VERDICTS + r * MU_VERDICT_COUNT);
    summary->tasks = replica->task_summaries;
    summary->task_count = replica->count;
    return MU_OK;
}
