/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"
#include "loopback.h"
#include "roles/library/group_open.h"
#include "test.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mu_address addresses[MU_GROUP_RANKS_MAX + 1];

static int new_listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static enum mu_status open_place(int count, int listen_fd, struct mu_group **ret_group)
{
    static struct mu_test_log log;
    mu_test_log_init(&log);
    const struct mu_build_options options = {.log = &log.log};
    const struct mu_group_place place = {
        .count = count, .address = addresses, .listen_fd = listen_fd};
    return mu_group_open_place(&place, &options, MU_SECOND, ret_group);
}

static void a_group_of_one_closes_the_port_that_it_does_not_need(void **state)
{
    (void)state;
    struct mu_group *group;
    int fd = new_listener();
    assert_ok(open_place(1, fd, &group));
    assert_false(is_open(fd));
    mu_group_close(group);
}

static void a_port_is_taken_where_there_are_no_descriptors_for_a_loop(void **state)
{
    (void)state;
    struct mu_group *group;
    struct rlimit before, none;
    int fd = new_listener();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum mu_status status = open_place(2, fd, &group);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, MU_NO_MEMORY);
    assert_false(is_open(fd));
}

static void more_ranks_than_a_group_may_have_are_refused(void **state)
{
    (void)state;
    struct mu_group *group;
    int fd = new_listener();
    assert_int_equal(open_place(MU_GROUP_RANKS_MAX + 1, fd, &group), MU_USAGE);
    assert_false(is_open(fd));
}

static void a_group_that_is_not_opened_is_null(void **state)
{
    (void)state;
    const struct mu_group_options options = {
        .count = 1, .rank = 1, .addresses = (const char *const[]){"127.0.0.1:1"}};
    struct mu_group *group = (struct mu_group *)(uintptr_t)&options;
    assert_int_equal(mu_group_open(&options, &group), MU_CONFIG);
    assert_null(group);
}

static void a_time_that_is_none_is_refused(void **state)
{
    (void)state;
    static const double none[] = {-1, -(double)INFINITY, NAN};
    for (size_t i = 0; i < MU_COUNT_OF(none); i++) {
        const struct mu_group_options options = {.count = 1,
            .addresses = (const char *const[]){"127.0.0.1:1"},
            .timeout_seconds = none[i]};
        struct mu_group *group;
        assert_int_equal(mu_group_open(&options, &group), MU_USAGE);
        assert_non_null(strstr(mu_group_error(NULL), "timeout_seconds is "));
    }
}

/* ---- each with a log of its own ---- */

static struct mu_group *open_alone(void)
{
    const struct mu_group_options options = {
        .count = 1, .addresses = (const char *const[]){"127.0.0.1:1"}};
    struct mu_group *group;
    assert_ok(mu_group_open(&options, &group));
    return group;
}

/* What one has failed with does not show in the other. */
static void an_error_is_that_of_the_last_opening(void **state)
{
    (void)state;
    const struct mu_group_options wrong[] = {
        {.count = 1, .addresses = (const char *const[]){"127.0.0.1:1"}, .transport = "pigeon"},
        {.count = 1, .addresses = (const char *const[]){"127.0.0.1:1"}, .transport = "inproc"},
        {.count = 1, .addresses = (const char *const[]){"127.0.0.1:1"}, .algorithm = "magic"},
    };
    struct mu_group *one = open_alone(), *two = open_alone(), *none;
    const char *const said[] = {"pigeon", "inproc", "magic"};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        assert_int_equal(mu_group_open(&wrong[i], &none), MU_USAGE);
        assert_non_null(strstr(mu_group_error(NULL), said[i]));
    }
    mu_group_close(one);
    assert_ok(mu_group_barrier(two));
    mu_group_close(two);
}

static void sums_travel_as_float32_or_half_of_it(void **state)
{
    (void)state;
    for (enum mu_dtype wire = 0; wire < MU_DTYPE_COUNT; wire++) {
        const struct mu_group_options options = {
            .count = 1, .addresses = (const char *const[]){"127.0.0.1:1"}, .wire = wire};
        struct mu_group *group = NULL;
        bool known = wire == MU_FLOAT32 || wire == MU_FLOAT16 || wire == MU_BFLOAT16;
        assert_int_equal(mu_group_open(&options, &group), known ? MU_OK : MU_USAGE);
        if (known)
            mu_group_close(group);
        else
            assert_non_null(strstr(mu_group_error(NULL), "sums of float32 cannot travel as"));
    }
}

/* ---- a rank that is stopped ---- */

static int bind_port(struct mu_address *ret_address)
{
    int fd = loopback_bind(ret_address);
    assert_true(fd >= 0);
    return fd;
}

static enum mu_status open_pair(
    const struct mu_address pair[], int rank, int listen_fd, struct mu_group **ret_group)
{
    static struct mu_test_log log;
    mu_test_log_init(&log);
    const struct mu_build_options options = {
        .log = &log.log, .transport = "shm", .algorithm = "direct", .timeout_ns = 300 * MU_MS};
    const struct mu_group_place place = {
        .rank = rank, .count = 2, .address = pair, .listen_fd = listen_fd};
    return mu_group_open_place(&place, &options, 60 * MU_SECOND, ret_group);
}

/* Two operations, then it stops where it is. */
static int stop_after_two(const struct mu_address pair[], int listen_fd)
{
    struct mu_group *group;
    float value = 1;
    if (open_pair(pair, 1, listen_fd, &group) != MU_OK)
        return 1;
    group->timeout_ns = 60 * MU_SECOND;
    for (int i = 0; i < 2; i++)
        if (mu_group_allreduce(group, &value, 1, MU_FLOAT32, MU_SUM) != MU_OK)
            return 1;
    raise(SIGSTOP);
    return 0;
}

static void a_stopped_rank_is_named_with_what_it_did_last_and_since_when(void **state)
{
    (void)state;
    struct mu_address pair[2];
    struct mu_group *group;
    int fd[2] = {bind_port(&pair[0]), bind_port(&pair[1])};
    float value = 1;
    pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        close(fd[0]);
        _exit(stop_after_two(pair, fd[1]));
    }
    close(fd[1]);
    assert_ok(open_pair(pair, 0, fd[0], &group));
    for (int i = 0; i < 2; i++) {
        group->timeout_ns = 60 * MU_SECOND;
        assert_ok(mu_group_allreduce(group, &value, 1, MU_FLOAT32, MU_SUM));
    }
    group->timeout_ns = 300 * MU_MS;
    assert_int_equal(waitpid(other, NULL, WUNTRACED), other);
    enum mu_status status = mu_group_allreduce(group, &value, 1, MU_FLOAT32, MU_SUM);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    assert_int_equal(status, MU_TIMEOUT);
    const char *error = mu_group_error(group);
    char late[120];
    snprintf(late, sizeof(late),
        "rank 1 (127.0.0.1:%d) has not entered it; last seen after all-reduce 2 ", pair[1].port);
    if (!strstr(error, late) || !strstr(error, " ago, and does not answer"))
        fail_msg("%s", error);
    mu_group_close(group);
}

/* ---- ranks of which only one has met all ---- */

static enum mu_status open_of_three(
    const struct mu_address three[], int rank, int listen_fd, int64_t timeout_ns, char error[])
{
    static struct mu_test_log log;
    struct mu_group *group;
    mu_test_log_init(&log);
    const struct mu_build_options options = {.log = &log.log, .timeout_ns = timeout_ns};
    const struct mu_group_place place = {
        .rank = rank, .count = 3, .address = three, .listen_fd = listen_fd, .id = 7};
    enum mu_status status = mu_group_open_place(&place, &options, timeout_ns, &group);
    snprintf(error, sizeof(log.text), "%s", log.text);
    if (status == MU_OK)
        mu_group_close(group);
    return status;
}

static void who_has_met_all_is_told_why_the_others_gave_up(void **state)
{
    (void)state;
    struct mu_address three[3], nowhere;
    char error[sizeof(((struct mu_test_log *)0)->text)], expected[120];
    int fd[3] = {bind_port(&three[0]), bind_port(&three[1]), bind_port(&three[2])};
    const struct mu_address rank_1 = three[1];
    int closed = bind_port(&nowhere);
    pid_t other[3];
    for (int r = 1; r < 3; r++) {
        other[r] = fork();
        assert_true(other[r] >= 0);
        if (other[r] > 0)
            continue;
        close(fd[0]);
        close(fd[3 - r]);
        three[1] = r == 2 ? nowhere : rank_1;
        enum mu_status given_up = open_of_three(three, r, fd[r], MU_SECOND, error);
        _exit(given_up == MU_UNAVAILABLE ? 0 : 1);
    }
    close(fd[1]);
    close(fd[2]);
    close(closed);
    enum mu_status status = open_of_three(three, 0, fd[0], 60 * MU_SECOND, error);
    for (int r = 1; r < 3; r++) {
        int code;
        assert_int_equal(waitpid(other[r], &code, 0), other[r]);
        assert_int_equal(code, 0);
    }
    snprintf(expected, sizeof(expected), "rank 1 (127.0.0.1:%d) goes no further: ", rank_1.port);
    bool by_rank_1 = strstr(error, expected);
    snprintf(expected, sizeof(expected), "rank 2 (127.0.0.1:%d) goes no further: ", three[2].port);
    if (status != MU_TIMEOUT || (!by_rank_1 && !strstr(error, expected)) ||
        !strstr(error, "not all 3 ranks came within "))
        fail_msg("%s: %s", mu_status_text(status), error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_of_one_closes_the_port_that_it_does_not_need),
        cmocka_unit_test(a_port_is_taken_where_there_are_no_descriptors_for_a_loop),
        cmocka_unit_test(more_ranks_than_a_group_may_have_are_refused),
        cmocka_unit_test(a_group_that_is_not_opened_is_null),
        cmocka_unit_test(a_time_that_is_none_is_refused),
        cmocka_unit_test(an_error_is_that_of_the_last_opening),
        cmocka_unit_test(sums_travel_as_float32_or_half_of_it),
        cmocka_unit_test(who_has_met_all_is_told_why_the_others_gave_up),
        cmocka_unit_test(a_stopped_rank_is_named_with_what_it_did_last_and_since_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
