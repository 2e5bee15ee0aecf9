/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_inside.h"
#include "runtime/base/json_scan.h"
#include "runtime/base/shell.h"
#include "runtime/base/text.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void mu_json_memory_watch(void)
{
    pthread_once(&memory_once, memory_set);
    memory_failed = false;
}

bool mu_json_memory_failed(void)
{
    return memory_failed;
}

/* ---- parsing ---- */

enum mu_status mu_json_no_memory(struct mu_log *log)
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

/* What jansson says of a character that JSON does not allow, in our words; NULL: of none. */
static const char *help_for_byte(const char *message, char *said, size_t bytes)
{
    unsigned byte = 0;
    if (strstr(message, "\\u0000") || strstr(message, "NUL byte")) {
        mu_format(said, bytes, "a NUL character (\\u0000) is not allowed here");
        return "remove \\u0000; names, addresses and paths have no NUL";
    }
    if (sscanf(message, "control character 0x%x", &byte) == 1) {
        mu_format(said, bytes, "the control character 0x%02x is not allowed in a string", byte);
        return byte == 0 ? "remove the NUL byte; `file FILE` shows whether it is text at all"
                         : "remove it; JSON writes a tab as \\t and a line break as \\n";
    }
    if (sscanf(message, "unable to decode byte 0x%x", &byte) == 1) {
        mu_format(said, bytes, "the byte 0x%02x is not UTF-8", byte & 0xff);
        return "save the text as UTF-8: `iconv -f LATIN1 -t UTF-8 FILE` turns older text into it";
    }
    return NULL;
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
    char said[JSON_ERROR_TEXT_LENGTH + 64], path[160];
    const char *help = help_for_byte(message, said, sizeof(said));
    if (!help && strcmp(message, "duplicate object key") == 0)
        return mu_fail_at(log, error, &place, NULL, "keep one of the two",
            "not valid JSON: %s %.*s", message, width < 64 ? (int)width : 64, json->text + offset);
    if (!help)
        return mu_fail_at(log, error, &place, NULL, help_for(json, offset, message),
            "not valid JSON: %s", message);
    mu_json_scan_path(json->text, json->bytes, offset, path, sizeof(path));
    return mu_fail_at(log, error, &place, NULL, help, "%s%s%s", path, path[0] ? ": " : "", said);
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
static void fill_node(
    struct mu_json_node *node, const char *key, const json_t *json, struct mu_json_node **next)
{
    struct mu_json_node *child = *next;
    *node = (struct mu_json_node){json, key, child, count_children(json)};
    *next += node->child_count;
    for (size_t i = 0; i < json_array_size(json); i++)
        fill_node(child++, NULL, json_array_get(json, i), next);
    const char *member_key;
    json_t *member;
    json_object_foreach(writable(json), member_key, member)
        fill_node(child++, member_key, member, next);
}

/* The nodes of a whole tree, the root first; NULL without memory. */
struct mu_json_node *mu_json_index(const json_t *root)
{
    struct mu_json_node *nodes = calloc(count_values(root), sizeof(*nodes));
    if (!nodes)
        return NULL;
    struct mu_json_node *next = nodes + 1;
    fill_node(nodes, NULL, root, &next);
    return nodes;
}

static enum mu_status parse_copied(struct mu_log *log, enum mu_error error, struct mu_json *json)
{
    MU_TRY(check_depth(log, error, json));
    json_error_t reason;
    mu_json_memory_watch();
    json->root = json_loadb(json->text, json->bytes, MU_JSON_PARSE_FLAGS, &reason);
    if (memory_failed)
        return mu_json_no_memory(log);
    if (!json->root)
        return fail_to_parse(log, error, json, &reason);
    json->nodes = mu_json_index(json->root);
    return json->nodes ? MU_OK : mu_json_no_memory(log);
}

enum mu_status mu_json_parse(struct mu_log *log, enum mu_error error, const char *source,
    const char *text, size_t bytes, struct mu_json **ret_json)
{
    assert(log && source && ret_json);
    if (bytes > MU_JSON_BYTES_MAX)
        return mu_fail(log, error, NULL, "%s has more than %d bytes", source, MU_JSON_BYTES_MAX);
    struct mu_json *json = calloc(1, sizeof(*json));
    if (!json)
        return mu_json_no_memory(log);
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
        status = mu_json_no_memory(log);
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
    char folder[MU_SHELL_WORD_BYTES], word[MU_SHELL_WORD_BYTES], help[MU_SHELL_WORD_BYTES + 48];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
        slash ? path : ".");
    if (reason == ENOENT)
        mu_format(help, sizeof(help), "`ls %s` shows what is there", mu_shell_word(word, folder));
    else
        mu_format(help, sizeof(help), "`ls -ld %s` shows what it is and who may read it",
            mu_shell_word(word, path));
    return mu_fail(log, MU_E0002, help, "cannot read %s: %s", path, strerror(reason));
}

enum mu_status mu_json_read_text(
    struct mu_log *log, const char *path, char **ret_text, size_t *ret_bytes)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return fail_to_read(log, path, errno);
    char *text = malloc(MU_JSON_BYTES_MAX + 1); /* one more shows that it is too long */
    if (!text) {
        fclose(file);
        return mu_json_no_memory(log);
    }
    size_t bytes = fread(text, 1, MU_JSON_BYTES_MAX + 1, file);
    int failed = ferror(file) ? errno : 0; /* a directory opens but cannot be read */
    fclose(file);
    if (failed) {
        free(text);
        return fail_to_read(log, path, failed);
    }
    *ret_text = text;
    *ret_bytes = bytes;
    return MU_OK;
}

enum mu_status mu_json_read(
    struct mu_log *log, enum mu_error error, const char *path, struct mu_json **ret_json)
{
    char *text = NULL;
    size_t bytes = 0;
    MU_TRY(mu_json_read_text(log, path, &text, &bytes));
    enum mu_status status = mu_json_parse(log, error, path, text, bytes, ret_json);
    free(text);
    return status;
}

void mu_json_destroy(struct mu_json *json)
{
    if (!json)
        return;
    json_decref(json->root);
    mu_json_destroy(json->first);
    for (size_t i = 0; i < json->set_count; i++)
        free(json->set[i].text);
    free(json->set);
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

static const struct mu_json_node *node_of(const mu_json_value *value)
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
    const struct mu_json_node *node = node_of(object);
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
