/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_OPTIONS_H
#define MU_BASE_OPTIONS_H

#include "muster/option.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

/* Fills the struct with the rows' defaults; required fields become zeros. */
void mu_options_defaults(const struct mu_option *rows, void *options);

/*
 * Fills the struct from a JSON object: defaults first, then its members. Unknown keys (nearest name
 * suggested), wrong types and values out of range are MU_E0202 / MU_E0203 with place and range; a
 * required row that is absent is MU_E0203. `path` leads to the object in the document
 * ("optimizer"); `object` may be NULL: only defaults. Keys named in `also` (NULL-terminated, may be
 * NULL) are accepted and left to the caller ("kind").
 */
enum mu_status mu_options_read(struct mu_log *log, const struct mu_json *json,
    const mu_json_value *object, const char *path, const struct mu_option *rows,
    const char *const also[], void *options);

/* Sets one row's field from text, as typed on a command line: USAGE (MU_E0001) naming `flag`, the
 * range and what was typed. */
enum mu_status mu_options_set(struct mu_log *log, const char *flag, const struct mu_option *row,
    const char *text, void *options);

const struct mu_option *mu_options_find(const struct mu_option *rows, const char *name);
/* "1 to 65535", "one of a, b or c", "" */
void mu_options_range(const struct mu_option *row, char *out, size_t bytes);
/* A line a row: name, type, range, default, doc; what `--help` and the man page print. */
void mu_options_describe(const struct mu_option *rows, struct mu_text *out);
/* The struct back as JSON members ("rate":0.05,...), every row, in row order, without braces. */
void mu_options_write(const struct mu_option *rows, const void *options, struct mu_text *out);
/* Of one row, only its value. */
void mu_options_write_one(const struct mu_option *row, const void *options, struct mu_text *out);

#endif
