/* SPDX-License-Identifier: Apache-2.0 */
#include "text_rig.h"

#include "runtime/base/options.h"

static void set_option(struct text_rig *rig, void *options, const char *name, const char *value)
{
    const struct mu_option *row = mu_options_find(rig->ops->options, name);
    assert_non_null(row);
    if (strncmp(value, "FILE:", 5) == 0)
        value = idx_rig_path(value + 5);
    assert_ok(mu_options_set(&rig->said.log, name, row, value, options));
}

static void set_options(struct text_rig *rig, void *options, const char *text)
{
    char copy[1024], *rest = copy;
    mu_format(copy, sizeof(copy), "%s", text);
    for (char *word; (word = strsep(&rest, " "));) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value++ = '\0';
        set_option(rig, options, word, value);
    }
}

enum mu_status text_rig_open(
    struct text_rig *rig, const char *kind, const char *options, enum mu_split split)
{
    memset(rig, 0, sizeof(*rig));
    mu_test_log_init(&rig->said);
    rig->ops = mu_dataset_find(kind);
    assert_non_null(rig->ops);
    void *memory = calloc(1, rig->ops->option_bytes);
    assert_non_null(memory);
    mu_options_defaults(rig->ops->options, memory);
    set_options(rig, memory, options);
    enum mu_status status =
        rig->ops->open(memory, split, &rig->said.log, &rig->dataset, &rig->facts);
    free(memory);
    if (status != MU_OK)
        assert_null(rig->dataset);
    return status;
}

void text_rig_opened(
    struct text_rig *rig, const char *kind, const char *options, enum mu_split split)
{
    if (text_rig_open(rig, kind, options, split) != MU_OK)
        fail_msg("%s", rig->said.text);
}

enum mu_status text_rig_match(struct text_rig *rig, const char *kind, const char *options)
{
    struct text_rig trained;
    text_rig_opened(&trained, kind, options, MU_SPLIT_TRAIN);
    text_rig_opened(rig, kind, options, MU_SPLIT_TEST);
    enum mu_status status =
        rig->ops->match(rig->dataset, trained.dataset, &rig->said.log, &rig->facts);
    text_rig_close(&trained);
    return status;
}

static void free_rows(struct text_rig *rig)
{
    free(rig->features);
    free(rig->labels);
    free(rig->entries.first);
    free(rig->entries.id);
    free(rig->entries.value);
}

/* Room of exactly what the contract asks for, so that a sanitizer sees what is beyond. */
enum mu_status text_rig_read(struct text_rig *rig, const uint32_t *index, size_t count)
{
    size_t entries = count * rig->facts.entry_max;
    free_rows(rig);
    rig->count = count;
    rig->features = calloc(count * rig->facts.feature_count, sizeof(float));
    rig->labels = calloc(count, sizeof(int32_t));
    rig->entries = (struct mu_entries){.first = calloc(count + 1, sizeof(uint32_t)),
        .id = calloc(entries, sizeof(uint64_t)),
        .value = calloc(entries, sizeof(float))};
    return rig->ops->read_sparse(
        rig->dataset, index, count, rig->features, rig->labels, &rig->entries, &rig->said.log);
}

void text_rig_read_all(struct text_rig *rig)
{
    size_t count = rig->facts.sample_count;
    uint32_t *index = calloc(count, sizeof(*index));
    assert_non_null(index);
    for (size_t i = 0; i < count; i++)
        index[i] = (uint32_t)i;
    enum mu_status status = text_rig_read(rig, index, count);
    free(index);
    if (status != MU_OK)
        fail_msg("%s", rig->said.text);
}

void text_rig_close(struct text_rig *rig)
{
    free_rows(rig);
    if (rig->ops)
        rig->ops->close(rig->dataset);
    memset(rig, 0, sizeof(*rig));
}

const char *text_rig_row(const struct text_rig *rig, size_t row)
{
    static char text[4096];
    size_t at = 0, features = rig->facts.feature_count;
    assert_true(row < rig->count);
    at += (size_t)sprintf(text, "%d", rig->labels[row]);
    for (size_t i = 0; i < features; i++)
        at += (size_t)sprintf(text + at, " %.9g", (double)rig->features[row * features + i]);
    at += (size_t)sprintf(text + at, " |");
    for (size_t i = rig->entries.first[row]; i < rig->entries.first[row + 1]; i++)
        at += (size_t)sprintf(text + at, " %llu:%.9g", (unsigned long long)rig->entries.id[i],
            (double)rig->entries.value[i]);
    assert_true(at < sizeof(text));
    return text;
}
