/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/helper.h"
#include "ps/shard.h"
#include "runtime/io/futex.h"
#include "runtime/io/real_world.h"
#include "runtime/optim/optimizers.h"
#include "test.h"
#include <math.h>

static struct mu_real_world real;
static struct mu_helper *helper;

static int begin(void **state)
{
    (void)state;
    return mu_real_world_init(&real) == MU_OK && mu_helper_create(&real.world, &helper) == MU_OK
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    mu_helper_destroy(helper);
    mu_real_world_finish(&real);
    return 0;
}

/* ---- loops ---- */

#define PIECES 37

static void count_piece(void *owner, size_t index)
{
    atomic_int *runs = owner;
    atomic_fetch_add(&runs[index], 1);
}

static void every_piece_of_every_loop_is_run_once(void **state)
{
    (void)state;
    for (int loop = 0; loop < 5000; loop++) {
        atomic_int runs[PIECES] = {0};
        mu_helper_run(helper, (size_t)(loop % (PIECES + 1)), count_piece, runs);
        for (int i = 0; i < PIECES; i++)
            assert_int_equal(atomic_load(&runs[i]), i < loop % (PIECES + 1));
    }
}

static void without_a_helper_pieces_are_run_in_turn(void **state)
{
    (void)state;
    atomic_int runs[PIECES] = {0};
    mu_helper_run(NULL, PIECES, count_piece, runs);
    for (int i = 0; i < PIECES; i++)
        assert_int_equal(atomic_load(&runs[i]), 1);
}

/* Each of two pieces waits for the other to have begun. */
static void meet(void *owner, size_t index)
{
    (void)index;
    atomic_int *begun = owner;
    atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 2)
        mu_futex_yield();
}

static void two_pieces_are_run_at_the_same_time(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct mu_helper *fresh; /* which does not rest */
        atomic_int begun = 0;
        assert_ok(mu_helper_create(&real.world, &fresh));
        mu_helper_run(fresh, 2, meet, &begun);
        assert_int_equal(atomic_load(&begun), 2);
        mu_helper_destroy(fresh);
    }
}

/* ---- a shard ---- */

#define COUNT (MU_SHARD_HELPED_MIN + 1234)

static void make_shard(struct mu_shard *shard, struct mu_helper *own)
{
    const struct mu_optimizer_ops *adagrad = mu_optimizer_find("adagrad");
    static double options[16]; /* zeros */
    assert_true(adagrad->option_bytes <= sizeof(options));
    assert_ok(mu_shard_init(shard, (struct mu_span){0, COUNT}, adagrad, options, 0.01));
    shard->helper = own;
    for (size_t i = 0; i < COUNT; i++) {
        shard->vectors[0].data[i] = sinf((float)i);
        shard->vectors[1].data[i] = 1;
    }
}

static void a_large_span_has_the_same_bits_with_a_helper(void **state)
{
    (void)state;
    struct mu_shard alone, helped;
    struct mu_arena gradient, fresh;
    make_shard(&alone, NULL);
    make_shard(&helped, helper);
    assert_ok(mu_arena_init(&gradient, COUNT));
    assert_ok(mu_arena_init(&fresh, COUNT));
    for (int step = 0; step < 20; step++) {
        for (size_t i = 0; i < COUNT; i++)
            gradient.data[i] = cosf((float)(i * (size_t)(step + 1)));
        mu_shard_apply_corrected(&helped, gradient.data, 0.5f, 0.1f, NULL, fresh.data);
        mu_shard_apply(&alone, gradient.data, 0.5f, 0.1f);
        for (int v = 0; v < 2; v++)
            assert_memory_equal(
                alone.vectors[v].data, helped.vectors[v].data, COUNT * sizeof(float));
        assert_memory_equal(fresh.data, gradient.data, COUNT * sizeof(float));
    }
    mu_arena_finish(&gradient);
    mu_arena_finish(&fresh);
    mu_shard_finish(&alone);
    mu_shard_finish(&helped);
}

static void one_element_that_is_not_finite_is_found(void **state)
{
    (void)state;
    static const size_t places[] = {0, 4095, 16384, COUNT / 2, COUNT - 1};
    struct mu_shard shard;
    struct mu_arena gradient;
    make_shard(&shard, helper);
    assert_ok(mu_arena_init(&gradient, COUNT));
    assert_true(mu_shard_takes(&shard, gradient.data, INFINITY));
    for (size_t i = 0; i < MU_COUNT_OF(places); i++) {
        gradient.data[places[i]] = i % 2 ? NAN : -INFINITY;
        assert_false(mu_shard_takes(&shard, gradient.data, INFINITY));
        gradient.data[places[i]] = 2;
        assert_true(mu_shard_takes(&shard, gradient.data, 2.5f));
        assert_false(mu_shard_takes(&shard, gradient.data, 2));
        gradient.data[places[i]] = 0;
    }
    mu_arena_finish(&gradient);
    mu_shard_finish(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_of_every_loop_is_run_once),
        cmocka_unit_test(without_a_helper_pieces_are_run_in_turn),
        cmocka_unit_test(two_pieces_are_run_at_the_same_time),
        cmocka_unit_test(a_large_span_has_the_same_bits_with_a_helper),
        cmocka_unit_test(one_element_that_is_not_finite_is_found),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
