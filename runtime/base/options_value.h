/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_OPTIONS_VALUE_H
#define MU_BASE_OPTIONS_VALUE_H

#include "runtime/base/options.h"

/* What options.c and options_read.c share: one value, checked against its row. */
#define MU_RANGE_BYTES_MAX 256
#define MU_CHOICE_BYTES_MAX 64

/* What would have been right: "an integer, 1 to 65535". Written by a setter that refuses. */
struct mu_complaint {
    char expected[MU_RANGE_BYTES_MAX + 64];
};

bool mu_options_value_expected(struct mu_complaint *complaint, const struct mu_option *row);

void mu_options_value_range(const struct mu_option *row, struct mu_text *out);

/* A choice's text, and the nearest choice to a wrong one ("" if none is near). */
void mu_options_value_choice(const char *choices, int index, char *out, size_t bytes);
void mu_options_value_nearest(const char *choices, const char *text, char *out, size_t bytes);

static inline void *mu_options_value_field(const struct mu_option *row, void *options)
{
    return (char *)options + row->offset;
}

/* Each puts the value into `field` and returns true, or leaves it, complains and returns false. */
bool mu_options_value_integer(
    const struct mu_option *row, int64_t value, void *field, struct mu_complaint *complaint);
/* The word of a row of numbers that has one. */
bool mu_options_value_word(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint);
bool mu_options_value_real(
    const struct mu_option *row, double value, void *field, struct mu_complaint *complaint);
bool mu_options_value_string(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint);
bool mu_options_value_choose(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint);
bool mu_options_value_append(const struct mu_option *row, int64_t value,
    struct mu_integers *integers, struct mu_complaint *complaint);
/* A value of any type as typed. */
bool mu_options_value_text(
    const struct mu_option *row, const char *text, void *field, struct mu_complaint *complaint);

#endif
