/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig.h"

/* Snapshots that the leader takes while workers push, and states that it gives back. */

#define COUNT 4100
#define PUSHES 60
#define SNAPSHOTS 6
#define VERSION 100 /* that the run begins with */

struct taken {
    int64_t version;
    int64_t judged[RIG_TASKS_MAX];
    float *vectors[2];
};

struct run {
    float *first[2]; /* the state it begins with */
    int64_t first_judged[RIG_TASKS_MAX];
    int64_t first_version;
    struct taken taken[SNAPSHOTS];
};

static enum mu_status push_on(struct rig_task *task)
{
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    float *mine = rig_vector(task, 0), *parameters = rig_vector(task, 1);
    int64_t version;
    MU_TRY(mu_ps_client_pull(task->client, parameters, deadline, &version));
    const struct run *run = task->rig->owner;
    if (version < run->first_version)
        return MU_BROKEN;
    for (int64_t k = 0; k < PUSHES; k++) {
        struct mu_ps_result result;
        rig_fill_gradient(mine, COUNT, task->index, k);
        MU_TRY(mu_ps_client_push(task->client, 0, mine, 1.0f, version, parameters));
        MU_TRY(mu_ps_client_wait(task->client, 0, deadline, &result));
        version = result.version;
    }
    return MU_OK;
}

static enum mu_status lead(struct rig_task *task)
{
    struct run *run = task->rig->owner;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    const float *const first[] = {run->first[0], run->first[1]};
    MU_TRY(mu_ps_snapshot_restore(
        task->snapshot, first, 2, run->first_version, 1000, run->first_judged, deadline));
    for (int i = 0; i < SNAPSHOTS; i++) {
        struct taken *taken = &run->taken[i];
        MU_TRY(mu_ps_snapshot_start(task->snapshot, taken->vectors, NULL));
        MU_TRY(mu_ps_snapshot_wait(task->snapshot, deadline, &taken->version, taken->judged));
    }
    return MU_OK;
}

static float *vector(void)
{
    float *values = calloc(COUNT, sizeof(float));
    assert_non_null(values);
    return values;
}

static void run_init(struct run *run, int64_t version)
{
    *run = (struct run){.first_version = version};
    for (int i = 0; i < 2; i++)
        run->first[i] = vector();
    for (int i = 0; i < SNAPSHOTS; i++)
        for (int j = 0; j < 2; j++)
            run->taken[i].vectors[j] = vector();
}

static void run_finish(struct run *run)
{
    for (int i = 0; i < 2; i++)
        free(run->first[i]);
    for (int i = 0; i < SNAPSHOTS; i++)
        for (int j = 0; j < 2; j++)
            free(run->taken[i].vectors[j]);
}

/* Applies the head's order from the first state until the version is that of the snapshot. */
static void check_taken(const struct rig *rig, const struct run *run, const struct taken *taken)
{
    float *parameters = vector(), *slot = vector(), *gradients = vector();
    memcpy(parameters, run->first[0], COUNT * sizeof(float));
    memcpy(slot, run->first[1], COUNT * sizeof(float));
    int64_t pushed[RIG_TASKS_MAX] = {0}, judged[RIG_TASKS_MAX];
    memcpy(judged, run->first_judged, sizeof(judged));
    int64_t version = run->first_version;
    for (int i = 0; i < rig->order_count && version < taken->version; i++) {
        int worker = rig->order[i].worker;
        rig_fill_gradient(gradients, COUNT, worker, pushed[worker]++);
        judged[worker]++;
        struct mu_optim_step step = {
            .count = COUNT,
            .parameters = parameters,
            .gradients = gradients,
            .slots = {slot},
            .learning_rate = version % 2 ? 1.0f : 0.5f,
            .gradient_scale = 1.0f,
            .step = version + 1,
        };
        rig_momentum.step(NULL, &step);
        version++;
    }
    assert_int_equal(version, taken->version);
    assert_memory_equal(judged, taken->judged, (size_t)rig->worker_count * sizeof(int64_t));
    assert_memory_equal(parameters, taken->vectors[0], COUNT * sizeof(float));
    assert_memory_equal(slot, taken->vectors[1], COUNT * sizeof(float));
    free(parameters);
    free(slot);
    free(gradients);
}

static void run_rig(struct rig *rig, int server_count, int worker_count, struct run *run)
{
    *rig = (struct rig){
        .server_count = server_count,
        .worker_count = worker_count,
        .in_flight = 1,
        .element_count = COUNT,
        .optimizer = &rig_momentum,
        .policy = &rig_async,
        .worker = push_on,
        .leader = lead,
        .owner = run,
    };
    rig_init(rig);
    rig_run(rig);
}

static void a_snapshot_is_one_place_in_the_order_on_all_servers(void **state)
{
    (void)state;
    static struct rig rig;
    struct run run;
    run_init(&run, VERSION);
    for (size_t i = 0; i < COUNT; i++) {
        run.first[0][i] = (float)i;
        run.first[1][i] = 1.0f / (float)(i + 1);
    }
    run.first_judged[1] = 42;
    run_rig(&rig, 3, 2, &run);
    for (int i = 0; i < SNAPSHOTS; i++) {
        check_taken(&rig, &run, &run.taken[i]);
        assert_true(i == 0 || run.taken[i].version >= run.taken[i - 1].version);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig.tasks[i].version, VERSION + 2 * PUSHES);
    rig_finish(&rig);
    run_finish(&run);
}

static void a_state_goes_on_at_any_number_of_servers(void **state)
{
    (void)state;
    static struct rig rig;
    struct run first, second;
    run_init(&first, 0);
    run_rig(&rig, 2, 2, &first);
    rig_finish(&rig);
    const struct taken *last = &first.taken[SNAPSHOTS - 1];
    run_init(&second, last->version);
    for (int i = 0; i < 2; i++)
        memcpy(second.first[i], last->vectors[i], COUNT * sizeof(float));
    memcpy(second.first_judged, last->judged, sizeof(last->judged));
    run_rig(&rig, 3, 2, &second);
    for (int i = 0; i < SNAPSHOTS; i++)
        check_taken(&rig, &second, &second.taken[i]);
    rig_finish(&rig);
    run_finish(&first);
    run_finish(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_one_place_in_the_order_on_all_servers),
        cmocka_unit_test(a_state_goes_on_at_any_number_of_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
