/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/load.h"
#include <assert.h>

static const struct {
    const char *name;
    bool grows;
} rows[] = {
#define MU_LOAD_TEXT(name, text, grows) [MU_LOAD_##name] = {text, grows},
    MU_LOAD_ROWS(MU_LOAD_TEXT)
#undef MU_LOAD_TEXT
};

const char *mu_load_name(enum mu_load_row row)
{
    assert(row < MU_LOAD_COUNT);
    return rows[row].name;
}

bool mu_load_grows(enum mu_load_row row)
{
    assert(row < MU_LOAD_COUNT);
    return rows[row].grows;
}

double mu_load_balance(const struct mu_load *loads, int count, enum mu_load_row row)
{
    int64_t most = 0;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        int64_t value = loads[i].value[row];
        most = value > most ? value : most;
        sum += (double)value;
    }
    return sum > 0 ? (double)most * count / sum : 0;
}
