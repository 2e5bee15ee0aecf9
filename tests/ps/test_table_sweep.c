/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_save.h"
#include "ps/table/table_sweep.h"
#include "runtime/base/random.h"
#include "test.h"

/* Tables that are read while they change, against a copy that was made when the reading began. */
#define WIDTH 3
#define STRIDE (2 * WIDTH)
#define BATCH 40
#define IDS 5000

struct trial {
    struct mu_table *table;
    struct mu_table_sweep sweep;
    uint64_t draws;
    /* At the beginning of the sweep. */
    struct mu_table_entry *entries;
    float *rows;
    size_t count, come;
    bool has_come[IDS];
};

static uint64_t draw(struct trial *trial, uint64_t below)
{
    return mu_random_mix(7, trial->draws++) % below;
}

static void trial_init(struct trial *trial, size_t row_limit, size_t aside_max)
{
    *trial = (struct trial){0};
    const struct mu_table_options options = {
        .width = WIDTH, .slot_count = 1, .row_limit = row_limit, .seed = 3};
    assert_ok(mu_table_create(&options, &trial->table));
    assert_ok(mu_table_follow(trial->table, &trial->sweep, aside_max));
}

static void trial_finish(struct trial *trial)
{
    mu_table_destroy(trial->table);
    mu_table_sweep_finish(&trial->sweep);
    free(trial->entries);
    free(trial->rows);
}

/* Changes every element of some rows, and creates some. */
static void change(struct trial *trial)
{
    uint64_t ids[BATCH], first = draw(trial, IDS - BATCH * 7);
    float *row[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        ids[i] = first + i * 7;
    assert_ok(mu_table_rows(trial->table, ids, BATCH, row));
    for (size_t i = 0; i < BATCH; i++)
        for (size_t j = 0; j < STRIDE; j++)
            row[i][j] += (float)(draw(trial, 1000) + 1);
}

static void begin(struct trial *trial)
{
    free(trial->entries);
    free(trial->rows);
    trial->count = mu_table_count(trial->table).rows;
    trial->come = 0;
    memset(trial->has_come, 0, sizeof(trial->has_come));
    assert_ok(mu_table_sorted(trial->table, &trial->entries));
    trial->rows = calloc(trial->count + 1, STRIDE * sizeof(float));
    assert_non_null(trial->rows);
    for (size_t i = 0; i < trial->count; i++)
        memcpy(trial->rows + i * STRIDE, trial->entries[i].row, STRIDE * sizeof(float));
    assert_ok(mu_table_sweep_begin(&trial->sweep));
}

static void expect_row(struct trial *trial, uint64_t id, const float *row)
{
    size_t i = 0;
    while (i < trial->count && trial->entries[i].id != id)
        i++;
    assert_true(i < trial->count);
    assert_false(trial->has_come[id]);
    assert_memory_equal(row, trial->rows + i * STRIDE, STRIDE * sizeof(float));
    trial->has_come[id] = true;
    trial->come++;
}

static void read_some(struct trial *trial, uint64_t count)
{
    const float *row;
    uint64_t id;
    for (uint64_t i = 0; i < count && (row = mu_table_sweep_next(&trial->sweep, &id)); i++)
        expect_row(trial, id, row);
}

/* Changes as many as it may, and reads where it may not. */
static void sweep_while_it_changes(struct trial *trial, uint64_t read_max)
{
    begin(trial);
    while (!mu_table_sweep_over(&trial->sweep)) {
        if (mu_table_sweep_room(&trial->sweep) >= BATCH)
            change(trial);
        read_some(trial, draw(trial, read_max));
    }
    assert_int_equal(trial->come, trial->count);
}

static void a_sweep_reads_the_rows_as_they_were_when_it_began(void **state)
{
    (void)state;
    static const size_t asides[] = {BATCH, 3 * BATCH + 1, IDS};
    for (size_t a = 0; a < MU_COUNT_OF(asides); a++) {
        static struct trial trial;
        trial_init(&trial, 0, asides[a]);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 20; i++)
                change(&trial);
            sweep_while_it_changes(&trial, 30);
        }
        assert_true(trial.count > 1000);
        trial_finish(&trial);
    }
}

static void rows_that_leave_meanwhile_are_read_too(void **state)
{
    (void)state;
    static struct trial trial;
    trial_init(&trial, 400, 2 * BATCH);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 20; i++)
            change(&trial);
        uint64_t left = mu_table_count(trial.table).evicted;
        sweep_while_it_changes(&trial, 10);
        assert_int_equal(trial.count, 400);
        assert_true(mu_table_count(trial.table).evicted > left + 100);
    }
    trial_finish(&trial);
}

static void an_empty_table_is_read_at_once(void **state)
{
    (void)state;
    static struct trial trial;
    uint64_t id;
    trial_init(&trial, 0, BATCH);
    begin(&trial);
    assert_true(mu_table_sweep_over(&trial.sweep));
    change(&trial);
    assert_null(mu_table_sweep_next(&trial.sweep, &id));
    trial_finish(&trial);
}

static void there_is_room_for_as_many_rows_as_were_not_set_aside(void **state)
{
    (void)state;
    static struct trial trial;
    trial_init(&trial, 0, 2 * BATCH);
    assert_true(mu_table_sweep_room(&trial.sweep) == SIZE_MAX);
    uint64_t ids[BATCH];
    float *row[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        ids[i] = i;
    assert_ok(mu_table_rows(trial.table, ids, BATCH, row));
    begin(&trial);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(mu_table_sweep_room(&trial.sweep), (again ? 1 : 2) * BATCH);
        assert_ok(mu_table_rows(trial.table, ids, BATCH, row)); /* once they are aside, they are */
    }
    read_some(&trial, IDS);
    assert_int_equal(trial.come, BATCH);
    assert_true(mu_table_sweep_room(&trial.sweep) == SIZE_MAX);
    trial_finish(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sweep_reads_the_rows_as_they_were_when_it_began),
        cmocka_unit_test(rows_that_leave_meanwhile_are_read_too),
        cmocka_unit_test(an_empty_table_is_read_at_once),
        cmocka_unit_test(there_is_room_for_as_many_rows_as_were_not_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
