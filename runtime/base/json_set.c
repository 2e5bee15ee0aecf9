/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_inside.h"
#include "runtime/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The object that has or is to have the last step of `path` as a key; *ret_key is that step. Cuts
 * the path into its steps and makes sections that are not there. NULL if that cannot be. */
static json_t *section_of(json_t *object, char *path, const char **ret_key)
{
    for (char *dot; object && (dot = strchr(path, '.')); path = dot + 1) {
        *dot = '\0';
        if (!json_is_object(object) || *path == '\0')
            return NULL;
        json_t *section = json_object_get(object, path);
        if (!section) {
            section = json_object();
            if (json_object_set_new(object, path, section) != 0)
                return NULL;
        }
        object = section;
    }
    *ret_key = path;
    return json_is_object(object) && *path != '\0' ? object : NULL;
}

/* The tree as text, parsed again. The document as it was read stays for the sake of places. */
static enum mu_status rebuild(struct mu_log *log, struct mu_json *json, const json_t *root)
{
    struct mu_json_node *nodes = mu_json_index(root);
    if (!nodes)
        return mu_json_no_memory(log);
    struct mu_text text;
    mu_text_init(&text);
    mu_json_write_pretty(nodes, &text);
    free(nodes);
    struct mu_json *built = NULL;
    enum mu_status status =
        text.failed ? mu_json_no_memory(log)
                    : mu_json_parse(log, MU_E0001, json->source, text.data, text.bytes, &built);
    mu_text_finish(&text);
    if (status != MU_OK)
        return status;
    struct mu_json old = *json;
    *json = *built;
    *built = old;
    json->first = old.first;
    json->set = old.set;
    json->set_count = old.set_count;
    built->first = NULL;
    built->set = NULL;
    built->set_count = 0;
    if (json->first)
        mu_json_destroy(built);
    else
        json->first = built;
    return MU_OK;
}

/* Room for one more change, and its text; false without memory. */
static bool make_change(
    struct mu_json *json, const char *path, const char *value, struct mu_json_set_text *ret_set)
{
    struct mu_json_set_text *grown = realloc(json->set, (json->set_count + 1) * sizeof(*grown));
    if (!grown)
        return false;
    json->set = grown;
    ret_set->path_at = strlen("--set ");
    ret_set->path_bytes = strlen(path);
    size_t bytes = ret_set->path_at + ret_set->path_bytes + strlen(value) + 2;
    ret_set->text = malloc(bytes);
    if (ret_set->text)
        snprintf(ret_set->text, bytes, "--set %s=%s", path, value);
    return ret_set->text;
}

enum mu_status mu_json_set(
    struct mu_log *log, struct mu_json *json, const char *path, const char *value)
{
    if (!mu_text_is_utf8(path, strlen(path)) || !mu_text_is_utf8(value, strlen(value)))
        return mu_fail(log, MU_E0001, NULL, "cannot set `%s`: not valid UTF-8", path);
    mu_json_memory_watch();
    json_t *parsed = json_loads(value, MU_JSON_PARSE_FLAGS, NULL);
    if (!parsed)
        parsed = json_string(value);
    json_t *root = json_deep_copy(json->root);
    char *steps = strdup(path);
    const char *key = NULL;
    json_t *section = steps && root ? section_of(root, steps, &key) : NULL;
    if (section)
        json_object_set(section, key, parsed);
    struct mu_json_set_text set = {.text = NULL};
    bool kept = make_change(json, path, value, &set);
    enum mu_status status;
    if (mu_json_memory_failed() || !steps || !kept)
        status = mu_json_no_memory(log);
    else if (!section)
        status = mu_fail(log, MU_E0001, "write it as section.key=value",
            "cannot set `%s`: it is not the path of an option", path);
    else
        status = rebuild(log, json, root);
    if (status == MU_OK)
        json->set[json->set_count++] = set;
    else
        free(set.text);
    free(steps);
    json_decref(parsed);
    json_decref(root);
    return status;
}
