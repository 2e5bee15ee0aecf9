/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/group_report.h"
#include "collectives/ring.h"
#include "collectives/shared.h"
#include "runtime/device/reduce.h"

/*
 * What things cost on this cluster, in less than 200 ms:
 *
 *   message   a few bytes to the right while as many come from the left, again and again
 *   byte      the same with two segments under way
 *   add       the kernel, in the cache
 *   barrier, direct   by the algorithm "direct", where memory is shared
 *
 * Each is tried twice first; ranks agree on what that took, by the ring, and so on how often each
 * repeats it. What it takes then is the best of some batches, so that a pause of a rank does not
 * count. All numbers are the largest of all ranks in the end: all choose alike.
 */
#define TRIALS 2
#define BATCHES 4 /* of repetitions; the best of them counts */
#define SHORT_BYTES 8
#define LONG_BYTES (2 * MU_SEGMENT_BYTES)

struct probe {
    struct mu_group *group;
    int64_t deadline_ns;
    int rank;    /* whom it was waiting for */
    int count;   /* of messages so far, for tags */
    void *arena; /* vectors for `direct`; NULL: no shared memory */
    struct mu_request request;
};

/* One thing to be measured: does it once. */
typedef enum mu_status act(struct probe *probe);

/* ---- agreement ---- */

static enum mu_status run_by(
    struct probe *probe, const struct mu_algorithm *algorithm, const struct mu_request *request)
{
    struct mu_group *group = probe->group;
    const struct mu_algorithm *forced = group->forced;
    group->forced = algorithm;
    enum mu_status status = mu_group_run(group, request, probe->deadline_ns, &probe->rank);
    group->forced = forced;
    return status;
}

static enum mu_status agree(struct probe *probe, double values[], size_t count)
{
    const struct mu_request request = {.kind = MU_ALLREDUCE,
        .dtype = MU_FLOAT64,
        .wire = MU_FLOAT64,
        .reduction = MU_MAX,
        .data = values,
        .count = count};
    return run_by(probe, &mu_ring, &request);
}

/* ---- what is done ---- */

/* Messages outside any algorithm are an operation of their own. */
static void begin_messages(struct probe *probe)
{
    struct mu_group *group = probe->group;
    group->signature = (struct mu_signature){
        .group = group->id, .sequence = ++group->sequence, .kind = MU_BARRIER};
    mu_group_sign(group);
    probe->count = 0;
}

static void post(struct probe *probe, int slot, size_t bytes)
{
    struct mu_group *group = probe->group;
    int right = (group->rank + 1) % group->count;
    int left = (group->rank + group->count - 1) % group->count;
    uint64_t tag = mu_group_tag(group, (uint32_t)slot, (uint64_t)probe->count);
    char *memory = group->scratch;
    mu_group_receive(group, &group->receive[slot], left, tag,
        memory + (size_t)(2 + slot) * MU_SEGMENT_BYTES, bytes);
    mu_group_send(
        group, &group->send[slot], right, tag, memory + (size_t)slot * MU_SEGMENT_BYTES, bytes);
}

static enum mu_status settle(struct probe *probe, int slot)
{
    struct mu_group *group = probe->group;
    enum mu_status status =
        mu_group_wait(group, &group->receive[slot], probe->deadline_ns, &probe->rank);
    if (status == MU_OK)
        status = mu_group_wait(group, &group->send[slot], probe->deadline_ns, &probe->rank);
    return status == MU_OK ? MU_OK : mu_group_report(group, status, &probe->rank);
}

static enum mu_status send_short(struct probe *probe)
{
    probe->count++;
    post(probe, 0, SHORT_BYTES);
    return settle(probe, 0);
}

static enum mu_status send_long(struct probe *probe)
{
    probe->count++;
    post(probe, 0, MU_SEGMENT_BYTES);
    post(probe, 1, MU_SEGMENT_BYTES);
    MU_TRY(settle(probe, 0));
    return settle(probe, 1);
}

static enum mu_status add_segment(struct probe *probe)
{
    char *memory = probe->group->scratch;
    mu_reducer(MU_FLOAT32, MU_SUM)
        ->two(memory, memory, memory + MU_SEGMENT_BYTES, MU_SEGMENT_BYTES / sizeof(float));
    return MU_OK;
}

static enum mu_status run_direct(struct probe *probe)
{
    return run_by(probe, mu_choose_find("direct"), &probe->request);
}

/* ---- measuring ---- */

static enum mu_status repeat(struct probe *probe, act *once, int times, double *ret_seconds)
{
    int64_t start = mu_now(probe->group->world);
    for (int i = 0; i < times; i++)
        MU_TRY(once(probe));
    *ret_seconds = (double)(mu_now(probe->group->world) - start) / 1e9 / times;
    return MU_OK;
}

static int repetitions(double seconds, double budget, int most)
{
    double times = seconds * most > budget ? budget / seconds : most;
    return times < 1 ? 1 : (int)times;
}

/* Seconds that `once` takes, measured for about `budget` seconds but at most BATCHES * most times.
 * `messages`: it sends some itself. */
static enum mu_status measure(
    struct probe *probe, act *once, bool messages, double budget, int most, double *ret_seconds)
{
    double trial;
    if (messages)
        begin_messages(probe);
    MU_TRY(repeat(probe, once, TRIALS, &trial));
    MU_TRY(agree(probe, &trial, 1));
    int times = repetitions(trial, budget / BATCHES, most);
    int batches = trial * times * BATCHES > 2 * budget ? 1 : BATCHES;
    if (messages)
        begin_messages(probe);
    for (int i = 0; i < batches; i++) {
        double seconds;
        MU_TRY(repeat(probe, once, times, &seconds));
        if (i == 0 || seconds < *ret_seconds)
            *ret_seconds = seconds;
    }
    return MU_OK;
}

static double positive(double value)
{
    return value > 0 ? value : 0;
}

static enum mu_status measure_messages(struct probe *probe, struct mu_costs *costs)
{
    double seconds;
    MU_TRY(measure(probe, send_short, true, 0.015, 100, &costs->message));
    MU_TRY(measure(probe, send_long, true, 0.05, 10, &seconds));
    costs->byte = positive(seconds - costs->message) / (double)LONG_BYTES;
    MU_TRY(measure(probe, add_segment, false, 0.005, 20, &seconds));
    costs->add = seconds / (double)MU_SEGMENT_BYTES;
    return MU_OK;
}

static enum mu_status measure_vectors(struct probe *probe, void *data, double *ret_byte)
{
    double seconds, barrier = probe->group->costs.barrier;
    probe->request = (struct mu_request){
        .kind = MU_ALLREDUCE, .data = data, .count = LONG_BYTES / sizeof(float)};
    MU_TRY(measure(probe, run_direct, false, 0.02, 20, &seconds));
    *ret_byte = positive(seconds - 2 * barrier) / (double)LONG_BYTES;
    return MU_OK;
}

static enum mu_status measure_shared(struct probe *probe, struct mu_costs *costs)
{
    struct mu_group *group = probe->group;
    probe->request = (struct mu_request){.kind = MU_BARRIER};
    MU_TRY(measure(probe, run_direct, false, 0.01, 100, &costs->barrier));
    /* To meet is to tell and to be told, as with a message but without the bytes: what a barrier
     * takes longer is noise. */
    if (costs->barrier > costs->message)
        costs->barrier = costs->message;
    void *arena = mu_shared_try(group, LONG_BYTES, probe->deadline_ns);
    if (!arena) /* on all ranks: then all vectors go staged */
        return measure_vectors(probe, group->scratch, &costs->direct);
    enum mu_status status = measure_vectors(probe, arena, &costs->direct);
    mu_shared_free(group, arena);
    return status;
}

enum mu_status mu_costs_probe(struct mu_group *group, int64_t deadline_ns)
{
    struct probe probe = {.group = group, .deadline_ns = deadline_ns};
    struct mu_costs *costs = &group->costs;
    *costs = (struct mu_costs){0};
    if (group->count == 1)
        return MU_OK;
    memset(group->scratch, 0, MU_OPS_IN_FLIGHT * MU_SEGMENT_BYTES);
    MU_TRY(measure_messages(&probe, costs));
    if (group->shared)
        MU_TRY(measure_shared(&probe, costs));
    static_assert(sizeof(*costs) == 5 * sizeof(double), "all of it is numbers");
    MU_TRY(agree(&probe, &costs->message, sizeof(*costs) / sizeof(double)));
    mu_choose_forget(group);
    return MU_OK;
}
