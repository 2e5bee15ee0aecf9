/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "ps/server_inside.h"
#include "tests/ps/hand_rig.h"
#include <math.h>

/* A server whose peers do what they should not. Both ends are on one loop. */

#define COUNT 64

static float gradients[COUNT];

/* Of the servers that are made next. */
static struct mu_ps_mode mode;
static int64_t patience_ns;

static struct mu_ps_server *make_server(
    int order, int server_count, int replica_count, size_t element_count)
{
    struct mu_ps_server_options options = hand_rig_options(order, server_count, element_count, 0.5);
    options.replica_count = replica_count;
    options.mode = mode;
    options.patience_ns = patience_ns;
    return hand_rig_server(&options);
}

/* ---- the other side ---- */

struct peer {
    struct mu_link *link;
    bool ended, holds;
    bool reads_one; /* in spite of it */
    int fresh_count, fresh_wanted;
    bool *over; /* set when as many have come as are wanted */
    float *fresh;
    struct mu_ps_fresh_body said;
};

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct peer *peer = owner;
    if (frame->type == MU_FRAME_FRESH)
        assert_true(mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &peer->said));
    *ret_payload = peer->fresh;
    bool holds = peer->holds && !peer->reads_one;
    peer->reads_one = false;
    return holds ? MU_LINK_HOLD : MU_LINK_TAKE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    struct peer *peer = owner;
    peer->fresh_count++;
    if (peer->over && peer->fresh_count == peer->fresh_wanted)
        *peer->over = true;
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    ((struct peer *)owner)->ended = true;
}

static const struct mu_link_events peer_events = {
    .frame = on_frame, .arrived = on_arrived, .ended = on_ended};

/* Connects a peer and returns the server's end. */
static struct mu_link *make_peer(struct peer *peer)
{
    return hand_rig_link(&peer->link, &peer_events, peer);
}

/* ---- frames that are wrong in one thing ---- */

struct wrong {
    const char *said;
    struct mu_frame frame;
    struct mu_ps_push_body push;
    int cut; /* bytes missing at the end of the body */
};

static const struct wrong from_workers[] = {
    {"whose body is malformed", {.type = MU_FRAME_PUSH, .payload_bytes = 256},
        {.seen = -1, .scale = 1}, 0},
    {"whose body is malformed", {.type = MU_FRAME_PUSH, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 3},
    {"sent a frame of generation 6; this is 7",
        {.type = MU_FRAME_PUSH, .payload_bytes = 256, .generation = 6}, {.seen = 0, .scale = 1}, 0},
    {"sent a PULL with a payload", {.type = MU_FRAME_PULL, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 0},
    {"sent a RESTORE, which has no place", {.type = MU_FRAME_RESTORE, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 0},
    {"sent a HEARTBEAT, which has no place", {.type = MU_FRAME_HEARTBEAT}, {.seen = 0, .scale = 1},
        0},
};

static const struct wrong from_servers[] = {
    {"sent a PULL, which has no place", {.type = MU_FRAME_PULL}, {.seen = 0, .scale = 1}, 0},
    {"sent a PUSH, which has no place", {.type = MU_FRAME_PUSH, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 0},
    {"sent a note whose body is malformed", {.type = MU_FRAME_PUSH}, {.seen = 0, .scale = 1}, 0},
};

static const struct wrong from_heads[] = {
    {"sent a PUSH, which has no place", {.type = MU_FRAME_PUSH}, {.seen = 0, .scale = 1}, 0},
    {"sent a VERDICT whose body is malformed", {.type = MU_FRAME_VERDICT}, {.seen = 0, .scale = 1},
        0},
    {"sent a SNAPSHOT, which has no place", {.type = MU_FRAME_SNAPSHOT, .payload_bytes = 4},
        {.seen = 0, .scale = 1}, 0},
};

static const struct wrong from_leaders[] = {
    {"sent a RESTORE after the start", {.type = MU_FRAME_RESTORE, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 0},
    {"sent a PUSH, which has no place", {.type = MU_FRAME_PUSH, .payload_bytes = 256},
        {.seen = 0, .scale = 1}, 0},
    {"sent a SNAPSHOT that is not for", {.type = MU_FRAME_SNAPSHOT, .payload_bytes = 4},
        {.seen = 0, .scale = 1}, 0},
};

/* The server cuts the peer off, says why, and goes on when asked to. */
static void check_refused(struct mu_ps_server *server, struct peer *peer, const struct wrong *wrong,
    struct mu_ps_culprit culprit, const char *name)
{
    uint8_t body[MU_PS_BODY_MAX];
    struct mu_send send = {0};
    struct mu_frame frame = wrong->frame;
    frame.body_bytes = (uint32_t)mu_ps_push_write(body, &wrong->push) - (uint32_t)wrong->cut;
    frame.generation = frame.generation ? frame.generation : 7;
    mu_link_send(peer->link, &send, &frame, body, gradients);
    bool over = false;
    assert_int_equal(mu_ps_server_run(server, &over), MU_PROTOCOL);
    assert_said(&log_of_test, "E0404");
    assert_said(&log_of_test, wrong->said);
    assert_said(&log_of_test, name);
    assert_int_equal(mu_ps_server_culprit(server).kind, culprit.kind);
    assert_int_equal(mu_ps_server_culprit(server).index, culprit.index);
    link_pair_until(&pair, &peer->ended);
    assert_int_equal(mu_ps_server_version(server), 3);
}

static void a_worker_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_workers); i++) {
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_worker(server, 1, make_peer(&peer));
        check_refused(server, &peer, &from_workers[i], (struct mu_ps_culprit){MU_PS_PEER_WORKER, 1},
            "replica 1");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_follower_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_servers); i++) {
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(0, 2, 2, 2 * COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_follower(server, 1, make_peer(&peer));
        check_refused(
            server, &peer, &from_servers[i], (struct mu_ps_culprit){MU_PS_PEER_SERVER, 1}, "ps/1");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_head_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_heads); i++) {
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(1, 2, 2, 2 * COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_head(server, make_peer(&peer));
        check_refused(
            server, &peer, &from_heads[i], (struct mu_ps_culprit){MU_PS_PEER_SERVER, 0}, "ps/0");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_leader_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_leaders); i++) {
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_leader(server, make_peer(&peer));
        check_refused(server, &peer, &from_leaders[i], (struct mu_ps_culprit){MU_PS_PEER_LEADER, 0},
            "the leader");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

/* ---- what is well formed, but no gradient ---- */

struct flawed {
    const char *said;
    uint32_t bytes;
    int tag_ahead;
    float element;
    struct mu_ps_push_body push;
};

static const struct flawed flaws[] = {
    {"of another length than its span has", 252, 0, 0, {.seen = 3, .scale = 1}},
    {"of another length than its span has", 0, 0, 0, {.seen = 3, .scale = 1}},
    {"of another length than its span has", 1024, 0, 0, {.seen = 3, .scale = 1}},
    {"with a number that is not the next one", 256, 1, 0, {.seen = 3, .scale = 1}},
    {"computed with a version that is not there yet", 256, 0, 0, {.seen = 4, .scale = 1}},
    {"with NaN or infinity", 256, 0, 0, {.seen = 3, .scale = NAN}},
    {"with NaN or infinity", 256, 0, 0, {.seen = 3, .scale = 1e39}},
    {"with NaN or infinity", 256, 0, NAN, {.seen = 3, .scale = 1}},
    {"with NaN or infinity", 256, 0, INFINITY, {.seen = 3, .scale = 1}},
};

static const struct flawed sound = {"", 256, 0, 0, {.seen = 3, .scale = 1}};

/* Sends it as push number `sequence` and lets the server run until it is answered, or fails. */
static enum mu_status send_flawed(
    struct mu_ps_server *server, struct peer *peer, const struct flawed *flawed, uint64_t sequence)
{
    static float payload[256];
    uint8_t body[MU_PS_BODY_MAX];
    struct mu_send send = {0};
    struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = sequence + (uint64_t)flawed->tag_ahead,
        .body_bytes = (uint32_t)mu_ps_push_write(body, &flawed->push),
        .payload_bytes = flawed->bytes,
    };
    bool over = false;
    payload[COUNT - 1] = flawed->element;
    peer->over = &over;
    peer->fresh_wanted = peer->fresh_count + 1;
    mu_link_send(peer->link, &send, &frame, body, payload);
    enum mu_status status = mu_ps_server_run(server, &over);
    if (status == MU_OK)
        link_pair_until(&pair, &send.done);
    else
        link_pair_until(&pair, &peer->ended);
    return status;
}

static void the_third_refusal_in_a_row_ends_the_link(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(flaws); i++) {
        float fresh[COUNT];
        struct peer peer = {.fresh = fresh};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_worker(server, 1, make_peer(&peer));
        for (uint64_t k = 0; k < 2; k++) {
            assert_ok(send_flawed(server, &peer, &flaws[i], k));
            assert_int_equal(peer.said.verdict, MU_VERDICT_REFUSE);
            assert_int_equal(peer.said.version, 3);
        }
        assert_int_equal(send_flawed(server, &peer, &flaws[i], 2), MU_PROTOCOL);
        assert_said(&log_of_test, "E0404");
        assert_said(&log_of_test, "replica 1 sent 3 gradients in a row that were refused");
        assert_said(&log_of_test, flaws[i].said);
        assert_int_equal(mu_ps_server_culprit(server).index, 1);
        assert_int_equal(mu_ps_server_verdicts(server, 1)[MU_VERDICT_REFUSE], 3);
        assert_int_equal(mu_ps_server_version(server), 3);
        for (int e = 0; e < COUNT; e++)
            assert_true(mu_ps_server_vector(server, 0)[e] == 0);
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_sound_gradient_between_refusals_keeps_the_link(void **state)
{
    (void)state;
    float fresh[COUNT];
    struct peer peer = {.fresh = fresh};
    struct mu_ps_server *server = make_server(0, 1, 1, COUNT);
    mu_ps_server_begin(server, 3);
    mu_ps_server_add_worker(server, 0, make_peer(&peer));
    for (uint64_t k = 0; k < 12; k++) {
        bool is_sound = k % 3 == 2;
        assert_ok(send_flawed(server, &peer, is_sound ? &sound : &flaws[k % 3], k));
        assert_int_equal(peer.said.verdict, is_sound ? MU_VERDICT_APPLY : MU_VERDICT_REFUSE);
    }
    assert_int_equal(mu_ps_server_version(server), 3 + 4);
    assert_int_equal(mu_ps_server_verdicts(server, 0)[MU_VERDICT_REFUSE], 8);
    assert_int_equal(mu_ps_server_staleness(server)->count, 4); /* of what was judged */
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

/* ---- peers that are slow or gone ---- */

static void push(struct peer *peer, struct mu_send *send, uint8_t *body, const float *from,
    size_t count, uint64_t sequence)
{
    struct mu_ps_push_body fields = {.seen = 0, .scale = 1};
    struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = sequence,
        .body_bytes = (uint32_t)mu_ps_push_write(body, &fields),
        .payload_bytes = (uint32_t)(count * sizeof(float)),
    };
    mu_link_send(peer->link, send, &frame, body, from);
}

#define LARGE ((size_t)4 << 20)    /* 16 MiB: more than the sockets take */
#define UNREAD_BYTES_MAX (1 << 20) /* where that is not so by itself */

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
static void read_one(struct mu_ps_server *server, struct peer *peer)
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
    struct peer slow = {.holds = true, .fresh = memory, .over = &over, .fresh_wanted = 3};
    struct peer quick = {.fresh = memory + LARGE, .over = &over, .fresh_wanted = 1};
    struct mu_ps_server *server = make_server(0, 1, 2, LARGE);
    mu_ps_server_begin(server, 0);
    link_pair_listen(&pair, UNREAD_BYTES_MAX);
    mu_ps_server_add_worker(server, 0, make_peer(&slow));
    link_pair_listen(&pair, 0);
    mu_ps_server_add_worker(server, 1, make_peer(&quick));
    struct mu_send slow_sends[3] = {0}, quick_send = {0};
    uint8_t bodies[4][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 3; i++)
        push(&slow, &slow_sends[i], bodies[i], memory + 2 * LARGE, LARGE, i);
    for (uint64_t i = 0; i < 5; i++) {
        over = false;
        quick.fresh_wanted = (int)i + 1;
        push(&quick, &quick_send, bodies[3], memory + 2 * LARGE, LARGE, i);
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
    struct peer slow = {.holds = true};
    struct peer quick = {.fresh = memory, .over = &over, .fresh_wanted = 1};
    patience_ns = ENOUGH_TO_READ_NS;
    struct mu_ps_server *server = make_server(0, 1, 2, LARGE);
    patience_ns = 0;
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, make_peer(&slow));
    mu_ps_server_add_worker(server, 1, make_peer(&quick));
    struct mu_send slow_send = {0}, quick_send = {0};
    uint8_t bodies[2][MU_PS_BODY_MAX];
    push(&slow, &slow_send, bodies[0], memory + LARGE, LARGE, 0);
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
    push(&quick, &quick_send, bodies[1], memory + LARGE, LARGE, 0);
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
    struct peer slow = {.holds = true, .fresh = memory, .over = &over, .fresh_wanted = 1};
    patience_ns = 3600 * MU_SECOND;
    struct mu_ps_server *server = make_server(0, 1, 1, LARGE);
    patience_ns = 0;
    struct mu_ps_peer *worker = &server->workers[0];
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, make_peer(&slow));
    struct mu_send sends[2] = {0};
    uint8_t bodies[2][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 2; i++)
        push(&slow, &sends[i], bodies[i], memory + LARGE, LARGE, i);
    mu_ps_readers_check(server);
    assert_int_equal(worker->unread_since_ns, -1);
    int64_t since_ns = 0;
    for (uint64_t i = 0; i < 2; i++) {
        run_until_unread(server);
        mu_ps_readers_check(server);
        assert_int_equal(worker->unread_sequence, i);
        assert_true(worker->unread_since_ns > since_ns);
        since_ns = worker->unread_since_ns;
        mu_ps_readers_check(server);
        assert_int_equal(worker->unread_since_ns, since_ns);
        assert_int_equal(mu_ps_server_kept(server).unread_bytes, LARGE * sizeof(float));
        read_one(server, &slow);
    }
    mu_ps_readers_check(server);
    assert_int_equal(worker->unread_since_ns, -1);
    assert_int_equal(mu_ps_server_load(server)->cut_off, 0);
    mu_ps_server_destroy(server);
    mu_link_close(slow.link);
    free(memory);
}

static void pushes_beyond_the_credits_are_not_taken(void **state)
{
    (void)state;
    bool over = false;
    float *memory = calloc(2 * LARGE, sizeof(float));
    struct peer greedy = {.fresh = memory, .over = &over, .fresh_wanted = 4};
    struct peer other = {.fresh = memory};
    mode = (struct mu_ps_mode){.kind = MU_PS_BOUNDED, .bound = 0};
    struct mu_ps_server *server = make_server(0, 1, 2, LARGE);
    mode = (struct mu_ps_mode){0};
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_worker(server, 0, make_peer(&greedy));
    mu_ps_server_add_worker(server, 1, make_peer(&other));
    uint64_t memory_bytes = mu_ps_server_kept(server).memory;
    struct mu_send sends[4] = {0}, other_sends[4] = {0};
    uint8_t bodies[8][MU_PS_BODY_MAX];
    for (uint64_t i = 0; i < 4; i++)
        push(&greedy, &sends[i], bodies[i], memory + LARGE, LARGE, i);
    /* Its answers wait for the other worker, and it may have one push under way. */
    for (uint64_t i = 0; i < 4; i++) {
        run_until_judged(server, 0, (int64_t)i + 1);
        assert_int_equal(mu_ps_server_kept(server).held_count, 1);
        assert_true(i == 3 || !sends[i + 1].done);
        assert_int_equal(mu_ps_server_kept(server).memory, memory_bytes);
        push(&other, &other_sends[i], bodies[4 + i], memory + LARGE, LARGE, i);
    }
    assert_ok(mu_ps_server_run(server, &over));
    assert_int_equal(mu_ps_server_version(server), 8);
    mu_ps_server_destroy(server);
    mu_link_close(greedy.link);
    mu_link_close(other.link);
    free(memory);
}

static void nobody_is_served_before_the_state_is_there(void **state)
{
    (void)state;
    bool over = false;
    float fresh[COUNT] = {0};
    struct peer worker = {.fresh = fresh, .over = &over, .fresh_wanted = 1};
    struct mu_ps_server *server = make_server(0, 1, 1, COUNT);
    mu_ps_server_add_worker(server, 0, make_peer(&worker));
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    push(&worker, &send, body, gradients, COUNT, 0);
    assert_ok(mu_loop_until(pair.loop, &send.done, MU_FOREVER));
    assert_ok(send.status);
    for (int i = 0; i < 20; i++)
        (void)!pair.loop->ops->turn(pair.loop, mu_now(pair.loop->world));
    assert_int_equal(mu_ps_server_judged(server, 0), 0);
    for (int i = 0; i < COUNT; i++)
        mu_ps_server_vector(server, 0)[i] = 2.5f;
    mu_ps_server_begin(server, 0);
    assert_ok(mu_ps_server_run(server, &over));
    assert_true(fresh[0] == 2.5f && fresh[COUNT - 1] == 2.5f);
    mu_ps_server_destroy(server);
    mu_link_close(worker.link);
}

static void a_follower_that_is_gone_ends_the_head_only_when_it_is_needed(void **state)
{
    (void)state;
    float fresh[COUNT];
    struct peer follower = {0}, worker = {.fresh = fresh};
    struct mu_ps_server *server = make_server(0, 2, 1, 2 * COUNT);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_follower(server, 1, make_peer(&follower));
    mu_ps_server_add_worker(server, 0, make_peer(&worker));
    mu_link_close(follower.link);
    for (int i = 0; i < 20; i++)
        (void)!pair.loop->ops->turn(pair.loop, mu_now(pair.loop->world));
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    bool over = true;
    assert_ok(mu_ps_server_run(server, &over));
    over = false;
    push(&worker, &send, body, gradients, COUNT, 0);
    assert_int_equal(mu_ps_server_run(server, &over), MU_CLOSED);
    assert_int_equal(mu_ps_server_culprit(server).kind, MU_PS_PEER_SERVER);
    assert_int_equal(mu_ps_server_culprit(server).index, 1);
    assert_int_equal(mu_ps_server_judged(server, 0), 0);
    mu_ps_server_destroy(server);
    mu_link_close(worker.link);
}

static void a_span_that_no_frame_can_carry_is_a_wrong_configuration(void **state)
{
    (void)state;
    struct mu_ps_server_options options = {
        .loop = pair.loop,
        .log = mu_test_log_init(&log_of_test),
        .server_count = 2,
        .replica_count = 1,
        .in_flight_max = 1,
        .element_count = ((size_t)1 << 29) + 32,
    };
    struct mu_ps_server *server;
    assert_int_equal(mu_ps_server_create(&options, &server), MU_CONFIG);
    assert_said(&log_of_test, "E0204");
    assert_said(&log_of_test, "use more parameter servers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_breaks_the_protocol_is_named),
        cmocka_unit_test(a_follower_that_breaks_the_protocol_is_named),
        cmocka_unit_test(a_head_that_breaks_the_protocol_is_named),
        cmocka_unit_test(a_leader_that_breaks_the_protocol_is_named),
        cmocka_unit_test(the_third_refusal_in_a_row_ends_the_link),
        cmocka_unit_test(a_sound_gradient_between_refusals_keeps_the_link),
        cmocka_unit_test(a_worker_that_does_not_read_is_left_in_the_network),
        cmocka_unit_test(a_worker_that_never_reads_is_cut_off_with_its_name),
        cmocka_unit_test(patience_begins_anew_with_each_answer_that_is_taken),
        cmocka_unit_test(pushes_beyond_the_credits_are_not_taken),
        cmocka_unit_test(nobody_is_served_before_the_state_is_there),
        cmocka_unit_test(a_follower_that_is_gone_ends_the_head_only_when_it_is_needed),
        cmocka_unit_test(a_span_that_no_frame_can_carry_is_a_wrong_configuration),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
