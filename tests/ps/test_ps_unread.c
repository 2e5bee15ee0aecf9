/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ps/hand_peer.h"

/* With standbys a long gradient is left in the network while the one before it waits for its
 * verdict. The server follows; its head and its worker are played by hand. */
#define SERVERS 2
#define PUSHES 3
#define LONG ((size_t)64 << 10) /* elements of a span: 256 KiB */
#define SETTLED_NS (50 * MU_MS) /* what could come has come */

struct head {
    struct mu_link *link;
    int notes, notes_wanted;
    bool over;
};

static enum mu_link_answer on_head_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    (void)body;
    (void)ret_payload;
    struct head *head = owner;
    assert_int_equal(frame->type, MU_FRAME_PUSH);
    assert_int_equal(frame->tag, head->notes);
    head->notes++;
    head->over = head->notes >= head->notes_wanted;
    return MU_LINK_TAKE;
}

static const struct mu_link_events head_events = {
    .frame = on_head_frame, .arrived = mu_link_ignore, .ended = hand_rig_ended};

/* Its answer waits for this version. */
static void judge(const struct head *head, uint64_t sequence, int64_t version_awaited)
{
    const struct mu_ps_verdict_body verdict = {.item = MU_PS_ITEM_GRADIENT,
        .verdict = MU_VERDICT_APPLY,
        .version = (int64_t)sequence,
        .version_awaited = version_awaited,
        .scale = 1,
        .weight = 1,
        .learning_rate = 1};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_verdict_put(&body, memory, &verdict);
    mu_link_post(head->link, MU_FRAME_VERDICT, 7, sequence, &body);
}

static void run_until_noted(struct mu_ps_server *server, struct head *head, int notes)
{
    head->over = head->notes >= notes;
    head->notes_wanted = notes;
    assert_ok(mu_ps_server_run(server, &head->over));
    assert_int_equal(head->notes, notes);
}

static void settled(void *owner)
{
    *(bool *)owner = true;
}

static void run_until_settled(struct mu_ps_server *server)
{
    struct mu_timer *timer;
    bool over = false;
    assert_ok(pair.loop->ops->timer_start(pair.loop, SETTLED_NS, settled, &over, &timer));
    assert_ok(mu_ps_server_run(server, &over));
    pair.loop->ops->timer_stop(timer);
}

/* First on each link that may come again. */
static void say_ready(struct mu_link *link)
{
    const struct mu_ps_ready_body ready = {.incarnation = 1};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_ready_put(&body, memory, &ready);
    mu_link_post(link, MU_FRAME_READY, 7, 0, &body);
}

struct rig {
    struct mu_ps_server *server;
    struct head head;
    struct hand_peer worker;
    float *gradient;
    struct mu_send sends[PUSHES];
    uint8_t bodies[PUSHES][MU_PS_BODY_MAX];
};

static void begin(struct rig *rig, int replicas, size_t span)
{
    struct mu_ps_server_options options = hand_rig_options(1, SERVERS, SERVERS * span, -1);
    options.replicas = replicas;
    options.in_flight_max = PUSHES;
    *rig = (struct rig){.server = hand_rig_server(&options)};
    rig->gradient = calloc(span, sizeof(float));
    rig->worker.fresh = calloc(span, sizeof(float));
    mu_ps_server_begin(rig->server, 0);
    mu_ps_server_add_head(
        rig->server, hand_rig_resumed_link(&rig->head.link, &head_events, &rig->head));
    mu_ps_server_add_worker(
        rig->server, 0, hand_rig_resumed_link(&rig->worker.link, &hand_peer_events, &rig->worker));
    if (replicas > 0)
        say_ready(rig->worker.link);
    for (uint64_t i = 0; i < PUSHES; i++)
        hand_peer_push(&rig->worker, &rig->sends[i], rig->bodies[i], rig->gradient, span, i);
}

static void end(struct rig *rig)
{
    mu_ps_server_destroy(rig->server);
    mu_link_close(rig->head.link);
    mu_link_close(rig->worker.link);
    free(rig->gradient);
    free(rig->worker.fresh);
}

static void expect_one_by_one(bool answers_wait)
{
    struct rig rig;
    begin(&rig, 1, LONG);
    for (int i = 0; i < PUSHES; i++) {
        run_until_noted(rig.server, &rig.head, i + 1);
        run_until_settled(rig.server);
        assert_int_equal(rig.head.notes, i + 1);
        assert_int_equal(rig.worker.fresh_count, answers_wait ? 0 : i);
        judge(&rig.head, (uint64_t)i, answers_wait ? PUSHES : 0);
    }
    bool over = false;
    rig.worker.over = &over;
    rig.worker.fresh_wanted = PUSHES;
    assert_ok(mu_ps_server_run(rig.server, &over));
    assert_int_equal(mu_ps_server_version(rig.server), PUSHES);
    end(&rig);
}

static void a_long_gradient_waits_unread_for_the_one_before(void **state)
{
    (void)state;
    expect_one_by_one(false);
}

/* Until that one has its verdict, not until it is answered. */
static void a_slow_answer_keeps_nothing_unread(void **state)
{
    (void)state;
    expect_one_by_one(true);
}

static void a_short_one_does_not(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, 1, LONG - 1);
    run_until_noted(rig.server, &rig.head, PUSHES);
    end(&rig);
}

static void nor_does_a_long_one_without_standbys(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, 0, LONG);
    run_until_noted(rig.server, &rig.head, PUSHES);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_gradient_waits_unread_for_the_one_before),
        cmocka_unit_test(a_slow_answer_keeps_nothing_unread),
        cmocka_unit_test(a_short_one_does_not),
        cmocka_unit_test(nor_does_a_long_one_without_standbys),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
