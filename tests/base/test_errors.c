/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/errors.h"
#include "test.h"

static void numbers_are_read_as_decimal(void **state)
{
    (void)state;
    assert_int_equal(mu_error_number(MU_E0001), 1);
    assert_int_equal(mu_error_number(MU_E0104), 104);
    assert_int_equal(mu_error_number(MU_E0110), 110);
    assert_int_equal(mu_error_number(MU_E0804), 804);
}

static void numbers_ascend(void **state)
{
    (void)state;
    for (int i = 1; i < MU_ERROR_COUNT; i++)
        assert_true(mu_error_number((enum mu_error)i) > mu_error_number((enum mu_error)(i - 1)));
}

static void no_error_has_the_status_ok(void **state)
{
    (void)state;
    for (int i = 0; i < MU_ERROR_COUNT; i++)
        assert_int_not_equal(mu_error_status((enum mu_error)i), MU_OK);
}

static void every_error_has_a_doc_in_lower_case_without_a_stop(void **state)
{
    (void)state;
    for (int i = 0; i < MU_ERROR_COUNT; i++) {
        const char *doc = mu_error_doc((enum mu_error)i);
        assert_true(strlen(doc) > 10);
        assert_false(doc[0] >= 'A' && doc[0] <= 'Z');
        assert_int_not_equal(doc[strlen(doc) - 1], '.');
    }
}

static void every_error_has_something_to_type(void **state)
{
    (void)state;
    for (int i = 0; i < MU_ERROR_COUNT; i++) {
        const char *remedy = mu_error_remedy((enum mu_error)i);
        assert_non_null(remedy);
        assert_true(strlen(remedy) > 5);
        assert_null(strchr(remedy, '\n'));
    }
}

static void errors_of_a_spec_are_of_the_configuration(void **state)
{
    (void)state;
    for (int i = 0; i < MU_ERROR_COUNT; i++) {
        int number = mu_error_number((enum mu_error)i);
        if (number >= 100 && number < 200)
            assert_int_equal(mu_error_status((enum mu_error)i), MU_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_decimal),
        cmocka_unit_test(numbers_ascend),
        cmocka_unit_test(no_error_has_the_status_ok),
        cmocka_unit_test(every_error_has_a_doc_in_lower_case_without_a_stop),
        cmocka_unit_test(every_error_has_something_to_type),
        cmocka_unit_test(errors_of_a_spec_are_of_the_configuration),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
