/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options_value.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHOICES_MAX 32

/* ---- what a row allows ---- */

static const char *name_type(enum mu_option_type type)
{
    static const char *const names[] = {
        "true or false", "an integer", "a number", "a string", "a string", "a list of integers"};
    return names[type];
}

/* The next of "a|b|c", its length in *bytes; NULL at the end. Start with NULL. */
static const char *next_choice(const char *choices, const char *choice, size_t *bytes)
{
    if (choice) {
        choices = choice + *bytes;
        if (*choices++ == '\0')
            return NULL;
    }
    *bytes = strcspn(choices, "|");
    return choices;
}

static int choice_index(const char *choices, const char *text)
{
    size_t bytes = 0;
    int index = 0;
    for (const char *at = NULL; (at = next_choice(choices, at, &bytes)); index++) {
        if (strlen(text) == bytes && memcmp(at, text, bytes) == 0)
            return index;
    }
    return -1;
}

void mu_options_value_choice(const char *choices, int index, char *out, size_t out_bytes)
{
    size_t bytes = 0;
    const char *at = next_choice(choices, NULL, &bytes);
    while (at && index-- > 0)
        at = next_choice(choices, at, &bytes);
    assert(at);
    mu_format(out, out_bytes, "%.*s", (int)bytes, at);
}

static void describe_choices(const char *choices, struct mu_text *out)
{
    size_t bytes = 0;
    mu_text_add(out, "one of ");
    for (const char *at = NULL; (at = next_choice(choices, at, &bytes));) {
        bool last = at[bytes] == '\0';
        const char *separator = at == choices ? "" : last ? " or " : ", ";
        mu_text_add(out, "%s%.*s", separator, (int)bytes, at);
    }
}

static bool has_range(const struct mu_option *row)
{
    return row->min != 0 || row->max != 0;
}

void mu_options_value_range(const struct mu_option *row, struct mu_text *out)
{
    if (row->type == MU_OPTION_CHOICE) {
        describe_choices(row->choices, out);
    } else if (has_range(row)) {
        /* A bound that no value can reach is none. */
        bool below = row->min > -9e18, above = row->max < 9e18;
        if (below && !above)
            mu_text_add(out, "at least ");
        if (below)
            mu_text_add_double(out, row->min);
        mu_text_add(out, below && above ? " to " : above ? "at most " : "");
        if (above)
            mu_text_add_double(out, row->max);
    }
}

/* The nearest by edit distance, as in mu_text_nearest. */
void mu_options_value_nearest(const char *choices, const char *text, char *out, size_t out_bytes)
{
    char name[CHOICES_MAX][MU_CHOICE_BYTES_MAX];
    const char *names[CHOICES_MAX];
    size_t bytes = 0, count = 0;
    for (const char *at = NULL; count < CHOICES_MAX && (at = next_choice(choices, at, &bytes));) {
        mu_format(name[count], sizeof(name[count]), "%.*s", (int)bytes, at);
        names[count] = name[count];
        count++;
    }
    const char *nearest = mu_text_nearest(text, names, count);
    mu_text_copy(out, out_bytes, nearest ? nearest : "");
}

/* ---- values ---- */

__attribute__((format(printf, 2, 3))) static bool complain(
    struct mu_complaint *complaint, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(complaint->expected, sizeof(complaint->expected), format, list);
    va_end(list);
    return false;
}

/* "an integer, 1 to 65535" */
bool mu_options_value_expected(struct mu_complaint *complaint, const struct mu_option *row)
{
    char range[MU_RANGE_BYTES_MAX];
    mu_options_range(row, range, sizeof(range));
    if (row->type == MU_OPTION_CHOICE)
        return complain(complaint, "%s", range);
    if (row->choices)
        return complain(complaint, "%s, %s, or %s", name_type(row->type), range, row->choices);
    const char *each = row->type == MU_OPTION_INTEGERS ? "each " : "";
    if (range[0] == '\0')
        return complain(complaint, "%s", name_type(row->type));
    return complain(complaint, "%s, %s%s", name_type(row->type), each, range);
}

static bool in_range(const struct mu_option *row, double value)
{
    return !has_range(row) || (value >= row->min && value <= row->max);
}

bool mu_options_value_integer(
    const struct mu_option *row, int64_t value, void *field, struct mu_complaint *complaint)
{
    if (!in_range(row, (double)value))
        return mu_options_value_expected(complaint, row);
    memcpy(field, &value, sizeof(value));
    return true;
}

bool mu_options_value_word(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint)
{
    const int64_t integer = -1;
    const double real = -1;
    if (!row->choices || strcmp(value, row->choices) != 0)
        return mu_options_value_expected(complaint, row);
    if (row->type == MU_OPTION_REAL)
        memcpy(field, &real, sizeof(real));
    else
        memcpy(field, &integer, sizeof(integer));
    return true;
}

bool mu_options_value_real(
    const struct mu_option *row, double value, void *field, struct mu_complaint *complaint)
{
    if (!isfinite(value) || !in_range(row, value))
        return mu_options_value_expected(complaint, row);
    value = value == 0 ? 0 : value; /* JSON text has no real -0 to write it as */
    memcpy(field, &value, sizeof(value));
    return true;
}

bool mu_options_value_string(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint)
{
    if (strlen(value) >= row->bytes)
        return complain(complaint, "at most %zu bytes", row->bytes - 1);
    mu_text_copy(field, row->bytes, value);
    return true;
}

bool mu_options_value_choose(
    const struct mu_option *row, const char *value, void *field, struct mu_complaint *complaint)
{
    int index = choice_index(row->choices, value);
    if (index < 0)
        return mu_options_value_expected(complaint, row);
    memcpy(field, &index, sizeof(index));
    return true;
}

bool mu_options_value_append(const struct mu_option *row, int64_t value,
    struct mu_integers *integers, struct mu_complaint *complaint)
{
    if (integers->count == MU_INTEGERS_MAX)
        return complain(complaint, "at most %d integers", MU_INTEGERS_MAX);
    return mu_options_value_integer(row, value, &integers->value[integers->count++], complaint);
}

/* ---- from text ---- */

static bool text_to_bool(const char *text, bool *ret_value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < MU_COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_value = i % 2 != 0;
            return true;
        }
    }
    return false;
}

/* "784,128,10", "[784, 128, 10]", "" */
static bool set_integers_text(
    const struct mu_option *row, const char *text, void *field, struct mu_complaint *complaint)
{
    struct mu_integers integers = {.count = 0};
    bool bracket = *text == '[';
    text += bracket;
    const char *end = text + strcspn(text, "]");
    if (end[0] != (bracket ? ']' : '\0') || (bracket && end[1] != '\0'))
        return mu_options_value_expected(complaint, row);
    while (text < end) {
        char number[24];
        size_t bytes = strcspn(text, ",]");
        int64_t value;
        mu_text_copy(number, bytes < sizeof(number) ? bytes + 1 : sizeof(number), text);
        if (bytes >= sizeof(number) || !mu_text_to_int64(number, &value))
            return mu_options_value_expected(complaint, row);
        if (!mu_options_value_append(row, value, &integers, complaint))
            return false;
        text += bytes;
        if (*text == ',') {
            text += 1 + strspn(text + 1, " ");
            if (text == end)
                return mu_options_value_expected(complaint, row);
        }
    }
    memcpy(field, &integers, sizeof(integers));
    return true;
}

bool mu_options_value_text(
    const struct mu_option *row, const char *text, void *field, struct mu_complaint *complaint)
{
    int64_t integer;
    double real;
    switch (row->type) {
    case MU_OPTION_BOOL:
        if (text_to_bool(text, field))
            return true;
        break;
    case MU_OPTION_INTEGER:
        if (mu_text_to_int64(text, &integer))
            return mu_options_value_integer(row, integer, field, complaint);
        return mu_options_value_word(row, text, field, complaint);
    case MU_OPTION_REAL:
        if (mu_text_to_double(text, &real))
            return mu_options_value_real(row, real, field, complaint);
        return mu_options_value_word(row, text, field, complaint);
    case MU_OPTION_STRING:
        return mu_options_value_string(row, text, field, complaint);
    case MU_OPTION_CHOICE:
        return mu_options_value_choose(row, text, field, complaint);
    case MU_OPTION_INTEGERS:
        return set_integers_text(row, text, field, complaint);
    }
    return mu_options_value_expected(complaint, row);
}
