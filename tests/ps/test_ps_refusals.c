/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ps/hand_peer.h"
#include <math.h>

/* A server whose peers do what they should not. Both ends are on one loop. */

#define COUNT 64

static float gradients[COUNT];

static struct mu_ps_server *make_server(
    int order, int server_count, int replica_count, size_t element_count)
{
    struct mu_ps_server_options options = hand_rig_options(order, server_count, element_count, 0.5);
    options.replica_count = replica_count;
    return hand_rig_server(&options);
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
static void check_refused(struct mu_ps_server *server, struct hand_peer *peer,
    const struct wrong *wrong, struct mu_ps_culprit culprit, const char *name)
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
        struct hand_peer peer = {0};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_worker(server, 1, hand_peer_link(&peer));
        check_refused(server, &peer, &from_workers[i],
            (struct mu_ps_culprit){.kind = MU_PS_PEER_WORKER, .index = 1}, "replica 1");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_follower_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_servers); i++) {
        struct hand_peer peer = {0};
        struct mu_ps_server *server = make_server(0, 2, 2, 2 * COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_follower(server, 1, hand_peer_link(&peer));
        check_refused(server, &peer, &from_servers[i],
            (struct mu_ps_culprit){.kind = MU_PS_PEER_SERVER, .index = 1}, "ps/1");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_head_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_heads); i++) {
        struct hand_peer peer = {0};
        struct mu_ps_server *server = make_server(1, 2, 2, 2 * COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_head(server, hand_peer_link(&peer));
        check_refused(server, &peer, &from_heads[i],
            (struct mu_ps_culprit){.kind = MU_PS_PEER_SERVER, .index = 0}, "ps/0");
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

static void a_leader_that_breaks_the_protocol_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(from_leaders); i++) {
        struct hand_peer peer = {0};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_leader(server, hand_peer_link(&peer));
        check_refused(server, &peer, &from_leaders[i],
            (struct mu_ps_culprit){.kind = MU_PS_PEER_LEADER, .index = 0}, "the leader");
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
    {"with an element that is 2^48 or more, scaled", 256, 0, -0x1p48f, {.seen = 3, .scale = 1}},
    {"with an element that is 2^48 or more, scaled", 256, 0, 3e38f, {.seen = 3, .scale = 2}},
    {"with an element that is 2^48 or more, scaled", 256, 0, 1, {.seen = 3, .scale = -3e38}},
};

static const struct flawed sound = {"", 256, 0, 0, {.seen = 3, .scale = 1}};

/* Sends it as push number `sequence` and lets the server run until it is answered, or fails. */
static enum mu_status send_flawed(struct mu_ps_server *server, struct hand_peer *peer,
    const struct flawed *flawed, uint64_t sequence)
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
        struct hand_peer peer = {.fresh = fresh};
        struct mu_ps_server *server = make_server(0, 1, 2, COUNT);
        mu_ps_server_begin(server, 3);
        mu_ps_server_add_worker(server, 1, hand_peer_link(&peer));
        for (uint64_t k = 0; k < 2; k++) {
            assert_ok(send_flawed(server, &peer, &flaws[i], k));
            assert_int_equal(peer.said.verdict, MU_VERDICT_REFUSE);
            assert_int_equal(peer.said.version, 3);
        }
        assert_int_equal(send_flawed(server, &peer, &flaws[i], 2), MU_PROTOCOL);
        assert_said(&log_of_test, "E0406");
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
    struct hand_peer peer = {.fresh = fresh};
    struct mu_ps_server *server = make_server(0, 1, 1, COUNT);
    mu_ps_server_begin(server, 3);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&peer));
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

/* As much as is taken, with both signs of its scale, and what is refused between them. */
static void what_is_gathered_stays_a_number(void **state)
{
    (void)state;
    static const struct flawed most = {"", 256, 0, 0x1.fffffep47f, {.seen = 3, .scale = 1}};
    static const struct flawed scaled = {
        "", 256, 0, 0x1.fffffep127f, {.seen = 3, .scale = 0x1p-80}};
    static const struct flawed more = {"", 256, 0, 0x1.fffffep127f, {.seen = 3, .scale = 1}};
    static const struct flawed *pushes[] = {&most, &more, &scaled, &more};
    float fresh[COUNT];
    struct hand_peer peer = {.fresh = fresh};
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, 0.5);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SOFTSYNC, .gradients = 2};
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 3);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&peer));
    for (uint64_t k = 0; k < MU_COUNT_OF(pushes); k++) {
        assert_ok(send_flawed(server, &peer, pushes[k], k));
        assert_int_equal(peer.said.verdict, k % 2 ? MU_VERDICT_REFUSE : MU_VERDICT_GATHER);
        assert_int_equal(peer.said.version, k < 2 ? 3 : 4);
    }
    assert_true(mu_ps_server_vector(server, 0)[COUNT - 1] == -0x1.fffffep46f);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

/* ---- peers that are early or gone ---- */

static void nobody_is_served_before_the_state_is_there(void **state)
{
    (void)state;
    bool over = false;
    float fresh[COUNT] = {0};
    struct hand_peer worker = {.fresh = fresh, .over = &over, .fresh_wanted = 1};
    struct mu_ps_server *server = make_server(0, 1, 1, COUNT);
    mu_ps_server_add_worker(server, 0, hand_peer_link(&worker));
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    hand_peer_push(&worker, &send, body, gradients, COUNT, 0);
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
    struct hand_peer follower = {0}, worker = {.fresh = fresh};
    struct mu_ps_server *server = make_server(0, 2, 1, 2 * COUNT);
    mu_ps_server_begin(server, 0);
    mu_ps_server_add_follower(server, 1, hand_peer_link(&follower));
    mu_ps_server_add_worker(server, 0, hand_peer_link(&worker));
    mu_link_close(follower.link);
    for (int i = 0; i < 20; i++)
        (void)!pair.loop->ops->turn(pair.loop, mu_now(pair.loop->world));
    struct mu_send send = {0};
    uint8_t body[MU_PS_BODY_MAX];
    bool over = true;
    assert_ok(mu_ps_server_run(server, &over));
    over = false;
    hand_peer_push(&worker, &send, body, gradients, COUNT, 0);
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
        cmocka_unit_test(what_is_gathered_stays_a_number),
        cmocka_unit_test(nobody_is_served_before_the_state_is_there),
        cmocka_unit_test(a_follower_that_is_gone_ends_the_head_only_when_it_is_needed),
        cmocka_unit_test(a_span_that_no_frame_can_carry_is_a_wrong_configuration),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
