/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/tcp_socket.h"
#include "test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define TWO_SEGMENTS (2 * (64 << 10)) /* of loopback */

static struct sockaddr_in address_of(const char *host)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
    return at;
}

/* A socket at `near`, connected to one at `far`. */
static int connect_from(const char *near, const char *far, int *ret_other)
{
    struct sockaddr_in own = address_of(near), door_at = address_of(far);
    socklen_t bytes = sizeof(door_at);
    int door = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&door_at, sizeof(door_at)), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&door_at, &bytes), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&door_at, sizeof(door_at)), 0);
    *ret_other = accept(door, NULL, NULL);
    assert_true(*ret_other >= 0);
    close(door);
    return fd;
}

static int held_bytes(int fd)
{
    int bytes = 0;
    socklen_t of_bytes = sizeof(bytes);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &of_bytes), 0);
    return bytes;
}

static void inside_a_host_no_more_is_held_than_asked_and_yet_two_segments(void **state)
{
    (void)state;
    static const struct {
        int asked, most;
    } cases[] = {{1, 2 * TWO_SEGMENTS}, {TWO_SEGMENTS, 2 * TWO_SEGMENTS}, {384 << 10, 384 << 10}};
    const int large = 1 << 20;
    for (int i = 0; i < (int)MU_COUNT_OF(cases); i++) {
        int far, near = connect_from("127.0.0.1", "127.0.0.1", &far);
        assert_int_equal(setsockopt(near, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large)), 0);
        mu_tcp_socket_hold_at_most(near, cases[i].asked);
        assert_true(held_bytes(near) > TWO_SEGMENTS);
        assert_true(held_bytes(near) <= cases[i].most);
        close(near);
        close(far);
    }
}

static void to_another_address_the_kernel_holds_what_it_likes(void **state)
{
    (void)state;
    int far, near = connect_from("127.0.0.1", "127.0.0.2", &far);
    int before = held_bytes(near);
    mu_tcp_socket_hold_at_most(near, 1 << 20);
    assert_int_equal(held_bytes(near), before);
    close(near);
    close(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_a_host_no_more_is_held_than_asked_and_yet_two_segments),
        cmocka_unit_test(to_another_address_the_kernel_holds_what_it_likes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
