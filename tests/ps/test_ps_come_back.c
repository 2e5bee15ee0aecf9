/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "tests/ps/hand_rig.h"
#include <unistd.h>

/* What a server makes of workers that come back, frame by frame. Both ends are on one loop. */
#define COUNT 64

static struct mu_ps_server *make_server(enum mu_ps_mode_kind kind)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, -1);
    options.replica_count = 2;
    options.in_flight_max = 2;
    options.mode.kind = kind;
    options.relinks = true;
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    return server;
}

/* ---- a worker's side ---- */

struct peer {
    struct mu_link *link;
    int fresh_count, fresh_wanted;
    bool over; /* as many have come as are wanted */
    struct mu_ps_fresh_body said;
    uint32_t bytes; /* of the payload of the last FRESH */
    float fresh[COUNT], gradients[COUNT];
    struct mu_send send;
    uint8_t body[MU_PS_BODY_MAX];
};

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct peer *peer = owner;
    assert_true(mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &peer->said));
    peer->bytes = frame->payload_bytes;
    *ret_payload = peer->fresh;
    return MU_LINK_TAKE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    struct peer *peer = owner;
    peer->fresh_count++;
    peer->over = peer->fresh_count == peer->fresh_wanted;
}

static const struct mu_link_events peer_events = {
    .frame = on_frame, .arrived = on_arrived, .ended = hand_rig_ended};

/* A link in the place of the one before. */
static void link_anew(struct mu_ps_server *server, struct peer *peer, int worker)
{
    mu_link_close(peer->link);
    *peer = (struct peer){0};
    mu_ps_server_add_worker(server, worker, hand_rig_link(&peer->link, &peer_events, peer));
}

static void say_ready(struct peer *peer, int64_t incarnation, uint64_t tag)
{
    const struct mu_ps_ready_body ready = {.incarnation = incarnation};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_ready_put(&body, memory, &ready);
    mu_link_post(peer->link, MU_FRAME_READY, 7, tag, &body);
}

static void push_as(struct peer *peer, uint64_t tag, float gradient, struct mu_ps_push_body fields)
{
    for (int i = 0; i < COUNT; i++)
        peer->gradients[i] = gradient;
    const struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = tag,
        .body_bytes = (uint32_t)mu_ps_push_write(peer->body, &fields),
        .payload_bytes = COUNT * sizeof(float),
    };
    mu_link_send(peer->link, &peer->send, &frame, peer->body, peer->gradients);
}

static void push(struct peer *peer, uint64_t tag, int64_t seen, float gradient)
{
    push_as(peer, tag, gradient, (struct mu_ps_push_body){.seen = seen, .scale = 1});
}

static void push_quiet(struct peer *peer, uint64_t tag, float gradient)
{
    push_as(peer, tag, gradient, (struct mu_ps_push_body){.scale = 1, .quiet = true});
}

static void pull(struct peer *peer, uint64_t tag)
{
    mu_link_post(peer->link, MU_FRAME_PULL, 7, tag, NULL);
}

static void leave(struct peer *peer, uint64_t tag)
{
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body = {.data = memory, .capacity = sizeof(memory)};
    body.bytes = mu_ps_pull_write(memory, MU_PS_ITEM_LEAVE, 0);
    mu_link_post(peer->link, MU_FRAME_PULL, 7, tag, &body);
}

/* Until the worker has so many answers, on this link. */
static void serve_until(struct mu_ps_server *server, struct peer *peer, int fresh_count)
{
    peer->fresh_wanted = fresh_count;
    peer->over = false;
    assert_true(peer->fresh_count < fresh_count);
    assert_ok(mu_ps_server_run(server, &peer->over));
}

/* Its worker 0 has pushed 3 once. */
static struct mu_ps_server *make_server_that_applied(struct peer *peer)
{
    struct mu_ps_server *server = make_server(MU_PS_ASYNC);
    link_anew(server, peer, 0);
    say_ready(peer, 1, 0);
    push(peer, 0, 0, 3);
    serve_until(server, peer, 1);
    return server;
}

/* ---- what was judged ---- */

static void what_was_applied_is_answered_again_and_not_applied(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct mu_ps_server *server = make_server_that_applied(&peer);
    assert_true(peer.fresh[COUNT - 1] == 3 && !peer.said.bare);
    link_anew(server, &peer, 0);
    say_ready(&peer, 1, 0);
    push(&peer, 0, 0, 3);
    serve_until(server, &peer, 1);
    assert_true(peer.said.bare);
    assert_int_equal(peer.bytes, 0);
    assert_int_equal(peer.said.version, 1);
    assert_int_equal(peer.said.verdict, MU_VERDICT_APPLY);
    push(&peer, 1, 1, 4);
    serve_until(server, &peer, 2);
    assert_true(peer.fresh[0] == 7 && !peer.said.bare);
    assert_int_equal(mu_ps_server_judged(server, 0), 2);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

/* The answer that waited goes to the new link before the push comes again there. */
static void what_is_answered_on_a_link_is_not_answered_on_it_again(void **state)
{
    (void)state;
    struct peer fast = {0}, slow = {0};
    struct mu_ps_server *server = make_server(MU_PS_BOUNDED);
    link_anew(server, &fast, 0);
    link_anew(server, &slow, 1);
    say_ready(&fast, 1, 0);
    say_ready(&slow, 1, 0);
    push(&fast, 0, 0, 1);
    pull(&fast, 1);
    serve_until(server, &fast, 1);
    assert_int_equal(fast.said.item, MU_PS_ITEM_PULL); /* the push is one ahead, and waits */
    link_anew(server, &fast, 0);
    say_ready(&fast, 1, 0);
    for (int k = 0; k < 4; k++) { /* by then it has read that */
        pull(&slow, (uint64_t)k);
        serve_until(server, &slow, k + 1);
    }
    push(&slow, 4, 0, 1);
    serve_until(server, &fast, 1);
    assert_int_equal(fast.said.item, MU_PS_ITEM_GRADIENT);
    assert_false(fast.said.bare);
    push(&fast, 0, 0, 1);
    pull(&fast, 2);
    serve_until(server, &fast, 2);
    assert_int_equal(fast.said.item, MU_PS_ITEM_PULL);
    assert_int_equal(mu_ps_server_version(server), 2);
    mu_ps_server_destroy(server);
    mu_link_close(fast.link);
    mu_link_close(slow.link);
}

static void a_quiet_push_is_applied_once_and_never_answered(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct mu_ps_server *server = make_server(MU_PS_ASYNC);
    link_anew(server, &peer, 0);
    say_ready(&peer, 1, 0);
    push_quiet(&peer, 0, 2);
    pull(&peer, 1);
    serve_until(server, &peer, 1);
    assert_int_equal(peer.said.item, MU_PS_ITEM_PULL);
    assert_true(peer.fresh[0] == 2);
    link_anew(server, &peer, 0);
    say_ready(&peer, 1, 0);
    push_quiet(&peer, 0, 2);
    pull(&peer, 1);
    serve_until(server, &peer, 1);
    assert_true(peer.said.item == MU_PS_ITEM_PULL && peer.said.bare);
    assert_int_equal(mu_ps_server_version(server), 1);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

static void another_incarnation_begins_at_number_0(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct mu_ps_server *server = make_server_that_applied(&peer);
    mu_ps_server_lose_worker(server, 0);
    assert_true(mu_ps_server_lost(server, 0));
    link_anew(server, &peer, 0);
    say_ready(&peer, 4, 0);
    push(&peer, 0, 1, 4);
    serve_until(server, &peer, 1);
    assert_false(mu_ps_server_lost(server, 0));
    assert_true(peer.fresh[0] == 7 && !peer.said.bare);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

/* Replica 0 leaves, another one gathers, and replica 0 comes back as another incarnation. */
static void the_warm_up_does_not_begin_again(void **state)
{
    (void)state;
    struct peer first = {0}, other = {0};
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, -1);
    const struct mu_ps_phase later = {
        .from = 2, .mode = {.kind = MU_PS_ASYNC, .warmup_steps = 2}, .policy = options.policy};
    options.replica_count = 3;
    options.relinks = true;
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SYNC, .workers = 2, .warmup_steps = 2};
    options.later = &later;
    options.later_count = 1;
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    link_anew(server, &first, 0);
    link_anew(server, &other, 1);
    say_ready(&first, 1, 0);
    say_ready(&other, 1, 0);
    push(&first, 0, 0, 1);
    serve_until(server, &first, 1);
    assert_int_equal(mu_ps_server_version(server), 1);
    leave(&first, 1);
    serve_until(server, &first, 2);
    push(&other, 0, 1, 3);
    link_anew(server, &first, 0);
    say_ready(&first, 2, 0);
    push(&first, 0, 1, 5);
    serve_until(server, &first, 1);
    assert_int_equal(mu_ps_server_version(server), 2);
    assert_int_equal(first.said.verdict, MU_VERDICT_GATHER);
    assert_true(first.fresh[0] == 1 + (3 + 5) / 2);
    mu_ps_server_destroy(server);
    mu_link_close(first.link);
    mu_link_close(other.link);
}

/* ---- what is not allowed ---- */

struct wrong {
    const char *said;
    int64_t incarnation;
    uint64_t tag;
    int times; /* that it says READY */
    bool was_lost;
};

static const struct wrong wrongs[] = {
    {"sent a PUSH before its READY", 2, 1, 0, false},
    {"goes on with push 2 where 1 is next", 2, 2, 1, false},
    {"is incarnation 1; 2 has come already", 1, 0, 1, false},
    {"malformed, or the second one", 2, 1, 2, false},
    {"counts as lost", 2, 1, 1, true},
};

static void who_comes_back_in_a_wrong_way_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(wrongs); i++) {
        const struct wrong *wrong = &wrongs[i];
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(MU_PS_ASYNC);
        link_anew(server, &peer, 1);
        say_ready(&peer, 2, 0);
        pull(&peer, 0);
        serve_until(server, &peer, 1);
        if (wrong->was_lost)
            mu_ps_server_lose_worker(server, 1);
        link_anew(server, &peer, 1);
        for (int k = 0; k < wrong->times; k++)
            say_ready(&peer, wrong->incarnation, wrong->tag);
        push(&peer, 1, 0, 3);
        bool over = false;
        assert_int_equal(mu_ps_server_run(server, &over), MU_PROTOCOL);
        assert_said(&log_of_test, "replica 1");
        assert_said(&log_of_test, wrong->said);
        assert_int_equal(mu_ps_server_culprit(server).index, 1);
        assert_int_equal(mu_ps_server_version(server), 0);
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

/* Its numbers and its clock would begin anew, which no record says. */
static void none_begins_anew_where_a_log_is_to_be_replayed(void **state)
{
    (void)state;
    char scratch[] = "/tmp/muster-back-XXXXXX", path[64];
    struct peer peer = {0};
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, -1);
    assert_non_null(mkdtemp(scratch));
    snprintf(path, sizeof(path), "%s/ps-0.log", scratch);
    const struct mu_audit_options audit = {.world = pair.loop->world,
        .loop = pair.loop,
        .log = options.log,
        .path = path,
        .text = "{}",
        .record_bytes = COUNT * sizeof(float)};
    assert_ok(mu_audit_open(&audit, &options.audit));
    options.relinks = true;
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    link_anew(server, &peer, 0);
    say_ready(&peer, 2, 0);
    push(&peer, 0, 0, 1);
    peer.fresh_wanted = 1;
    assert_int_equal(mu_ps_server_run(server, &peer.over), MU_PROTOCOL);
    assert_said(&log_of_test, "replica 0 begins anew as incarnation 2");
    assert_said(&log_of_test, "audit log");
    assert_true(mu_ps_server_lost(server, 0));
    assert_ok(mu_audit_close(options.audit, 0, NULL, 0));
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(scratch), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_applied_is_answered_again_and_not_applied),
        cmocka_unit_test(what_is_answered_on_a_link_is_not_answered_on_it_again),
        cmocka_unit_test(a_quiet_push_is_applied_once_and_never_answered),
        cmocka_unit_test(another_incarnation_begins_at_number_0),
        cmocka_unit_test(the_warm_up_does_not_begin_again),
        cmocka_unit_test(who_comes_back_in_a_wrong_way_is_named),
        cmocka_unit_test(none_begins_anew_where_a_log_is_to_be_replayed),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
