/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig.h"

/* Whole clusters of servers and workers as threads over loopback. */

#define PUSHES 40

/* Pushes its gradients one after the other and checks what comes back. */
static enum mu_status push_in_turn(struct rig_task *task, float *gradients, float *parameters)
{
    size_t count = task->rig->element_count;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    int64_t version;
    MU_TRY(mu_ps_client_pull(task->client, parameters, deadline, &version));
    for (int64_t k = 0; k < PUSHES; k++) {
        struct mu_ps_result result;
        rig_fill_gradient(gradients, count, task->index, k);
        MU_TRY(mu_ps_client_push(task->client, 0, gradients, 1.0f, version, parameters));
        MU_TRY(mu_ps_client_wait(task->client, 0, deadline, &result));
        bool applied = result.verdict == MU_VERDICT_APPLY;
        if (result.version - applied != version + result.staleness)
            return MU_BROKEN;
        if (applied && result.version <= version)
            return MU_BROKEN;
        version = result.version;
        task->acknowledged++;
        task->applied += applied;
        task->dropped += result.verdict == MU_VERDICT_DROP;
    }
    return MU_OK;
}

static enum mu_status worker_in_turn(struct rig_task *task)
{
    return push_in_turn(task, rig_vector(task, 0), rig_vector(task, 1));
}

/* What the head's order makes of the same gradients, in one place. */
static void replay(const struct rig *rig, float *parameters, float *slot)
{
    float *gradients = calloc(rig->element_count, sizeof(float));
    int64_t pushed[RIG_TASKS_MAX] = {0};
    int64_t version = 0;
    for (int i = 0; i < rig->order_count; i++) {
        const struct rig_order *order = &rig->order[i];
        rig_fill_gradient(gradients, rig->element_count, order->worker, pushed[order->worker]++);
        if (order->verdict == MU_VERDICT_DROP)
            continue;
        struct mu_optim_step step = {
            .count = rig->element_count,
            .parameters = parameters,
            .gradients = gradients,
            .slots = {slot},
            .learning_rate = version % 2 ? 1.0f : 0.5f,
            .gradient_scale = (float)order->scale,
            .step = version + 1,
        };
        rig->optimizer->step(NULL, &step);
        version++;
    }
    free(gradients);
}

static void check_replay(const struct rig *rig)
{
    float *parameters = calloc(rig->element_count, sizeof(float));
    float *slot = calloc(rig->element_count, sizeof(float));
    replay(rig, parameters, slot);
    assert_memory_equal(parameters, rig->parameters, rig->element_count * sizeof(float));
    assert_memory_equal(slot, rig->slot, rig->element_count * sizeof(float));
    free(parameters);
    free(slot);
}

static int64_t applied_by_all(const struct rig *rig)
{
    int64_t applied = 0;
    for (int i = 0; i < rig->task_count; i++)
        applied += rig->tasks[i].applied;
    return applied;
}

static void check_servers(const struct rig *rig)
{
    for (int i = 0; i < rig->server_count; i++) {
        const struct rig_task *server = &rig->tasks[i];
        assert_int_equal(server->version, applied_by_all(rig));
        assert_int_equal(server->staleness.count, rig->order_count);
        assert_memory_equal(
            &server->staleness, &rig->tasks[0].staleness, sizeof(server->staleness));
    }
}

static struct rig rig_of(int server_count, int worker_count, size_t element_count)
{
    return (struct rig){
        .server_count = server_count,
        .worker_count = worker_count,
        .in_flight = 2,
        .element_count = element_count,
        .optimizer = &rig_momentum,
        .policy = &rig_async,
        .worker = worker_in_turn,
    };
}

static void every_shard_applies_the_same_order(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {1, 3}, {2, 3}, {4, 4}};
    for (size_t i = 0; i < MU_COUNT_OF(shapes); i++) {
        static struct rig rig;
        rig = rig_of(shapes[i][0], shapes[i][1], 3000);
        rig_init(&rig);
        rig_run(&rig);
        assert_int_equal(rig.order_count, PUSHES * shapes[i][1]);
        check_servers(&rig);
        check_replay(&rig);
        rig_finish(&rig);
    }
}

static void large_gradients_and_empty_spans_work_too(void **state)
{
    (void)state;
    static struct rig rig;
    rig = rig_of(2, 2, 700001);
    rig_init(&rig);
    rig_run(&rig);
    check_replay(&rig);
    rig_finish(&rig);
    rig = rig_of(3, 2, 20); /* the last server has nothing */
    rig_init(&rig);
    rig_run(&rig);
    check_servers(&rig);
    check_replay(&rig);
    rig_finish(&rig);
}

static void stale_gradients_are_dropped_whole(void **state)
{
    (void)state;
    static const uint64_t bound = 0;
    static struct rig rig;
    rig = rig_of(2, 3, 5000);
    rig.policy = &rig_drop;
    rig.policy_options = &bound;
    rig_init(&rig);
    rig_run(&rig);
    check_servers(&rig);
    check_replay(&rig);
    int64_t dropped = 0;
    for (int i = 0; i < rig.task_count; i++)
        dropped += rig.tasks[i].dropped;
    assert_int_equal(dropped, rig.tasks[0].staleness.verdicts[MU_VERDICT_DROP]);
    assert_int_equal(dropped + applied_by_all(&rig), 3 * PUSHES);
    rig_finish(&rig);
}

/* Each push adds exactly one to every parameter. */
static enum mu_status count_up(struct rig_task *task)
{
    float *mine = rig_vector(task, 0), *const fresh[] = {rig_vector(task, 1), rig_vector(task, 2)};
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    int64_t version;
    for (int i = 0; i < 512; i++)
        mine[i] = -1.0f;
    MU_TRY(mu_ps_client_pull(task->client, fresh[0], deadline, &version));
    for (int k = 0; k < PUSHES + 1; k++) {
        struct mu_ps_result result;
        int slot = k % 2;
        if (k < PUSHES)
            MU_TRY(mu_ps_client_push(task->client, slot, mine, 1.0f, version, fresh[slot]));
        if (k == 0)
            continue;
        MU_TRY(mu_ps_client_wait(task->client, 1 - slot, deadline, &result));
        version = result.version;
        task->acknowledged++;
        for (int i = 0; i < 512; i++)
            if (fresh[1 - slot][i] != (float)version)
                return MU_BROKEN;
    }
    task->applied = task->acknowledged;
    return MU_OK;
}

/* The same with nothing but acknowledgements, until the end. */
static enum mu_status count_up_quietly(struct rig_task *task)
{
    float *mine = rig_vector(task, 0), *parameters = rig_vector(task, 1);
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    int64_t version = 0;
    struct mu_ps_result result;
    for (int i = 0; i < 512; i++)
        mine[i] = -1.0f;
    for (int k = 0; k < PUSHES; k++) {
        MU_TRY(mu_ps_client_push(task->client, 0, mine, 1.0f, version, NULL));
        MU_TRY(mu_ps_client_wait(task->client, 0, deadline, &result));
        if (result.version <= version || result.verdict != MU_VERDICT_APPLY)
            return MU_BROKEN;
        version = result.version;
        task->acknowledged++;
    }
    MU_TRY(mu_ps_client_pull_start(task->client, 1, parameters));
    MU_TRY(mu_ps_client_wait(task->client, 1, deadline, &result));
    task->applied = task->acknowledged;
    return parameters[511] == (float)result.version ? MU_OK : MU_BROKEN;
}

static void count_step(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    for (size_t i = 0; i < step->count; i++)
        step->parameters[i] -= step->gradient_scale * step->gradients[i];
}

static void check_counting(enum mu_status (*worker)(struct rig_task *task))
{
    static const struct mu_optimizer_ops counter = {.name = "counter", .step = count_step};
    static struct rig rig;
    rig = rig_of(2, 3, 512);
    rig.optimizer = &counter;
    rig.worker = worker;
    rig_init(&rig);
    rig_run(&rig);
    int64_t acknowledged = 0;
    for (int i = 0; i < rig.task_count; i++)
        acknowledged += rig.tasks[i].acknowledged;
    assert_int_equal(acknowledged, 3 * PUSHES);
    for (size_t i = 0; i < rig.element_count; i++)
        assert_true(rig.parameters[i] == (float)acknowledged);
    check_servers(&rig);
    rig_finish(&rig);
}

static void every_acknowledged_push_is_applied_exactly_once(void **state)
{
    (void)state;
    check_counting(count_up); /* two in flight */
}

static void a_push_may_ask_for_an_acknowledgement_only(void **state)
{
    (void)state;
    check_counting(count_up_quietly);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shard_applies_the_same_order),
        cmocka_unit_test(large_gradients_and_empty_spans_work_too),
        cmocka_unit_test(stale_gradients_are_dropped_whole),
        cmocka_unit_test(every_acknowledged_push_is_applied_exactly_once),
        cmocka_unit_test(a_push_may_ask_for_an_acknowledgement_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
