/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cluster/told_rig.h"

/* What the others say to do about a task that has failed for a reason of its own. Whom the
 * leader has named, and with what exit code, is set here. */

enum { CHIEF, WORKER, SERVER };

static void go_on(void *owner, char *out, size_t bytes)
{
    (void)owner;
    mu_text_copy(out, bytes, "to go on: muster run job.json --resume");
}

/* The worker hears that the server has failed; -1: that somebody has. */
static struct mu_log *hear(struct rig *rig, int named, int exit_code)
{
    *rig = (struct rig){
        .task =
            {
                [CHIEF] = {.role = MU_ROLE_CHIEF, .address = {.host = "a", .port = 1}},
                [WORKER] = {.role = MU_ROLE_WORKER, .address = {.host = "b", .port = 1}},
                [SERVER] = {.role = MU_ROLE_PS, .index = 1, .address = {.host = "c", .port = 1}},
            },
        .spec = {.self = WORKER},
        .member = {[SERVER] = {.exit = exit_code}},
        .cluster = {.options = {.go_on = go_on}, .named = named, .suspect = -1, .gone = -1},
    };
    rig_join(rig);
    mu_cluster_lose(&rig->cluster, MU_E0403, -1, "ps/1 (c:1) failed");
    return rig->cluster.log;
}

#define WHERE "the first error in logs/ps-1.log of the run directory says why; "

static void the_command_follows_where_it_may_help(void **state)
{
    (void)state;
    static struct rig rig;
    const int worth_it[] = {1, 69, 71, 74, 75, 137};
    for (size_t i = 0; i < MU_COUNT_OF(worth_it); i++)
        assert_string_equal(hear(&rig, SERVER, worth_it[i])->first_help,
            WHERE "to go on: muster run job.json --resume");
}

static void no_command_is_offered_that_would_fail_again(void **state)
{
    (void)state;
    static struct rig rig;
    const int lasting[] = {64, 65, 66, 70, 73, 76, 77, 78};
    for (size_t i = 0; i < MU_COUNT_OF(lasting); i++) {
        const char *help = hear(&rig, SERVER, lasting[i])->first_help;
        assert_int_equal(strncmp(help, WHERE "mend that first", strlen(WHERE) + 15), 0);
        assert_null(strstr(help, "--resume"));
    }
}

static void where_nobody_is_named_nothing_is_made_up(void **state)
{
    (void)state;
    static struct rig rig;
    assert_string_equal(hear(&rig, -1, 0)->first_help, mu_error_remedy(MU_E0403));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_command_follows_where_it_may_help),
        cmocka_unit_test(no_command_is_offered_that_would_fail_again),
        cmocka_unit_test(where_nobody_is_named_nothing_is_made_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
