/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/fiber.h"

struct counter {
    int rounds, seen;
};

static void count(void *argument)
{
    struct counter *counter = argument;
    for (int i = 0; i < counter->rounds; i++) {
        counter->seen++;
        mu_fiber_suspend();
    }
}

static void fibers_take_turns_and_end(void **state)
{
    enum { FIBERS = 20, ROUNDS = 2000 };
    struct counter counters[FIBERS];
    struct mu_fiber *fibers[FIBERS];
    for (int i = 0; i < FIBERS; i++) {
        counters[i] = (struct counter){.rounds = ROUNDS};
        assert_ok(mu_fiber_create(count, &counters[i], &fibers[i]));
    }
    for (int round = 0; round <= ROUNDS; round++) {
        for (int i = 0; i < FIBERS; i++) {
            mu_fiber_resume(fibers[i]);
            assert_int_equal(counters[i].seen, round < ROUNDS ? round + 1 : ROUNDS);
        }
    }
    for (int i = 0; i < FIBERS; i++) {
        assert_true(mu_fiber_ended(fibers[i]));
        mu_fiber_destroy(fibers[i]);
    }
}

/* Uses much of the stack in every call, and looks whether it is still the same afterwards. */
static int deep(int depth)
{
    volatile unsigned char frame[16 * 1024];
    for (size_t i = 0; i < sizeof(frame); i += 512)
        frame[i] = (unsigned char)(depth + (int)(i / 512));
    mu_fiber_suspend();
    int below = depth > 1 ? deep(depth - 1) : 0;
    int wrong = 0;
    for (size_t i = 0; i < sizeof(frame); i += 512)
        wrong += frame[i] != (unsigned char)(depth + (int)(i / 512));
    return wrong + below;
}

static void go_deep(void *argument)
{
    *(int *)argument = deep(20);
}

static void stacks_are_large_and_apart(void **state)
{
    int wrong[2] = {-1, -1};
    struct mu_fiber *fibers[2];
    for (int i = 0; i < 2; i++)
        assert_ok(mu_fiber_create(go_deep, &wrong[i], &fibers[i]));
    while (!mu_fiber_ended(fibers[0]) || !mu_fiber_ended(fibers[1])) {
        for (int i = 0; i < 2; i++) {
            if (!mu_fiber_ended(fibers[i]))
                mu_fiber_resume(fibers[i]);
        }
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wrong[i], 0);
        mu_fiber_destroy(fibers[i]);
    }
}

/* The frames of a fiber that is destroyed in the middle never return; whatever is mapped at the
 * same place afterwards must not suffer from the marks that sanitizers put around them. */
static void a_fiber_may_be_abandoned(void **state)
{
    for (int i = 0; i < 50; i++) {
        int wrong = -1;
        struct mu_fiber *fiber;
        assert_ok(mu_fiber_create(go_deep, &wrong, &fiber));
        for (int j = 0; j < i % 10; j++)
            mu_fiber_resume(fiber);
        mu_fiber_destroy(fiber);
        assert_int_equal(wrong, -1);
    }
    mu_fiber_destroy(NULL);
}

static void allocate_and_hang(void *argument)
{
    char *volatile kept = malloc(100);
    *(bool *)argument = kept != NULL;
    mu_fiber_suspend();
    free(kept);
}

/* Fails, under a leak checker, if it takes what a killed fiber had for a leak. */
static void what_an_abandoned_fiber_owns_is_no_leak(void **state)
{
    bool allocated = false;
    struct mu_fiber *fiber;
    assert_ok(mu_fiber_create(allocate_and_hang, &allocated, &fiber));
    mu_fiber_resume(fiber);
    assert_true(allocated);
    mu_fiber_destroy(fiber);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fibers_take_turns_and_end),
        cmocka_unit_test(stacks_are_large_and_apart),
        cmocka_unit_test(a_fiber_may_be_abandoned),
        cmocka_unit_test(what_an_abandoned_fiber_owns_is_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
