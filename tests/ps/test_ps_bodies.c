/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "test.h"

static struct mu_decoder *decoder;

static int make_decoder(void **state)
{
    (void)state;
    return mu_decoder_create(&decoder) == MU_OK ? 0 : -1;
}

static int drop_decoder(void **state)
{
    (void)state;
    mu_decoder_destroy(decoder);
    return 0;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_ps_push_body push = {.seen = INT64_MAX, .scale = 0.25}, push_read;
    for (int i = 0; i < 2; i++) {
        push.acknowledge_only = i == 1;
        assert_true(mu_ps_push_read(decoder, out, mu_ps_push_write(out, &push), &push_read));
        assert_int_equal(push_read.seen, INT64_MAX);
        assert_true(push_read.scale == push.scale);
        assert_int_equal(push_read.acknowledge_only, push.acknowledge_only);
        assert_int_equal(push_read.gradient_at, push.gradient_at);
        assert_int_equal(push_read.fresh_at, push.fresh_at);
        assert_int_equal(push_read.quiet, push.quiet);
        push.quiet = true;
        push.gradient_at = INT64_MAX;
        push.fresh_at = 64;
    }

    struct mu_ps_note_body note = {.worker = MU_PS_REPLICAS_MAX - 1, .flaw = MU_PS_FLAW_FUTURE};
    struct mu_ps_note_body note_read = {0};
    note.incarnation = 1;
    for (; note.incarnation < 4; note.incarnation++) {
        assert_true(mu_ps_note_read(decoder, out, mu_ps_note_write(out, &note), &note_read));
        assert_memory_equal(&note, &note_read, sizeof(note));
        note.alike = INT64_MIN + note.incarnation;
        note.item = note.item == MU_PS_ITEM_LOSS ? MU_PS_ITEM_LOOK : MU_PS_ITEM_LOSS;
    }

    static const enum mu_ps_item pulls[] = {MU_PS_ITEM_PULL, MU_PS_ITEM_LEAVE, MU_PS_ITEM_LOOK};
    enum mu_ps_item item;
    int64_t fresh_at;
    for (size_t i = 0; i < MU_COUNT_OF(pulls); i++) {
        size_t bytes = mu_ps_pull_write(out, pulls[i], 64 * (int64_t)i);
        assert_true(mu_ps_pull_read(decoder, out, bytes, &item, &fresh_at));
        assert_int_equal(item, pulls[i]);
        assert_int_equal(fresh_at, 64 * i);
    }
    assert_true(mu_ps_pull_read(decoder, out, 0, &item, &fresh_at));
    assert_int_equal(item, MU_PS_ITEM_PULL);
    assert_int_equal(fresh_at, 0);

    const struct mu_ps_rows_body rows = {.given = UINT32_MAX, .wanted = UINT32_MAX};
    struct mu_ps_rows_body rows_read;
    assert_true(mu_ps_rows_read(decoder, out, mu_ps_rows_write(out, &rows), &rows_read));
    assert_memory_equal(&rows, &rows_read, sizeof(rows));

    struct mu_ps_fresh_body fresh = {.verdict = MU_VERDICT_REFUSE,
        .flaw = MU_PS_FLAW_ID,
        .scale = -1e300,
        .staleness = INT64_MAX,
        .version = INT64_MAX};
    struct mu_ps_fresh_body fresh_read;
    assert_true(mu_ps_fresh_read(decoder, out, mu_ps_fresh_write(out, &fresh), &fresh_read));
    assert_int_equal(fresh_read.verdict, MU_VERDICT_REFUSE);
    assert_int_equal(fresh_read.flaw, MU_PS_FLAW_ID);
    assert_int_equal(fresh_read.item, MU_PS_ITEM_GRADIENT);
    assert_true(fresh_read.scale == fresh.scale);
    assert_int_equal(fresh_read.staleness, INT64_MAX);
    assert_int_equal(fresh_read.version, INT64_MAX);
    assert_false(fresh_read.bare);
}

static void what_workers_that_come_back_say_is_read(void **state)
{
    (void)state;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body body;
    const struct mu_ps_ready_body ready = {.incarnation = INT64_MAX}, dead = {.incarnation = 0};
    struct mu_ps_ready_body ready_read;
    mu_ps_ready_put(&body, out, &ready);
    assert_true(mu_ps_ready_read(decoder, out, body.bytes, &ready_read));
    assert_int_equal(ready_read.incarnation, INT64_MAX);
    assert_false(mu_ps_ready_read(decoder, out, body.bytes - 1, &ready_read));
    mu_ps_ready_put(&body, out, &dead);
    assert_false(mu_ps_ready_read(decoder, out, body.bytes, &ready_read));

    struct mu_ps_fresh_body fresh = {.version = 3, .bare = true}, fresh_read;
    for (int item = MU_PS_ITEM_GRADIENT; item <= (int)MU_PS_ITEM_PULL; item++) {
        fresh.item = (enum mu_ps_item)item;
        assert_true(mu_ps_fresh_read(decoder, out, mu_ps_fresh_write(out, &fresh), &fresh_read));
        assert_true(fresh_read.bare);
    }

    const struct mu_ps_verdict_body join = {.item = MU_PS_ITEM_JOIN, .incarnation = INT64_MAX};
    struct mu_ps_verdict_body join_read;
    assert_true(mu_ps_verdict_read(decoder, out, mu_ps_verdict_write(out, &join), &join_read));
    assert_int_equal(join_read.incarnation, INT64_MAX);
}

/* What is no gradient has a number below zero in the place of its verdict. */
static void every_item_is_told_from_the_others(void **state)
{
    (void)state;
    uint8_t out[MU_PS_BODY_MAX];
    for (int item = MU_PS_ITEM_GRADIENT; item <= (int)MU_PS_ITEM_CHOICE; item++) {
        struct mu_ps_verdict_body verdict = {.item = (enum mu_ps_item)item, .incarnation = 1}, read;
        assert_true(mu_ps_verdict_read(decoder, out, mu_ps_verdict_write(out, &verdict), &read));
        assert_int_equal(read.item, item);
    }
}

static void the_largest_bodies_fit(void **state)
{
    (void)state;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_ps_verdict_body verdict = {
        .worker = MU_PS_REPLICAS_MAX - 1,
        .verdict = MU_VERDICT_COUNT - 1,
        .flaw = MU_PS_FLAW_COUNT - 1,
        .scale = 1.0,
        .weight = 1.0,
        .learning_rate = 0.1,
        .staleness = INT64_MAX,
        .clock = INT64_MAX,
        .average = INT64_MAX,
        .version = INT64_MAX,
        .version_awaited = INT64_MAX,
        .clock_awaited = INT64_MAX,
    };
    struct mu_ps_verdict_body verdict_read;
    assert_true(
        mu_ps_verdict_read(decoder, out, mu_ps_verdict_write(out, &verdict), &verdict_read));
    assert_int_equal(verdict_read.worker, MU_PS_REPLICAS_MAX - 1);
    assert_true(verdict_read.learning_rate == 0.1);
    assert_true(verdict_read.weight == 1.0);
    assert_int_equal(verdict_read.flaw, MU_PS_FLAW_COUNT - 1);
    assert_int_equal(verdict_read.clock, INT64_MAX);
    assert_int_equal(verdict_read.average, INT64_MAX);
    assert_int_equal(verdict_read.version_awaited, INT64_MAX);
    assert_int_equal(verdict_read.clock_awaited, INT64_MAX);

    static uint8_t large[MU_PS_STATE_BODY_MAX];
    static int64_t judged[MU_PS_REPLICAS_MAX], judged_read[MU_PS_REPLICAS_MAX];
    for (int i = 0; i < MU_PS_REPLICAS_MAX; i++)
        judged[i] = INT64_MAX - i;
    struct mu_ps_state_body state_body = {.vector = 4,
        .vector_count = 5,
        .version = INT64_MAX,
        .judged = judged,
        .replica_count = MU_PS_REPLICAS_MAX};
    struct mu_ps_state_body read;
    size_t bytes = mu_ps_state_write(large, sizeof(large), &state_body);
    assert_true(mu_ps_state_read(decoder, large, bytes, judged_read, MU_PS_REPLICAS_MAX, &read));
    assert_int_equal(read.replica_count, MU_PS_REPLICAS_MAX);
    assert_memory_equal(judged, judged_read, sizeof(judged));
    /* Counts of another number of replicas are refused. */
    assert_false(mu_ps_state_read(decoder, large, bytes, judged_read, 7, &read));
    state_body.replica_count = 3;
    bytes = mu_ps_state_write(large, sizeof(large), &state_body);
    assert_false(mu_ps_state_read(decoder, large, bytes, judged_read, 7, &read));
    state_body.replica_count = 0;
    bytes = mu_ps_state_write(large, sizeof(large), &state_body);
    assert_true(mu_ps_state_read(decoder, large, bytes, judged_read, 7, &read));
    assert_int_equal(read.replica_count, 0);
}

static void a_missing_or_wild_field_is_refused(void **state)
{
    (void)state;
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_ps_fresh_body fresh = {.version = 3};
    struct mu_ps_verdict_body verdict = {.worker = 1}, verdict_read;
    struct mu_ps_push_body push = {.seen = -1}, push_read;
    struct mu_ps_state_body read, wild = {.vector = 5, .vector_count = 5};
    int64_t none[1];
    size_t bytes = mu_ps_fresh_write(out, &fresh);
    out[0] = 0x83; /* one field less than it says: trailing bytes */
    assert_false(mu_ps_fresh_read(decoder, out, bytes, &fresh));
    assert_false(mu_ps_fresh_read(decoder, out, 0, &fresh));
    verdict.worker = MU_PS_REPLICAS_MAX;
    bytes = mu_ps_verdict_write(out, &verdict);
    assert_false(mu_ps_verdict_read(decoder, out, bytes, &verdict_read));
    bytes = mu_ps_push_write(out, &push);
    assert_false(mu_ps_push_read(decoder, out, bytes, &push_read));
    bytes = mu_ps_state_write(out, sizeof(out), &wild);
    assert_false(mu_ps_state_read(decoder, out, bytes, none, 1, &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(what_workers_that_come_back_say_is_read),
        cmocka_unit_test(every_item_is_told_from_the_others),
        cmocka_unit_test(the_largest_bodies_fit),
        cmocka_unit_test(a_missing_or_wild_field_is_refused),
    };
    return cmocka_run_group_tests(tests, make_decoder, drop_decoder);
}
