/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_phases.h"
#include "roles/job/job_rows.h"
#include "runtime/base/log_quiet.h"
#include <string.h>

#define ROWS_MAX 64

/* What may differ between the tasks of one run. */
struct leave_out {
    const char *section, *key; /* key NULL: the whole section */
};
static const struct leave_out of_hash[] = {
    {"data", "path"}, {"checkpoint", NULL}, {"log", NULL}, {"train", "device"}, {NULL, NULL}};
static const struct leave_out nothing[] = {{NULL, NULL}};

static bool is_left_out(const struct leave_out *list, const char *section, const char *key)
{
    for (; list->section; list++)
        if (strcmp(list->section, section) == 0 && (!list->key || strcmp(list->key, key) == 0))
            return true;
    return false;
}

static void write_rows(const char *section, const struct mu_option *rows, const void *options,
    const struct leave_out *leave_out, bool *any, struct mu_text *out)
{
    struct mu_option kept[ROWS_MAX] = {{.name = NULL}};
    size_t count = 0;
    for (; rows->name; rows++)
        if (!is_left_out(leave_out, section, rows->name)) {
            assert(count + 1 < ROWS_MAX);
            kept[count++] = *rows;
        }
    if (count == 0)
        return;
    mu_text_append(out, ",", *any);
    mu_options_write(kept, options, out);
    *any = true;
}

static void write_section(const struct mu_job *job, const struct mu_job_section *section,
    const struct leave_out *leave_out, struct mu_text *out)
{
    bool any = false;
    mu_text_add(out, "\"%s\":{", section->name);
    if (section->kind) {
        struct mu_job_kind kind = mu_job_kind_chosen(section, job);
        void *options = NULL;
        memcpy(&options, (const char *)job + section->options_offset, sizeof(options));
        if (!mu_options_find(section->rows, section->kind_key)) {
            mu_text_add(out, "\"%s\":\"%s\"", section->kind_key, kind.name);
            any = true;
        }
        write_rows(section->name, kind.options, options, leave_out, &any, out);
    }
    write_rows(
        section->name, section->rows, (const char *)job + section->offset, leave_out, &any, out);
    if (section->list_key && job->phase_count > 0) {
        mu_text_append(out, ",", any);
        mu_job_phases_write(job, out);
    }
    mu_text_add(out, "}");
}

static void write_sections(
    const struct mu_job *job, const struct leave_out *leave_out, struct mu_text *out)
{
    bool any = false;
    for (int i = 0; i < MU_JOB_SECTIONS; i++) {
        if (is_left_out(leave_out, mu_job_sections[i].name, ""))
            continue;
        mu_text_append(out, ",", any);
        write_section(job, &mu_job_sections[i], leave_out, out);
        any = true;
    }
}

uint64_t mu_job_hash(const struct mu_job *job)
{
    struct mu_text text;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a (Fowler, Noll, Vo 1991), 64 bits */
    mu_text_init(&text);
    write_sections(job, of_hash, &text);
    for (size_t i = 0; i < text.bytes; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
    mu_text_finish(&text);
    return hash;
}

void mu_job_write_agreed(const struct mu_job *job, struct mu_text *out)
{
    mu_text_add(out, "{");
    write_sections(job, of_hash, out);
    mu_text_add(out, "}");
}

void mu_job_write(const struct mu_job *job, struct mu_text *out)
{
    struct mu_log silent = mu_log_quiet();
    struct mu_text line;
    struct mu_json *json = NULL;
    mu_text_init(&line);
    mu_text_add(&line, "{\"name\":\"%s\",", job->name);
    write_sections(job, nothing, &line);
    mu_text_add(&line, "}");
    if (mu_json_parse(&silent, MU_E0804, "job.json", line.data, line.bytes, &json) == MU_OK)
        mu_json_write_pretty(mu_json_root(json), out);
    else
        out->failed = true; /* nothing but memory can be missing */
    mu_json_destroy(json);
    mu_text_finish(&line);
}

static void describe_kinds(const struct mu_job_section *section, struct mu_text *out)
{
    struct mu_job_kind kind;
    for (size_t i = 0; section->kind(i, &kind); i++) {
        mu_text_add(
            out, "\n%s.%s = \"%s\": %s\n", section->name, section->kind_key, kind.name, kind.doc);
        mu_options_describe(kind.options, out);
    }
}

void mu_job_describe(struct mu_text *out)
{
    mu_text_add(
        out, "A job is one JSON object with these sections; all but `model` may be absent.\n\n");
    mu_options_describe(mu_job_root_rows, out);
    for (int i = 0; i < MU_JOB_SECTIONS; i++) {
        const struct mu_job_section *section = &mu_job_sections[i];
        mu_text_add(out, "\n%s: %s\n", section->name, section->doc);
        if (section->kind_fallback && !mu_options_find(section->rows, section->kind_key))
            mu_text_add(out, "  %s (default %s)\n", section->kind_key, section->kind_fallback);
        mu_options_describe(section->rows, out);
        if (section->kind)
            describe_kinds(section, out);
        if (section->list_key)
            mu_job_phases_describe(out);
    }
}
