/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/columns.h"
#include "data/csv_field.h"
#include "data/decimal.h"
#include "data/labels.h"
#include "data/read_all.h"
#include "data/text_file.h"
#include "data/text_lines.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/random.h"
#include <math.h>
#include <stdlib.h>

#define LIST_BYTES 512
#define SEPARATOR_BYTES 8
#define DOUBLED_BYTES_MAX 4096 /* of a field with doubled quotes, which must be copied */

struct options {
    char path[MU_TEXT_PATH_BYTES], test_path[MU_TEXT_PATH_BYTES];
    char delimiter[SEPARATOR_BYTES];
    bool header, quotes, log1p;
    int64_t label, hash_bits, classes;
    char numeric[LIST_BYTES], categorical[LIST_BYTES];
    int labels;
};

#define ROW(field) .name = #field, .offset = offsetof(struct options, field)

static const struct mu_option rows[] = {
    {ROW(path), .type = MU_OPTION_STRING, .bytes = MU_TEXT_PATH_BYTES,
        .doc = "file to train with, plain or gzip"},
    {ROW(test_path), .type = MU_OPTION_STRING, .bytes = MU_TEXT_PATH_BYTES, .fallback = "",
        .doc = "file to test with"},
    {ROW(delimiter), .type = MU_OPTION_STRING, .bytes = SEPARATOR_BYTES, .fallback = "",
        .doc = "what separates columns, a character or `tab`; empty: a comma in .csv, else a tab"},
    {ROW(header), .type = MU_OPTION_BOOL, .fallback = "false",
        .doc = "the first line names the columns"},
    {ROW(quotes), .type = MU_OPTION_BOOL, .fallback = "true",
        .doc = "fields may be in double quotes; false: these are text like any other"},
    {ROW(label), .type = MU_OPTION_INTEGER, .min = 0, .max = MU_COLUMNS_MAX - 1, .fallback = "0",
        .doc = "column of the label; the first column is 0"},
    {ROW(numeric), .type = MU_OPTION_STRING, .bytes = LIST_BYTES, .fallback = "",
        .doc = "columns of numbers, as in `1-13,20`; one that is empty counts as 0"},
    {ROW(categorical), .type = MU_OPTION_STRING, .bytes = LIST_BYTES, .fallback = "",
        .doc = "columns of categories: each text becomes the id hash(column, text)"},
    {ROW(hash_bits), .type = MU_OPTION_INTEGER, .min = 1, .max = 62, .fallback = "22",
        .doc = "bits of an id: all columns share 2^hash_bits ids"},
    {ROW(log1p), .type = MU_OPTION_BOOL, .fallback = "false",
        .doc = "numbers x become log(1 + x), and -log(1 - x) below 0"},
    {ROW(labels), .type = MU_OPTION_CHOICE, .fallback = "auto", .choices = MU_LABELS_CHOICES,
        .doc = "how classes are numbered: from 0, from 1, or -1 and 1; auto: as the labels look"},
    {ROW(classes), .type = MU_OPTION_INTEGER, .min = 0, .max = MU_LABELS_CLASSES_MAX,
        .fallback = "0", .doc = "number of classes; 0: as many as there are labels"},
    {0},
};

struct csv {
    struct mu_text_rules rules;
    struct mu_text_lines *lines;
    struct mu_columns columns;
    struct mu_labels labels;
    size_t column_count; /* of the file */
    char separator;
    bool log1p;
    uint64_t id_mask;
};

static struct mu_csv_record record_of(const struct csv *set, const struct mu_text_line *line)
{
    size_t bytes = line->bytes - (line->text[line->bytes - 1] == '\r');
    return (struct mu_csv_record){.at = line->text,
        .end = line->text + bytes,
        .separator = set->separator,
        .quotes = set->rules.quoted,
        .more = true};
}

static enum mu_status refuse_field(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const char *at)
{
    return mu_text_lines_refuse(lines, log, MU_E0502, line, at,
        "where quotes are text like any other, set data.quotes to false",
        "expected a field with no quote in it, or wholly in quotes");
}

/* ---- the scan ---- */

/* The first record says how many columns there are. */
static enum mu_status count_columns(struct csv *set, struct mu_text_lines *lines,
    struct mu_log *log, const struct mu_text_line *line)
{
    struct mu_csv_field field;
    for (struct mu_csv_record record = record_of(set, line); record.more; set->column_count++)
        if (!mu_csv_field_next(&record, &field))
            return refuse_field(lines, log, line, record.at);
    if (set->column_count < set->columns.used)
        return mu_fail(log, MU_E0504,
            "data.label, data.numeric and data.categorical count columns from 0",
            "%s has %zu columns, but column %zu is asked for", mu_text_lines_name(lines),
            set->column_count, set->columns.used - 1);
    return MU_OK;
}

static enum mu_status parse_label(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const struct mu_csv_field *field, int64_t *ret_label)
{
    const char *end = mu_labels_parse(field->text, ret_label);
    if (end != field->text + field->bytes)
        return mu_text_lines_refuse(lines, log, MU_E0502, line, field->text,
            "data.label is its column, data.header skips the first line",
            "expected a label, a whole number up to %d", MU_LABELS_CLASSES_MAX);
    return MU_OK;
}

static enum mu_status see(
    void *owner, struct mu_text_lines *lines, struct mu_log *log, const struct mu_text_line *line)
{
    struct csv *set = owner;
    if (set->column_count == 0)
        MU_TRY(count_columns(set, lines, log, line));
    struct mu_csv_record record = record_of(set, line);
    struct mu_csv_field field;
    for (size_t column = 0; record.more; column++) {
        if (!mu_csv_field_next(&record, &field))
            return refuse_field(lines, log, line, record.at);
        if (set->columns.use[column] == MU_COLUMN_LABEL) {
            int64_t label;
            MU_TRY(parse_label(lines, log, line, &field, &label));
            mu_labels_see(&set->labels, label);
            return MU_OK;
        }
    }
    return mu_text_lines_refuse(
        lines, log, MU_E0502, line, line->text, NULL, "expected %zu columns", set->column_count);
}

/* ---- reading ---- */

/* Eight bytes at a time, the first in the lowest bits on every machine. */
static uint64_t word_of(const char *text, size_t bytes)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return bytes < 8 ? word & ((UINT64_C(1) << 8 * bytes) - 1) : word;
}

/* Eight bytes after the text must be readable. */
static uint64_t hash(size_t column, const char *text, size_t bytes)
{
    uint64_t hash = (uint64_t)column << 32 | bytes;
    for (; bytes > 8; text += 8, bytes -= 8)
        hash = mu_random_mix(hash, word_of(text, 8));
    return mu_random_mix(hash, word_of(text, bytes));
}

static enum mu_status take_category(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, size_t column, const struct mu_csv_field *field,
    uint64_t *ret_hash)
{
    if (!field->doubled) {
        *ret_hash = hash(column, field->text, field->bytes);
        return MU_OK;
    }
    char copy[DOUBLED_BYTES_MAX + 8] = {0};
    size_t bytes = 0;
    if (field->bytes > DOUBLED_BYTES_MAX)
        return mu_text_lines_refuse(lines, log, MU_E0502, line, field->text, NULL,
            "expected at most %d bytes in a field with doubled quotes", DOUBLED_BYTES_MAX);
    for (size_t i = 0; i < field->bytes; i++) {
        copy[bytes++] = field->text[i];
        i += field->text[i] == '"'; /* the first of two */
    }
    *ret_hash = hash(column, copy, bytes);
    return MU_OK;
}

static enum mu_status take_number(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const struct csv *set, const struct mu_csv_field *field,
    float *ret_number)
{
    *ret_number = 0;
    if (field->bytes == 0)
        return MU_OK;
    if (mu_decimal_float(field->text, ret_number) != field->text + field->bytes)
        return mu_text_lines_refuse(lines, log, MU_E0502, line, field->text, NULL,
            "expected a finite 32-bit decimal or nothing");
    if (set->log1p)
        *ret_number = copysignf(log1pf(fabsf(*ret_number)), *ret_number);
    return MU_OK;
}

struct reading {
    const struct csv *set;
    float *features;
    int32_t *labels;
    struct mu_entries *entries;
};

/* Where the row's parts go next. */
struct row {
    float *number;
    int32_t *label;
    uint64_t *id;
};

static enum mu_status take_field(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const struct csv *set, size_t column,
    const struct mu_csv_field *field, struct row *row)
{
    int64_t label;
    switch ((enum mu_column_use)set->columns.use[column]) {
    case MU_COLUMN_NUMERIC:
        return take_number(lines, log, line, set, field, row->number++);
    case MU_COLUMN_CATEGORY:
        MU_TRY(take_category(lines, log, line, column, field, row->id));
        *row->id++ &= set->id_mask;
        return MU_OK;
    case MU_COLUMN_LABEL:
        MU_TRY(parse_label(lines, log, line, field, &label));
        *row->label = mu_labels_class(&set->labels, label);
        return *row->label >= 0 ? MU_OK
                                : mu_text_lines_refuse(lines, log, MU_E0503, line, field->text,
                                      NULL, "expected a label that was there at the start");
    case MU_COLUMN_UNUSED:
        return MU_OK;
    }
    return MU_OK;
}

static enum mu_status take(void *owner, struct mu_text_lines *lines, struct mu_log *log, size_t row,
    const struct mu_text_line *line)
{
    const struct reading *reading = owner;
    const struct csv *set = reading->set;
    size_t fields = set->columns.category_count, column = 0;
    struct row out = {.number = reading->features + row * set->columns.numeric_count,
        .label = &reading->labels[row],
        .id = reading->entries->id + row * fields};
    struct mu_csv_record record = record_of(set, line);
    for (; record.more && column < set->column_count; column++) {
        struct mu_csv_field field;
        if (!mu_csv_field_next(&record, &field))
            return refuse_field(lines, log, line, record.at);
        if (column < set->columns.used)
            MU_TRY(take_field(lines, log, line, set, column, &field, &out));
    }
    if (record.more || column < set->column_count)
        return mu_text_lines_refuse(lines, log, MU_E0502, line, record.at, NULL,
            "expected %zu columns, as the first record has", set->column_count);
    for (size_t i = 0; i < fields; i++)
        reading->entries->value[row * fields + i] = 1;
    reading->entries->first[row + 1] = (uint32_t)((row + 1) * fields);
    return MU_OK;
}

static enum mu_status csv_read_sparse(void *dataset, const uint32_t *index, size_t count,
    float *features, int32_t *labels, struct mu_entries *entries, struct mu_log *log)
{
    struct csv *set = dataset;
    struct reading reading = {
        .set = set, .features = features, .labels = labels, .entries = entries};
    entries->first[0] = 0;
    return mu_text_lines_read(set->lines, log, &reading, index, count);
}

/* ---- open and close ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static enum mu_status check_separator(const struct options *options, struct mu_log *log)
{
    const char *typed = options->delimiter;
    if (typed[0] == '\0' || strcmp(typed, "tab") == 0 ||
        (typed[1] == '\0' && !strchr("0123456789+-.eE\"\r\n", typed[0])))
        return MU_OK;
    return mu_fail(log, MU_E0203, NULL,
        "data.delimiter is `%s`: expected one character that no number has, or `tab`", typed);
}

static char separator_of(const struct options *options, const char *path)
{
    const char *typed = options->delimiter;
    bool commas = ends_in(path, ".csv") || ends_in(path, ".csv.gz");
    if (typed[0] == '\0')
        return commas ? ',' : '\t';
    return strcmp(typed, "tab") == 0 ? '\t' : typed[0];
}

static enum mu_status choose_columns(
    struct csv *set, const struct options *options, struct mu_log *log)
{
    set->columns.use[options->label] = MU_COLUMN_LABEL;
    set->columns.used = (size_t)options->label + 1;
    MU_TRY(mu_columns_add(&set->columns, log, "data.numeric", options->numeric, MU_COLUMN_NUMERIC));
    MU_TRY(mu_columns_add(
        &set->columns, log, "data.categorical", options->categorical, MU_COLUMN_CATEGORY));
    if (set->columns.numeric_count + set->columns.category_count == 0)
        return mu_fail(log, MU_E0203, "set data.numeric or data.categorical, as in 1-13",
            "there is no column to learn from");
    return MU_OK;
}

static enum mu_status begin(
    struct csv *set, const struct options *options, enum mu_split split, struct mu_log *log)
{
    struct mu_text_source *source;
    MU_TRY(check_separator(options, log));
    MU_TRY(choose_columns(set, options, log));
    MU_TRY(mu_text_file_open(log, options->path, options->test_path, split, &source));
    set->separator = separator_of(options, mu_text_source_name(source));
    set->log1p = options->log1p;
    set->id_mask = (UINT64_C(1) << options->hash_bits) - 1;
    set->labels.style = (enum mu_labels_style)options->labels;
    set->labels.class_count = options->classes;
    set->rules = (struct mu_text_rules){.mark = '"',
        .quoted = options->quotes,
        .skip_lines = options->header,
        .see = see,
        .take = take};
    MU_TRY(mu_text_lines_open(log, source, &set->rules, set, &set->lines));
    return mu_labels_decide(&set->labels, log, mu_text_lines_name(set->lines));
}

static void csv_close(void *dataset)
{
    struct csv *set = dataset;
    if (set)
        mu_text_lines_close(set->lines);
    free(set);
}

static size_t csv_entries(const void *options)
{
    struct mu_log quiet = mu_log_quiet();
    struct csv *set = calloc(1, sizeof(*set));
    bool good = set && choose_columns(set, options, &quiet) == MU_OK;
    size_t entries = good ? set->columns.category_count : 0;
    csv_close(set);
    return entries;
}

static enum mu_status csv_find(const void *options_void, enum mu_split split, struct mu_log *log)
{
    const struct options *options = options_void;
    MU_TRY(check_separator(options, log));
    struct csv *set = calloc(1, sizeof(*set));
    if (!set)
        return mu_fail(log, MU_E0801, NULL, "no memory for the data set");
    enum mu_status status = choose_columns(set, options, log);
    csv_close(set);
    MU_TRY(status);
    return mu_text_file_find(log, options->path, options->test_path, split);
}

static enum mu_status csv_open(const void *options, enum mu_split split, struct mu_log *log,
    void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    struct csv *set = calloc(1, sizeof(*set));
    if (!set)
        return mu_fail(log, MU_E0801, NULL, "no memory for the data set");
    enum mu_status status = begin(set, options, split, log);
    if (status != MU_OK) {
        csv_close(set);
        return status;
    }
    *ret_facts = (struct mu_dataset_facts){
        .sample_count = mu_text_lines_count(set->lines),
        .feature_count = set->columns.numeric_count,
        .class_count = (size_t)set->labels.class_count,
        .entry_max = set->columns.category_count,
        .field_count = set->columns.category_count,
        .id_count = set->id_mask + 1,
        .crc32c = mu_text_lines_crc32c(set->lines),
    };
    *ret_dataset = set;
    return MU_OK;
}

static enum mu_status csv_match(
    void *test_void, const void *train_void, struct mu_log *log, struct mu_dataset_facts *facts)
{
    struct csv *test = test_void;
    const struct csv *train = train_void;
    const char *name = mu_text_lines_name(test->lines);
    if (test->column_count != train->column_count)
        return mu_fail(log, MU_E0504, "the columns of both must be the same",
            "%s has %zu columns, but %s has %zu", name, test->column_count,
            mu_text_lines_name(train->lines), train->column_count);
    facts->class_count = (size_t)train->labels.class_count;
    MU_TRY(mu_labels_adopt(&test->labels, &train->labels, log, name));
    return mu_read_all(&mu_dataset_csv, test, facts, log);
}

const struct mu_dataset_ops mu_dataset_csv = {
    .name = "csv",
    .doc = "a table as text, separated by commas or tabs: columns of numbers, columns of "
           "categories, a label",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .open = csv_open,
    .find = csv_find,
    .entries = csv_entries,
    .match = csv_match,
    .read_sparse = csv_read_sparse,
    .close = csv_close,
};
