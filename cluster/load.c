/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/load.h"
#include <assert.h>
#include <math.h>

static const struct {
    const char *name;
    bool has_rate;
} rows[] = {
#define MU_LOAD_TEXT(name, text, has_rate) [MU_LOAD_##name] = {text, has_rate},
    MU_LOAD_ROWS(MU_LOAD_TEXT)
#undef MU_LOAD_TEXT
};

const char *mu_load_name(enum mu_load_row row)
{
    assert(row < MU_LOAD_COUNT);
    return rows[row].name;
}

bool mu_load_has_rate(enum mu_load_row row)
{
    assert(row < MU_LOAD_COUNT);
    return rows[row].has_rate;
}

double mu_load_balance(const int64_t *values, int count)
{
    int64_t most = 0;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        most = values[i] > most ? values[i] : most;
        sum += (double)values[i];
    }
    return sum > 0 ? (double)most * count / sum : (double)NAN;
}
