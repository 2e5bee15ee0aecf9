/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/random.h"
#include "test.h"
#include <math.h>

/* The reference code of xoshiro256** on the state 1, 2, 3, 4. */
static void stream_is_xoshiro256_star_star(void **state)
{
    (void)state;
    struct mu_random random = {{1, 2, 3, 4}};
    assert_int_equal(mu_random_next(&random), 11520);
    assert_int_equal(mu_random_next(&random), 0);
    assert_int_equal(mu_random_next(&random), 1509978240);
    assert_int_equal(mu_random_next(&random), 1215971899390074240);
}

/* The reference code of SplitMix64 from 1234567. */
static void seeding_is_splitmix64(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 1234567);
    assert_int_equal(random.state[0], UINT64_C(6457827717110365317));
    assert_int_equal(random.state[1], UINT64_C(3203168211198807973));
    assert_int_equal(random.state[2], UINT64_C(9817491932198370423));
    assert_int_equal(random.state[3], UINT64_C(4593380528125082431));
}

static void mix_depends_on_every_bit_of_both(void **state)
{
    (void)state;
    uint64_t base = mu_random_mix(42, 17);
    for (int bit = 0; bit < 64; bit++) {
        int of_seed = __builtin_popcountll(base ^ mu_random_mix(42 ^ (UINT64_C(1) << bit), 17));
        int of_position = __builtin_popcountll(base ^ mu_random_mix(42, 17 ^ (UINT64_C(1) << bit)));
        assert_in_range(of_seed, 12, 52);
        assert_in_range(of_position, 12, 52);
    }
}

static void neighbouring_seeds_are_no_shifted_copies(void **state)
{
    (void)state;
    for (uint64_t shift = 0; shift < 100; shift++)
        assert_int_not_equal(mu_random_mix(1, 50), mu_random_mix(2, shift));
    const uint64_t gamma = UINT64_C(0x9e3779b97f4a7c15);
    assert_int_not_equal(mu_random_mix(1, 1), mu_random_mix(1 + gamma, 0));
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 3);
    for (uint64_t bound = 1; bound <= 20; bound++) {
        uint32_t seen = 0;
        for (int i = 0; i < 1000; i++) {
            uint64_t drawn = mu_random_below(&random, bound);
            assert_true(drawn < bound);
            seen |= UINT32_C(1) << drawn;
        }
        assert_int_equal(seen, (UINT32_C(1) << bound) - 1);
    }
}

/* With a bound of 3 * 2^62 a plain modulo would give the first third twice as often. */
static void below_has_no_bias(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 4);
    int thirds[3] = {0};
    for (int i = 0; i < 30000; i++)
        thirds[mu_random_below(&random, UINT64_C(3) << 62) >> 62]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(thirds[i], 9500, 10500);
}

static void unit_is_uniform(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 5);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double drawn = mu_random_unit(&random);
        assert_true(drawn >= 0 && drawn < 1);
        sum += drawn;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.005);
}

static void normal_has_its_moments(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 6);
    double sum = 0, squares = 0, fourths = 0;
    for (int i = 0; i < 200000; i++) {
        double drawn = mu_random_normal(&random);
        sum += drawn;
        squares += drawn * drawn;
        fourths += drawn * drawn * drawn * drawn;
    }
    assert_true(fabs(sum / 200000) < 0.01);
    assert_true(fabs(squares / 200000 - 1) < 0.02);
    assert_true(fabs(fourths / 200000 - 3) < 0.15);
}

static void permutation_has_every_number_once(void **state)
{
    (void)state;
    static uint32_t order[1000];
    static int seen[1000];
    for (uint32_t count = 0; count <= 1000; count += 37) {
        mu_random_permutation(count, order, count);
        memset(seen, 0, sizeof(seen));
        for (uint32_t i = 0; i < count; i++) {
            assert_true(order[i] < count);
            assert_int_equal(seen[order[i]]++, 0);
        }
    }
}

static void permutation_is_a_function_of_the_seed(void **state)
{
    (void)state;
    uint32_t a[100], b[100], c[100];
    mu_random_permutation(9, a, 100);
    mu_random_permutation(9, b, 100);
    mu_random_permutation(10, c, 100);
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
}

/* All 24 orders of four, each about 1000 times of 24000. */
static void every_permutation_is_as_likely(void **state)
{
    (void)state;
    int count[256] = {0}, kinds = 0;
    for (uint64_t seed = 0; seed < 24000; seed++) {
        uint32_t order[4];
        mu_random_permutation(seed, order, 4);
        count[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    for (int i = 0; i < 256; i++) {
        if (count[i] == 0)
            continue;
        kinds++;
        assert_in_range(count[i], 850, 1150);
    }
    assert_int_equal(kinds, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_is_xoshiro256_star_star),
        cmocka_unit_test(seeding_is_splitmix64),
        cmocka_unit_test(mix_depends_on_every_bit_of_both),
        cmocka_unit_test(neighbouring_seeds_are_no_shifted_copies),
        cmocka_unit_test(below_stays_below_and_reaches_all),
        cmocka_unit_test(below_has_no_bias),
        cmocka_unit_test(unit_is_uniform),
        cmocka_unit_test(normal_has_its_moments),
        cmocka_unit_test(permutation_has_every_number_once),
        cmocka_unit_test(permutation_is_a_function_of_the_seed),
        cmocka_unit_test(every_permutation_is_as_likely),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
