/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_scan.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATH_LEVELS_MAX 64

static bool is_one_of(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte);
}

static int depth_change(char byte)
{
    return (byte == '[' || byte == '{') - (byte == ']' || byte == '}');
}

size_t mu_json_scan_space(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && is_one_of(text[at], " \t\r\n"))
        at++;
    return at < bytes ? at : bytes;
}

size_t mu_json_scan_string(const char *text, size_t bytes, size_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < bytes ? at + 1 : bytes;
}

/* A string, or a bracket, comma or colon, or a word up to one of these. */
static size_t scan_token(const char *text, size_t bytes, size_t at)
{
    if (text[at] == '"')
        return mu_json_scan_string(text, bytes, at);
    if (is_one_of(text[at], "[]{},:"))
        return at + 1;
    while (at < bytes && !is_one_of(text[at], "[]{},: \t\r\n\""))
        at++;
    return at;
}

size_t mu_json_scan_value(const char *text, size_t bytes, size_t at)
{
    int depth = 0;
    while (at < bytes) {
        depth += depth_change(text[at]);
        at = scan_token(text, bytes, at);
        if (depth <= 0)
            break;
        at = mu_json_scan_space(text, bytes, at);
    }
    return at < bytes ? at : bytes;
}

size_t mu_json_scan_depth(const char *text, size_t bytes, int depth_max)
{
    int depth = 0;
    for (size_t at = 0; at < bytes;) {
        depth += depth_change(text[at]);
        if (depth > depth_max)
            return at;
        at = text[at] == '"' ? mu_json_scan_string(text, bytes, at) : at + 1;
    }
    return bytes;
}

void mu_json_scan_extent(const char *text, size_t bytes, struct mu_json_extent *ret_extent)
{
    struct mu_json_extent extent = {0}, level[PATH_LEVELS_MAX] = {0};
    int depth = 0;
    for (size_t at = mu_json_scan_space(text, bytes, 0); at < bytes;) {
        struct mu_json_extent *inner = &level[depth < PATH_LEVELS_MAX ? depth : 0];
        size_t end = scan_token(text, bytes, at);
        int change = depth_change(text[at]);
        bool named = change >= 0 && text[at] != ',' && text[at] != ':';
        extent.tokens += named;
        inner->widest += text[at] == ',' || (named && inner->widest == 0);
        if (inner->widest > extent.widest) {
            extent.widest = inner->widest;
            extent.widest_at = inner->widest_at;
        }
        depth += change < 0 && depth == 0 ? 0 : change;
        if (change > 0 && depth < PATH_LEVELS_MAX)
            level[depth] = (struct mu_json_extent){.widest_at = at};
        at = mu_json_scan_space(text, bytes, end > at ? end : at + 1);
    }
    *ret_extent = extent;
}

/* One level of brackets around a position. */
struct level {
    bool object;
    size_t index;             /* of the element */
    size_t key_at, key_bytes; /* of the member; no bytes: its key is not read yet */
};

/* What a token does to the levels. A string in an object that has no key yet is the key. */
static void step_levels(struct level *level, int *depth, const char *text, size_t at, size_t end)
{
    char byte = text[at];
    struct level *inner = *depth > 0 ? &level[*depth - 1] : NULL;
    if ((byte == '{' || byte == '[') && *depth < PATH_LEVELS_MAX)
        level[(*depth)++] = (struct level){.object = byte == '{'};
    else if ((byte == '}' || byte == ']') && inner)
        --*depth;
    else if (byte == ',' && inner)
        *inner = (struct level){.object = inner->object, .index = inner->index + 1};
    else if (byte == '"' && inner && inner->object && inner->key_bytes == 0 && end > at + 2) {
        inner->key_at = at + 1;
        inner->key_bytes = end - at - 2;
    }
}

void mu_json_scan_path(const char *text, size_t bytes, size_t offset, char *out, size_t out_bytes)
{
    struct level level[PATH_LEVELS_MAX];
    int depth = 0;
    size_t used = 0;
    for (size_t at = mu_json_scan_space(text, bytes, 0); at < offset;) {
        size_t end = scan_token(text, bytes, at);
        end = end > at ? end : at + 1;
        if (end > offset)
            break;
        step_levels(level, &depth, text, at, end);
        at = mu_json_scan_space(text, bytes, end);
    }
    out[0] = '\0';
    for (int i = 0; i < depth && used < out_bytes; i++) {
        if (!level[i].object)
            used += (size_t)snprintf(out + used, out_bytes - used, "[%zu]", level[i].index);
        else if (level[i].key_bytes > 0)
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%.*s", used ? "." : "",
                (int)(level[i].key_bytes < 60 ? level[i].key_bytes : 60), text + level[i].key_at);
    }
}
