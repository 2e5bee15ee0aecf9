/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "test.h"
#include "watch/notify.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int supervisor;
static char path[96];

/* A socket as systemd gives one: datagrams at $NOTIFY_SOCKET. */
static int open_supervisor(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof(path), "/tmp/muster-notify-%d", (int)getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    supervisor = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    return bind(supervisor, (const struct sockaddr *)&address, sizeof(address));
}

static int close_supervisor(void **state)
{
    unsetenv("NOTIFY_SOCKET");
    close(supervisor);
    return unlink(path);
}

static void expect(const char *expected)
{
    char text[256];
    ssize_t bytes = recv(supervisor, text, sizeof(text) - 1, 0);
    assert_true(bytes >= 0);
    text[bytes] = '\0';
    assert_string_equal(text, expected);
}

static void expect_nothing(void)
{
    char byte;
    assert_int_equal(recv(supervisor, &byte, 1, 0), -1);
}

/* If this build knows of one. */
static void a_supervisor_is_told(void **state)
{
    setenv("NOTIFY_SOCKET", path, 1);
    mu_notify_ready("4 of 4 here");
    if (!HAVE_SYSTEMD) {
        expect_nothing();
        return;
    }
    expect("READY=1\nSTATUS=4 of 4 here");
    mu_notify_status("step 812/1875");
    expect("STATUS=step 812/1875");
    mu_notify_watchdog();
    expect("WATCHDOG=1");
    mu_notify_stopping("saving");
    expect("STOPPING=1\nSTATUS=saving");
}

static void without_a_supervisor_nothing_is_sent(void **state)
{
    unsetenv("NOTIFY_SOCKET");
    mu_notify_ready("x");
    mu_notify_watchdog();
    expect_nothing();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_supervisor_is_told, open_supervisor, close_supervisor),
        cmocka_unit_test_setup_teardown(
            without_a_supervisor_nothing_is_sent, open_supervisor, close_supervisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
