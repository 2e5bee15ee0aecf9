/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/world.h"
#include "runtime/io/futex.h"
#include "runtime/io/real_world.h"
#include "test.h"

static _Atomic uint32_t word;

static void sleeper(void *argument)
{
    (void)argument;
    while (atomic_load(&word) == 0)
        mu_futex_wait(&word, 0, 20 * MU_SECOND);
    atomic_store(&word, 2);
    mu_futex_wake(&word);
}

static void a_sleeper_is_woken(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_thread *thread;
    atomic_store(&word, 0);
    assert_ok(mu_real_world_init(&real));
    int64_t begin = mu_now(&real.world);
    assert_ok(real.world.ops->spawn(&real.world, "sleeper", sleeper, NULL, &thread));
    atomic_store(&word, 1);
    mu_futex_wake(&word);
    while (atomic_load(&word) == 1)
        mu_futex_wait(&word, 1, 20 * MU_SECOND);
    real.world.ops->join(&real.world, thread);
    assert_int_equal(atomic_load(&word), 2);
    assert_true(mu_now(&real.world) - begin < 10 * MU_SECOND);
}

static void a_sleep_ends_at_its_time(void **state)
{
    (void)state;
    struct mu_real_world real;
    assert_ok(mu_real_world_init(&real));
    atomic_store(&word, 0);
    int64_t begin = mu_now(&real.world), now = begin;
    while (now - begin < 5 * MU_MS) {
        mu_futex_wait(&word, 0, 5 * MU_MS - (now - begin));
        now = mu_now(&real.world);
    }
    mu_futex_wait(&word, 1, 20 * MU_SECOND);
    assert_true(mu_now(&real.world) - begin < 10 * MU_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sleeper_is_woken),
        cmocka_unit_test(a_sleep_ends_at_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
