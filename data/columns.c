/* SPDX-License-Identifier: Apache-2.0 */
#include "data/columns.h"

#include <stdbool.h>

/* A column's number; false if there is none below MU_COLUMNS_MAX. */
static bool take_number(const char **at, size_t *ret_number)
{
    size_t number = 0;
    if ((unsigned char)(**at - '0') > 9)
        return false;
    for (; (unsigned char)(**at - '0') <= 9; (*at)++) {
        number = 10 * number + (size_t)(**at - '0');
        if (number >= MU_COLUMNS_MAX)
            return false;
    }
    *ret_number = number;
    return true;
}

static enum mu_status wrong_list(struct mu_log *log, const char *option, const char *text)
{
    return mu_fail(log, MU_E0203, "1-13,20 is the second column to the fourteenth, and one more",
        "%s is `%s`: expected columns, 0 to %d, and ranges of them", option, text,
        MU_COLUMNS_MAX - 1);
}

static enum mu_status use_column(struct mu_columns *columns, struct mu_log *log, const char *option,
    size_t column, enum mu_column_use use)
{
    if (columns->use[column] != MU_COLUMN_UNUSED)
        return mu_fail(log, MU_E0203, "a column is the label, a number or a category",
            "%s: column %zu is used twice", option, column);
    columns->use[column] = (uint8_t)use;
    columns->numeric_count += use == MU_COLUMN_NUMERIC;
    columns->category_count += use == MU_COLUMN_CATEGORY;
    columns->used = column >= columns->used ? column + 1 : columns->used;
    return MU_OK;
}

enum mu_status mu_columns_add(struct mu_columns *columns, struct mu_log *log, const char *option,
    const char *text, enum mu_column_use use)
{
    for (const char *at = text; *at != '\0';) {
        size_t first, last;
        if (!take_number(&at, &first))
            return wrong_list(log, option, text);
        last = first;
        if (*at == '-' && (at++, !take_number(&at, &last) || last < first))
            return wrong_list(log, option, text);
        for (size_t column = first; column <= last; column++)
            MU_TRY(use_column(columns, log, option, column, use));
        if (*at == ',' ? *++at == '\0' : *at != '\0')
            return wrong_list(log, option, text);
    }
    return MU_OK;
}
