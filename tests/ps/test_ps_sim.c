/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig_sim.h"

/* The same servers and workers in simulated time: links of 1 Gbit/s, workers of different pace. */

#define COUNT 8192
#define PUSHES 25
#define WORKERS 4
#define SERVERS 3

static enum mu_status train(struct rig_task *task)
{
    static float gradients[WORKERS][COUNT], fresh[WORKERS][COUNT];
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    float *mine = gradients[task->index], *parameters = fresh[task->index];
    int64_t version;
    MU_TRY(mu_ps_client_pull(task->client, parameters, deadline, &version));
    for (int64_t k = 0; k < PUSHES; k++) {
        struct mu_ps_result result;
        rig_fill_gradient(mine, COUNT, task->index, k);
        task->world->ops->computed(task->world, k, 1.0);
        MU_TRY(mu_ps_client_push(task->client, 0, mine, 1.0f, version, parameters));
        MU_TRY(mu_ps_client_wait(task->client, 0, deadline, &result));
        task->applied += result.verdict == MU_VERDICT_APPLY;
        version = result.version;
    }
    return MU_OK;
}

static void run_simulated(struct rig *rig, uint64_t seed)
{
    static const uint64_t bound = 3;
    *rig = (struct rig){
        .server_count = SERVERS,
        .worker_count = WORKERS,
        .in_flight = 1,
        .element_count = COUNT,
        .optimizer = &rig_momentum,
        .policy = &rig_drop,
        .policy_options = &bound,
        .worker = train,
    };
    rig_init(rig);
    rig_simulate(rig, "seeded", seed);
}

static void servers_agree_for_every_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        static struct rig rig;
        run_simulated(&rig, seed);
        int64_t applied = 0;
        for (int i = 0; i < rig.task_count; i++)
            applied += rig.tasks[i].applied;
        assert_int_equal(rig.order_count, WORKERS * PUSHES);
        for (int i = 0; i < SERVERS; i++) {
            assert_int_equal(rig.tasks[i].version, applied);
            assert_memory_equal(
                &rig.tasks[i].staleness, &rig.tasks[0].staleness, sizeof(rig.tasks[0].staleness));
        }
        rig_finish(&rig);
    }
}

static void a_seed_replays_bit_by_bit(void **state)
{
    (void)state;
    static struct rig first, second;
    run_simulated(&first, 77);
    run_simulated(&second, 77);
    assert_int_equal(first.order_count, second.order_count);
    assert_memory_equal(first.order, second.order, sizeof(first.order));
    assert_memory_equal(first.parameters, second.parameters, COUNT * sizeof(float));
    rig_finish(&second);
    run_simulated(&second, 78);
    assert_memory_not_equal(first.order, second.order, sizeof(first.order));
    rig_finish(&first);
    rig_finish(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_agree_for_every_seed),
        cmocka_unit_test(a_seed_replays_bit_by_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
