/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/net.h"
#include "runtime/io/real_world.h"
#include "test.h"

/* A deadline that passes between its being set and the waiting for it. */

static const struct mu_world_ops *real_ops;
static int looks_until_late;

static int64_t late_now_ns(struct mu_world *world)
{
    if (--looks_until_late == 0)
        for (int64_t until_ns = real_ops->now_ns(world) + 3 * MU_MS;
             real_ops->now_ns(world) < until_ns;)
            ;
    return real_ops->now_ns(world);
}

static void note_it(void *owner)
{
    *(bool *)owner = true;
}

static void a_deadline_that_passes_while_it_is_set_ends_the_turn(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_timer *timer;
    bool has_hung = false;
    assert_ok(mu_real_world_init(&real));
    real_ops = real.world.ops;
    struct mu_world_ops ops = *real_ops;
    ops.now_ns = late_now_ns;
    real.world.ops = &ops;
    assert_ok(ops.loop_create(&real.world, &loop));
    assert_ok(loop->ops->timer_start(loop, 5 * MU_SECOND, note_it, &has_hung, &timer));
    for (int looks = 1; looks < 5; looks++) {
        int64_t deadline_ns = mu_deadline(mu_now(&real.world), MU_MS);
        looks_until_late = looks;
        (void)loop->ops->turn(loop, deadline_ns);
        assert_false(has_hung);
    }
    loop->ops->timer_stop(timer);
    loop->ops->destroy(loop);
    real.world.ops = real_ops;
    mu_real_world_finish(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_that_passes_while_it_is_set_ends_the_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
