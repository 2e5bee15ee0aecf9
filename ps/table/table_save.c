/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_save.h"
#include "runtime/base/crc32c.h"
#include <stdlib.h>
#include <string.h>

#define RADIX 256
#define INSERTION_COUNT_MAX 32

static void sort_few(struct mu_table_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct mu_table_entry entry = entries[i];
        size_t at = i;
        for (; at > 0 && entries[at - 1].id > entry.id; at--)
            entries[at] = entries[at - 1];
        entries[at] = entry;
    }
}

static size_t digit(const struct mu_table_entry *entry, int shift)
{
    return entry->id >> shift & (RADIX - 1);
}

/* Every entry to the bucket of its digit; ret_end: where the buckets end. */
static void scatter(struct mu_table_entry *entries, size_t count, int shift, size_t ret_end[RADIX])
{
    size_t next[RADIX], tally[RADIX] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        tally[digit(&entries[i], shift)]++;
    for (size_t d = 0; d < RADIX; d++) {
        next[d] = sum;
        ret_end[d] = sum += tally[d];
    }
    for (size_t d = 0; d < RADIX; d++)
        while (next[d] < ret_end[d]) {
            struct mu_table_entry *here = &entries[next[d]];
            size_t home = digit(here, shift);
            struct mu_table_entry *there = &entries[next[home]++];
            struct mu_table_entry swapped = *there;
            *there = *here;
            *here = swapped;
        }
}

/* By the digit at `shift` and then the lower ones, in place ("American flag", McIlroy et al. 1993):
 * a table that fills the memory has no room for its ids a second time. */
static void sort(struct mu_table_entry *entries, size_t count, int shift)
{
    if (count <= INSERTION_COUNT_MAX) {
        sort_few(entries, count);
        return;
    }
    size_t end[RADIX];
    scatter(entries, count, shift, end);
    for (size_t d = 0; shift > 0 && d < RADIX; d++) {
        size_t first = d == 0 ? 0 : end[d - 1];
        sort(entries + first, end[d] - first, shift - 8);
    }
}

void mu_table_sort(struct mu_table_entry *entries, size_t count)
{
    sort(entries, count, 56);
}

static struct mu_table_entry *list(const struct mu_table *table, struct mu_table_entry *entries)
{
    size_t place = 0;
    while ((entries->row = mu_table_next(table, &place, &entries->id)))
        entries++;
    return entries;
}

/* With one place more, which ends the last list. */
static enum mu_status sorted(const struct mu_table *const tables[], int table_count,
    size_t *ret_count, struct mu_table_entry **ret_entries)
{
    size_t count = 0;
    for (int i = 0; i < table_count; i++)
        count += mu_table_count(tables[i]).rows;
    struct mu_table_entry *entries = malloc((count + 1) * sizeof(*entries)), *end = entries;
    if (!entries)
        return MU_NO_MEMORY;
    for (int i = 0; i < table_count; i++)
        end = list(tables[i], end);
    mu_table_sort(entries, count);
    *ret_count = count;
    *ret_entries = entries;
    return MU_OK;
}

enum mu_status mu_table_sorted(const struct mu_table *table, struct mu_table_entry **ret_entries)
{
    size_t count = mu_table_count(table).rows;
    *ret_entries = NULL;
    return count > 0 ? sorted(&table, 1, &count, ret_entries) : MU_OK;
}

enum mu_status mu_tables_crc32c(
    const struct mu_table *const tables[], int table_count, uint32_t *crc)
{
    struct mu_table_entry *entries;
    size_t count, bytes = mu_table_width(tables[0]) * sizeof(float);
    MU_TRY(sorted(tables, table_count, &count, &entries));
    for (size_t i = 0; i < count; i++)
        *crc = mu_crc32c(*crc, &entries[i].id, sizeof(entries[i].id));
    for (size_t i = 0; i < count; i++)
        *crc = mu_crc32c(*crc, entries[i].row, bytes);
    free(entries);
    return MU_OK;
}

enum mu_status mu_table_crc32c(const struct mu_table *table, uint32_t *crc)
{
    return mu_tables_crc32c(&table, 1, crc);
}

enum mu_status mu_table_put(struct mu_table *table, uint64_t id, const float *row)
{
    float *there;
    MU_TRY(mu_table_rows(table, &id, 1, &there));
    memcpy(there, row, mu_table_stride(table) * sizeof(float));
    return MU_OK;
}
