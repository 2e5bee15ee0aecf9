/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/processors.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <sched.h>

static int bits(const uint64_t set[MU_PROCESSORS_WORDS])
{
    int count = 0;
    for (int i = 0; i < MU_PROCESSORS_WORDS; i++)
        count += __builtin_popcountll(set[i]);
    return count;
}

static void the_processors_are_those_we_are_bound_to(void **state)
{
    (void)state;
    struct mu_real_world real;
    uint64_t set[MU_PROCESSORS_WORDS];
    cpu_set_t before, one;
    if (sched_getaffinity(0, sizeof(before), &before) != 0)
        skip_saying("more processors than a set of them has room for");
    mu_processors_allowed(set);
    assert_int_equal(mu_processors_count(), CPU_COUNT(&before));
    assert_int_equal(bits(set), CPU_COUNT(&before));
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    mu_processors_allowed(set);
    assert_int_equal(mu_processors_count(), 1);
    assert_ok(mu_real_world_init(&real));
    assert_int_equal(real.world.processors, 1);
    assert_int_equal(bits(set), 1);
    assert_true(set[last / 64] >> last % 64 == 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_processors_are_those_we_are_bound_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
