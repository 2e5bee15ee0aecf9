/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/decimal.h"
#include "data/labels.h"
#include "data/read_all.h"
#include "data/text_file.h"
#include "data/text_lines.h"
#include <stdlib.h>

#define ENTRIES_MAX (1U << 18) /* of a line: each takes four bytes of text or more */
static_assert(ENTRIES_MAX * 4 <= MU_TEXT_LINE_BYTES_MAX);

struct options {
    char path[MU_TEXT_PATH_BYTES], test_path[MU_TEXT_PATH_BYTES];
    int labels;
    int64_t classes, ids;
};

static const struct mu_option rows[] = {
    {.name = "path",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct options, path),
        .bytes = MU_TEXT_PATH_BYTES,
        .doc = "file to train with: lines of `label id:value id:value ...`, plain or gzip; a "
               "relative one is looked for where muster is started"},
    {.name = "test_path",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct options, test_path),
        .bytes = MU_TEXT_PATH_BYTES,
        .fallback = "",
        .doc = "file to test with"},
    {.name = "labels",
        .type = MU_OPTION_CHOICE,
        .offset = offsetof(struct options, labels),
        .fallback = "auto",
        .choices = MU_LABELS_CHOICES,
        .doc = "how classes are numbered: from 0, from 1, or -1 and 1; auto: as the labels look"},
    {.name = "classes",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, classes),
        .min = 0,
        .max = MU_LABELS_CLASSES_MAX,
        .fallback = "0",
        .doc = "number of classes; 0: as many as there are labels"},
    {.name = "ids",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, ids),
        .min = 0,
        .max = 1e15,
        .fallback = "0",
        .doc = "ids are below it; 0: one more than the largest of the lines' last ids"},
    {0},
};

struct libsvm {
    struct mu_text_lines *lines;
    struct mu_labels labels;
    uint64_t id_count;
    bool ids_given; /* id_count is data.ids */
    size_t entry_max;
};

/* ---- the scan ---- */

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

#define COLUMNS_HELP                                                                               \
    "a line is `label id:value id:value ...`; a file of columns is read with data.kind=csv"

/* After the label, which must be followed by a blank or the end. */
static enum mu_status parse_label(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const char **at, int64_t *ret_label)
{
    const char *text = skip_blanks(line->text);
    const char *end = mu_labels_parse(text, ret_label);
    if (!end || (end < line->text + line->bytes && skip_blanks(end) == end && *end != '#'))
        return mu_text_lines_refuse(lines, log, MU_E0502, line, text,
            end && *end == ',' ? COLUMNS_HELP : "a line is `label id:value id:value ...`",
            "expected a label, a whole number up to %d", MU_LABELS_CLASSES_MAX);
    *at = end;
    return MU_OK;
}

static bool has_query(const char *at)
{
    return memcmp(at, "qid:", 4) == 0;
}

/* The line's last id is before its last colon. Whether it is well formed shows when it is read. */
static void see_last_id(struct libsvm *set, const char *text, size_t bytes)
{
    const char *colon = memrchr(text, ':', bytes);
    const char *digits = colon;
    uint64_t id;
    while (digits && digits > text && (unsigned char)(digits[-1] - '0') <= 9)
        digits--;
    if (digits && digits < colon && mu_decimal_id(digits, &id) && id >= set->id_count)
        set->id_count = id + 1;
}

static enum mu_status see(
    void *owner, struct mu_text_lines *lines, struct mu_log *log, const struct mu_text_line *line)
{
    struct libsvm *set = owner;
    const char *at;
    int64_t label;
    MU_TRY(parse_label(lines, log, line, &at, &label));
    mu_labels_see(&set->labels, label);
    size_t entries = line->marks, bytes = line->bytes - (size_t)(at - line->text);
    const char *comment = memchr(at, '#', bytes);
    if (comment) {
        bytes = (size_t)(comment - at);
        entries = 0;
        for (size_t i = 0; i < bytes; i++)
            entries += at[i] == ':';
    }
    at = skip_blanks(at);
    if (entries == 0 && at < line->text + line->bytes && *at != '#')
        return mu_text_lines_refuse(
            lines, log, MU_E0502, line, at, COLUMNS_HELP, "expected `id:value`");
    if (entries > 0 && has_query(at))
        entries--;
    if (entries > ENTRIES_MAX)
        return mu_text_lines_refuse(lines, log, MU_E0502, line, at, NULL,
            "expected at most %u entries in a line", ENTRIES_MAX);
    if (entries > set->entry_max)
        set->entry_max = entries;
    if (entries > 0)
        see_last_id(set, at, bytes);
    return MU_OK;
}

/* ---- reading ---- */

struct reading {
    const struct libsvm *set;
    int32_t *labels;
    struct mu_entries *entries;
};

static enum mu_status refuse_id(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const char *at, const struct libsvm *set)
{
    uint64_t id;
    if (!mu_decimal_id(at, &id))
        return mu_text_lines_refuse(lines, log, MU_E0502, line, at,
            "a line is `label id:value id:value ...`", "expected an id, 0 to %lld",
            (long long)MU_DECIMAL_ID_MAX);
    return mu_text_lines_refuse(lines, log, MU_E0502, line, at,
        set->ids_given ? "data.ids is what ids are below, in both files"
                       : "where the last id of a line is not its largest, set data.ids",
        "expected an id below %llu", (unsigned long long)set->id_count);
}

static bool is_end(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == '#';
}

/* The query of a ranking set, which is not looked at: only that it is a number. */
static enum mu_status skip_query(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const char **at)
{
    uint64_t query;
    const char *end = mu_decimal_id(*at + 4, &query);
    if (!end || !is_end(*end))
        return mu_text_lines_refuse(
            lines, log, MU_E0502, line, *at + 4, NULL, "expected a number after `qid:`");
    *at = skip_blanks(end);
    return MU_OK;
}

/* `id:value` at *at. */
static enum mu_status take_entry(struct mu_text_lines *lines, struct mu_log *log,
    const struct mu_text_line *line, const struct libsvm *set, const char **at, uint64_t *ret_id,
    float *ret_value)
{
    const char *colon = mu_decimal_id(*at, ret_id);
    if (!colon || *ret_id >= set->id_count)
        return refuse_id(lines, log, line, *at, set);
    if (*colon != ':')
        return mu_text_lines_refuse(lines, log, MU_E0502, line, colon, NULL,
            "expected `:` and a value after id %llu", (unsigned long long)*ret_id);
    const char *end = mu_decimal_float(colon + 1, ret_value);
    if (!end || !is_end(*end))
        return mu_text_lines_refuse(lines, log, MU_E0502, line, colon + 1, NULL,
            "expected a finite 32-bit decimal as the value of id %llu",
            (unsigned long long)*ret_id);
    *at = end;
    return MU_OK;
}

static enum mu_status take(void *owner, struct mu_text_lines *lines, struct mu_log *log, size_t row,
    const struct mu_text_line *line)
{
    struct reading *reading = owner;
    const struct libsvm *set = reading->set;
    struct mu_entries *entries = reading->entries;
    const char *at, *end = line->text + line->bytes;
    int64_t label;
    MU_TRY(parse_label(lines, log, line, &at, &label));
    reading->labels[row] = mu_labels_class(&set->labels, label);
    if (reading->labels[row] < 0)
        return mu_text_lines_refuse(lines, log, MU_E0503, line, line->text, NULL,
            "expected a label that was there at the start");
    uint32_t count = entries->first[row], limit = count + (uint32_t)set->entry_max;
    at = skip_blanks(at);
    if (at < end && has_query(at))
        MU_TRY(skip_query(lines, log, line, &at));
    for (; at < end && *at != '#'; at = skip_blanks(at)) {
        if (count == limit)
            return mu_text_lines_refuse(lines, log, MU_E0502, line, at, NULL,
                "expected no more entries than were there at the start");
        MU_TRY(take_entry(lines, log, line, set, &at, &entries->id[count], &entries->value[count]));
        count++;
    }
    entries->first[row + 1] = count;
    return MU_OK;
}

static enum mu_status libsvm_read_sparse(void *dataset, const uint32_t *index, size_t count,
    float *features, int32_t *labels, struct mu_entries *entries, struct mu_log *log)
{
    struct libsvm *set = dataset;
    struct reading reading = {.set = set, .labels = labels, .entries = entries};
    entries->first[0] = 0;
    return mu_text_lines_read(set->lines, log, &reading, index, count);
}

/* ---- open and close ---- */

static const struct mu_text_rules rules = {.mark = ':', .comment = '#', .see = see, .take = take};

static void libsvm_close(void *dataset)
{
    struct libsvm *set = dataset;
    if (set)
        mu_text_lines_close(set->lines);
    free(set);
}

static enum mu_status begin(
    struct libsvm *set, const struct options *options, enum mu_split split, struct mu_log *log)
{
    struct mu_text_source *source;
    MU_TRY(mu_text_file_open(log, options->path, options->test_path, split, &source));
    MU_TRY(mu_text_lines_open(log, source, &rules, set, &set->lines));
    set->ids_given = options->ids > 0;
    if (set->ids_given)
        set->id_count = (uint64_t)options->ids;
    return mu_labels_decide(&set->labels, log, mu_text_lines_name(set->lines));
}

static enum mu_status libsvm_find(const void *options_void, enum mu_split split, struct mu_log *log)
{
    const struct options *options = options_void;
    return mu_text_file_find(log, options->path, options->test_path, split);
}

static enum mu_status libsvm_open(const void *options_void, enum mu_split split, struct mu_log *log,
    void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    const struct options *options = options_void;
    struct libsvm *set = calloc(1, sizeof(*set));
    if (!set)
        return mu_fail(log, MU_E0801, NULL, "no memory for the data set");
    set->labels.style = (enum mu_labels_style)options->labels;
    set->labels.class_count = options->classes;
    enum mu_status status = begin(set, options, split, log);
    if (status != MU_OK) {
        libsvm_close(set);
        return status;
    }
    set->entry_max = set->entry_max > 0 ? set->entry_max : 1;
    *ret_facts = (struct mu_dataset_facts){
        .sample_count = mu_text_lines_count(set->lines),
        .class_count = (size_t)set->labels.class_count,
        .entry_max = set->entry_max,
        .id_count = set->id_count,
        .crc32c = mu_text_lines_crc32c(set->lines),
    };
    *ret_dataset = set;
    return MU_OK;
}

static enum mu_status libsvm_match(
    void *test_void, const void *train_void, struct mu_log *log, struct mu_dataset_facts *facts)
{
    struct libsvm *test = test_void;
    const struct libsvm *train = train_void;
    facts->class_count = (size_t)train->labels.class_count;
    MU_TRY(mu_labels_adopt(&test->labels, &train->labels, log, mu_text_lines_name(test->lines)));
    return mu_read_all(&mu_dataset_libsvm, test, facts, log);
}

const struct mu_dataset_ops mu_dataset_libsvm = {
    .name = "libsvm",
    .doc = "sparse samples as text, `label id:value id:value ...`, as LIBSVM, LIBLINEAR and "
           "XGBoost read it",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .open = libsvm_open,
    .find = libsvm_find,
    .match = libsvm_match,
    .read_sparse = libsvm_read_sparse,
    .close = libsvm_close,
};
