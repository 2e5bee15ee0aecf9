/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/pipe.h"

#define GIGABIT INT64_C(1000000000)
#define LATENCY_NS INT64_C(100000)
#define MEBIBYTE ((size_t)1 << 20)

/* A pipe whose reader takes what comes at once, or not at all. */
struct line {
    struct mu_pipe pipe;
    bool hold;
    size_t taken_bytes;
    int64_t last_ns, departed_ns;
    uint8_t *taken;
    int64_t latency_ns;
};

static void on_departed(void *owner)
{
    struct line *line = owner;
    line->departed_ns = line->pipe.from->agenda->now_ns;
}

static void take(struct line *line)
{
    size_t bytes = mu_pipe_available(&line->pipe);
    mu_pipe_take(&line->pipe, line->taken + line->taken_bytes, bytes);
    line->taken_bytes += bytes;
}

static void on_arrived(void *owner)
{
    struct line *line = owner;
    line->last_ns = line->pipe.to->agenda->now_ns;
    if (!line->hold)
        take(line);
}

static int64_t latency(void *owner)
{
    return ((struct line *)owner)->latency_ns;
}

static const struct mu_pipe_events line_events = {
    .departed = on_departed, .arrived = on_arrived, .latency_ns = latency};

static struct mu_agenda agenda;
static struct mu_port ports[3];
static struct line lines[2];
static uint8_t *data;

static int setup(void **state)
{
    mu_agenda_init(&agenda);
    memset(lines, 0, sizeof(lines));
    for (int i = 0; i < 3; i++)
        assert_ok(mu_port_init(&ports[i], &agenda, GIGABIT));
    data = malloc(16 * MEBIBYTE);
    assert_non_null(data);
    for (size_t i = 0; i < 16 * MEBIBYTE; i++)
        data[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
    for (int i = 0; i < 2; i++) {
        lines[i].taken = calloc(1, 16 * MEBIBYTE);
        lines[i].latency_ns = LATENCY_NS;
        assert_non_null(lines[i].taken);
    }
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < 2; i++) {
        mu_pipe_finish(&lines[i].pipe);
        free(lines[i].taken);
    }
    for (int i = 0; i < 3; i++)
        mu_port_finish(&ports[i]);
    mu_agenda_finish(&agenda);
    free(data);
    return 0;
}

static void open_line(int number, int from, int to)
{
    struct line *line = &lines[number];
    mu_pipe_init(&line->pipe, &ports[from], &ports[to], &line_events, line);
    mu_pipe_open(&line->pipe);
}

static void write_bytes(int number, size_t bytes)
{
    assert_ok(mu_pipe_write(&lines[number].pipe, &(struct mu_part){data, bytes}, 1));
}

static void run(void)
{
    while (mu_agenda_advance(&agenda))
        ;
}

static int64_t wire_ns(size_t bytes)
{
    return (int64_t)bytes * 8 * MU_SECOND / GIGABIT;
}

static void assert_close_to(int64_t ns, int64_t expected_ns)
{
    assert_in_range(ns, expected_ns * 99 / 100, expected_ns * 101 / 100);
}

static void bytes_take_their_length_over_the_rate_plus_the_latency(void **state)
{
    open_line(0, 0, 1);
    write_bytes(0, MEBIBYTE);
    run();
    assert_int_equal(lines[0].taken_bytes, MEBIBYTE);
    assert_memory_equal(lines[0].taken, data, MEBIBYTE);
    assert_close_to(lines[0].last_ns, wire_ns(MEBIBYTE) + LATENCY_NS);
    assert_close_to(lines[0].departed_ns, wire_ns(MEBIBYTE));
}

static void the_slower_port_sets_the_pace(void **state)
{
    ports[1].bits_per_second = GIGABIT / 10;
    open_line(0, 0, 1);
    write_bytes(0, 2 * MEBIBYTE);
    run();
    assert_close_to(lines[0].last_ns, 10 * wire_ns(2 * MEBIBYTE) + LATENCY_NS);
}

static void two_pipes_share_a_sender_evenly(void **state)
{
    open_line(0, 0, 1);
    open_line(1, 0, 2);
    write_bytes(0, 3 * MEBIBYTE);
    write_bytes(1, 3 * MEBIBYTE);
    run();
    assert_close_to(lines[1].last_ns, wire_ns(6 * MEBIBYTE) + LATENCY_NS);
    /* The first is done one chunk earlier, not after half of the time. */
    assert_close_to(lines[0].last_ns, wire_ns(6 * MEBIBYTE - MU_PIPE_CHUNK_BYTES) + LATENCY_NS);
}

static void two_senders_share_a_receiver(void **state)
{
    open_line(0, 0, 2);
    open_line(1, 1, 2);
    write_bytes(0, 2 * MEBIBYTE);
    write_bytes(1, 2 * MEBIBYTE);
    run();
    assert_close_to(lines[1].last_ns, wire_ns(4 * MEBIBYTE) + LATENCY_NS);
    /* Each has left its own port at full speed. */
    assert_close_to(lines[0].departed_ns, wire_ns(2 * MEBIBYTE));
}

static void a_small_message_passes_between_the_chunks_of_a_large_one(void **state)
{
    open_line(0, 0, 1);
    open_line(1, 0, 1);
    write_bytes(0, 4 * MEBIBYTE);
    write_bytes(1, 100);
    run();
    assert_true(lines[1].last_ns <= wire_ns(3 * MU_PIPE_CHUNK_BYTES) + LATENCY_NS);
}

static void a_full_window_stops_the_sender(void **state)
{
    open_line(0, 0, 1);
    lines[0].hold = true;
    write_bytes(0, 10 * MEBIBYTE);
    run();
    assert_int_equal(mu_pipe_available(&lines[0].pipe), MU_PIPE_WINDOW_BYTES);
    assert_int_equal(lines[0].pipe.departed, MU_PIPE_WINDOW_BYTES);
    lines[0].hold = false;
    take(&lines[0]);
    run();
    assert_int_equal(lines[0].taken_bytes, 10 * MEBIBYTE);
    assert_memory_equal(lines[0].taken, data, 10 * MEBIBYTE);
}

static void bytes_are_those_of_the_time_of_the_write(void **state)
{
    uint8_t mine[3] = {1, 2, 3};
    open_line(0, 0, 1);
    assert_ok(mu_pipe_write(&lines[0].pipe, &(struct mu_part){mine, 3}, 1));
    mine[0] = 9;
    run();
    assert_int_equal(lines[0].taken[0], 1);
}

static void the_end_follows_what_has_set_out(void **state)
{
    open_line(0, 0, 1);
    write_bytes(0, 4 * MU_PIPE_CHUNK_BYTES);
    while (lines[0].pipe.departed == 0)
        assert_true(mu_agenda_advance(&agenda));
    mu_pipe_end(&lines[0].pipe, 104);
    run();
    assert_true(lines[0].pipe.end_arrived);
    assert_int_equal(lines[0].pipe.error, 104);
    assert_int_equal(lines[0].taken_bytes, 2 * MU_PIPE_CHUNK_BYTES); /* one gone, one going */
}

static void a_delay_does_not_reorder_and_a_loss_is_silence(void **state)
{
    open_line(0, 0, 1);
    lines[0].latency_ns = 50 * MU_MS;
    write_bytes(0, 1000);
    while (lines[0].pipe.departed == 0)
        assert_true(mu_agenda_advance(&agenda));
    lines[0].latency_ns = LATENCY_NS;
    write_bytes(0, 1000);
    run();
    assert_int_equal(lines[0].taken_bytes, 2000);
    assert_memory_equal(lines[0].taken + 1000, data, 1000);
    assert_true(lines[0].last_ns >= 50 * MU_MS);
    lines[0].latency_ns = MU_FOREVER;
    write_bytes(0, 1000);
    run();
    lines[0].latency_ns = LATENCY_NS;
    write_bytes(0, 1000);
    mu_pipe_end(&lines[0].pipe, 0);
    run();
    assert_int_equal(lines[0].taken_bytes, 2000);
    assert_false(lines[0].pipe.end_arrived);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(bytes_take_their_length_over_the_rate_plus_the_latency),
        CASE(the_slower_port_sets_the_pace),
        CASE(two_pipes_share_a_sender_evenly),
        CASE(two_senders_share_a_receiver),
        CASE(a_small_message_passes_between_the_chunks_of_a_large_one),
        CASE(a_full_window_stops_the_sender),
        CASE(bytes_are_those_of_the_time_of_the_write),
        CASE(the_end_follows_what_has_set_out),
        CASE(a_delay_does_not_reorder_and_a_loss_is_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
