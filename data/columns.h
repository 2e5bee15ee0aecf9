/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_COLUMNS_H
#define MU_DATA_COLUMNS_H

#include "runtime/base/log.h"
#include <stdint.h>

/* What each column of a table is for. */
#define MU_COLUMNS_MAX 1024

enum mu_column_use { MU_COLUMN_UNUSED, MU_COLUMN_LABEL, MU_COLUMN_NUMERIC, MU_COLUMN_CATEGORY };

struct mu_columns {
    uint8_t use[MU_COLUMNS_MAX]; /* enum mu_column_use */
    size_t numeric_count, category_count;
    size_t used; /* one more than the last that is not unused */
};

/* `text` is "1-13,20": these columns, from 0, get this use. MU_E0203 naming `option`: it is no such
 * list, or a column has two uses. */
enum mu_status mu_columns_add(struct mu_columns *columns, struct mu_log *log, const char *option,
    const char *text, enum mu_column_use use);

#endif
