/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec_inside.h"

static void node_lists_are_expanded(void **state)
{
    static const struct {
        const char *list, *expanded;
    } rows[] = {
        {"n1", "n1 "},
        {"n1,m2", "n1 m2 "},
        {"n[1-3,5]", "n1 n2 n3 n5 "},
        {"n[01-03]", "n01 n02 n03 "},
        {"n[8-11]", "n8 n9 n10 n11 "},
        {"n[1-2],m7,k[3]", "n1 n2 m7 k3 "},
        {"r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2 "},
        {"n[1,3]-ib.x", "n1-ib.x n3-ib.x "},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        char(*hosts)[MU_HOST_MAX] = NULL, reason[96], joined[256] = "";
        int count = mu_spec_slurm_hosts(rows[i].list, 64, &hosts, reason, sizeof(reason));
        for (int j = 0; j < count; j++) {
            strcat(joined, hosts[j]);
            strcat(joined, " ");
        }
        assert_string_equal(joined, rows[i].expanded);
        free(hosts);
    }
}

static void malformed_node_lists_are_refused(void **state)
{
    static const char *const lists[] = {"", "a,,b", "a,", "n[", "n[]", "n[1", "n[1-", "n[1-]",
        "n[-1]", "n[3-1]", "n[1,]", "n[a]", "n[1-2-3]", "n[1 ]", "n[1-65]", "n[1-999999999]",
        "n[1234567890]", "a[1]b[1]c[1]d[1]e[1]", "r[1-9]n[1-9]"};
    for (size_t i = 0; i < MU_COUNT_OF(lists); i++) {
        char(*hosts)[MU_HOST_MAX] = NULL, reason[96] = "";
        if (mu_spec_slurm_hosts(lists[i], 64, &hosts, reason, sizeof(reason)) >= 0)
            fail_msg("accepted: %s", lists[i]);
        assert_true(reason[0] != '\0');
        assert_null(hosts);
    }
}

static void a_long_host_is_refused(void **state)
{
    char list[600], reason[96];
    char(*hosts)[MU_HOST_MAX] = NULL;
    memset(list, 'a', sizeof(list));
    strcpy(list + 500, "[1-2]");
    assert_int_equal(mu_spec_slurm_hosts(list, 64, &hosts, reason, sizeof(reason)), -1);
    assert_string_equal(reason, "a host name is too long");
}

static void counts_are_expanded(void **state)
{
    int counts[8];
    assert_int_equal(mu_spec_slurm_counts("5,4(x3)", 8, counts), 4);
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 4);
    assert_int_equal(counts[3], 4);
    assert_int_equal(mu_spec_slurm_counts("2(x8)", 8, counts), 8);
    static const char *const bad[] = {
        "", "x", "2(x9)", "2(x", "2(3)", "2,", "2(x3", "2(x)", "9999999", "1 2", "-1"};
    for (size_t i = 0; i < MU_COUNT_OF(bad); i++)
        assert_int_equal(mu_spec_slurm_counts(bad[i], 8, counts), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_lists_are_expanded),
        cmocka_unit_test(malformed_node_lists_are_refused),
        cmocka_unit_test(a_long_host_is_refused),
        cmocka_unit_test(counts_are_expanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
