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

static int64_t saved_version;

static int64_t saved(void *owner, bool *ret_is_written)
{
    *ret_is_written = owner;
    return saved_version;
}

/* The chief sees version 48, the server is lost at another. */
static const char *end_at(int64_t version, int64_t saved_at, bool is_written)
{
    static struct rig rig;
    static struct mu_activity activity;
    struct mu_cluster *cluster = set_up(&rig);
    saved_version = saved_at;
    cluster->options.recover_ns = 0;
    cluster->options.dead_ns = MU_SECOND * 5;
    cluster->options.owner = is_written ? &rig : NULL;
    cluster->options.saved = saved;
    cluster->options.activity = &activity;
    activity.doing = version ? MU_DOING_PUSHING : MU_DOING_STARTING;
    activity.step = 49;
    cluster->member[SERVER].doing = MU_DOING_SERVING;
    cluster->member[SERVER].step = version;
    mu_cluster_lose(cluster, MU_E0401, SERVER, "ps/0 died");
    assert_int_equal(cluster->failed, MU_UNAVAILABLE);
    return rig.log.text;
}

static void the_error_of_a_run_that_does_not_wait_says_what_is_lost(void **state)
{
    (void)state;
    static const struct {
        int64_t seen, saved;
        const char *said;
        bool is_written;
    } rows[] = {
        {53, 20, "ps/0 died; updates lost: 33, since version 20, the last checkpoint\n", false},
        {41, 20, "ps/0 died; updates lost: 28, since version 20, the last checkpoint\n", false},
        {53, 53, "ps/0 died; updates lost: 0, since version 53, the last checkpoint\n", false},
        {53, 60, "ps/0 died; updates lost: 0, since version 60, the last checkpoint\n", false},
        {53, 0, "ps/0 died; updates lost: 53, since version 0, its initial parameters\n", false},
        {53, 51,
            "ps/0 died; updates lost: 2, since version 51, the checkpoint that is being written\n",
            true},
        {0, 20, "ps/0 died\n", false}, /* nothing has begun */
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++)
        if (!strstr(end_at(rows[i].seen, rows[i].saved, rows[i].is_written), rows[i].said))
            fail_msg("%zu: %s", i, end_at(rows[i].seen, rows[i].saved, rows[i].is_written));
}

static void a_long_error_is_cut_and_not_what_it_says_is_lost(void **state)
{
    (void)state;
    static struct rig rig;
    static struct mu_activity activity;
    struct mu_cluster *cluster = set_up(&rig);
    char text[MU_CLUSTER_TEXT_MAX];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    saved_version = INT64_MAX / 3;
    cluster->options.saved = saved;
    cluster->options.activity = &activity;
    activity.doing = MU_DOING_ENDING;
    activity.step = INT64_MAX;
    mu_recover_add_cost(cluster, text);
    assert_non_null(strstr(text, "x; updates lost: 6148914691236517205, since version "
                                 "3074457345618258602, the last checkpoint"));
}

static void a_wait_in_vain_says_what_is_lost(void **state)
{
    (void)state;
    static struct rig rig;
    static struct mu_activity activity;
    struct mu_cluster *cluster = set_up(&rig);
    saved_version = 20;
    cluster->options.saved = saved;
    cluster->options.activity = &activity;
    cluster->needed = TASKS;
    activity.doing = MU_DOING_AWAITING;
    activity.step = 55;
    lose_at(cluster, SERVER, 50);
    mu_recover_tick(cluster, cluster->paused_until_ns);
    assert_int_equal(mu_cluster_updates_lost(cluster), 35);
    assert_said(&rig.log, "; it did not come back within 5.0 s; updates lost: 35, since version "
                          "20, the last checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_seen_stays_what_it_was_though_a_server_is_lost_again_at_once),
        cmocka_unit_test(who_has_not_begun_in_a_generation_has_seen_nothing_of_it),
        cmocka_unit_test(what_was_seen_before_a_generation_that_nobody_entered_counts),
        cmocka_unit_test(the_error_of_a_run_that_does_not_wait_says_what_is_lost),
        cmocka_unit_test(a_long_error_is_cut_and_not_what_it_says_is_lost),
        cmocka_unit_test(a_wait_in_vain_says_what_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
