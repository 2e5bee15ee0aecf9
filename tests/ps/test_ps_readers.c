/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_inside.h"
#include "ps/server/server_readers.h"
#include "tests/ps/hand_peer.h"
#include <malloc.h>

/* Workers that read their answers late, or never, and workers that push more than they may. */

#define LARGE ((size_t)4 << 20)    /* 16 MiB: more than the sockets take */
#define UNREAD_BYTES_MAX (1 << 20) /* where that is not so by itself */

/* One server of a large model; with no patience set it waits for ever. */
static struct mu_ps_server_options options_of(int replica_count)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, LARGE, 0.5);
    options.replica_count = replica_count;
    return options;
}

/* A timer looks whether the server has come to where it is wanted. */
struct until {
    struct mu_ps_server *server;
    int worker; /* -1: until an answer is unread */
    int64_t judged;
    bool over;
};

static void look_until(void *owner)
{
    struct until *until = owner;
    until->over = until->worker < 0
                      ? mu_ps_server_kept(until->server).unread_count > 0
                      : mu_ps_server_judged(until->server, until->worker) >= until->judged;
}

static void run_until(struct until *until)
{
    struct mu_timer *timer;
    assert_ok(pair.loop->ops->timer_start(pair.loop, MU_MS, look_until, until, &timer));
    assert_ok(mu_ps_server_run(until->server, &until->over));
    pair.loop->ops->timer_stop(timer);
}

static void run_until_unread(struct mu_ps_server *server)
{
    run_until(&(struct until){.server = server, .worker = -1});
}

static void run_until_judged(struct mu_ps_server *server, int worker, int64_t judged)
{
    run_until(&(struct until){.server = server, .worker = worker, .judged = judged});
}

/* Takes one answer, and then holds the next. */
static void read_one(struct mu_ps_server *server, struct hand_peer *peer)
{
    *peer->over = false;
    peer->fresh_wanted = peer->fresh_count + 1;
    peer->reads_one = true;
    mu_link_resume(peer->link);
    assert_ok(mu_ps_server_run(server, peer->over));
}

static void a_worker_that_does_not_read_is_left_in_the_network(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(3 * LARGE, sizeof(float));
    struct hand_peer slow = {.holds = true, .fresh = memory, .over = &over, .fresh_wanted = 3};
    struct hand_peer quick = {.fresh = memory + LARGE, .over = &over, .fresh_wanted = 1};
    const struct mu_ps_server_options options = options_of(2);
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    link_pair_listen(&pair, UNREAD_BYTES_MAX);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&slow));
    link_pair_listen(&pair, 0);
    mu_ps_server_add_worker(server, 1, hand_peer_link(&quick));
    struct mu_send slow_sends[3] = {0}, quick_send = {0};
    uint8_t bodies[4][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 3; i++)
        hand_peer_push(&slow, &slow_sends[i], bodies[i], memory + 2 * LARGE, LARGE, i);
    for (uint64_t i = 0; i < 5; i++) {
        over = false;
        quick.fresh_wanted = (int)i + 1;
        hand_peer_push(&quick, &quick_send, bodies[3], memory + 2 * LARGE, LARGE, i);
        assert_ok(mu_ps_server_run(server, &over));
        assert_ok(mu_loop_until(pair.loop, &quick_send.done, MU_FOREVER));
        assert_ok(quick_send.status);
    }
    assert_int_equal(mu_ps_server_judged(server, 1), 5);
    assert_in_range(mu_ps_server_judged(server, 0), 0, 1); /* its one buffer is not free again */
    assert_false(slow_sends[2].done);
    slow.holds = over = false;
    mu_link_resume(slow.link);
    assert_ok(mu_ps_server_run(server, &over));
    assert_int_equal(mu_ps_server_judged(server, 0), 3);
    assert_int_equal(mu_ps_server_version(server), 8);
    mu_ps_server_destroy(server);
    mu_link_close(slow.link);
    mu_link_close(quick.link);
    free(memory);
}

/* For who reads, also where the machine does much besides. */
#define ENOUGH_TO_READ_NS (2 * MU_SECOND)

static void a_worker_that_never_reads_is_cut_off_with_its_name(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(2 * LARGE, sizeof(float));
    struct hand_peer slow = {.holds = true};
    struct hand_peer quick = {.fresh = memory, .over = &over, .fresh_wanted = 1};
    struct mu_ps_server_options options = options_of(2);
    options.patience_ns = ENOUGH_TO_READ_NS;
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&slow));
    mu_ps_server_add_worker(server, 1, hand_peer_link(&quick));
    struct mu_send slow_send = {0}, quick_send = {0};
    uint8_t bodies[2][MU_PS_BODY_MAX];
    hand_peer_push(&slow, &slow_send, bodies[0], memory + LARGE, LARGE, 0);
    int64_t began = mu_now(pair.loop->world);
    assert_int_equal(mu_ps_server_run(server, &over), MU_UNAVAILABLE);
    assert_true(mu_now(pair.loop->world) - began >= ENOUGH_TO_READ_NS);
    assert_said(&log_of_test, "E0402");
    assert_said(
        &log_of_test, "replica 0 does not read: 1 answer waits for it on ps/0 (16.0 MiB), for ");
    assert_int_equal(mu_ps_server_culprit(server).kind, MU_PS_PEER_WORKER);
    assert_int_equal(mu_ps_server_culprit(server).index, 0);
    assert_int_equal(mu_ps_server_load(server)->cut_off, 1);
    assert_int_equal(mu_ps_server_kept(server).unread_count, 0);
    assert_true(mu_ps_server_lost(server, 0));
    /* The others go on without it. */
    hand_peer_push(&quick, &quick_send, bodies[1], memory + LARGE, LARGE, 0);
    assert_ok(mu_ps_server_run(server, &over));
    assert_int_equal(mu_ps_server_version(server), 2);
    mu_ps_server_destroy(server);
    mu_link_close(slow.link);
    mu_link_close(quick.link);
    free(memory);
}

static void patience_begins_anew_with_each_answer_that_is_taken(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(2 * LARGE, sizeof(float));
    struct hand_peer slow = {.holds = true, .fresh = memory, .over = &over, .fresh_wanted = 1};
    struct mu_ps_server_options options = options_of(1);
    options.patience_ns = 3600 * MU_SECOND;
    struct mu_ps_server *server = hand_rig_server(&options);
    struct mu_ps_peer *worker = &server->workers[0];
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&slow));
    struct mu_send sends[2] = {0};
    uint8_t bodies[2][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 2; i++)
        hand_peer_push(&slow, &sends[i], bodies[i], memory + LARGE, LARGE, i);
    mu_ps_readers_check(server);
    assert_int_equal(worker->of_worker.unread_since_ns, -1);
    int64_t since_ns = 0;
    for (uint64_t i = 0; i < 2; i++) {
        run_until_unread(server);
        mu_ps_readers_check(server);
        assert_int_equal(worker->of_worker.unread_sequence, i);
        assert_true(worker->of_worker.unread_since_ns > since_ns);
        since_ns = worker->of_worker.unread_since_ns;
        mu_ps_readers_check(server);
        assert_int_equal(worker->of_worker.unread_since_ns, since_ns);
        assert_int_equal(mu_ps_server_kept(server).unread_bytes, LARGE * sizeof(float));
        read_one(server, &slow);
    }
    mu_ps_readers_check(server);
    assert_int_equal(worker->of_worker.unread_since_ns, -1);
    assert_int_equal(mu_ps_server_load(server)->cut_off, 0);
    mu_ps_server_destroy(server);
    mu_link_close(slow.link);
    free(memory);
}

static void patience_begins_anew_with_another_incarnation(void **state)
{
    (void)state;
    float *memory = calloc(LARGE, sizeof(float));
    struct mu_ps_server_options options = options_of(1);
    options.patience_ns = 3600 * MU_SECOND;
    options.relinks = true;
    struct mu_ps_server *server = hand_rig_server(&options);
    struct hand_peer slow[2] = {{.holds = true}, {.holds = true}};
    struct mu_send sends[2] = {0};
    uint8_t bodies[2][MU_PS_BODY_MAX], ready[MU_PS_BODY_MAX];
    int64_t since_ns = 0;
    mu_ps_server_begin(server, 0);
    for (int i = 0; i < 2; i++) {
        struct mu_body body;
        mu_ps_ready_put(&body, ready, &(struct mu_ps_ready_body){.incarnation = i + 1});
        mu_ps_server_add_worker(server, 0, hand_peer_link(&slow[i]));
        mu_link_post(slow[i].link, MU_FRAME_READY, 7, 0, &body);
        hand_peer_push(&slow[i], &sends[i], bodies[i], memory, LARGE, 0);
        run_until_judged(server, 0, i + 1);
        run_until_unread(server);
        mu_ps_readers_check(server);
        assert_int_equal(server->workers[0].of_worker.unread_sequence, 0);
        assert_true(server->workers[0].of_worker.unread_since_ns > since_ns);
        since_ns = server->workers[0].of_worker.unread_since_ns;
    }
    mu_ps_server_destroy(server);
    for (int i = 0; i < 2; i++)
        mu_link_close(slow[i].link);
    free(memory);
}

static void pushes_beyond_the_credits_are_not_taken(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(2 * LARGE, sizeof(float));
    struct hand_peer greedy = {.fresh = memory, .over = &over, .fresh_wanted = 4};
    struct hand_peer other = {.fresh = memory};
    struct mu_ps_server_options options = options_of(2);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_BOUNDED, .bound = 0};
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&greedy));
    mu_ps_server_add_worker(server, 1, hand_peer_link(&other));
    uint64_t memory_bytes = mu_ps_server_kept(server).memory;
    struct mu_send sends[4] = {0}, other_sends[4] = {0};
    uint8_t bodies[8][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 4; i++)
        hand_peer_push(&greedy, &sends[i], bodies[i], memory + LARGE, LARGE, i);
    /* Its answers wait for the other worker, and it may have one push under way. */
    for (uint64_t i = 0; i < 4; i++) {
        run_until_judged(server, 0, (int64_t)i + 1);
        assert_int_equal(mu_ps_server_kept(server).held_count, 1);
        assert_true(i == 3 || !sends[i + 1].done);
        assert_int_equal(mu_ps_server_kept(server).memory, memory_bytes);
        hand_peer_push(&other, &other_sends[i], bodies[4 + i], memory + LARGE, LARGE, i);
    }
    assert_ok(mu_ps_server_run(server, &over));
    assert_int_equal(mu_ps_server_version(server), 8);
    mu_ps_server_destroy(server);
    mu_link_close(greedy.link);
    mu_link_close(other.link);
    free(memory);
}

/* ---- what a server says that it has ---- */

/* That malloc has given, pieces with a mapping of their own included. */
static uint64_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static bool is_counted(void)
{
    uint64_t before = heap_bytes();
    void *volatile kept = malloc(1000);
    bool counted = heap_bytes() > before;
    free(kept);
    return counted;
}

static uint64_t vector_bytes(const struct mu_ps_server *server)
{
    size_t count = server->vectors.memory.count + server->shard.gather.count +
                   server->seen.memory.count + server->seen.mean_square.count +
                   server->rows.seen.memory.count;
    for (int i = 0; i < server->shard.vector_count; i++)
        count += server->shard.vectors[i].count + server->state.stream.copies[i].count;
    return count * sizeof(float);
}

/* Vectors and the rows of a table are mapped: the rest is from malloc, which adds a little. */
static void expect_whole(const struct mu_ps_server_options *options)
{
    uint64_t before = heap_bytes();
    struct mu_ps_server *server = hand_rig_server(options);
    uint64_t grown = heap_bytes() - before;
    const struct mu_ps_kept kept = mu_ps_server_kept(server);
    uint64_t said = kept.memory - vector_bytes(server) + sizeof(*server);
    assert_in_range(said, grown - grown / 1000 - 1000, grown + kept.row_bytes);
    mu_ps_server_destroy(server);
}

static void correct(const void *options, const struct mu_correct_block *block)
{
    (void)options;
    (void)block;
}

static bool adapts(const void *options)
{
    (void)options;
    return true;
}

static const struct mu_policy_ops correcting = {
    .name = "compensate", .judge = hand_rig_judge, .correct = correct, .adapts = adapts};

static void all_that_a_server_has_is_in_its_memory(void **state)
{
    (void)state;
    if (!is_counted())
        skip_saying("a sanitizer, or valgrind, has its own malloc");
    struct mu_ps_server_options options = hand_rig_options(0, 4, 64, 0.5);
    options.replica_count = 16;
    options.in_flight_max = 8;
    expect_whole(&options);
    options.relinks = true;
    expect_whole(&options);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SYNC, .auto_steps = 100};
    expect_whole(&options);
    options.rows = (struct mu_ps_rows_options){.width = 4, .push_max = 1000};
    expect_whole(&options);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SOFTSYNC, .gradients = 8};
    options.replicas = 1;
    expect_whole(&options);
    options.policy = &correcting;
    options.mode = (struct mu_ps_mode){.kind = MU_PS_ASYNC};
    expect_whole(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_does_not_read_is_left_in_the_network),
        cmocka_unit_test(a_worker_that_never_reads_is_cut_off_with_its_name),
        cmocka_unit_test(patience_begins_anew_with_each_answer_that_is_taken),
        cmocka_unit_test(patience_begins_anew_with_another_incarnation),
        cmocka_unit_test(pushes_beyond_the_credits_are_not_taken),
        cmocka_unit_test(all_that_a_server_has_is_in_its_memory),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
