/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_SAVE_H
#define MU_PS_TABLE_SAVE_H

#include "ps/table/table.h"

/* What a checkpoint of a table needs: its rows by id, so that equal tables give equal files
 * whatever the order of their creation, and a way to put them back. */
struct mu_table_entry {
    uint64_t id;
    const float *row; /* (stride), the table's own */
};

/* All rows, in the order of their ids, as mu_table_count counts them; free() them. They are valid
 * until a row is created or leaves. NULL with OK: there is no row. */
enum mu_status mu_table_sorted(
    const struct mu_table *table, struct mu_table_entry **ret_entries); /* NO_MEMORY */
/* By id. */
void mu_table_sort(struct mu_table_entry *entries, size_t count);
/* Goes on from *crc over all ids, in their order, and then over the parameters of all rows; slots
 * are left out. NO_MEMORY. */
enum mu_status mu_table_crc32c(const struct mu_table *table, uint32_t *crc);
/* The same of several tables as if they were one: no id is in two. */
enum mu_status mu_tables_crc32c(const struct mu_table *const tables[], int count, uint32_t *crc);
/* A row with its slots: created or overwritten. Where the rows are limited, others may leave. */
enum mu_status mu_table_put(struct mu_table *table, uint64_t id, const float *row); /* NO_MEMORY */

#endif
