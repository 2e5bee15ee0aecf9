/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_view.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/shell.h"
#include "runtime/io/folder.h"
#include "runtime/io/host.h"
#include "runtime/io/store_directory.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A leader writes once a second. */
#define SILENT_SECONDS 10

/* ---- values ---- */

/* Of what may be no object: the file is not ours until that is seen. */
static const mu_json_value *member(const mu_json_value *value, const char *key)
{
    return mu_json_type(value) == MU_JSON_OBJECT ? mu_json_member(value, key) : NULL;
}

double mu_status_number(const mu_json_value *object, const char *key)
{
    const mu_json_value *value = member(object, key);
    enum mu_json_type type = value ? mu_json_type(value) : MU_JSON_NULL;
    return type == MU_JSON_INTEGER || type == MU_JSON_REAL ? mu_json_real(value) : (double)NAN;
}

const char *mu_status_string(const mu_json_value *object, const char *key, const char *fallback)
{
    const mu_json_value *value = member(object, key);
    return value && mu_json_type(value) == MU_JSON_STRING ? mu_json_string(value) : fallback;
}

const char *mu_status_state_name(enum mu_status_state state)
{
    static const char *const names[] = {"running", "ended", "died", "silent"};
    return names[state];
}

/* ---- finding out ---- */

static double wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* To milliseconds: as exact as anybody needs to read it. */
static double age_of(double wall)
{
    return round((wall_now() - wall) * 1000) / 1000;
}

static bool is_this_host(const char *host)
{
    char own[256] = "";
    return gethostname(own, sizeof(own) - 1) == 0 && strcmp(own, host) == 0;
}

int mu_status_process_here(const mu_json_value *task)
{
    double process = mu_status_number(task, "process");
    bool is_one = process > 0 && process < INT32_MAX;
    return is_one && is_this_host(mu_status_string(task, "host", "?")) ? (int)process : 0;
}

static enum mu_status_state find_state(struct mu_status_view *view)
{
    bool is_fresh = fabs(view->age_seconds) < SILENT_SECONDS; /* or clocks differ */
    int process = mu_status_process_here(view->root);
    if (strcmp(mu_status_string(view->root, "phase", ""), "ended") == 0)
        return MU_STATUS_OVER;
    if (process > 0) {
        long long started = mu_host_process_started(process);
        if (started < 0 || (double)started != mu_status_number(view->root, "process_started"))
            return MU_STATUS_DIED;
        view->stopped = mu_host_process_stopped(process);
    }
    return is_fresh && !view->stopped ? MU_STATUS_RUNNING : MU_STATUS_SILENT;
}

static void find_checkpoint(struct mu_status_view *view)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_store *store;
    struct stat stat_;
    char path[sizeof(view->directory) + 64];
    view->checkpoint = -1;
    mu_format(path, sizeof(path), "%s/checkpoints", view->directory);
    if (!mu_folder_is(path) || mu_store_directory_open(&quiet, path, &store) != MU_OK)
        return;
    if (store->ops->list(store, &view->checkpoint, 1) == 0)
        view->checkpoint = -1;
    store->ops->close(store);
    mu_format(path, sizeof(path), "%s/checkpoints/%lld/manifest.json", view->directory,
        (long long)view->checkpoint);
    if (view->checkpoint >= 0 && stat(path, &stat_) == 0)
        view->checkpoint_age_seconds =
            age_of((double)stat_.st_mtim.tv_sec + (double)stat_.st_mtim.tv_nsec / 1e9);
}

/* A simulation has a log of its events, and no status: it is over before anybody asks. */
static enum mu_status fail_no_status(struct mu_log *log, const char *directory)
{
    char path[4096 + 16], word[MU_SHELL_WORD_BYTES], help[sizeof(word) + 48];
    mu_format(path, sizeof(path), "%s/events.log", directory);
    if (access(path, F_OK) != 0)
        return mu_fail(log, MU_E0609, NULL, "there is no status.json in %s", directory);
    mu_format(path, sizeof(path), "%s/summary.json", directory);
    mu_format(help, sizeof(help), "`cat %s` says how it ended", mu_shell_word(word, path));
    return mu_fail(log, MU_E0609, help,
        "%s is the directory of a simulation, which writes no status.json", directory);
}

#define READS_MAX 10

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* On a full disk a file that we have open may be written again: then we read anew. */
static enum mu_status read_steady(struct mu_log *log, const char *path, struct mu_json **ret_json)
{
    for (int reads = 1;; reads++) {
        struct mu_log quiet = mu_log_quiet();
        struct stat before = {0}, after = {0};
        struct mu_json *json = NULL;
        (void)!stat(path, &before);
        enum mu_status status =
            mu_json_read(reads < READS_MAX ? &quiet : log, MU_E0610, path, &json);
        (void)!stat(path, &after);
        if (reads == READS_MAX || (status == MU_OK && same_file(&before, &after))) {
            *ret_json = json;
            return status;
        }
        if (status == MU_OK)
            mu_json_destroy(json);
    }
}

enum mu_status mu_status_view_read(
    struct mu_log *log, const char *directory, struct mu_status_view *view)
{
    char path[sizeof(view->directory) + 16];
    *view = (struct mu_status_view){.checkpoint_age_seconds = (double)NAN};
    mu_text_copy(view->directory, sizeof(view->directory), directory);
    for (size_t end = strlen(view->directory); end > 1 && view->directory[end - 1] == '/'; end--)
        view->directory[end - 1] = '\0';
    mu_format(path, sizeof(path), "%s/status.json", view->directory);
    if (!mu_folder_is(view->directory))
        return mu_fail(log, MU_E0002, "name a run directory: that of --out, or runs/NAME",
            "there is no directory %s", view->directory);
    if (access(path, F_OK) != 0)
        return fail_no_status(log, view->directory);
    MU_TRY(read_steady(log, path, &view->json));
    view->root = mu_json_root(view->json);
    if (mu_json_type(view->root) != MU_JSON_OBJECT || !mu_json_member(view->root, "phase")) {
        mu_status_view_finish(view);
        return mu_fail(log, MU_E0610, NULL, "%s is not the status of a run", path);
    }
    view->age_seconds = age_of(mu_status_number(view->root, "written"));
    view->state = find_state(view);
    find_checkpoint(view);
    return MU_OK;
}

void mu_status_view_finish(struct mu_status_view *view)
{
    mu_json_destroy(view->json);
    view->json = NULL;
}
