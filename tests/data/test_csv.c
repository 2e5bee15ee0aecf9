/* SPDX-License-Identifier: Apache-2.0 */
#include "text_rig.h"
#include <math.h>

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

static enum mu_status open_text(const char *name, const char *text, const char *more)
{
    char options[512];
    text_rig_close(&rig);
    idx_rig_write(name, text, strlen(text));
    snprintf(options, sizeof(options), "path=FILE:%s %s", name, more);
    return text_rig_open(&rig, "csv", options, MU_SPLIT_TRAIN);
}

static void opened(const char *name, const char *text, const char *more)
{
    if (open_text(name, text, more) != MU_OK)
        fail_msg("%s", rig.said.text);
    text_rig_read_all(&rig);
}

static void not_opened(
    const char *text, const char *more, enum mu_status status, const char *error, const char *why)
{
    assert_int_equal(open_text("a.csv", text, more), status);
    assert_said(&rig.said, error);
    assert_said(&rig.said, why);
}

static void not_read(const char *text, const char *more, const char *why)
{
    uint32_t index[] = {0, 1, 2, 3};
    assert_ok(open_text("a.csv", text, more));
    assert_true(rig.facts.sample_count <= 4);
    assert_int_equal(text_rig_read(&rig, index, rig.facts.sample_count), MU_BAD_DATA);
    assert_said(&rig.said, "error[E0502]");
    assert_said(&rig.said, why);
}

static void numbers_become_features(void **state)
{
    opened("a.tsv", "1\t0.5\t-3\t9\n0\t\t1e2\t9\r\n", "numeric=1-2");
    assert_int_equal(rig.facts.sample_count, 2);
    assert_int_equal(rig.facts.feature_count, 2);
    assert_int_equal(rig.facts.entry_max, 0);
    assert_int_equal(rig.facts.field_count, 0);
    assert_int_equal(rig.facts.class_count, 2);
    assert_string_equal(text_rig_row(&rig, 0), "1 0.5 -3 |");
    assert_string_equal(text_rig_row(&rig, 1), "0 0 100 |");
}

static void numbers_may_be_taken_the_logarithm_of(void **state)
{
    opened("a.csv", "1,0,3,-3\n", "numeric=1-3 log1p=true");
    assert_float_equal(rig.features[0], 0, 0);
    assert_float_equal(rig.features[1], log(4), 1e-6);
    assert_float_equal(rig.features[2], -log(4), 1e-6);
}

/* Equal texts of a column have one id, of another column another; the low bits are what counts. */
static void categories_become_ids(void **state)
{
    const char *text =
        "1,red,red,a longer text than eight bytes\n0,blue,red,\n1,red,,a longer text "
        "than nine bytes\n";
    opened("a.csv", text, "categorical=1-3 hash_bits=40");
    assert_int_equal(rig.facts.entry_max, 3);
    assert_int_equal(rig.facts.field_count, 3);
    assert_int_equal(rig.facts.feature_count, 0);
    assert_int_equal(rig.facts.id_count, UINT64_C(1) << 40);
    uint64_t id[9];
    memcpy(id, rig.entries.id, sizeof(id));
    assert_int_equal(id[0], id[6]);
    assert_int_equal(id[1], id[4]);
    for (size_t i = 0; i < 9; i++) {
        assert_true(id[i] < rig.facts.id_count);
        assert_float_equal(rig.entries.value[i], 1, 0);
        for (size_t k = 0; k < i; k++)
            assert_true((id[i] == id[k]) == ((i == 6 && k == 0) || (i == 4 && k == 1)));
    }
    opened("a.csv", text, "categorical=1-3 hash_bits=5");
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(rig.entries.id[i], id[i] % 32);
}

/* Written down, for a checkpoint's rows go by them. */
static void ids_stay_the_same_from_version_to_version(void **state)
{
    opened("a.csv", "1,red,68fd1e64,a longer text than eight bytes,\n", "categorical=1-4");
    assert_string_equal(text_rig_row(&rig, 0), "1 | 1675559:1 1465845:1 3653236:1 1900766:1");
}

static void columns_stand_in_any_order(void **state)
{
    opened("a.csv", "7,x,1,2\n8,y,0,3\n", "label=2 numeric=3,0 categorical=1");
    assert_int_equal(rig.facts.feature_count, 2);
    assert_int_equal(rig.labels[0], 1);
    assert_float_equal(rig.features[0], 7, 0); /* in the order of the file */
    assert_float_equal(rig.features[1], 2, 0);
}

static void the_name_or_an_option_tells_the_separator(void **state)
{
    opened("a.csv", "1,2\n", "numeric=1");
    opened("a.txt", "1\t2\n", "numeric=1");
    opened("a.txt", "1;2\n", "numeric=1 delimiter=;");
    opened("a.csv", "1\t2\n", "numeric=1 delimiter=tab");
    not_opened("1,2\n", "numeric=1 delimiter=;;", MU_CONFIG, "error[E0203]", "data.delimiter");
    not_opened("1,2\n", "numeric=1 delimiter=.", MU_CONFIG, "error[E0203]", "data.delimiter");
}

static void a_header_is_passed_over(void **state)
{
    opened("a.csv", "label,\"a\nb\"\n\n1,2\n", "numeric=1 header=true");
    assert_int_equal(rig.facts.sample_count, 1);
    assert_string_equal(text_rig_row(&rig, 0), "1 2 |");
    not_opened(
        "label,a\n1,2\n", "numeric=1", MU_BAD_DATA, "a.csv:1:1: expected a label", "data.header");
}

static void quoted_fields_are_what_is_in_them(void **state)
{
    opened("a.csv",
        "1,plain,2\n\"1\",\"plain\",\"2\"\n0,\"a,b\",1\n0,\"a\nb\",3\n0,\"a \"\"b\"\"\",4\n",
        "categorical=1 numeric=2 hash_bits=40");
    assert_int_equal(rig.facts.sample_count, 5);
    assert_int_equal(rig.entries.id[0], rig.entries.id[1]);
    uint64_t comma = rig.entries.id[2], newline = rig.entries.id[3], doubled = rig.entries.id[4];
    assert_int_not_equal(comma, newline);
    assert_float_equal(rig.features[3], 3, 0);
    opened(
        "a.tsv", "0\ta,b\t1\n0\ta \"b\"\t1\n", "categorical=1 numeric=2 hash_bits=40 quotes=false");
    assert_int_equal(rig.entries.id[0], comma);
    assert_int_equal(rig.entries.id[1], doubled);
}

static void malformed_records_name_file_line_and_column(void **state)
{
    not_read("1,2,x\n0,1\n", "numeric=1", "a.csv:2:4: expected 3 columns");
    not_read("1,2\n0,1,5\n", "numeric=1", "a.csv:2:5: expected 2 columns");
    not_read("1,2\n\n0,1x\n", "numeric=1", "a.csv:3:3: expected a finite 32-bit decimal");
    not_read("1,2\n0,nan\n", "numeric=1", "a.csv:2:3: expected a finite");
    not_read("1,2\n0,a\"b\"\n", "categorical=1", "a.csv:2:4: expected a field with no quote");
    not_read("1,2\n0,\"b\"c\n", "categorical=1", "a.csv:2:6: expected a field with no quote");
    not_read("1,2\n0,\"b\n", "categorical=1", "a.csv:2:3: expected a field with no quote");
    not_opened("1,2\nx,1\n", "numeric=1", MU_BAD_DATA, "a.csv:2:1: expected a label", "`x,1`");
    not_opened("1,2\n,1\n", "numeric=1", MU_BAD_DATA, "error[E0502]", "a.csv:2:1");
    not_opened("1,2\n4,1\n", "numeric=1 classes=3", MU_BAD_DATA, "error[E0503]", "record 1");
    not_opened("2,1\n3\n", "numeric=0 label=1", MU_BAD_DATA, "a.csv:2:1", "expected 2 columns");
}

static void wrong_columns_are_refused(void **state)
{
    static const char *const wrong[] = {"numeric=a", "numeric=1-", "numeric=3-1", "numeric=1,",
        "numeric=1024", "numeric=-1", "numeric=0", "numeric=1,1", "numeric=1 categorical=1",
        "numeric=", "numeric=99999999999999999999"};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++)
        not_opened("1,2,3,4\n", wrong[i], MU_CONFIG, "error[E0203]", "data.");
    not_opened("1,2\n", "numeric=1-2", MU_BAD_DATA, "error[E0504]", "has 2 columns");
}

/* The test split in b.csv beside a training split in a.csv. */
static enum mu_status match(const char *text)
{
    static const char options[] = "path=FILE:a.csv test_path=FILE:b.csv numeric=1";
    text_rig_close(&rig);
    idx_rig_write("b.csv", text, strlen(text));
    return text_rig_match(&rig, "csv", options);
}

static void not_matched(const char *text, const char *const said[3])
{
    assert_int_equal(match(text), MU_BAD_DATA);
    for (int i = 0; i < 3 && said[i]; i++)
        assert_said(&rig.said, said[i]);
}

static void test_data_have_the_columns_and_classes_of_those_to_train_with(void **state)
{
    static const struct {
        const char *text, *said[3];
    } wrong[] = {
        {"1,5\n3,6\n", {"error[E0503]: label 3 of record 1 in ", "/b.csv is out of range 0 to 2"}},
        {"1,5,5\n", {"error[E0504]", "/b.csv has 3 columns, but ", "/a.csv has 2"}},
        {"1,5\n1,nan\n", {"/b.csv:2:3: expected a finite"}},
    };
    idx_rig_write("a.csv", "0,5\n1,6\n2,7\n", 12);
    assert_ok(match("1,5\n2,6\n"));
    assert_int_equal(rig.facts.class_count, 3);
    text_rig_read_all(&rig);
    assert_string_equal(text_rig_row(&rig, 0), "1 5 |");
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++)
        not_matched(wrong[i].text, wrong[i].said);
}

static void a_long_field_is_bounded(void **state)
{
    static char text[12000];
    size_t bytes = 0;
    bytes += (size_t)sprintf(text, "1,\"\"\"");
    for (int i = 0; i < 4100; i++)
        text[bytes++] = 'a';
    strcpy(text + bytes, "\"\n");
    not_read(text, "categorical=1", "doubled quotes");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_become_features),
        TEST(numbers_may_be_taken_the_logarithm_of),
        TEST(categories_become_ids),
        TEST(ids_stay_the_same_from_version_to_version),
        TEST(columns_stand_in_any_order),
        TEST(the_name_or_an_option_tells_the_separator),
        TEST(a_header_is_passed_over),
        TEST(quoted_fields_are_what_is_in_them),
        TEST(malformed_records_name_file_line_and_column),
        TEST(wrong_columns_are_refused),
        TEST(test_data_have_the_columns_and_classes_of_those_to_train_with),
        TEST(a_long_field_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
