/* SPDX-License-Identifier: Apache-2.0 */
#include "data/read_all.h"

#include "data/text_lines.h"
#include "runtime/base/log.h"
#include <stdlib.h>

#define ENTRIES_HELD_MAX (1U << 18)

struct room {
    size_t rows;
    float *features;           /* (rows, feature_count) */
    int32_t *labels;           /* (rows) */
    uint32_t *index;           /* (rows) */
    struct mu_entries entries; /* of rows * entry_max */
};

/* A block of lines, or as many as their entries leave room for. */
static size_t choose_rows(const struct mu_dataset_facts *facts)
{
    size_t rows = MU_TEXT_BLOCK_LINES;
    while (rows > 1 && rows * facts->entry_max > ENTRIES_HELD_MAX)
        rows /= 2;
    return rows;
}

static bool take(struct room *room, const struct mu_dataset_facts *facts)
{
    size_t rows = choose_rows(facts), entries = rows * facts->entry_max;
    *room = (struct room){.rows = rows,
        .features = malloc((rows * facts->feature_count + 1) * sizeof(float)),
        .labels = malloc(rows * sizeof(int32_t)),
        .index = malloc(rows * sizeof(uint32_t)),
        .entries = {.first = malloc((rows + 1) * sizeof(uint32_t)),
            .id = malloc((entries + 1) * sizeof(uint64_t)),
            .value = malloc((entries + 1) * sizeof(float))}};
    return room->features && room->labels && room->index && room->entries.first &&
           room->entries.id && room->entries.value;
}

static void give(struct room *room)
{
    free(room->features);
    free(room->labels);
    free(room->index);
    free(room->entries.first);
    free(room->entries.id);
    free(room->entries.value);
}

static enum mu_status read(const struct mu_dataset_ops *ops, void *dataset, size_t sample_count,
    struct room *room, struct mu_log *log)
{
    for (size_t first = 0, count; first < sample_count; first += count) {
        count = sample_count - first < room->rows ? sample_count - first : room->rows;
        for (size_t i = 0; i < count; i++)
            room->index[i] = (uint32_t)(first + i);
        MU_TRY(ops->read_sparse(
            dataset, room->index, count, room->features, room->labels, &room->entries, log));
    }
    return MU_OK;
}

enum mu_status mu_read_all(const struct mu_dataset_ops *ops, void *dataset,
    const struct mu_dataset_facts *facts, struct mu_log *log)
{
    struct room room;
    enum mu_status status = take(&room, facts)
                                ? read(ops, dataset, facts->sample_count, &room, log)
                                : mu_fail(log, MU_E0801, NULL, "no memory to read the data");
    give(&room);
    return status;
}
