/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_phases.h"
#include "roles/job/job_rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 64
#define NAMES_MAX 32
#define STEP_MAX 9007199254740992.0 /* 2^53, as of other steps */

/* ---- rows ---- */

static const struct mu_option from_rows[] = {
    {.name = "from_step",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_phase, from_step),
        .min = 0,
        .max = STEP_MAX,
        .fallback = "0",
        .doc = "the entry holds from this step on; this or from_epoch, and more than 0"},
    {.name = "from_epoch",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct mu_job_phase, from_epoch),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "the same after so many epochs, in the steps that their batches make if none is "
               "dropped"},
};

/* What may change, of the rows of the mode. */
static const char *const changing[] = {"mode.kind", "mode.workers", "mode.backups",
    "mode.gradients", "mode.bound", "mode.auto_steps", "mode.policy"};

#define FROM_ROWS MU_COUNT_OF(from_rows)
#define ROWS (FROM_ROWS + MU_COUNT_OF(changing))

struct rows {
    struct mu_option row[ROWS + 1];
};

static struct rows rows_of_entry(void)
{
    struct rows rows = {0};
    memcpy(rows.row, from_rows, sizeof(from_rows));
    for (size_t i = 0; i < MU_COUNT_OF(changing); i++) {
        struct mu_option *row = &rows.row[FROM_ROWS + i];
        *row = *mu_job_row_find(changing[i]);
        row->offset += offsetof(struct mu_job_phase, mode);
    }
    return rows;
}

static const struct mu_job_section *mode_section(void)
{
    int i = 0;
    while (strcmp(mu_job_sections[i].name, "mode") != 0)
        i++;
    return &mu_job_sections[i];
}

static struct mu_job_kind policy_of(const struct mu_policy_ops *policy)
{
    struct mu_job_kind kind = {0};
    bool found = mu_job_kind_find(mode_section(), policy->name, &kind);
    assert(found);
    (void)found;
    return kind;
}

/* ---- reading ---- */

struct entry {
    struct mu_log *log;
    struct mu_job *job;
    int index;
    const mu_json_value *object;
    char path[PATH_BYTES]; /* "mode.schedule[0]" */
};

static struct mu_place place_of(const struct mu_job *job, const char *path, const char *key)
{
    char full[2 * PATH_BYTES];
    mu_format(full, sizeof(full), "%s%s%s", path, key[0] ? "." : "", key);
    return mu_json_place(job->json, full, false);
}

struct mu_place mu_job_phases_place(const struct mu_job *job, int phase)
{
    char path[PATH_BYTES];
    mu_format(path, sizeof(path), "mode.schedule[%d]", phase);
    struct mu_place place = place_of(job, path, "");
    place.width = 1; /* the whole object would be underlined */
    return place;
}

static const struct mu_job_phase *before(const struct entry *entry)
{
    return entry->index > 0 ? &entry->job->phase[entry->index - 1] : NULL;
}

static enum mu_status find_policy(const struct entry *entry, struct mu_job_kind *ret_kind)
{
    const struct mu_job_phase *last = before(entry);
    const mu_json_value *value = mu_json_member(entry->object, "policy");
    const char *name = last ? last->policy->name : entry->job->policy->name;
    const char *names[NAMES_MAX];
    char help[80];
    size_t count = 0;
    if (value && mu_json_type(value) == MU_JSON_STRING) /* if not, its row says so */
        name = mu_json_string(value);
    if (mu_job_kind_find(mode_section(), name, ret_kind))
        return MU_OK;
    for (struct mu_job_kind kind; count < NAMES_MAX && mode_section()->kind(count, &kind);)
        names[count++] = kind.name;
    const char *nearest = mu_text_nearest(name, names, count);
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest ? nearest : "");
    struct mu_place place = place_of(entry->job, entry->path, "policy");
    return mu_fail_at(entry->log, MU_E0202, &place, NULL, nearest ? help : NULL,
        "unknown %s.policy `%.40s`", entry->path, name);
}

static size_t field_bytes(const struct mu_option *row)
{
    switch (row->type) {
    case MU_OPTION_BOOL:
        return sizeof(bool);
    case MU_OPTION_CHOICE:
        return sizeof(int);
    case MU_OPTION_STRING:
        return row->bytes;
    case MU_OPTION_INTEGERS:
        return sizeof(struct mu_integers);
    default:
        return sizeof(int64_t);
    }
}

/* What the entry does not say is taken from before it. */
static void inherit(
    const mu_json_value *object, const struct mu_option *rows, const void *from, void *to)
{
    for (; rows->name; rows++)
        if (!mu_json_member(object, rows->name))
            memcpy((char *)to + rows->offset, (const char *)from + rows->offset, field_bytes(rows));
}

static void names_of(const struct mu_option *rows, const char *names[NAMES_MAX])
{
    size_t count = 0;
    for (; rows->name && count + 1 < NAMES_MAX; rows++)
        names[count++] = rows->name;
    names[count] = NULL;
}

static enum mu_status read_values(
    const struct entry *entry, const struct mu_job_phase *last, struct mu_job_phase *phase)
{
    struct rows rows = rows_of_entry();
    struct mu_job_kind kind;
    const char *also[NAMES_MAX];
    MU_TRY(find_policy(entry, &kind));
    phase->policy = kind.ops;
    phase->policy_options = calloc(1, kind.option_bytes + 1);
    if (!phase->policy_options)
        return mu_fail(entry->log, MU_E0801, NULL, "no memory for %s", entry->path);
    names_of(kind.options, also);
    MU_TRY(mu_options_read(
        entry->log, entry->job->json, entry->object, entry->path, rows.row, also, phase));
    names_of(rows.row, also);
    MU_TRY(mu_options_read(entry->log, entry->job->json, entry->object, entry->path, kind.options,
        also, phase->policy_options));
    inherit(entry->object, rows.row + FROM_ROWS, last, phase);
    if (last->policy == phase->policy && last->policy_options)
        inherit(entry->object, kind.options, last->policy_options, phase->policy_options);
    if (phase->mode.kind != MU_MODE_SYNC && !mu_json_member(entry->object, "workers"))
        phase->mode.workers = 0;
    if (phase->mode.kind != MU_MODE_SYNC && !mu_json_member(entry->object, "backups"))
        phase->mode.backups = 0;
    return MU_OK;
}

/* Each begins after the one before it; steps and epochs cannot be compared without the data. */
static enum mu_status check_from(const struct entry *entry, const struct mu_job_phase *phase)
{
    const struct mu_job_phase *last = before(entry);
    const char *key = phase->from_epoch > 0 ? "from_epoch" : "from_step";
    int64_t from = phase->from_epoch > 0 ? phase->from_epoch : phase->from_step;
    struct mu_place place = mu_job_phases_place(entry->job, entry->index);
    if ((phase->from_epoch > 0) == (phase->from_step > 0))
        return mu_fail_at(entry->log, MU_E0203, &place, NULL,
            "\"from_step\": 1000, or \"from_epoch\": 2",
            "`%s` needs one of from_step and from_epoch, 1 or more", entry->path);
    if (!last)
        return MU_OK;
    if ((last->from_epoch > 0) != (phase->from_epoch > 0))
        return mu_fail_at(entry->log, MU_E0203, &place, NULL,
            "use from_step in all entries, or from_epoch in all",
            "`%s` has %s, and the entry before it has not", entry->path, key);
    int64_t from_last = last->from_epoch > 0 ? last->from_epoch : last->from_step;
    if (from > from_last)
        return MU_OK;
    place = place_of(entry->job, entry->path, key);
    return mu_fail_at(entry->log, MU_E0203, &place, NULL, "sort the entries, smallest first",
        "`%s.%s` is %lld, and the entry before it begins at %lld", entry->path, key,
        (long long)from, (long long)from_last);
}

static enum mu_status read_entry(const struct entry *entry, struct mu_job_phase *phase)
{
    const struct mu_job *job = entry->job;
    const struct mu_job_phase base = {
        .mode = job->mode, .policy = job->policy, .policy_options = job->policy_options};
    const struct mu_job_phase *last = before(entry) ? before(entry) : &base;
    phase->mode = last->mode;
    if (mu_json_type(entry->object) != MU_JSON_OBJECT) {
        struct mu_place place = mu_job_phases_place(job, entry->index);
        return mu_fail_at(entry->log, MU_E0203, &place, "expected an object", NULL, "`%s` is %s",
            entry->path, mu_json_type_name(mu_json_type(entry->object)));
    }
    MU_TRY(read_values(entry, last, phase));
    return check_from(entry, phase);
}

enum mu_status mu_job_phases_read(struct mu_log *log, struct mu_job *job)
{
    const mu_json_value *mode = mu_json_member(mu_json_root(job->json), "mode");
    const mu_json_value *list = mode ? mu_json_member(mode, "schedule") : NULL;
    if (!list)
        return MU_OK;
    struct mu_place place = mu_json_place(job->json, "mode.schedule", false);
    if (mu_json_type(list) != MU_JSON_ARRAY)
        return mu_fail_at(log, MU_E0203, &place, "expected a list of objects",
            "\"schedule\": [{\"from_step\": 1000, \"kind\": \"async\"}]", "`mode.schedule` is %s",
            mu_json_type_name(mu_json_type(list)));
    if (mu_json_count(list) > MU_JOB_PHASES_MAX)
        return mu_fail_at(log, MU_E0203, &place, NULL, "use fewer entries",
            "`mode.schedule` has %zu entries; there may be %d", mu_json_count(list),
            MU_JOB_PHASES_MAX);
    for (int i = 0; i < (int)mu_json_count(list); i++) {
        struct entry entry = {
            .log = log, .job = job, .index = i, .object = mu_json_element(list, (size_t)i)};
        mu_format(entry.path, sizeof(entry.path), "mode.schedule[%d]", i);
        job->phase_count++; /* what it has allocated is freed with the job */
        MU_TRY(read_entry(&entry, &job->phase[i]));
    }
    return MU_OK;
}

void mu_job_phases_finish(struct mu_job *job)
{
    for (int i = 0; i < job->phase_count; i++)
        free(job->phase[i].policy_options);
    job->phase_count = 0;
}

/* ---- writing ---- */

void mu_job_phases_write(const struct mu_job *job, struct mu_text *out)
{
    struct rows rows = rows_of_entry();
    if (job->phase_count == 0)
        return;
    mu_text_add(out, "\"schedule\":[");
    for (int i = 0; i < job->phase_count; i++) {
        const struct mu_job_phase *phase = &job->phase[i];
        struct mu_job_kind kind = policy_of(phase->policy);
        mu_text_add(out, i > 0 ? ",{" : "{");
        mu_options_write(rows.row, phase, out);
        mu_text_append(out, ",", kind.options->name != NULL);
        mu_options_write(kind.options, phase->policy_options, out);
        mu_text_add(out, "}");
    }
    mu_text_add(out, "]");
}

void mu_job_phases_describe(struct mu_text *out)
{
    struct rows rows = rows_of_entry();
    mu_text_add(out,
        "\nmode.schedule[]: a list of other modes for later steps, as [{\"from_step\": 1000, "
        "\"kind\": \"async\"}]; what an entry does not say stays as before it\n");
    for (struct mu_option *row = rows.row; row->name; row++)
        row->fallback = "";
    mu_options_describe(rows.row, out);
}
