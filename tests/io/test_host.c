/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/host.h"
#include "tests/support/test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A socket that listens there, at a free port if *port is 0; or -1. */
static int listen_at(const char *host, int *port)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)*port)};
    bool is_ip6 = inet_pton(AF_INET6, host, &ip6.sin6_addr) == 1;
    struct sockaddr *address = is_ip6 ? (struct sockaddr *)&ip6 : (struct sockaddr *)&ip4;
    socklen_t bytes = is_ip6 ? sizeof(ip6) : sizeof(ip4);
    (void)inet_pton(AF_INET, host, &ip4.sin_addr);
    int fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, address, bytes) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, address, &bytes) == 0) {
        *port = ntohs(is_ip6 ? ip6.sin6_port : ip4.sin_port);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* "test_host", or what runs it. */
static const char *own_name(void)
{
    static char name[17];
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    return name;
}

static void the_holder_of_a_port_is_the_one_at_the_same_address(void **state)
{
    (void)state;
    static const struct {
        const char *held, *asked;
        bool same;
    } rows[] = {{"127.10.0.2", "127.10.0.2", true}, {"127.10.0.2", "127.10.0.3", false},
        {"127.10.0.2", "::1", false}, {"0.0.0.0", "127.10.0.3", true},
        {"127.10.0.2", "some-name", true}, {"::1", "::1", true}, {"::1", "127.10.0.2", false},
        {"::", "127.10.0.2", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mu_host_holder holder;
        int port = 0, fd = listen_at(rows[i].held, &port);
        if (fd < 0) /* a machine without IPv6 */
            continue;
        if (mu_host_port_holder(rows[i].asked, port, &holder) != rows[i].same)
            fail_msg("held at %s, asked for %s", rows[i].held, rows[i].asked);
        if (rows[i].same) {
            assert_int_equal(holder.process, getpid());
            assert_string_equal(holder.name, own_name());
            assert_non_null(strstr(holder.command, program_invocation_short_name));
            assert_false(holder.stopped);
        }
        close(fd);
    }
}

static void a_holder_that_is_stopped_is_known_to_be(void **state)
{
    (void)state;
    struct mu_host_holder holder;
    int port = 0, fd = listen_at("127.10.0.2", &port), status;
    assert_true(fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    close(fd);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_true(mu_host_port_holder("127.10.0.2", port, &holder));
    assert_int_equal(holder.process, child);
    assert_true(holder.stopped);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_false(mu_host_port_holder("127.10.0.2", port, &holder));
}

/* The id of a process is used again; with its beginning it names one. */
static void a_process_has_a_beginning_for_as_long_as_it_lives(void **state)
{
    (void)state;
    int status;
    long long own = mu_host_process_started(getpid());
    assert_true(own > 0);
    assert_int_equal(mu_host_process_started(getpid()), own);
    assert_true(mu_host_process_started(1) <= own);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(mu_host_process_started(child), -1); /* a zombie */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(mu_host_process_started(child), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_holder_of_a_port_is_the_one_at_the_same_address),
        cmocka_unit_test(a_holder_that_is_stopped_is_known_to_be),
        cmocka_unit_test(a_process_has_a_beginning_for_as_long_as_it_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
