/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/cluster_inside.h"
#include <string.h>

/* A task that joins in the very turn in which the leader's patience ends. There are no links: the
 * turn of the loop is played here. */

enum { CHIEF, WORKER, TASKS };

#define PATIENCE_NS (120 * MU_SECOND)

static struct {
    struct mu_test_log log;
    struct mu_member member[TASKS + 1];
    int64_t now_ns;
    bool joins;
    int turns;
} play;

static int64_t now_ns(struct mu_world *world)
{
    (void)world;
    return play.now_ns;
}

static void random_bytes(struct mu_world *world, void *buffer, size_t bytes)
{
    (void)world;
    memset(buffer, 7, bytes);
}

/* The first one takes longer than there is time. */
static enum mu_status turn(struct mu_loop *loop, int64_t deadline_ns)
{
    (void)loop;
    (void)deadline_ns;
    if (play.turns++ > 0)
        return MU_TIMEOUT;
    play.now_ns = PATIENCE_NS + MU_MS;
    play.member[WORKER].joined = play.joins;
    return MU_OK;
}

static enum mu_status gather(bool joins)
{
    static const struct mu_world_ops ops = {
        .now_ns = now_ns, .wall_ns = now_ns, .random_bytes = random_bytes};
    static const struct mu_net_ops loop_ops = {.turn = turn};
    memset(&play, 0, sizeof(play));
    play.joins = joins;
    struct mu_world world = {.ops = &ops};
    struct mu_loop loop = {.ops = &loop_ops, .world = &world};
    struct mu_task task[] = {
        [CHIEF] = {.role = MU_ROLE_CHIEF, .address = {.host = "a", .port = 1}},
        [WORKER] = {.role = MU_ROLE_WORKER, .replica = 1, .address = {.host = "b", .port = 1}},
    };
    const struct mu_spec spec = {.task = task, .task_count = TASKS, .replica_count = TASKS};
    static struct mu_cluster cluster;
    cluster = (struct mu_cluster){
        .world = &world,
        .loop = &loop,
        .log = mu_test_log_init(&play.log),
        .spec = &spec,
        .member = play.member,
        .leads = true,
        .needed = TASKS,
        .suspect = -1,
        .gone = -1,
        .options = {.start_timeout_ns = PATIENCE_NS, .heartbeat_ns = 100 * MU_MS},
    };
    return mu_cluster_join(&cluster);
}

static void a_task_that_joins_in_the_last_turn_has_come(void **state)
{
    (void)state;
    assert_ok(gather(true));
    assert_int_equal(play.log.log.first_number, 0);
}

static void one_that_does_not_is_named(void **state)
{
    (void)state;
    assert_int_equal(gather(false), MU_UNAVAILABLE);
    assert_said(&play.log, "1 of 2 tasks did not come within 2m00s: worker/0 (b:1)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_joins_in_the_last_turn_has_come),
        cmocka_unit_test(one_that_does_not_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
