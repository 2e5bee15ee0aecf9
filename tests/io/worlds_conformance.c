/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "loopback.h"
#include "runtime/io/real_world.h"
#include "sim/simulate.h"
#include "worlds_cases.h"
#include <unistd.h>

/* What world.h and net.h promise, held against every world. */

static const struct {
    const char *name;
    world_case *run;
    bool of_hosts; /* about hosts and ports, of which unix sockets know nothing */
} cases[] = {
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name, false                                                                         \
    }
#define CASE_OF_HOSTS(name)                                                                        \
    {                                                                                              \
#name, name, true                                                                          \
    }
    CASE(sleep_lasts_until_its_deadline),
    CASE(random_bytes_differ),
    CASE(threads_exclude_each_other_in_a_monitor),
    CASE(wait_ends_at_its_deadline),
    CASE(notify_wakes_all_that_wait),
    CASE(two_threads_alternate),
    CASE(only_the_real_world_knows_who_is_stopped),
    CASE(what_is_said_is_heard_and_answered),
    CASE_OF_HOSTS(peers_have_names),
    CASE(large_transfers_survive_pauses),
    CASE(a_reader_that_pauses_stops_the_writer),
    CASE(writes_arrive_and_finish_in_order),
    CASE(gathered_writes_arrive_and_finish_in_order),
    CASE(close_finishes_gathered_writes),
    CASE(the_end_comes_after_the_last_byte),
    CASE(a_paused_reader_sees_the_end_when_it_resumes),
    CASE(closing_on_unread_bytes_is_a_reset),
    CASE(writes_are_over_before_the_end_is_told),
    CASE(close_finishes_writes_from_inside),
    CASE(connected_may_close),
    CASE(got_may_close),
    CASE(ended_may_close),
    CASE(accepted_may_close_stream_and_listener),
    CASE(closing_while_it_connects_is_silent),
    CASE_OF_HOSTS(where_nobody_listens_connections_are_refused),
    CASE_OF_HOSTS(a_name_that_nobody_has_is_no_input),
    CASE(a_port_has_one_listener_at_a_time),
    CASE_OF_HOSTS(only_addresses_of_this_host_can_be_listened_at),
    CASE_OF_HOSTS(unix_sockets_are_of_the_real_world),
    CASE(a_turn_ends_at_its_deadline),
    CASE(a_wake_from_another_thread_ends_the_turn),
    CASE(timers_tick_until_they_are_stopped),
    CASE(threads_talk_over_loops_of_their_own),
};

/* A port that the kernel has just found free. */
static int free_port(void)
{
    struct mu_address address;
    int fd = loopback_bind(&address);
    assert_true(fd >= 0);
    close(fd);
    return address.port;
}

static void run_in_the_real_world_at(world_case *run, const struct mu_address *address)
{
    struct mu_real_world real;
    assert_ok(mu_real_world_init(&real));
    const char *wrong = run(&real.world, address);
    mu_real_world_finish(&real);
    if (wrong)
        fail_msg("%s", wrong);
}

static void run_in_the_real_world(world_case *run)
{
    const struct mu_address address = {.host = "127.0.0.1", .port = free_port()};
    run_in_the_real_world_at(run, &address);
}

static void run_over_unix_sockets(world_case *run)
{
    struct mu_address address = {.port = 1};
    mu_format(address.host, MU_HOST_MAX, "unix:muster-worlds-%d", getpid());
    run_in_the_real_world_at(run, &address);
}

struct simulated {
    world_case *run;
    struct mu_world *world;
    struct mu_address address;
    const char *wrong;
};

static void simulated_main(void *argument)
{
    struct simulated *simulated = argument;
    simulated->wrong = simulated->run(simulated->world, &simulated->address);
}

static void run_in_the_simulated_world(world_case *run)
{
    static struct mu_test_log log;
    struct mu_sim *sim;
    const struct mu_sim_options options = {.tasks = 2,
        .seed = 7,
        .compute = {.mean_ns = MU_MS},
        .link_bits_per_second = INT64_C(10000000000),
        .link_latency_ns = 50000};
    assert_ok(mu_sim_create(&options, mu_test_log_init(&log), &sim));
    struct simulated simulated = {.run = run, .world = mu_sim_task_world(sim, 0)};
    mu_format(simulated.address.host, MU_HOST_MAX, "%s", mu_sim_task_host(sim, 0));
    simulated.address.port = 2222;
    assert_ok(mu_sim_start(sim, 0, "main", simulated_main, &simulated));
    enum mu_status status = mu_sim_run(sim);
    mu_sim_destroy(sim);
    if (simulated.wrong || status != MU_OK)
        fail_msg("%s\n%s", simulated.wrong ? simulated.wrong : "", log.text);
}

static const struct {
    const char *name;
    void (*run)(world_case *run);
    bool has_hosts;
} worlds[] = {{"real", run_in_the_real_world, true}, {"unix", run_over_unix_sockets, false},
    {"simulated", run_in_the_simulated_world, true}};

struct chosen {
    size_t world, number;
};

static void run_chosen(void **state)
{
    const struct chosen *chosen = *state;
    worlds[chosen->world].run(cases[chosen->number].run);
}

int main(void)
{
    static struct CMUnitTest tests[MU_COUNT_OF(worlds) * MU_COUNT_OF(cases)];
    static struct chosen chosen[MU_COUNT_OF(tests)];
    static char names[MU_COUNT_OF(tests)][100];
    size_t count = 0;
    for (size_t i = 0; i < MU_COUNT_OF(tests); i++) {
        struct chosen *one = &chosen[count];
        *one = (struct chosen){i / MU_COUNT_OF(cases), i % MU_COUNT_OF(cases)};
        if (cases[one->number].of_hosts && !worlds[one->world].has_hosts)
            continue;
        snprintf(names[count], sizeof(names[count]), "%s: %s", worlds[one->world].name,
            cases[one->number].name);
        tests[count] = (struct CMUnitTest){
            .name = names[count], .test_func = run_chosen, .initial_state = one};
        count++;
    }
    return _cmocka_run_group_tests("worlds", tests, count, NULL, NULL);
}
