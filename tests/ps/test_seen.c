/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/seen.h"
#include "ps/server/seen_rows.h"
#include "test.h"

static void the_last_replies_of_each_worker_are_kept(void **state)
{
    (void)state;
    struct mu_seen seen;
    assert_ok(mu_seen_init(&seen, 20, 2, 2));
    assert_null(mu_seen_find(&seen, 0, 0));
    for (uint64_t sequence = 0; sequence < 5; sequence++) {
        float parameters[20] = {[19] = (float)sequence};
        mu_seen_store(&seen, 1, sequence, parameters, 10 + (int64_t)sequence);
    }
    assert_null(mu_seen_find(&seen, 1, 12));
    assert_null(mu_seen_find(&seen, 0, 13));
    assert_float_equal(mu_seen_find(&seen, 1, 13)[19], 3, 0);
    assert_float_equal(mu_seen_find(&seen, 1, 14)[19], 4, 0);
    mu_seen_finish(&seen);
}

static void nothing_is_kept_where_nothing_is_corrected(void **state)
{
    (void)state;
    struct mu_seen none = {0};
    float parameters[4] = {0};
    mu_seen_store(&none, 3, 0, parameters, 7);
    assert_null(mu_seen_find(&none, 3, 7));
    mu_seen_finish(&none);
}

static void an_empty_span_is_kept_too(void **state)
{
    (void)state;
    struct mu_seen seen;
    float nothing[1] = {0};
    assert_ok(mu_seen_init(&seen, 0, 1, 1));
    mu_seen_store(&seen, 0, 0, nothing, 5);
    assert_non_null(mu_seen_find(&seen, 0, 5));
    mu_seen_finish(&seen);
}

/* ---- rows ---- */

#define WIDTH 2
#define PUSH_MAX 6

static struct mu_seen_rows rows;
static struct mu_unique scratch;

/* Rows whose first value says which version and id they are of. */
static void store(int worker, uint64_t sequence, const uint64_t *ids, size_t count, int64_t version)
{
    float *values = mu_seen_rows_store(&rows, worker, sequence, ids, count, version);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i * WIDTH] = values[i * WIDTH + 1] = (float)version * 1000 + (float)ids[i];
}

static void expect_rows(bool there, int worker, int64_t version, const uint64_t *ids, size_t count)
{
    const float *const *found = mu_seen_rows_find(&rows, worker, version, ids, count, &scratch);
    assert_int_equal(found != NULL, there);
    for (size_t i = 0; found && i < count; i++)
        for (size_t j = 0; j < WIDTH; j++)
            assert_float_equal(found[i][j], (float)version * 1000 + (float)ids[i], 0);
}

static void rows_begin(int workers, int in_flight)
{
    assert_ok(mu_seen_rows_init(&rows, PUSH_MAX, WIDTH, workers, in_flight));
    assert_ok(mu_unique_init(&scratch, PUSH_MAX));
}

static void rows_end(void)
{
    mu_seen_rows_finish(&rows);
    mu_unique_finish(&scratch);
}

static const uint64_t some[] = {7, 900, 3, 41, 5, 6}, others[] = {3, 8, 9, 10, 11, 12};

static void rows_of_the_last_replies_of_each_worker_are_kept(void **state)
{
    (void)state;
    rows_begin(2, 2);
    for (uint64_t sequence = 0; sequence < 5; sequence++)
        store(1, sequence, some, PUSH_MAX, 10 + (int64_t)sequence);
    expect_rows(true, 1, 13, some, PUSH_MAX);
    expect_rows(true, 1, 14, some, PUSH_MAX);
    expect_rows(false, 1, 12, some, PUSH_MAX);
    expect_rows(false, 0, 13, some, PUSH_MAX);
    store(0, 3, some, 0, 20);
    expect_rows(false, 0, 20, some, 1);
    rows_end();
}

/* In whatever order, from whatever replies of that version. */
static void rows_are_found_by_id_or_not_at_all(void **state)
{
    (void)state;
    rows_begin(1, 3);
    store(0, 0, some, PUSH_MAX, 10);
    store(0, 1, others, PUSH_MAX, 10);
    store(0, 2, (const uint64_t[]){99, 98}, 2, 11);
    expect_rows(true, 0, 10, (const uint64_t[]){41, 7, 900}, 3);
    expect_rows(true, 0, 10, (const uint64_t[]){12, 3, 6, 8}, 4);
    expect_rows(true, 0, 11, (const uint64_t[]){98}, 1);
    expect_rows(false, 0, 10, (const uint64_t[]){7, 99}, 2); /* which came with another version */
    expect_rows(false, 0, 11, (const uint64_t[]){99, 98, 7}, 3);
    expect_rows(false, 0, 10, (const uint64_t[]){0}, 1);
    rows_end();
}

static void no_rows_are_kept_where_nothing_is_corrected(void **state)
{
    (void)state;
    struct mu_seen_rows none = {0};
    assert_null(mu_seen_rows_store(&none, 3, 0, some, PUSH_MAX, 7));
    assert_null(mu_seen_rows_find(&none, 3, 7, some, PUSH_MAX, NULL));
    mu_seen_rows_finish(&none);
}

/* What the documents say, and not much more. */
static void their_memory_is_that_of_ids_and_values(void **state)
{
    (void)state;
    size_t formula = (size_t)1000 * (8 + 4 * 16) * 4 * 3;
    rows_begin(4, 3);
    assert_int_equal(rows.memory.count * sizeof(float), mu_seen_rows_bytes(PUSH_MAX, WIDTH, 4, 3));
    assert_in_range(mu_seen_rows_bytes(1000, 16, 4, 3), formula, formula + formula / 1000);
    rows_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_replies_of_each_worker_are_kept),
        cmocka_unit_test(nothing_is_kept_where_nothing_is_corrected),
        cmocka_unit_test(an_empty_span_is_kept_too),
        cmocka_unit_test(rows_of_the_last_replies_of_each_worker_are_kept),
        cmocka_unit_test(rows_are_found_by_id_or_not_at_all),
        cmocka_unit_test(no_rows_are_kept_where_nothing_is_corrected),
        cmocka_unit_test(their_memory_is_that_of_ids_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
