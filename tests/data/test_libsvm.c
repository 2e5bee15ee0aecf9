/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/random.h"
#include "text_rig.h"
#include <pthread.h>
#include <zlib.h>

static struct text_rig rig;

static int begin(void **state)
{
    memset(&rig, 0, sizeof(rig));
    return idx_rig_begin(state);
}

static int end(void **state)
{
    text_rig_close(&rig);
    return idx_rig_end(state);
}

static void opened(const char *text, const char *more)
{
    char options[256];
    text_rig_close(&rig);
    idx_rig_write("a.svm", text, strlen(text));
    snprintf(options, sizeof(options), "path=FILE:a.svm%s", more);
    text_rig_opened(&rig, "libsvm", options, MU_SPLIT_TRAIN);
}

/* It is well formed for the scan, but not for who reads it. */
static void refused(const char *text, const char *reason)
{
    opened(text, "");
    uint32_t index[4] = {0, 1, 2, 3};
    size_t count = rig.facts.sample_count;
    assert_true(count <= 4);
    assert_int_equal(text_rig_read(&rig, index, count), MU_BAD_DATA);
    assert_said(&rig.said, "error[E0502]");
    assert_said(&rig.said, reason);
}

static void not_opened(const char *text, const char *more, const char *error, const char *reason)
{
    char options[256];
    text_rig_close(&rig);
    idx_rig_write("a.svm", text, strlen(text));
    snprintf(options, sizeof(options), "path=FILE:a.svm%s", more);
    assert_int_equal(text_rig_open(&rig, "libsvm", options, MU_SPLIT_TRAIN), MU_BAD_DATA);
    assert_said(&rig.said, error);
    assert_said(&rig.said, reason);
}

static void expect_rows(const char *const rows[])
{
    text_rig_read_all(&rig);
    size_t count = 0;
    for (; rows[count]; count++)
        assert_string_equal(text_rig_row(&rig, count), rows[count]);
    assert_int_equal(rig.facts.sample_count, count);
}
#define ROWS(...) expect_rows((const char *const[]){__VA_ARGS__, NULL})

static void lines_are_samples(void **state)
{
    opened("1 1:0.5 7:-2 12:1e3\n0 3:1\n0\n1 0:.25 12:5.\n", "");
    assert_int_equal(rig.facts.sample_count, 4);
    assert_int_equal(rig.facts.feature_count, 0);
    assert_int_equal(rig.facts.class_count, 2);
    assert_int_equal(rig.facts.entry_max, 3);
    assert_int_equal(rig.facts.field_count, 0);
    assert_int_equal(rig.facts.id_count, 13);
    ROWS("1 | 1:0.5 7:-2 12:1000", "0 | 3:1", "0 |", "1 | 0:0.25 12:5");
}

static void what_is_around_samples_is_passed_over(void **state)
{
    opened("# a: header:\n\n  1\t2:1  5:1 \r\n \t\n0 qid:17 3:1 # 4:4 of: this\n1#\n#1 1:1\n0 2:2",
        "");
    assert_int_equal(rig.facts.entry_max, 2);
    assert_int_equal(rig.facts.id_count, 6);
    ROWS("1 | 2:1 5:1", "0 | 3:1", "1 |", "0 | 2:2");
}

static void labels_become_classes(void **state)
{
    opened("-1 1:1\n+1 1:1\n-1 1:1\n", "");
    assert_int_equal(rig.facts.class_count, 2);
    ROWS("0 | 1:1", "1 | 1:1", "0 | 1:1");
    opened("3 1:1\n1 1:1\n2.0 1:1\n", "");
    assert_int_equal(rig.facts.class_count, 3);
    ROWS("2 | 1:1", "0 | 1:1", "1 | 1:1");
    opened("3 1:1\n0 1:1\n", "");
    assert_int_equal(rig.facts.class_count, 4);
    ROWS("3 | 1:1", "0 | 1:1");
    opened("1 1:1\n", "");
    assert_int_equal(rig.facts.class_count, 2);
    ROWS("1 | 1:1");
    opened("1 1:1\n", " labels=from_1 classes=5");
    assert_int_equal(rig.facts.class_count, 5);
    ROWS("0 | 1:1");
}

static void labels_out_of_range_are_named(void **state)
{
    not_opened("0 1:1\n7 1:1\n", " classes=3", "error[E0503]", "label 7 of record 1 in ");
    not_opened("0 1:1\n-1 1:1\n", " labels=from_0", "error[E0503]", "label -1 of record 1 in ");
    not_opened("1 1:1\n-1 1:1\n2 1:1\n", "", "error[E0503]", "out of range -1 or 1");
    not_opened("1 1:1\n-1 1:1\n0 1:1\n0 1:1\n", "", "error[E0503]", "label 0 of record 2 in ");
    not_opened("1 1:1\n0 1:1\n", " labels=from_1", "error[E0503]", "label 0 of record 1");
    not_opened("1 1:1\nnan 1:1\n", "", "error[E0502]", "/a.svm:2:1: expected a label");
    not_opened("1 1:1\n\n1.5 1:1\n", "", "error[E0502]", "/a.svm:3:1: expected a label");
    not_opened("1:1 2:1\n", "", "error[E0502]", "/a.svm:1:1: expected a label");
    not_opened("99999999999999999999 2:1\n", "", "error[E0502]", "expected a label");
}

static void malformed_lines_name_file_line_and_column(void **state)
{
    not_opened("0\t0.67\t9\n", "", "/a.svm:1:3: expected `id:value`", "data.kind=csv");
    not_opened("0,0.67,9\n", "", "/a.svm:1:1: expected a label", "data.kind=csv");
    refused("1 1:1\n# x\n0 1:1 2 3:1\n",
        "/a.svm:3:8: expected `:` and a value after id 2, found ` 3:1`");
    refused("1 1:1\n0 1:1 2:\n",
        "/a.svm:2:9: expected a finite 32-bit decimal as the value of id 2, "
        "found the end of the line");
    refused("1 1:1x 2:1\n", "/a.svm:1:5: expected a finite");
    refused("1 -1:1 3:1\n", "/a.svm:1:3: expected an id");
    refused("1 a:1\n", "/a.svm:1:3: expected an id");
    refused("1 9223372036854775808:1\n", "/a.svm:1:3: expected an id, 0 to 9223372036854775807");
    refused("1 1:nan\n", "expected a finite");
    refused("1 1:inf\n", "expected a finite");
    refused("1 1:1e39\n", "expected a finite");
    refused("1 1:0x10\n", "expected a finite");
    refused("1 1:1:2\n", "expected a finite");
    refused("1 1:--1\n", "expected a finite");
    refused("1 1:1e\n", "expected a finite");
    refused("1 qid: 1:1\n", "expected a number after `qid:`");
    refused("1 7:1 2:1\n", "set data.ids");
}

static void ids_may_be_limited_by_option(void **state)
{
    opened("1 7:1 2:1\n", " ids=8");
    assert_int_equal(rig.facts.id_count, 8);
    ROWS("1 | 7:1 2:1");
    opened("1 9223372036854775806:1\n", "");
    assert_int_equal(rig.facts.id_count, INT64_MAX);
    ROWS("1 | 9223372036854775806:1");
}

static void the_test_split_has_its_own_file(void **state)
{
    idx_rig_write("a.svm", "1 1:1\n0 1:1\n", 12);
    idx_rig_write("b.svm", "0 5:1\n", 6);
    text_rig_opened(&rig, "libsvm", "path=FILE:a.svm test_path=FILE:b.svm", MU_SPLIT_TEST);
    ROWS("0 | 5:1");
    text_rig_close(&rig);
    assert_int_equal(text_rig_open(&rig, "libsvm", "path=FILE:a.svm", MU_SPLIT_TEST), MU_NO_INPUT);
    assert_said(&rig.said, "data.test_path");
    assert_int_equal(text_rig_open(&rig, "libsvm", "path=FILE:no", MU_SPLIT_TRAIN), MU_NO_INPUT);
    assert_said(&rig.said, "error[E0501]");
}

static enum mu_status matched(const char *train, const char *test, const char *more)
{
    char options[256];
    text_rig_close(&rig);
    idx_rig_write("a.svm", train, strlen(train));
    idx_rig_write("b.svm", test, strlen(test));
    snprintf(options, sizeof(options), "path=FILE:a.svm test_path=FILE:b.svm%s", more);
    return text_rig_match(&rig, "libsvm", options);
}

static void test_labels_are_numbered_as_those_to_train_with(void **state)
{
    assert_ok(matched("0 1:1\n3 1:1\n", "1 1:1\n2 1:1\n", ""));
    assert_int_equal(rig.facts.class_count, 4);
    ROWS("1 | 1:1", "2 | 1:1");
    assert_ok(matched("1 1:1\n2 1:1\n", "1 1:1\n", ""));
    assert_int_equal(rig.facts.class_count, 2);
    ROWS("0 | 1:1");
    assert_ok(matched("-1 1:1\n1 1:1\n", "1 1:1\n", ""));
    ROWS("1 | 1:1");
    assert_ok(matched("1 1:1\n2 1:1\n", "5 1:1\n", " classes=5"));
    assert_int_equal(rig.facts.class_count, 5);
    ROWS("4 | 1:1");
}

static void not_matched(const char *train, const char *test, const char *reason)
{
    assert_int_equal(matched(train, test, ""), MU_BAD_DATA);
    assert_said(&rig.said, "error[E0503]");
    assert_said(&rig.said, reason);
    assert_said(&rig.said, "/b.svm is out of range");
}

static void test_labels_that_training_lacks_are_named(void **state)
{
    not_matched("0 1:1\n1 1:1\n", "0 1:1\n1 1:1\n4 1:1\n", "label 4 of record 2 in ");
    not_matched("1 1:1\n2 1:1\n", "2 1:1\n0 1:1\n", "label 0 of record 1 in ");
    not_matched("1 1:1\n-1 1:1\n", "1 1:1\n0 1:1\n", "label 0 of record 1 in ");
    not_matched("1 1:1\n0 1:1\n", "1 1:1\n-1 1:1\n", "label -1 of record 1 in ");
}

static void wrong_test_lines_are_named_before_anybody_trains(void **state)
{
    static char text[200 * 8 + 16];
    size_t bytes = 0;
    for (int i = 0; i < 200; i++)
        bytes += (size_t)sprintf(text + bytes, "%d 1:1\n", i % 2);
    assert_ok(matched(text, text, ""));
    sprintf(text + bytes, "1 1:nan\n");
    assert_int_equal(matched("0 1:1\n1 1:1\n", text, ""), MU_BAD_DATA);
    assert_said(&rig.said, "error[E0502]");
    assert_said(&rig.said, "/b.svm:201:5: expected a finite");
    assert_int_equal(matched("0 1:1\n1 1:1\n", "0 3:1 4:1\n1 1:1\n", " ids=4"), MU_BAD_DATA);
    assert_said(&rig.said, "/b.svm:1:7: expected an id below 4, found `4:1`");
    assert_said(&rig.said, "data.ids is what ids are below");
}

static void an_empty_file_is_refused(void **state)
{
    not_opened("", "", "error[E0502]", "/a.svm has no samples");
    not_opened("\n# 1 1:1\n \n", "", "error[E0502]", "/a.svm has no samples");
}

/* Numbers whose nearest float is hard to find, against the C library. */
static void values_are_rounded_exactly(void **state)
{
    static const char *const numbers[] = {"0.1", "0.312", "123456.7", "9999999", "16777217",
        "16777219", "0.3333333333333333333333", "1.17549435e-38", "1e-45", "7e-46", "3.4028235e38",
        "3.40282356e38", "1.00000017881393421514957253748434595763683319091796875",
        "1.00000017881393432617187499", "8388609.5", "8388609.49999999999999999999999",
        "0.000000000000000000000000000000000000001", "123456789012345678901234567890",
        "1.9999999403953552", "2.0000001192092896", "0.0000001", "5e-324",
        "00000000000000000000001.5", "1234567.8", "12345678", "1e22", "1e23", "0e99999999999",
        "12345678901e-5"};
    for (size_t i = 0; i < MU_COUNT_OF(numbers); i++) {
        char text[128];
        snprintf(text, sizeof(text), "1 1:%s 2:-%s\n", numbers[i], numbers[i]);
        opened(text, "");
        text_rig_read_all(&rig);
        float want = strtof(numbers[i], NULL);
        if (memcmp(&rig.entries.value[0], &want, sizeof(want)) != 0)
            fail_msg("%s", numbers[i]);
        want = -want;
        assert_memory_equal(&rig.entries.value[1], &want, sizeof(want));
    }
}

/* ---- many lines ---- */

#define MANY 1000

static size_t write_many(char *out)
{
    size_t bytes = 0;
    for (int i = 0; i < MANY; i++) {
        if (i % 7 == 0)
            bytes += (size_t)sprintf(out + bytes, "# before %d\n\n", i);
        bytes += (size_t)sprintf(out + bytes, "%d", i % 2);
        for (int k = 0; k <= i % 13; k++)
            bytes += (size_t)sprintf(out + bytes, " %d:%d.25", 100 * k + i % 100, i);
        bytes += (size_t)sprintf(out + bytes, "\n");
    }
    return bytes;
}

static void expect_sample(size_t row, uint32_t i)
{
    uint32_t first = rig.entries.first[row];
    assert_int_equal(rig.labels[row], i % 2);
    assert_int_equal(rig.entries.first[row + 1] - first, i % 13 + 1);
    for (uint32_t k = 0; k <= i % 13; k++) {
        assert_int_equal(rig.entries.id[first + k], 100 * k + i % 100);
        assert_float_equal(rig.entries.value[first + k], (float)i + 0.25F, 0);
    }
}

static void expect_any_order(void)
{
    static const uint32_t strides[] = {1, 3, 64, 65, 389, 999};
    uint32_t index[MANY];
    assert_int_equal(rig.facts.sample_count, MANY);
    for (size_t s = 0; s < MU_COUNT_OF(strides); s++) {
        for (size_t i = 0; i < MANY; i++)
            index[i] = (uint32_t)(i * strides[s] % MANY);
        for (size_t at = 0; at < MANY; at += 100) {
            assert_ok(text_rig_read(&rig, index + at, 100));
            for (size_t i = 0; i < 100; i++)
                expect_sample(i, index[at + i]);
        }
    }
}

static void lines_are_read_in_any_order(void **state)
{
    static char text[MANY * 200];
    size_t bytes = write_many(text);
    idx_rig_write("a.svm", text, bytes);
    text_rig_opened(&rig, "libsvm", "path=FILE:a.svm", MU_SPLIT_TRAIN);
    expect_any_order();
    uint32_t crc = rig.facts.crc32c;
    text_rig_close(&rig);
    idx_rig_write_packed("a.svm.gz", text, bytes);
    text_rig_opened(&rig, "libsvm", "path=FILE:a.svm.gz", MU_SPLIT_TRAIN);
    expect_any_order();
    assert_int_equal(rig.facts.crc32c, crc);
}

#define READERS 6 /* more than read without waiting for each other */
#define RUN 20

/* Runs from anywhere; returns how many rows are not what they should be. */
static void *read_runs(void *argument)
{
    struct mu_random random;
    uint32_t index[RUN], first[RUN + 1];
    int32_t labels[RUN];
    uint64_t id[RUN * 13];
    float value[RUN * 13];
    struct mu_test_log log;
    struct mu_entries entries = {.first = first, .id = id, .value = value};
    size_t *wrong = argument;
    mu_random_init(&random, *wrong);
    *wrong = 0;
    for (int turn = 0; turn < 500; turn++) {
        uint32_t start = (uint32_t)mu_random_below(&random, MANY - RUN);
        for (uint32_t i = 0; i < RUN; i++)
            index[i] = start + i;
        if (rig.ops->read_sparse(
                rig.dataset, index, RUN, NULL, labels, &entries, mu_test_log_init(&log)) != MU_OK)
            *wrong += RUN;
        for (uint32_t i = 0; i < RUN; i++)
            *wrong +=
                first[i + 1] - first[i] != index[i] % 13 + 1 || id[first[i]] != index[i] % 100;
    }
    return NULL;
}

static void several_threads_read_at_once(void **state)
{
    static char text[MANY * 200];
    pthread_t thread[READERS];
    size_t wrong[READERS];
    idx_rig_write("a.svm", text, write_many(text));
    text_rig_opened(&rig, "libsvm", "path=FILE:a.svm", MU_SPLIT_TRAIN);
    for (size_t i = 0; i < READERS; i++) {
        wrong[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, read_runs, &wrong[i]), 0);
    }
    for (size_t i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(wrong[i], 0);
}

static void a_packed_file_cut_off_is_refused(void **state)
{
    static char text[MANY * 200], packed[MANY * 200];
    size_t bytes = write_many(text);
    idx_rig_write_packed("a.svm.gz", text, bytes);
    size_t packed_bytes = idx_rig_read("a.svm.gz", packed, sizeof(packed));
    for (size_t cut = 2; cut < packed_bytes; cut += 97) {
        idx_rig_write("a.svm.gz", packed, cut);
        assert_int_equal(
            text_rig_open(&rig, "libsvm", "path=FILE:a.svm.gz", MU_SPLIT_TRAIN), MU_BAD_DATA);
        assert_said(&rig.said, "error[E0502]");
        assert_said(&rig.said, "/a.svm.gz");
    }
}

static void a_file_that_changes_is_noticed(void **state)
{
    opened("1 1:1 2:1\n0 1:1\n", "");
    uint32_t index[] = {0, 1};
    idx_rig_write("a.svm", "1 1:1 2:1\n0 1", 13);
    assert_int_equal(text_rig_read(&rig, index, 2), MU_BAD_DATA);
    assert_said(&rig.said, "became shorter");
    idx_rig_write("a.svm", "9 1:1 2:1\n0 1:1\n", 16);
    assert_int_equal(text_rig_read(&rig, index, 2), MU_BAD_DATA);
    assert_said(&rig.said, "a.svm:1:1: expected a label that was there");
    idx_rig_write("a.svm", "0 1:1 2:1 1:1 22\n", 16);
    assert_int_equal(text_rig_read(&rig, index, 2), MU_BAD_DATA);
    idx_rig_write("a.svm", "                 ", 16);
    assert_int_equal(text_rig_read(&rig, index, 2), MU_BAD_DATA);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_samples),
        TEST(what_is_around_samples_is_passed_over),
        TEST(labels_become_classes),
        TEST(labels_out_of_range_are_named),
        TEST(malformed_lines_name_file_line_and_column),
        TEST(ids_may_be_limited_by_option),
        TEST(the_test_split_has_its_own_file),
        TEST(test_labels_are_numbered_as_those_to_train_with),
        TEST(test_labels_that_training_lacks_are_named),
        TEST(wrong_test_lines_are_named_before_anybody_trains),
        TEST(an_empty_file_is_refused),
        TEST(values_are_rounded_exactly),
        TEST(lines_are_read_in_any_order),
        TEST(several_threads_read_at_once),
        TEST(a_packed_file_cut_off_is_refused),
        TEST(a_file_that_changes_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
