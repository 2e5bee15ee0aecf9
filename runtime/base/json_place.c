/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_inside.h"
#include "runtime/base/json_scan.h"
#include <stdlib.h>
#include <string.h>

/* From the bracket of a container to its child number `index`; *ret_key gets where its key is. */
static size_t enter_child(const struct mu_json *json, size_t at, const struct mu_json_node *child,
    size_t index, size_t *ret_key)
{
    const char *text = json->text;
    size_t bytes = json->bytes;
    at = mu_json_scan_space(text, bytes, at + 1);
    for (size_t i = 0;; i++) {
        *ret_key = at;
        if (child->key) {
            size_t colon = mu_json_scan_space(text, bytes, mu_json_scan_string(text, bytes, at));
            at = mu_json_scan_space(text, bytes, colon + 1);
        }
        if (i == index)
            return at;
        size_t comma = mu_json_scan_space(text, bytes, mu_json_scan_value(text, bytes, at));
        at = mu_json_scan_space(text, bytes, comma + 1);
    }
}

/* The child that the next step of a path leads to, or NULL; moves the path past the step. Keys may
 * have dots and brackets in them: the longest one that fits is meant. */
static const struct mu_json_node *path_step(const struct mu_json_node *node, const char **path)
{
    const struct mu_json_node *found = NULL;
    const char *at = *path;
    if (json_is_array(node->json)) {
        char *end;
        unsigned long index = *at == '[' ? strtoul(at + 1, &end, 10) : 0;
        if (*at != '[' || *end != ']' || index >= node->child_count)
            return NULL;
        *path = end + 1;
        return &node->child[index];
    }
    at += *at == '.';
    for (size_t i = 0; i < node->child_count; i++) {
        size_t bytes = strlen(node->child[i].key);
        bool fits = strncmp(at, node->child[i].key, bytes) == 0 &&
                    (at[bytes] == '\0' || at[bytes] == '.' || at[bytes] == '[');
        if (fits && (!found || at + bytes > *path)) {
            found = &node->child[i];
            *path = at + bytes;
        }
    }
    return found;
}

/* Where `path` leads in the text of the document; *ret_found false: nowhere. */
static struct mu_place place_in_text(
    const struct mu_json *json, const char *path, bool of_key, bool *ret_found)
{
    *ret_found = false;
    struct mu_place place = {json->source, json->text, json->bytes, 0, 0};
    const struct mu_json_node *node = json->nodes;
    size_t at = mu_json_scan_space(json->text, json->bytes, 0), key_at = at;
    while (*path != '\0') {
        const struct mu_json_node *child = path_step(node, &path);
        if (!child)
            return place;
        at = enter_child(json, at, child, (size_t)(child - node->child), &key_at);
        node = child;
    }
    *ret_found = true;
    bool key = of_key && node->key;
    place.offset = key ? key_at : at;
    size_t end = key ? mu_json_scan_string(json->text, json->bytes, key_at)
                     : mu_json_scan_value(json->text, json->bytes, at);
    place.width = end - place.offset;
    return place;
}

/* Does `path` lead to `other` or into it? */
static bool leads_into(const char *path, size_t path_bytes, const char *other, size_t other_bytes)
{
    if (path_bytes < other_bytes || memcmp(path, other, other_bytes) != 0)
        return false;
    return path_bytes == other_bytes || path[other_bytes] == '.' || path[other_bytes] == '[';
}

/* The last change that set what `path` leads to, or that made the section which it is. */
static const struct mu_json_set_text *change_of(
    const struct mu_json *json, const char *path, bool as_section)
{
    size_t bytes = strlen(path);
    for (size_t i = json->set_count; i > 0; i--) {
        const struct mu_json_set_text *set = &json->set[i - 1];
        const char *set_path = set->text + set->path_at;
        if (as_section ? leads_into(set_path, set->path_bytes, path, bytes)
                       : leads_into(path, bytes, set_path, set->path_bytes))
            return set;
    }
    return NULL;
}

const char *mu_json_typed(const struct mu_json *json, const char *path)
{
    const struct mu_json_set_text *set = change_of(json, path, false);
    bool exact = set && set->path_bytes == strlen(path);
    return exact ? set->text + set->path_at + set->path_bytes + 1 : NULL;
}

static struct mu_place place_in_change(const struct mu_json_set_text *set, bool of_key)
{
    size_t bytes = strlen(set->text), value_at = set->path_at + set->path_bytes + 1;
    size_t at = of_key ? set->path_at : value_at;
    size_t width = of_key ? set->path_bytes : bytes - value_at;
    return (struct mu_place){"command line", set->text, bytes, at, width};
}

struct mu_place mu_json_place(const struct mu_json *json, const char *path, bool of_key)
{
    bool found;
    const struct mu_json_set_text *set = change_of(json, path, false);
    if (set)
        return place_in_change(set, of_key);
    struct mu_place place = place_in_text(json->first ? json->first : json, path, of_key, &found);
    set = found || path[0] == '\0' ? NULL : change_of(json, path, true);
    return set ? place_in_change(set, true) : place;
}
