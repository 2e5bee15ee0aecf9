/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps_rig_sim.h"
#include "runtime/base/options.h"
#include <math.h>

/*
 * Every mode and policy on a quadratic, in simulated time, against the algorithms written down
 * here once more: they are given the order in which the head took the gradients, and must come to
 * the same bits, the same verdicts, and never meet a worker that has to wait.
 */
#define COUNT 96
#define PUSHES 20
#define WORKERS 4
#define VERSIONS_MAX (WORKERS * PUSHES + 1)
#define QUIT_AFTER 5 /* of the worker that leaves without a word */
#define NAN_AT 3     /* push of the worker that sends one, in the last element */

struct scenario {
    const char *name, *policy;
    const char *set[4]; /* name, value of the policy's options */
    struct mu_ps_mode mode;
    int in_flight;
    bool quits, sends_nan;
};

static const struct scenario scenarios[] = {
    {"async", "apply", {0}, {.kind = MU_PS_ASYNC}, 1, false, false},
    {"async, NaN", "apply", {0}, {.kind = MU_PS_ASYNC}, 1, false, true},
    {"async, drop", "drop", {0}, {.kind = MU_PS_ASYNC, .bound = 3}, 2, false, false},
    {"async, scale", "scale", {0}, {.kind = MU_PS_ASYNC}, 2, false, false},
    {"async, root", "scale", {"power", "0.5"}, {.kind = MU_PS_ASYNC}, 1, false, false},
    {"async, constant", "compensate", {"adaptive", "false", "lambda", "0.25"},
        {.kind = MU_PS_ASYNC}, 1, false, false},
    {"async, adaptive", "compensate", {0}, {.kind = MU_PS_ASYNC}, 1, false, true},
    {"three in flight", "compensate", {0}, {.kind = MU_PS_ASYNC}, 3, false, false},
    {"async, warm-up", "apply", {0}, {.kind = MU_PS_ASYNC, .warmup_steps = 6}, 1, false, false},
    {"softsync", "apply", {0}, {.kind = MU_PS_SOFTSYNC, .gradients = 3}, 1, false, false},
    {"softsync, quits", "scale", {0}, {.kind = MU_PS_SOFTSYNC, .gradients = 7}, 2, true, true},
    {"sync, all", "apply", {0}, {.kind = MU_PS_SYNC, .workers = 4}, 1, false, false},
    {"sync, all, quits", "apply", {0}, {.kind = MU_PS_SYNC, .workers = 4}, 1, true, true},
    {"sync, a backup", "apply", {0}, {.kind = MU_PS_SYNC, .workers = 3}, 1, false, false},
    {"sync, quits", "apply", {0}, {.kind = MU_PS_SYNC, .workers = 2, .warmup_steps = 4}, 1, true,
        false},
    {"bounded, 0", "apply", {0}, {.kind = MU_PS_BOUNDED, .bound = 0}, 1, false, true},
    {"bounded, 2", "scale", {0}, {.kind = MU_PS_BOUNDED, .bound = 2}, 1, false, false},
    {"bounded, quits", "compensate", {0}, {.kind = MU_PS_BOUNDED, .bound = 1, .warmup_steps = 5}, 1,
        true, false},
};

/* Another mode from a version on: nobody is left waiting, nothing gathered is lost. */
#define LATER_MAX 3

static const struct changing {
    struct scenario first;
    struct mu_ps_phase later[LATER_MAX]; /* with the policy of the first; from 0: there is none */
} changing[] = {
    {{"sync, then async, then softsync", "apply", {0}, {.kind = MU_PS_SYNC, .workers = 3}, 1, false,
         false},
        {{.from = 7, .mode = {.kind = MU_PS_ASYNC}},
            {.from = 19, .mode = {.kind = MU_PS_SOFTSYNC, .gradients = 3}}}},
    {{"bounded, then async, then bounded", "scale", {0}, {.kind = MU_PS_BOUNDED, .bound = 0}, 1,
         false, true},
        {{.from = 18, .mode = {.kind = MU_PS_ASYNC}},
            {.from = 33, .mode = {.kind = MU_PS_BOUNDED, .bound = 1}},
            {.from = 61, .mode = {.kind = MU_PS_BOUNDED, .bound = 3}}}},
    {{"warm-up, softsync, then sync, then bounded", "apply", {0},
         {.kind = MU_PS_SOFTSYNC, .gradients = 5, .warmup_steps = 4}, 1, false, false},
        {{.from = 3, .mode = {.kind = MU_PS_SOFTSYNC, .gradients = 3, .warmup_steps = 4}},
            {.from = 9, .mode = {.kind = MU_PS_SYNC, .workers = 2, .warmup_steps = 4}},
            {.from = 16, .mode = {.kind = MU_PS_BOUNDED, .bound = 1, .warmup_steps = 4}}}},
    {{"async, then sync, quits", "apply", {0}, {.kind = MU_PS_ASYNC}, 1, true, true},
        {{.from = 12, .mode = {.kind = MU_PS_SYNC, .workers = 4}}}},
};

static const struct scenario *scenario;
static const struct mu_ps_phase *later; /* (LATER_MAX) */
static int64_t first_version[WORKERS];  /* of the first pull */

/* Each worker pulls towards a target of its own. */
static void gradient_of(int worker, int k, const float *parameters, float *gradients)
{
    for (size_t i = 0; i < COUNT; i++) {
        float curvature = 0.01f + (float)(i % 7) * 0.004f;
        float target = (float)(worker + 1) - (float)(i % 5) * 0.5f;
        gradients[i] = curvature * (parameters[i] - target);
    }
    if (scenario->sends_nan && worker == 1 && k == NAN_AT)
        gradients[COUNT - 1] = NAN;
}

/* ---- workers ---- */

struct hands {
    float gradients[COUNT], fresh[COUNT];
    bool under_way;
};

static enum mu_status train(struct rig_task *task)
{
    static struct hands all[WORKERS][3];
    static float first[WORKERS][COUNT];
    struct hands *hands = all[task->index];
    const float *parameters = first[task->index];
    int in_flight = task->rig->in_flight;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME), version;
    int pushes = scenario->quits && task->index == 2 ? QUIT_AFTER : PUSHES;
    memset(hands, 0, sizeof(all[0]));
    MU_TRY(mu_ps_client_pull(task->client, first[task->index], deadline, &version));
    first_version[task->index] = version;
    for (int k = 0; k < pushes + in_flight; k++) {
        int slot = k % in_flight;
        struct mu_ps_result result;
        if (hands[slot].under_way) {
            MU_TRY(mu_ps_client_wait(task->client, slot, deadline, &result));
            version = result.version;
            parameters = hands[slot].fresh;
            hands[slot].under_way = false;
        }
        if (k >= pushes)
            continue;
        gradient_of(task->index, k, parameters, hands[slot].gradients);
        task->world->ops->computed(task->world, k, 1.0);
        MU_TRY(mu_ps_client_push(
            task->client, slot, hands[slot].gradients, 1.0f, version, hands[slot].fresh));
        hands[slot].under_way = true;
    }
    return pushes < PUSHES ? MU_OK : mu_ps_client_leave(task->client, deadline);
}

static void run_simulated(struct rig *rig, int servers, uint64_t seed)
{
    static struct mu_test_log log;
    const struct mu_policy_ops *policy = NULL;
    for (int i = 0; mu_policies[i]; i++)
        if (strcmp(mu_policies[i]->name, scenario->policy) == 0)
            policy = mu_policies[i];
    void *policy_options = calloc(1, policy->option_bytes + 1);
    static struct mu_ps_phase phases[LATER_MAX];
    int later_count = 0;
    for (; later_count < LATER_MAX && later[later_count].from > 0; later_count++) {
        phases[later_count] = later[later_count];
        phases[later_count].policy = policy;
        phases[later_count].policy_options = policy_options;
    }
    mu_options_defaults(policy->options, policy_options);
    for (int i = 0; i < 4 && scenario->set[i]; i += 2)
        assert_ok(mu_options_set(mu_test_log_init(&log), scenario->set[i],
            mu_options_find(policy->options, scenario->set[i]), scenario->set[i + 1],
            policy_options));
    *rig = (struct rig){
        .server_count = servers,
        .worker_count = WORKERS,
        .in_flight = scenario->in_flight,
        .element_count = COUNT,
        .optimizer = &rig_sgd,
        .policy = policy,
        .policy_options = policy_options,
        .mode = scenario->mode,
        .later = phases,
        .later_count = later_count,
        .worker = train,
        .notes_leaving = true,
    };
    rig_init(rig);
    rig_simulate(rig, scenario->name, seed);
    free(policy_options);
}

/* ---- the algorithms once more ---- */

struct reference {
    float at[VERSIONS_MAX][COUNT]; /* the parameters of each version */
    float sum[COUNT], mean_square[COUNT];
    int64_t version, reply[WORKERS][PUSHES]; /* versions that replies brought */
    int gathered, active, pushed[WORKERS], clock[WORKERS];
    bool waits[WORKERS], left[WORKERS];
    int64_t late; /* gradients that were dropped */
};

static float rate_of(int64_t version, double scale)
{
    return (float)((version % 2 ? 1.0 : 0.5) * scale);
}

static const struct mu_ps_mode *mode_of(const struct reference *ref)
{
    const struct mu_ps_mode *mode = &scenario->mode;
    for (int i = 0; i < LATER_MAX && later[i].from > 0 && later[i].from <= ref->version; i++)
        mode = &later[i].mode;
    return mode;
}

/* Who waited for the slowest goes on where that is not waited for any more; where it begins, so do
 * the clocks. */
static void next_version(struct reference *ref)
{
    bool was_bounded = mode_of(ref)->kind == MU_PS_BOUNDED;
    ref->version++;
    bool is_bounded = mode_of(ref)->kind == MU_PS_BOUNDED;
    for (int m = 0; m < WORKERS; m++) {
        if (is_bounded && !was_bounded)
            ref->clock[m] = 0;
        if (was_bounded && !is_bounded && ref->waits[m]) {
            ref->waits[m] = false;
            ref->reply[m][ref->pushed[m] - 1] = ref->version;
        }
    }
}

static void descend(struct reference *ref, const float *gradients, float scale, double rate_scale)
{
    const float *from = ref->at[ref->version];
    float *to = ref->at[ref->version + 1];
    float rate = rate_of(ref->version, rate_scale);
    for (size_t i = 0; i < COUNT; i++)
        to[i] = from[i] - rate * scale * gradients[i];
    next_version(ref);
}

static void compensate(struct reference *ref, float *gradients, const float *seen)
{
    const float *now = ref->at[ref->version];
    bool is_constant = scenario->set[0] != NULL;
    for (size_t i = 0; i < COUNT; i++) {
        float g = gradients[i];
        if (!is_constant)
            ref->mean_square[i] = 0.95f * ref->mean_square[i] + (1 - 0.95f) * g * g;
        float lambda = is_constant ? 0.25f : 2.0f / sqrtf(ref->mean_square[i] + 1e-7f);
        gradients[i] = g + lambda * g * g * (now[i] - seen[i]);
    }
}

static int slowest(const struct reference *ref)
{
    int least = PUSHES + 1;
    for (int m = 0; m < WORKERS; m++)
        if (!ref->left[m] && ref->clock[m] < least)
            least = ref->clock[m];
    return least;
}

static void let_go(struct reference *ref, int m)
{
    ref->waits[m] = false;
    ref->reply[m][ref->pushed[m] - 1] = ref->version;
}

static void make_step_of_gathered(struct reference *ref)
{
    descend(ref, ref->sum, 1 / (float)ref->gathered, 1);
    ref->gathered = 0;
    memset(ref->sum, 0, sizeof(ref->sum));
    for (int m = 0; m < WORKERS; m++)
        if (ref->waits[m])
            let_go(ref, m);
}

/* Whoever is no longer too far ahead goes on; then nobody who goes on is. */
static void let_the_bounded_go(struct reference *ref)
{
    int64_t limit = slowest(ref) + mode_of(ref)->bound;
    for (int m = 0; m < WORKERS; m++)
        if (ref->waits[m] && ref->clock[m] <= limit)
            let_go(ref, m);
    for (int m = 0; m < WORKERS; m++)
        if (!ref->waits[m] && !ref->left[m])
            assert_true(ref->clock[m] <= limit);
}

static int wanted(const struct reference *ref)
{
    return mode_of(ref)->workers < ref->active ? mode_of(ref)->workers : ref->active;
}

static void gather(struct reference *ref, int m, const float *gradients, float weight, int full)
{
    for (size_t i = 0; i < COUNT; i++)
        ref->sum[i] += weight * gradients[i];
    ref->gathered++;
    bool waits = mode_of(ref)->kind == MU_PS_SYNC;
    ref->waits[m] = waits;
    if (!waits)
        let_go(ref, m);
    bool completes = ref->gathered == full;
    if (completes)
        make_step_of_gathered(ref);
    /* Asynchronous replies see the step that their own gradient made. */
    if (completes && !waits)
        let_go(ref, m);
}

static enum mu_verdict one_gradient(struct reference *ref, int m, int64_t seen, float *gradients)
{
    int64_t tau = ref->version - seen;
    double scale = 1, power = scenario->set[0] ? 0.5 : 1;
    bool alone = ref->version < mode_of(ref)->warmup_steps && !ref->left[0];
    bool compensates = strcmp(scenario->policy, "compensate") == 0;
    if (isnan(gradients[COUNT - 1]))
        return MU_VERDICT_REFUSE;
    if (mode_of(ref)->kind == MU_PS_SYNC && tau > 0 && !alone)
        return MU_VERDICT_DROP;
    if (strcmp(scenario->policy, "drop") == 0 && tau > mode_of(ref)->bound)
        return MU_VERDICT_DROP;
    if (strcmp(scenario->policy, "scale") == 0 && tau > 1)
        scale = (double)(float)pow((double)tau, -power);
    if (!alone && mode_of(ref)->kind == MU_PS_SOFTSYNC)
        return gather(ref, m, gradients, (float)scale, mode_of(ref)->gradients), MU_VERDICT_GATHER;
    if (!alone && mode_of(ref)->kind == MU_PS_SYNC)
        return gather(ref, m, gradients, 1, wanted(ref)), MU_VERDICT_GATHER;
    bool corrects = compensates && (tau > 0 || !scenario->set[0]);
    if (corrects)
        compensate(ref, gradients, ref->at[seen]);
    descend(ref, gradients, 1, scale);
    return corrects ? MU_VERDICT_CORRECT : scale < 1 ? MU_VERDICT_SCALE : MU_VERDICT_APPLY;
}

static void take_gradient(struct reference *ref, const struct rig_order *order)
{
    int m = order->worker, k = ref->pushed[m]++;
    bool alone = ref->version < mode_of(ref)->warmup_steps && !ref->left[0];
    int64_t seen =
        k < scenario->in_flight ? first_version[m] : ref->reply[m][k - scenario->in_flight];
    float gradients[COUNT];
    assert_false(ref->waits[m]);
    assert_true(!alone || m == 0);
    if (!scenario->sends_nan || m != 1 || k != NAN_AT)
        assert_int_equal(order->staleness, ref->version - seen);
    gradient_of(m, k, ref->at[seen], gradients);
    bool was_bounded = mode_of(ref)->kind == MU_PS_BOUNDED && !alone;
    ref->clock[m] += !alone;
    enum mu_verdict verdict = one_gradient(ref, m, seen, gradients);
    if (verdict != order->verdict)
        fail_msg("%s: %s, not %s", scenario->name, mu_verdict_name(order->verdict),
            mu_verdict_name(verdict));
    ref->late += verdict == MU_VERDICT_DROP;
    if (was_bounded && mode_of(ref)->kind == MU_PS_BOUNDED) {
        ref->waits[m] = true;
        let_the_bounded_go(ref);
    } else if (verdict != MU_VERDICT_GATHER) {
        let_go(ref, m);
    }
}

static void take_leave(struct reference *ref, const struct rig_order *order)
{
    ref->left[order->worker] = true;
    ref->active--;
    bool completes =
        mode_of(ref)->kind == MU_PS_SYNC ? ref->gathered >= wanted(ref) : ref->active == 0;
    completes = completes && ref->gathered > 0;
    assert_int_equal(order->average, completes ? ref->gathered : 0);
    if (completes)
        make_step_of_gathered(ref);
    if (mode_of(ref)->kind == MU_PS_BOUNDED)
        let_the_bounded_go(ref);
}

static void check(const struct rig *rig)
{
    static struct reference ref;
    ref = (struct reference){.active = WORKERS};
    for (int i = 0; i < rig->order_count; i++)
        if (rig->order[i].left)
            take_leave(&ref, &rig->order[i]);
        else
            take_gradient(&ref, &rig->order[i]);
    assert_int_equal(ref.active, 0);
    assert_int_equal(ref.gathered, 0);
    for (int m = 0; m < WORKERS; m++)
        assert_int_equal(ref.pushed[m], scenario->quits && m == 2 ? QUIT_AFTER : PUSHES);
    for (int i = 0; i < rig->server_count; i++)
        assert_int_equal(rig->tasks[i].version, ref.version);
    assert_memory_equal(rig->parameters, ref.at[ref.version], sizeof(ref.at[0]));
    if (scenario->mode.kind == MU_PS_SYNC && scenario->mode.workers == WORKERS)
        assert_int_equal(ref.late, 0);
}

static void try(const struct scenario *first, const struct mu_ps_phase *phases)
{
    static const int servers[] = {1, 3};
    scenario = first;
    later = phases;
    for (size_t n = 0; n < MU_COUNT_OF(servers); n++)
        for (uint64_t seed = 1; seed <= 8; seed++) {
            static struct rig rig;
            run_simulated(&rig, servers[n], seed);
            check(&rig);
            rig_finish(&rig);
        }
}

static void every_mode_and_policy_is_its_algorithm(void **state)
{
    static const struct mu_ps_phase none[LATER_MAX];
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(scenarios); s++)
        try(&scenarios[s], none);
}

static void modes_change_at_a_version(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(changing); s++)
        try(&changing[s].first, changing[s].later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_and_policy_is_its_algorithm),
        cmocka_unit_test(modes_change_at_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
