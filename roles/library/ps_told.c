/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "roles/library/ps_library.h"
#include "runtime/base/options.h"
#include "runtime/optim/optimizers.h"
#include <stdlib.h>
#include <string.h>

/* Optimizer, mode and policy of muster/ps.h, by their names and options as text. */

#define WORD_MAX 128
#define NAMES_MAX 32
#define GAP ", \t\n" /* between two options */
#define ROW_WIDTH_MAX (MU_FRAME_PAYLOAD_MAX / sizeof(float))
#define COUNT_MAX ((size_t)MU_PS_SERVERS_MAX * (MU_FRAME_PAYLOAD_MAX / sizeof(float)))

/* ---- names ---- */

static enum mu_status unknown(
    struct mu_log *log, const char *what, const char *name, const char *const names[], size_t count)
{
    char help[80];
    const char *nearest = mu_text_nearest(name, names, count);
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest ? nearest : "");
    return mu_fail(log, MU_E0001, nearest ? help : NULL, "there is no %s `%.60s`", what, name);
}

static enum mu_status find_optimizer(
    struct mu_log *log, const char *name, const struct mu_optimizer_ops **ret_ops)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (; mu_optimizers[count] && count < NAMES_MAX; count++)
        names[count] = mu_optimizers[count]->name;
    *ret_ops = mu_optimizer_find(name);
    return *ret_ops ? MU_OK : unknown(log, "optimizer", name, names, count);
}

static enum mu_status find_policy(
    struct mu_log *log, const char *name, const struct mu_policy_ops **ret_ops)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (; mu_policies[count] && count < NAMES_MAX; count++) {
        names[count] = mu_policies[count]->name;
        *ret_ops = mu_policies[count];
        if (strcmp(names[count], name) == 0)
            return MU_OK;
    }
    return unknown(log, "policy", name, names, count);
}

/* ---- options ---- */

/* Rows, and the struct that they are about. */
struct part {
    const struct mu_option *rows;
    void *options;
};

/* Clipping is by the norm of the whole gradient, which no server sees. */
static bool is_of_workers(const struct mu_option *row)
{
    return strcmp(row->name, "clip_norm") == 0;
}

static enum mu_status set_one(
    struct mu_log *log, const struct part parts[2], const char *key, const char *value)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (int i = 0; i < 2; i++)
        for (const struct mu_option *row = parts[i].rows; row && row->name; row++) {
            if (is_of_workers(row))
                continue;
            if (strcmp(row->name, key) == 0)
                return mu_options_set(log, key, row, value, parts[i].options);
            if (count < NAMES_MAX)
                names[count++] = row->name;
        }
    return unknown(log, "option", key, names, count);
}

/* Is there nothing on one side of a comma? */
static bool is_hole(const char *text, const char *at, size_t gap_bytes)
{
    bool outside = at == text || !at[gap_bytes];
    const char *comma = memchr(at, ',', gap_bytes);
    const char *next = comma ? comma + 1 : at;
    return comma && (outside || memchr(next, ',', (size_t)(at + gap_bytes - next)));
}

static bool is_repeated(const char *text, const char *at, const char *key)
{
    size_t bytes = strlen(key);
    for (const char *word = text; word < at; word += strspn(word, GAP)) {
        if (strncmp(word, key, bytes) == 0 && word[bytes] == '=')
            return true;
        word += strcspn(word, GAP);
    }
    return false;
}

/* "learning_rate=0.1, momentum=0.9" */
static enum mu_status set_all(struct mu_log *log, const struct part parts[2], const char *text)
{
    for (int i = 0; i < 2; i++)
        if (parts[i].rows)
            mu_options_defaults(parts[i].rows, parts[i].options);
    for (const char *at = text; at; at += strcspn(at, GAP)) {
        char word[WORD_MAX];
        size_t gap = strspn(at, GAP), bytes = strcspn(at + gap, GAP);
        if (is_hole(text, at, gap))
            return mu_fail(log, MU_E0001, "leave out the comma",
                "`%.60s` has a comma with no option beside it", text);
        at += gap;
        if (!*at)
            break;
        mu_format(word, sizeof(word), "%.*s", (int)(bytes < WORD_MAX ? bytes : WORD_MAX - 1), at);
        char *equals = strchr(word, '=');
        if (!equals || bytes >= WORD_MAX)
            return mu_fail(log, MU_E0001, "as in \"learning_rate=0.1, momentum=0.9\"",
                "`%s` is not key=value", word);
        *equals = '\0';
        if (is_repeated(text, at, word))
            return mu_fail(log, MU_E0001, "say it once", "`%s` is said twice", word);
        MU_TRY(set_one(log, parts, word, equals + 1));
    }
    return MU_OK;
}

static enum mu_status read_optimizer(
    struct mu_log *log, const struct mu_ps_options *options, struct mu_ps_told *told)
{
    struct mu_optim_common common;
    const char *name = options->optimizer ? options->optimizer : "sgd";
    MU_TRY(find_optimizer(log, name, &told->optimizer));
    told->optimizer_options = calloc(1, told->optimizer->option_bytes + 1);
    if (!told->optimizer_options)
        return mu_fail(log, MU_E0801, NULL, "no memory for an optimizer");
    const struct part parts[2] = {
        {mu_optim_common_rows, &common}, {told->optimizer->options, told->optimizer_options}};
    MU_TRY(set_all(log, parts, options->optimizer_options));
    told->learning_rate = common.learning_rate;
    told->weight_decay = common.weight_decay;
    return MU_OK;
}

static enum mu_status read_policy(
    struct mu_log *log, const struct mu_ps_options *options, struct mu_ps_told *told)
{
    MU_TRY(find_policy(log, options->policy ? options->policy : "apply", &told->policy));
    told->policy_options = calloc(1, told->policy->option_bytes + 1);
    if (!told->policy_options)
        return mu_fail(log, MU_E0801, NULL, "no memory for a policy");
    const struct part parts[2] = {{told->policy->options, told->policy_options}, {NULL, NULL}};
    return set_all(log, parts, options->policy_options);
}

/* ---- modes ---- */

static enum mu_status read_mode(struct mu_log *log, const struct mu_ps_options *options,
    int worker_count, struct mu_ps_mode *mode)
{
    static const char *const names[] = {"async", "softsync", "sync", "bounded"};
    static const enum mu_ps_mode_kind kinds[] = {
        MU_PS_ASYNC, MU_PS_SOFTSYNC, MU_PS_SYNC, MU_PS_BOUNDED};
    const char *name = options->mode ? options->mode : "async";
    size_t i = 0;
    while (i < MU_COUNT_OF(names) && strcmp(names[i], name) != 0)
        i++;
    if (i == MU_COUNT_OF(names))
        return unknown(log, "mode", name, names, MU_COUNT_OF(names));
    if (options->gradients < 0 || options->bound < 0 || options->backups < 0 ||
        options->backups >= worker_count)
        return mu_fail(log, MU_E0001, NULL,
            "gradients %d, bound %d, %d backups of %d workers: they are 0 or more, and one worker "
            "is no backup",
            options->gradients, options->bound, options->backups, worker_count);
    *mode = (struct mu_ps_mode){
        .kind = kinds[i],
        .workers = worker_count - options->backups,
        .gradients = options->gradients > 0 ? options->gradients : 1,
        .bound = options->bound,
    };
    return MU_OK;
}

/* A number for another mode would have no effect. */
static enum mu_status check_numbers(
    struct mu_log *log, const struct mu_ps_options *options, const struct mu_ps_told *told)
{
    enum mu_ps_mode_kind kind = told->mode.kind;
    const char *mode = options->mode ? options->mode : "async";
    if (options->gradients > 1 && kind != MU_PS_SOFTSYNC)
        return mu_fail(log, MU_E0001, "use mode softsync, or leave out gradients",
            "gradients is %d, and in mode `%s` each gradient counts alone or all do",
            options->gradients, mode);
    if (options->backups > 0 && kind != MU_PS_SYNC)
        return mu_fail(log, MU_E0001, "use mode sync, or leave out backups",
            "backups is %d, and mode `%s` takes every gradient", options->backups, mode);
    if (options->bound > 0 && kind != MU_PS_BOUNDED && strcmp(told->policy->name, "drop") != 0)
        return mu_fail(log, MU_E0001, "use mode bounded or policy drop, or leave out bound",
            "bound is %d, and mode `%s` with policy `%s` has none", options->bound, mode,
            told->policy->name);
    return MU_OK;
}

/* As mu_job_fit has it for jobs; docs/PARAMETER_SERVERS.md has the table. */
static enum mu_status check_fit(
    struct mu_log *log, const struct mu_ps_options *options, const struct mu_ps_told *told)
{
    enum mu_ps_mode_kind kind = told->mode.kind;
    const char *policy = told->policy->name;
    bool applies = strcmp(policy, "apply") == 0;
    bool fits = applies || kind == MU_PS_ASYNC ||
                (kind == MU_PS_SOFTSYNC && !told->policy->correct) ||
                (kind == MU_PS_BOUNDED && strcmp(policy, "drop") != 0);
    if (!fits)
        return mu_fail(log, MU_E0001, "use policy apply, or mode async",
            "policy `%s` has nothing to do in mode `%s`", policy, options->mode);
    if ((kind == MU_PS_SYNC || kind == MU_PS_BOUNDED) && options->in_flight > 1)
        return mu_fail(log, MU_E0001, "use in_flight 1, or mode async or softsync",
            "in mode `%s` a worker waits for the answer to its push", options->mode);
    return MU_OK;
}

/* ---- the whole ---- */

enum mu_status mu_ps_told_read(struct mu_log *log, const struct mu_ps_options *options,
    int worker_count, struct mu_ps_told *ret_told)
{
    *ret_told = (struct mu_ps_told){0};
    enum mu_status status = read_optimizer(log, options, ret_told);
    if (status == MU_OK)
        status = read_policy(log, options, ret_told);
    if (status == MU_OK)
        status = read_mode(log, options, worker_count, &ret_told->mode);
    if (status == MU_OK)
        status = check_fit(log, options, ret_told);
    if (status == MU_OK)
        status = check_numbers(log, options, ret_told);
    if (status != MU_OK)
        mu_ps_told_finish(ret_told);
    return status;
}

void mu_ps_told_finish(struct mu_ps_told *told)
{
    free(told->optimizer_options);
    free(told->policy_options);
    *told = (struct mu_ps_told){0};
}

enum mu_status mu_ps_told_transport(
    struct mu_log *log, const struct mu_ps_options *options, enum mu_ps_sharing *ret_sharing)
{
    static const char *const names[] = {"route", "tcp", "shm"};
    static const enum mu_ps_sharing kinds[] = {
        MU_PS_SHARE_WHERE_POSSIBLE, MU_PS_SHARE_NEVER, MU_PS_SHARE_ALWAYS};
    const char *name = options->transport ? options->transport : "route";
    for (size_t i = 0; i < MU_COUNT_OF(names); i++) {
        *ret_sharing = kinds[i];
        if (strcmp(names[i], name) == 0)
            return MU_OK;
    }
    return unknown(log, "transport", name, names, MU_COUNT_OF(names));
}

enum mu_status mu_ps_told_check(
    struct mu_log *log, const struct mu_ps_options *options, int *ret_in_flight)
{
    enum mu_ps_sharing sharing;
    *ret_in_flight = options->in_flight > 0 ? options->in_flight : 1;
    if (options->count == 0)
        return mu_fail(log, MU_E0001, NULL, "count is 0: a vector has elements");
    if (options->count > COUNT_MAX)
        return mu_fail(log, MU_E0001, NULL, "count is %zu, of 1 to %zu: a server keeps %zu at most",
            options->count, COUNT_MAX, COUNT_MAX / MU_PS_SERVERS_MAX);
    if (options->in_flight < 0 || options->in_flight > MU_PS_IN_FLIGHT_MAX)
        return mu_fail(log, MU_E0001, NULL, "in_flight is %d, of 1 to %d", options->in_flight,
            MU_PS_IN_FLIGHT_MAX);
    if (options->row_width > 0 && options->row_max == 0)
        return mu_fail(log, MU_E0001, NULL, "row_max is 0: a push with rows has at least one");
    if (options->row_width > ROW_WIDTH_MAX)
        return mu_fail(log, MU_E0001, NULL, "row_width is %zu, of 0 to %zu: a frame carries a row",
            options->row_width, ROW_WIDTH_MAX);
    if (options->row_range && options->row_ids == 0)
        return mu_fail(log, MU_E0001, NULL,
            "row_range: each server keeps a range of the ids below row_ids, so say row_ids");
    if (options->row_dense && (options->row_ids == 0 || options->row_limit > 0))
        return mu_fail(log, MU_E0001, NULL,
            "row_dense: all rows below row_ids are kept, so say row_ids, and no row_limit");
    return mu_ps_told_transport(log, options, &sharing);
}
