/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/status.h"
#include "test.h"

static void every_status_has_name_text_and_exit_code(void **state)
{
    (void)state;
    for (int i = 0; i < MU_STATUS_COUNT; i++) {
        enum mu_status status = (enum mu_status)i;
        assert_true(strlen(mu_status_name(status)) > 0);
        assert_true(strlen(mu_status_text(status)) > 0);
        assert_in_range(mu_status_exit(status), 0, 78);
    }
}

/* Launchers key their restart policies on these numbers: they never change. */
static void exit_codes_are_those_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(mu_status_exit(MU_OK), 0);
    assert_int_equal(mu_status_exit(MU_BUG), 1);
    assert_int_equal(mu_status_exit(MU_USAGE), 64);
    assert_int_equal(mu_status_exit(MU_BAD_DATA), 65);
    assert_int_equal(mu_status_exit(MU_NO_INPUT), 66);
    assert_int_equal(mu_status_exit(MU_UNAVAILABLE), 69);
    assert_int_equal(mu_status_exit(MU_TIMEOUT), 69);
    assert_int_equal(mu_status_exit(MU_BROKEN), 70);
    assert_int_equal(mu_status_exit(MU_CANNOT_CREATE), 73);
    assert_int_equal(mu_status_exit(MU_IO_ERROR), 74);
    assert_int_equal(mu_status_exit(MU_PREEMPTED), 75);
    assert_int_equal(mu_status_exit(MU_PROTOCOL), 76);
    assert_int_equal(mu_status_exit(MU_DENIED), 77);
    assert_int_equal(mu_status_exit(MU_CONFIG), 78);
}

static void only_ok_exits_with_zero(void **state)
{
    (void)state;
    for (int i = MU_OK + 1; i < MU_STATUS_COUNT; i++)
        assert_int_not_equal(mu_status_exit((enum mu_status)i), 0);
}

static void names_are_those_of_the_enum(void **state)
{
    (void)state;
    assert_string_equal(mu_status_name(MU_OK), "OK");
    assert_string_equal(mu_status_name(MU_UNAVAILABLE), "UNAVAILABLE");
    assert_string_equal(mu_status_text(MU_UNAVAILABLE), "a peer or a service is unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_name_text_and_exit_code),
        cmocka_unit_test(exit_codes_are_those_of_the_table),
        cmocka_unit_test(only_ok_exits_with_zero),
        cmocka_unit_test(names_are_those_of_the_enum),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
