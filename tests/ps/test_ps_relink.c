/* SPDX-License-Identifier: Apache-2.0 */
#include "cut_links.h"
#include "cut_servers.h"
#include "ps_rig_sim.h"
#include "runtime/base/random.h"

/*
 * Links of workers that break at any byte, and workers that begin anew, in simulated time. Each
 * gradient is a 1 in an element of its own, once in the span of each server, and is added: what
 * stands there in the end says how often it was applied, and whether everywhere.
 */
#define WORKERS_MAX 3
#define SERVERS_MAX 3
#define PUSHES 8 /* of an incarnation */
#define LIVES_MAX 3
#define SPAN 80
static_assert(WORKERS_MAX * LIVES_MAX * PUSHES <= SPAN, "each gradient has an element");
static_assert(SERVERS_MAX * SPAN <= RIG_MARKS_MAX, "in each span");

struct scenario {
    const char *name;
    struct mu_ps_mode mode; /* sync: of all workers */
    int in_flight;
    int lives;
    bool has_rows;
};

static const struct scenario scenarios[] = {
    {"async", {.kind = MU_PS_ASYNC}, 1, 1, false},
    {"async, three in flight", {.kind = MU_PS_ASYNC}, 3, 1, false},
    {"async, rows", {.kind = MU_PS_ASYNC}, 2, 1, true},
    {"async, lives", {.kind = MU_PS_ASYNC}, 3, 3, false},
    {"softsync", {.kind = MU_PS_SOFTSYNC, .gradients = 3}, 2, 1, true},
    {"sync", {.kind = MU_PS_SYNC, .workers = WORKERS_MAX}, 1, 1, false},
    {"sync, lives", {.kind = MU_PS_SYNC, .workers = WORKERS_MAX}, 1, 2, true},
    {"bounded, 0", {.kind = MU_PS_BOUNDED, .bound = 0}, 1, 1, false},
    {"bounded, 1, lives", {.kind = MU_PS_BOUNDED, .bound = 1}, 1, 3, false},
    {"async, warm-up", {.kind = MU_PS_ASYNC, .warmup_steps = 4}, 1, 1, false},
};

/* What a worker was told. */
struct told {
    bool is_there;
    enum mu_verdict verdict;
    int64_t staleness;
};

static const struct scenario *scenario;
static uint64_t seed_of_run;
static int cuts_in_all, cuts_of_servers; /* of one run, each server */
static struct told told[WORKERS_MAX][LIVES_MAX][PUSHES];

struct worker {
    struct rig_task *task;
    struct cut_links cuts;
    int life;
    int64_t version, deadline;
    struct rig_marks marks;
};
static struct worker workers[WORKERS_MAX];

static size_t mark_of(int worker, int life, int k)
{
    return (size_t)((worker * LIVES_MAX + life) * PUSHES + k);
}

/* ---- a worker ---- */

static enum mu_status heal(struct worker *own)
{
    struct mu_link *link;
    cut_links_tell(&own->cuts);
    for (int i = 0; (i = mu_ps_client_unlinked(own->task->client, i)) >= 0; i++) {
        assert_true(mu_ps_client_lost_since_ns(own->task->client, i) >= 0);
        enum mu_status status = rig_connect(own->task, i, RIG_WORKER, NULL, NULL, &link);
        if (status == MU_OK)
            mu_ps_client_add_server(own->task->client, i, link);
        else if (status != MU_CLOSED) /* its own hello was cut off */
            return status;
        assert_int_equal(mu_ps_client_lost_since_ns(own->task->client, i),
            status == MU_OK ? -1 : mu_ps_client_lost_since_ns(own->task->client, i));
    }
    return MU_OK;
}

static enum mu_status wait_for(struct worker *own, int slot, struct mu_ps_result *ret_result)
{
    enum mu_status status;
    do {
        int64_t now = mu_now(own->task->world);
        if (now > own->deadline)
            return MU_TIMEOUT;
        MU_TRY(heal(own));
        int64_t look_ns = (int64_t)cut_links_draw(&own->cuts, 20) * MU_MS / 4 + MU_MS / 10;
        status = mu_ps_client_wait(own->task->client, slot, now + look_ns, ret_result);
    } while (status == MU_TIMEOUT);
    return status;
}

static enum mu_status begin(struct worker *own, struct rig_hands *hands, int k)
{
    rig_marks_begin(&own->marks, own->task, hands, k, mark_of(own->task->index, own->life, k));
    own->task->world->ops->computed(own->task->world, k, 0.1);
    cut_links_tell(&own->cuts);
    return mu_ps_client_push(own->task->client, (int)(hands - own->marks.hands), hands->gradients,
        1.0f, own->version, k % 4 == 3 ? NULL : hands->fresh);
}

static bool counts(enum mu_verdict verdict)
{
    return verdict == MU_VERDICT_APPLY || verdict == MU_VERDICT_GATHER;
}

/* The parameters that an answer brings have the gradient in them, everywhere or nowhere. */
static void check_fresh(
    const struct worker *own, const struct rig_hands *hands, const struct mu_ps_result *result)
{
    const struct rig *rig = own->task->rig;
    size_t mark = mark_of(own->task->index, own->life, hands->k);
    if (result->verdict == MU_VERDICT_APPLY && scenario->has_rows)
        assert_true(hands->row_value[0] == 1);
    if (hands->k % 4 == 3)
        return;
    for (int i = 0; i < rig->server_count; i++) {
        struct mu_span span = mu_split(rig->element_count, rig->server_count, i);
        for (size_t j = 0; j < SPAN; j++)
            assert_true(hands->fresh[span.first + j] == hands->fresh[j]);
    }
    if (result->verdict == MU_VERDICT_APPLY)
        assert_true(hands->fresh[mark] == 1);
}

static enum mu_status end(struct worker *own, struct rig_hands *hands)
{
    struct mu_ps_result result;
    MU_TRY(wait_for(own, (int)(hands - own->marks.hands), &result));
    own->version = result.version;
    hands->under_way = false;
    told[own->task->index][own->life][hands->k] =
        (struct told){true, result.verdict, result.staleness};
    check_fresh(own, hands, &result);
    return MU_OK;
}

/* The process is gone, with whatever was under way; another one begins. */
static enum mu_status begin_life(struct worker *own)
{
    struct rig_task *task = own->task;
    struct mu_ps_result result;
    if (own->life > 0) {
        mu_ps_client_destroy(task->client);
        task->client = NULL;
        MU_TRY(rig_make_client(task, own->life + 1));
    } else {
        struct mu_link *link; /* instead of the first ones, which do not break */
        for (int i = 0; i < task->rig->server_count; i++)
            if (rig_connect(task, i, RIG_WORKER, NULL, NULL, &link) == MU_OK)
                mu_ps_client_add_server(task->client, i, link);
    }
    for (int i = 0; i < RIG_HANDS_MAX; i++)
        own->marks.hands[i].under_way = false;
    MU_TRY(mu_ps_client_pull_start(task->client, 0, own->marks.hands[0].fresh));
    MU_TRY(wait_for(own, 0, &result));
    own->version = result.version;
    return MU_OK;
}

static enum mu_status live(struct worker *own)
{
    int in_flight = own->task->rig->in_flight;
    bool is_last = own->life + 1 == scenario->lives;
    int ends_at = is_last ? PUSHES : 1 + (int)cut_links_draw(&own->cuts, PUSHES);
    MU_TRY(begin_life(own));
    for (int k = 0; k < ends_at + (is_last ? in_flight : 0); k++) {
        struct rig_hands *hands = &own->marks.hands[k % in_flight];
        if (hands->under_way)
            MU_TRY(end(own, hands));
        if (k < ends_at)
            MU_TRY(begin(own, hands, k));
    }
    /* So that what was sent may be on its way, or there. */
    bool never = false;
    if (!is_last && cut_links_draw(&own->cuts, 3) > 0)
        (void)!mu_loop_until(own->task->loop, &never,
            mu_now(own->task->world) + (int64_t)cut_links_draw(&own->cuts, 500000));
    return MU_OK;
}

static enum mu_status leave(struct worker *own)
{
    struct mu_ps_result result;
    /* Its wait is over at once, so that ours makes links anew meanwhile. */
    enum mu_status status = mu_ps_client_leave(own->task->client, mu_now(own->task->world));
    return status == MU_TIMEOUT ? wait_for(own, 0, &result) : status;
}

static enum mu_status work(struct rig_task *task)
{
    struct worker *own = &workers[task->index];
    enum mu_status status = MU_OK;
    own->task = task;
    own->deadline = mu_now(task->world) + RIG_TIME;
    cut_links_begin(&own->cuts, task->loop, mu_random_mix(seed_of_run, (uint64_t)task->index), 12);
    for (own->life = 0; own->life < scenario->lives && status == MU_OK; own->life++)
        status = live(own);
    if (status == MU_OK)
        status = leave(own);
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    cut_links_end(&own->cuts);
    cuts_in_all += own->cuts.cut_count - own->cuts.cuts_left;
    return status;
}

/* ---- what must be true in the end ---- */

/* 0, or what one step makes of one gradient; the same on all servers. */
static float value_of(const struct rig *rig, size_t mark)
{
    float value = rig->parameters[mark];
    for (int i = 0; i < rig->server_count; i++)
        assert_true(
            rig->parameters[mu_split(rig->element_count, rig->server_count, i).first + mark] ==
            value);
    if (scenario->has_rows)
        assert_true(value == (rig->row_there[mark] ? rig->row[mark] : 0));
    return value;
}

static void check_life(const struct rig *rig, int worker, int life, int *applied)
{
    for (int k = 0; k < PUSHES; k++) {
        const struct told *one = &told[worker][life][k];
        float value = value_of(rig, mark_of(worker, life, k));
        if (one->is_there)
            assert_int_equal(value > 0, counts(one->verdict));
        assert_true(value <= 1);
        *applied += value > 0;
        if (life + 1 == scenario->lives)
            assert_true(one->is_there);
    }
}

/* In the head's order each push has one place, with the verdict that its worker was told. */
static void check_order(const struct rig *rig, int worker)
{
    int k = 0;
    for (int i = 0; i < rig->order_count; i++) {
        if (rig->order[i].left || rig->order[i].worker != worker)
            continue;
        assert_true(k < PUSHES);
        assert_int_equal(told[worker][0][k].verdict, rig->order[i].verdict);
        assert_int_equal(told[worker][0][k].staleness, rig->order[i].staleness);
        k++;
    }
    assert_int_equal(k, PUSHES);
}

static void check(const struct rig *rig)
{
    int applied = 0, in_order = 0;
    for (int i = 0; i < rig->order_count; i++)
        in_order += !rig->order[i].left && counts(rig->order[i].verdict);
    for (int w = 0; w < rig->worker_count; w++) {
        for (int life = 0; life < scenario->lives; life++)
            check_life(rig, w, life, &applied);
        if (scenario->lives == 1)
            check_order(rig, w);
    }
    assert_int_equal(applied, in_order);
    for (int i = 1; i < rig->server_count; i++) {
        assert_int_equal(rig->tasks[i].version, rig->tasks[0].version);
        assert_memory_equal(
            &rig->tasks[i].staleness, &rig->tasks[0].staleness, sizeof(rig->tasks[0].staleness));
    }
}

static void run(int servers, int worker_count, uint64_t seed)
{
    static struct rig rig;
    char name[64];
    snprintf(name, sizeof(name), "%s, %d servers, %d workers, seed %d", scenario->name, servers,
        worker_count, (int)seed);
    memset(workers, 0, sizeof(workers));
    memset(told, 0, sizeof(told));
    seed_of_run = mu_random_mix(seed, (uint64_t)(servers * 10 + worker_count));
    for (int w = 0; w < worker_count; w++)
        rig_marks_init(&workers[w].marks);
    rig = (struct rig){
        .server_count = servers,
        .worker_count = worker_count,
        .in_flight = scenario->in_flight,
        .element_count = (size_t)servers * SPAN,
        .optimizer = &rig_sgd,
        .policy = &rig_async,
        .mode = scenario->mode,
        .relinks = true,
        .link_bits_per_second = seed % 2 ? 2000000 : 0, /* what is sent takes its time */
        .rate = rig_add,
        .worker = work,
        .notes_leaving = true,
    };
    if (scenario->has_rows)
        rig.rows = rig_mark_rows(SPAN);
    if (cuts_of_servers > 0)
        cut_servers(&rig, seed_of_run, cuts_of_servers);
    rig_init(&rig);
    rig_simulate(&rig, name, seed);
    check(&rig);
    rig_finish(&rig);
    for (int w = 0; w < worker_count; w++)
        rig_marks_finish(&workers[w].marks);
}

static void every_acknowledged_gradient_is_applied_once_wherever_links_break(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
        for (int servers = 1; servers <= SERVERS_MAX; servers++)
            for (int worker_count = 1; worker_count <= WORKERS_MAX; worker_count++)
                for (uint64_t seed = 1; seed <= 2; seed++) {
                    scenario = &scenarios[s];
                    run(servers, worker_count, seed);
                }
    assert_true(cuts_in_all > 2500);
}

static void and_wherever_links_between_servers_break(void **state)
{
    (void)state;
    cuts_of_servers = 6;
    for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
        for (int servers = 2; servers <= SERVERS_MAX; servers++)
            for (int worker_count = 1; worker_count <= WORKERS_MAX; worker_count++)
                for (uint64_t seed = 1; seed <= 3; seed++) {
                    scenario = &scenarios[s];
                    run(servers, worker_count, seed);
                }
    cuts_of_servers = 0;
    assert_true(cut_servers_count() > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_acknowledged_gradient_is_applied_once_wherever_links_break),
        cmocka_unit_test(and_wherever_links_between_servers_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
