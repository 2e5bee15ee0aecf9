/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cluster/told_rig.h"

/* What the leader tells of a loss when the run goes on, while servers are lost again. Who is
 * lost and who waits is set here. */

enum { CHIEF, SERVER, OTHER };

static struct mu_cluster *set_up(struct rig *rig)
{
    *rig = (struct rig){
        .task =
            {
                [CHIEF] = {.role = MU_ROLE_CHIEF, .address = {.host = "a", .port = 1}},
                [SERVER] = {.role = MU_ROLE_PS, .address = {.host = "b", .port = 1}},
                [OTHER] = {.role = MU_ROLE_PS, .index = 1, .address = {.host = "c", .port = 1}},
            },
        .spec = {.ps_count = 2},
        .cluster =
            {
                .options = {.recover_ns = 5 * MU_SECOND},
                .leads = true,
                .started = true,
                .suspect = -1,
                .gone = -1,
            },
    };
    return rig_join(rig);
}

/* The server was seen with this version, is lost, and comes back. */
static void lose_at(struct mu_cluster *cluster, int task, int64_t version)
{
    cluster->member[task].doing = MU_DOING_SERVING;
    cluster->member[task].step = version;
    mu_recover_await(cluster, task, "lost");
}

static void go_on(struct mu_cluster *cluster)
{
    enum mu_status status = MU_UNAVAILABLE;
    assert_true(mu_cluster_begin_again(cluster, &status));
    assert_ok(status);
}

static void lose_and_go_on(struct mu_cluster *cluster, int task, int64_t version)
{
    lose_at(cluster, task, version);
    mu_recover_begin(cluster);
    go_on(cluster);
}

static void what_was_seen_stays_what_it_was_though_a_server_is_lost_again_at_once(void **state)
{
    (void)state;
    static struct rig rig;
    struct mu_cluster *cluster = set_up(&rig);
    lose_and_go_on(cluster, SERVER, 50);
    lose_at(cluster, OTHER, 0);
    assert_int_equal(mu_cluster_version_seen(cluster), 50);
    mu_recover_begin(cluster);
    assert_string_equal(cluster->came_back, "ps/0 (b:1) is back after 0 ns");
    assert_int_equal(mu_cluster_version_seen(cluster), 50);
    go_on(cluster);
    assert_string_equal(cluster->came_back, "ps/1 (c:1) is back after 0 ns");
    assert_int_equal(mu_cluster_version_seen(cluster), 0);
}

/* Its step is that of the generation before, whose updates have been counted as lost. */
static void who_has_not_begun_in_a_generation_has_seen_nothing_of_it(void **state)
{
    (void)state;
    static struct rig rig;
    struct mu_cluster *cluster = set_up(&rig);
    lose_and_go_on(cluster, SERVER, 50);
    cluster->member[CHIEF].doing = MU_DOING_STARTING;
    cluster->member[CHIEF].step = 50;
    lose_and_go_on(cluster, SERVER, 7);
    assert_int_equal(mu_cluster_version_seen(cluster), 7);
}

static void what_was_seen_before_a_generation_that_nobody_entered_counts(void **state)
{
    (void)state;
    static struct rig rig;
    struct mu_cluster *cluster = set_up(&rig);
    lose_at(cluster, SERVER, 50);
    mu_recover_begin(cluster);
    lose_and_go_on(cluster, SERVER, 0);
    assert_int_equal(mu_cluster_version_seen(cluster), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_seen_stays_what_it_was_though_a_server_is_lost_again_at_once),
        cmocka_unit_test(who_has_not_begun_in_a_generation_has_seen_nothing_of_it),
        cmocka_unit_test(what_was_seen_before_a_generation_that_nobody_entered_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
