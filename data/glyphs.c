/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/glyph.h"
#include "data/samples.h"
#include "runtime/base/log.h"
#include "runtime/base/random.h"
#include <stdlib.h>

struct options {
    int64_t samples, test_samples, seed;
};

static const struct mu_option rows[] = {
    {.name = "samples",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, samples),
        .min = 1,
        .max = 1000000,
        .fallback = "12000",
        .doc = "samples to train with"},
    {.name = "test_samples",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, test_samples),
        .min = 1,
        .max = 1000000,
        .fallback = "2000",
        .doc = "samples to test with; none of them is trained with"},
    {.name = "seed",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, seed),
        .min = 0,
        .max = 1e15,
        .fallback = "1",
        .doc = "the same seed draws the same samples, on every machine"},
    {0},
};

static struct mu_samples *samples_create(size_t count)
{
    struct mu_samples *samples = calloc(1, sizeof(*samples));
    if (!samples)
        return NULL;
    *samples = (struct mu_samples){
        .count = count,
        .feature_count = MU_GLYPH_PIXELS,
        .features = malloc(count * MU_GLYPH_PIXELS),
        .labels = malloc(count),
    };
    if (samples->features && samples->labels)
        return samples;
    mu_samples_finish(samples);
    free(samples);
    return NULL;
}

static enum mu_status glyphs_open(const void *options_void, enum mu_split split, struct mu_log *log,
    void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    const struct options *options = options_void;
    size_t count = (size_t)(split == MU_SPLIT_TRAIN ? options->samples : options->test_samples);
    struct mu_samples *samples = samples_create(count);
    if (!samples)
        return mu_fail(log, MU_E0801, "set data.samples lower", "no memory for %zu glyphs", count);
    /* A sample depends on nothing but (seed, split, its number): more samples are a longer
     * sequence, not another one. */
    uint64_t seed = mu_random_mix((uint64_t)options->seed, (uint64_t)split);
    for (size_t i = 0; i < count; i++)
        samples->labels[i] =
            (uint8_t)mu_glyph_draw(mu_random_mix(seed, i), samples->features + i * MU_GLYPH_PIXELS);
    mu_samples_facts(samples, MU_GLYPH_CLASSES, ret_facts);
    *ret_dataset = samples;
    return MU_OK;
}

static void glyphs_read(
    void *dataset, const uint32_t *index, size_t count, float *features, int32_t *labels)
{
    mu_samples_read(dataset, index, count, features, labels);
}

static void glyphs_close(void *dataset)
{
    if (dataset)
        mu_samples_finish(dataset);
    free(dataset);
}

const struct mu_dataset_ops mu_dataset_glyphs = {
    .name = "glyphs",
    .doc = "handwritten-looking digits, 28 x 28, drawn by the program: needs no files",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .open = glyphs_open,
    .read = glyphs_read,
    .close = glyphs_close,
};
