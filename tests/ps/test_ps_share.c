/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ps/hand_share.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Memory that workers share with a server, and what goes wrong with it. Workers, or the server, are
 * played by hand on the loop of the other side. */

#define COUNT 1000 /* its bytes are no whole pages */
#define VECTORS 2
#define PLACE(index) (64 + (index)*4096) /* of vector `index`: a stride is 1008 + 16 floats */

static struct mu_ps_server *make_server(void)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, 0.5);
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    return server;
}

/* ---- a worker by hand ---- */

static void begin(struct hand_share *hand)
{
    hand_share_begin(hand, make_server());
}

static void begin_to_share(struct hand_share *hand)
{
    begin(hand);
    hand_share_share(hand, VECTORS, COUNT, 0);
    const struct mu_vectors *vectors = &hand->vectors;
    assert_int_equal(
        mu_vectors_place(vectors, mu_vectors_at(vectors, 1), 4, MU_VECTORS_ALIGN), PLACE(1));
}

static float *vector(const struct hand_share *hand, int index)
{
    return mu_vectors_at(&hand->vectors, index);
}

static enum mu_status push_places(
    struct hand_share *hand, uint64_t sequence, int64_t gradient_at, int64_t fresh_at)
{
    uint8_t out[MU_PS_BODY_MAX];
    const struct mu_ps_push_body push = {.scale = 1,
        .gradient_at = gradient_at,
        .fresh_at = fresh_at,
        .acknowledge_only = fresh_at == 0};
    return hand_share_ask(hand, MU_FRAME_PUSH, sequence, out, mu_ps_push_write(out, &push));
}

/* ---- a server that is shared with ---- */

static void a_gradient_is_applied_where_it_lies_and_stays_as_it_is(void **state)
{
    (void)state;
    struct hand_share hand;
    begin_to_share(&hand);
    float *gradient = vector(&hand, 0), *fresh = vector(&hand, 1);
    for (size_t i = 0; i < COUNT; i++)
        gradient[i] = (float)i;
    for (uint64_t k = 0; k < 3; k++) {
        assert_ok(push_places(&hand, k, PLACE(0), PLACE(1)));
        assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
        assert_int_equal(hand.payload_bytes, 0);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(gradient[i] == (float)i);
            assert_true(fresh[i] == -0.5f * (float)(k + 1) * (float)i);
        }
    }
    /* As if they had travelled. */
    assert_true(mu_ps_server_load(hand.server)->bytes_in > 3 * COUNT * sizeof(float));
    assert_true(mu_ps_server_load(hand.server)->bytes_out > 3 * COUNT * sizeof(float));
    hand_share_end(&hand);
}

static void only_one_of_the_two_may_be_in_place(void **state)
{
    (void)state;
    struct hand_share hand;
    uint8_t out[MU_PS_BODY_MAX];
    const struct mu_ps_push_body push = {.scale = 1, .gradient_at = PLACE(1)};
    begin_to_share(&hand);
    for (size_t i = 0; i < COUNT; i++)
        vector(&hand, 1)[i] = 2;
    assert_ok(hand_share_ask(&hand, MU_FRAME_PUSH, 0, out, mu_ps_push_write(out, &push)));
    assert_int_equal(hand.payload_bytes, COUNT * sizeof(float));
    assert_true(hand.fresh[0] == -1 && hand.fresh[COUNT - 1] == -1);
    assert_true(vector(&hand, 1)[0] == 2);
    hand_share_end(&hand);
}

static const struct {
    int64_t gradient_at, fresh_at;
} wild[] = {
    {32, 0},                             /* where nothing ever is */
    {PLACE(0) + 4, 0},                   /* not aligned */
    {PLACE(1) + 8192, 0},                /* the end is outside */
    {INT64_MAX / 64 * 64, 0},            /* all is */
    {PLACE(0), INT64_MAX / 64 * 64},     /* the other one */
    {PLACE(0), PLACE(1) + (8192 - 128)}, /* by its last element */
};

static void a_place_outside_the_memory_is_refused_and_nothing_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(wild); i++) {
        struct hand_share hand;
        begin_to_share(&hand);
        for (uint64_t k = 0; k < 2; k++) {
            assert_ok(push_places(&hand, k, wild[i].gradient_at, wild[i].fresh_at));
            assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
            assert_int_equal(hand.payload_bytes, 0);
        }
        assert_int_equal(push_places(&hand, 2, wild[i].gradient_at, wild[i].fresh_at), MU_PROTOCOL);
        assert_said(&log_of_test, "at a place that is not in the memory it shares");
        assert_int_equal(mu_ps_server_version(hand.server), 0);
        for (size_t e = 0; e < COUNT; e++)
            assert_true(mu_ps_server_vector(hand.server, 0)[e] == 0);
        hand_share_end(&hand);
    }
}

static void a_place_in_memory_that_is_not_shared_is_refused(void **state)
{
    (void)state;
    struct hand_share hand;
    begin(&hand);
    assert_ok(push_places(&hand, 0, PLACE(0), 0));
    assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
    assert_said(&log_of_test, "at a place that is not in the memory it shares");
    uint8_t out[MU_PS_BODY_MAX];
    size_t bytes = mu_ps_pull_write(out, MU_PS_ITEM_PULL, PLACE(0));
    assert_int_equal(hand_share_ask(&hand, MU_FRAME_PULL, 1, out, bytes), MU_PROTOCOL);
    assert_said(&log_of_test, "sent a PULL at a place that is not in the memory it shares");
    hand_share_end(&hand);
}

/* What travels is no longer than what there is room for, whatever else is wrong with it. */
static void a_place_and_a_payload_too_long_are_refused_for_the_length(void **state)
{
    (void)state;
    struct hand_share hand;
    static const float payload[8 * COUNT];
    uint8_t out[MU_PS_BODY_MAX];
    const struct mu_ps_push_body pushes[] = {
        {.scale = 1, .gradient_at = PLACE(0)},
        {.scale = 1, .fresh_at = PLACE(0)},
        {.scale = 1, .gradient_at = PLACE(0), .fresh_at = PLACE(1)},
    };
    for (size_t i = 0; i < MU_COUNT_OF(pushes); i++) {
        begin(&hand);
        size_t bytes = mu_ps_push_write(out, &pushes[i]);
        hand_share_send(&hand, MU_FRAME_PUSH, 0, out, bytes, payload, sizeof(payload));
        assert_ok(hand_share_serve(&hand));
        assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
        assert_said(&log_of_test, "of another length than its span has");
        hand_share_end(&hand);
    }
}

static void what_is_not_finite_is_found_in_place(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < MU_COUNT_OF(values); i++) {
        struct hand_share hand;
        begin_to_share(&hand);
        vector(&hand, 0)[COUNT - 1] = values[i];
        assert_ok(push_places(&hand, 0, PLACE(0), PLACE(1)));
        assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
        assert_said(&log_of_test, "with NaN or infinity");
        vector(&hand, 0)[COUNT - 1] = 1;
        assert_ok(push_places(&hand, 1, PLACE(0), PLACE(1)));
        assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
        assert_true(vector(&hand, 1)[COUNT - 1] == -0.5f);
        hand_share_end(&hand);
    }
}

static void memory_that_cannot_be_mapped_is_answered_with_the_reason(void **state)
{
    (void)state;
    struct hand_share hand;
    char why[MU_SHARED_MEMORY_WHY_MAX];
    begin(&hand);
    assert_ok(hand_share_offer(&hand, "muster-0-0123456789abcdef", 4096));
    assert_non_null(strstr(hand.why, "it does not see this /dev/shm"));
    assert_ok(hand_share_offer(&hand, "../../etc/passwd", 4096));
    assert_non_null(strstr(hand.why, "not from it"));
    assert_ok(mu_vectors_init_shared(&hand.vectors, VECTORS, COUNT, 0, NULL, why));
    assert_ok(hand_share_offer(&hand, hand.vectors.shared.name, hand.vectors.shared.bytes + 4096));
    assert_non_null(strstr(hand.why, "not from it"));
    /* It may try again, and again. */
    for (int i = 0; i < 2; i++) {
        assert_ok(hand_share_offer(&hand, hand.vectors.shared.name, hand.vectors.shared.bytes));
        assert_string_equal(hand.why, "");
    }
    assert_ok(push_places(&hand, 0, PLACE(0), PLACE(1)));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    assert_int_equal(hand_share_ask(&hand, MU_FRAME_SHARE, 2, NULL, 0), MU_PROTOCOL);
    assert_said(&log_of_test, "sent a SHARE that is malformed");
    hand_share_end(&hand);
}

/* ---- a worker that dies ---- */

static struct mu_ps_client *make_client(struct mu_loop *loop, struct mu_log *log)
{
    const struct mu_ps_client_options options = hand_rig_client_options(loop, log, COUNT);
    struct mu_ps_client *client;
    assert_ok(mu_ps_client_create(&options, &client));
    return client;
}

static bool says_that_it_shares(const struct mu_test_log *log)
{
    return strstr(log->text, "gradients and parameters reach ps/0 through shared memory") != NULL;
}

/* Exits with 1 if it has left a name behind; else it is killed in the middle of a push. */
static void die_while_pushing(const struct mu_address *address)
{
    static const struct mu_link_events events = {
        .frame = mu_link_hold, .connected = link_pair_connected, .ended = hand_rig_ended};
    struct mu_real_world real;
    struct mu_loop *loop;
    struct link_pair own = {0};
    struct mu_link *link;
    struct mu_vectors vectors;
    struct mu_test_log log;
    int64_t version;
    assert_ok(mu_real_world_init(&real));
    assert_ok(real.world.ops->loop_create(&real.world, &loop));
    assert_ok(mu_link_connect(loop, address, &events, &own, &link));
    assert_ok(mu_loop_until(loop, &own.connected, MU_FOREVER));
    struct mu_ps_client *client = make_client(loop, mu_test_log_init(&log));
    mu_ps_client_add_server(client, 0, link);
    assert_ok(
        mu_ps_client_share(client, MU_PS_SHARE_WHERE_POSSIBLE, VECTORS, MU_FOREVER, &vectors));
    if (vectors.shared.name[0] || !says_that_it_shares(&log))
        _exit(1);
    float *gradient = mu_vectors_at(&vectors, 0), *fresh = mu_vectors_at(&vectors, 1);
    assert_ok(mu_ps_client_pull(client, fresh, MU_FOREVER, &version));
    assert_ok(mu_ps_client_push(client, 0, gradient, 1, version, fresh));
    (void)!loop->ops->turn(loop, 0);
    kill(getpid(), SIGKILL);
}

static bool is_lost_and_unmapped(const void *server)
{
    return mu_ps_server_lost(server, 0) && hand_share_mappings("/dev/shm/muster-") == 0;
}

static void a_worker_that_is_killed_leaves_nothing_mapped_and_no_name(void **state)
{
    (void)state;
    struct mu_link *link;
    int code;
    pid_t child = fork();
    if (child == 0)
        die_while_pushing(&pair.address);
    struct mu_ps_server *server = make_server();
    assert_ok(
        mu_link_accept(pair.loop, link_pair_stream(&pair), &mu_link_hold_events, NULL, &link));
    mu_ps_server_add_worker(server, 0, link);
    hand_share_run_until(server, is_lost_and_unmapped, server);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
    mu_ps_server_destroy(server);
}

/* ---- a client whose server is played ---- */

struct played {
    struct mu_link *link;
    struct mu_shared_memory_host host;
    bool is_silent, closes, has_offer, got_payload;
    const char *why;
};

static enum mu_link_answer played_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    static float landed[COUNT];
    struct played *played = owner;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body answer;
    (void)body;
    *ret_payload = landed;
    if (frame->type != MU_FRAME_SHARE) {
        played->got_payload = frame->payload_bytes == COUNT * sizeof(float);
        return MU_LINK_TAKE;
    }
    if (played->closes)
        return MU_LINK_REFUSE;
    played->has_offer = frame->tag == MU_PS_SHARE_MEMORY;
    if (frame->tag == MU_PS_SHARE_HOST)
        mu_ps_host_put(&answer, out, &played->host);
    else
        mu_ps_mapped_put(&answer, out, played->why);
    if (!played->is_silent)
        mu_link_post(link, MU_FRAME_SHARE, 7, frame->tag, &answer);
    return MU_LINK_TAKE;
}

static const struct mu_link_events played_events = {
    .frame = played_frame, .arrived = mu_link_ignore, .ended = hand_rig_ended};

/* What comes of asking to share with this server. */
static enum mu_status share_with(struct played *played, int64_t patience_ns, bool *ret_shares)
{
    struct mu_vectors vectors;
    struct mu_ps_client *client = make_client(pair.loop, mu_test_log_init(&log_of_test));
    mu_ps_client_add_server(
        client, 0, hand_rig_resumed_link(&played->link, &played_events, played));
    int64_t deadline = mu_deadline(mu_now(pair.loop->world), patience_ns);
    enum mu_status status =
        mu_ps_client_share(client, MU_PS_SHARE_WHERE_POSSIBLE, VECTORS, deadline, &vectors);
    *ret_shares = says_that_it_shares(&log_of_test);
    if (status == MU_OK && !*ret_shares) {
        assert_null(vectors.shared.at);
        assert_ok(mu_ps_client_push(client, 0, mu_vectors_at(&vectors, 0), 1, 0, NULL));
        link_pair_until(&pair, &played->got_payload);
    }
    mu_ps_client_destroy(client);
    mu_vectors_finish(&vectors);
    mu_link_close(played->link);
    return status;
}

static void a_server_elsewhere_is_pushed_to_as_ever(void **state)
{
    (void)state;
    bool shares;
    struct played other = {.why = ""};
    mu_shared_memory_host(&other.host);
    other.host.boot[3] ^= 1;
    assert_ok(share_with(&other, LINK_PAIR_TIME, &shares));
    assert_false(shares || other.has_offer);
    assert_string_equal(log_of_test.text, "");
}

static void why_a_server_of_this_host_does_not_share_is_said_once(void **state)
{
    (void)state;
    bool shares;
    struct played stranger = {.why = ""}, blind = {.why = "it does not see this /dev/shm"};
    struct played silent = {.is_silent = true};
    mu_shared_memory_host(&stranger.host);
    blind.host = stranger.host;
    stranger.host.user++;
    assert_ok(share_with(&stranger, LINK_PAIR_TIME, &shares));
    assert_false(shares || stranger.has_offer);
    assert_said(&log_of_test, "ps/0 is on this host, but not in shared memory with us");
    assert_said(&log_of_test, "it belongs to another user");
    assert_ok(share_with(&blind, LINK_PAIR_TIME, &shares));
    assert_true(blind.has_offer && !shares);
    assert_said(&log_of_test, "it does not see this /dev/shm");
    assert_ok(share_with(&silent, 0, &shares));
    assert_false(shares);
    assert_said(&log_of_test, "it has not answered in time");
}

static void a_full_dev_shm_is_said_and_pushes_travel(void **state)
{
    (void)state;
    struct rlimit before, small;
    bool shares;
    struct played server = {.why = ""};
    mu_shared_memory_host(&server.host);
    assert_return_code(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_return_code(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum mu_status status = share_with(&server, LINK_PAIR_TIME, &shares);
    assert_return_code(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_ok(status);
    assert_false(shares || server.has_offer);
    assert_said(&log_of_test, "files may have 4.0 KiB at the most");
}

static void who_must_share_and_cannot_fails(void **state)
{
    (void)state;
    struct mu_vectors vectors;
    struct played other = {.why = ""};
    struct mu_ps_client *client = make_client(pair.loop, mu_test_log_init(&log_of_test));
    mu_ps_client_add_server(client, 0, hand_rig_resumed_link(&other.link, &played_events, &other));
    assert_int_equal(
        mu_ps_client_share(client, MU_PS_SHARE_ALWAYS, VECTORS, hand_share_deadline(), &vectors),
        MU_CONFIG);
    assert_said(&log_of_test, "E0204");
    assert_said(&log_of_test, "no memory is shared with ps/0");
    assert_null(vectors.data);
    mu_ps_client_destroy(client);
    mu_link_close(other.link);
}

static void a_server_that_goes_meanwhile_is_a_failure_and_no_wait(void **state)
{
    (void)state;
    bool shares;
    struct played gone = {.closes = true};
    assert_int_equal(share_with(&gone, LINK_PAIR_TIME, &shares), MU_CLOSED);
    assert_false(shares);
}

/* Whose links are no more made anew is not worth waiting for, nor are the others beside it. */
static void one_of_two_servers_that_goes_ends_the_wait_for_the_other(void **state)
{
    (void)state;
    struct mu_vectors vectors;
    struct played silent = {.is_silent = true}, gone = {.closes = true};
    struct mu_ps_client_options options =
        hand_rig_client_options(pair.loop, mu_test_log_init(&log_of_test), COUNT);
    struct mu_ps_client *client;
    int64_t version;
    options.server_count = 2;
    assert_ok(mu_ps_client_create(&options, &client));
    mu_ps_client_add_server(
        client, 0, hand_rig_resumed_link(&silent.link, &played_events, &silent));
    mu_ps_client_add_server(client, 1, hand_rig_resumed_link(&gone.link, &played_events, &gone));
    enum mu_status status[3];
    bool in_time = true;
    for (int i = 0; i < 2; i++) { /* once more, where it is known to be gone */
        int64_t deadline = hand_share_deadline();
        status[i] = mu_ps_client_share_home(
            client, MU_PS_SHARE_WHERE_POSSIBLE, VECTORS, deadline, &vectors);
        in_time = in_time && mu_now(pair.loop->world) < deadline && !vectors.data;
    }
    status[2] = mu_ps_client_pull(client, (float[COUNT]){0}, hand_share_deadline(), &version);
    mu_ps_client_destroy(client);
    mu_link_close(silent.link);
    mu_link_close(gone.link);
    assert_true(in_time);
    for (int i = 0; i < 3; i++)
        assert_int_equal(status[i], MU_CLOSED);
}

static void vectors_that_no_server_sees_are_not_made(void **state)
{
    (void)state;
    struct mu_vectors vectors;
    struct played other = {.why = ""};
    struct mu_ps_client *client = make_client(pair.loop, mu_test_log_init(&log_of_test));
    mu_ps_client_add_server(client, 0, hand_rig_resumed_link(&other.link, &played_events, &other));
    const enum mu_ps_sharing sharing[] = {MU_PS_SHARE_NEVER, MU_PS_SHARE_WHERE_POSSIBLE};
    for (int i = 0; i < 2; i++) {
        assert_ok(
            mu_ps_client_share_home(client, sharing[i], VECTORS, hand_share_deadline(), &vectors));
        assert_null(vectors.data);
    }
    mu_ps_client_destroy(client);
    mu_link_close(other.link);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, hand_rig_begin, hand_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(a_gradient_is_applied_where_it_lies_and_stays_as_it_is),
        WITH_PAIR(only_one_of_the_two_may_be_in_place),
        WITH_PAIR(a_place_outside_the_memory_is_refused_and_nothing_changes),
        WITH_PAIR(a_place_in_memory_that_is_not_shared_is_refused),
        WITH_PAIR(a_place_and_a_payload_too_long_are_refused_for_the_length),
        WITH_PAIR(what_is_not_finite_is_found_in_place),
        WITH_PAIR(memory_that_cannot_be_mapped_is_answered_with_the_reason),
        WITH_PAIR(a_worker_that_is_killed_leaves_nothing_mapped_and_no_name),
        WITH_PAIR(a_server_elsewhere_is_pushed_to_as_ever),
        WITH_PAIR(why_a_server_of_this_host_does_not_share_is_said_once),
        WITH_PAIR(a_full_dev_shm_is_said_and_pushes_travel),
        WITH_PAIR(who_must_share_and_cannot_fails),
        WITH_PAIR(a_server_that_goes_meanwhile_is_a_failure_and_no_wait),
        WITH_PAIR(one_of_two_servers_that_goes_ends_the_wait_for_the_other),
        WITH_PAIR(vectors_that_no_server_sees_are_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
