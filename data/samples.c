/* SPDX-License-Identifier: Apache-2.0 */
#include "data/samples.h"

#include "runtime/base/crc32c.h"
#include <assert.h>
#include <stdlib.h>

#define BLOCK 16 /* elements turned at once: a fixed number, so that it becomes vectors */

void mu_samples_finish(struct mu_samples *samples)
{
    free(samples->features);
    free(samples->labels);
    *samples = (struct mu_samples){0};
}

void mu_samples_facts(
    const struct mu_samples *samples, size_t class_count, struct mu_dataset_facts *ret_facts)
{
    uint32_t crc = mu_crc32c(0, samples->features, samples->count * samples->feature_count);
    *ret_facts = (struct mu_dataset_facts){
        .sample_count = samples->count,
        .feature_count = samples->feature_count,
        .class_count = class_count,
        .crc32c = mu_crc32c(crc, samples->labels, samples->count),
    };
}

/* Divided, not multiplied by 1/255: the same floats as everybody else's loaders give. */
static void to_floats(const uint8_t *restrict in, size_t count, float *restrict out)
{
    size_t whole = count / BLOCK * BLOCK;
    for (size_t i = 0; i < whole; i += BLOCK)
        for (size_t k = 0; k < BLOCK; k++)
            out[i + k] = (float)in[i + k] / 255.0F;
    for (size_t i = whole; i < count; i++)
        out[i] = (float)in[i] / 255.0F;
}

void mu_samples_read(const struct mu_samples *samples, const uint32_t *index, size_t count,
    float *features, int32_t *labels)
{
    size_t width = samples->feature_count;
    for (size_t i = 0; i < count; i++) {
        assert(index[i] < samples->count);
        to_floats(samples->features + index[i] * width, width, features + i * width);
        labels[i] = samples->labels[index[i]];
    }
}
