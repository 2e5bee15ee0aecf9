/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_JSON_INSIDE_H
#define MU_BASE_JSON_INSIDE_H

#include "runtime/base/json.h"
#include <jansson.h>

#define MU_JSON_PARSE_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

/*
 * A value in the index that is made beside jansson's tree: jansson reaches a member by its number
 * only step by step, and keeps no places. An mu_json_value is one of these.
 */
struct mu_json_node {
    const json_t *json;
    const char *key; /* NULL for elements and the root */
    const struct mu_json_node *child;
    size_t child_count;
};

/* What mu_json_set was called with, as one types it: "--set optimizer.kind=adam". */
struct mu_json_set_text {
    char *text;
    size_t path_at, path_bytes;
};

struct mu_json {
    json_t *root;
    struct mu_json_node *nodes; /* the root first, children of one value side by side */
    char *source, *text;
    size_t bytes;
    struct mu_json *first; /* as it was before anything was set; NULL: nothing was */
    struct mu_json_set_text *set;
    size_t set_count;
};

/* ---- json.c ---- */
enum mu_status mu_json_no_memory(struct mu_log *log);
/* jansson does not always tell of an allocation that failed: whether one has since the watch. */
void mu_json_memory_watch(void);
bool mu_json_memory_failed(void);
/* The nodes of a whole tree, the root first; NULL without memory. */
struct mu_json_node *mu_json_index(const json_t *root);

#endif
