/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_scan.h"
#include <stdbool.h>
#include <string.h>

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
