/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/simulate.h"
#include <errno.h>
#include <math.h>

/*
 * A small cluster: task 0 listens, every other task connects and sends what its steps yield, with
 * heartbeats in between. Its code is role code in little: it sees a world and nothing else. Nothing
 * asserts in here, for it runs on fibers.
 */
#define TASKS 4
#define PORT 2222
#define STEP_BYTES ((size_t)1 << 20)

struct node {
    struct mu_sim *sim;
    struct mu_world *world;
    struct mu_log *log;
    const char *server; /* address */
    int steps, task;

    struct mu_loop *loop;
    struct mu_stream *streams[TASKS];
    int stream_count, ended_count, end_error;
    size_t got;
    bool connected, written, all_ended, sends_for_ever;
    enum mu_status status, last_write;
    int64_t last_ns, ended_ns;
    uint8_t scratch[1 << 16];
};

static struct node nodes[TASKS];
static uint8_t step_data[STEP_BYTES];

static void on_connected(void *owner, enum mu_status status, int error)
{
    struct node *node = owner;
    node->connected = true;
    node->status = status;
}

static void on_room(void *owner, void **ret_at, size_t *ret_bytes)
{
    struct node *node = owner;
    *ret_at = node->scratch;
    *ret_bytes = sizeof(node->scratch);
}

static void on_got(void *owner, size_t bytes)
{
    struct node *node = owner;
    node->got += bytes;
    node->last_ns = mu_now(node->world);
}

static void on_ended(void *owner, int error)
{
    struct node *node = owner;
    node->end_error = error;
    node->ended_ns = mu_now(node->world);
    node->all_ended = ++node->ended_count >= node->stream_count;
}

static const struct mu_stream_events events = {
    .connected = on_connected, .room = on_room, .got = on_got, .ended = on_ended};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct node *node = owner;
    node->streams[node->stream_count++] = stream;
    node->all_ended = false;
    node->loop->ops->own(stream, &events, node);
}

static void on_written(struct mu_write *write, enum mu_status status)
{
    struct node *node = write->owner;
    node->written = true;
    node->last_write = status;
}

static void close_all(struct node *node)
{
    for (int i = 0; i < node->stream_count; i++)
        node->loop->ops->close(node->streams[i]);
    node->loop->ops->destroy(node->loop);
}

static void serve(void *argument)
{
    struct node *node = argument;
    struct mu_listener *listener;
    struct mu_address address = {.port = PORT};
    int error;
    mu_format(address.host, sizeof(address.host), "%s", node->world->host);
    if (node->world->ops->loop_create(node->world, &node->loop) != MU_OK ||
        node->loop->ops->listen(node->loop, &address, -1, on_accepted, node, &listener, &error) !=
            MU_OK)
        return;
    node->status = mu_loop_until(node->loop, &node->all_ended, mu_now(node->world) + MU_SECOND);
    mu_say(node->log, MU_LEVEL_INFO, "served %zu bytes", node->got);
    node->loop->ops->listener_close(listener);
    close_all(node);
}

static bool send_step(struct node *node, int64_t step)
{
    struct mu_write write = {.done = on_written, .owner = node};
    const struct mu_part part = {step_data, STEP_BYTES};
    node->world->ops->computed(node->world, step, 1);
    node->written = false;
    node->loop->ops->write(node->streams[0], &write, &part, 1);
    (void)!mu_loop_until(node->loop, &node->written, MU_FOREVER);
    return node->last_write == MU_OK;
}

static void work(void *argument)
{
    struct node *node = argument;
    struct mu_address address = {.port = PORT};
    mu_format(address.host, sizeof(address.host), "%s", node->server);
    if (node->world->ops->loop_create(node->world, &node->loop) != MU_OK ||
        node->loop->ops->connect(node->loop, &address, &events, node, &node->streams[0]) != MU_OK)
        return;
    node->stream_count = 1;
    (void)!mu_loop_until(node->loop, &node->connected, mu_now(node->world) + MU_SECOND);
    uint64_t identity;
    node->world->ops->random_bytes(node->world, &identity, sizeof(identity));
    mu_say(node->log, MU_LEVEL_INFO, "connected as %016llx", (unsigned long long)identity);
    for (int64_t step = 0; node->status == MU_OK && (node->sends_for_ever || step < node->steps);
         step++) {
        if (!send_step(node, step))
            break;
    }
    if (node->status != MU_OK)
        node->stream_count = 0; /* it has closed itself */
    close_all(node);
}

/* ---- the stage ---- */

struct stage {
    struct mu_sim *sim;
    struct mu_test_log log;
    char *events;
    size_t event_bytes;
    FILE *file;
};

static struct stage stage;

static struct mu_sim_options plain(int tasks, uint64_t seed)
{
    return (struct mu_sim_options){.tasks = tasks,
        .seed = seed,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 5 * MU_MS, .sigma = 0.3},
        .link_bits_per_second = INT64_C(1000000000),
        .link_latency_ns = 100000,
        .level = MU_LEVEL_INFO};
}

static void set_up(struct mu_sim_options options, int steps)
{
    memset(nodes, 0, sizeof(nodes));
    stage.file = open_memstream(&stage.events, &stage.event_bytes);
    assert_non_null(stage.file);
    options.events = stage.file;
    assert_ok(mu_sim_create(&options, mu_test_log_init(&stage.log), &stage.sim));
    for (int i = 0; i < options.tasks; i++) {
        nodes[i] = (struct node){.sim = stage.sim,
            .world = mu_sim_task_world(stage.sim, i),
            .log = mu_sim_task_log(stage.sim, i),
            .server = mu_sim_task_host(stage.sim, 0),
            .steps = steps,
            .task = i};
        assert_ok(mu_sim_start(stage.sim, i, "main", i == 0 ? serve : work, &nodes[i]));
    }
}

static int take_down(void **state)
{
    mu_sim_destroy(stage.sim);
    if (stage.file)
        fclose(stage.file);
    free(stage.events);
    memset(&stage, 0, sizeof(stage));
    return 0;
}

/* The events of a whole run, on the heap. */
static char *events_of(uint64_t seed)
{
    set_up(plain(TASKS, seed), 3);
    assert_ok(mu_sim_run(stage.sim));
    assert_int_equal(nodes[0].got, (TASKS - 1) * 3 * STEP_BYTES);
    char *text = strdup(stage.events);
    take_down(NULL);
    return text;
}

/* ---- claims ---- */

static void equal_seeds_give_equal_events_and_others_do_not(void **state)
{
    char *first = events_of(1), *again = events_of(1), *other = events_of(2);
    assert_true(strlen(first) > 1000);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    free(first);
    free(again);
    free(other);
}

static void events_tell_what_happened(void **state)
{
    char *text = events_of(1);
    static const char *const told[] = {"0.000000000 task/0 listens at 10.0.0.1:2222\n",
        "0.000000000 task/1 connects to 10.0.0.1:2222\n", "0.000200000 task/1 is connected to",
        "task/1 info: connected as ", "task/2 computes 1.0000 of step 0 for ",
        " bytes from 10.0.0.4:40000\n", "task/0 sees the end of 10.0.0.2:40000\n",
        "task/0 info: served 9437184 bytes\n", "simulation ends: OK\n"};
    for (size_t i = 0; i < MU_COUNT_OF(told); i++) {
        if (!strstr(text, told[i]))
            fail_msg("expected \"%s\" in:\n%s", told[i], text);
    }
    free(text);
}

static void a_transfer_takes_its_bytes_over_the_rate_plus_the_latency(void **state)
{
    struct mu_sim_options options = plain(2, 1);
    options.compute = (struct mu_sim_compute){.kind = MU_SIM_COMPUTE_FIXED, .mean_ns = 7 * MU_MS};
    set_up(options, 1);
    assert_ok(mu_sim_run(stage.sim));
    /* Connect and answer, then a step of 7 ms, then 2^23 bits at 1 per ns, and the way there. */
    int64_t expected_ns = 200000 + 7 * MU_MS + (int64_t)STEP_BYTES * 8 + 100000;
    assert_int_equal(nodes[0].got, STEP_BYTES);
    assert_in_range(nodes[0].last_ns, expected_ns * 99 / 100, expected_ns * 101 / 100);
}

static void a_killed_task_ends_all_its_streams(void **state)
{
    set_up(plain(TASKS, 3), 5);
    nodes[1].sends_for_ever = true;
    assert_ok(mu_sim_kill(stage.sim, 1, 30 * MU_MS));
    assert_ok(mu_sim_run(stage.sim));
    assert_true(mu_sim_task_killed(stage.sim, 1));
    assert_false(mu_sim_task_killed(stage.sim, 2));
    assert_int_equal(nodes[0].ended_count, TASKS - 1);
    assert_non_null(strstr(stage.events, "0.030000000 task/1 is killed\n"));
    assert_non_null(strstr(stage.events, "task/0 sees the end of 10.0.0.2:40000\n"));
}

static void a_killed_server_unblocks_who_writes_to_it(void **state)
{
    set_up(plain(3, 3), 0);
    nodes[1].sends_for_ever = nodes[2].sends_for_ever = true;
    assert_ok(mu_sim_kill(stage.sim, 0, 40 * MU_MS));
    assert_ok(mu_sim_run(stage.sim));
    for (int i = 1; i < 3; i++) {
        assert_int_equal(nodes[i].ended_count, 1);
        assert_int_equal(nodes[i].last_write, MU_CLOSED);
        assert_in_range(nodes[i].ended_ns, 40 * MU_MS, 60 * MU_MS);
    }
}

static void nobody_listens_where_a_task_was_killed(void **state)
{
    set_up(plain(2, 3), 1);
    assert_ok(mu_sim_kill(stage.sim, 0, 0));
    assert_ok(mu_sim_run(stage.sim));
    assert_int_equal(nodes[1].status, MU_UNAVAILABLE);
}

static void a_killed_task_can_start_again(void **state)
{
    set_up(plain(3, 3), 6);
    assert_ok(mu_sim_pause(stage.sim, 1, 11 * MU_MS, 14 * MU_MS)); /* ends with the old one */
    assert_ok(mu_sim_kill(stage.sim, 1, 12 * MU_MS));
    assert_ok(mu_sim_restart(stage.sim, 1, 13 * MU_MS, "main", work, &nodes[1]));
    assert_ok(mu_sim_run(stage.sim));
    assert_false(mu_sim_task_killed(stage.sim, 1));
    assert_int_equal(nodes[0].ended_count, 3);
    assert_true(nodes[0].got >= 12 * STEP_BYTES);
    assert_non_null(strstr(stage.events, "0.013000000 task/1 starts again: OK\n"));
    assert_null(strstr(stage.events, "goes on"));
}

static void a_paused_task_is_silent_and_loses_nothing(void **state)
{
    set_up(plain(2, 3), 4);
    assert_ok(mu_sim_pause(stage.sim, 0, 10 * MU_MS, 400 * MU_MS));
    assert_ok(mu_sim_run(stage.sim));
    assert_int_equal(nodes[0].got, 4 * STEP_BYTES);
    assert_true(nodes[0].last_ns >= 400 * MU_MS);
    assert_int_equal(nodes[0].end_error, 0);
    const char *stopped = strstr(stage.events, "task/0 is stopped\n");
    const char *next = strstr(stopped + 20, " task/0 ");
    assert_non_null(stopped);
    assert_memory_equal(next, " task/0 goes on\n", 16);
}

static void a_task_paused_for_ever_is_one_its_peers_must_give_up(void **state)
{
    set_up(plain(2, 3), 1);
    assert_ok(mu_sim_pause(stage.sim, 1, 1 * MU_MS, MU_FOREVER));
    assert_ok(mu_sim_kill(stage.sim, 1, 3 * MU_SECOND));
    assert_ok(mu_sim_run(stage.sim));
    assert_int_equal(nodes[0].status, MU_TIMEOUT);
    assert_int_equal(nodes[0].ended_count, 0);
}

/* ---- faults as functions ---- */

static int64_t cut_after_20_ms(void *owner, int from, int to, int64_t now_ns)
{
    (*(int *)owner)++;
    return now_ns > 20 * MU_MS && from == 1 ? MU_FOREVER : 0;
}

static void a_cut_link_is_silence(void **state)
{
    int asked = 0;
    const struct mu_sim_faults faults = {.owner = &asked, .link_delay_ns = cut_after_20_ms};
    struct mu_sim_options options = plain(2, 3);
    options.faults = &faults;
    set_up(options, 10);
    assert_ok(mu_sim_run(stage.sim));
    assert_true(asked > 4);
    assert_int_equal(nodes[0].status, MU_TIMEOUT);
    assert_true(nodes[0].got < 10 * STEP_BYTES);
    assert_int_equal(nodes[0].ended_count, 0);
}

static int64_t stop_or_kill(void *owner, int task, int64_t now_ns)
{
    int *asked = owner;
    if (task != 1)
        return 0;
    ++*asked;
    return *asked == 3 ? 50 * MU_MS : *asked == 6 ? MU_SIM_KILL : 0;
}

static void the_faults_may_stop_and_kill_who_is_about_to_run(void **state)
{
    int asked = 0;
    const struct mu_sim_faults faults = {.owner = &asked, .task_stop_ns = stop_or_kill};
    struct mu_sim_options options = plain(2, 3);
    options.faults = &faults;
    set_up(options, 10);
    assert_ok(mu_sim_run(stage.sim));
    assert_int_equal(asked, 6);
    assert_non_null(strstr(stage.events, "task/1 is stopped\n"));
    assert_non_null(strstr(stage.events, "task/1 goes on\n"));
    assert_true(mu_sim_task_killed(stage.sim, 1));
    assert_int_equal(nodes[0].ended_count, 1);
}

/* ---- bounds and computing ---- */

static void wait_for_nobody(void *argument)
{
    struct node *node = argument;
    struct mu_monitor *monitor;
    if (node->world->ops->monitor_create(node->world, &monitor) != MU_OK)
        return;
    node->world->ops->enter(node->world, monitor);
    (void)!node->world->ops->wait(node->world, monitor, MU_FOREVER);
}

static void a_deadlock_ends_the_simulation_and_names_the_threads(void **state)
{
    struct mu_sim_options options = plain(1, 1);
    assert_ok(mu_sim_create(&options, mu_test_log_init(&stage.log), &stage.sim));
    nodes[0] = (struct node){.world = mu_sim_task_world(stage.sim, 0)};
    assert_ok(mu_sim_start(stage.sim, 0, "main", wait_for_nobody, &nodes[0]));
    assert_int_equal(mu_sim_run(stage.sim), MU_BROKEN);
    assert_said(&stage.log, "task/0 main waits for a notify");
}

static void what_tasks_say_is_passed_on_with_their_names(void **state)
{
    static struct mu_test_log also;
    struct mu_sim_options options = plain(2, 1);
    options.also = mu_test_log_init(&also);
    set_up(options, 1);
    assert_ok(mu_sim_run(stage.sim));
    assert_said(&also, "task/0: served 1048576 bytes");
}

static void computing_times_have_their_mean_and_their_spread(void **state)
{
    const struct mu_sim_compute compute = {MU_SIM_COMPUTE_LOGNORMAL, 100 * MU_MS, .sigma = 0.5};
    enum { STEPS = 20000 };
    double sum = 0, log_sum = 0, log_squares = 0;
    for (int64_t step = 0; step < STEPS; step++) {
        double ns = (double)mu_sim_compute_ns(&compute, 11, 2, step);
        sum += ns;
        log_sum += log(ns);
        log_squares += log(ns) * log(ns);
    }
    double mean = sum / STEPS, log_mean = log_sum / STEPS;
    assert_float_equal(mean / 1e6, 100, 2);
    assert_float_equal(sqrt(log_squares / STEPS - log_mean * log_mean), 0.5, 0.02);
}

static void computing_times_depend_on_seed_task_and_step_only(void **state)
{
    const struct mu_sim_compute compute = {MU_SIM_COMPUTE_LOGNORMAL, 100 * MU_MS, .sigma = 0.5};
    int64_t ns = mu_sim_compute_ns(&compute, 1, 1, 1);
    assert_int_equal(mu_sim_compute_ns(&compute, 1, 1, 1), ns);
    assert_int_not_equal(mu_sim_compute_ns(&compute, 2, 1, 1), ns);
    assert_int_not_equal(mu_sim_compute_ns(&compute, 1, 2, 1), ns);
    assert_int_not_equal(mu_sim_compute_ns(&compute, 1, 1, 2), ns);
    const struct mu_sim_compute fixed = {MU_SIM_COMPUTE_FIXED, 100 * MU_MS, .sigma = 0};
    assert_int_equal(mu_sim_compute_ns(&fixed, 1, 2, 3), 100 * MU_MS);
}

static void stragglers_take_so_many_times_as_long_and_nobody_else_differs(void **state)
{
    const struct mu_sim_compute even = {MU_SIM_COMPUTE_LOGNORMAL, 100 * MU_MS, .sigma = 0.5};
    struct mu_sim_compute uneven = even;
    enum { TASKS_DRAWN = 5, STEPS = 4000 };
    int slow_count = 0, tasks_slow_at_once = 0;
    uneven.straggle_fraction = 0.02;
    uneven.straggle_factor = 10;
    for (int64_t step = 0; step < STEPS; step++) {
        int before = slow_count;
        for (int task = 0; task < TASKS_DRAWN; task++) {
            int64_t ns = mu_sim_compute_ns(&even, 3, task, step);
            int64_t with_ns = mu_sim_compute_ns(&uneven, 3, task, step);
            assert_true(with_ns == ns || with_ns / 10 == ns);
            slow_count += with_ns != ns;
        }
        tasks_slow_at_once += slow_count - before > 1;
    }
    /* Binomial: 400 with a deviation of 20; 15 pairs with one of 4. */
    assert_in_range(slow_count, 320, 480);
    assert_in_range(tasks_slow_at_once, 1, 40);
}

static void the_longest_computing_time_is_bounded(void **state)
{
    const struct mu_sim_compute wild = {MU_SIM_COMPUTE_LOGNORMAL, 10000000 * MU_MS, .sigma = 1,
        .straggle_fraction = 1, .straggle_factor = 1000};
    int64_t most = 0;
    for (int64_t step = 0; step < 1000; step++) {
        int64_t ns = mu_sim_compute_ns(&wild, 1, 1, step);
        assert_true(ns >= 0 && ns <= MU_SIM_COMPUTE_NS_MAX);
        most = ns > most ? ns : most;
    }
    assert_int_equal(most, MU_SIM_COMPUTE_NS_MAX);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, take_down)
    const struct CMUnitTest tests[] = {
        CASE(equal_seeds_give_equal_events_and_others_do_not),
        CASE(events_tell_what_happened),
        CASE(a_transfer_takes_its_bytes_over_the_rate_plus_the_latency),
        CASE(a_killed_task_ends_all_its_streams),
        CASE(a_killed_server_unblocks_who_writes_to_it),
        CASE(nobody_listens_where_a_task_was_killed),
        CASE(a_killed_task_can_start_again),
        CASE(a_paused_task_is_silent_and_loses_nothing),
        CASE(a_task_paused_for_ever_is_one_its_peers_must_give_up),
        CASE(a_cut_link_is_silence),
        CASE(the_faults_may_stop_and_kill_who_is_about_to_run),
        CASE(a_deadlock_ends_the_simulation_and_names_the_threads),
        CASE(what_tasks_say_is_passed_on_with_their_names),
        CASE(computing_times_have_their_mean_and_their_spread),
        CASE(computing_times_depend_on_seed_task_and_step_only),
        CASE(stragglers_take_so_many_times_as_long_and_nobody_else_differs),
        CASE(the_longest_computing_time_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
