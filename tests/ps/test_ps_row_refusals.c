/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "tests/ps/hand_rig.h"
#include <math.h>

/* ROWS that are not what they should be: of a worker to a server, and of a server to a worker. Both
 * ends are on one loop. */
#define COUNT 16
#define WIDTH 2
#define PUSH_MAX 3
#define IDS 100

static struct mu_ps_server_options options_of(int order, int server_count, size_t width)
{
    struct mu_ps_server_options options = hand_rig_options(order, server_count, COUNT, 1);
    options.rows.width = width;
    options.rows.push_max = PUSH_MAX;
    options.rows.id_count = IDS;
    return options;
}

static struct mu_ps_server *make_server(int order, int server_count, size_t width)
{
    struct mu_ps_server_options options = options_of(order, server_count, width);
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    return server;
}

/* ---- the other side ---- */

struct peer {
    struct mu_link *link;
    bool ended, over;
    int rows_come; /* frames */
    uint32_t rows_bytes;
    float rows[PUSH_MAX * WIDTH], fresh[COUNT];
    struct mu_ps_fresh_body said;
    struct mu_ps_note_body note;
};

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct peer *peer = owner;
    *ret_payload = peer->fresh;
    if (frame->type == MU_FRAME_ROWS) {
        peer->rows_come++;
        peer->rows_bytes = frame->payload_bytes;
        *ret_payload = peer->rows;
    } else if (frame->type == MU_FRAME_FRESH) {
        assert_true(mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &peer->said));
    } else if (frame->type == MU_FRAME_PUSH) {
        assert_true(mu_ps_note_read(mu_link_decoder(link), body, frame->body_bytes, &peer->note));
    }
    return MU_LINK_TAKE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    if (frame->type != MU_FRAME_ROWS)
        ((struct peer *)owner)->over = true;
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

static struct mu_link *make_peer(struct peer *peer)
{
    return hand_rig_link(&peer->link, &peer_events, peer);
}

/* A ROWS and what follows it, in memory that stays. */
struct sent {
    struct mu_send rows, push;
    uint8_t rows_body[MU_PS_ROWS_BODY_MAX], push_body[MU_PS_BODY_MAX];
    uint8_t payload[256];
    float dense[COUNT];
};

struct rows {
    uint32_t given, wanted;
    int bytes_more, tag_ahead;
    uint64_t id;   /* of the last of all ids; the others are counted from 0 */
    int same;      /* so many at the end have this id */
    float element; /* the last one of the gradients */
    double scale;  /* of the push; 0: 1 */
};

static void send_rows(struct peer *peer, struct sent *sent, const struct rows *rows, uint64_t tag)
{
    const struct mu_ps_rows_body counts = {.given = rows->given, .wanted = rows->wanted};
    size_t ids = rows->given + rows->wanted;
    struct mu_frame frame = {
        .type = MU_FRAME_ROWS,
        .generation = 7,
        .tag = tag + (uint64_t)rows->tag_ahead,
        .body_bytes = (uint32_t)mu_ps_rows_write(sent->rows_body, &counts),
        .payload_bytes = (uint32_t)((int)mu_ps_rows_bytes(&counts, WIDTH) + rows->bytes_more),
    };
    memset(sent->payload, 0, sizeof(sent->payload));
    for (size_t i = 0; ids <= 2 * PUSH_MAX && i < ids; i++) {
        bool is_last = i + 1 == ids || i + (size_t)rows->same >= ids;
        uint64_t id = is_last ? rows->id : i;
        memcpy(sent->payload + i * sizeof(id), &id, sizeof(id));
    }
    if (rows->given > 0 && rows->given <= PUSH_MAX)
        memcpy(sent->payload + mu_ps_rows_bytes(&counts, WIDTH) - sizeof(float), &rows->element,
            sizeof(float));
    mu_link_send(peer->link, &sent->rows, &frame, sent->rows_body, sent->payload);
}

static void send_push(
    struct peer *peer, struct sent *sent, size_t count, double scale, uint64_t tag)
{
    const struct mu_ps_push_body push = {.scale = scale == 0 ? 1 : scale};
    struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = tag,
        .body_bytes = (uint32_t)mu_ps_push_write(sent->push_body, &push),
        .payload_bytes = (uint32_t)(count * sizeof(float)),
    };
    mu_link_send(peer->link, &sent->push, &frame, sent->push_body, sent->dense);
}

/* ---- what is well formed, but no gradient ---- */

static const struct {
    struct rows rows;
    enum mu_ps_flaw flaw;
} flaws[] = {
    {{.given = PUSH_MAX + 1}, MU_PS_FLAW_ROWS},
    {{.wanted = PUSH_MAX + 1}, MU_PS_FLAW_ROWS},
    {{.given = 2, .wanted = 1, .bytes_more = 8}, MU_PS_FLAW_ROWS},
    {{.given = 2, .wanted = 1, .bytes_more = -4}, MU_PS_FLAW_ROWS},
    {{.given = 2, .wanted = 1, .tag_ahead = 1}, MU_PS_FLAW_TURN},
    {{.given = 1, .id = IDS}, MU_PS_FLAW_ID},
    {{.wanted = 2, .id = UINT64_MAX}, MU_PS_FLAW_ID},
    {{.given = 2, .wanted = 1, .id = 7, .same = 2}, MU_PS_FLAW_TWICE},
    {{.given = 3, .id = 0}, MU_PS_FLAW_TWICE},
    {{.wanted = 3, .id = 1}, MU_PS_FLAW_TWICE},
    {{.given = 2, .wanted = 1, .element = NAN}, MU_PS_FLAW_NOT_FINITE},
    {{.given = 2, .wanted = 1, .element = INFINITY}, MU_PS_FLAW_NOT_FINITE},
    {{.given = 2, .wanted = 1, .element = 0x1p48f}, MU_PS_FLAW_LARGE},
    {{.given = 2, .wanted = 1, .element = 3e38f, .scale = 2}, MU_PS_FLAW_LARGE},
    {{.given = 2, .wanted = 1, .element = -1, .scale = -1e38}, MU_PS_FLAW_LARGE},
};

static enum mu_status push_with(
    struct mu_ps_server *server, struct peer *peer, const struct rows *rows, uint64_t tag)
{
    struct sent sent = {0};
    peer->over = false;
    peer->rows_come = 0;
    send_rows(peer, &sent, rows, tag);
    send_push(peer, &sent, COUNT, rows->scale, tag);
    enum mu_status status = mu_ps_server_run(server, &peer->over);
    if (status != MU_OK)
        link_pair_until(&pair, &peer->ended);
    else
        link_pair_until(&pair, &sent.push.done);
    return status;
}

static void flawed_rows_are_refused_with_their_gradient(void **state)
{
    (void)state;
    static const struct rows sound = {.given = 1, .wanted = 1, .id = 7, .element = 1};
    for (size_t i = 0; i < MU_COUNT_OF(flaws); i++) {
        struct peer peer = {0};
        struct mu_ps_server *server = make_server(0, 1, WIDTH);
        mu_ps_server_add_worker(server, 0, make_peer(&peer));
        for (uint64_t k = 0; k < 6; k++) {
            bool is_sound = k % 3 == 2;
            assert_ok(push_with(server, &peer, is_sound ? &sound : &flaws[i].rows, k));
            assert_int_equal(peer.said.verdict, is_sound ? MU_VERDICT_APPLY : MU_VERDICT_REFUSE);
            assert_int_equal(mu_table_count(mu_ps_server_table(server)).rows, k >= 2 ? 1 : 0);
        }
        assert_said(&log_of_test, mu_ps_flaw_text(flaws[i].flaw));
        assert_ok(push_with(server, &peer, &flaws[i].rows, 6));
        assert_ok(push_with(server, &peer, &flaws[i].rows, 7));
        assert_int_equal(push_with(server, &peer, &flaws[i].rows, 8), MU_PROTOCOL);
        assert_said(&log_of_test, "sent 3 gradients in a row that were refused");
        assert_int_equal(mu_ps_server_version(server), 2);
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

/* What a worker that clips sends. */
static void large_rows_with_a_small_scale_are_applied(void **state)
{
    (void)state;
    static const struct rows large = {.given = 1, .id = 7, .element = 3e38f, .scale = 1e-30};
    struct peer peer = {0};
    struct mu_ps_server *server = make_server(0, 1, WIDTH);
    mu_ps_server_add_worker(server, 0, make_peer(&peer));
    assert_ok(push_with(server, &peer, &large, 0));
    assert_int_equal(peer.said.verdict, MU_VERDICT_APPLY);
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

/* To want what one gives is what workers do. */
static void an_id_may_be_given_and_wanted(void **state)
{
    (void)state;
    static const struct rows both = {.given = 1, .wanted = 1, .id = 7, .same = 2, .element = 1};
    struct peer peer = {0};
    struct mu_ps_server *server = make_server(0, 1, WIDTH);
    mu_ps_server_add_worker(server, 0, make_peer(&peer));
    assert_ok(push_with(server, &peer, &both, 0));
    assert_int_equal(peer.said.verdict, MU_VERDICT_APPLY);
    assert_int_equal(peer.rows_bytes, WIDTH * sizeof(float));
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

static void wanted_rows_come_whatever_became_of_the_gradient(void **state)
{
    (void)state;
    static const struct rows nan = {.given = 1, .wanted = 2, .id = 7, .element = NAN};
    struct peer peer = {0};
    struct mu_ps_server *server = make_server(0, 1, WIDTH);
    mu_ps_server_add_worker(server, 0, make_peer(&peer));
    assert_ok(push_with(server, &peer, &nan, 0));
    assert_int_equal(peer.said.verdict, MU_VERDICT_REFUSE);
    assert_int_equal(peer.rows_come, 1);
    assert_int_equal(peer.rows_bytes, 2 * WIDTH * sizeof(float));
    mu_ps_server_destroy(server);
    mu_link_close(peer.link);
}

static void an_id_of_another_server_is_a_flaw(void **state)
{
    (void)state;
    struct peer head = {0}, worker = {0};
    struct sent sent = {0};
    struct mu_ps_server *server = make_server(1, 2, WIDTH);
    mu_ps_server_add_head(server, make_peer(&head));
    mu_ps_server_add_worker(server, 0, make_peer(&worker));
    struct rows rows = {.given = 1};
    while (mu_split_row(rows.id, 2) != 0)
        rows.id++;
    send_rows(&worker, &sent, &rows, 0);
    send_push(&worker, &sent, mu_ps_server_span(server).count, 1, 0);
    assert_ok(mu_ps_server_run(server, &head.over));
    assert_int_equal(head.note.flaw, MU_PS_FLAW_ID);
    mu_ps_server_destroy(server);
    mu_link_close(head.link);
    mu_link_close(worker.link);
}

/* ---- what ends the link of a worker ---- */

struct breach {
    const char *said;
    size_t width; /* of the server's table */
    struct rows rows;
    int body_cut;
    enum { ALONE, TWICE, BEFORE_PULL } how;
};

static const struct breach breaches[] = {
    {"sent ROWS, and the model has no embedding table", 0, {.wanted = 1}, 0, ALONE},
    {"sent a ROWS whose body is malformed", WIDTH, {.wanted = 1}, 1, ALONE},
    {"sent ROWS twice before one PUSH", WIDTH, {.wanted = 1}, 0, TWICE},
    {"sent a PULL with gradients of embedding rows", WIDTH, {.given = 1}, 0, BEFORE_PULL},
    {"sent a PULL with an id out of range", WIDTH, {.wanted = 1, .id = IDS}, 0, BEFORE_PULL},
    {"sent a PULL with more embedding rows", WIDTH, {.wanted = PUSH_MAX + 1}, 0, BEFORE_PULL},
};

static void send_breach(struct peer *peer, struct sent sent[2], const struct breach *breach)
{
    if (breach->body_cut > 0) {
        const struct mu_frame frame = {
            .type = MU_FRAME_ROWS, .generation = 7, .body_bytes = 1, .payload_bytes = 8};
        sent[0].rows_body[0] = 0x80; /* an empty map */
        mu_link_send(peer->link, &sent[0].rows, &frame, sent[0].rows_body, sent[0].payload);
        return;
    }
    send_rows(peer, &sent[0], &breach->rows, 0);
    if (breach->how == TWICE)
        send_rows(peer, &sent[1], &breach->rows, 0);
    if (breach->how == BEFORE_PULL)
        mu_link_post(peer->link, MU_FRAME_PULL, 7, 0, NULL);
}

static void a_worker_that_breaks_the_protocol_of_rows_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(breaches); i++) {
        struct peer peer = {0};
        struct sent sent[2] = {0};
        bool never = false;
        struct mu_ps_server *server = make_server(0, 1, breaches[i].width);
        mu_ps_server_add_worker(server, 0, make_peer(&peer));
        send_breach(&peer, sent, &breaches[i]);
        assert_int_equal(mu_ps_server_run(server, &never), MU_PROTOCOL);
        assert_said(&log_of_test, "E0404");
        assert_said(&log_of_test, breaches[i].said);
        link_pair_until(&pair, &peer.ended);
        mu_ps_server_destroy(server);
        mu_link_close(peer.link);
    }
}

/* ---- what ends the link of a server ---- */

static struct mu_ps_client *make_client(void)
{
    struct mu_ps_client_options options =
        hand_rig_client_options(pair.loop, mu_test_log_init(&log_of_test), COUNT);
    options.row_width = WIDTH;
    options.row_max = PUSH_MAX;
    struct mu_ps_client *client;
    assert_ok(mu_ps_client_create(&options, &client));
    return client;
}

static const struct {
    const char *said;
    struct mu_frame frame;
} answers[] = {
    {"sent embedding rows that were not wanted", {.type = MU_FRAME_ROWS, .payload_bytes = 8}},
    {"sent embedding rows that were not wanted", {.type = MU_FRAME_ROWS, .payload_bytes = 24}},
    {"sent embedding rows that were not wanted", {.type = MU_FRAME_ROWS}},
    {"answers push 1, which was not sent: 1 is next",
        {.type = MU_FRAME_ROWS, .payload_bytes = 16, .tag = 1}},
    {"sent a FRESH without the embedding rows", {.type = MU_FRAME_FRESH}},
};

static void a_server_that_sends_other_rows_is_named(void **state)
{
    (void)state;
    uint64_t ids[2] = {3, 5};
    const struct mu_row_set wanted = {.count = 2, .id = ids, .first = {0, 2}};
    for (size_t i = 0; i < MU_COUNT_OF(answers); i++) {
        struct peer peer = {0};
        struct mu_send send = {0};
        const struct mu_ps_fresh_body fresh = {.item = MU_PS_ITEM_LOOK};
        uint8_t body[MU_PS_BODY_MAX];
        float values[2 * WIDTH] = {0};
        static float payload[COUNT];
        struct mu_ps_client *client = make_client();
        mu_ps_client_add_server(client, 0, make_peer(&peer));
        struct mu_frame frame = answers[i].frame;
        frame.generation = 7;
        if (frame.type == MU_FRAME_FRESH)
            frame.body_bytes = (uint32_t)mu_ps_fresh_write(body, &fresh);
        /* The answer is in the network before the question is. */
        mu_link_send(peer.link, &send, &frame, body, payload);
        int64_t deadline = mu_deadline(mu_now(pair.loop->world), LINK_PAIR_TIME);
        assert_int_equal(mu_ps_client_look(client, 0, &wanted, values, deadline), MU_PROTOCOL);
        assert_said(&log_of_test, answers[i].said);
        assert_int_equal(mu_ps_client_culprit(client), 0);
        mu_ps_client_destroy(client);
        mu_link_close(peer.link);
    }
}

static void a_limit_below_one_step_is_a_wrong_configuration(void **state)
{
    (void)state;
    struct mu_ps_server_options options = options_of(0, 1, WIDTH);
    struct mu_ps_server *server;
    options.rows.row_limit = PUSH_MAX - 1;
    assert_int_equal(mu_ps_server_create(&options, &server), MU_CONFIG);
    assert_said(&log_of_test, "use a larger mode.row_limit");
    options = options_of(0, 1, WIDTH);
    options.rows.push_max = (size_t)1 << 28;
    assert_int_equal(mu_ps_server_create(&options, &server), MU_CONFIG);
    assert_said(&log_of_test, "use a smaller data.batch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flawed_rows_are_refused_with_their_gradient),
        cmocka_unit_test(large_rows_with_a_small_scale_are_applied),
        cmocka_unit_test(an_id_may_be_given_and_wanted),
        cmocka_unit_test(wanted_rows_come_whatever_became_of_the_gradient),
        cmocka_unit_test(an_id_of_another_server_is_a_flaw),
        cmocka_unit_test(a_worker_that_breaks_the_protocol_of_rows_is_named),
        cmocka_unit_test(a_server_that_sends_other_rows_is_named),
        cmocka_unit_test(a_limit_below_one_step_is_a_wrong_configuration),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
