/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_JSON_SCAN_H
#define MU_BASE_JSON_SCAN_H

#include <stddef.h>

/*
 * Steps through JSON text without reading it. Every function takes a position and returns the one
 * after what it names, at most `bytes`; on text that is not JSON they still end, somewhere.
 */
size_t mu_json_scan_space(const char *text, size_t bytes, size_t at);
size_t mu_json_scan_string(const char *text, size_t bytes, size_t at); /* `at` is on the quote */
size_t mu_json_scan_value(const char *text, size_t bytes, size_t at);

/* The position of the first bracket that opens more than `depth_max` levels, or `bytes`. */
size_t mu_json_scan_depth(const char *text, size_t bytes, int depth_max);

/* How much there is in a text: its tree takes some hundred bytes a token. */
struct mu_json_extent {
    size_t tokens;    /* keys and values, a container being one */
    size_t widest;    /* children of the container that has the most */
    size_t widest_at; /* position of its bracket */
};
void mu_json_scan_extent(const char *text, size_t bytes, struct mu_json_extent *ret_extent);

/* The path of the value that stands at `offset`, as in "cluster.worker[1]": of the innermost one
 * that has begun there. "" at the root. What does not fit is left out. */
void mu_json_scan_path(const char *text, size_t bytes, size_t offset, char *out, size_t out_bytes);

#endif
