/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job.h"
#include "sim/sim_job.h"
#include "test.h"
#include <math.h>

/*
 * A machine whose backward makes what is no gradient, in some steps. Simulated tasks share this
 * process, so the model of all replicas is one; whose turn it is, the simulation says whenever it
 * lets a thread run. The optimizer, which is one, too, sees whether such a thing is ever applied.
 */
static struct {
    const struct mu_model_ops *model;
    const struct mu_optimizer_ops *optimizer;
    int running;
    int task;         /* whose gradient is wrong; -1: nobody's */
    int first, count; /* in these of its steps, from 1 */
    int steps;        /* that it has computed */
    size_t element;
    float wrong;
    int applied; /* steps of elements, of which none may be wrong */
    bool applied_a_wrong_one;
} machine;

/* Where layers of [784, 128, 10] begin, without the gaps. */
#define FIRST_BIAS ((size_t)784 * 128)
#define SECOND_WEIGHT (FIRST_BIAS + 128)

static int64_t note_who_runs(void *owner, int task, int64_t now_ns)
{
    (void)owner;
    (void)now_ns;
    machine.running = task;
    return 0;
}

/* The slice with the element is made wrong before anybody is told of it. */
struct told {
    const struct mu_slice_listener *listener;
    float *gradients;
};

static void tell(void *owner, struct mu_span slice)
{
    const struct told *told = owner;
    if (slice.first <= machine.element && machine.element < slice.first + slice.count)
        told->gradients[machine.element] = machine.wrong;
    told->listener->ready(told->listener->owner, slice);
}

static void sometimes_wrong(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    struct told told = {listener, gradients};
    const struct mu_slice_listener spoiling = {.ready = tell, .owner = &told};
    bool is_its_turn = machine.running == machine.task;
    machine.steps += is_its_turn;
    bool is_wrong = is_its_turn && machine.steps >= machine.first &&
                    machine.steps < machine.first + machine.count;
    machine.model->backward(
        model, parameters, batch, scale, gradients, is_wrong ? &spoiling : listener);
}

static void look_and_step(const void *options, const struct mu_optim_step *step)
{
    machine.applied++;
    for (size_t i = 0; i < step->count; i++)
        machine.applied_a_wrong_one = machine.applied_a_wrong_one ||
                                      !(fabsf(step->gradients[i]) < 1e6f) ||
                                      !(fabsf(step->parameters[i]) < 1e6f);
    machine.optimizer->step(options, step);
}

static struct mu_test_log test_log;

static enum mu_status train(const char *path, int replicas, int servers, const char *const sets[])
{
    struct mu_job *job;
    mu_test_log_init(&test_log);
    assert_ok(mu_job_load(&test_log.log, path, sets, &job));
    struct mu_model_ops model = *job->model;
    struct mu_optimizer_ops optimizer = *job->optimizer;
    machine.model = job->model;
    machine.optimizer = job->optimizer;
    machine.applied = machine.steps = 0;
    machine.applied_a_wrong_one = false;
    model.backward = sometimes_wrong;
    optimizer.step = look_and_step;
    job->model = &model;
    job->optimizer = &optimizer;
    const struct mu_sim_faults faults = {.task_stop_ns = note_who_runs};
    const struct mu_sim_job simulated = {.job = job,
        .replicas = replicas,
        .servers = servers,
        .seed = 1,
        .compute = {.mean_ns = MU_MS},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 100000,
        .faults = &faults};
    enum mu_status status = mu_sim_job_run(&simulated, &test_log.log);
    job->model = machine.model;
    job->optimizer = machine.optimizer;
    mu_job_destroy(job);
    assert_true(machine.applied > 0);
    assert_false(machine.applied_a_wrong_one);
    return status;
}

static void goes_wrong(int task, int first, int count, size_t element, float wrong)
{
    machine.task = task;
    machine.first = first;
    machine.count = count;
    machine.element = element;
    machine.wrong = wrong;
}

/* As mu_spec_from_addresses names the replicas. */
static const char *const names[] = {"chief/0", "worker/0", "worker/1"};

static int said(const char *text)
{
    int count = 0;
    for (const char *at = test_log.text; (at = strstr(at, text)); at++)
        count++;
    return count;
}

/* Small buckets, so that most of a step may be applied before the wrong one is there. */
#define SYNC                                                                                       \
    "train.steps=30", "log.every_steps=0", "mode.check_every=1", "mode.bucket_bytes=65536",        \
        "checkpoint.every_steps=0"

static void check_left_out(int victim, int step, const char *tensor, const char *const sets[])
{
    char wanted[160];
    assert_ok(train(MUSTER_DEMO_JOB, 3, 0, sets));
    snprintf(wanted, sizeof(wanted),
        "step %d is left out on all replicas: the gradient of %s is not finite, or too large, in "
        "`%s`",
        step, names[victim], tensor);
    assert_int_equal(said(wanted), 3); /* by each of them */
    assert_int_equal(said("left out"), 3);
}

/* Parameters are compared in every step: they stay equal, too. */
static void one_wrong_element_leaves_the_step_out_on_all_and_names_its_replica(void **state)
{
    (void)state;
    static const char *const sets[] = {SYNC, NULL};
    static const float wrong[] = {NAN, INFINITY, -0x1p48f};
    static const struct {
        size_t element;
        const char *tensor;
    } places[] = {{0, "layer0/weight"}, {5000, "layer0/weight"}, {FIRST_BIAS + 3, "layer0/bias"},
        {SECOND_WEIGHT + 7, "layer1/weight"}};
    for (size_t i = 0; i < MU_COUNT_OF(places); i++) {
        goes_wrong((int)i % 3, 15, 1, places[i].element, wrong[i % MU_COUNT_OF(wrong)]);
        check_left_out((int)i % 3, 15, places[i].tensor, sets);
    }
}

static void so_it_does_where_all_are_clipped_or_compressed(void **state)
{
    (void)state;
    static const char *const sets[][7] = {
        {SYNC, "optimizer.clip_norm=1"},
        {SYNC, "compress.kind=bf16"},
        {SYNC, "compress.kind=fp16"},
        {SYNC, "compress.kind=topk"},
        {SYNC, "compress.kind=randomk"},
        {SYNC, "compress.kind=onebit"},
        {SYNC, "compress.kind=powersgd"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(sets); i++) {
        goes_wrong(1, 15, 1, SECOND_WEIGHT + 7, i % 2 ? NAN : INFINITY);
        check_left_out(1, 15, "layer1/weight", sets[i]);
    }
}

/* A number, and so is a float16 of it; three of them make none. So do three of 21834, of which each
 * becomes 21840 first. */
static void what_float16_has_no_number_for_is_left_out(void **state)
{
    (void)state;
    static const char *const sets[] = {SYNC, "compress.kind=fp16", NULL};
    static const float wrong[] = {65000, 21834};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        goes_wrong(2, 15, 1, SECOND_WEIGHT + 7, wrong[i]);
        check_left_out(2, 15, "layer1/weight", sets);
    }
}

static void a_replica_alone_leaves_it_out_too(void **state)
{
    (void)state;
    static const char *const sets[] = {SYNC, NULL};
    goes_wrong(0, 15, 1, 5000, NAN);
    assert_ok(train(MUSTER_DEMO_JOB, 1, 0, sets));
    assert_said(&test_log, "step 15 is left out on all replicas: the gradient of chief/0 is");
}

static void too_many_in_a_row_end_the_run_with_the_last_and_its_replica(void **state)
{
    (void)state;
    static const char *const sets[] = {SYNC, "train.bad_steps_max=4", NULL};
    goes_wrong(2, 10, 3, 5000, NAN);
    assert_ok(train(MUSTER_DEMO_JOB, 3, 0, sets));
    assert_int_equal(said("left out"), 3 * 3);
    goes_wrong(2, 10, 4, 5000, NAN);
    assert_int_equal(train(MUSTER_DEMO_JOB, 3, 0, sets), MU_BROKEN);
    assert_said(&test_log, "error[E0702]: 4 steps in a row were left out; step 13: the gradient of "
                           "worker/1 is not finite, or too large, in `layer0/weight`");
}

/* Nothing of it reaches the servers, who would refuse it. */
static void with_servers_it_is_not_pushed(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "train.steps=60", "log.every_steps=0", "checkpoint.every_steps=0", NULL};
    static const float wrong[] = {NAN, 0x1p48f};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        goes_wrong(1, 5, 3, SECOND_WEIGHT + 7, wrong[i]);
        assert_ok(train(MUSTER_DEMO_ASYNC_JOB, 2, 1, sets));
        assert_int_equal(said(" is not pushed: the gradient of worker/0 is not finite, or too "
                              "large, in `layer1/weight`"),
            3);
        assert_int_equal(said("refused"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_element_leaves_the_step_out_on_all_and_names_its_replica),
        cmocka_unit_test(so_it_does_where_all_are_clipped_or_compressed),
        cmocka_unit_test(what_float16_has_no_number_for_is_left_out),
        cmocka_unit_test(a_replica_alone_leaves_it_out_too),
        cmocka_unit_test(too_many_in_a_row_end_the_run_with_the_last_and_its_replica),
        cmocka_unit_test(with_servers_it_is_not_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
