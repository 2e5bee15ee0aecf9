/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_inside.h"
#include "tests/ps/hand_peer.h"
#include "turns.h"
#include <sys/mman.h>

/* A server of 12 MiB: what of its memory is there when, and that it is heard of meanwhile. */
#define COUNT ((size_t)3 << 20)
#define COUNT_BYTES (COUNT * sizeof(float))
#define IN_FLIGHT 4
#define IDS ((uint64_t)1 << 18)
#define PIECE_BYTES_MAX                                                                            \
    ((size_t)8 << 20) /* between two turns: the end of one vector, and the next */
#define PIECE_ROWS_MAX ((uint64_t)1 << 16)
#define PAGE_BYTES ((size_t)4096)
#define HUGE_BYTES ((size_t)2 << 20)

static size_t resident_bytes(const struct mu_arena *arena)
{
    size_t pages = arena->mapped_bytes / PAGE_BYTES, bytes = 0;
    unsigned char *resident = calloc(pages + 1, 1);
    assert_non_null(resident);
    if (pages > 0)
        assert_int_equal(mincore(arena->data, arena->mapped_bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        bytes += resident[i] & 1 ? PAGE_BYTES : 0;
    free(resident);
    return bytes;
}

/* Of all vectors that lay makes, or what there could be. */
static size_t bytes_of(
    const struct mu_ps_server *server, size_t (*bytes_of_arena)(const struct mu_arena *arena))
{
    size_t bytes = bytes_of_arena(&server->shard.gather) + bytes_of_arena(&server->seen.memory) +
                   bytes_of_arena(&server->seen.mean_square) +
                   bytes_of_arena(&server->rows.seen.memory);
    for (int i = 0; i < server->shard.vector_count; i++)
        bytes += bytes_of_arena(&server->shard.vectors[i]) +
                 bytes_of_arena(&server->state.stream.copies[i]);
    return bytes;
}

static size_t mapped_bytes(const struct mu_arena *arena)
{
    return arena->mapped_bytes;
}

static size_t laid_bytes(void *server)
{
    return bytes_of(server, resident_bytes);
}

static size_t laid_rows(void *server)
{
    return (size_t)mu_table_count(mu_ps_server_table(server)).rows;
}

static void lay_watched(struct mu_ps_server *server, size_t (*there)(void *server))
{
    turns_begin(pair.loop, there, server);
    enum mu_status status = mu_ps_server_lay(server);
    turns_end(pair.loop);
    assert_ok(status);
}

/* ---- servers ---- */

static void correct(const void *options, const struct mu_correct_block *block)
{
    (void)options;
    (void)block;
}

static struct mu_ps_server_options options_of(size_t count)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, count, -1);
    options.in_flight_max = IN_FLIGHT;
    return options;
}

static void expect_laid_in_pieces(const struct mu_ps_server_options *options, size_t vectors)
{
    struct mu_ps_server *server = hand_rig_server(options);
    size_t mapped = bytes_of(server, mapped_bytes);
    assert_in_range(mapped, vectors * COUNT_BYTES, vectors * (COUNT_BYTES + PAGE_BYTES));
    assert_int_equal(laid_bytes(server), 0);
    lay_watched(server, laid_bytes);
    assert_in_range(turns.count, mapped / PIECE_BYTES_MAX, SIZE_MAX);
    assert_in_range(turns.piece_max, 1, PIECE_BYTES_MAX);
    assert_int_equal(turns.before, mapped); /* all is there */
    mu_ps_server_destroy(server);
}

/* The parameters, a slot, and a copy of both. */
static void the_loop_turns_while_the_vectors_are_laid(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(COUNT);
    options.optimizer = mu_optimizer_find("momentum");
    expect_laid_in_pieces(&options, 4);
}

/* And the sum. */
static void the_loop_turns_while_room_for_gathering_is_laid(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(COUNT);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SOFTSYNC, .gradients = 2};
    expect_laid_in_pieces(&options, 3);
}

/* And those that its workers compute with, and one of the policy. */
static const struct mu_policy_ops correcting = {
    .name = "compensate", .judge = hand_rig_judge, .correct = correct};

static void the_loop_turns_while_what_was_seen_is_laid(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(COUNT);
    options.policy = &correcting;
    expect_laid_in_pieces(&options, 2 + IN_FLIGHT + 1);
}

/* An id and a float each, which are three floats, so many that they are as much as a span. */
static void the_loop_turns_while_rows_that_were_seen_are_laid(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(COUNT);
    options.policy = &correcting;
    options.rows = (struct mu_ps_rows_options){.width = 1, .push_max = COUNT / 3};
    expect_laid_in_pieces(&options, 2 + IN_FLIGHT + 1 + IN_FLIGHT);
}

static void the_loop_turns_while_rows_are_laid(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(64);
    options.server_count = 2;
    options.rows =
        (struct mu_ps_rows_options){.width = 1, .push_max = 8, .id_count = IDS, .dense = true};
    struct mu_ps_server *server = hand_rig_server(&options);
    for (uint64_t id = 0; id < IDS; id++) /* not even which of them are its own */
        assert_false(mu_table_takes(mu_ps_server_table(server), id));
    lay_watched(server, laid_rows);
    assert_in_range(turns.before, IDS / 3, IDS - IDS / 3);
    assert_in_range(turns.count, turns.before / PIECE_ROWS_MAX, SIZE_MAX);
    assert_in_range(turns.piece_max, 1, PIECE_ROWS_MAX);
    mu_ps_server_destroy(server);
}

/* More than any machine has, where the rows themselves are few. */
static void what_workers_compute_with_is_counted_against_what_is_free(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(64);
    struct mu_ps_server *server = NULL;
    options.policy = &correcting;
    options.replica_count = 1000;
    options.in_flight_max = 16;
    options.rows = (struct mu_ps_rows_options){
        .width = 32, .push_max = (size_t)3 << 20, .id_count = 64, .dense = true};
    assert_int_equal(mu_ps_server_create(&options, &server), MU_NO_MEMORY);
    assert_said(&log_of_test, "and what workers compute with, take ");
    assert_null(server);
}

/* One buffer after the other is used, so one vector is. */
static void vectors_of_buffers_take_memory_as_they_are_used_at_once(void **state)
{
    (void)state;
    bool over;
    float *memory = calloc(2 * COUNT, sizeof(float));
    struct hand_peer peer = {.fresh = memory, .over = &over};
    const struct mu_ps_server_options options = options_of(COUNT);
    struct mu_ps_server *server = hand_rig_server(&options);
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    assert_non_null(memory);
    lay_watched(server, laid_bytes);
    assert_int_equal(resident_bytes(&server->vectors.memory), 0);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&peer));
    for (uint64_t i = 0; i < 2 * IN_FLIGHT; i++) {
        over = false;
        peer.fresh_wanted = (int)i + 1;
        hand_peer_push(&peer, &send, body, memory + COUNT, COUNT, i);
        assert_ok(mu_ps_server_run(server, &over));
        assert_ok(mu_loop_until(pair.loop, &send.done, MU_FOREVER));
    }
    assert_int_equal(mu_ps_server_version(server), 2 * IN_FLIGHT);
    assert_in_range(
        resident_bytes(&server->vectors.memory), COUNT_BYTES, COUNT_BYTES + 2 * HUGE_BYTES);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
    free(memory);
}

static size_t buffer_bytes(void *server)
{
    return resident_bytes(&((struct mu_ps_server *)server)->vectors.memory);
}

/* Nothing of its own came into the vector that the answer goes into. */
static void the_loop_turns_while_the_first_pull_gets_its_vector(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(COUNT, sizeof(float));
    struct hand_peer peer = {.fresh = memory, .over = &over, .fresh_wanted = 1};
    const struct mu_ps_server_options options = options_of(COUNT);
    struct mu_ps_server *server = hand_rig_server(&options);
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    const struct mu_frame pull = {.type = MU_FRAME_PULL,
        .generation = 7,
        .body_bytes = (uint32_t)mu_ps_pull_write(body, MU_PS_ITEM_PULL, 0)};
    assert_non_null(memory);
    lay_watched(server, laid_bytes);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&peer));
    turns_begin(pair.loop, buffer_bytes, server);
    mu_link_send(peer.link, &send, &pull, body, NULL);
    enum mu_status status = mu_ps_server_run(server, &over);
    turns_end(pair.loop);
    assert_ok(status);
    assert_in_range(turns.before, COUNT_BYTES, COUNT_BYTES + 2 * HUGE_BYTES);
    assert_in_range(turns.piece_max, 1, PIECE_BYTES_MAX);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_the_vectors_are_laid, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_room_for_gathering_is_laid, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_what_was_seen_is_laid, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_rows_that_were_seen_are_laid, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(what_workers_compute_with_is_counted_against_what_is_free,
            hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_rows_are_laid, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            vectors_of_buffers_take_memory_as_they_are_used_at_once, hand_rig_begin, hand_rig_end),
        cmocka_unit_test_setup_teardown(
            the_loop_turns_while_the_first_pull_gets_its_vector, hand_rig_begin, hand_rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
