/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hello.h"
#include "tests/support/test.h"

#define OURS "{\"optimizer\":{\"kind\":\"sgd\",\"rate\":0.05},\"train\":{\"seed\":1}}"

static void expect(const char *ours, const char *theirs, const char *difference)
{
    struct mu_text text;
    mu_text_init(&text);
    const struct mu_hello_sides sides = {
        .ours = ours, .theirs = theirs, .our_name = "chief/0", .their_name = "worker/1"};
    bool told = mu_hello_job_difference(&sides, &text);
    assert_int_equal(told, difference != NULL);
    assert_string_equal(text.data, difference ? difference : "");
    mu_text_finish(&text);
}

static void the_first_key_with_another_value_is_told_with_both(void **state)
{
    (void)state;
    expect(OURS, "{\"optimizer\":{\"rate\":0.5,\"kind\":\"sgd\"},\"train\":{\"seed\":2}}",
        "optimizer.rate: 0.05 on chief/0, 0.5 on worker/1");
    expect(OURS, "{\"train\":{\"seed\":2},\"optimizer\":{\"kind\":\"sgd\",\"rate\":0.05}}",
        "train.seed: 1 on chief/0, 2 on worker/1");
}

static void a_key_that_only_one_has_is_told_when_nothing_else_differs(void **state)
{
    (void)state;
    expect(OURS, "{\"optimizer\":{\"kind\":\"sgd\"},\"train\":{\"seed\":2}}",
        "train.seed: 1 on chief/0, 2 on worker/1");
    expect(OURS, "{\"optimizer\":{\"kind\":\"sgd\"},\"train\":{\"seed\":1}}",
        "optimizer.rate: 0.05 on chief/0, nothing on worker/1");
    expect(OURS,
        "{\"optimizer\":{\"kind\":\"sgd\",\"rate\":0.05},\"train\":{\"seed\":1,\"x\":[1]}}",
        "train.x: nothing on chief/0, [1] on worker/1");
}

static void what_a_peer_sends_may_be_anything(void **state)
{
    (void)state;
    char deep[3000];
    expect(OURS, OURS, NULL);
    expect(OURS, "", NULL);
    expect("", OURS, NULL);
    expect(OURS, "{\"optimizer\":", NULL);
    expect(OURS, "[1,2]", "optimizer.kind: \"sgd\" on chief/0, nothing on worker/1");
    expect(OURS, "{\"optimizer\":7,\"train\":null}",
        "optimizer.kind: \"sgd\" on chief/0, nothing on worker/1");
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    expect(OURS, deep, NULL);
}

static void a_long_value_is_cut(void **state)
{
    (void)state;
    char theirs[2000], wanted[300];
    int bytes = snprintf(theirs, sizeof(theirs), "{\"train\":{\"seed\":\"");
    memset(theirs + bytes, 'x', 1500);
    snprintf(theirs + bytes + 1500, sizeof(theirs) - (size_t)bytes - 1500, "\"}}");
    snprintf(
        wanted, sizeof(wanted), "train.seed: 1 on chief/0, \"%.99s... on worker/1", theirs + bytes);
    expect(OURS, theirs, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_key_with_another_value_is_told_with_both),
        cmocka_unit_test(a_key_that_only_one_has_is_told_when_nothing_else_differs),
        cmocka_unit_test(what_a_peer_sends_may_be_anything),
        cmocka_unit_test(a_long_value_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
