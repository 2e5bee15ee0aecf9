/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "roles/checkpoint/differences.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/shell.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Loading, newest first:
 *
 *   manifest    its own checksum, its format, its step          damaged: the entry before it
 *   each file   size, header, CRC of each tensor, of the file   damaged: the entry before it
 *   tensors     are they those of this model and optimizer?     no: the entry before it
 *   vectors     read view by view
 *   rows        given to whoever takes them, when nothing can be damaged any more
 *
 * Where none is of this model and optimizer, the newest that is whole says how it differs.
 */

/* ---- one entry ---- */

void mu_checkpoint_name_file(struct mu_store *store, int64_t step, const char *name, char *out)
{
    char entry[MU_CHECKPOINT_WHERE_BYTES - 2 * MU_STORE_NAME_MAX];
    store->ops->describe(store, step, entry, sizeof(entry));
    snprintf(out, MU_CHECKPOINT_WHERE_BYTES, "%s/%s", entry, name);
}

static enum mu_status say_missing(struct mu_log *log, const char *where, enum mu_status status)
{
    return status == MU_NO_INPUT ? mu_fail(log, MU_E0601, NULL, "%s is missing", where) : status;
}

static enum mu_status read_manifest(
    struct mu_store *store, struct mu_log *log, int64_t step, struct mu_manifest *ret_manifest)
{
    char where[MU_CHECKPOINT_WHERE_BYTES];
    void *text;
    size_t bytes;
    mu_checkpoint_name_file(store, step, MU_MANIFEST_NAME, where);
    enum mu_status status =
        store->ops->get(store, log, step, MU_MANIFEST_NAME, MU_JSON_BYTES_MAX, &text, &bytes);
    MU_TRY(say_missing(log, where, status));
    status = mu_manifest_parse(log, where, text, bytes, ret_manifest);
    free(text);
    MU_TRY(status);
    if (ret_manifest->step == step)
        return MU_OK;
    mu_manifest_finish(ret_manifest);
    return mu_fail(log, MU_E0601, NULL, "%s is of step %lld", where, (long long)ret_manifest->step);
}

enum mu_status mu_checkpoint_open_file(struct mu_store *store, struct mu_log *log,
    const struct mu_manifest *manifest, const char *name, struct mu_checkpoint_file *ret_file)
{
    char where[MU_CHECKPOINT_WHERE_BYTES];
    mu_checkpoint_name_file(store, manifest->step, name, where);
    const struct mu_manifest_file *file = mu_manifest_file(manifest, name);
    if (!file)
        return mu_fail(log, MU_E0601, NULL, "the manifest does not know %s", where);
    struct mu_store_open *opened;
    size_t bytes;
    enum mu_status status =
        store->ops->open(store, log, manifest->step, name, file->bytes, &opened, &bytes);
    MU_TRY(say_missing(log, where, status));
    status = mu_checkpoint_check_file(log, where, file, opened, bytes, &ret_file->tensors);
    if (status == MU_OK)
        ret_file->open = opened;
    else
        opened->ops->close(opened);
    return status;
}

enum mu_status mu_checkpoint_read(const struct mu_checkpoint_file *file, struct mu_log *log,
    const struct mu_safetensor *tensor, size_t at, void *data, size_t bytes)
{
    assert(bytes <= tensor->end - tensor->begin && at <= tensor->end - tensor->begin - bytes);
    return file->open->ops->read(file->open, log, tensor->begin + at, data, bytes);
}

void mu_checkpoint_close_file(struct mu_checkpoint_file *file)
{
    if (!file->open)
        return;
    mu_safetensors_finish(&file->tensors);
    file->open->ops->close(file->open);
    file->open = NULL;
}

static enum mu_status verify_files(
    struct mu_store *store, struct mu_log *log, const struct mu_manifest *manifest)
{
    for (int i = 0; i < manifest->file_count; i++) {
        struct mu_checkpoint_file file;
        MU_TRY(mu_checkpoint_open_file(store, log, manifest, manifest->files[i].name, &file));
        mu_checkpoint_close_file(&file);
    }
    return MU_OK;
}

enum mu_status mu_checkpoint_verify(
    struct mu_store *store, struct mu_log *log, int64_t step, struct mu_manifest *ret_manifest)
{
    MU_TRY(read_manifest(store, log, step, ret_manifest));
    enum mu_status status = verify_files(store, log, ret_manifest);
    if (status != MU_OK)
        mu_manifest_finish(ret_manifest);
    return status;
}

/* ---- is it ours? ---- */

static void compare_view(struct mu_differences *differences, const char *name,
    const struct mu_view *view, const struct mu_safetensor *tensor)
{
    char expected[MU_DIFFERENCES_SHAPE_BYTES], found[MU_DIFFERENCES_SHAPE_BYTES];
    mu_differences_shape(expected, view->rank, view->shape, "F32");
    mu_differences_found(found, tensor);
    if (strcmp(expected, found) != 0)
        mu_differences_add(differences, name, expected, found);
}

/* Part of what a file holds: a vector by its views, under the name of a slot. */
struct part {
    const char *slot; /* NULL: the parameters */
    float *vector;
};

/* What a file is to hold. */
struct contents {
    const char *what, *expected, *found; /* the model or the optimizer */
    const struct part *parts;
    int part_count;
};

static void name_tensor(char out[2 * MU_NAME_MAX], const char *slot, const char *view)
{
    mu_format(out, 2 * MU_NAME_MAX, "%s%s%s", slot ? slot : "", slot ? "/" : "", view);
}

static bool is_expected(
    const struct mu_layout *layout, const struct part *parts, int part_count, const char *tensor)
{
    char name[2 * MU_NAME_MAX];
    for (int p = 0; p < part_count; p++)
        for (int i = 0; i < layout->view_count; i++) {
            name_tensor(name, parts[p].slot, layout->view[i].name);
            if (strcmp(name, tensor) == 0)
                return true;
        }
    return false;
}

static void compare_tensors(struct mu_differences *differences, const struct mu_layout *layout,
    const struct part *parts, int part_count, const struct mu_safetensors *tensors)
{
    char name[2 * MU_NAME_MAX];
    for (int p = 0; p < part_count; p++)
        for (int i = 0; i < layout->view_count; i++) {
            name_tensor(name, parts[p].slot, layout->view[i].name);
            compare_view(differences, name, &layout->view[i], mu_safetensors_find(tensors, name));
        }
    for (size_t i = 0; i < tensors->tensor_count; i++) {
        const struct mu_safetensor *tensor = &tensors->tensor[i];
        char found[MU_DIFFERENCES_SHAPE_BYTES];
        mu_differences_found(found, tensor);
        if (!is_expected(layout, parts, part_count, tensor->name))
            mu_differences_add(differences, tensor->name, "nothing", found);
    }
}

static enum mu_status check_contents(const struct mu_checkpoint_loading *load, const char *where,
    const struct contents *contents, const struct mu_safetensors *tensors)
{
    struct mu_differences differences;
    mu_differences_init(&differences);
    mu_differences_kind(&differences, contents->what, contents->expected, contents->found);
    compare_tensors(
        &differences, load->target->layout, contents->parts, contents->part_count, tensors);
    return mu_differences_finish(&differences, load->foreign, where);
}

/* ---- into the vectors ---- */

static enum mu_status read_part(const struct mu_checkpoint_loading *load, const struct part *part,
    const struct mu_checkpoint_file *file)
{
    const struct mu_layout *layout = load->target->layout;
    memset(part->vector, 0, layout->element_count * sizeof(float)); /* the gaps */
    for (int i = 0; i < layout->view_count; i++) {
        const struct mu_view *view = &layout->view[i];
        char name[2 * MU_NAME_MAX];
        name_tensor(name, part->slot, view->name);
        const struct mu_safetensor *tensor = mu_safetensors_find(&file->tensors, name);
        size_t bytes = view->span.count * sizeof(float);
        assert(tensor->end - tensor->begin == bytes);
        MU_TRY(mu_checkpoint_read(
            file, load->quiet, tensor, 0, part->vector + view->span.first, bytes));
    }
    return MU_OK;
}

static enum mu_status load_file(const struct mu_checkpoint_loading *load,
    const struct mu_manifest *manifest, const char *name, const struct contents *contents)
{
    struct mu_checkpoint_file file;
    MU_TRY(mu_checkpoint_open_file(load->store, load->quiet, manifest, name, &file));
    char where[MU_CHECKPOINT_WHERE_BYTES];
    mu_checkpoint_name_file(load->store, manifest->step, name, where);
    enum mu_status status = check_contents(load, where, contents, &file.tensors);
    for (int i = 0; i < contents->part_count && status == MU_OK; i++)
        status = read_part(load, &contents->parts[i], &file);
    mu_checkpoint_close_file(&file);
    return status;
}

static enum mu_status load_files(
    const struct mu_checkpoint_loading *load, const struct mu_manifest *manifest)
{
    const struct mu_checkpoint_target *target = load->target;
    const struct part parameters = {.vector = target->parameters};
    const struct contents model = {"model", target->model, manifest->model, &parameters, 1};
    MU_TRY(load_file(load, manifest, MU_CHECKPOINT_MODEL, &model));
    if (!load->parameters_only) {
        struct part slots[MU_SLOTS_MAX];
        for (int i = 0; i < target->slot_count; i++)
            slots[i] = (struct part){target->slot_names[i], target->slots[i]};
        const struct contents optimizer = {
            "optimizer", target->optimizer, manifest->optimizer, slots, target->slot_count};
        MU_TRY(load_file(load, manifest, MU_CHECKPOINT_OPTIMIZER, &optimizer));
    }
    /* Last: rows that were given away cannot be taken back when another file is damaged. */
    return mu_checkpoint_rows_load(load, manifest);
}

static enum mu_status load_entry(
    const struct mu_checkpoint_loading *load, int64_t step, struct mu_manifest *ret_manifest)
{
    MU_TRY(read_manifest(load->store, load->quiet, step, ret_manifest));
    enum mu_status status = load_files(load, ret_manifest);
    if (status != MU_OK)
        mu_manifest_finish(ret_manifest);
    return status;
}

/* ---- which entry ---- */

/* Of a run, in its directory. */
#define KEPT_IN "/checkpoints"

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes > end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* Where all entries are, as it can be typed; false: in no directory, as in a simulation. */
static bool folder_of(const struct mu_checkpoint_loading *load, char out[MU_CHECKPOINT_WHERE_BYTES])
{
    load->store->ops->describe(load->store, 0, out, MU_CHECKPOINT_WHERE_BYTES);
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

static enum mu_status fail_none(const struct mu_checkpoint_loading *load, int64_t step)
{
    char where[MU_CHECKPOINT_WHERE_BYTES];
    bool newest = step == MU_CHECKPOINT_NEWEST;
    if (newest)
        (void)folder_of(load, where);
    else
        load->store->ops->describe(load->store, step, where, sizeof(where));
    char word[MU_SHELL_WORD_BYTES], help[MU_SHELL_WORD_BYTES + 96];
    mu_format(help, sizeof(help), "`ls -la %s` shows what is there; without --resume a run begins",
        mu_shell_word(word, where));
    return mu_fail(load->log, MU_E0603, newest ? help : NULL, "there is no checkpoint %s%s",
        newest ? "in " : "", where);
}

/* True if the reason for the failure is still unsaid, in the quiet log. */
static bool is_unsaid(const struct mu_checkpoint_loading *load)
{
    return load->quiet->first_number != 0;
}

static enum mu_status say_final(const struct mu_checkpoint_loading *load, enum mu_status status)
{
    if (status == MU_OK || !is_unsaid(load))
        return status;
    enum mu_error error = status == MU_PROTOCOL    ? MU_E0606
                          : status == MU_NO_MEMORY ? MU_E0801
                                                   : MU_E0601;
    char folder[MU_CHECKPOINT_WHERE_BYTES], word[MU_SHELL_WORD_BYTES];
    char help[MU_SHELL_WORD_BYTES + 64];
    bool is_there = folder_of(load, folder);
    mu_format(help, sizeof(help), "`muster checkpoint verify%s%s` says which entries are whole",
        is_there ? " " : "", is_there ? mu_shell_word(word, folder) : "");
    return mu_fail(load->log, error,
        error == MU_E0606   ? "use the version of muster that wrote it, or a later one"
        : error == MU_E0601 ? help
                            : NULL,
        "%s", load->quiet->first_text);
}

/* What cannot be read may well be whole: nobody is sent away from it to begin anew. */
static enum mu_status say_none_readable(
    const struct mu_checkpoint_loading *load, int count, int unreadable)
{
    char what[80] = "the only checkpoint cannot be read";
    if (count > 1)
        mu_format(what, sizeof(what),
            "%d of the %d checkpoints cannot be read, and none is whole; the oldest", unreadable,
            count);
    char all[MU_CHECKPOINT_WHERE_BYTES], word[MU_SHELL_WORD_BYTES];
    char help[MU_SHELL_WORD_BYTES + 160];
    bool is_there = folder_of(load, all);
    mu_format(help, sizeof(help),
        "`ls -lR %s; id` shows whose they are and who this is; when they can be read again, the "
        "same command goes on",
        mu_shell_word(word, all));
    return mu_fail(load->log, MU_E0605,
        is_there ? help : "when they can be read again, the same command goes on", "%s: %s", what,
        load->quiet->first_text);
}

/* The run would go on from an older one, and its next save would drop this one, which may well be
 * whole: that is for somebody to say. */
static enum mu_status say_unreadable(const struct mu_checkpoint_loading *load, int64_t step)
{
    char where[MU_CHECKPOINT_WHERE_BYTES], word[MU_SHELL_WORD_BYTES], aside[MU_SHELL_WORD_BYTES];
    char help[3 * MU_SHELL_WORD_BYTES + 192], away[MU_CHECKPOINT_WHERE_BYTES + 16];
    load->store->ops->describe(load->store, step, where, sizeof(where));
    mu_format(away, sizeof(away), "%s.unreadable", where);
    mu_shell_word(word, where);
    mu_format(help, sizeof(help),
        "`ls -lR %s; id` shows whose it is and who this is; when it can be read again, the same "
        "command goes on; to go on from the one before it: mv %s %s",
        word, word, mu_shell_word(aside, away));
    return mu_fail(load->log, MU_E0605,
        strchr(where, '/') ? help : "when it can be read again, the same command goes on",
        "checkpoint %lld cannot be read, and may be whole: %s", (long long)step,
        load->quiet->first_text);
}

/* Every entry was looked at, and the oldest last. */
static enum mu_status say_none_whole(
    const struct mu_checkpoint_loading *load, int count, int unreadable, enum mu_status status)
{
    if (count < 1 || !is_unsaid(load))
        return say_final(load, status);
    if (unreadable > 0)
        return say_none_readable(load, count, unreadable);
    char what[80] = "the only checkpoint is damaged";
    if (count > 1)
        mu_format(what, sizeof(what), "none of the %d checkpoints is whole; the oldest", count);
    char all[MU_CHECKPOINT_WHERE_BYTES], anew[MU_CHECKPOINT_WHERE_BYTES + 8];
    char anew_word[MU_SHELL_WORD_BYTES], word[MU_SHELL_WORD_BYTES];
    char help[2 * MU_SHELL_WORD_BYTES + 160];
    bool is_there = folder_of(load, all);
    int run = (int)(strlen(all) - (ends_with(all, KEPT_IN) ? strlen(KEPT_IN) : 0));
    mu_format(anew, sizeof(anew), "%.*s-anew", run, all);
    mu_format(help, sizeof(help),
        "begin again in another directory: --out %s in place of --out and --resume; `muster "
        "checkpoint verify %s` shows what is wrong with each",
        mu_shell_word(anew_word, anew), mu_shell_word(word, all));
    return mu_fail(load->log, MU_E0601,
        is_there ? help : "begin again in another directory: --out DIR", "%s: %s", what,
        load->quiet->first_text);
}

static bool is_damage(const struct mu_checkpoint_loading *load, enum mu_status status)
{
    return is_unsaid(load) && (status == MU_BAD_DATA || status == MU_IO_ERROR);
}

/* The newest entry whose step is at most `most`; -1: there is none. */
static int64_t newest_up_to(struct mu_store *store, int64_t most)
{
    int64_t numbers[MU_CHECKPOINTS_MAX];
    size_t count = store->ops->list(store, numbers, MU_CHECKPOINTS_MAX);
    count = count < MU_CHECKPOINTS_MAX ? count : MU_CHECKPOINTS_MAX;
    while (count > 0 && numbers[count - 1] > most)
        count--;
    return count > 0 ? numbers[count - 1] : -1;
}

/* A writer may drop an entry while it is read here: then there is a newer one. */
static bool was_dropped(struct mu_store *store, int64_t step)
{
    return newest_up_to(store, step) != step;
}

/* An entry of another job, and no older one can be taken: the whole table. */
static enum mu_status say_foreign(
    struct mu_checkpoint_loading *load, int64_t step, struct mu_manifest *ret_manifest)
{
    *load->quiet = mu_log_quiet();
    load->foreign = load->log;
    return say_final(load, load_entry(load, step, ret_manifest));
}

static void say_fell_back(const struct mu_checkpoint_loading *load, int64_t step)
{
    if (load->foreign->first_number != 0)
        mu_say(load->log, MU_LEVEL_WARN, "checkpoint of another job passed over%s: %s",
            load->parameters_only ? "" : ", which the next save drops", load->foreign->first_text);
    mu_say(load->log, MU_LEVEL_WARN, "fell back to the checkpoint of step %lld", (long long)step);
}

static enum mu_status load_newest(
    struct mu_checkpoint_loading *load, struct mu_manifest *ret_manifest)
{
    struct mu_log quiet = mu_log_quiet();
    int64_t step = newest_up_to(load->store, INT64_MAX), foreign = -1;
    bool fell_back = false;
    int damaged = 0, unreadable = 0;
    load->foreign = &quiet;
    for (int tries = 0; step >= 0 && tries < MU_CHECKPOINTS_MAX; tries++) {
        enum mu_status status = load_entry(load, step, ret_manifest);
        if (status == MU_OK && fell_back)
            say_fell_back(load, step);
        bool is_foreign = status == MU_BAD_DATA && !is_unsaid(load);
        if (status == MU_PROTOCOL && foreign >= 0)
            return say_foreign(load, foreign, ret_manifest);
        if (status == MU_OK || (!is_foreign && !is_damage(load, status)))
            return say_final(load, status);
        if (is_foreign && foreign < 0)
            foreign = step;
        bool dropped = was_dropped(load->store, step);
        if (status == MU_IO_ERROR && !dropped && !load->parameters_only)
            return say_unreadable(load, step);
        step = newest_up_to(load->store, dropped ? INT64_MAX : step - 1);
        damaged += !dropped && !is_foreign;
        unreadable += !dropped && status == MU_IO_ERROR;
        if (step < 0 && foreign < 0)
            return say_none_whole(load, damaged, unreadable, status);
        if (!dropped && !is_foreign)
            mu_say(load->log, MU_LEVEL_WARN, "%s checkpoint passed over: %s",
                status == MU_IO_ERROR ? "unreadable" : "damaged", load->quiet->first_text);
        if (step < 0)
            return say_foreign(load, foreign, ret_manifest);
        fell_back = !dropped;
        *load->quiet = mu_log_quiet();
    }
    return fail_none(load, MU_CHECKPOINT_NEWEST);
}

static enum mu_status load_step(
    struct mu_checkpoint_loading *load, int64_t step, struct mu_manifest *ret_manifest)
{
    struct mu_log quiet = mu_log_quiet();
    load->quiet = &quiet;
    load->foreign = load->log;
    if (step == MU_CHECKPOINT_NEWEST)
        return load_newest(load, ret_manifest);
    if (newest_up_to(load->store, step) != step)
        return fail_none(load, step);
    enum mu_status status = load_entry(load, step, ret_manifest);
    return say_final(load, status);
}

enum mu_status mu_checkpoint_load(struct mu_store *store, struct mu_log *log, int64_t step,
    const struct mu_checkpoint_target *target, struct mu_manifest *ret_manifest)
{
    struct mu_checkpoint_loading load = {.store = store, .log = log, .target = target};
    return load_step(&load, step, ret_manifest);
}

enum mu_status mu_checkpoint_read_for_eval(struct mu_store *store, struct mu_log *log, int64_t step,
    const struct mu_checkpoint_target *target, struct mu_manifest *ret_manifest)
{
    struct mu_checkpoint_loading load = {
        .store = store, .log = log, .target = target, .parameters_only = true};
    return load_step(&load, step, ret_manifest);
}
