/* SPDX-License-Identifier: Apache-2.0 */
#include "../io/link_pair.h"
#include "collectives/segments.h"
#include "collectives/transport/transport.h"
#include <signal.h>
#include <sys/wait.h>

/* Rank 0 is the test, rank 1 a process of its own; they find each other's memory over tcp. */
static struct link_pair pair;
static struct mu_test_log said;
static pid_t other;

struct end {
    struct mu_transport *tcp, *shm;
};
static struct end here;

static int64_t after(struct mu_world *world, int64_t ns)
{
    return mu_deadline(mu_now(world), ns);
}

static enum mu_status open_end(
    struct mu_loop *loop, struct mu_log *log, int rank, struct mu_link *link, struct end *end)
{
    struct mu_link *links[2] = {NULL, NULL};
    links[1 - rank] = link;
    MU_TRY(mu_tcp_open(loop, rank, 2, 1, links, &end->tcp));
    struct mu_segments *segments;
    MU_TRY(mu_segments_open(
        log, end->tcp, mu_shm_segment_bytes(2), after(loop->world, LINK_PAIR_TIME), &segments));
    if (!segments->all)
        return MU_UNAVAILABLE;
    return mu_shm_open(loop->world, rank, segments, end->tcp, &end->shm);
}

static void close_end(struct end *end)
{
    if (end->shm)
        end->shm->ops->close(end->shm);
    if (end->tcp)
        end->tcp->ops->close(end->tcp);
    *end = (struct end){0};
}

/* ---- rank 1 ---- */

static const char greeting[] = "from another process";

/* Sends one message, then waits for one that never comes. */
static enum mu_status other_run(const struct mu_address *address)
{
    static struct link_pair mine;
    static struct end end;
    static struct mu_op send, receive;
    struct mu_link *link;
    char never;
    mu_test_log_init(&said);
    MU_TRY(mu_real_world_init(&mine.real));
    MU_TRY(mine.real.world.ops->loop_create(&mine.real.world, &mine.loop));
    static const struct mu_link_events events = {
        .frame = mu_link_hold, .connected = link_pair_connected};
    MU_TRY(mu_link_connect(mine.loop, address, &events, &mine, &link));
    MU_TRY(mu_loop_until(mine.loop, &mine.connected, after(&mine.real.world, LINK_PAIR_TIME)));
    MU_TRY(open_end(mine.loop, &said.log, 1, link, &end));
    end.shm->ops->send(end.shm, &send, 0, 1, greeting, sizeof(greeting));
    end.shm->ops->receive(end.shm, &receive, 0, 2, &never, 1);
    return end.shm->ops->wait(end.shm, &receive, after(&mine.real.world, LINK_PAIR_TIME));
}

static int setup(void **state)
{
    (void)state;
    static const struct mu_link_events events = {.frame = mu_link_hold};
    struct mu_link *link;
    link_pair_begin(&pair);
    other = fork();
    assert_true(other >= 0);
    if (other == 0)
        _exit(other_run(&pair.address) == MU_OK ? 0 : 1);
    assert_ok(mu_link_accept(pair.loop, link_pair_stream(&pair), &events, &pair, &link));
    assert_ok(open_end(pair.loop, mu_test_log_init(&said), 0, link, &here));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    close_end(&here);
    link_pair_end(&pair);
    return 0;
}

/* ---- the cases ---- */

static struct mu_op receive;
static char heard[sizeof(greeting)];

static enum mu_status hear(int64_t deadline_ns)
{
    here.shm->ops->receive(here.shm, &receive, 1, 1, heard, sizeof(heard));
    return here.shm->ops->wait(here.shm, &receive, deadline_ns);
}

static void processes_talk_through_shared_memory(void **state)
{
    (void)state;
    assert_ok(hear(after(&pair.real.world, LINK_PAIR_TIME)));
    assert_string_equal(heard, greeting);
    assert_string_equal(said.text, "");
}

static void a_killed_process_ends_the_wait_and_what_it_sent_arrives(void **state)
{
    (void)state;
    assert_ok(hear(after(&pair.real.world, LINK_PAIR_TIME)));
    kill(other, SIGKILL);
    int64_t begin_ns = mu_now(&pair.real.world);
    assert_int_equal(hear(begin_ns + LINK_PAIR_TIME), MU_CLOSED);
    assert_true(mu_now(&pair.real.world) - begin_ns < 5 * MU_SECOND);
}

static void a_stopped_process_ends_the_wait_at_its_deadline_and_does_not_answer(void **state)
{
    (void)state;
    assert_ok(hear(after(&pair.real.world, LINK_PAIR_TIME)));
    kill(other, SIGSTOP);
    waitpid(other, NULL, WUNTRACED);
    int64_t deadline_ns = after(&pair.real.world, 20 * MU_MS);
    assert_int_equal(hear(deadline_ns), MU_TIMEOUT);
    here.shm->ops->survey(here.shm, after(&pair.real.world, 20 * MU_MS));
    assert_false(here.shm->seen[1].answers);
    kill(other, SIGCONT);
    here.shm->ops->survey(here.shm, after(&pair.real.world, LINK_PAIR_TIME));
    assert_true(here.shm->seen[1].answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(processes_talk_through_shared_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_killed_process_ends_the_wait_and_what_it_sent_arrives, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_stopped_process_ends_the_wait_at_its_deadline_and_does_not_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
