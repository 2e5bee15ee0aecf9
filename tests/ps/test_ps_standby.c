/* SPDX-License-Identifier: Apache-2.0 */
#include "cut_links.h"
#include "cut_servers.h"
#include "ps/policies.h"
#include "ps_rig_sim.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"

/*
 * Servers that die at seeded moments while each span has a standby, in simulated time. Each
 * gradient is a 1 in an element of its own, once in each span, and is added: what stands there in
 * the end says how often it was applied, and whether everywhere.
 */
#define WORKERS 3
#define SERVERS_MAX 4
#define PUSHES 16
#define SPAN 48
#define DETECTION_NS (20 * MU_MS)
static_assert(WORKERS * PUSHES <= SPAN, "each gradient has an element");
static_assert(SERVERS_MAX * SPAN <= RIG_MARKS_MAX, "in each span");

/* Called by the sanitizer, where there is one. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* of killed tasks, as simulate.h says */
}

/* ThreadSanitizer keeps memory of every simulated world: of all of them more than a machine has. */
#if defined(__SANITIZE_THREAD__)
#define SEEDS 2
#else
#define SEEDS 4
#endif

struct scenario {
    const char *name;
    struct mu_ps_mode mode;
    int in_flight;
    bool has_rows, corrects, cuts, is_dense;
};

static const struct scenario scenarios[] = {
    {"async", {.kind = MU_PS_ASYNC}, 1, false, false, false, false},
    {"async, three in flight, rows", {.kind = MU_PS_ASYNC}, 3, true, false, false, false},
    {"compensate", {.kind = MU_PS_ASYNC}, 2, false, true, false, false},
    {"softsync, rows", {.kind = MU_PS_SOFTSYNC, .gradients = 4}, 2, true, false, false, false},
    {"sync", {.kind = MU_PS_SYNC, .workers = 3}, 1, false, false, false, false},
    {"sync, a backup, rows", {.kind = MU_PS_SYNC, .workers = 2}, 1, true, false, false, false},
    {"bounded, 0", {.kind = MU_PS_BOUNDED, .bound = 0}, 1, false, false, false, false},
    {"bounded, 2, rows", {.kind = MU_PS_BOUNDED, .bound = 2}, 1, true, false, false, false},
    {"async, dense rows", {.kind = MU_PS_ASYNC}, 3, true, false, false, true},
    {"softsync, dense rows", {.kind = MU_PS_SOFTSYNC, .gradients = 4}, 2, true, false, false, true},
    {"sync, a backup, dense rows", {.kind = MU_PS_SYNC, .workers = 2}, 1, true, false, false, true},
    {"async, links break", {.kind = MU_PS_ASYNC}, 3, true, false, true, false},
    {"async, dense rows, links break", {.kind = MU_PS_ASYNC}, 3, true, false, true, true},
    {"sync, links break", {.kind = MU_PS_SYNC, .workers = 2}, 1, false, false, true, false},
};

struct told {
    enum mu_verdict verdict;
    int64_t staleness, version;
};

struct worker {
    struct rig_task *task;
    int64_t version, deadline, longest_ns, ended_ns;
    struct cut_links cuts;
    struct rig_marks marks;
};

static const struct scenario *scenario;
static struct told told[WORKERS][PUSHES];
static struct worker workers[WORKERS];
static uint64_t seed_of_run;
static int64_t longest_ns;
static int takeovers, snapshots_after, snapshots_cut;
static int replicas = 1;
static int losses_survived, losses_in_all;
static bool cuts_others; /* links between servers, and those of the leader */
static struct cut_links leader_cuts;

static size_t mark_of(int worker, int k)
{
    return (size_t)(worker * PUSHES + k);
}

static bool counts(enum mu_verdict verdict)
{
    return verdict != MU_VERDICT_DROP && verdict != MU_VERDICT_REFUSE;
}

/* ---- a worker ---- */

static enum mu_status begin(struct worker *own, struct rig_hands *hands, int k)
{
    rig_marks_begin(&own->marks, own->task, hands, k, mark_of(own->task->index, k));
    own->task->world->ops->computed(own->task->world, k, 0.1);
    return mu_ps_client_push(own->task->client, (int)(hands - own->marks.hands), hands->gradients,
        1.0f, own->version, k % 4 == 3 ? NULL : hands->fresh);
}

/* Parameters of one version: the same in all spans. */
static void check_fresh(
    const struct worker *own, const struct rig_hands *hands, const struct mu_ps_result *result)
{
    size_t mark = mark_of(own->task->index, hands->k);
    bool stands = result->verdict == MU_VERDICT_APPLY || result->verdict == MU_VERDICT_CORRECT;
    if (stands && scenario->has_rows)
        assert_true(hands->row_value[0] == 1);
    if (hands->k % 4 == 3)
        return;
    for (int i = 0; i < own->task->rig->server_count; i++)
        assert_memory_equal(hands->fresh + (size_t)i * SPAN, hands->fresh, SPAN * sizeof(float));
    if (stands)
        assert_true(hands->fresh[mark] != 0);
}

/* Makes links anew that have broken, but to those that are dead. */
static enum mu_status heal(struct worker *own)
{
    struct rig_task *task = own->task;
    struct mu_link *link;
    cut_links_tell(&own->cuts);
    for (int i = 0; (i = mu_ps_client_unlinked(task->client, i)) >= 0; i++) {
        if (cut_servers_dead(task, i))
            continue;
        enum mu_status status = rig_connect(task, i, RIG_WORKER, NULL, NULL, &link);
        if (status == MU_OK)
            mu_ps_client_add_server(task->client, i, link);
        else if (status != MU_CLOSED)
            return status;
    }
    return MU_OK;
}

static enum mu_status wait_for(struct worker *own, int slot, struct mu_ps_result *ret_result)
{
    enum mu_status status = MU_TIMEOUT;
    if (!scenario->cuts)
        return mu_ps_client_wait(own->task->client, slot, own->deadline, ret_result);
    while (status == MU_TIMEOUT && mu_now(own->task->world) < own->deadline) {
        MU_TRY(heal(own));
        status = mu_ps_client_wait(
            own->task->client, slot, mu_now(own->task->world) + 2 * MU_MS, ret_result);
    }
    return status;
}

static enum mu_status end(struct worker *own, struct rig_hands *hands)
{
    struct mu_ps_result result;
    int64_t began_ns = mu_now(own->task->world);
    MU_TRY(wait_for(own, (int)(hands - own->marks.hands), &result));
    int64_t waited_ns = mu_now(own->task->world) - began_ns;
    own->longest_ns = waited_ns > own->longest_ns ? waited_ns : own->longest_ns;
    own->version = result.version;
    hands->under_way = false;
    told[own->task->index][hands->k] =
        (struct told){result.verdict, result.staleness, result.version};
    check_fresh(own, hands, &result);
    return MU_OK;
}

static enum mu_status begin_work(struct rig_task *task)
{
    struct worker *own = &workers[task->index];
    own->task = task;
    own->deadline = mu_now(task->world) + RIG_TIME;
    MU_TRY(
        mu_ps_client_pull(task->client, own->marks.hands[0].fresh, own->deadline, &own->version));
    return MU_OK;
}

static enum mu_status push_all(struct worker *own)
{
    struct rig_task *task = own->task;
    struct mu_ps_result result;
    for (int k = 0; k < PUSHES + task->rig->in_flight; k++) {
        struct rig_hands *hands = &own->marks.hands[k % task->rig->in_flight];
        if (hands->under_way)
            MU_TRY(end(own, hands));
        if (k < PUSHES)
            MU_TRY(begin(own, hands, k));
    }
    own->ended_ns = mu_now(task->world);
    /* Its wait is over at once, so that ours makes links anew meanwhile. */
    enum mu_status status = mu_ps_client_leave(task->client, mu_now(task->world));
    return status == MU_TIMEOUT ? wait_for(own, 0, &result) : status;
}

/* Instead of the first links, which do not break. */
static void link_anew(struct worker *own)
{
    struct mu_link *link;
    for (int i = 0; i < (1 + replicas) * own->task->rig->server_count; i++)
        if (rig_connect(own->task, i, RIG_WORKER, NULL, NULL, &link) == MU_OK)
            mu_ps_client_add_server(own->task->client, i, link);
}

static enum mu_status work(struct rig_task *task)
{
    struct worker *own = &workers[task->index];
    MU_TRY(begin_work(task));
    if (!scenario->cuts)
        return push_all(own);
    cut_links_begin(&own->cuts, task->loop, mu_random_mix(seed_of_run, (uint64_t)task->index), 10);
    link_anew(own);
    enum mu_status status = push_all(own);
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    cut_links_end(&own->cuts);
    return status;
}

/* ---- the leader: restores, and takes snapshots all the time ---- */

static bool no_rows(void *owner, const uint64_t *ids, const float *rows, size_t count)
{
    (void)owner;
    (void)ids;
    (void)rows;
    (void)count;
    return true;
}

static void link_leader(struct rig_task *task, int seat)
{
    struct mu_link *link;
    if (rig_connect(task, seat, RIG_LEADER, NULL, NULL, &link) == MU_OK)
        mu_ps_snapshot_add_server(task->snapshot, seat, link);
}

/* Turns the loop until the snapshot is there, or given up, and makes links anew that break. */
static enum mu_status await_snapshot(
    struct rig_task *task, int64_t deadline, int64_t *ret_version, int64_t *judged)
{
    enum mu_status status = MU_TIMEOUT;
    if (!cuts_others)
        return mu_ps_snapshot_wait(task->snapshot, deadline, ret_version, judged);
    while (status == MU_TIMEOUT && mu_now(task->world) < deadline) {
        cut_links_tell(&leader_cuts);
        for (int i = 0; (i = mu_ps_snapshot_unlinked(task->snapshot, i)) >= 0; i++)
            if (!cut_servers_dead(task, i))
                link_leader(task, i);
        status = mu_ps_snapshot_wait(
            task->snapshot, mu_now(task->world) + 2 * MU_MS, ret_version, judged);
    }
    snapshots_cut += status == MU_UNAVAILABLE;
    return status;
}

static enum mu_status lead_on(struct rig_task *task);

static enum mu_status lead(struct rig_task *task)
{
    enum mu_status status = lead_on(task);
    if (!cuts_others)
        return status;
    mu_ps_snapshot_destroy(task->snapshot);
    task->snapshot = NULL;
    cut_links_end(&leader_cuts);
    return status;
}

static enum mu_status lead_on(struct rig_task *task)
{
    static float vector[SERVERS_MAX * SPAN];
    const struct mu_row_sink sink = {.put = no_rows};
    const struct rig *rig = task->rig;
    int64_t deadline = mu_now(task->world) + RIG_TIME, judged[WORKERS] = {0}, version;
    float *vectors[1] = {vector};
    memset(vector, 0, sizeof(vector));
    MU_TRY(mu_ps_snapshot_restore(
        task->snapshot, (const float *const *)vectors, 1, 5, 100, judged, deadline));
    bool all = false;
    if (cuts_others)
        cut_links_begin(&leader_cuts, task->loop, mu_random_mix(seed_of_run, 99), 20);
    for (int i = 0; cuts_others && i < (1 + replicas) * rig->server_count; i++)
        link_leader(task, i); /* instead of the first ones, which do not break */
    while (!all) {
        bool never = false;
        (void)!mu_loop_until(task->loop, &never, mu_now(task->world) + 3 * MU_MS);
        bool after = task->losses_told > 0;
        enum mu_status status =
            mu_ps_snapshot_start(task->snapshot, vectors, scenario->has_rows ? &sink : NULL);
        if (status == MU_OK)
            status = await_snapshot(task, deadline, &version, judged);
        if (status == MU_UNAVAILABLE)
            continue;
        MU_TRY(status);
        snapshots_after += after;
        all = true;
        for (int w = 0; w < WORKERS; w++)
            all = all && workers[w].ended_ns > 0;
        for (int i = 0; i < rig->server_count; i++)
            assert_memory_equal(vector + (size_t)i * SPAN, vector, SPAN * sizeof(float));
    }
    return MU_OK;
}

/* ---- what must be true in the end ---- */

/* In the order of whoever judged each push has one place, with the verdict that its worker was
 * told. */
static void check_order(const struct rig *rig, int worker)
{
    int k = 0;
    for (int i = 0; i < rig->order_count; i++) {
        if (rig->order[i].worker != worker)
            continue;
        assert_true(k < PUSHES);
        assert_int_equal(told[worker][k].verdict, rig->order[i].verdict);
        assert_int_equal(told[worker][k].staleness, rig->order[i].staleness);
        k++;
    }
    assert_int_equal(k, PUSHES);
}

static void check_marks(const struct rig *rig, int worker)
{
    for (int k = 0; k < PUSHES; k++) {
        size_t mark = mark_of(worker, k);
        float value = rig->parameters[mark];
        assert_int_equal(value != 0, counts(told[worker][k].verdict));
        assert_true(value <= 1 || scenario->corrects);
        if (scenario->has_rows)
            assert_true(value == (rig->row_there[mark] ? rig->row[mark] : 0));
        if (scenario->is_dense)
            assert_true(rig->row_there[mark]);
    }
}

static void check(const struct rig *rig)
{
    int lost = rig->loss_count > 0 ? rig->losses[0].process : -1;
    for (int i = 0; i < rig->server_count; i++)
        assert_memory_equal(
            rig->parameters + (size_t)i * SPAN, rig->parameters, SPAN * sizeof(float));
    for (int w = 0; w < WORKERS; w++) {
        check_order(rig, w);
        check_marks(rig, w);
        longest_ns = workers[w].longest_ns > longest_ns ? workers[w].longest_ns : longest_ns;
    }
    const struct rig_task *last =
        &rig->tasks[lost == rig->server_count - 1 ? 0 : rig->server_count - 1];
    for (int i = 0; i < rig->server_count; i++)
        if (i != lost)
            assert_int_equal(rig->tasks[i].version, last->version);
    if (lost < 0 && replicas > 0)
        assert_memory_equal(
            rig->standby, rig->parameters, (size_t)rig->server_count * SPAN * sizeof(float));
    takeovers += rig->took_over;
}

/* ---- runs ---- */

static void init(struct rig *rig, int servers)
{
    memset(workers, 0, sizeof(workers));
    memset(told, 0, sizeof(told));
    for (int w = 0; w < WORKERS; w++)
        rig_marks_init(&workers[w].marks);
    *rig = (struct rig){
        .server_count = servers,
        .worker_count = WORKERS,
        .in_flight = scenario->in_flight,
        .element_count = (size_t)servers * SPAN,
        .optimizer = &rig_sgd,
        .policy = &rig_async,
        .mode = scenario->mode,
        .replicas = replicas,
        .relinks = true,
        .rate = rig_add,
        .worker = work,
        .leader = lead,
    };
    if (scenario->has_rows)
        rig->rows = rig_mark_rows(SPAN);
    rig->rows.dense = scenario->is_dense;
}

static void finish(struct rig *rig)
{
    rig_finish(rig);
    for (int w = 0; w < WORKERS; w++)
        rig_marks_finish(&workers[w].marks);
}

static void lose(struct rig *rig, int process, int64_t at_ns, uint64_t seed)
{
    int i = rig->loss_count++;
    rig->losses[i].process = process;
    rig->losses[i].at_ns = at_ns;
    for (int t = 0; t < RIG_TASKS_MAX; t++)
        rig->losses[i].told_ns[t] =
            at_ns + (int64_t)(mu_random_mix(seed, (uint64_t)(t + 100 * i)) % DETECTION_NS);
}

/* Of a run in which links broke and a server was lost: all went on without it, or if one broke
 * while the standby took over, it ended, as after a second loss. */
static bool went_on(const struct rig *rig, const char *name, int process)
{
    bool all = true;
    for (int i = 0; i < rig->task_count; i++) {
        enum mu_status status = i == process ? MU_OK : rig->tasks[i].status;
        all = all && status == MU_OK;
        if (status == MU_BROKEN || status == MU_PROTOCOL)
            fail_msg("%s: task %d: %d: %s", name, i, (int)status, rig->tasks[i].log.text);
    }
    losses_survived += all;
    losses_in_all++;
    return all;
}

/* `process` -1: nobody is lost. Returns when the last worker was through. */
static int64_t run(int servers, int process, int64_t at_ns, uint64_t seed)
{
    static struct rig rig;
    static void *options;
    char name[80];
    snprintf(name, sizeof(name), "%s, %d servers without %d from %.3f ms, seed %d", scenario->name,
        servers, process, (double)at_ns / 1e6, (int)seed);
    init(&rig, servers);
    seed_of_run = seed;
    if (scenario->corrects) {
        static struct mu_test_log log;
        for (int i = 0; mu_policies[i]; i++)
            if (strcmp(mu_policies[i]->name, "compensate") == 0)
                rig.policy = mu_policies[i];
        mu_test_log_init(&log);
        options = calloc(1, rig.policy->option_bytes + 1);
        mu_options_defaults(rig.policy->options, options);
        rig.policy_options = options;
    }
    rig.link_bits_per_second = seed % 2 ? 20000000 : 0;
    if (cuts_others)
        cut_servers(&rig, seed, 6);
    rig_init(&rig);
    if (process >= 0)
        lose(&rig, process, at_ns, seed);
    rig.may_fail = cuts_others && process >= 0;
    rig_simulate(&rig, name, seed);
    if (!rig.may_fail || went_on(&rig, name, process))
        check(&rig);
    int64_t ended_ns = 0;
    for (int w = 0; w < WORKERS; w++)
        ended_ns = workers[w].ended_ns > ended_ns ? workers[w].ended_ns : ended_ns;
    finish(&rig);
    free(options);
    options = NULL;
    return ended_ns;
}

#define BEGUN_NS (8 * MU_MS) /* all links are there by then */

static void nothing_acknowledged_is_lost_or_done_twice_when_a_server_dies(void **state)
{
    (void)state;
    longest_ns = takeovers = snapshots_after = 0;
    for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
        for (int servers = 2; servers <= SERVERS_MAX; servers++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                scenario = &scenarios[s];
                int64_t ended_ns = run(servers, -1, 0, seed);
                for (int process = 0; process < servers; process++) {
                    uint64_t draw = mu_random_mix(seed, (uint64_t)(process + servers * 10));
                    int64_t span_ns = ended_ns - BEGUN_NS;
                    assert_true(span_ns > 0);
                    run(servers, process, BEGUN_NS + (int64_t)(draw % (uint64_t)span_ns), seed);
                }
            }
    assert_true(takeovers >= (int)MU_COUNT_OF(scenarios) * (SERVERS_MAX - 1));
    assert_true(snapshots_after > 0);
    assert_true(longest_ns < MU_SECOND);
}

/* The first is made good, the second one is not: everybody ends, and says who it was. */
static void a_second_loss_is_the_end(void **state)
{
    (void)state;
    scenario = &scenarios[1];
    for (int first = 0; first < 3; first++)
        for (int second = 0; second < 3; second++) {
            static struct rig rig;
            if (second == first)
                continue;
            init(&rig, 3);
            rig.may_fail = true;
            rig_init(&rig);
            lose(&rig, first, BEGUN_NS, 1);
            lose(&rig, second, BEGUN_NS + 2 * MU_MS, 2);
            rig_simulate(&rig, "two losses", 1);
            for (int i = 0; i < rig.task_count; i++) {
                if (rig.tasks[i].kind == RIG_SERVER && (i == first || i == second))
                    continue;
                assert_int_equal(rig.tasks[i].status, MU_CLOSED);
                if (rig.tasks[i].kind == RIG_SERVER)
                    assert_int_equal(rig.tasks[i].culprit.index, second);
            }
            finish(&rig);
        }
}

static void links_between_servers_and_those_of_the_leader_break_and_heal(void **state)
{
    (void)state;
    snapshots_cut = 0;
    cuts_others = true;
    for (replicas = 0; replicas <= 1; replicas++)
        for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
            for (int servers = 2; servers <= SERVERS_MAX; servers++)
                for (uint64_t seed = 1; seed < SEEDS; seed++) {
                    scenario = &scenarios[s];
                    run(servers, -1, 0, seed);
                }
    cuts_others = false;
    replicas = 1;
    assert_true(cut_servers_count() > 334 * (SEEDS - 1));
    assert_true(snapshots_cut > 34 * (SEEDS - 1));
}

static void a_server_is_lost_while_links_break(void **state)
{
    (void)state;
    losses_survived = losses_in_all = 0;
    cuts_others = true;
    for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
        for (int servers = 2; servers < SERVERS_MAX; servers++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++)
                for (int process = 0; process < servers; process++) {
                    scenario = &scenarios[s];
                    run(servers, process, BEGUN_NS + (int64_t)seed * 17 * MU_MS, seed);
                }
    cuts_others = false;
    printf("# %d of %d\n", losses_survived, losses_in_all);
    assert_true(losses_survived > losses_in_all * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_or_done_twice_when_a_server_dies),
        cmocka_unit_test(a_second_loss_is_the_end),
        cmocka_unit_test(links_between_servers_and_those_of_the_leader_break_and_heal),
        cmocka_unit_test(a_server_is_lost_while_links_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
