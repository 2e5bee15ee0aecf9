/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_FUZZ_TEXT_DATA_H
#define MU_TEST_FUZZ_TEXT_DATA_H

#include "data/datasets.h"
#include "fuzz_log.h"
#include "runtime/base/options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Any bytes as the file of a sparse data set that is text. What is opened and read holds what its
 * facts promise, and reads the same again; what is refused says so. */
#define FUZZ_TEXT_BATCH 7
#define FUZZ_TEXT_BYTES_MAX (1 << 16)

struct fuzz_text {
    const struct mu_dataset_ops *ops;
    struct mu_dataset_facts facts;
    struct mu_log log;
    void *dataset;
    float *features;
    int32_t *labels;
    struct mu_entries entries;
};

static inline void fuzz_text_set(
    struct fuzz_text *text, void *options, const char *name, const char *value)
{
    const struct mu_option *row = mu_options_find(text->ops->options, name);
    FUZZ_CHECK(row && mu_options_set(&text->log, name, row, value, options) == MU_OK);
}

static inline void *fuzz_text_take(size_t count, size_t bytes)
{
    void *memory = calloc(count + 1, bytes);
    FUZZ_CHECK(memory);
    return memory;
}

static inline void fuzz_text_check(const struct fuzz_text *text, size_t count)
{
    const struct mu_dataset_facts *facts = &text->facts;
    const struct mu_entries *entries = &text->entries;
    FUZZ_CHECK(entries->first[0] == 0);
    for (size_t i = 0; i < count * facts->feature_count; i++)
        FUZZ_CHECK(isfinite(text->features[i]));
    for (size_t row = 0; row < count; row++) {
        size_t held = entries->first[row + 1] - entries->first[row];
        FUZZ_CHECK(text->labels[row] >= 0 && (size_t)text->labels[row] < facts->class_count);
        FUZZ_CHECK(held <= facts->entry_max);
        FUZZ_CHECK(facts->field_count == 0 || held == facts->field_count);
    }
    for (size_t i = 0; i < entries->first[count]; i++)
        FUZZ_CHECK(isfinite(entries->value[i]) && entries->id[i] < facts->id_count);
}

/* From `first`: the status, and a sum over what was read. */
static inline enum mu_status fuzz_text_read(struct fuzz_text *text, size_t first, double *ret_sum)
{
    uint32_t index[FUZZ_TEXT_BATCH];
    size_t count = text->facts.sample_count - first;
    count = count < FUZZ_TEXT_BATCH ? count : FUZZ_TEXT_BATCH;
    for (size_t i = 0; i < count; i++)
        index[i] = (uint32_t)(first + i);
    *ret_sum = 0;
    MU_TRY(text->ops->read_sparse(
        text->dataset, index, count, text->features, text->labels, &text->entries, &text->log));
    fuzz_text_check(text, count);
    for (size_t i = 0; i < text->entries.first[count]; i++)
        *ret_sum += (double)text->entries.value[i] * (double)(text->entries.id[i] % 1000);
    return MU_OK;
}

static inline void fuzz_text_read_all(struct fuzz_text *text)
{
    const struct mu_dataset_facts *facts = &text->facts;
    FUZZ_CHECK(facts->sample_count > 0 && facts->class_count >= 2);
    text->features = fuzz_text_take(FUZZ_TEXT_BATCH * facts->feature_count, sizeof(float));
    text->labels = fuzz_text_take(FUZZ_TEXT_BATCH, sizeof(int32_t));
    text->entries = (struct mu_entries){.first = fuzz_text_take(FUZZ_TEXT_BATCH, sizeof(uint32_t)),
        .id = fuzz_text_take(FUZZ_TEXT_BATCH * facts->entry_max, sizeof(uint64_t)),
        .value = fuzz_text_take(FUZZ_TEXT_BATCH * facts->entry_max, sizeof(float))};
    for (size_t first = 0; first < facts->sample_count; first += FUZZ_TEXT_BATCH) {
        double sum, again;
        enum mu_status status = fuzz_text_read(text, first, &sum);
        FUZZ_CHECK(status == MU_OK || status == MU_BAD_DATA);
        FUZZ_CHECK(fuzz_text_read(text, first, &again) == status);
        FUZZ_CHECK(sum == again);
    }
    free(text->features);
    free(text->labels);
    free(text->entries.first);
    free(text->entries.id);
    free(text->entries.value);
}

/* `options` has all but the path; it is freed. */
static inline void fuzz_text_run(
    struct fuzz_text *text, void *options, const uint8_t *data, size_t bytes)
{
    char path[64];
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && write(file, data, bytes) == (ssize_t)bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    fuzz_text_set(text, options, "path", path);
    enum mu_status status =
        text->ops->open(options, MU_SPLIT_TRAIN, &text->log, &text->dataset, &text->facts);
    if (status == MU_OK) {
        fuzz_text_read_all(text);
        text->ops->close(text->dataset);
    } else {
        FUZZ_CHECK(status == MU_BAD_DATA);
    }
    close(file);
    free(options);
}

static inline void *fuzz_text_init(struct fuzz_text *text, const char *kind)
{
    *text = (struct fuzz_text){.ops = mu_dataset_find(kind)};
    fuzz_log_init(&text->log);
    void *options = fuzz_text_take(1, text->ops->option_bytes);
    mu_options_defaults(text->ops->options, options);
    return options;
}

#endif
