/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_ROWS_RIG_H
#define MU_TEST_ROWS_RIG_H

#include "roles/checkpoint/checkpoint.h"
#include "test.h"

/* Rows that can be told from one another, of a model without dense parameters: row n has id
 * 10 n + 7, its parameters and slots follow from n. */
#define WIDTH 3
#define SLOTS 2
#define STRIDE (WIDTH * (1 + SLOTS))

static inline uint64_t rig_id(uint64_t n)
{
    return 10 * n + 7;
}

static inline void rig_row(uint64_t n, float *row)
{
    for (size_t i = 0; i < STRIDE; i++)
        row[i] = (float)n + (float)i / 16;
}

/* The i-th of `count` rows in an order that is not that of their ids. */
static inline uint64_t rig_shuffled(uint64_t i, uint64_t count)
{
    return i % 2 == 0 ? i / 2 : count - 1 - i / 2;
}

static inline const float *rig_next_row(void *owner, uint64_t *ret_id)
{
    static float row[STRIDE];
    uint64_t *n = owner;
    *ret_id = rig_id(*n);
    rig_row((*n)++, row);
    return row;
}

/* All of them in memory, sorted. */
static inline void rig_fill(struct mu_saved_rows *rows, size_t count)
{
    uint64_t n = 0;
    const struct mu_row_reader reader = {.count = count, .next = rig_next_row, .owner = &n};
    *rows = (struct mu_saved_rows){.width = WIDTH, .slot_count = SLOTS};
    assert_ok(mu_saved_rows_fill(rows, &reader));
}

/* `layout` is empty. A slot's tensor comes before that of the parameters, the other after it. */
static inline struct mu_snapshot rig_snapshot(const struct mu_layout *layout)
{
    return (struct mu_snapshot){.run = "r",
        .model = "linear",
        .optimizer = "ftrl",
        .layout = layout,
        .slot_count = SLOTS,
        .slot_names = {"z", "n"}};
}

/* Have both stores the same bytes in the entry of this step? */
static inline void rig_expect_same(
    struct mu_store *one, struct mu_store *other, struct mu_log *log, int64_t step)
{
    static const char *const names[] = {
        MU_CHECKPOINT_MODEL, MU_CHECKPOINT_OPTIMIZER, MU_CHECKPOINT_EMBEDDING, MU_MANIFEST_NAME};
    for (size_t i = 0; i < MU_COUNT_OF(names); i++) {
        void *a, *b;
        size_t a_bytes, b_bytes;
        assert_ok(one->ops->get(one, log, step, names[i], 1 << 28, &a, &a_bytes));
        assert_ok(other->ops->get(other, log, step, names[i], 1 << 28, &b, &b_bytes));
        assert_int_equal(a_bytes, b_bytes);
        assert_memory_equal(a, b, a_bytes);
        free(a);
        free(b);
    }
}

#endif
