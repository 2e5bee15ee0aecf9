/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec.h"

static void good_addresses_keep_their_meaning(void **state)
{
    static const struct {
        const char *text, *host;
        int port;
        const char *again;
    } rows[] = {
        {"10.0.0.1:2222", "10.0.0.1", 2222, "10.0.0.1:2222"},
        {"h:1", "h", 1, "h:1"},
        {"h:65535", "h", 65535, "h:65535"},
        {"Job-Worker-0.NS.svc:2222", "job-worker-0.ns.svc", 2222, "job-worker-0.ns.svc:2222"},
        {"0xcafes:1", "0xcafes", 1, "0xcafes:1"},
        {"1.0xcafe-1:1", "1.0xcafe-1", 1, "1.0xcafe-1:1"},
        {"223.255.255.255:1", "223.255.255.255", 1, "223.255.255.255:1"},
        {"db_1.local.:80", "db_1.local.", 80, "db_1.local.:80"},
        {"[::1]:2222", "::1", 2222, "[::1]:2222"},
        {"[2001:0DB8::0:1]:7", "2001:db8::1", 7, "[2001:db8::1]:7"},
        {"[fe80::1%eth0]:7", "fe80::1%eth0", 7, "[fe80::1%eth0]:7"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_address address;
        char reason[96] = "", again[MU_HOST_MAX + 16];
        if (!mu_address_parse(rows[i].text, &address, reason, sizeof(reason)))
            fail_msg("%s: %s", rows[i].text, reason);
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.port, rows[i].port);
        mu_address_format(&address, again, sizeof(again));
        assert_string_equal(again, rows[i].again);
    }
}

static void bad_addresses_say_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "is empty: write host:port"},
        {"host", "has no port: write host:port"},
        {"host:", "has no port after the colon: write host:port"},
        {":2222", "has no host: write host:port"},
        {"host:0", "has a port that is not between 1 and 65535"},
        {"host:70000", "has a port that is not between 1 and 65535"},
        {"host:99999999999999999999", "has a port that is not between 1 and 65535"},
        {"host:-1", "has a port that is not a number"},
        {"host:+1", "has a port that is not a number"},
        {"host:22x", "has a port that is not a number"},
        {"host:22 22", "contains white space or a control character"},
        {" host:22", "contains white space or a control character"},
        {"ho\x01st:22", "contains white space or a control character"},
        {"::1:2222", "has an IPv6 address without brackets: write [::1]:2222"},
        {"fe80::1", "has an IPv6 address without brackets: write [::1]:2222"},
        {"[::1]", "has no port: write host:port"},
        {"[::1:2222", "has a bracket that is not closed"},
        {"[]:1", "has no host: write host:port"},
        {"[host]:1", "has brackets around what is no IPv6 address"},
        {"[1.2.3.4]:1", "has brackets around what is no IPv6 address"},
        {"[::]:1", "means every address of a host: name the one to connect to"},
        {"0.0.0.0:1", "means every address of a host: name the one to connect to"},
        {"[0:0::0]:1", "means every address of a host: name the one to connect to"},
        {"255.255.255.255:1", "means many hosts: name the one to connect to"},
        {"224.0.0.1:1", "means many hosts: name the one to connect to"},
        {"239.255.255.250:1", "means many hosts: name the one to connect to"},
        {"[ff02::1]:1", "means many hosts: name the one to connect to"},
        {"[::ffff:0.0.0.0]:1", "has an IPv4 address in the form of IPv6"},
        {"[::ffff:7f00:1]:1", "has an IPv4 address in the form of IPv6"},
        {"0x00000000:1", "has a host of digits that is no IPv4 address"},
        {"0x7f000001:1", "has a host of digits that is no IPv4 address"},
        {"0X7F.1:1", "has a host of digits that is no IPv4 address"},
        {"127.0x1:1", "has a host of digits that is no IPv4 address"},
        {"0x:1", "has a host of digits that is no IPv4 address"},
        {"0:1", "has a host of digits that is no IPv4 address"},
        {"0177.0.0.1:1", "has a host of digits that is no IPv4 address"},
        {"127.0.0.01:1", "has a host of digits that is no IPv4 address"},
        {"0.0.0.0.:1", "has a host of digits that is no IPv4 address"},
        {"0x0.:1", "has a host of digits that is no IPv4 address"},
        {"10.0.0.256:1", "has a host of digits that is no IPv4 address"},
        {"10.0.1:1", "has a host of digits that is no IPv4 address"},
        {"grpc://host:22", "has a scheme: write only host:port"},
        {"a..b:1", "has an empty part in its host"},
        {".a:1", "has an empty part in its host"},
        {"-a:1", "has a host that begins with a dash"},
        {"a/b:1", "has a character that no host name has"},
        {"h\xc3\xb6st:1", "has a character that no host name has"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_address address = {.port = 7};
        char reason[96] = "";
        if (mu_address_parse(rows[i].text, &address, reason, sizeof(reason)))
            fail_msg("accepted: %s", rows[i].text);
        assert_string_equal(reason, rows[i].reason);
        assert_int_equal(address.port, 7); /* untouched */
    }
}

static void a_host_of_300_characters_is_refused(void **state)
{
    char text[400], reason[96];
    struct mu_address address;
    memset(text, 'a', 300);
    strcpy(text + 300, ":2222");
    assert_false(mu_address_parse(text, &address, reason, sizeof(reason)));
    assert_string_equal(reason, "has a host of more than 253 characters");
    for (int i = 63; i < 254; i += 64)
        text[i] = '.';
    strcpy(text + 254, ":2222"); /* 254 characters, in parts that would do */
    assert_false(mu_address_parse(text, &address, reason, sizeof(reason)));
    assert_string_equal(reason, "has a host of more than 253 characters");
    strcpy(text + 253, ":2222");
    assert_true(mu_address_parse(text, &address, reason, sizeof(reason)));
    text[63] = 'a';
    assert_false(mu_address_parse(text, &address, reason, sizeof(reason)));
    assert_string_equal(reason, "has a part of its host of more than 63 characters");
}

static void a_reason_need_not_be_asked_for(void **state)
{
    struct mu_address address;
    assert_false(mu_address_parse("host", &address, NULL, 0));
}

static void loopback_is_known_in_all_its_forms(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } rows[] = {{"127.0.0.1:1", true}, {"127.9.9.9:1", true}, {"localhost:1", true},
        {"LocalHost.:1", true}, {"[::1]:1", true}, {"128.0.0.1:1", false}, {"[::2]:1", false},
        {"host:1", false}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_address address;
        assert_true(mu_address_parse(rows[i].text, &address, NULL, 0));
        assert_int_equal(mu_address_is_loopback(&address), rows[i].loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_keep_their_meaning),
        cmocka_unit_test(bad_addresses_say_what_is_wrong),
        cmocka_unit_test(a_host_of_300_characters_is_refused),
        cmocka_unit_test(a_reason_need_not_be_asked_for),
        cmocka_unit_test(loopback_is_known_in_all_its_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
