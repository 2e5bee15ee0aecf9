/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "tests/ps/hand_rig.h"

/* A client of servers with standbys, whose answers are given by hand. */
#define COUNT 16 /* of one span */
#define SEATS 4  /* of two processes */

struct seat {
    struct mu_link *link;
    int64_t version; /* that its answers say; -1: it gives none */
    float gradients[COUNT];
};

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)frame;
    (void)body;
    *ret_payload = ((struct seat *)owner)->gradients;
    return MU_LINK_TAKE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)body;
    const struct seat *seat = owner;
    const struct mu_ps_fresh_body fresh = {.version = seat->version, .scale = 1};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body answer;
    if (frame->type != MU_FRAME_PUSH || seat->version < 0)
        return;
    mu_ps_fresh_put(&answer, memory, &fresh);
    mu_link_post(link, MU_FRAME_FRESH, 7, frame->tag, &answer);
}

static const struct mu_link_events seat_events = {
    .frame = on_frame, .arrived = on_arrived, .ended = hand_rig_ended};

static struct seat seats[SEATS];

/* Its standbys are quiet; the first seats answer with these versions. */
static struct mu_ps_client *make_client(int64_t head, int64_t other)
{
    struct mu_ps_client_options options =
        hand_rig_client_options(pair.loop, mu_test_log_init(&log_of_test), 2 * COUNT);
    struct mu_ps_client *client;
    options.server_count = 2;
    options.replicas = 1;
    assert_ok(mu_ps_client_create(&options, &client));
    for (int i = 0; i < SEATS; i++) {
        seats[i].version = i == 0 ? head : i == 1 ? other : -1;
        mu_ps_client_add_server(
            client, i, hand_rig_resumed_link(&seats[i].link, &seat_events, &seats[i]));
    }
    return client;
}

static void destroy(struct mu_ps_client *client)
{
    mu_ps_client_destroy(client);
    for (int i = 0; i < SEATS; i++)
        mu_link_close(seats[i].link);
}

static enum mu_status wait_a_while(struct mu_ps_client *client, struct mu_ps_result *ret_result)
{
    return mu_ps_client_wait(client, 0, mu_now(pair.loop->world) + 50 * MU_MS, ret_result);
}

/* The others have judged anew what it had answered, and the client hears of that first. */
static void a_head_that_answered_before_it_was_lost_is_no_contradiction(void **state)
{
    (void)state;
    float gradients[2 * COUNT] = {0};
    struct mu_ps_result result;
    struct mu_ps_client *client = make_client(25, 27);
    assert_ok(mu_ps_client_push(client, 0, gradients, 1, 0, NULL));
    assert_int_equal(wait_a_while(client, &result), MU_TIMEOUT);
    assert_int_equal(mu_ps_client_culprit(client), 0);
    mu_ps_client_lose_server(client, 0);
    assert_ok(wait_a_while(client, &result));
    assert_int_equal(result.version, 27);
    destroy(client);
}

static void after_the_loss_a_contradiction_is_a_failure(void **state)
{
    (void)state;
    float gradients[2 * COUNT] = {0};
    struct mu_ps_result result;
    struct mu_ps_client *client = make_client(25, 27);
    seats[0].version = -1;
    assert_ok(mu_ps_client_push(client, 0, gradients, 1, 0, NULL));
    assert_int_equal(wait_a_while(client, &result), MU_TIMEOUT);
    mu_ps_client_lose_server(client, 0);
    assert_ok(wait_a_while(client, &result));
    seats[2].version = 26; /* the standby answers from now on */
    assert_ok(mu_ps_client_push(client, 0, gradients, 1, 0, NULL));
    assert_int_equal(wait_a_while(client, &result), MU_BROKEN);
    assert_said(&log_of_test, "E0701");
    destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_answered_before_it_was_lost_is_no_contradiction),
        cmocka_unit_test(after_the_loss_a_contradiction_is_a_failure),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
