/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/saver.h"
#include "rows_rig.h"
#include "runtime/io/real_world.h"
#include "runtime/tensor/layout.h"
#include <stdatomic.h>

/* Rows that come on one thread while the saver's thread writes them: here the test is the first. */

#define RUN_ROWS 16
#define PIECE_ROWS 5
#define PATIENT (10 * MU_SECOND)

/* ---- memory that may not be had ---- */

static atomic_size_t bytes_refused = SIZE_MAX; /* so many and more */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return bytes >= bytes_refused ? NULL : __real_malloc(bytes);
}

/* ---- a disk that may hang, or be full ---- */

static struct mu_store *memory; /* what there is */
static atomic_int open_count;   /* scratch files */
static atomic_bool hangs, is_full;
static atomic_int appends; /* that have begun */

struct disk_file {
    struct mu_store_open head, *inside;
};

static enum mu_status disk_read(
    struct mu_store_open *open, struct mu_log *log, uint64_t at, void *data, size_t bytes)
{
    const struct disk_file *file = (struct disk_file *)open;
    return file->inside->ops->read(file->inside, log, at, data, bytes);
}

static struct mu_real_world real;

static enum mu_status disk_append(
    struct mu_store_open *open, struct mu_log *log, const void *data, size_t bytes)
{
    const struct disk_file *file = (struct disk_file *)open;
    atomic_fetch_add(&appends, 1);
    while (atomic_load(&hangs))
        real.world.ops->sleep_until(&real.world, mu_now(&real.world) + MU_MS);
    if (atomic_load(&is_full))
        return mu_fail(log, MU_E0605, NULL, "cannot write .scratch: it is full");
    return file->inside->ops->append(file->inside, log, data, bytes);
}

static void disk_close(struct mu_store_open *open)
{
    struct disk_file *file = (struct disk_file *)open;
    file->inside->ops->close(file->inside);
    free(file);
    atomic_fetch_sub(&open_count, 1);
}

static enum mu_status disk_scratch(
    struct mu_store *store, struct mu_log *log, struct mu_store_open **ret_open)
{
    static const struct mu_store_open_ops ops = {
        .read = disk_read, .append = disk_append, .close = disk_close};
    struct disk_file *file = calloc(1, sizeof(*file));
    file->head.ops = &ops;
    MU_TRY(memory->ops->scratch(memory, log, &file->inside));
    atomic_fetch_add(&open_count, 1);
    *ret_open = &file->head;
    return MU_OK;
}

static enum mu_status disk_put(struct mu_store *store, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    return memory->ops->put(memory, log, number, files, file_count);
}

static size_t disk_list(struct mu_store *store, int64_t *ret_numbers, size_t most)
{
    return memory->ops->list(memory, ret_numbers, most);
}

static enum mu_status disk_drop(struct mu_store *store, struct mu_log *log, int64_t number)
{
    return memory->ops->drop(memory, log, number);
}

static void disk_describe(struct mu_store *store, int64_t number, char *out, size_t bytes)
{
    memory->ops->describe(memory, number, out, bytes);
}

static const struct mu_store_ops disk_ops = {.put = disk_put,
    .list = disk_list,
    .drop = disk_drop,
    .describe = disk_describe,
    .scratch = disk_scratch};

/* ---- the rig ---- */

static struct mu_store disk = {&disk_ops};
static struct mu_test_log test_log;
static struct mu_log *test_said;
static struct mu_layout layout;
static struct mu_saver saver;

static int begin(void **state)
{
    test_said = mu_test_log_init(&test_log);
    mu_layout_init(&layout);
    atomic_store(&hangs, false);
    atomic_store(&is_full, false);
    atomic_store(&open_count, 0);
    atomic_store(&appends, 0);
    assert_ok(mu_store_memory_open(&memory));
    assert_ok(mu_real_world_init(&real));
    real.world.store = &disk;
    const struct mu_snapshot fixed = rig_snapshot(&layout);
    assert_ok(mu_saver_start(&saver, &real.world, test_said, &fixed, 3, 1));
    mu_saver_expect_spooled_rows(&saver, WIDTH);
    saver.spool.run_bytes = RUN_ROWS * (sizeof(uint64_t) + STRIDE * sizeof(float));
    return 0;
}

static int end(void **state)
{
    atomic_store(&hangs, false);
    mu_saver_stop(&saver);
    assert_int_equal(atomic_load(&open_count), 0);
    mu_real_world_finish(&real);
    memory->ops->close(memory);
    return 0;
}

/* The i-th piece of `total` rows; false: not now. */
static bool put_piece(size_t i, size_t total)
{
    uint64_t ids[PIECE_ROWS];
    float rows[PIECE_ROWS * STRIDE];
    size_t count = 0;
    for (size_t at = i * PIECE_ROWS; at < total && count < PIECE_ROWS; at++, count++) {
        ids[count] = rig_id(rig_shuffled(at, total));
        rig_row(rig_shuffled(at, total), rows + count * STRIDE);
    }
    return mu_row_spool_put(&saver.spool, ids, rows, count);
}

static void nap(void)
{
    real.world.ops->sleep_until(&real.world, mu_now(&real.world) + MU_MS / 10);
}

static void put_all(size_t total)
{
    int64_t deadline = mu_now(&real.world) + PATIENT;
    for (size_t i = 0; i * PIECE_ROWS < total; i++)
        while (!put_piece(i, total)) {
            assert_true(mu_now(&real.world) < deadline);
            nap();
        }
}

static void await(atomic_int *number, int least)
{
    int64_t deadline = mu_now(&real.world) + PATIENT;
    while (atomic_load(number) < least) {
        assert_true(mu_now(&real.world) < deadline);
        nap();
    }
}

static void begin_spooling(bool is_last, int64_t patience_ns)
{
    assert_true(mu_saver_begin(&saver, is_last));
    mu_row_spool_begin(&saver.spool, patience_ns);
}

static void submit(int64_t step)
{
    saver.snapshot.step = step;
    mu_saver_submit(&saver);
}

/* The entry of this step has just these rows. */
static void expect_saved(int64_t step, size_t count)
{
    struct mu_store *other;
    struct mu_saved_rows rows;
    struct mu_snapshot snapshot = rig_snapshot(&layout);
    assert_ok(mu_store_memory_open(&other));
    rig_fill(&rows, count);
    snapshot.rows = &rows;
    snapshot.step = step;
    assert_ok(mu_checkpoint_save(other, test_said, &snapshot, 1));
    rig_expect_same(memory, other, test_said, step);
    mu_saved_rows_finish(&rows);
    other->ops->close(other);
}

/* ---- cases ---- */

static void rows_that_are_put_are_saved(void **state)
{
    for (size_t count = 0; count < 1000; count = 3 * count + 7) {
        begin_spooling(false, MU_FOREVER);
        put_all(count);
        submit((int64_t)count);
        assert_ok(mu_saver_drain(&saver));
        expect_saved((int64_t)count, count);
        assert_int_equal(atomic_load(&open_count), 0);
    }
    assert_string_equal(test_log.text, "");
}

static void a_disk_that_hangs_holds_nobody_up(void **state)
{
    size_t total = 20 * RUN_ROWS, i = 0;
    atomic_store(&hangs, true);
    begin_spooling(false, MU_FOREVER);
    while (put_piece(i, total))
        i++;
    await(&appends, 1);
    assert_in_range(i * PIECE_ROWS, RUN_ROWS, 2 * RUN_ROWS);
    assert_false(put_piece(i, total));
    atomic_store(&hangs, false);
    for (int64_t deadline = mu_now(&real.world) + PATIENT; i * PIECE_ROWS < total; i++)
        while (!put_piece(i, total)) {
            assert_true(mu_now(&real.world) < deadline);
            nap();
        }
    submit(1);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(1, total);
}

static void what_begins_anew_has_nothing_of_what_was_before(void **state)
{
    begin_spooling(false, MU_FOREVER);
    put_all(7 * RUN_ROWS);
    await(&appends, 5);
    mu_row_spool_begin(&saver.spool, MU_FOREVER);
    put_all(3 * RUN_ROWS + 1);
    submit(1);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(1, 3 * RUN_ROWS + 1);
    /* The same while a run of the one before is being written. */
    atomic_store(&hangs, true);
    int before = atomic_load(&appends);
    begin_spooling(false, MU_FOREVER);
    for (size_t i = 0; put_piece(i, 100 * RUN_ROWS); i++)
        ;
    await(&appends, before + 1);
    mu_row_spool_begin(&saver.spool, MU_FOREVER);
    assert_true(put_piece(0, PIECE_ROWS));
    atomic_store(&hangs, false);
    submit(2);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(2, PIECE_ROWS);
}

static void a_full_disk_leaves_the_checkpoint_out_and_the_next_is_saved(void **state)
{
    atomic_store(&is_full, true);
    begin_spooling(false, MU_FOREVER);
    put_all(9 * RUN_ROWS); /* all are taken, and go nowhere */
    submit(1);
    assert_int_equal(mu_saver_drain(&saver), MU_IO_ERROR);
    assert_said(&test_log, "cannot save step 1, and trains on (E0605): cannot write .scratch: it");
    assert_int_equal(atomic_load(&open_count), 0);
    atomic_store(&is_full, false);
    begin_spooling(false, MU_FOREVER);
    put_all(9 * RUN_ROWS);
    submit(2);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(2, 9 * RUN_ROWS);
    assert_said(&test_log, "checkpoints are saved again");
}

/* The loss of a server comes after the disk was full: what begins then may be saved. */
static void a_disk_that_was_full_may_have_room_for_what_begins_anew(void **state)
{
    atomic_store(&is_full, true);
    begin_spooling(false, MU_FOREVER);
    put_all(5 * RUN_ROWS);
    await(&appends, 1);
    atomic_store(&is_full, false);
    mu_row_spool_begin(&saver.spool, MU_FOREVER);
    put_all(4 * RUN_ROWS);
    submit(1);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(1, 4 * RUN_ROWS);
}

static void a_full_disk_fails_the_last_checkpoint_of_a_run(void **state)
{
    atomic_store(&is_full, true);
    begin_spooling(true, MU_FOREVER);
    put_all(RUN_ROWS / 2); /* less than a run: seen when all have come */
    submit(1);
    assert_int_equal(mu_saver_end(&saver), MU_IO_ERROR);
    assert_said(&test_log, "error[E0605]: ");
    assert_said(&test_log, "cannot save step 1, the last of the run: cannot write .scratch");
}

static void without_memory_for_two_runs_the_checkpoint_is_left_out(void **state)
{
    saver.spool.run_bytes = 1 << 20;
    bytes_refused = 1 << 19;
    begin_spooling(false, MU_FOREVER);
    bytes_refused = SIZE_MAX;
    put_all(3 * RUN_ROWS);
    submit(1);
    assert_int_equal(mu_saver_drain(&saver), MU_NO_MEMORY);
    assert_said(&test_log, "cannot save step 1, and trains on (E0801): no memory for embedding");
    begin_spooling(false, MU_FOREVER);
    put_all(3 * RUN_ROWS);
    submit(2);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(2, 3 * RUN_ROWS);
}

static void a_disk_that_takes_nothing_for_too_long_is_given_up(void **state)
{
    size_t i = 0, total = 20 * RUN_ROWS;
    int64_t deadline = mu_now(&real.world) + PATIENT;
    atomic_store(&hangs, true);
    begin_spooling(false, 20 * MU_MS);
    while (put_piece(i, total))
        i++;
    while (!put_piece(i, total)) {
        assert_true(mu_now(&real.world) < deadline);
        nap();
    }
    for (; i * PIECE_ROWS < total; i++)
        assert_true(put_piece(i, total));
    submit(1);
    assert_false(mu_saver_begin(&saver, false)); /* the writer hangs, training does not */
    atomic_store(&hangs, false);
    assert_int_equal(mu_saver_drain(&saver), MU_IO_ERROR);
    assert_said(&test_log, "cannot save step 1, and trains on (E0605): the disk took no embedding");
}

static void await_no_scratch_file(void)
{
    int64_t deadline = mu_now(&real.world) + PATIENT;
    while (atomic_load(&open_count) > 0) {
        assert_true(mu_now(&real.world) < deadline);
        nap();
    }
}

static void what_is_dropped_is_not_on_the_disk_any_more(void **state)
{
    begin_spooling(false, MU_FOREVER);
    put_all(5 * RUN_ROWS);
    await(&appends, 3);
    mu_saver_drop(&saver);
    await_no_scratch_file();
    begin_spooling(false, MU_FOREVER);
    put_all(2 * RUN_ROWS);
    submit(1);
    assert_ok(mu_saver_drain(&saver));
    expect_saved(1, 2 * RUN_ROWS);
}

/* Others write there, too, and the rest of the rows may take long to come. */
static void a_disk_that_is_full_has_its_room_back_at_once(void **state)
{
    begin_spooling(false, MU_FOREVER);
    put_all(3 * RUN_ROWS);
    await(&open_count, 1);
    atomic_store(&is_full, true);
    put_all(3 * RUN_ROWS);
    await_no_scratch_file();
    put_all(3 * RUN_ROWS);
    submit(1);
    assert_int_equal(mu_saver_drain(&saver), MU_IO_ERROR);
    assert_said(&test_log, "cannot save step 1, and trains on (E0605): cannot write .scratch: it");
}

static void a_disk_that_was_given_up_has_its_room_back_when_it_goes_on(void **state)
{
    size_t i = 0, total = 20 * RUN_ROWS;
    int64_t deadline = mu_now(&real.world) + PATIENT;
    atomic_store(&hangs, true);
    begin_spooling(false, 20 * MU_MS);
    while (put_piece(i, total))
        i++;
    await(&appends, 1);
    while (i * PIECE_ROWS < total) {
        i += put_piece(i, total);
        assert_true(mu_now(&real.world) < deadline);
    }
    assert_int_equal(atomic_load(&open_count), 1);
    atomic_store(&hangs, false);
    await_no_scratch_file();
    submit(1);
    assert_int_equal(mu_saver_drain(&saver), MU_IO_ERROR);
    assert_said(&test_log, "cannot save step 1, and trains on (E0605): the disk took no embedding");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rows_that_are_put_are_saved),
        CASE(a_disk_that_hangs_holds_nobody_up),
        CASE(what_begins_anew_has_nothing_of_what_was_before),
        CASE(a_full_disk_leaves_the_checkpoint_out_and_the_next_is_saved),
        CASE(a_disk_that_was_full_may_have_room_for_what_begins_anew),
        CASE(a_full_disk_fails_the_last_checkpoint_of_a_run),
        CASE(without_memory_for_two_runs_the_checkpoint_is_left_out),
        CASE(a_disk_that_takes_nothing_for_too_long_is_given_up),
        CASE(what_is_dropped_is_not_on_the_disk_any_more),
        CASE(a_disk_that_is_full_has_its_room_back_at_once),
        CASE(a_disk_that_was_given_up_has_its_room_back_when_it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
