/* SPDX-License-Identifier: Apache-2.0 */
#include "party.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Of another process, with one worker, which has its parameters. */
static struct mu_ps *open_and_stop(pid_t *ret_server)
{
    static struct party party;
    struct mu_ps *ps;
    party = (struct party){.server_count = 1, .options = party_row_options};
    party.options.count = COUNT;
    party.options.timeout_seconds = 30;
    party_find_ports(&party);
    struct actor *worker = &party.workers[0];
    worker->party = &party;
    const struct mu_ps_options options = party_options_of(worker);
    *ret_server = fork();
    assert_true(*ret_server >= 0);
    if (*ret_server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(mu_ps_serve(&options, NULL) == MU_OK ? 0 : 1);
    }
    assert_ok(mu_ps_open(&options, &ps));
    assert_ok(mu_ps_pull(ps, worker->vector, &worker->version));
    kill(*ret_server, SIGSTOP);
    assert_int_equal(waitpid(*ret_server, NULL, WUNTRACED), *ret_server);
    ps->place.timeout_ns = MU_MS;
    return ps;
}

static enum mu_status just_pull(struct mu_ps *ps)
{
    static float parameters[COUNT];
    int64_t version;
    return mu_ps_pull(ps, parameters, &version);
}

static enum mu_status just_pull_rows(struct mu_ps *ps)
{
    static const uint64_t id = 7;
    static float row[2];
    return mu_ps_pull_rows(ps, &id, 1, row);
}

static enum mu_status just_push_pull(struct mu_ps *ps)
{
    static float parameters[COUNT];
    static const float gradients[COUNT];
    return mu_ps_push_pull(ps, gradients, 0, parameters, NULL);
}

static void a_call_that_nobody_can_wait_for_again_breaks_the_handle(void **state)
{
    enum mu_status (*const calls[])(struct mu_ps * ps) = {
        just_pull, just_pull_rows, just_push_pull};
    for (size_t i = 0; i < MU_COUNT_OF(calls); i++) {
        pid_t server;
        char first[200], then[200];
        struct mu_ps *ps = open_and_stop(&server);
        enum mu_status in_vain = calls[i](ps);
        snprintf(first, sizeof(first), "%s", mu_ps_error(ps));
        enum mu_status again = calls[i](ps);
        snprintf(then, sizeof(then), "%s", mu_ps_error(ps));
        mu_ps_close(ps);
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        assert_int_equal(in_vain, MU_TIMEOUT);
        assert_non_null(strstr(first, "has not answered a pu"));
        assert_int_equal(again, MU_BROKEN);
        assert_string_equal(then, first);
    }
}

static void a_push_that_has_not_been_answered_can_be_waited_for_again(void **state)
{
    static const float gradients[COUNT];
    pid_t server;
    int push, code;
    struct mu_ps_result result;
    struct mu_ps *ps = open_and_stop(&server);
    enum mu_status pushed = mu_ps_push(ps, gradients, 0, NULL, &push);
    enum mu_status in_vain = mu_ps_wait(ps, push, NULL);
    kill(server, SIGCONT);
    assert_ok(pushed);
    assert_int_equal(in_vain, MU_TIMEOUT);
    ps->place.timeout_ns = 30 * MU_SECOND;
    assert_ok(mu_ps_wait(ps, push, &result));
    assert_int_equal(result.version, 1);
    assert_ok(just_push_pull(ps));
    mu_ps_close(ps);
    assert_int_equal(waitpid(server, &code, 0), server);
    assert_int_equal(code, 0);
}

static bool has_mapped_shared_memory(void)
{
    char line[512];
    bool has = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        has = has || strstr(line, "/dev/shm/muster-");
    fclose(maps);
    return has;
}

/* The push that it had not answered, too. */
static void a_server_that_is_killed_ends_the_calls_and_leaves_nothing(void **state)
{
    static const float gradients[COUNT];
    static float parameters[COUNT];
    const char *transport = getenv("MUSTER_PARTY_TRANSPORT");
    pid_t server;
    int push;
    struct mu_ps *ps = open_and_stop(&server);
    bool shared = has_mapped_shared_memory();
    ps->place.timeout_ns = 30 * MU_SECOND;
    enum mu_status pushed = mu_ps_push(ps, gradients, 0, parameters, &push);
    kill(server, SIGKILL);
    enum mu_status waited = mu_ps_wait(ps, push, NULL);
    enum mu_status then = just_pull(ps);
    assert_int_equal(waitpid(server, NULL, 0), server);
    assert_int_equal(shared, !transport || strcmp(transport, "tcp") != 0);
    assert_ok(pushed);
    assert_int_equal(waited, MU_CLOSED);
    assert_non_null(strstr(mu_ps_error(ps), "ps/0 is gone"));
    assert_int_equal(then, MU_BROKEN);
    mu_ps_close(ps);
    assert_false(has_mapped_shared_memory());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_nobody_can_wait_for_again_breaks_the_handle),
        cmocka_unit_test(a_push_that_has_not_been_answered_can_be_waited_for_again),
        cmocka_unit_test(a_server_that_is_killed_ends_the_calls_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
