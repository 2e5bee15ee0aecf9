/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/row_runs.h"
#include "roles/checkpoint/row_spool.h"
#include "rows_rig.h"
#include "runtime/io/store_directory.h"
#include "runtime/tensor/layout.h"
#include <errno.h>
#include <ftw.h>
#include <malloc.h>
#include <unistd.h>

/* ---- memory that is counted ---- */

static long in_use, most_in_use;  /* bytes; what libc allocates itself is not seen, only its end */
static int allocations_left = -1; /* before the one that fails; -1: none fails */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void __wrap_free(void *memory);

static bool fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *counted(void *memory)
{
    in_use += memory ? (long)malloc_usable_size(memory) : 0;
    most_in_use = in_use > most_in_use ? in_use : most_in_use;
    return memory;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (fails())
        return NULL;
    long before = memory ? (long)malloc_usable_size(memory) : 0;
    void *more = __real_realloc(memory, bytes);
    if (more)
        in_use -= before;
    return more ? counted(more) : NULL;
}

void __wrap_free(void *memory)
{
    in_use -= memory ? (long)malloc_usable_size(memory) : 0;
    __real_free(memory);
}

/* ---- the rig ---- */

static struct mu_test_log test_log;
static struct mu_log *test_said;
static struct mu_store *memory, *disk;
static char folder[64];
static struct mu_layout layout;

static int begin(void **state)
{
    char path[80];
    test_said = mu_test_log_init(&test_log);
    mu_layout_init(&layout);
    strcpy(folder, "/tmp/muster-runs-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/checkpoints", folder);
    assert_ok(mu_store_memory_open(&memory));
    return mu_store_directory_open(test_said, path, &disk) == MU_OK ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    return remove(path);
}

static int end(void **state)
{
    memory->ops->close(memory);
    disk->ops->close(disk);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Rows `first` to `first` + `count` of `total`, shuffled, in runs of so many rows. */
static enum mu_status append(
    struct mu_row_runs *runs, size_t first, size_t count, size_t total, size_t run_rows)
{
    struct mu_row_run run;
    enum mu_status status =
        mu_row_run_init(&run, STRIDE, run_rows * (sizeof(uint64_t) + STRIDE * sizeof(float)));
    for (size_t i = first; i < first + count && status == MU_OK; i++) {
        float row[STRIDE];
        uint64_t id = rig_id(rig_shuffled(i, total));
        rig_row(rig_shuffled(i, total), row);
        mu_row_run_add(&run, &id, row, 1);
        if (run.count == run.room)
            status = mu_row_runs_append(runs, test_said, &run);
    }
    if (status == MU_OK)
        status = mu_row_runs_append(runs, test_said, &run);
    mu_row_run_finish(&run);
    return status;
}

/* What a merge gives, in the order of rows. */
struct expected {
    int vector;
    uint64_t row;
    size_t part;
};

static enum mu_status expect(void *owner, const void *data, size_t bytes)
{
    struct expected *expected = owner;
    size_t each = expected->vector < 0 ? sizeof(uint64_t) : WIDTH * sizeof(float);
    assert_true(bytes > 0 && bytes <= 1 << 20);
    assert_int_equal(bytes % each, 0);
    for (size_t at = 0; at < bytes; at += each, expected->row++) {
        float row[STRIDE];
        uint64_t id = rig_id(expected->row);
        rig_row(expected->row, row);
        assert_memory_equal((const char *)data + at,
            expected->vector < 0 ? (const void *)&id : row + expected->vector * WIDTH, each);
    }
    return MU_OK;
}

static void rows_that_come_in_any_order_are_given_in_that_of_their_ids(void **state)
{
    struct mu_row_runs runs;
    mu_row_runs_init(&runs, disk, WIDTH, SLOTS);
    for (size_t run_rows = 1; run_rows < 1000; run_rows = 3 * run_rows + 1)
        for (size_t count = 0; count <= 600; count = count * 5 / 3 + 1) {
            assert_ok(append(&runs, 0, count, count, run_rows));
            assert_int_equal(runs.count, count);
            assert_int_equal(runs.run_count, (count + run_rows - 1) / run_rows);
            for (int vector = MU_ROW_RUNS_IDS; vector <= SLOTS; vector++) {
                struct expected expected = {.vector = vector};
                assert_ok(mu_row_runs_merge(&runs, test_said, vector, expect, &expected));
                assert_int_equal(expected.row, count);
            }
            mu_row_runs_clear(&runs);
        }
}

static enum mu_status ignore(void *owner, const void *data, size_t bytes)
{
    return MU_OK;
}

static void an_id_that_comes_twice_is_told(void **state)
{
    struct mu_row_runs runs;
    mu_row_runs_init(&runs, memory, WIDTH, SLOTS);
    for (size_t run_rows = 1; run_rows <= 16; run_rows *= 2) {
        assert_ok(append(&runs, 0, 8, 8, run_rows));
        assert_ok(append(&runs, 2, 1, 8, run_rows));
        test_said = mu_test_log_init(&test_log);
        assert_int_equal(
            mu_row_runs_merge(&runs, test_said, MU_ROW_RUNS_IDS, ignore, NULL), MU_BROKEN);
        assert_said(&test_log, "error[E0701]: the servers sent an embedding row twice");
        mu_row_runs_clear(&runs);
    }
}

static enum mu_status refuse(void *owner, const void *data, size_t bytes)
{
    return MU_UNAVAILABLE;
}

static void who_takes_the_rows_may_fail(void **state)
{
    struct mu_row_runs runs;
    mu_row_runs_init(&runs, memory, WIDTH, SLOTS);
    assert_ok(append(&runs, 0, 8, 8, 3));
    assert_int_equal(mu_row_runs_merge(&runs, test_said, 0, refuse, NULL), MU_UNAVAILABLE);
    mu_row_runs_clear(&runs);
}

static enum mu_status append_and_merge(struct mu_row_runs *runs)
{
    MU_TRY(append(runs, 0, 8, 8, 3));
    return mu_row_runs_merge(runs, test_said, 0, ignore, NULL);
}

static void without_memory_nothing_is_left(void **state)
{
    struct mu_row_runs runs;
    long before = in_use;
    int failing = 0;
    mu_row_runs_init(&runs, disk, WIDTH, SLOTS);
    for (enum mu_status status = MU_NO_MEMORY; status != MU_OK; failing++) {
        allocations_left = failing;
        status = append_and_merge(&runs);
        allocations_left = -1;
        assert_true(status == MU_OK || status == MU_NO_MEMORY);
        mu_row_runs_clear(&runs);
        assert_int_equal(in_use, before);
    }
    assert_true(failing > 10);
}

/* ---- a checkpoint of them ---- */

static void the_bytes_are_those_of_a_checkpoint_from_memory(void **state)
{
    for (size_t count = 0; count <= 2000; count = 7 * count + 3) {
        struct mu_saved_rows rows;
        struct mu_row_runs runs;
        struct mu_manifest manifest;
        struct mu_snapshot snapshot = rig_snapshot(&layout), spooled = snapshot;
        uint32_t crc = 0;
        rig_fill(&rows, count);
        mu_row_runs_init(&runs, disk, WIDTH, SLOTS);
        assert_ok(append(&runs, 0, count, count, 100));
        snapshot.rows = &rows;
        spooled.runs = &runs;
        spooled.ret_parameters_crc32c = &crc;
        assert_ok(mu_checkpoint_save(memory, test_said, &snapshot, 1));
        assert_ok(mu_checkpoint_save(disk, test_said, &spooled, 1));
        rig_expect_same(memory, disk, test_said, 0);
        assert_ok(mu_checkpoint_verify(disk, test_said, 0, &manifest));
        assert_int_equal(manifest.parameters_crc32c, crc);
        assert_int_equal(crc, mu_saved_rows_crc32c(&rows, mu_layout_crc32c_of(&layout, NULL)));
        mu_manifest_finish(&manifest);
        mu_row_runs_clear(&runs);
        mu_saved_rows_finish(&rows);
    }
    assert_string_equal(test_log.text, "");
}

static void rows_that_cannot_be_merged_are_no_checkpoint(void **state)
{
    struct mu_row_runs runs;
    int64_t number;
    struct mu_snapshot snapshot = rig_snapshot(&layout);
    mu_row_runs_init(&runs, disk, WIDTH, SLOTS);
    assert_ok(append(&runs, 0, 8, 8, 3));
    assert_ok(append(&runs, 2, 1, 8, 3));
    snapshot.runs = &runs;
    assert_int_equal(mu_checkpoint_save(disk, test_said, &snapshot, 1), MU_BROKEN);
    assert_int_equal(disk->ops->list(disk, &number, 1), 0);
    mu_row_runs_clear(&runs);
}

/* ---- more rows than memory ---- */

#define MANY ((size_t)3 << 20) /* 132 MiB of rows with slots and ids */

static uint64_t taken;

static enum mu_status take(void *owner, uint64_t id, const float *row)
{
    float expected[STRIDE];
    rig_row(taken, expected);
    if (id != rig_id(taken) || memcmp(row, expected, sizeof(expected)) != 0)
        fail_msg("another row than %llu", (unsigned long long)taken);
    taken++;
    return MU_OK;
}

static void memory_is_bounded_however_many_rows_are_saved_and_loaded(void **state)
{
    struct mu_row_runs runs;
    struct mu_manifest manifest;
    struct mu_snapshot snapshot = rig_snapshot(&layout);
    float none[1];
    const struct mu_checkpoint_target target = {.model = "linear",
        .optimizer = "ftrl",
        .layout = &layout,
        .parameters = none,
        .slot_count = SLOTS,
        .slot_names = {"z", "n"},
        .slots = {none, none},
        .row_width = WIDTH,
        .rows = {.put = take}};
    long before = in_use;
    mu_row_runs_init(&runs, disk, WIDTH, SLOTS);
    most_in_use = in_use;
    assert_ok(append(&runs, 0, MANY, MANY, MANY / 40));
    snapshot.runs = &runs;
    assert_ok(mu_checkpoint_save(disk, test_said, &snapshot, 1));
    /* A run with its order is smaller than what is read ahead; the entry's tables are 3 MiB. */
    assert_in_range(most_in_use - before, 1 << 20, MU_ROW_MERGE_BYTES + (6 << 20));
    mu_row_runs_clear(&runs);
    assert_int_equal(in_use, before);
    most_in_use = in_use;
    taken = 0;
    assert_ok(mu_checkpoint_load(disk, test_said, MU_CHECKPOINT_NEWEST, &target, &manifest));
    mu_manifest_finish(&manifest);
    assert_int_equal(taken, MANY);
    assert_in_range(most_in_use - before, 1 << 20, 8 << 20);
    most_in_use = in_use;
    assert_ok(mu_checkpoint_verify(disk, test_said, 0, &manifest));
    mu_manifest_finish(&manifest);
    assert_in_range(most_in_use - before, 1 << 20, 4 << 20);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rows_that_come_in_any_order_are_given_in_that_of_their_ids),
        CASE(an_id_that_comes_twice_is_told),
        CASE(who_takes_the_rows_may_fail),
        CASE(without_memory_nothing_is_left),
        CASE(the_bytes_are_those_of_a_checkpoint_from_memory),
        CASE(rows_that_cannot_be_merged_are_no_checkpoint),
        CASE(memory_is_bounded_however_many_rows_are_saved_and_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
