/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hello.h"
#include "runtime/base/json.h"
#include "runtime/base/log_quiet.h"
#include <string.h>

#define VALUE_SHOWN_MAX 100

static const mu_json_value *member_of(const mu_json_value *object, const char *key)
{
    bool has_members = object && mu_json_type(object) == MU_JSON_OBJECT;
    return has_members ? mu_json_member(object, key) : NULL;
}

static size_t count_of(const mu_json_value *object)
{
    return mu_json_type(object) == MU_JSON_OBJECT ? mu_json_count(object) : 0;
}

static void add_side(const mu_json_value *value, const char *whose, struct mu_text *out)
{
    struct mu_text text;
    mu_text_init(&text);
    if (value)
        mu_json_write_canonical(value, &text);
    else
        mu_text_add(&text, "nothing");
    mu_text_add(out, "%.*s%s on %s", VALUE_SHOWN_MAX, text.data,
        text.bytes > VALUE_SHOWN_MAX ? "..." : "", whose);
    mu_text_finish(&text);
}

static bool are_equal(const mu_json_value *a, const mu_json_value *b)
{
    struct mu_text left, right;
    mu_text_init(&left);
    mu_text_init(&right);
    mu_json_write_canonical(a, &left);
    mu_json_write_canonical(b, &right);
    bool equal = left.bytes == right.bytes && left.data && right.data &&
                 memcmp(left.data, right.data, left.bytes) == 0;
    mu_text_finish(&left);
    mu_text_finish(&right);
    return equal;
}

/* The first "section.key" of `a` that `b` has not (`missing`), or has with another value. */
static bool find(const mu_json_value *a, const mu_json_value *b, bool missing,
    const char **ret_section, const char **ret_key)
{
    for (size_t i = 0; i < count_of(a); i++) {
        const mu_json_value *section = mu_json_member_at(a, i);
        *ret_section = mu_json_key(a, i);
        for (size_t j = 0; j < count_of(section); j++) {
            *ret_key = mu_json_key(section, j);
            const mu_json_value *there = member_of(member_of(b, *ret_section), *ret_key);
            if (missing ? !there : there && !are_equal(mu_json_member_at(section, j), there))
                return true;
        }
    }
    return false;
}

static bool add_difference(const struct mu_hello_sides *sides, const mu_json_value *ours,
    const mu_json_value *theirs, struct mu_text *out)
{
    const char *section, *key;
    if (!find(ours, theirs, false, &section, &key) && !find(ours, theirs, true, &section, &key) &&
        !find(theirs, ours, true, &section, &key))
        return false;
    mu_text_add(out, "%.60s.%.60s: ", section, key);
    add_side(member_of(member_of(ours, section), key), sides->our_name, out);
    mu_text_add(out, ", ");
    add_side(member_of(member_of(theirs, section), key), sides->their_name, out);
    return true;
}

bool mu_hello_job_difference(const struct mu_hello_sides *sides, struct mu_text *out)
{
    const char *ours = sides->ours, *theirs = sides->theirs;
    struct mu_log silent = mu_log_quiet();
    struct mu_json *here = NULL, *there = NULL;
    bool told =
        mu_json_parse(&silent, MU_E0804, "ours", ours, strlen(ours), &here) == MU_OK &&
        mu_json_parse(&silent, MU_E0404, "theirs", theirs, strlen(theirs), &there) == MU_OK &&
        add_difference(sides, mu_json_root(here), mu_json_root(there), out);
    mu_json_destroy(here);
    mu_json_destroy(there);
    return told;
}
