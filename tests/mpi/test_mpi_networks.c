/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "collectives/mpi_networks.h"

static struct mu_mpi_host host_of(const char *text)
{
    struct mu_mpi_host host = {0};
    assert_true(mu_mpi_networks_parse(text, &host));
    return host;
}

static const char *chosen(const char *const texts[], int count, int rank)
{
    static char text[16];
    struct mu_mpi_host hosts[4];
    uint32_t addresses[4];
    for (int i = 0; i < count; i++)
        hosts[i] = host_of(texts[i]);
    if (!mu_mpi_networks_choose(hosts, count, addresses))
        return "none";
    mu_mpi_networks_format(addresses[rank], text, sizeof(text));
    return text;
}

static void hosts_meet_in_their_common_network(void **state)
{
    const char *hosts[] = {"a 192.168.1.1/24 10.0.0.1/16", "b 172.20.0.9/24 10.0.3.2/16"};
    assert_string_equal(chosen(hosts, 2, 0), "10.0.0.1");
    assert_string_equal(chosen(hosts, 2, 1), "10.0.3.2");
}

static void a_bridge_with_one_address_on_all_hosts_is_passed_over(void **state)
{
    const char *hosts[] = {"a 172.17.0.1/16 10.0.0.1/16", "b 172.17.0.1/16 10.0.3.2/16"};
    assert_string_equal(chosen(hosts, 2, 0), "10.0.0.1");
    assert_string_equal(chosen(hosts, 2, 1), "10.0.3.2");
}

static void ranks_of_one_host_share_its_address(void **state)
{
    const char *hosts[] = {"a 10.0.0.1/16", "a 10.0.0.1/16", "b 10.0.3.2/16"};
    assert_string_equal(chosen(hosts, 3, 1), "10.0.0.1");
    assert_string_equal(chosen(hosts, 3, 2), "10.0.3.2");
}

static void the_network_of_the_default_route_comes_first(void **state)
{
    const char *hosts[] = {"a 10.0.0.1/24 10.9.0.1/24", "b 10.9.0.2/24 10.0.0.2/24"};
    assert_string_equal(chosen(hosts, 2, 1), "10.0.0.2");
}

static void hosts_behind_a_router_use_their_default_routes(void **state)
{
    const char *hosts[] = {"a 10.0.1.1/24", "b 10.0.2.1/24"};
    assert_string_equal(chosen(hosts, 2, 0), "10.0.1.1");
    assert_string_equal(chosen(hosts, 2, 1), "10.0.2.1");
}

static void two_hosts_with_nothing_but_the_same_address_cannot_meet(void **state)
{
    const char *hosts[] = {"a 172.17.0.1/16", "b 172.17.0.1/16"};
    assert_string_equal(chosen(hosts, 2, 0), "none");
}

static void a_host_without_a_network_cannot_meet_others(void **state)
{
    const char *hosts[] = {"a 10.0.0.1/24", "b"};
    assert_string_equal(chosen(hosts, 2, 0), "none");
}

static void a_text_reads_back_as_it_was_written(void **state)
{
    const char *texts[] = {"node3", "n 10.0.0.3/24", "n 10.0.0.3/24 255.255.255.255/32 0.0.0.0/0"};
    char out[MU_MPI_NETWORKS_TEXT_MAX];
    for (size_t i = 0; i < MU_COUNT_OF(texts); i++) {
        struct mu_mpi_host host = host_of(texts[i]);
        mu_mpi_networks_write(&host, out, sizeof(out));
        assert_string_equal(out, texts[i]);
    }
}

static void what_is_no_list_of_networks_is_refused(void **state)
{
    const char *texts[] = {"", "n x", "n 10.0.0.3", "n 10.0.0.3/33", "n 10.0.0/8", "n 10.0.0.3/8x",
        "n 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 "
        "1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 1.1.1.1/1 "
        "1.1.1.1/1"};
    struct mu_mpi_host host;
    for (size_t i = 0; i < MU_COUNT_OF(texts); i++)
        if (mu_mpi_networks_parse(texts[i], &host))
            fail_msg("`%s` was taken", texts[i]);
}

static void an_interface_that_is_not_there_has_no_network(void **state)
{
    struct mu_mpi_host host;
    mu_mpi_networks_find("none-such", &host);
    assert_int_equal(host.count, 0);
    assert_true(host.name[0]);
    mu_mpi_networks_find("lo", &host);
    assert_int_equal(host.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_meet_in_their_common_network),
        cmocka_unit_test(a_bridge_with_one_address_on_all_hosts_is_passed_over),
        cmocka_unit_test(ranks_of_one_host_share_its_address),
        cmocka_unit_test(the_network_of_the_default_route_comes_first),
        cmocka_unit_test(hosts_behind_a_router_use_their_default_routes),
        cmocka_unit_test(two_hosts_with_nothing_but_the_same_address_cannot_meet),
        cmocka_unit_test(a_host_without_a_network_cannot_meet_others),
        cmocka_unit_test(a_text_reads_back_as_it_was_written),
        cmocka_unit_test(what_is_no_list_of_networks_is_refused),
        cmocka_unit_test(an_interface_that_is_not_there_has_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
