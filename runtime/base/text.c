/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/text.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CAPACITY_MIN 64

static char text_empty[1]; /* never written to */

void mu_text_init(struct mu_text *text)
{
    *text = (struct mu_text){.data = text_empty};
}

void mu_text_finish(struct mu_text *text)
{
    if (text->capacity > 0)
        free(text->data);
    mu_text_init(text);
}

void mu_text_clear(struct mu_text *text)
{
    text->bytes = 0;
    text->failed = false;
    if (text->capacity > 0)
        text->data[0] = '\0';
}

/* Room for `bytes` more and the NUL. */
static bool text_reserve(struct mu_text *text, size_t bytes)
{
    if (text->failed)
        return false;
    if (bytes < text->capacity - text->bytes) /* capacity 0: never, for bytes is 0 there too */
        return true;
    size_t capacity = text->capacity > 0 ? text->capacity : CAPACITY_MIN;
    while (capacity - text->bytes <= bytes && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    char *data = NULL;
    if (capacity - text->bytes > bytes)
        data = realloc(text->capacity > 0 ? text->data : NULL, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    data[text->bytes] = '\0';
    text->data = data;
    text->capacity = capacity;
    return true;
}

void mu_text_append(struct mu_text *text, const char *data, size_t bytes)
{
    if (bytes == 0 || !text_reserve(text, bytes))
        return;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = '\0';
}

void mu_text_add_v(struct mu_text *text, const char *format, va_list list)
{
    va_list measured;
    va_copy(measured, list);
    int bytes = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    assert(bytes >= 0);
    if (!text_reserve(text, (size_t)bytes))
        return;
    vsnprintf(text->data + text->bytes, (size_t)bytes + 1, format, list);
    text->bytes += (size_t)bytes;
}

void mu_text_add(struct mu_text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    mu_text_add_v(text, format, list);
    va_end(list);
}

int mu_text_utf8_bytes(const char *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)data;
    if (bytes == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    int length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || bytes < (size_t)length)
        return 0;
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] > 0x9f;
    bool beyond = at[0] == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

bool mu_text_is_utf8(const char *data, size_t bytes)
{
    while (bytes > 0) {
        int length = mu_text_utf8_bytes(data, bytes);
        if (length == 0)
            return false;
        data += length;
        bytes -= (size_t)length;
    }
    return true;
}

static void add_json_byte(struct mu_text *text, unsigned char byte)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (int i = 0; letters[i]; i += 2) {
        if (byte == (unsigned char)letters[i]) {
            mu_text_add(text, "\\%c", letters[i + 1]);
            return;
        }
    }
    if (byte < 0x20 || byte == 0x7f)
        mu_text_add(text, "\\u%04x", byte);
    else
        mu_text_append(text, (const char *)&byte, 1);
}

void mu_text_add_json_string(struct mu_text *text, const char *string)
{
    size_t bytes = strlen(string);
    mu_text_append(text, "\"", 1);
    for (size_t i = 0; i < bytes;) {
        int length = mu_text_utf8_bytes(string + i, bytes - i);
        if (length == 1)
            add_json_byte(text, (unsigned char)string[i]);
        else if (length == 0)
            mu_text_append(text, "\xef\xbf\xbd", 3);
        else
            mu_text_append(text, string + i, (size_t)length);
        i += length > 0 ? (size_t)length : 1;
    }
    mu_text_append(text, "\"", 1);
}

void mu_text_add_double(struct mu_text *text, double value)
{
    char digits[32] = "null";
    if (isfinite(value)) {
        for (int precision = 15; precision <= 17; precision++) {
            mu_format(digits, sizeof(digits), "%.*g", precision, value);
            if (strtod(digits, NULL) == value)
                break;
        }
    }
    mu_text_append(text, digits, strlen(digits));
}

void mu_format(char *out, size_t bytes, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int written = vsnprintf(out, bytes, format, list);
    va_end(list);
    assert(written >= 0);
    assert((size_t)written < bytes);
    (void)written;
}

void mu_text_copy(char *out, size_t bytes, const char *text)
{
    assert(bytes > 0);
    size_t length = strnlen(text, bytes);
    if (length == bytes) {
        length = bytes - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(out, text, length);
    out[length] = '\0';
}

#define DISTANCE_BYTES_MAX 64

static int min_of(int a, int b)
{
    return a < b ? a : b;
}

int mu_text_distance(const char *a, const char *b, int most)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > DISTANCE_BYTES_MAX || columns > DISTANCE_BYTES_MAX)
        return strcmp(a, b) == 0 ? 0 : most + 1;
    /* Three rows of the table of distances between prefixes, by row number modulo 3. */
    int table[3][DISTANCE_BYTES_MAX + 1];
    for (size_t j = 0; j <= columns; j++)
        table[0][j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        int *row = table[i % 3], *above = table[(i + 2) % 3], *above2 = table[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= columns; j++) {
            int cost = a[i - 1] != b[j - 1];
            row[j] = min_of(min_of(row[j - 1], above[j]) + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_of(row[j], above2[j - 2] + 1);
        }
    }
    return min_of(table[rows % 3][columns], most + 1);
}

const char *mu_text_nearest(const char *name, const char *const names[], size_t count)
{
    int most = strlen(name) <= 3 ? 1 : 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        int distance = mu_text_distance(name, names[i], most);
        if (distance <= most) {
            nearest = names[i];
            most = distance - 1; /* only a nearer one replaces it */
        }
    }
    return nearest;
}

void mu_text_duration(char *out, size_t bytes, int64_t ns)
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t count = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    uint64_t us = count / 1000, ms = us / 1000, seconds = ms / 1000, minutes = seconds / 60;
    typedef unsigned long long number;
    if (us == 0)
        mu_format(out, bytes, "%s%llu ns", sign, (number)count);
    else if (ms == 0)
        mu_format(out, bytes, "%s%llu us", sign, (number)us);
    else if (seconds == 0)
        mu_format(out, bytes, "%s%llu ms", sign, (number)ms);
    else if (minutes == 0)
        mu_format(out, bytes, "%s%llu.%llu s", sign, (number)seconds, (number)(ms / 100 % 10));
    else if (minutes < 60)
        mu_format(out, bytes, "%s%llum%02llus", sign, (number)minutes, (number)(seconds % 60));
    else
        mu_format(
            out, bytes, "%s%lluh%02llum", sign, (number)(minutes / 60), (number)(minutes % 60));
}

void mu_text_bytes(char *out, size_t bytes, uint64_t count)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (count < 1024) {
        mu_format(out, bytes, "%d B", (int)count);
        return;
    }
    double value = (double)count / 1024;
    size_t unit = 0;
    for (; value >= 1023.95 && unit + 1 < MU_COUNT_OF(units); unit++)
        value /= 1024; /* 1023.95 would be printed as 1024.0 */
    mu_format(out, bytes, "%.1f %s", value, units[unit]);
}

void mu_text_time(char *out, size_t bytes, int64_t wall_ns)
{
    int64_t ms = wall_ns / 1000000 - (wall_ns % 1000000 < 0);
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm parts;
    gmtime_r(&seconds, &parts);
    mu_format(out, bytes, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
        parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
        (int)(ms - (int64_t)seconds * 1000));
}

bool mu_text_to_int64(const char *string, int64_t *ret_value)
{
    if (!isdigit((unsigned char)string[string[0] == '-']))
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(string, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

bool mu_text_to_double(const char *string, double *ret_value)
{
    /* strtod alone would take blanks, hexadecimal, inf and nan. */
    if (string[0] == '\0' || string[strspn(string, "0123456789+-.eE")] != '\0')
        return false;
    char *end;
    double value = strtod(string, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

#define NAME_BYTES_MAX 64

bool mu_text_is_name(const char *name)
{
    static const char alphanumeric[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (name[0] == '\0' || !strchr(alphanumeric, name[0]))
        return false;
    size_t bytes =
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return name[bytes] == '\0' && bytes <= NAME_BYTES_MAX;
}
