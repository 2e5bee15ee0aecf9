/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a value of every type of option. What is accepted is within its range and reads back
 * equal after it was written. */
#include "fuzz_log.h"
#include "runtime/base/json.h"
#include "runtime/base/options.h"
#include <math.h>
#include <stdlib.h>

struct options {
    bool on;
    int64_t count, any;
    double rate;
    char path[64];
    int kind;
    struct mu_integers widths;
};

static const struct mu_option rows[] = {
    {"on", MU_OPTION_BOOL, offsetof(struct options, on), 0, 0, 0, "true", NULL, "on"},
    {"count", MU_OPTION_INTEGER, offsetof(struct options, count), 0, 1, 65535, "1", NULL, "count"},
    {"any", MU_OPTION_INTEGER, offsetof(struct options, any), 0, 0, 0, "0", NULL, "any"},
    {"rate", MU_OPTION_REAL, offsetof(struct options, rate), 0, 0, 0, "0.1", NULL, "rate"},
    {"path", MU_OPTION_STRING, offsetof(struct options, path), 64, 0, 0, "x", NULL, "path"},
    {"kind", MU_OPTION_CHOICE, offsetof(struct options, kind), 0, 0, 0, "a", "a|bb|ccc", "kind"},
    {"widths", MU_OPTION_INTEGERS, offsetof(struct options, widths), 0, 1, 99, "", NULL, "widths"},
    {0},
};

static struct mu_log fuzz_log;

static void write_object(const struct options *options, struct mu_text *out)
{
    mu_text_append(out, "{", 1);
    mu_options_write(rows, options, out);
    mu_text_append(out, "}", 1);
    FUZZ_CHECK(!out->failed);
}

static void check_reads_back(const struct options *options)
{
    struct mu_text text, again;
    struct mu_json *json = NULL;
    struct options read;
    mu_text_init(&text);
    mu_text_init(&again);
    write_object(options, &text);
    enum mu_status status =
        mu_json_parse(&fuzz_log, MU_E0201, "options", text.data, text.bytes, &json);
    FUZZ_CHECK(status == MU_OK);
    status = mu_options_read(&fuzz_log, json, mu_json_root(json), "", rows, NULL, &read);
    FUZZ_CHECK(status == MU_OK);
    write_object(&read, &again);
    FUZZ_CHECK(strcmp(text.data, again.data) == 0);
    mu_text_finish(&text);
    mu_text_finish(&again);
    mu_json_destroy(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    if (!text)
        return 0;
    if (bytes > 0)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    bool is_utf8 = mu_text_is_utf8(text, strlen(text));
    fuzz_log_init(&fuzz_log);
    for (const struct mu_option *row = rows; row->name; row++) {
        struct options options;
        mu_options_defaults(rows, &options);
        if (mu_options_set(&fuzz_log, "--flag", row, text, &options) != MU_OK)
            continue;
        FUZZ_CHECK(options.count >= 1 && options.count <= 65535);
        FUZZ_CHECK(isfinite(options.rate));
        if (is_utf8) /* else a replacement character may not fit where the byte did */
            check_reads_back(&options);
    }
    free(text);
    return 0;
}
