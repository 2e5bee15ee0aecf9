/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "roles/checkpoint/checkpoint.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/shell.h"
#include "runtime/io/folder.h"
#include "runtime/io/store_directory.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A store that is looked at, and where what is found out is said. */
struct view {
    struct mu_log *log;
    struct mu_store *store;
    int64_t steps[MU_CHECKPOINTS_MAX];
    size_t count;
    bool json;
    struct mu_text out;
};

static int64_t wall_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static enum mu_status find_steps(struct view *view, const char *path, int64_t step)
{
    size_t count = view->store->ops->list(view->store, view->steps, MU_CHECKPOINTS_MAX);
    view->count = count < MU_CHECKPOINTS_MAX ? count : MU_CHECKPOINTS_MAX;
    char word[MU_SHELL_WORD_BYTES], help[MU_SHELL_WORD_BYTES + 64];
    mu_shell_word(word, path);
    mu_format(help, sizeof(help), "`ls -la %s` shows what is there", word);
    if (view->count == 0)
        return mu_fail(view->log, MU_E0603, help, "there is no checkpoint in %s", path);
    if (step < 0)
        return MU_OK;
    for (size_t i = 0; i < view->count; i++)
        if (view->steps[i] == step) {
            view->steps[0] = step;
            view->count = 1;
            return MU_OK;
        }
    mu_format(help, sizeof(help), "`muster checkpoint list %s` shows those that are there", word);
    return mu_fail(view->log, MU_E0603, help, "there is no checkpoint of step %lld in %s",
        (long long)step, path);
}

/* "checkpoints/500" is one checkpoint: becomes "checkpoints", and its step. */
static bool split_entry(char *path, int64_t *ret_step)
{
    char manifest[MU_CLI_PATH_MAX + 16];
    struct stat stat_;
    for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--)
        path[end - 1] = '\0';
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    mu_format(manifest, sizeof(manifest), "%s/manifest.json", path);
    if (strspn(name, "0123456789") != strlen(name) || stat(manifest, &stat_) != 0 ||
        !mu_text_to_int64(name, ret_step))
        return false;
    mu_text_copy(slash ? slash : path, 2, slash ? "" : ".");
    return true;
}

/* The directory is a run's, its folder of checkpoints, or one of these. */
static enum mu_status view_open(
    struct view *view, struct mu_log *log, const struct mu_cmd_checkpoint_options *asked)
{
    char path[MU_CLI_PATH_MAX + 16];
    int64_t step = asked->step, own_step;
    mu_format(path, sizeof(path), "%s/checkpoints", asked->directory);
    if (!mu_folder_is(asked->directory))
        return mu_fail(log, MU_E0002, "name a run directory or its checkpoints folder",
            "there is no directory %s", asked->directory);
    if (!mu_folder_is(path))
        mu_text_copy(path, sizeof(path), asked->directory);
    if (split_entry(path, &own_step) && step < 0)
        step = own_step;
    view->log = log;
    view->json = asked->json;
    MU_TRY(mu_store_directory_open(log, path, &view->store));
    enum mu_status status = find_steps(view, path, step);
    if (status == MU_OK)
        mu_text_init(&view->out);
    else
        view->store->ops->close(view->store);
    return status;
}

static enum mu_status view_close(struct view *view)
{
    bool good = !view->out.failed &&
                fwrite(view->out.data, 1, view->out.bytes, stdout) == view->out.bytes &&
                fflush(stdout) == 0;
    mu_text_finish(&view->out);
    view->store->ops->close(view->store);
    return good ? MU_OK : mu_fail(view->log, MU_E0605, NULL, "cannot write to the output");
}

static size_t bytes_of(const struct mu_manifest *manifest)
{
    size_t bytes = 0;
    for (int i = 0; i < manifest->file_count; i++)
        bytes += manifest->files[i].bytes;
    return bytes;
}

/* What one line of the list says; `manifest` is NULL for an entry that is damaged. */
static void list_row(
    struct view *view, int64_t step, const struct mu_manifest *manifest, const char *damage)
{
    char bytes[24] = "-", age[24] = "-", epoch[24] = "-";
    if (manifest) {
        mu_text_bytes(bytes, sizeof(bytes), bytes_of(manifest));
        mu_text_duration(age, sizeof(age), wall_now_ns() - manifest->wall_ns);
        mu_format(epoch, sizeof(epoch), "%lld", (long long)manifest->epoch);
    }
    mu_text_add(&view->out, "%8lld  %5s  %9s  %7s  %s\n", (long long)step, epoch, bytes, age,
        manifest ? "whole" : damage);
}

static void list_json_row(
    struct view *view, int64_t step, const struct mu_manifest *manifest, const char *damage)
{
    mu_text_add(
        &view->out, "{\"step\":%lld,\"whole\":%s", (long long)step, manifest ? "true" : "false");
    if (manifest)
        mu_text_add(&view->out, ",\"epoch\":%lld,\"bytes\":%zu,\"written_ms\":%lld",
            (long long)manifest->epoch, bytes_of(manifest),
            (long long)(manifest->wall_ns / 1000000));
    else {
        mu_text_add(&view->out, ",\"damage\":");
        mu_text_add_json_string(&view->out, damage);
    }
    mu_text_add(&view->out, "}\n");
}

static void list_one(struct view *view, int64_t step)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_manifest manifest;
    enum mu_status status = mu_checkpoint_verify(view->store, &quiet, step, &manifest);
    (view->json ? list_json_row : list_row)(
        view, step, status == MU_OK ? &manifest : NULL, quiet.first_text);
    if (status == MU_OK)
        mu_manifest_finish(&manifest);
}

static enum mu_status list(struct view *view)
{
    if (!view->json)
        mu_text_add(
            &view->out, "%8s  %5s  %9s  %7s  %s\n", "step", "epoch", "size", "age", "state");
    for (size_t i = 0; i < view->count; i++)
        list_one(view, view->steps[i]);
    return MU_OK;
}

static void say_whole(struct view *view, int64_t step, const struct mu_manifest *manifest)
{
    char where[PATH_MAX + 32];
    size_t tensor_count = 0;
    view->store->ops->describe(view->store, step, where, sizeof(where));
    for (int i = 0; i < manifest->file_count; i++)
        tensor_count += manifest->files[i].tensor_count;
    mu_text_add(
        &view->out, "%s: whole, %zu tensors, %zu bytes\n", where, tensor_count, bytes_of(manifest));
}

static enum mu_status verify_one(struct view *view, int64_t step)
{
    struct mu_manifest manifest;
    if (view->json)
        list_one(view, step);
    MU_TRY(mu_checkpoint_verify(view->store, view->log, step, &manifest));
    if (!view->json)
        say_whole(view, step, &manifest);
    mu_manifest_finish(&manifest);
    return MU_OK;
}

/* Every entry, even after one that is damaged; the first reason is the command's. */
static enum mu_status verify(struct view *view)
{
    enum mu_status first = MU_OK;
    for (size_t i = 0; i < view->count; i++) {
        enum mu_status status = verify_one(view, view->steps[i]);
        first = first == MU_OK ? status : first;
    }
    return first;
}

struct statistics {
    double min, mean, max, norm;
};

static void count_in(struct statistics *sums, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = values[i];
        sums->min = fmin(sums->min, value);
        sums->max = fmax(sums->max, value);
        sums->mean += value;
        sums->norm += (double)value * value;
    }
}

/* A tensor may be larger than the memory: it is read in parts. */
static enum mu_status find_statistics(struct mu_log *log, const struct mu_checkpoint_file *file,
    const struct mu_safetensor *tensor, struct statistics *ret_statistics)
{
    float values[4096];
    struct statistics result = {INFINITY, 0, -INFINITY, 0};
    size_t count = (tensor->end - tensor->begin) / sizeof(float);
    for (size_t done = 0; done < count;) {
        size_t left = count - done;
        size_t part = left < MU_COUNT_OF(values) ? left : MU_COUNT_OF(values);
        MU_TRY(mu_checkpoint_read(
            file, log, tensor, done * sizeof(float), values, part * sizeof(float)));
        count_in(&result, values, part);
        done += part;
    }
    result.mean /= (double)count;
    result.norm = sqrt(result.norm);
    *ret_statistics = result;
    return MU_OK;
}

static void show_shape(struct mu_text *out, const struct mu_safetensor *tensor, const char *times)
{
    for (int i = 0; i < tensor->rank; i++)
        mu_text_add(out, "%s%lld", i > 0 ? times : "", (long long)tensor->shape[i]);
}

/* Only numbers that are known: what is not F32 or has no elements has none. */
static bool has_statistics(const struct mu_safetensor *tensor)
{
    return strcmp(tensor->dtype, "F32") == 0 && tensor->end > tensor->begin;
}

/* `numbers` is NULL where there are none. */
static void show_tensor(
    struct mu_text *out, const struct mu_safetensor *tensor, const struct statistics *numbers)
{
    struct mu_text shape;
    mu_text_init(&shape);
    show_shape(&shape, tensor, "x");
    mu_text_add(out, "  %-24s %-12s", tensor->name, tensor->rank > 0 ? shape.data : "scalar");
    mu_text_finish(&shape);
    if (numbers)
        mu_text_add(out, " %11.4g %11.4g %11.4g %11.4g", numbers->min, numbers->mean, numbers->max,
            numbers->norm);
    mu_text_add(out, "\n");
}

static void show_number(struct mu_text *out, const char *key, double value)
{
    mu_text_add(out, ",\"%s\":", key);
    mu_text_add_double(out, value);
}

static void show_json_tensor(
    struct mu_text *out, const struct mu_safetensor *tensor, const struct statistics *numbers)
{
    mu_text_add_json_string(out, tensor->name);
    mu_text_add(out, ":{\"dtype\":\"%s\",\"shape\":[", tensor->dtype);
    show_shape(out, tensor, ",");
    mu_text_add(out, "]");
    if (numbers) {
        show_number(out, "min", numbers->min);
        show_number(out, "mean", numbers->mean);
        show_number(out, "max", numbers->max);
        show_number(out, "norm", numbers->norm);
    }
    mu_text_add(out, "}");
}

static enum mu_status show_tensors(
    struct view *view, const char *name, const struct mu_checkpoint_file *file)
{
    struct mu_text *out = &view->out;
    if (view->json)
        mu_text_add(out, ",\"%s\":{", name);
    else
        mu_text_add(out, "\n  %-24s %-12s %11s %11s %11s %11s\n", name, "shape", "min", "mean",
            "max", "norm");
    for (size_t i = 0; i < file->tensors.tensor_count; i++) {
        const struct mu_safetensor *tensor = &file->tensors.tensor[i];
        struct statistics numbers;
        bool has_numbers = has_statistics(tensor);
        if (has_numbers)
            MU_TRY(find_statistics(view->log, file, tensor, &numbers));
        if (view->json && i > 0)
            mu_text_add(out, ",");
        (view->json ? show_json_tensor : show_tensor)(out, tensor, has_numbers ? &numbers : NULL);
    }
    if (view->json)
        mu_text_add(out, "}");
    return MU_OK;
}

static enum mu_status show_file(
    struct view *view, const struct mu_manifest *manifest, const char *name)
{
    struct mu_checkpoint_file file;
    MU_TRY(mu_checkpoint_open_file(view->store, view->log, manifest, name, &file));
    enum mu_status status = show_tensors(view, name, &file);
    mu_checkpoint_close_file(&file);
    return status;
}

static void show_positions(struct mu_text *out, const struct mu_manifest *manifest)
{
    for (int i = 0; i < manifest->position_count; i++) {
        const struct mu_position *position = &manifest->positions[i];
        const struct mu_stretch *stretch = &position->stretch;
        mu_text_add(out, "  epoch %lld%s: %d replicas of batch %d, %ssteps done",
            (long long)position->epoch, stretch->epochs ? " on" : "", stretch->replica_count,
            stretch->batch, stretch->epochs ? "epoch and " : "");
        for (int r = 0; r < stretch->replica_count; r++) {
            mu_text_add(out, " ");
            if (stretch->epochs)
                mu_text_add(out, "%lld:", (long long)stretch->epochs[r]);
            mu_text_add(out, "%lld", (long long)stretch->steps_done[r]);
        }
        mu_text_add(out, "\n");
    }
}

static void show_manifest(struct view *view, const struct mu_manifest *manifest)
{
    char written[32], where[PATH_MAX + 32];
    struct mu_text *out = &view->out;
    view->store->ops->describe(view->store, manifest->step, where, sizeof(where));
    mu_text_time(written, sizeof(written), manifest->wall_ns);
    mu_text_add(out, "%s\n", where);
    mu_text_add(out, "  step %lld, epoch %lld, %lld samples, seed %lld\n",
        (long long)manifest->step, (long long)manifest->epoch, (long long)manifest->samples_done,
        (long long)manifest->seed);
    mu_text_add(out, "  model %s, optimizer %s, parameters %08x\n", manifest->model,
        manifest->optimizer, manifest->parameters_crc32c);
    mu_text_add(out, "  written %s by %s, run %s, job %016llx\n", written, manifest->writer,
        manifest->run, (unsigned long long)manifest->job_hash);
    show_positions(out, manifest);
}

static enum mu_status show_one(struct view *view, int64_t step)
{
    struct mu_manifest manifest;
    MU_TRY(mu_checkpoint_verify(view->store, view->log, step, &manifest));
    if (view->json) {
        mu_text_add(&view->out, "{\"manifest\":");
        mu_manifest_write(&manifest, &view->out);
    } else
        show_manifest(view, &manifest);
    enum mu_status status = MU_OK;
    for (int i = 0; i < manifest.file_count && status == MU_OK; i++)
        status = show_file(view, &manifest, manifest.files[i].name);
    if (view->json)
        mu_text_add(&view->out, "}\n");
    mu_manifest_finish(&manifest);
    return status;
}

/* Where the newest is damaged: what can be shown in its place. */
static void offer_older(const struct view *view)
{
    char where[PATH_MAX + 32], word[MU_SHELL_WORD_BYTES];
    for (size_t i = view->count - 1; i-- > 0;) {
        struct mu_log quiet = mu_log_quiet();
        struct mu_manifest manifest;
        if (mu_checkpoint_verify(view->store, &quiet, view->steps[i], &manifest) != MU_OK)
            continue;
        mu_manifest_finish(&manifest);
        view->store->ops->describe(view->store, view->steps[i], where, sizeof(where));
        mu_say(view->log, MU_LEVEL_WARN,
            "the newest that is whole is of step %lld: `muster checkpoint show %s`",
            (long long)view->steps[i], mu_shell_word(word, where));
        return;
    }
}

/* The newest, or the one that was asked for: view_open has left no other. */
static enum mu_status show(struct view *view)
{
    enum mu_status status = show_one(view, view->steps[view->count - 1]);
    if (status != MU_OK)
        offer_older(view);
    return status;
}

/* ---- the commands ---- */

static int with_view(
    struct mu_log *log, const void *options, enum mu_status (*look)(struct view *view))
{
    const struct mu_cmd_checkpoint_options *asked = options;
    struct view *view = calloc(1, sizeof(*view));
    enum mu_status status = view ? view_open(view, log, asked)
                                 : mu_fail(log, MU_E0801, NULL, "no memory to look at checkpoints");
    if (status == MU_OK) {
        status = look(view);
        enum mu_status closed = view_close(view);
        status = status == MU_OK ? closed : status;
    }
    free(view);
    return mu_status_exit(status);
}

static int run_list(struct mu_log *log, const void *options, char *const *arguments)
{
    return with_view(log, options, list);
}

static int run_verify(struct mu_log *log, const void *options, char *const *arguments)
{
    return with_view(log, options, verify);
}

static int run_show(struct mu_log *log, const void *options, char *const *arguments)
{
    return with_view(log, options, show);
}

const struct mu_command mu_command_checkpoint_list = {
    .name = "checkpoint list",
    .doc = "step, size and age of each checkpoint; whether it is whole",
    .details = "Every checksum is verified. With --json each checkpoint is an object on a line.",
    .examples = (const char *const[]){"muster checkpoint list runs/mnist", NULL},
    .flags = mu_flags_checkpoint,
    .operands = mu_operands_checkpoint,
    .option_bytes = sizeof(struct mu_cmd_checkpoint_options),
    .run = run_list,
};

const struct mu_command mu_command_checkpoint_verify = {
    .name = "checkpoint verify",
    .doc = "checks every checksum; names the tensor that is damaged",
    .details = "Ends with 65 if any checkpoint is damaged, and with 66 if there is none.",
    .examples = (const char *const[]){"muster checkpoint verify runs/mnist",
        "muster checkpoint verify --step 500 runs/mnist/checkpoints", NULL},
    .flags = mu_flags_checkpoint,
    .operands = mu_operands_checkpoint,
    .option_bytes = sizeof(struct mu_cmd_checkpoint_options),
    .run = run_verify,
};

const struct mu_command mu_command_checkpoint_show = {
    .name = "checkpoint show",
    .doc = "the manifest of one; shape, range and norm of each tensor",
    .details = "Shows the newest checkpoint, or the one that --step or DIR names.",
    .examples = (const char *const[]){"muster checkpoint show runs/mnist",
        "muster checkpoint show runs/mnist/checkpoints/500",
        "muster checkpoint show --json --step 500 runs/mnist", NULL},
    .flags = mu_flags_checkpoint,
    .operands = mu_operands_checkpoint,
    .option_bytes = sizeof(struct mu_cmd_checkpoint_options),
    .run = run_show,
};
