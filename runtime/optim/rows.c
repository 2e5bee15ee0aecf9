/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/rows.h"

#include <assert.h>
#include <string.h>

/*
 * An optimizer without a loop over rows gets copies of some rows at once, side by side as a span:
 *
 *   row 0: w w n n   row 1: w w n n   ->   parameters w w w w ..., slot 0 n n n n ..., aligned
 *
 * and what it makes of them is copied back. A row wider than a block goes in parts.
 */
#define BLOCK_ELEMENTS ((size_t)512)

struct block {
    float vectors[1 + MU_SLOTS_MAX][BLOCK_ELEMENTS];
    float gradients[BLOCK_ELEMENTS];
} __attribute__((aligned(64)));

/* Elements [first, first + count) of every row from row `row` on, `row_count` of them. */
struct part {
    size_t row, row_count, first, count;
};

static void copy_in(
    struct block *block, const struct mu_optim_rows *rows, int vectors, const struct part *part)
{
    for (size_t i = 0; i < part->row_count; i++) {
        size_t row = part->row + i, at = i * part->count;
        const float *from = rows->row[row] + part->first;
        for (int v = 0; v < vectors; v++, from += rows->width)
            memcpy(block->vectors[v] + at, from, part->count * sizeof(float));
        memcpy(block->gradients + at, rows->gradients + row * rows->width + part->first,
            part->count * sizeof(float));
    }
}

static void copy_out(const struct block *block, const struct mu_optim_rows *rows, int vectors,
    const struct part *part)
{
    for (size_t i = 0; i < part->row_count; i++) {
        float *to = rows->row[part->row + i] + part->first;
        for (int v = 0; v < vectors; v++, to += rows->width)
            memcpy(to, block->vectors[v] + i * part->count, part->count * sizeof(float));
    }
}

static void step_part(const struct mu_optimizer_ops *optimizer, const void *options,
    const struct mu_optim_rows *rows, const struct part *part)
{
    struct block block;
    int vectors = 1 + optimizer->slot_count;
    struct mu_optim_step step = {
        .count = part->row_count * part->count,
        .parameters = block.vectors[0],
        .gradients = block.gradients,
        .learning_rate = rows->learning_rate,
        .weight_decay = rows->weight_decay,
        .gradient_scale = rows->gradient_scale,
        .step = rows->step,
    };
    assert(step.count <= BLOCK_ELEMENTS);
    for (int i = 0; i < optimizer->slot_count; i++)
        step.slots[i] = block.vectors[1 + i];
    copy_in(&block, rows, vectors, part);
    optimizer->step(options, &step);
    copy_out(&block, rows, vectors, part);
}

static size_t at_most(size_t count, size_t most)
{
    return count < most ? count : most;
}

void mu_optim_step_rows(
    const struct mu_optimizer_ops *optimizer, const void *options, const struct mu_optim_rows *rows)
{
    assert(rows->width > 0);
    assert(optimizer->slot_count >= 0 && optimizer->slot_count <= MU_SLOTS_MAX);
    if (optimizer->step_rows) {
        optimizer->step_rows(options, rows);
        return;
    }
    size_t rows_at_once = rows->width < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / rows->width : 1;
    struct part part;
    for (part.row = 0; part.row < rows->count; part.row += part.row_count) {
        part.row_count = at_most(rows->count - part.row, rows_at_once);
        for (part.first = 0; part.first < rows->width; part.first += part.count) {
            part.count = at_most(rows->width - part.first, BLOCK_ELEMENTS);
            step_part(optimizer, options, rows, &part);
        }
    }
}
