/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_TEXT_H
#define MU_BASE_TEXT_H

#include "runtime/base/status.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A text that grows on the heap (init/finish). Running out of memory is remembered in `failed` and
 * asked for once, at the end; `data` is then still a valid, shorter text.
 */
struct mu_text {
    char *data; /* NUL-terminated; "" when empty */
    size_t bytes, capacity;
    bool failed;
};

void mu_text_init(struct mu_text *text);
void mu_text_finish(struct mu_text *text);
void mu_text_clear(struct mu_text *text); /* keeps the memory */
void mu_text_append(struct mu_text *text, const char *data, size_t bytes);
__attribute__((format(printf, 2, 3))) void mu_text_add(
    struct mu_text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void mu_text_add_v(
    struct mu_text *text, const char *format, va_list list);
/* As a JSON string, quotes included; invalid UTF-8 becomes U+FFFD. */
void mu_text_add_json_string(struct mu_text *text, const char *string);
/* The shortest decimal that reads back as the same double; nan and infinity become null. */
void mu_text_add_double(struct mu_text *text, double value);

/* snprintf that asserts that it fitted. */
__attribute__((format(printf, 3, 4))) void mu_format(
    char *out, size_t bytes, const char *format, ...);
/* Copies as much as fits, cut at a UTF-8 boundary, always terminated. */
void mu_text_copy(char *out, size_t bytes, const char *text);

/* Edit distance (Damerau-Levenshtein, optimal string alignment), at most `most` + 1. */
int mu_text_distance(const char *a, const char *b, int most);
/* The nearest of `count` names within distance 2 (1 for names of up to 3 letters), or NULL. */
const char *mu_text_nearest(const char *name, const char *const names[], size_t count);

bool mu_text_is_utf8(const char *data, size_t bytes);
/* Bytes of the UTF-8 character at the start of `data`, 1 to 4; 0 if there is no valid one. */
int mu_text_utf8_bytes(const char *data, size_t bytes);
/* "3.5 s", "420 ms", "1m12s", "2h03m" */
void mu_text_duration(char *out, size_t bytes, int64_t ns);
/* "812 B", "4.0 KiB", "2.7 MiB" */
void mu_text_bytes(char *out, size_t bytes, uint64_t count);
/* "2026-11-21T22:40:01.123Z" */
void mu_text_time(char *out, size_t bytes, int64_t wall_ns);

/* The whole string as a number; false if it is not one (empty, trailing bytes, out of range,
 * nan). */
bool mu_text_to_int64(const char *string, int64_t *ret_value);
bool mu_text_to_double(const char *string, double *ret_value);

/* Names of runs, tensors and tasks that become paths: [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
bool mu_text_is_name(const char *name);

#endif
