/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_BASE_OPTION_ROWS_H
#define MU_TEST_BASE_OPTION_ROWS_H

#include "runtime/base/options.h"

/* A driver's options with one row of every type, for the tests of options. */
struct sample {
    bool nesterov;
    int64_t batch;
    double rate;
    char path[16];
    int kind;
    struct mu_integers widths;
    int64_t any;
};

static const struct mu_option sample_rows[] = {
    {"nesterov", MU_OPTION_BOOL, offsetof(struct sample, nesterov), 0, 0, 0, "false", NULL,
        "look ahead"},
    {"batch", MU_OPTION_INTEGER, offsetof(struct sample, batch), 0, 1, 65536, "64", NULL,
        "samples a step and worker"},
    {"learning_rate", MU_OPTION_REAL, offsetof(struct sample, rate), 0, 0, 10, "0.05", NULL,
        "step size"},
    {"path", MU_OPTION_STRING, offsetof(struct sample, path), sizeof(((struct sample *)0)->path), 0,
        0, NULL, NULL, "the folder of the files"},
    {"kind", MU_OPTION_CHOICE, offsetof(struct sample, kind), 0, 0, 0, "cosine",
        "constant|cosine|step", "how the rate falls"},
    {"widths", MU_OPTION_INTEGERS, offsetof(struct sample, widths), 0, 1, 1e6, "784,128,10", NULL,
        "units a layer"},
    {"any", MU_OPTION_INTEGER, offsetof(struct sample, any), 0, 0, 0, "0", NULL, "anything"},
    {0},
};

#endif
