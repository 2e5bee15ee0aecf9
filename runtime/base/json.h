/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_JSON_H
#define MU_BASE_JSON_H

#include "runtime/base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * JSON text in, values that know their place in the text. The parser underneath is jansson; it
 * rejects duplicate keys, text after the value, invalid UTF-8 and NUL in strings. Text is refused
 * before it is parsed when it is longer than MU_JSON_BYTES_MAX or nests deeper than
 * MU_JSON_DEPTH_MAX.
 */
#define MU_JSON_BYTES_MAX (1 << 20)
#define MU_JSON_DEPTH_MAX 32

enum mu_json_type {
    MU_JSON_NULL,
    MU_JSON_BOOL,
    MU_JSON_INTEGER,
    MU_JSON_REAL,
    MU_JSON_STRING,
    MU_JSON_ARRAY,
    MU_JSON_OBJECT
};

struct mu_json;             /* a document, on the heap; it keeps a copy of its text */
typedef void mu_json_value; /* a value in it; borrowed */

/* `source` names the text in messages ("$TF_CONFIG"). Says what is wrong and where under `error`
 * (MU_E0102 for specs, MU_E0201 for jobs, ...) and returns that error's status. */
enum mu_status mu_json_parse(struct mu_log *log, enum mu_error error, const char *source,
    const char *text, size_t bytes, struct mu_json **ret_json);
/* The same from a file; a file that cannot be read is MU_E0002 (NO_INPUT). */
enum mu_status mu_json_read(
    struct mu_log *log, enum mu_error error, const char *path, struct mu_json **ret_json);
/* Only the text of a file, to be freed: as much as a document may have, and one byte more. */
enum mu_status mu_json_read_text(
    struct mu_log *log, const char *path, char **ret_text, size_t *ret_bytes);
void mu_json_destroy(struct mu_json *json); /* takes NULL */

const mu_json_value *mu_json_root(const struct mu_json *json);
const char *mu_json_source(const struct mu_json *json);

enum mu_json_type mu_json_type(const mu_json_value *value);
const char *mu_json_type_name(enum mu_json_type type); /* "a string", "an object" */
bool mu_json_bool(const mu_json_value *value);         /* these assert the type */
int64_t mu_json_integer(const mu_json_value *value);
double mu_json_real(const mu_json_value *value); /* REAL or INTEGER */
const char *mu_json_string(const mu_json_value *value);
size_t mu_json_count(const mu_json_value *value); /* elements of an array or keys of an object */
const mu_json_value *mu_json_element(const mu_json_value *array, size_t index);
/* NULL where the object has no such key. */
const mu_json_value *mu_json_member(const mu_json_value *object, const char *key);
/* The members in the order of the text: 0 <= index < count. */
const char *mu_json_key(const mu_json_value *object, size_t index);
const mu_json_value *mu_json_member_at(const mu_json_value *object, size_t index);

/*
 * Where the value lies that `path` leads to from the root: steps are ".key" and "[index]", as in
 * "cluster.worker[1]"; "" is the root. `of_key` gives the place of the key instead of the value.
 * What mu_json_set has set lies in "--set section.key=value". Falls back to the start of the text.
 */
struct mu_place mu_json_place(const struct mu_json *json, const char *path, bool of_key);

/* Sets the value at "section.key" to what `value` says: JSON if it parses as JSON, else a string.
 * Sections that are not there are made. USAGE if the
 * path is malformed or runs through something that is not an object. */
enum mu_status mu_json_set(
    struct mu_log *log, struct mu_json *json, const char *path, const char *value);

/* The text that mu_json_set was last given for just this path: where a string is wanted, 2024 typed
 * on a command line is one. NULL: the value has not come from there. */
const char *mu_json_typed(const struct mu_json *json, const char *path);

/* One line, keys sorted, no spaces: equal values give equal text. */
struct mu_text;
void mu_json_write_canonical(const mu_json_value *value, struct mu_text *out);
/* Indented by two, keys in the order of the text, a newline at the end. */
void mu_json_write_pretty(const mu_json_value *value, struct mu_text *out);

#endif
