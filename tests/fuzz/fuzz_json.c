/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JSON document. What is accepted has places inside its text, survives being
 * written and read again, and can be read as options or changed without harm. */
#include "fuzz_log.h"
#include "runtime/base/json.h"
#include "runtime/base/json_scan.h"
#include "runtime/base/options.h"
#include <stdlib.h>

/* Each place is found by a walk through the text; this bounds the work for one input. */
#define PLACES_MAX 200
#define PATH_BYTES_MAX 4096

struct options {
    int64_t index;
    double rate;
    char type[32];
    int kind;
    struct mu_integers widths;
    bool on;
};

static const struct mu_option rows[] = {
    {"index", MU_OPTION_INTEGER, offsetof(struct options, index), 0, 0, 65535, "0", NULL, "index"},
    {"rate", MU_OPTION_REAL, offsetof(struct options, rate), 0, 0, 10, "0.1", NULL, "rate"},
    {"type", MU_OPTION_STRING, offsetof(struct options, type), 32, 0, 0, NULL, NULL, "type"},
    {"kind", MU_OPTION_CHOICE, offsetof(struct options, kind), 0, 0, 0, "a", "a|bb|ccc", "kind"},
    {"widths", MU_OPTION_INTEGERS, offsetof(struct options, widths), 0, 1, 99, "1", NULL, "widths"},
    {"on", MU_OPTION_BOOL, offsetof(struct options, on), 0, 0, 0, "true", NULL, "on"},
    {0},
};

static struct mu_log fuzz_log;

static void check_place(const struct mu_json *json, const char *path, int *places)
{
    for (int of_key = 0; of_key < 2 && *places < PLACES_MAX; of_key++, ++*places) {
        struct mu_place place = mu_json_place(json, path, of_key);
        FUZZ_CHECK(place.offset <= place.bytes);
        FUZZ_CHECK(place.width <= place.bytes - place.offset);
        (void)!mu_fail_at(&fuzz_log, MU_E0201, &place, "expected", "help", "`%s`", path);
    }
}

static void check_value(
    const struct mu_json *json, const mu_json_value *value, char *path, int *places)
{
    size_t end = strlen(path);
    enum mu_json_type type = mu_json_type(value);
    check_place(json, path, places);
    if (type < MU_JSON_ARRAY)
        return;
    for (size_t i = 0; i < mu_json_count(value) && *places < PLACES_MAX; i++) {
        bool array = type == MU_JSON_ARRAY;
        const char *key = array ? "" : mu_json_key(value, i);
        if (end + strlen(key) + 32 > PATH_BYTES_MAX)
            continue;
        if (array)
            mu_format(path + end, PATH_BYTES_MAX - end, "[%zu]", i);
        else
            mu_format(path + end, PATH_BYTES_MAX - end, ".%s", key);
        check_value(
            json, array ? mu_json_element(value, i) : mu_json_member_at(value, i), path, places);
        path[end] = '\0';
    }
}

/* Whether the text reads as a document whose canonical text is `canonical`. */
static void check_same(const struct mu_text *text, const struct mu_text *canonical)
{
    if (text->bytes > MU_JSON_BYTES_MAX)
        return; /* escapes and indents may lengthen a document over the limit */
    struct mu_json *json = NULL;
    struct mu_text again;
    mu_text_init(&again);
    enum mu_status status =
        mu_json_parse(&fuzz_log, MU_E0201, "again", text->data, text->bytes, &json);
    FUZZ_CHECK(status == MU_OK);
    mu_json_write_canonical(mu_json_root(json), &again);
    FUZZ_CHECK(strcmp(again.data, canonical->data) == 0);
    mu_text_finish(&again);
    mu_json_destroy(json);
}

static void check_written(const struct mu_json *json)
{
    struct mu_text canonical, pretty;
    mu_text_init(&canonical);
    mu_text_init(&pretty);
    mu_json_write_canonical(mu_json_root(json), &canonical);
    mu_json_write_pretty(mu_json_root(json), &pretty);
    FUZZ_CHECK(!canonical.failed && !pretty.failed);
    check_same(&canonical, &canonical);
    check_same(&pretty, &canonical);
    mu_text_finish(&canonical);
    mu_text_finish(&pretty);
}

/* What a scan of the text counts is what a walk through the tree counts. */
static size_t count_tokens(const mu_json_value *value, size_t *widest)
{
    bool array = mu_json_type(value) == MU_JSON_ARRAY,
         object = mu_json_type(value) == MU_JSON_OBJECT;
    size_t children = array || object ? mu_json_count(value) : 0, tokens = 1;
    *widest = children > *widest ? children : *widest;
    for (size_t i = 0; i < children; i++) {
        const mu_json_value *child =
            array ? mu_json_element(value, i) : mu_json_member_at(value, i);
        tokens += count_tokens(child, widest) + object;
    }
    return tokens;
}

static void check_extent(const struct mu_json *json, const char *text, size_t bytes)
{
    struct mu_json_extent extent;
    size_t widest = 0;
    mu_json_scan_extent(text, bytes, &extent);
    FUZZ_CHECK(extent.widest_at <= bytes);
    if (!json)
        return;
    FUZZ_CHECK(extent.tokens == count_tokens(mu_json_root(json), &widest));
    /* The root counts as the one child of the text. */
    FUZZ_CHECK(extent.widest == widest || (widest == 0 && extent.widest == 1));
}

static void check_options(const struct mu_json *json)
{
    static const char *const also[] = {"cluster", "task", NULL};
    struct options options;
    if (mu_options_read(&fuzz_log, json, mu_json_root(json), "", rows, also, &options) != MU_OK)
        return;
    FUZZ_CHECK(options.index >= 0 && options.index <= 65535);
    FUZZ_CHECK(options.rate >= 0 && options.rate <= 10);
    FUZZ_CHECK(options.kind >= 0 && options.kind <= 2);
    FUZZ_CHECK(options.widths.count >= 0 && options.widths.count <= MU_INTEGERS_MAX);
    FUZZ_CHECK(memchr(options.type, '\0', sizeof(options.type)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mu_json *json = NULL;
    fuzz_log_init(&fuzz_log);
    if (mu_json_parse(&fuzz_log, MU_E0201, "input", (const char *)data, bytes, &json) != MU_OK) {
        FUZZ_CHECK(!json);
        FUZZ_CHECK(fuzz_log.first_number == 201);
        check_extent(NULL, (const char *)data, bytes);
        return 0;
    }
    char path[PATH_BYTES_MAX] = "";
    int places = 0;
    check_value(json, mu_json_root(json), path, &places);
    check_extent(json, (const char *)data, bytes);
    check_written(json);
    check_options(json);
    if (mu_json_set(&fuzz_log, json, "task.index", "1") == MU_OK)
        check_written(json);
    mu_json_destroy(json);
    return 0;
}
