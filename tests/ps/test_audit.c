/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ps/audit.h"
#include "ps/audit_read.h"
#include "ps/table/row_piece.h"
#include "ps/table/table_save.h"
#include "runtime/io/real_world.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* The log of one server: what is written is read again, in order; what cannot be written is said.
 */
#define SPAN ((size_t)1000)
#define RECORDS 5000 /* several buffers */

static struct mu_real_world real;
static struct mu_loop *loop;
static struct mu_test_log test_log;
static char scratch[64], log_path[128];
static float vectors[2][SPAN];

static void open_log_with(struct mu_audit **ret_audit, size_t row_stride, size_t row_bytes)
{
    const struct mu_audit_options options = {
        .world = &real.world,
        .loop = loop,
        .log = &test_log.log,
        .path = log_path,
        .text = "{\"a\":1}",
        .record_bytes = SPAN * sizeof(float) + row_bytes,
        .row_stride = row_stride,
    };
    assert_ok(mu_audit_open(&options, ret_audit));
}

static void open_log(struct mu_audit **ret_audit)
{
    open_log_with(ret_audit, 0, 0);
}

static void begin(struct mu_audit *audit)
{
    const float *const both[] = {vectors[0], vectors[1]};
    mu_audit_begin(audit, 7, 100, both, 2, SPAN);
}

/* As the server does: not without room. False: the log has failed. */
static bool wait_for_room(struct mu_audit *audit)
{
    while (mu_audit_status(audit) == MU_OK && !mu_audit_ready(audit))
        (void)!loop->ops->turn(loop, mu_now(&real.world) + 10 * MU_SECOND);
    return mu_audit_status(audit) == MU_OK;
}

static void fill(float *payload, int k)
{
    for (size_t i = 0; i < SPAN; i++)
        payload[i] = (float)k + (float)i / 1024;
}

static bool add(struct mu_audit *audit, int k)
{
    float payload[SPAN];
    const struct mu_audit_record record = {
        .kind = MU_AUDIT_GRADIENT,
        .verdict = k % 2 ? MU_VERDICT_DROP : MU_VERDICT_APPLY,
        .has_seen = k % 3 == 0,
        .worker = k % 5,
        .payload_bytes = k % 2 ? 0 : sizeof(payload),
        .sequence = (uint64_t)k,
        .version = 7 + k,
        .seen = 7,
        .staleness = k,
        .clock = k + 1,
        .scale = 0.1 * k,
        .weight = -0.5,
        .learning_rate = 1e-3,
    };
    fill(payload, k);
    if (!wait_for_room(audit))
        return false;
    mu_audit_add_rows(audit, &record, payload, NULL, 0);
    return true;
}

static void next_is(
    struct mu_audit_reader *reader, enum mu_audit_kind kind, struct mu_audit_record *record)
{
    if (mu_audit_reader_next(reader, record) != MU_OK)
        fail_msg("%s", test_log.text);
    assert_int_equal(record->kind, kind);
}

static void check_record(struct mu_audit_reader *reader, int k)
{
    struct mu_audit_record record;
    float payload[SPAN], expected[SPAN];
    next_is(reader, MU_AUDIT_GRADIENT, &record);
    assert_int_equal(record.verdict, k % 2 ? MU_VERDICT_DROP : MU_VERDICT_APPLY);
    assert_int_equal(record.has_seen, k % 3 == 0);
    assert_int_equal(record.worker, k % 5);
    assert_int_equal(record.sequence, k);
    assert_int_equal(record.index, 3 + k);
    assert_int_equal(record.staleness, k);
    assert_true(record.scale == 0.1 * k && record.weight == -0.5);
    if (k % 2) {
        assert_ok(mu_audit_reader_payload(reader, NULL, 0));
        return;
    }
    fill(expected, k);
    assert_ok(mu_audit_reader_payload(reader, payload, sizeof(payload)));
    assert_memory_equal(payload, expected, sizeof(payload));
}

static int setup(void **state)
{
    strcpy(scratch, "/tmp/muster-log-XXXXXX");
    if (!mkdtemp(scratch) || mu_real_world_init(&real) != MU_OK)
        return 1;
    mu_test_log_init(&test_log);
    snprintf(log_path, sizeof(log_path), "%s/audit/ps-0.log", scratch);
    return real.world.ops->loop_create(&real.world, &loop) != MU_OK;
}

static int teardown(void **state)
{
    char other[160];
    loop->ops->destroy(loop);
    mu_real_world_finish(&real);
    (void)unlink(log_path);
    snprintf(other, sizeof(other), "%s.1", log_path);
    (void)unlink(other);
    snprintf(other, sizeof(other), "%s/audit", scratch);
    (void)rmdir(other);
    return rmdir(scratch);
}

static void what_was_written_is_read_again_in_order(void **state)
{
    struct mu_audit *audit;
    struct mu_audit_reader reader;
    struct mu_audit_record record;
    char text[16] = "";
    float payload[SPAN];
    fill(vectors[1], -3);
    open_log(&audit);
    begin(audit);
    for (int k = 0; k < RECORDS; k++)
        assert_true(add(audit, k));
    assert_ok(mu_audit_close(audit, 7 + RECORDS, vectors[1], SPAN));

    assert_ok(mu_audit_reader_open(&reader, &test_log.log, log_path));
    next_is(&reader, MU_AUDIT_HEADER, &record);
    assert_int_equal(record.version, 7);
    assert_int_equal(record.clock, 100);
    assert_ok(mu_audit_reader_payload(&reader, text, 7));
    assert_string_equal(text, "{\"a\":1}");
    for (int i = 0; i < 2; i++) {
        next_is(&reader, MU_AUDIT_STATE, &record);
        assert_int_equal(record.sequence, i);
        assert_ok(mu_audit_reader_payload(&reader, payload, sizeof(payload)));
        assert_memory_equal(payload, vectors[i], sizeof(payload));
    }
    for (int k = 0; k < RECORDS; k++)
        check_record(&reader, k);
    next_is(&reader, MU_AUDIT_END, &record);
    assert_int_equal(record.version, 7 + RECORDS);
    assert_int_equal(reader.next, reader.bytes);
    mu_audit_reader_close(&reader);
}

/* Rows of a table fill several records, and those that follow go on counting. */
#define ROWS 60000
#define WIDTH 4
#define STRIDE (2 * WIDTH)

static void make_table(struct mu_table **ret_table)
{
    const struct mu_table_options options = {.width = WIDTH, .slot_count = 1};
    float row[STRIDE];
    assert_ok(mu_table_create(&options, ret_table));
    for (uint64_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < STRIDE; j++)
            row[j] = (float)(i * 10 + j);
        assert_ok(mu_table_put(*ret_table, i * 3 % ROWS + ROWS * (i / (ROWS / 3)), row));
    }
}

static size_t read_rows(struct mu_audit_reader *reader, struct mu_row_piece *piece, size_t first)
{
    struct mu_audit_record record;
    next_is(reader, MU_AUDIT_ROWS, &record);
    assert_int_equal(record.version, 7);
    piece->count = mu_row_piece_count(piece, mu_audit_reader_bytes(reader));
    assert_in_range(piece->count, 1, ROWS);
    assert_ok(mu_audit_reader_payload(reader, piece->data, mu_audit_reader_bytes(reader)));
    for (size_t i = 0; i < piece->count; i++) {
        size_t n = first + i;
        assert_int_equal(mu_row_piece_ids(piece)[i], n * 3 % ROWS + ROWS * (n / (ROWS / 3)));
        for (size_t j = 0; j < STRIDE; j++)
            assert_true(mu_row_piece_rows(piece)[i * STRIDE + j] == (float)(n * 10 + j));
    }
    return piece->count;
}

static void rows_of_a_table_are_there_before_what_happened(void **state)
{
    static const struct {
        uint64_t ids[2];
        float gradients[2 * WIDTH];
    } given = {{5, 9}, {1, 2, 3, 4, 5, 6, 7, 8}};
    struct mu_audit *audit;
    struct mu_audit_reader reader;
    struct mu_audit_record record = {
        .kind = MU_AUDIT_GRADIENT, .payload_bytes = sizeof(vectors[0]) + sizeof(given)};
    struct mu_table *table;
    struct mu_row_piece piece;
    uint8_t payload[sizeof(vectors[0]) + sizeof(given)], crcs[8];
    uint32_t crc = 0;
    make_table(&table);
    assert_ok(mu_row_piece_init(&piece, STRIDE));
    assert_true(ROWS > 2 * piece.row_max);
    open_log_with(&audit, STRIDE, sizeof(given));
    mu_audit_begin_rows(audit, table);
    begin(audit);
    assert_true(wait_for_room(audit));
    mu_audit_add_rows(audit, &record, vectors[0], &given, sizeof(given));
    assert_ok(mu_audit_close(audit, 8, vectors[0], SPAN));

    assert_ok(mu_audit_reader_open(&reader, &test_log.log, log_path));
    next_is(&reader, MU_AUDIT_HEADER, &record);
    assert_int_equal(record.sequence, ROWS);
    for (int i = 0; i < 2; i++)
        next_is(&reader, MU_AUDIT_STATE, &record);
    for (size_t count = 0; count < ROWS;)
        count += read_rows(&reader, &piece, count);
    next_is(&reader, MU_AUDIT_GRADIENT, &record);
    assert_ok(mu_audit_reader_payload(&reader, payload, sizeof(payload)));
    assert_memory_equal(payload, vectors[0], sizeof(vectors[0]));
    assert_memory_equal(payload + sizeof(vectors[0]), &given, sizeof(given));
    next_is(&reader, MU_AUDIT_END, &record);
    assert_ok(mu_audit_reader_payload(&reader, crcs, sizeof(crcs)));
    assert_ok(mu_table_crc32c(table, &crc));
    assert_int_equal(crcs[4] | crcs[5] << 8 | crcs[6] << 16 | (uint32_t)crcs[7] << 24, crc);
    mu_audit_reader_close(&reader);
    mu_row_piece_finish(&piece);
    mu_table_destroy(table);
}

static void a_record_without_an_end_record_is_a_cut_log(void **state)
{
    struct mu_audit *audit;
    struct mu_audit_reader reader;
    struct mu_audit_record record;
    enum mu_status status = MU_OK;
    open_log(&audit);
    begin(audit);
    assert_true(add(audit, 0));
    assert_ok(mu_audit_close(audit, 8, NULL, 0));
    assert_ok(mu_audit_reader_open(&reader, &test_log.log, log_path));
    for (int i = 0; i < 4; i++)
        assert_ok(mu_audit_reader_next(&reader, &record));
    status = mu_audit_reader_next(&reader, &record);
    assert_int_equal(status, MU_BAD_DATA);
    assert_said(&test_log, "it has 4 records and no end record");
    mu_audit_reader_close(&reader);
}

static void a_full_disk_is_said_and_fails_the_log(void **state)
{
    struct mu_audit *audit;
    const struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY}, small = {1 << 20, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    open_log(&audit);
    begin(audit);
    int k = 0;
    while (k < RECORDS && add(audit, k))
        k++;
    assert_in_range(k, 1, RECORDS - 1);
    assert_int_equal(mu_audit_status(audit), MU_IO_ERROR);
    assert_int_equal(mu_audit_close(audit, 0, vectors[0], SPAN), MU_IO_ERROR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_said(&test_log, "cannot write the audit log");
    assert_said(&test_log, "ps-0.log");
}

static void an_earlier_log_is_kept_beside_it(void **state)
{
    struct mu_audit *audit;
    char kept[160];
    for (int i = 0; i < 2; i++) {
        open_log(&audit);
        begin(audit);
        assert_ok(mu_audit_close(audit, 7, vectors[0], SPAN));
    }
    snprintf(kept, sizeof(kept), "%s.1", log_path);
    assert_int_equal(access(kept, R_OK), 0);
    assert_int_equal(access(log_path, R_OK), 0);
}

static void a_log_that_never_began_is_empty(void **state)
{
    struct mu_audit *audit;
    struct mu_audit_reader reader;
    open_log(&audit);
    assert_false(mu_audit_ready(audit));
    assert_ok(mu_audit_close(audit, 0, vectors[0], SPAN));
    assert_ok(mu_audit_reader_open(&reader, &test_log.log, log_path));
    assert_int_equal(reader.bytes, 0);
    mu_audit_reader_close(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_again_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(
            rows_of_a_table_are_there_before_what_happened, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_record_without_an_end_record_is_a_cut_log, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said_and_fails_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(an_earlier_log_is_kept_beside_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_never_began_is_empty, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
