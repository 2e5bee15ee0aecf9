/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/positions.h"
#include "runtime/base/random.h"
#include "test.h"

#define SAMPLES 97
#define EPOCHS 3
#define REPLICAS_MAX 7
#define FAR 1000 /* epochs apart */

/* How often each sample of each epoch was read. */
static int seen[3 * FAR][SAMPLES];
static int64_t epochs = EPOCHS; /* that are read */
static int64_t alone_epochs;    /* of replica 0 */

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
    for (int64_t epoch = positions->epoch; epoch < epochs && counted < steps; epoch++) {
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

struct life {
    int replicas, batch;
    bool async;
    int64_t wanted[REPLICAS_MAX]; /* steps of each replica */
};

/* One process: so many replicas, each so many steps; then a checkpoint for the next. */
static void live(struct carried *carried, const struct life *life)
{
    struct mu_positions positions;
    int64_t steps[REPLICAS_MAX], *memory = carried->memory;
    assert_ok(mu_positions_init(&positions, 11, SAMPLES, life->replicas, life->batch,
        carried->epoch, carried->list, carried->count));
    assert_ok(mu_positions_set_alone(&positions, alone_epochs));
    positions.empty_uncounted = life->async;
    int64_t seen_before = count_seen();
    for (int r = 0; r < life->replicas; r++)
        steps[r] = train(&positions, r, life->wanted[r]);
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

static void live_by_chance(
    struct carried *carried, struct mu_random *random, bool async, bool to_the_end)
{
    struct life life = {.replicas = 1 + (int)mu_random_below(random, REPLICAS_MAX),
        .batch = 1 + (int)mu_random_below(random, 5),
        .async = async};
    int64_t together = (int64_t)mu_random_below(random, 30);
    for (int r = 0; r < life.replicas; r++) {
        int64_t wanted = async ? (int64_t)mu_random_below(random, 30) : together;
        life.wanted[r] = to_the_end ? INT64_MAX : wanted;
    }
    live(carried, &life);
}

static void lives_of(uint64_t seed, bool async)
{
    struct mu_random random;
    struct carried carried = {0};
    memset(seen, 0, sizeof(seen));
    mu_random_init(&random, seed);
    for (int life = 0; life < 8 && carried.epoch < EPOCHS; life++)
        live_by_chance(&carried, &random, async, life == 7);
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

static void read_to_the_end(struct carried *carried, int replicas, int batch)
{
    struct life life = {.replicas = replicas, .batch = batch, .async = true};
    for (int r = 0; r < replicas; r++)
        life.wanted[r] = INT64_MAX;
    live(carried, &life);
    assert_int_equal(carried->epoch, epochs);
    for (int64_t epoch = 0; epoch < epochs; epoch++)
        for (int i = 0; i < SAMPLES; i++)
            if (seen[epoch][i] != 1)
                fail_msg("sample %d was read %d times in epoch %d of %d replicas", i,
                    seen[epoch][i], (int)epoch, replicas);
}

/* 97 samples in batches of 5 of three: seven steps an epoch. */
static const struct life far_apart = {
    .replicas = 3, .batch = 5, .async = true, .wanted = {7 * FAR + 3, 7 * 400 + 5, 2}};

/* What was not read yet is read, by as many replicas as before or by others. */
static void a_replica_may_be_any_number_of_epochs_behind(void **state)
{
    (void)state;
    epochs = FAR + 5;
    for (int replicas = 1; replicas <= REPLICAS_MAX; replicas++) {
        struct carried carried = {0};
        memset(seen, 0, sizeof(seen));
        live(&carried, &far_apart);
        assert_int_equal(carried.count, 1);
        assert_int_equal(carried.epoch, 0);
        assert_int_equal(carried.list[0].stretch.epochs[0], FAR);
        assert_int_equal(carried.list[0].stretch.steps_done[0], 3);
        assert_int_equal(carried.list[0].stretch.epochs[2], 0);
        assert_int_equal(carried.list[0].stretch.steps_done[2], 2);
        read_to_the_end(&carried, replicas, 1 + replicas % 5);
        free(carried.memory);
    }
    epochs = EPOCHS;
}

/* Each is one stretch, until the last of its replicas has passed what the others had left it. */
static void processes_one_after_the_other_may_be_far_apart(void **state)
{
    (void)state;
    epochs = 3 * FAR;
    int most = 0;
    struct carried carried = {0};
    memset(seen, 0, sizeof(seen));
    for (int life = 0; life < 10; life++) {
        struct life next = far_apart;
        next.replicas = 2 + life % 3;
        next.wanted[next.replicas - 1] = 1;
        live(&carried, &next);
        assert_in_range(carried.count, 1, life + 1);
        most = carried.count > most ? carried.count : most;
    }
    assert_in_range(most, 4, 10);
    read_to_the_end(&carried, 4, 3);
    assert_int_equal(carried.count, 0);
    free(carried.memory);
    epochs = EPOCHS;
}

/* Checkpoints of format 1 have a stretch for each epoch: the same is left of each. */
static void a_stretch_of_many_epochs_is_one_of_each(void **state)
{
    (void)state;
    int64_t steps[] = {3, 2}, at[] = {10, 4}, one[7][2] = {{10, 2}, [6] = {3, 0}};
    const struct mu_position many = {
        .epoch = 4, .stretch = {.replica_count = 2, .batch = 5, .steps_done = steps, .epochs = at}};
    struct mu_position each[7];
    for (int i = 0; i < 7; i++) {
        if (i > 0 && i < 6)
            one[i][0] = 10;
        each[i] = (struct mu_position){
            .epoch = 4 + i, .stretch = {.replica_count = 2, .batch = 5, .steps_done = one[i]}};
    }
    struct mu_positions old, new;
    struct mu_plan old_plan, new_plan;
    assert_ok(mu_positions_init(&old, 11, SAMPLES, 3, 4, 4, each, 7));
    assert_ok(mu_positions_init(&new, 11, SAMPLES, 3, 4, 4, &many, 1));
    assert_ok(mu_plan_init(&old_plan, 11, SAMPLES));
    assert_ok(mu_plan_init(&new_plan, 11, SAMPLES));
    for (int64_t epoch = 4; epoch < 13; epoch++) {
        begin(&old_plan, &old, epoch);
        begin(&new_plan, &new, epoch);
        assert_int_equal(new_plan.left, old_plan.left);
        assert_memory_equal(new_plan.order, old_plan.order, old_plan.left * sizeof(uint32_t));
        assert_int_equal(mu_positions_steps_left(&new, 0, epoch + 1),
            mu_positions_steps_left(&old, 0, epoch + 1));
    }
    mu_plan_finish(&old_plan);
    mu_plan_finish(&new_plan);
    mu_positions_finish(&old);
    mu_positions_finish(&new);
}

static void a_full_list_of_format_1_has_room_for_those_who_go_on(void **state)
{
    (void)state;
    int64_t steps[] = {10, 0};
    struct mu_position before[4 * MU_STRETCHES_MAX];
    for (int i = 0; i < (int)MU_COUNT_OF(before); i++)
        before[i] = (struct mu_position){
            .epoch = i, .stretch = {.replica_count = 2, .batch = 5, .steps_done = steps}};
    struct carried carried = {.count = MU_COUNT_OF(before)};
    memcpy(carried.list, before, sizeof(before));
    memset(seen, 0, sizeof(seen));
    epochs = MU_COUNT_OF(before) + 5;
    struct mu_plan plan;
    assert_ok(mu_plan_init(&plan, 11, SAMPLES));
    for (int epoch = 0; epoch < (int)MU_COUNT_OF(before); epoch++) {
        mu_plan_begin(&plan, epoch, NULL, 0, 2, 5);
        for (int64_t step = 0; step < plan.step_count; step++)
            read_step(&plan, step, 0);
    }
    mu_plan_finish(&plan);
    for (int life = 0; life < 14; life++) {
        struct life next = {.replicas = 2, .batch = 1, .async = true, .wanted = {2, 0}};
        live(&carried, &next);
        assert_int_equal(carried.count, MU_COUNT_OF(before) + 1 + (size_t)life);
    }
    read_to_the_end(&carried, 3, 2);
    free(carried.memory);
    epochs = EPOCHS;
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
    int64_t spread_cut[] = {3, 1, -1, 0}, spread_early[] = {3, 1, -1, 0, 2}, batch[] = {0, 1, 0, 0};
    assert_int_equal(mu_positions_unpack(negative, 4, list), -1);
    assert_int_equal(mu_positions_unpack(many, 4, list), -1);
    assert_int_equal(mu_positions_unpack(none, 3, list), -1);
    assert_int_equal(mu_positions_unpack(cut, 2, list), -1);
    assert_int_equal(mu_positions_unpack(spread_cut, 4, list), -1);
    assert_int_equal(mu_positions_unpack(spread_early, 5, list), -1);
    assert_int_equal(mu_positions_unpack(batch, 4, list), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synchronous_lives_read_every_sample_once_an_epoch),
        cmocka_unit_test(asynchronous_lives_read_every_sample_once_an_epoch),
        cmocka_unit_test(lives_with_a_warm_up_read_every_sample_once_an_epoch),
        cmocka_unit_test(a_replica_may_be_any_number_of_epochs_behind),
        cmocka_unit_test(processes_one_after_the_other_may_be_far_apart),
        cmocka_unit_test(a_stretch_of_many_epochs_is_one_of_each),
        cmocka_unit_test(a_full_list_of_format_1_has_room_for_those_who_go_on),
        cmocka_unit_test(epochs_of_a_warm_up_are_steps_of_replica_0),
        cmocka_unit_test(stretches_worked_alike_become_one),
        cmocka_unit_test(an_epoch_interrupted_too_often_is_given_up),
        cmocka_unit_test(malformed_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
