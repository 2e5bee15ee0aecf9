/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ps/hand_share.h"
#include <math.h>

/* Embedding rows in memory that a worker shares with a server, and what goes wrong with them. The
 * worker, or the server, is played by hand on the loop of the other side. */
#define COUNT 16
#define WIDTH 3
#define PUSH_MAX 4
#define IDS 100
#define VECTORS 2
#define BYTES 4096 /* of the memory: all fits in a page */

#define ROW_BYTES (WIDTH * sizeof(float))
#define IDS_AT INT64_C(1024)
#define GRADIENTS_AT INT64_C(2048)
#define VALUES_AT (INT64_C(3072) + 4) /* rows begin at any float */

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    (void)seed;
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)id;
}

static struct mu_ps_server *make_server(int in_flight)
{
    struct mu_ps_server_options options = hand_rig_options(0, 1, COUNT, 1);
    options.in_flight_max = in_flight;
    options.rows = (struct mu_ps_rows_options){
        .width = WIDTH, .push_max = PUSH_MAX, .id_count = IDS, .init_row = init_row};
    struct mu_ps_server *server = hand_rig_server(&options);
    mu_ps_server_begin(server, 0);
    return server;
}

/* ---- a worker by hand ---- */

static void begin_with(struct hand_share *hand, int in_flight)
{
    hand_share_begin(hand, make_server(in_flight));
    hand_share_share(hand, VECTORS, COUNT, 2048);
    assert_int_equal(hand->vectors.shared.bytes, BYTES);
}

static void begin(struct hand_share *hand)
{
    begin_with(hand, 1);
}

static uint64_t *ids_of(const struct hand_share *hand)
{
    return (uint64_t *)((char *)hand->vectors.shared.at + IDS_AT);
}

static float *floats_at(const struct hand_share *hand, int64_t place)
{
    return (float *)((char *)hand->vectors.shared.at + place);
}

/* Wants ids 1 and 2, gives 2 and 3. */
static void write_rows(struct hand_share *hand)
{
    static const uint64_t ids[] = {1, 2, 2, 3};
    memcpy(ids_of(hand), ids, sizeof(ids));
    for (int i = 0; i < 2 * WIDTH; i++) {
        floats_at(hand, GRADIENTS_AT)[i] = (float)(i + 1);
        floats_at(hand, VALUES_AT)[i] = -1;
    }
}

static const struct mu_ps_rows_body sound = {.wanted = 2,
    .given = 2,
    .ids_at = IDS_AT,
    .gradients_at = GRADIENTS_AT,
    .values_at = VALUES_AT};

static void send_rows(
    struct hand_share *hand, uint64_t tag, const struct mu_ps_rows_body *rows, size_t payload_bytes)
{
    static const uint8_t payload[256];
    uint8_t out[MU_PS_ROWS_BODY_MAX];
    hand->rows_come = 0;
    hand_share_send(
        hand, MU_FRAME_ROWS, tag, out, mu_ps_rows_write(out, rows), payload, payload_bytes);
}

static void send_push(struct hand_share *hand, uint64_t tag)
{
    static const float dense[COUNT];
    uint8_t out[MU_PS_BODY_MAX];
    const struct mu_ps_push_body body = {.scale = 1};
    hand_share_send(
        hand, MU_FRAME_PUSH, tag, out, mu_ps_push_write(out, &body), dense, sizeof(dense));
}

static enum mu_status push(struct hand_share *hand, uint64_t tag)
{
    send_push(hand, tag);
    return hand_share_serve(hand);
}

static float server_row(const struct hand_share *hand, uint64_t id, size_t element)
{
    const float *row;
    mu_table_look(mu_ps_server_table(hand->server), &id, 1, &row);
    return row ? row[element] : (float)id;
}

static uint64_t server_rows(const struct hand_share *hand)
{
    return mu_table_count(mu_ps_server_table(hand->server)).rows;
}

/* Headers and bodies, of ROWS and what follows it. */
static size_t frames_of_a_push(void)
{
    uint8_t rows[MU_PS_ROWS_BODY_MAX], push[MU_PS_BODY_MAX];
    return 2 * MU_FRAME_HEADER_BYTES + mu_ps_rows_write(rows, &sound) +
           mu_ps_push_write(push, &(struct mu_ps_push_body){.scale = 1});
}

static size_t frames_of_an_answer(const struct mu_ps_fresh_body *fresh)
{
    uint8_t out[MU_PS_BODY_MAX];
    return 2 * MU_FRAME_HEADER_BYTES + mu_ps_fresh_write(out, fresh);
}

/* ---- a server that is shared with ---- */

static void rows_are_applied_where_they_lie_and_come_where_they_are_wanted(void **state)
{
    (void)state;
    struct hand_share hand;
    begin(&hand);
    write_rows(&hand);
    for (uint64_t k = 0; k < 3; k++) {
        struct mu_ps_load before = *mu_ps_server_load(hand.server);
        send_rows(&hand, k, &sound, 0);
        assert_ok(push(&hand, k));
        assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
        assert_int_equal(hand.rows_come, 1);
        assert_int_equal(hand.rows_bytes, 0);
        for (size_t i = 0; i < WIDTH; i++) {
            float step = (float)(k + 1) * (float)(i + 1);
            assert_true(floats_at(&hand, GRADIENTS_AT)[i] == (float)(i + 1));
            assert_true(floats_at(&hand, VALUES_AT)[i] == 1);
            assert_true(floats_at(&hand, VALUES_AT)[WIDTH + i] == 2 - step);
            assert_true(server_row(&hand, 2, i) == 2 - step);
        }
        /* As if they had travelled. */
        const struct mu_ps_load *load = mu_ps_server_load(hand.server);
        size_t dense = COUNT * sizeof(float);
        assert_int_equal(load->bytes_in - before.bytes_in,
            dense + mu_ps_rows_bytes(&sound, WIDTH) + frames_of_a_push());
        assert_int_equal(load->bytes_out - before.bytes_out,
            dense + 2 * ROW_BYTES + frames_of_an_answer(&hand.said));
        assert_int_equal(load->rows_given - before.rows_given, 2);
        assert_int_equal(load->rows_wanted - before.rows_wanted, 2);
    }
    hand_share_end(&hand);
}

static void rows_that_travel_may_follow_those_that_do_not(void **state)
{
    (void)state;
    struct hand_share hand;
    begin(&hand);
    write_rows(&hand);
    send_rows(&hand, 0, &sound, 0);
    assert_ok(push(&hand, 0));
    const struct mu_ps_rows_body wanted = {.wanted = 1}; /* id 0 */
    send_rows(&hand, 1, &wanted, sizeof(uint64_t));
    assert_ok(push(&hand, 1));
    assert_int_equal(hand.rows_bytes, ROW_BYTES);
    assert_true(hand.rows[0] == 0);
    assert_true(floats_at(&hand, VALUES_AT)[0] == 1);
    hand_share_end(&hand);
}

/* ---- refusals ---- */

struct wild {
    struct mu_ps_rows_body rows;
    size_t payload_bytes;
    enum mu_ps_flaw flaw;
};

#define LAST (BYTES - (int64_t)(2 * ROW_BYTES))

static const struct wild wild[] = {
    {{2, 2, BYTES - 24, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_PLACE}, /* its end is outside */
    {{2, 2, IDS_AT, LAST + 4, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, IDS_AT, GRADIENTS_AT, LAST + 4}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, BYTES, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, IDS_AT, INT64_MAX - 3, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, IDS_AT, GRADIENTS_AT, INT64_MAX - 3}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, 8, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_PLACE},          /* where nothing ever is */
    {{2, 2, IDS_AT + 4, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_PLACE}, /* not aligned */
    {{2, 2, IDS_AT, GRADIENTS_AT + 2, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, IDS_AT, GRADIENTS_AT, 0}, 0, MU_PS_FLAW_PLACE}, /* one is missing */
    {{2, 2, IDS_AT, 0, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{2, 2, 0, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_PLACE},
    {{PUSH_MAX + 1, 2, IDS_AT, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_ROWS},
    {{2, PUSH_MAX + 1, IDS_AT, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_ROWS},
    {{UINT32_MAX, UINT32_MAX, IDS_AT, GRADIENTS_AT, VALUES_AT}, 0, MU_PS_FLAW_ROWS},
    {{2, 2, IDS_AT, GRADIENTS_AT, VALUES_AT}, 4 * 8 + 2 * ROW_BYTES, MU_PS_FLAW_ROWS}, /* both */
    {{2, 2, IDS_AT, GRADIENTS_AT, VALUES_AT}, 8, MU_PS_FLAW_ROWS},
};

static void a_place_outside_the_memory_is_refused_and_nothing_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(wild); i++) {
        struct hand_share hand;
        begin(&hand);
        write_rows(&hand);
        for (uint64_t k = 0; k < 3; k++) {
            send_rows(&hand, k, &wild[i].rows, wild[i].payload_bytes);
            assert_int_equal(push(&hand, k), k < 2 ? MU_OK : MU_PROTOCOL);
            assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
            assert_int_equal(hand.rows_come, 0);
        }
        assert_said(&log_of_test, mu_ps_flaw_text(wild[i].flaw));
        assert_int_equal(mu_ps_server_version(hand.server), 0);
        assert_int_equal(server_rows(&hand), 0);
        for (int j = 0; j < 2 * WIDTH; j++)
            assert_true(floats_at(&hand, VALUES_AT)[j] == -1);
        hand_share_end(&hand);
    }
}

static void the_last_bytes_of_the_memory_are_in_it(void **state)
{
    (void)state;
    static const struct mu_ps_rows_body last[] = {
        {2, 2, BYTES - 32, GRADIENTS_AT, VALUES_AT},
        {2, 2, IDS_AT, LAST, VALUES_AT},
        {2, 2, IDS_AT, GRADIENTS_AT, LAST},
    };
    for (size_t i = 0; i < MU_COUNT_OF(last); i++) {
        struct hand_share hand;
        begin(&hand);
        write_rows(&hand);
        memcpy((char *)hand.vectors.shared.at + BYTES - 32, ids_of(&hand), 32);
        if (last[i].gradients_at == LAST)
            memset(floats_at(&hand, LAST), 0, 2 * ROW_BYTES);
        send_rows(&hand, 0, &last[i], 0);
        assert_ok(push(&hand, 0));
        assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
        assert_true(floats_at(&hand, last[i].values_at)[0] == 1);
        hand_share_end(&hand);
    }
}

static const struct {
    uint64_t ids[4]; /* wanted, given */
    float element;   /* the last one of the gradients */
    enum mu_ps_flaw flaw;
} flaws[] = {
    {{1, 2, 2, IDS}, 0, MU_PS_FLAW_ID},
    {{UINT64_MAX, 2, 2, 3}, 0, MU_PS_FLAW_ID},
    {{1, 2, 2, 2}, 0, MU_PS_FLAW_TWICE},
    {{1, 1, 2, 3}, 0, MU_PS_FLAW_TWICE},
    {{1, 2, 2, 3}, NAN, MU_PS_FLAW_NOT_FINITE},
    {{1, 2, 2, 3}, INFINITY, MU_PS_FLAW_NOT_FINITE},
};

static void flaws_are_found_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(flaws); i++) {
        struct hand_share hand;
        begin(&hand);
        write_rows(&hand);
        memcpy(ids_of(&hand), flaws[i].ids, sizeof(flaws[i].ids));
        floats_at(&hand, GRADIENTS_AT)[2 * WIDTH - 1] = flaws[i].element;
        send_rows(&hand, 0, &sound, 0);
        assert_ok(push(&hand, 0));
        assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
        assert_said(&log_of_test, mu_ps_flaw_text(flaws[i].flaw));
        assert_int_equal(server_rows(&hand), 0);
        /* Rows are brought where it is known which. */
        bool brings = flaws[i].flaw == MU_PS_FLAW_NOT_FINITE;
        assert_int_equal(hand.rows_come, brings);
        assert_true(floats_at(&hand, VALUES_AT)[0] == (brings ? 1.0f : -1.0f));
        write_rows(&hand);
        send_rows(&hand, 1, &sound, 0);
        assert_ok(push(&hand, 1));
        assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
        hand_share_end(&hand);
    }
}

static void places_of_a_worker_that_shares_nothing_are_refused(void **state)
{
    (void)state;
    struct hand_share hand;
    hand_share_begin(&hand, make_server(1));
    send_rows(&hand, 0, &sound, 0);
    assert_ok(push(&hand, 0));
    assert_int_equal(hand.said.verdict, MU_VERDICT_REFUSE);
    assert_said(&log_of_test, mu_ps_flaw_text(MU_PS_FLAW_PLACE));
    /* A pull cannot be refused but with its link. */
    const struct mu_ps_rows_body wanted = {.wanted = 2, .ids_at = IDS_AT, .values_at = VALUES_AT};
    send_rows(&hand, 1, &wanted, 0);
    assert_int_equal(hand_share_ask(&hand, MU_FRAME_PULL, 1, NULL, 0), MU_PROTOCOL);
    assert_said(&log_of_test, "sent a PULL at a place that is not in the memory it shares");
    hand_share_end(&hand);
}

/* ---- what changes between the rows and their gradient ---- */

/* Turns until the server has all that was sent: it answers in order. */
static void let_come(struct hand_share *hand)
{
    struct mu_shared_memory_host host;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_shared_memory_host(&host);
    mu_ps_host_put(&body, out, &host);
    assert_ok(hand_share_ask(hand, MU_FRAME_SHARE, MU_PS_SHARE_HOST, out, body.bytes));
}

static void ids_are_those_that_were_looked_at(void **state)
{
    (void)state;
    struct hand_share hand;
    begin(&hand);
    write_rows(&hand);
    send_rows(&hand, 0, &sound, 0);
    let_come(&hand);
    for (int i = 0; i < 4; i++)
        ids_of(&hand)[i] = UINT64_MAX;
    assert_ok(push(&hand, 0));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    assert_int_equal(server_rows(&hand), 2);
    assert_true(server_row(&hand, 3, 0) == 3 - (WIDTH + 1));
    assert_true(floats_at(&hand, VALUES_AT)[0] == 1);
    hand_share_end(&hand);
}

/* The same bytes in other memory, as after the loss of a server. */
static void renew(struct hand_share *hand)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    assert_ok(mu_shared_memory_renew(&hand->vectors.shared, NULL, why));
    hand_share_offer_own(hand);
}

static bool first_is_unmapped(const void *name)
{
    return hand_share_mappings(name) == 0;
}

static void what_is_under_way_ends_in_the_memory_of_before_and_what_follows_uses_the_other(
    void **state)
{
    (void)state;
    struct hand_share hand;
    char first[MU_SHARED_MEMORY_NAME_MAX];
    begin(&hand);
    write_rows(&hand);
    send_rows(&hand, 0, &sound, 0);
    let_come(&hand);
    snprintf(first, sizeof(first), "%s", hand.vectors.shared.name);
    renew(&hand);
    assert_string_equal(hand.why, "");
    assert_int_equal(hand_share_mappings(first), 1);
    floats_at(&hand, VALUES_AT)[0] = 77;
    assert_ok(push(&hand, 0));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    assert_true(server_row(&hand, 3, 0) == 3 - (WIDTH + 1));
    assert_true(floats_at(&hand, VALUES_AT)[0] == 77);
    hand_share_run_until(hand.server, first_is_unmapped, first);
    send_rows(&hand, 1, &sound, 0);
    assert_ok(push(&hand, 1));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    assert_true(floats_at(&hand, VALUES_AT)[0] != 77);
    hand_share_end(&hand);
}

/* The server's callbacks answer; what is pushed waits until it is served. */
static void renew_unserved(struct hand_share *hand)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body body;
    assert_ok(mu_shared_memory_renew(&hand->vectors.shared, NULL, why));
    struct mu_ps_offer_body offer = {.bytes = BYTES};
    snprintf(offer.name, sizeof(offer.name), "%s", hand->vectors.shared.name);
    mu_ps_offer_put(&body, out, &offer);
    hand_share_send(hand, MU_FRAME_SHARE, MU_PS_SHARE_MEMORY, out, body.bytes, NULL, 0);
    link_pair_until(&pair, &hand->answered);
}

static void memory_with_rows_in_it_is_not_exchanged_while_that_of_before_has_some_too(void **state)
{
    (void)state;
    struct hand_share hand;
    begin_with(&hand, 2);
    write_rows(&hand);
    send_rows(&hand, 0, &sound, 0);
    send_push(&hand, 0);
    renew_unserved(&hand);
    assert_string_equal(hand.why, "");
    send_rows(&hand, 1, &sound, 0);
    renew_unserved(&hand);
    assert_string_equal(hand.why, "it still uses the memory of before");
    hand.answered = false;
    assert_ok(hand_share_serve(&hand));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    assert_ok(push(&hand, 1));
    assert_int_equal(hand.said.verdict, MU_VERDICT_APPLY);
    hand_share_offer_own(&hand);
    assert_string_equal(hand.why, "");
    hand_share_end(&hand);
}

/* By the server; one mapping is the worker's own. */
static bool is_mapped(const struct hand_share *hand)
{
    return hand_share_mappings(hand->vectors.shared.name) > 1;
}

static bool is_unmapped(const void *hand)
{
    return !is_mapped(hand);
}

static void memory_is_given_back_when_only_rows_had_come(void **state)
{
    (void)state;
    struct hand_share hand;
    begin(&hand);
    write_rows(&hand);
    send_rows(&hand, 0, &sound, 0);
    let_come(&hand);
    assert_true(is_mapped(&hand));
    mu_link_close(hand.link);
    hand.link = NULL;
    hand_share_run_until(hand.server, is_unmapped, &hand);
    hand_share_end(&hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_applied_where_they_lie_and_come_where_they_are_wanted),
        cmocka_unit_test(rows_that_travel_may_follow_those_that_do_not),
        cmocka_unit_test(a_place_outside_the_memory_is_refused_and_nothing_changes),
        cmocka_unit_test(the_last_bytes_of_the_memory_are_in_it),
        cmocka_unit_test(flaws_are_found_in_place),
        cmocka_unit_test(places_of_a_worker_that_shares_nothing_are_refused),
        cmocka_unit_test(ids_are_those_that_were_looked_at),
        cmocka_unit_test(
            what_is_under_way_ends_in_the_memory_of_before_and_what_follows_uses_the_other),
        cmocka_unit_test(memory_with_rows_in_it_is_not_exchanged_while_that_of_before_has_some_too),
        cmocka_unit_test(memory_is_given_back_when_only_rows_had_come),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
