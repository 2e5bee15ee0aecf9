/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "runtime/base/json_scan.h"
#include "runtime/base/text.h"
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARSE_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

/*
 * A value in the index that is made beside jansson's tree: jansson reaches a member by its number
 * only step by step, and keeps no places. An mu_json_value is one of these.
 */
struct node {
    const json_t *json;
    const char *key; /* NULL for elements and the root */
    const struct node *child;
    size_t child_count;
};

struct mu_json {
    json_t *root;
    struct node *nodes; /* the root first, children of one value side by side */
    char *source, *text;
    size_t bytes;
};

/* jansson's iterators want a writable object although they only read it. */
static json_t *writable(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* ---- memory ---- */

/* jansson tells a failed allocation as a syntax error, or not at all, so it is watched. */
static _Thread_local bool memory_failed;
static pthread_once_t memory_once = PTHREAD_ONCE_INIT;

static void *memory_get(size_t bytes)
{
    void *memory = malloc(bytes);
    memory_failed |= !memory;
    return memory;
}

static void memory_set(void)
{
    json_set_alloc_funcs(memory_get, free);
}

static void memory_watch(void)
{
    pthread_once(&memory_once, memory_set);
    memory_failed = false;
}

/* ---- parsing ---- */

static enum mu_status fail_no_memory(struct mu_log *log)
{
    return mu_fail(log, MU_E0801, NULL, "no memory to read JSON");
}

static enum mu_status check_depth(
    struct mu_log *log, enum mu_error error, const struct mu_json *json)
{
    size_t at = mu_json_scan_depth(json->text, json->bytes, MU_JSON_DEPTH_MAX);
    if (at == json->bytes)
        return MU_OK;
    struct mu_place place = {json->source, json->text, json->bytes, at, 1};
    return mu_fail_at(log, error, &place, NULL, "a spec nests five levels, a job two",
        "the JSON nests deeper than %d levels", MU_JSON_DEPTH_MAX);
}

/* jansson says "... near 'token'" and counts to the end of the token. Cuts the token off the
 * message and returns how many bytes of the text it is. */
static size_t cut_token(char *message, const char *before_end, size_t bytes_before)
{
    char *near = strstr(message, " near '");
    char *last = strrchr(message, '\'');
    if (!near || last <= near + 6)
        return 0;
    const char *token = near + 7;
    size_t bytes = (size_t)(last - token);
    bool matches = bytes <= bytes_before && memcmp(before_end - bytes, token, bytes) == 0;
    *near = '\0';
    return matches ? bytes : 0;
}

static const char *help_for(const struct mu_json *json, size_t offset, const char *message)
{
    const char *text = json->text;
    char first = offset < json->bytes ? text[offset] : '\0';
    if (json->bytes == 0)
        return "the text is empty";
    if (json->bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return "the text starts with a byte order mark: save it as UTF-8 without one";
    if (first == '\'')
        return "JSON writes strings in double quotes";
    if (first == '/' || first == '#')
        return "JSON has no comments";
    if (first == '}' || first == ']') {
        while (offset > 0 && strchr(" \t\r\n", text[offset - 1]))
            offset--;
        if (offset > 0 && text[offset - 1] == ',')
            return "remove the comma before it";
    }
    if (strncmp(message, "string or '}'", 13) == 0 && first != '\0')
        return "JSON writes keys in double quotes; in a shell, put single quotes around the whole";
    return "complete or remove what the caret shows; `python3 -m json.tool FILE` reads JSON too";
}

static enum mu_status fail_to_parse(
    struct mu_log *log, enum mu_error error, const struct mu_json *json, const json_error_t *reason)
{
    char message[JSON_ERROR_TEXT_LENGTH];
    mu_text_copy(message, sizeof(message), reason->text);
    size_t end = reason->position > 0 ? (size_t)reason->position : 0;
    if (end > json->bytes)
        end = json->bytes;
    size_t width = cut_token(message, json->text + end, end);
    size_t offset = end - width;
    if (width == 0 && offset > 0 && offset < json->bytes)
        offset--;
    struct mu_place place = {json->source, json->text, json->bytes, offset, width};
    return mu_fail_at(
        log, error, &place, NULL, help_for(json, offset, message), "not valid JSON: %s", message);
}

static size_t count_children(const json_t *json)
{
    return json_is_object(json) ? json_object_size(json) : json_array_size(json);
}

static size_t count_values(const json_t *json)
{
    size_t count = 1;
    const char *key;
    json_t *member;
    json_object_foreach(writable(json), key, member) count += count_values(member);
    for (size_t i = 0; i < json_array_size(json); i++)
        count += count_values(json_array_get(json, i));
    return count;
}

/* Fills the node of a value and, from *next on, those of everything inside it. */
static void fill_node(struct node *node, const char *key, const json_t *json, struct node **next)
{
    struct node *child = *next;
    *node = (struct node){json, key, child, count_children(json)};
    *next += node->child_count;
    for (size_t i = 0; i < json_array_size(json); i++)
        fill_node(child++, NULL, json_array_get(json, i), next);
    const char *member_key;
    json_t *member;
    json_object_foreach(writable(json), member_key, member)
        fill_node(child++, member_key, member, next);
}

/* The nodes of a whole tree, the root first; NULL without memory. */
static struct node *index_values(const json_t *root)
{
    struct node *nodes = calloc(count_values(root), sizeof(*nodes));
    if (!nodes)
        return NULL;
    struct node *next = nodes + 1;
    fill_node(nodes, NULL, root, &next);
    return nodes;
}

static enum mu_status parse_copied(struct mu_log *log, enum mu_error error, struct mu_json *json)
{
    MU_TRY(check_depth(log, error, json));
    json_error_t reason;
    memory_watch();
    json->root = json_loadb(json->text, json->bytes, PARSE_FLAGS, &reason);
    if (memory_failed)
        return fail_no_memory(log);
    if (!json->root)
        return fail_to_parse(log, error, json, &reason);
    json->nodes = index_values(json->root);
    return json->nodes ? MU_OK : fail_no_memory(log);
}

enum mu_status mu_json_parse(struct mu_log *log, enum mu_error error, const char *source,
    const char *text, size_t bytes, struct mu_json **ret_json)
{
    assert(log && source && ret_json);
    if (bytes > MU_JSON_BYTES_MAX)
        return mu_fail(log, error, NULL, "%s has more than %d bytes", source, MU_JSON_BYTES_MAX);
    struct mu_json *json = calloc(1, sizeof(*json));
    if (!json)
        return fail_no_memory(log);
    json->source = strdup(source);
    json->text = malloc(bytes + 1);
    json->bytes = bytes;
    enum mu_status status;
    if (json->source && json->text) {
        if (bytes > 0)
            memcpy(json->text, text, bytes);
        json->text[bytes] = '\0';
        status = parse_copied(log, error, json);
    } else {
        status = fail_no_memory(log);
    }
    if (status != MU_OK) {
        mu_json_destroy(json);
        return status;
    }
    *ret_json = json;
    return MU_OK;
}

static enum mu_status fail_to_read(struct mu_log *log, const char *path, int reason)
{
    char help[160];
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + (slash == path) : 1;
    if (reason == ENOENT)
        snprintf(help, sizeof(help), "`ls %.*s` shows what is there", folder, slash ? path : ".");
    else
        snprintf(help, sizeof(help), "`ls -ld %s` shows what it is and who may read it", path);
    return mu_fail(log, MU_E0002, help, "cannot read %s: %s", path, strerror(reason));
}

enum mu_status mu_json_read(
    struct mu_log *log, enum mu_error error, const char *path, struct mu_json **ret_json)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return fail_to_read(log, path, errno);
    char *text = malloc(MU_JSON_BYTES_MAX + 1); /* one more shows that it is too long */
    if (!text) {
        fclose(file);
        return fail_no_memory(log);
    }
    size_t bytes = fread(text, 1, MU_JSON_BYTES_MAX + 1, file);
    int failed = ferror(file) ? errno : 0; /* a directory opens but cannot be read */
    fclose(file);
    enum mu_status status = failed ? fail_to_read(log, path, failed)
                                   : mu_json_parse(log, error, path, text, bytes, ret_json);
    free(text);
    return status;
}

void mu_json_destroy(struct mu_json *json)
{
    if (!json)
        return;
    json_decref(json->root);
    free(json->nodes);
    free(json->source);
    free(json->text);
    free(json);
}

/* ---- reading ---- */

const mu_json_value *mu_json_root(const struct mu_json *json)
{
    return json->nodes;
}

const char *mu_json_source(const struct mu_json *json)
{
    return json->source;
}

static const struct node *node_of(const mu_json_value *value)
{
    assert(value);
    return value;
}

enum mu_json_type mu_json_type(const mu_json_value *value)
{
    switch (json_typeof(node_of(value)->json)) {
    case JSON_OBJECT:
        return MU_JSON_OBJECT;
    case JSON_ARRAY:
        return MU_JSON_ARRAY;
    case JSON_STRING:
        return MU_JSON_STRING;
    case JSON_INTEGER:
        return MU_JSON_INTEGER;
    case JSON_REAL:
        return MU_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return MU_JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return MU_JSON_NULL;
}

bool mu_json_bool(const mu_json_value *value)
{
    assert(mu_json_type(value) == MU_JSON_BOOL);
    return json_is_true(node_of(value)->json);
}

int64_t mu_json_integer(const mu_json_value *value)
{
    assert(mu_json_type(value) == MU_JSON_INTEGER);
    return json_integer_value(node_of(value)->json);
}

double mu_json_real(const mu_json_value *value)
{
    assert(json_is_number(node_of(value)->json));
    return json_number_value(node_of(value)->json);
}

const char *mu_json_string(const mu_json_value *value)
{
    assert(mu_json_type(value) == MU_JSON_STRING);
    return json_string_value(node_of(value)->json);
}

size_t mu_json_count(const mu_json_value *value)
{
    assert(mu_json_type(value) >= MU_JSON_ARRAY);
    return node_of(value)->child_count;
}

const mu_json_value *mu_json_element(const mu_json_value *array, size_t index)
{
    assert(mu_json_type(array) == MU_JSON_ARRAY);
    assert(index < node_of(array)->child_count);
    return &node_of(array)->child[index];
}

const mu_json_value *mu_json_member(const mu_json_value *object, const char *key)
{
    assert(mu_json_type(object) == MU_JSON_OBJECT);
    const struct node *node = node_of(object);
    for (size_t i = 0; i < node->child_count; i++) {
        if (strcmp(node->child[i].key, key) == 0)
            return &node->child[i];
    }
    return NULL;
}

const char *mu_json_key(const mu_json_value *object, size_t index)
{
    assert(mu_json_type(object) == MU_JSON_OBJECT);
    assert(index < node_of(object)->child_count);
    return node_of(object)->child[index].key;
}

const mu_json_value *mu_json_member_at(const mu_json_value *object, size_t index)
{
    assert(mu_json_type(object) == MU_JSON_OBJECT);
    assert(index < node_of(object)->child_count);
    return &node_of(object)->child[index];
}

/* ---- places ---- */

/* From the bracket of a container to its child number `index`; *ret_key gets where its key is. */
static size_t enter_child(
    const struct mu_json *json, size_t at, const struct node *child, size_t index, size_t *ret_key)
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
static const struct node *path_step(const struct node *node, const char **path)
{
    const struct node *found = NULL;
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

struct mu_place mu_json_place(const struct mu_json *json, const char *path, bool of_key)
{
    struct mu_place place = {json->source, json->text, json->bytes, 0, 0};
    const struct node *node = json->nodes;
    size_t at = mu_json_scan_space(json->text, json->bytes, 0), key_at = at;
    while (*path != '\0') {
        const struct node *child = path_step(node, &path);
        if (!child)
            return place;
        at = enter_child(json, at, child, (size_t)(child - node->child), &key_at);
        node = child;
    }
    bool key = of_key && node->key;
    place.offset = key ? key_at : at;
    size_t end = key ? mu_json_scan_string(json->text, json->bytes, key_at)
                     : mu_json_scan_value(json->text, json->bytes, at);
    place.width = end - place.offset;
    return place;
}

/* ---- setting ---- */

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

/* The tree as text, parsed again, so that places are right. */
static enum mu_status rebuild(struct mu_log *log, struct mu_json *json, const json_t *root)
{
    struct node *nodes = index_values(root);
    if (!nodes)
        return fail_no_memory(log);
    struct mu_text text;
    mu_text_init(&text);
    mu_json_write_pretty(nodes, &text);
    free(nodes);
    struct mu_json *built = NULL;
    enum mu_status status =
        text.failed ? fail_no_memory(log)
                    : mu_json_parse(log, MU_E0001, json->source, text.data, text.bytes, &built);
    mu_text_finish(&text);
    if (status != MU_OK)
        return status;
    struct mu_json old = *json;
    *json = *built;
    *built = old;
    mu_json_destroy(built);
    return MU_OK;
}

enum mu_status mu_json_set(
    struct mu_log *log, struct mu_json *json, const char *path, const char *value)
{
    if (!mu_text_is_utf8(path, strlen(path)) || !mu_text_is_utf8(value, strlen(value)))
        return mu_fail(log, MU_E0001, NULL, "cannot set `%s`: not valid UTF-8", path);
    memory_watch();
    json_t *parsed = json_loads(value, PARSE_FLAGS, NULL);
    if (!parsed)
        parsed = json_string(value);
    json_t *root = json_deep_copy(json->root);
    char *steps = strdup(path);
    const char *key = NULL;
    json_t *section = steps && root ? section_of(root, steps, &key) : NULL;
    if (section)
        json_object_set(section, key, parsed);
    enum mu_status status;
    if (memory_failed || !steps)
        status = fail_no_memory(log);
    else if (!section)
        status = mu_fail(log, MU_E0001, "write it as section.key=value",
            "cannot set `%s`: it is not the path of an option", path);
    else
        status = rebuild(log, json, root);
    free(steps);
    json_decref(parsed);
    json_decref(root);
    return status;
}
