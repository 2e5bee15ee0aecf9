/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/status.h"
#include <signal.h>

struct status_row {
    const char *name, *text;
    int exit_code;
};

#define STATUS_ROW(name, exit_code, text) {#name, text, exit_code},
static const struct status_row status_rows[] = {MU_STATUS_ROWS(STATUS_ROW)};
#undef STATUS_ROW

static_assert(MU_COUNT_OF(status_rows) == MU_STATUS_COUNT, "a row for every status");

static const struct status_row *row_of(enum mu_status status)
{
    assert((unsigned)status < MU_STATUS_COUNT);
    return &status_rows[status];
}

const char *mu_status_name(enum mu_status status)
{
    return row_of(status)->name;
}

const char *mu_status_text(enum mu_status status)
{
    return row_of(status)->text;
}

int mu_status_exit(enum mu_status status)
{
    return row_of(status)->exit_code;
}

const char *mu_status_exit_text(int code)
{
    for (int status = 0; status < MU_STATUS_COUNT; status++)
        if (mu_status_exit((enum mu_status)status) == code)
            return mu_status_text((enum mu_status)status);
    return code > 128 && code <= 128 + SIGRTMAX ? "ended by a signal" : "not a code of muster";
}
