/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/errors.h"

struct error_row {
    int number;
    enum mu_status status;
    const char *doc;
};

/* The 1 in front keeps 0104 from being read as octal. */
#define ERROR_ROW(number, status, doc) {1##number - 10000, MU_##status, doc},
static const struct error_row error_rows[] = {MU_ERROR_ROWS(ERROR_ROW)};
#undef ERROR_ROW

static const struct error_row *row_of(enum mu_error error)
{
    assert((unsigned)error < MU_ERROR_COUNT);
    return &error_rows[error];
}

int mu_error_number(enum mu_error error)
{
    return row_of(error)->number;
}

enum mu_status mu_error_status(enum mu_error error)
{
    return row_of(error)->status;
}

const char *mu_error_doc(enum mu_error error)
{
    return row_of(error)->doc;
}

bool mu_error_find(int64_t number, enum mu_error *ret_error)
{
    for (int error = 0; error < MU_ERROR_COUNT; error++)
        if (error_rows[error].number == number) {
            *ret_error = (enum mu_error)error;
            return true;
        }
    return false;
}
