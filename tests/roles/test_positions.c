/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/positions.h"
#include "runtime/base/random.h"
#include "test.h"

#define SAMPLES 97
#define EPOCHS 3
#define REPLICAS_MAX 7

/* How often each sample of each epoch was read. */
static int seen[EPOCHS + 2][SAMPLES];
static int64_t alone_epochs; /* of replica 0 */

static void read_step(const struct mu_plan *plan, int64_t step, int replica)
{
    size_t count, global;
    const uint32_t *samples = mu_plan_samples(plan, step, replica, &count, &global);
    for (size_t i = 0; i < count; i++)
        seen[plan->epoch][samples[i]]++;
}

static int64_t count_seen(void)
{
    int64_t count = 0;
    for (size_t epoch = 0; epoch < MU_COUNT_OF(seen); epoch++)
        for (int i = 0; i < SAMPLES; i++)
            count += seen[epoch][i];
    return count;
}

static bool is_empty(const struct mu_plan *plan, int64_t step, int replica)
{
    size_t count, global;
    mu_plan_samples(plan, step, replica, &count, &global);
    return count == 0;
}

static void begin(struct mu_plan *plan, const struct mu_positions *positions, int64_t epoch)
{
    struct mu_stretch done[MU_STRETCHES_MAX];
    int count = mu_positions_done(positions, epoch, done);
    mu_plan_begin(plan, epoch, done, count, positions->replica_count, positions->batch);
}

/* A replica trains `steps` counted steps from where this process began; returns how many it did
 * before the epochs ended. */
static int64_t train(const struct mu_positions *positions, int replica, int64_t steps)
{
    struct mu_plan plan;
    int64_t counted = 0;
    assert_ok(mu_plan_init(&plan, positions->seed, SAMPLES));
    mu_plan_set_alone(&plan, positions->alone_epochs);
    for (int64_t epoch = positions->epoch; epoch < EPOCHS && counted < steps; epoch++) {
        begin(&plan, positions, epoch);
        for (int64_t step = 0; step < mu_plan_steps_of(&plan, replica) && counted < steps; step++) {
            bool empty = is_empty(&plan, step, replica);
            read_step(&plan, step, replica);
            counted += !(empty && positions->empty_uncounted);
        }
    }
    mu_plan_finish(&plan);
    return counted;
}

struct carried {
    int64_t epoch, *memory;
    struct mu_position list[MU_POSITIONS_MAX];
    int count;
};

/* One process: so many replicas, each so many steps; then a checkpoint for the next. */
static void live(struct carried *carried, struct mu_random *random, bool async, bool to_the_end)
{
    struct mu_positions positions;
    int64_t steps[REPLICAS_MAX], *memory = carried->memory, together;
    int replicas = 1 + (int)mu_random_below(random, REPLICAS_MAX);
    int batch = 1 + (int)mu_random_below(random, 5);
    assert_ok(mu_positions_init(
        &positions, 11, SAMPLES, replicas, batch, carried->epoch, carried->list, carried->count));
    assert_ok(mu_positions_set_alone(&positions, alone_epochs));
    positions.empty_uncounted = async;
    together = (int64_t)mu_random_below(random, 30);
    int64_t seen_before = count_seen();
    for (int r = 0; r < replicas; r++) {
        int64_t wanted = async ? (int64_t)mu_random_below(random, 30) : together;
        steps[r] = train(&positions, r, to_the_end ? INT64_MAX : wanted);
    }
    assert_int_equal(mu_positions_samples(&positions, steps), count_seen() - seen_before);
    carried->memory = calloc(mu_positions_memory(&positions), sizeof(int64_t));
    assert_non_null(carried->memory);
    carried->count =
        mu_positions_now(&positions, steps, carried->memory, carried->list, &carried->epoch);
    /* What is carried over goes through the wire format. */
    struct mu_positions sent = {.before_count = carried->count};
    memcpy(sent.before, carried->list, sizeof(sent.before));
    size_t count = mu_positions_pack(&sent, NULL);
    int64_t *numbers = calloc(count + 1, sizeof(*numbers));
    mu_positions_pack(&sent, numbers);
    free(carried->memory);
    carried->memory = numbers;
    assert_int_equal(mu_positions_unpack(numbers, count, carried->list), carried->count);
    free(memory);
    mu_positions_finish(&positions);
}

static void lives_of(uint64_t seed, bool async)
{
    struct mu_random random;
    struct carried carried = {0};
    memset(seen, 0, sizeof(seen));
    mu_random_init(&random, seed);
    for (int life = 0; life < 8 && carried.epoch < EPOCHS; life++)
        live(&carried, &random, async, life == 7);
    for (int epoch = 0; epoch < EPOCHS && carried.epoch >= EPOCHS; epoch++)
        for (int i = 0; i < SAMPLES; i++)
            if (seen[epoch][i] != 1)
                fail_msg("seed %d: sample %d read %d times in epoch %d", (int)seed, i,
                    seen[epoch][i], epoch);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = 0; i < SAMPLES; i++)
            assert_true(seen[epoch][i] <= 1);
    free(carried.memory);
}

static void synchronous_lives_read_every_sample_once_an_epoch(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        lives_of(seed, false);
}

static void asynchronous_lives_read_every_sample_once_an_epoch(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        lives_of(seed, true);
}

/* The others begin after the warm-up, before or after it has come to its end. */
static void lives_with_a_warm_up_read_every_sample_once_an_epoch(void **state)
{
    (void)state;
    for (alone_epochs = 1; alone_epochs <= EPOCHS; alone_epochs++)
        for (uint64_t seed = 0; seed < 200; seed++)
            lives_of(seed, true);
    alone_epochs = 0;
}

static void epochs_of_a_warm_up_are_steps_of_replica_0(void **state)
{
    (void)state;
    struct mu_positions positions;
    assert_ok(mu_positions_init(&positions, 1, SAMPLES, 4, 5, 0, NULL, 0));
    assert_ok(mu_positions_set_alone(&positions, 2));
    /* 20 steps of one, 5 of four. */
    assert_int_equal(mu_positions_steps_left(&positions, 0, 3), 45);
    assert_int_equal(mu_positions_steps_left(&positions, 3, 3), 5);
    assert_int_equal(mu_positions_epoch(&positions, 0, 39), 1);
    assert_int_equal(mu_positions_epoch(&positions, 0, 40), 2);
    assert_int_equal(mu_positions_epoch(&positions, 3, 0), 2);
    mu_positions_finish(&positions);
}

static void stretches_worked_alike_become_one(void **state)
{
    (void)state;
    struct mu_positions positions;
    struct mu_position list[MU_POSITIONS_MAX];
    int64_t before_steps[2] = {3, 3}, since[2] = {4, 4}, memory[2 * MU_POSITIONS_MAX], epoch;
    const struct mu_position before = {
        .epoch = 1, .stretch = {.replica_count = 2, .batch = 5, .steps_done = before_steps}};
    assert_ok(mu_positions_init(&positions, 1, SAMPLES, 2, 5, 1, &before, 1));
    assert_int_equal(mu_positions_now(&positions, since, memory, list, &epoch), 1);
    assert_int_equal(epoch, 1);
    assert_int_equal(list[0].stretch.steps_done[0], 7);
    mu_positions_finish(&positions);
}

static void an_epoch_interrupted_too_often_is_given_up(void **state)
{
    (void)state;
    struct mu_positions positions;
    struct mu_position before[MU_STRETCHES_MAX];
    int64_t one = 1;
    for (int i = 0; i < MU_STRETCHES_MAX; i++)
        before[i] = (struct mu_position){
            .epoch = 0, .stretch = {.replica_count = 1, .batch = 1, .steps_done = &one}};
    assert_ok(mu_positions_init(&positions, 1, SAMPLES, 1, 1, 0, before, MU_STRETCHES_MAX));
    assert_int_equal(positions.epoch, 1);
    mu_positions_finish(&positions);
}

static void malformed_numbers_are_refused(void **state)
{
    (void)state;
    struct mu_position list[MU_POSITIONS_MAX];
    int64_t negative[] = {-1, 1, 1, 0}, many[] = {0, 5, 1, 0}, none[] = {0, 0, 1}, cut[] = {0, 1};
    assert_int_equal(mu_positions_unpack(negative, 4, list), -1);
    assert_int_equal(mu_positions_unpack(many, 4, list), -1);
    assert_int_equal(mu_positions_unpack(none, 3, list), -1);
    assert_int_equal(mu_positions_unpack(cut, 2, list), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synchronous_lives_read_every_sample_once_an_epoch),
        cmocka_unit_test(asynchronous_lives_read_every_sample_once_an_epoch),
        cmocka_unit_test(lives_with_a_warm_up_read_every_sample_once_an_epoch),
        cmocka_unit_test(epochs_of_a_warm_up_are_steps_of_replica_0),
        cmocka_unit_test(stretches_worked_alike_become_one),
        cmocka_unit_test(an_epoch_interrupted_too_often_is_given_up),
        cmocka_unit_test(malformed_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
