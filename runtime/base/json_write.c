/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>

static void write_real(double value, bool canonical, struct mu_text *out)
{
    struct mu_text digits;
    mu_text_init(&digits);
    mu_text_add_double(&digits, value == 0 ? 0 : value); /* no -0 */
    mu_text_append(out, digits.data, digits.bytes);
    /* 1 and 1.0 are equal, so canonical text must not tell them apart; other text keeps the type.
     */
    if (!canonical && !strpbrk(digits.data, ".e"))
        mu_text_append(out, ".0", 2);
    out->failed |= digits.failed;
    mu_text_finish(&digits);
}

static void write_scalar(const mu_json_value *value, bool canonical, struct mu_text *out)
{
    switch (mu_json_type(value)) {
    case MU_JSON_BOOL:
        mu_text_add(out, "%s", mu_json_bool(value) ? "true" : "false");
        break;
    case MU_JSON_INTEGER:
        mu_text_add(out, "%lld", (long long)mu_json_integer(value));
        break;
    case MU_JSON_REAL:
        write_real(mu_json_real(value), canonical, out);
        break;
    case MU_JSON_STRING:
        mu_text_add_json_string(out, mu_json_string(value));
        break;
    default:
        mu_text_add(out, "null");
    }
}

struct member {
    const char *key;
    const mu_json_value *value;
};

static int compare_keys(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    return strcmp(left->key, right->key);
}

static void write_sorted_members(const mu_json_value *object, struct mu_text *out)
{
    size_t count = mu_json_count(object);
    struct member *members = calloc(count + 1, sizeof(*members));
    if (!members) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        members[i] = (struct member){mu_json_key(object, i), mu_json_member_at(object, i)};
    qsort(members, count, sizeof(*members), compare_keys);
    for (size_t i = 0; i < count; i++) {
        mu_text_append(out, ",", i > 0);
        mu_text_add_json_string(out, members[i].key);
        mu_text_append(out, ":", 1);
        mu_json_write_canonical(members[i].value, out);
    }
    free(members);
}

void mu_json_write_canonical(const mu_json_value *value, struct mu_text *out)
{
    enum mu_json_type type = mu_json_type(value);
    if (type == MU_JSON_OBJECT) {
        mu_text_append(out, "{", 1);
        write_sorted_members(value, out);
        mu_text_append(out, "}", 1);
    } else if (type == MU_JSON_ARRAY) {
        mu_text_append(out, "[", 1);
        for (size_t i = 0; i < mu_json_count(value); i++) {
            mu_text_append(out, ",", i > 0);
            mu_json_write_canonical(mu_json_element(value, i), out);
        }
        mu_text_append(out, "]", 1);
    } else {
        write_scalar(value, true, out);
    }
}

/* Lists of scalars stay on their line: [784, 128, 10]. */
static bool is_flat(const mu_json_value *container)
{
    size_t count = mu_json_count(container);
    bool flat = count == 0 || mu_json_type(container) == MU_JSON_ARRAY;
    for (size_t i = 0; flat && i < count; i++)
        flat = mu_json_type(mu_json_element(container, i)) < MU_JSON_ARRAY;
    return flat;
}

static void write_pretty(const mu_json_value *value, int indent, struct mu_text *out);

static void write_child(
    const mu_json_value *container, size_t index, int indent, struct mu_text *out)
{
    if (mu_json_type(container) == MU_JSON_ARRAY) {
        write_pretty(mu_json_element(container, index), indent, out);
        return;
    }
    mu_text_add_json_string(out, mu_json_key(container, index));
    mu_text_append(out, ": ", 2);
    write_pretty(mu_json_member_at(container, index), indent, out);
}

static void write_pretty(const mu_json_value *value, int indent, struct mu_text *out)
{
    enum mu_json_type type = mu_json_type(value);
    if (type < MU_JSON_ARRAY) {
        write_scalar(value, false, out);
        return;
    }
    bool flat = is_flat(value);
    mu_text_append(out, type == MU_JSON_ARRAY ? "[" : "{", 1);
    for (size_t i = 0; i < mu_json_count(value); i++) {
        mu_text_append(out, ", ", i == 0 ? 0 : flat ? 2 : 1);
        if (!flat)
            mu_text_add(out, "\n%*s", indent + 2, "");
        write_child(value, i, indent + 2, out);
    }
    if (!flat)
        mu_text_add(out, "\n%*s", indent, "");
    mu_text_append(out, type == MU_JSON_ARRAY ? "]" : "}", 1);
}

void mu_json_write_pretty(const mu_json_value *value, struct mu_text *out)
{
    write_pretty(value, 0, out);
    mu_text_append(out, "\n", 1);
}

const char *mu_json_type_name(enum mu_json_type type)
{
    static const char *const names[] = {
        "null", "true or false", "an integer", "a number", "a string", "an array", "an object"};
    static_assert(MU_COUNT_OF(names) == MU_JSON_OBJECT + 1, "a name for every type");
    assert((unsigned)type < MU_COUNT_OF(names));
    return names[type];
}
