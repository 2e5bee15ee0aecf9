/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ps/hand_share.h"
#include <sys/resource.h>

/* Embedding rows that a client puts where a server of its host sees them. The server is played by
 * hand, on the same loop: it has the memory mapped, as one would. */
#define COUNT 16
#define WIDTH 3
#define ROW_MAX 4
#define GIVEN 2
#define WANTED 3

struct played {
    struct mu_link *link;
    struct mu_shared_memory shared;
    bool is_silent; /* it does not answer pushes */
    bool brings_nothing;
    int pushes, rows_come;
    bool pushed;
    struct mu_ps_rows_body rows;
    uint32_t rows_bytes;
    uint8_t payload[256];
    float dense[COUNT];
};

static void answer_share(struct played *played, const struct mu_frame *frame, const void *body)
{
    struct mu_decoder *decoder = mu_link_decoder(played->link);
    struct mu_shared_memory_host host;
    struct mu_ps_offer_body offer;
    char why[MU_SHARED_MEMORY_WHY_MAX] = "";
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body answer;
    if (frame->tag == MU_PS_SHARE_HOST) {
        mu_shared_memory_host(&host);
        mu_ps_host_put(&answer, out, &host);
    } else {
        assert_true(mu_ps_offer_read(decoder, body, frame->body_bytes, &offer));
        assert_ok(mu_shared_memory_open(&played->shared, offer.name, (size_t)offer.bytes, why));
        mu_ps_mapped_put(&answer, out, why);
    }
    mu_link_post(played->link, MU_FRAME_SHARE, 7, frame->tag, &answer);
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct played *played = owner;
    if (frame->type == MU_FRAME_SHARE)
        answer_share(played, frame, body);
    *ret_payload = played->dense;
    if (frame->type == MU_FRAME_ROWS) {
        assert_true(mu_ps_rows_read(mu_link_decoder(link), body, frame->body_bytes, &played->rows));
        assert_true(frame->payload_bytes <= sizeof(played->payload));
        played->rows_bytes = frame->payload_bytes;
        played->rows_come++;
        *ret_payload = played->payload;
    }
    return MU_LINK_TAKE;
}

static void *at(const struct played *played, int64_t place)
{
    assert_true(place > 0);
    return (char *)played->shared.at + place;
}

/* The wanted rows are 100, 101, ... in all their elements. */
static void bring(const struct played *played)
{
    float *values = at(played, played->rows.values_at);
    for (int i = 0; i < WANTED * WIDTH; i++)
        values[i] = (float)(100 + i / WIDTH);
    mu_link_post(played->link, MU_FRAME_ROWS, 7, (uint64_t)played->pushes, NULL);
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)body;
    struct played *played = owner;
    const struct mu_ps_fresh_body fresh = {.verdict = MU_VERDICT_APPLY, .version = 1, .scale = 1};
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body answer;
    if (frame->type != MU_FRAME_PUSH)
        return;
    played->pushed = true;
    if (played->is_silent)
        return;
    if (!played->brings_nothing && mu_ps_rows_are_placed(&played->rows))
        bring(played);
    mu_ps_fresh_put(&answer, out, &fresh);
    mu_link_post(link, MU_FRAME_FRESH, 7, frame->tag, &answer);
    played->pushes++;
}

static const struct mu_link_events played_events = {
    .frame = on_frame, .arrived = on_arrived, .ended = hand_rig_ended};

static struct mu_link *link_to(struct played *played)
{
    return hand_rig_resumed_link(&played->link, &played_events, played);
}

/* ---- the client ---- */

struct own {
    struct mu_ps_client *client;
    struct mu_vectors vectors;
    struct mu_ps_client_row_memory memory;
    uint64_t given[GIVEN], wanted[WANTED];
    struct mu_row_set given_set, wanted_set;
    float gradients[GIVEN * WIDTH], values[WANTED * WIDTH];
};

static void begin(struct own *own, struct played *played, bool relinks)
{
    struct mu_ps_client_options options =
        hand_rig_client_options(pair.loop, mu_test_log_init(&log_of_test), COUNT);
    options.row_width = WIDTH;
    options.row_max = ROW_MAX;
    options.relinks = relinks;
    *own = (struct own){.given = {5, 9}, .wanted = {9, 1, 7}};
    own->given_set = (struct mu_row_set){.count = GIVEN, .id = own->given, .first = {0, GIVEN}};
    own->wanted_set = (struct mu_row_set){.count = WANTED, .id = own->wanted, .first = {0, WANTED}};
    assert_ok(mu_ps_client_create(&options, &own->client));
    mu_ps_client_add_server(own->client, 0, link_to(played));
    assert_ok(mu_ps_client_share(
        own->client, MU_PS_SHARE_ALWAYS, 1, hand_share_deadline(), &own->vectors));
    own->memory = mu_ps_client_row_memory(own->client, 0);
}

static void end(struct own *own, struct played *played)
{
    mu_ps_client_destroy(own->client);
    mu_vectors_finish(&own->vectors);
    mu_link_close(played->link);
    mu_shared_memory_close(&played->shared);
}

static void put(struct own *own, float *gradients, float *values)
{
    const struct mu_ps_client_rows rows = {.given = &own->given_set,
        .gradients = gradients,
        .wanted = &own->wanted_set,
        .values = values};
    for (int i = 0; i < GIVEN * WIDTH; i++)
        gradients[i] = (float)(i + 1);
    mu_ps_client_put_rows(own->client, 0, &rows);
}

static enum mu_status push(struct own *own)
{
    static const float dense[COUNT];
    return mu_ps_client_push(own->client, 0, dense, 1, 0, NULL);
}

static void expect_values(const float *values)
{
    for (int i = 0; i < WANTED * WIDTH; i++)
        assert_true(values[i] == (float)(100 + i / WIDTH));
}

static void expect_ids(const uint64_t *ids)
{
    static const uint64_t expected[] = {9, 1, 7, 5, 9};
    assert_memory_equal(ids, expected, sizeof(expected));
}

static void expect_gradients(const float *gradients)
{
    for (int i = 0; i < GIVEN * WIDTH; i++)
        assert_true(gradients[i] == (float)(i + 1));
}

/* ---- the claims ---- */

static void rows_in_the_memory_of_a_slot_are_named_and_not_copied(void **state)
{
    (void)state;
    struct own own;
    struct played played = {0};
    struct mu_ps_result result;
    begin(&own, &played, false);
    for (int k = 0; k < 2; k++) {
        put(&own, own.memory.gradients, own.memory.values);
        assert_ok(push(&own));
        assert_ok(mu_ps_client_wait(own.client, 0, hand_share_deadline(), &result));
        assert_int_equal(played.rows_come, k + 1);
        assert_int_equal(played.rows_bytes, 0);
        assert_int_equal(played.rows.given, GIVEN);
        assert_int_equal(played.rows.wanted, WANTED);
        expect_ids(at(&played, played.rows.ids_at));
        expect_gradients(at(&played, played.rows.gradients_at));
        expect_values(own.memory.values);
        char *start = own.vectors.shared.at;
        assert_ptr_equal(start + played.rows.gradients_at, own.memory.gradients);
        assert_ptr_equal(start + played.rows.values_at, own.memory.values);
    }
    end(&own, &played);
}

static void rows_elsewhere_are_copied_both_ways(void **state)
{
    (void)state;
    struct own own;
    struct played played = {0};
    struct mu_ps_result result;
    begin(&own, &played, false);
    put(&own, own.gradients, own.values);
    memset(own.gradients, 0, sizeof(own.gradients)); /* they are the caller's again */
    memset(own.given, 0, sizeof(own.given));
    assert_ok(push(&own));
    assert_ok(mu_ps_client_wait(own.client, 0, hand_share_deadline(), &result));
    assert_int_equal(played.rows_bytes, 0);
    expect_ids(at(&played, played.rows.ids_at));
    expect_gradients(at(&played, played.rows.gradients_at));
    expect_values(own.values);
    end(&own, &played);
}

static void rows_that_were_wanted_and_do_not_come_are_missed(void **state)
{
    (void)state;
    struct own own;
    struct played played = {.brings_nothing = true};
    struct mu_ps_result result;
    begin(&own, &played, false);
    put(&own, own.memory.gradients, own.memory.values);
    assert_ok(push(&own));
    assert_int_equal(mu_ps_client_wait(own.client, 0, hand_share_deadline(), &result), MU_PROTOCOL);
    assert_said(&log_of_test, "sent a FRESH without the embedding rows that were wanted");
    end(&own, &played);
}

/* From then on they travel: the new link is of nobody's memory. */
static void rows_travel_once_a_link_was_lost(void **state)
{
    (void)state;
    struct own own;
    struct played before = {.is_silent = true}, after = {.is_silent = true};
    const struct mu_ps_rows_body counts = {.given = GIVEN, .wanted = WANTED};
    begin(&own, &before, true);
    put(&own, own.memory.gradients, own.memory.values);
    assert_ok(push(&own));
    link_pair_until(&pair, &before.pushed);
    assert_int_equal(before.rows_bytes, 0);
    mu_ps_client_add_server(own.client, 0, link_to(&after));
    link_pair_until(&pair, &after.pushed);
    assert_false(mu_ps_rows_are_placed(&after.rows));
    assert_int_equal(after.rows_bytes, mu_ps_rows_bytes(&counts, WIDTH));
    expect_ids((const uint64_t *)after.payload);
    expect_gradients((const float *)(after.payload + (GIVEN + WANTED) * sizeof(uint64_t)));
    mu_link_close(after.link);
    after.link = NULL;
    end(&own, &before);
}

/* As a server that was stopped in the middle of an answer. */
static void write_into(const struct mu_shared_memory *old, int64_t place)
{
    memset((char *)old->at + place, 0x55, sizeof(float) * WANTED * WIDTH);
}

static void shared_anew_the_memory_of_before_is_nobodys(void **state)
{
    (void)state;
    struct own own;
    struct played played = {0};
    struct mu_ps_result result;
    bool shared = false;
    begin(&own, &played, true);
    put(&own, own.memory.gradients, own.memory.values);
    assert_ok(push(&own));
    assert_ok(mu_ps_client_wait(own.client, 0, hand_share_deadline(), &result));
    struct mu_shared_memory old = played.shared;
    assert_ok(mu_ps_client_share_anew(own.client, hand_share_deadline(), &own.vectors, &shared));
    assert_true(shared);
    write_into(&old, played.rows.values_at);
    expect_values(own.memory.values);
    memset(own.memory.values, 0, sizeof(float) * WANTED * WIDTH);
    put(&own, own.memory.gradients, own.memory.values);
    assert_ok(push(&own));
    assert_ok(mu_ps_client_wait(own.client, 0, hand_share_deadline(), &result));
    assert_int_equal(played.rows_bytes, 0);
    expect_gradients(at(&played, played.rows.gradients_at));
    write_into(&old, played.rows.values_at);
    expect_values(own.memory.values);
    mu_shared_memory_close(&old);
    end(&own, &played);
}

static void where_there_is_no_other_memory_rows_travel(void **state)
{
    (void)state;
    struct own own;
    struct played played = {.is_silent = true};
    const struct mu_ps_rows_body counts = {.given = GIVEN, .wanted = WANTED};
    struct rlimit before, low;
    bool shared = false;
    begin(&own, &played, true);
    getrlimit(RLIMIT_FSIZE, &before);
    low = before;
    low.rlim_cur = 16;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    enum mu_status status =
        mu_ps_client_share_anew(own.client, hand_share_deadline(), &own.vectors, &shared);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_ok(status);
    assert_true(shared);
    assert_said(&log_of_test, "(ulimit -f); pushes to it travel by tcp");
    put(&own, own.memory.gradients, own.memory.values);
    assert_ok(push(&own));
    link_pair_until(&pair, &played.pushed);
    assert_false(mu_ps_rows_are_placed(&played.rows));
    assert_int_equal(played.rows_bytes, mu_ps_rows_bytes(&counts, WIDTH));
    write_into(&played.shared, (char *)own.memory.gradients - (char *)own.vectors.shared.at);
    expect_gradients(own.memory.gradients);
    end(&own, &played);
}

/* Sanitizers map memory of their own when they like. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MAY_LACK_MEMORY
#endif

#ifdef MAY_LACK_MEMORY
/* What a lost server sees would be taken for an answer. */
static void without_any_other_memory_it_does_not_go_on(void **state)
{
    (void)state;
    struct own own;
    struct played played = {.is_silent = true};
    struct rlimit before, low;
    bool shared = false;
    begin(&own, &played, true);
    getrlimit(RLIMIT_AS, &before);
    low = before;
    low.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    enum mu_status status =
        mu_ps_client_share_anew(own.client, hand_share_deadline(), &own.vectors, &shared);
    setrlimit(RLIMIT_AS, &before);
    assert_int_equal(status, MU_NO_MEMORY);
    assert_said(&log_of_test, "no memory to move 1 vectors of 16 floats away from a lost server");
    end(&own, &played);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_anew_the_memory_of_before_is_nobodys),
        cmocka_unit_test(where_there_is_no_other_memory_rows_travel),
#ifdef MAY_LACK_MEMORY
        cmocka_unit_test(without_any_other_memory_it_does_not_go_on),
#endif
        cmocka_unit_test(rows_in_the_memory_of_a_slot_are_named_and_not_copied),
        cmocka_unit_test(rows_elsewhere_are_copied_both_ways),
        cmocka_unit_test(rows_that_were_wanted_and_do_not_come_are_missed),
        cmocka_unit_test(rows_travel_once_a_link_was_lost),
    };
    return cmocka_run_group_tests(tests, hand_rig_begin, hand_rig_end);
}
