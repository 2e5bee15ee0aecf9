/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Slurm writes lists of hosts compressed: "n[1-3,5],rack[1-2]n[01-10]" is a list of names in which
 * every bracket stands for a choice; ranges keep the width of their first number. A name is
 * expanded by counting through the brackets like an odometer, the last one fastest.
 */
#define GROUPS_MAX 4
#define WIDTH_MAX 9 /* digits of a number in brackets */

struct hosts {
    char (*name)[MU_HOST_MAX];
    int count, most;
};

static int wrong(char *reason, size_t bytes, const char *why)
{
    mu_text_copy(reason, bytes, why);
    return -1;
}

/* "1-3" at `at` -> first, last, width; the end of what was read, or NULL. */
static const char *read_range(const char *at, long *ret_first, long *ret_last, int *ret_width)
{
    size_t width = strspn(at, "0123456789");
    if (width == 0 || width > WIDTH_MAX)
        return NULL;
    *ret_first = *ret_last = strtol(at, NULL, 10);
    *ret_width = (int)width;
    at += width;
    if (*at == '-') {
        width = strspn(++at, "0123456789");
        if (width == 0 || width > WIDTH_MAX)
            return NULL;
        *ret_last = strtol(at, NULL, 10);
        at += width;
    }
    return *ret_last >= *ret_first ? at : NULL;
}

/* Appends every expansion of the `length` bytes at `text` to `prefix`. Recursion: one level a
 * bracket, at most GROUPS_MAX. */
static int expand(struct hosts *hosts, const char *prefix, const char *text, size_t length,
    int level, char *reason, size_t bytes)
{
    char name[MU_HOST_MAX];
    const char *open = memchr(text, '[', length);
    size_t plain = open ? (size_t)(open - text) : length, used = strlen(prefix);
    if (used + plain + WIDTH_MAX >= sizeof(name))
        return wrong(reason, bytes, "a host name is too long");
    mu_format(name, sizeof(name), "%s%.*s", prefix, (int)plain, text);
    if (!open) {
        if (name[0] == '\0')
            return wrong(reason, bytes, "a host name is empty");
        if (hosts->count == hosts->most)
            return wrong(reason, bytes, "it names too many hosts");
        mu_text_copy(hosts->name[hosts->count++], MU_HOST_MAX, name);
        return 0;
    }
    const char *close = memchr(open, ']', length - plain);
    if (!close || level == GROUPS_MAX)
        return wrong(reason, bytes, close ? "it has too many brackets" : "a bracket is not closed");
    used += plain;
    for (const char *at = open + 1;; at++) {
        long first = 0, last = 0;
        int width = 0;
        at = read_range(at, &first, &last, &width);
        if (!at || (*at != ',' && *at != ']'))
            return wrong(reason, bytes, "a bracket holds no list of numbers and ranges");
        for (long number = first; number <= last; number++) {
            char digits[24];
            mu_format(digits, sizeof(digits), "%0*ld", width, number);
            mu_text_copy(name + used, sizeof(name) - used, digits);
            if (expand(hosts, name, close + 1, length - (size_t)(close + 1 - text), level + 1,
                    reason, bytes) < 0)
                return -1;
        }
        if (*at == ']')
            return 0;
    }
}

/* The length of the first item: up to a comma that stands outside brackets. */
static size_t item_length(const char *list)
{
    bool inside = false;
    size_t length = 0;
    for (; list[length] && (inside || list[length] != ','); length++) {
        if (list[length] == '[')
            inside = true;
        if (list[length] == ']')
            inside = false;
    }
    return length;
}

int mu_spec_slurm_hosts(
    const char *list, int most, char (**ret_hosts)[MU_HOST_MAX], char *reason, size_t reason_bytes)
{
    struct hosts hosts = {.name = calloc((size_t)most, MU_HOST_MAX), .most = most};
    if (!hosts.name)
        return wrong(reason, reason_bytes, "no memory");
    for (const char *at = list;; at++) {
        size_t length = item_length(at);
        if (expand(&hosts, "", at, length, 0, reason, reason_bytes) < 0) {
            free(hosts.name);
            return -1;
        }
        at += length;
        if (*at == '\0')
            break;
    }
    *ret_hosts = hosts.name;
    return hosts.count;
}

int mu_spec_slurm_counts(const char *list, int most, int *ret_counts)
{
    int count = 0;
    for (const char *at = list;; at++) {
        size_t width = strspn(at, "0123456789");
        if (width == 0 || width > 6)
            return -1;
        int value = (int)strtol(at, NULL, 10);
        long times = 1;
        at += width;
        if (at[0] == '(' && at[1] == 'x') {
            width = strspn(at + 2, "0123456789");
            if (width == 0 || width > 6 || at[2 + width] != ')')
                return -1;
            times = strtol(at + 2, NULL, 10);
            at += width + 3;
        }
        if (times > most - count)
            return -1;
        while (times-- > 0)
            ret_counts[count++] = value;
        if (*at == '\0')
            return count;
        if (*at != ',')
            return -1;
    }
}
