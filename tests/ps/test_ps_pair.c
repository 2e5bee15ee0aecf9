/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps/server/server_inside.h"
#include "runtime/base/options.h"
#include "tests/ps/hand_peer.h"

/* Two servers and their link, workers by hand: what a worker does to one of them alone. */
#define COUNT 16 /* of one span */

static struct mu_ps_server *servers[2]; /* the head, its follower */

static struct mu_ps_server_options options_of(int replica_count)
{
    struct mu_ps_server_options options = hand_rig_options(0, 2, 2 * COUNT, -1);
    options.replica_count = replica_count;
    return options;
}

static void link_servers(void)
{
    struct mu_link *near, *far;
    link_pair_connect(&pair, &near, &far);
    mu_ps_server_add_follower(servers[0], 1, near);
    mu_ps_server_add_head(servers[1], far);
}

static void make_servers(struct mu_ps_server_options options)
{
    for (int i = 0; i < 2; i++) {
        options.order = i;
        servers[i] = hand_rig_server(&options);
        mu_ps_server_begin(servers[i], 0);
    }
    link_servers();
}

static void destroy_servers(void)
{
    mu_ps_server_destroy(servers[1]);
    mu_ps_server_destroy(servers[0]);
}

/* ---- until they have come somewhere ---- */

struct until {
    bool (*is_there)(void);
    bool over;
};

static void look_until(void *owner)
{
    struct until *until = owner;
    until->over = until->is_there();
}

static enum mu_status run_some_until(
    struct mu_ps_server *const some[], int count, bool (*is_there)(void))
{
    struct until until = {.is_there = is_there};
    struct mu_timer *timer;
    assert_ok(pair.loop->ops->timer_start(pair.loop, MU_MS, look_until, &until, &timer));
    enum mu_status status = mu_ps_servers_run(some, count, &until.over);
    pair.loop->ops->timer_stop(timer);
    return status;
}

static enum mu_status run_until(bool (*is_there)(void))
{
    return run_some_until(servers, 2, is_there);
}

/* Looked at a while after all that is under way has come. */
static bool has_come(void)
{
    static int looks;
    looks = (looks + 1) % 50;
    return looks == 0;
}

static bool is_lost_on_both(void)
{
    return servers[0]->ledger[1].is_lost && servers[1]->ledger[1].is_lost;
}

/* ---- workers ---- */

/* A worker with a link to each server. */
struct worker {
    struct hand_peer at[2];
    float fresh[2][COUNT], gradients[2][COUNT];
    struct mu_send sends[2];
    uint8_t bodies[2][MU_PS_BODY_MAX];
};

static void add_worker(struct worker *worker, int replica)
{
    for (int i = 0; i < 2; i++) {
        worker->at[i].fresh = worker->fresh[i];
        mu_ps_server_add_worker(servers[i], replica, hand_peer_link(&worker->at[i]));
    }
}

static void close_worker(struct worker *worker)
{
    for (int i = 0; i < 2; i++)
        mu_link_close(worker->at[i].link);
}

static void say_ready(struct worker *worker)
{
    const struct mu_ps_ready_body ready = {.incarnation = 1};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_ready_put(&body, memory, &ready);
    for (int i = 0; i < 2; i++)
        mu_link_post(worker->at[i].link, MU_FRAME_READY, 7, 0, &body);
}

static void push_as(struct worker *worker, int server, uint64_t tag, struct mu_ps_push_body fields)
{
    const struct mu_frame frame = {.type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = tag,
        .body_bytes = (uint32_t)mu_ps_push_write(worker->bodies[server], &fields),
        .payload_bytes = COUNT * sizeof(float)};
    mu_link_send(worker->at[server].link, &worker->sends[server], &frame, worker->bodies[server],
        worker->gradients[server]);
}

static void push(struct worker *worker, int server, uint64_t tag)
{
    push_as(worker, server, tag, (struct mu_ps_push_body){.scale = 1});
}

/* Against the rules. */
static void say_heartbeat(struct worker *worker, int server)
{
    mu_link_post(worker->at[server].link, MU_FRAME_HEARTBEAT, 7, 0, NULL);
}

static void check_culprit(enum mu_ps_peer_kind kind, int index)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mu_ps_server_culprit(servers[i]).kind, kind);
        assert_int_equal(mu_ps_server_culprit(servers[i]).index, index);
    }
}

/* ---- what a lost worker leaves ---- */

/* It dies with a push whole on the follower alone; and then the head ends. */
static void a_push_of_a_lost_worker_is_waited_for_no_more(void **state)
{
    (void)state;
    struct worker worker = {0};
    make_servers(options_of(2));
    add_worker(&worker, 1);
    push(&worker, 1, 0);
    assert_ok(run_until(has_come));
    assert_int_equal(servers[1]->waiting_count, 1);
    close_worker(&worker);
    assert_ok(run_until(is_lost_on_both));
    assert_int_equal(servers[1]->waiting_count, 0);
    mu_ps_server_destroy(servers[0]);
    servers[0] = NULL;
    assert_ok(run_some_until(servers + 1, 1, has_come));
    destroy_servers();
}

/* It breaks the protocol on its link to the head, and goes on with the follower. */
static void what_a_lost_worker_still_pushes_is_not_its_servers_fault(void **state)
{
    (void)state;
    struct worker worker = {0};
    struct mu_ps_server_options options = options_of(2);
    options.relinks = true;
    make_servers(options);
    add_worker(&worker, 1);
    say_ready(&worker);
    push(&worker, 1, 0);
    assert_ok(run_until(has_come));
    say_heartbeat(&worker, 0);
    assert_int_equal(run_until(has_come), MU_PROTOCOL);
    check_culprit(MU_PS_PEER_WORKER, 1);
    assert_ok(run_until(is_lost_on_both));
    push(&worker, 1, 1);
    assert_ok(run_until(has_come));
    assert_true(worker.at[1].ended);
    assert_true(servers[0]->workers[1].ended && servers[1]->workers[1].ended);
    destroy_servers();
    close_worker(&worker);
}

/* ---- who is cut off by the follower ---- */

/* Worker 0 waits for a step of two. */
static void a_worker_that_a_follower_cuts_off_is_waited_for_no_more(void **state)
{
    (void)state;
    struct worker good = {0}, bad = {0};
    struct mu_ps_server_options options = options_of(2);
    options.mode = (struct mu_ps_mode){.kind = MU_PS_SYNC, .workers = 2};
    make_servers(options);
    add_worker(&good, 0);
    add_worker(&bad, 1);
    for (int i = 0; i < 2; i++)
        push(&good, i, 0);
    say_heartbeat(&bad, 1);
    assert_int_equal(run_until(has_come), MU_PROTOCOL);
    check_culprit(MU_PS_PEER_WORKER, 1);
    assert_ok(run_until(has_come));
    assert_true(is_lost_on_both());
    for (int i = 0; i < 2; i++) {
        assert_int_equal(good.at[i].fresh_count, 1);
        assert_int_equal(mu_ps_server_version(servers[i]), 1);
    }
    destroy_servers();
    close_worker(&good);
    close_worker(&bad);
}

#define LARGE ((size_t)4 << 20) /* 16 MiB: more than the sockets take */

static void a_worker_that_does_not_read_a_follower_is_lost(void **state)
{
    (void)state;
    float *memory = calloc(3 * LARGE, sizeof(float));
    struct worker slow = {0};
    struct mu_ps_server_options options = options_of(2);
    options.element_count = 2 * LARGE;
    options.patience_ns = MU_SECOND;
    make_servers(options);
    add_worker(&slow, 1);
    slow.at[0].fresh = memory;
    slow.at[1].fresh = memory + LARGE;
    slow.at[1].holds = true;
    for (int i = 0; i < 2; i++)
        hand_peer_push(&slow.at[i], &slow.sends[i], slow.bodies[i], memory + 2 * LARGE, LARGE, 0);
    assert_int_equal(run_until(is_lost_on_both), MU_UNAVAILABLE);
    check_culprit(MU_PS_PEER_WORKER, 1);
    assert_said(&log_of_test, "answer waits for it on ps/1");
    assert_ok(run_until(has_come));
    assert_true(is_lost_on_both());
    assert_int_equal(slow.at[0].fresh_count, 1);
    destroy_servers();
    close_worker(&slow);
    free(memory);
}

/* What the follower said of it was on a link that broke. */
static void who_is_cut_off_is_told_on_the_next_link_again(void **state)
{
    (void)state;
    struct worker worker = {0};
    struct mu_link *nobodys, *far;
    struct mu_ps_server_options options = options_of(2);
    options.relinks = true;
    make_servers(options);
    add_worker(&worker, 1);
    link_pair_connect(&pair, &nobodys, &far);
    mu_ps_server_add_head(servers[1], far);
    say_heartbeat(&worker, 1);
    assert_int_equal(run_until(has_come), MU_PROTOCOL);
    assert_ok(run_until(has_come));
    assert_false(mu_ps_server_lost(servers[0], 1));
    mu_link_close(nobodys);
    link_servers();
    assert_ok(run_until(has_come));
    assert_true(is_lost_on_both());
    destroy_servers();
    close_worker(&worker);
}

/* With standbys, of which the head is lost: its deputy and the other span's first server. */
static void make_servers_without_their_head(void)
{
    static const int seats[] = {2, 1};
    struct mu_ps_server_options options = options_of(2);
    struct mu_link *near, *far;
    options.replicas = 1;
    for (int i = 0; i < 2; i++) {
        options.order = seats[i];
        servers[i] = hand_rig_server(&options);
        mu_ps_server_begin(servers[i], 0);
    }
    link_pair_connect(&pair, &near, &far);
    mu_ps_server_add_follower(servers[0], 1, near);
    mu_ps_server_add_deputy(servers[1], far);
}

static void who_is_cut_off_by_any_server_is_lost_to_the_next_head(void **state)
{
    (void)state;
    for (int by = 0; by < 2; by++) {
        struct worker worker = {0};
        make_servers_without_their_head();
        add_worker(&worker, 1);
        say_heartbeat(&worker, by);
        assert_int_equal(run_until(has_come), MU_PROTOCOL);
        for (int i = 0; i < 2; i++)
            mu_ps_server_lose_server(servers[i], 0);
        assert_ok(run_until(has_come));
        assert_true(mu_ps_server_is_head(servers[0]));
        assert_true(is_lost_on_both());
        destroy_servers();
        close_worker(&worker);
    }
}

/* ---- what is not the same on both ---- */

static void who_says_another_item_to_each_server_is_named(void **state)
{
    (void)state;
    for (int pulls_at = 0; pulls_at < 2; pulls_at++) {
        struct worker worker = {0};
        make_servers(options_of(2));
        add_worker(&worker, 1);
        push(&worker, 1 - pulls_at, 0);
        mu_link_post(worker.at[pulls_at].link, MU_FRAME_PULL, 7, 0, NULL);
        assert_int_equal(run_until(has_come), MU_PROTOCOL);
        check_culprit(MU_PS_PEER_WORKER, 1);
        assert_said(&log_of_test, "E0404");
        assert_said(&log_of_test, "replica 1 sent one thing to a server");
        assert_ok(run_until(has_come));
        assert_true(is_lost_on_both());
        for (int i = 0; i < 2; i++) {
            assert_int_equal(servers[i]->waiting_count, 0);
            assert_int_equal(mu_ps_server_version(servers[i]), 0);
        }
        destroy_servers();
        close_worker(&worker);
    }
}

/* A gradient that is refused, on both. */
static void check_differs(
    struct mu_ps_push_body first, struct mu_ps_push_body second, float element)
{
    struct worker worker = {0};
    make_servers(options_of(2));
    add_worker(&worker, 1);
    worker.gradients[0][0] = 1;
    worker.gradients[1][0] = element;
    push_as(&worker, 0, 0, first);
    push_as(&worker, 1, 0, second);
    assert_ok(run_until(has_come));
    assert_said(&log_of_test, "says another thing to another server");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(worker.at[i].fresh_count, 1);
        assert_int_equal(worker.at[i].said.verdict, MU_VERDICT_REFUSE);
        assert_int_equal(mu_ps_server_version(servers[i]), 0);
        assert_true(mu_ps_server_vector(servers[i], 0)[0] == 0);
        assert_int_equal(servers[i]->ledger[1].refused_in_row, 1);
    }
    destroy_servers();
    close_worker(&worker);
}

static void what_is_said_otherwise_to_one_server_is_refused_by_both(void **state)
{
    (void)state;
    const struct mu_ps_push_body usual = {.scale = 1};
    check_differs(usual, (struct mu_ps_push_body){.scale = 1e-30}, 3e38f);
    check_differs((struct mu_ps_push_body){.scale = 1e-30}, usual, 1);
    check_differs(usual, (struct mu_ps_push_body){.scale = 1, .seen = 1}, 1);
    check_differs(usual, (struct mu_ps_push_body){.scale = 1, .acknowledge_only = true}, 1);
}

/* What one of them alone was asked for, or has no place for, is no difference in what they keep. */
static void what_a_worker_has_seen_is_the_same_on_both(void **state)
{
    (void)state;
    static const struct mu_ps_push_body others[] = {
        {.scale = 1, .acknowledge_only = true}, {.scale = 1, .fresh_at = 64}};
    struct mu_ps_server_options options = options_of(2);
    for (int i = 0; mu_policies[i]; i++)
        if (strcmp(mu_policies[i]->name, "compensate") == 0)
            options.policy = mu_policies[i];
    void *policy_options = calloc(1, options.policy->option_bytes + 1);
    mu_options_defaults(options.policy->options, policy_options);
    options.policy_options = policy_options;
    for (size_t i = 0; i < MU_COUNT_OF(others); i++) {
        struct worker worker = {0};
        make_servers(options);
        add_worker(&worker, 1);
        push(&worker, 0, 0);
        push_as(&worker, 1, 0, others[i]);
        assert_ok(run_until(has_come));
        for (uint64_t k = 1; k < 3; k++) {
            for (int s = 0; s < 2; s++)
                push(&worker, s, k);
            assert_ok(run_until(has_come));
        }
        for (int s = 0; s < 2; s++) {
            assert_int_equal(worker.at[s].fresh_count, 3);
            assert_int_equal(mu_ps_server_version(servers[s]), 2);
        }
        destroy_servers();
        close_worker(&worker);
    }
    free(policy_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_of_a_lost_worker_is_waited_for_no_more),
        cmocka_unit_test(what_a_lost_worker_still_pushes_is_not_its_servers_fault),
        cmocka_unit_test(a_worker_that_a_follower_cuts_off_is_waited_for_no_more),
        cmocka_unit_test(a_worker_that_does_not_read_a_follower_is_lost),
        cmocka_unit_test(who_is_cut_off_is_told_on_the_next_link_again),
        cmocka_unit_test(who_is_cut_off_by_any_server_is_lost_to_the_next_head),
        cmocka_unit_test(who_says_another_item_to_each_server_is_named),
        cmocka_unit_test(what_is_said_otherwise_to_one_server_is_refused_by_both),
        cmocka_unit_test(what_a_worker_has_seen_is_the_same_on_both),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
