/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/run_dir.h"
#include "runtime/base/json.h"
#include "runtime/base/log_quiet.h"
#include "runtime/io/folder.h"
#include "runtime/io/store_directory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum mu_status make_folder(struct mu_run_dir *dir, struct mu_log *log, const char *name)
{
    char path[MU_RUN_DIR_PATH_MAX + 32];
    mu_format(path, sizeof(path), "%s/%s", dir->path, name);
    return mu_folder_make(log, path);
}

static enum mu_status write_text(
    struct mu_run_dir *dir, struct mu_log *log, const char *name, struct mu_text *text)
{
    char path[MU_RUN_DIR_PATH_MAX + 32];
    mu_format(path, sizeof(path), "%s/%s", dir->path, name);
    enum mu_status status =
        text->failed ? MU_NO_MEMORY : mu_folder_write(log, path, text->data, text->bytes);
    mu_text_finish(text);
    return status;
}

static void write_spec(const struct mu_spec *spec, struct mu_text *out)
{
    mu_text_init(out);
    if (spec->local)
        mu_text_add(out, "{}");
    else
        mu_spec_write(spec, out);
    mu_text_add(out, "\n");
}

/* What was asked, as resolved. */
static enum mu_status write_request(struct mu_run_dir *dir, struct mu_log *log,
    const struct mu_job *job, const struct mu_spec *spec)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_job_write(job, &text);
    MU_TRY(write_text(dir, log, "job.json", &text));
    write_spec(spec, &text);
    return write_text(dir, log, MU_RUN_CLUSTER_NAME, &text);
}

static bool has_cluster(const char *path, const struct mu_text *cluster)
{
    struct mu_log quiet = mu_log_quiet();
    char *text = NULL;
    size_t bytes = 0;
    bool same = mu_json_read_text(&quiet, path, &text, &bytes) == MU_OK && !cluster->failed &&
                bytes == cluster->bytes && memcmp(text, cluster->data, bytes) == 0;
    free(text);
    return same;
}

bool mu_run_dir_keep_cluster(const struct mu_run_dir *dir, const struct mu_spec *spec)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_text text;
    char path[MU_RUN_DIR_PATH_MAX + 32];
    mu_format(path, sizeof(path), "%s/%s", dir->path, MU_RUN_CLUSTER_NAME);
    write_spec(spec, &text);
    bool is_there = has_cluster(path, &text);
    if (!is_there && !text.failed && mu_run_lock_check(&quiet, dir->path) == MU_OK) {
        enum mu_status written = mu_folder_write(&quiet, path, text.data, text.bytes);
        (void)written; /* another task of this host may write the same just now */
        is_there = has_cluster(path, &text);
    }
    mu_text_finish(&text);
    return is_there;
}

/* "chief 1, worker 2" of the cluster that the run was started with last; returns how many tasks. */
static int read_cluster(const struct mu_run_dir *dir, struct mu_text *out)
{
    char path[MU_RUN_DIR_PATH_MAX + 32];
    int count = 0;
    struct mu_json *json = NULL;
    struct mu_log silent = mu_log_quiet();
    mu_format(path, sizeof(path), "%s/%s", dir->path, MU_RUN_CLUSTER_NAME);
    if (mu_json_read(&silent, MU_E0604, path, &json) != MU_OK)
        return 0;
    const mu_json_value *cluster = mu_json_member(mu_json_root(json), "cluster");
    bool listed = cluster && mu_json_type(cluster) == MU_JSON_OBJECT;
    for (size_t i = 0; listed && i < mu_json_count(cluster); i++) {
        const mu_json_value *tasks = mu_json_member_at(cluster, i);
        enum mu_json_type type = mu_json_type(tasks);
        int here = type == MU_JSON_ARRAY || type == MU_JSON_OBJECT ? (int)mu_json_count(tasks) : 0;
        mu_text_add(out, "%s%s %d", count ? ", " : "", mu_json_key(cluster, i), here);
        count += here;
    }
    mu_json_destroy(json);
    return count;
}

#define BEFORE_NAME "cluster-before.json"

/* The command that resumes, pasted without what started it as one of many. Who they were is kept
 * aside: what is resumed alone has another cluster.json. */
static void warn_of_being_alone(const struct mu_run_dir *dir, struct mu_log *log)
{
    struct mu_text tasks;
    char path[MU_RUN_DIR_PATH_MAX + 32], before[MU_RUN_DIR_PATH_MAX + 32];
    mu_text_init(&tasks);
    int count = read_cluster(dir, &tasks);
    mu_format(path, sizeof(path), "%s/%s", dir->path, MU_RUN_CLUSTER_NAME);
    mu_format(before, sizeof(before), "%s/%s", dir->path, BEFORE_NAME);
    bool kept = count > 1 && rename(path, before) == 0;
    if (count > 1 && !tasks.failed)
        mu_say(log, MU_LEVEL_WARN,
            "this run was started with %d tasks (%s), and now this process alone goes on with it: "
            "no cluster is given. To go on with all of them, stop this and start them as before "
            "(--local, mpirun -n %d, or $TF_CONFIG on every host)%s%s%s",
            count, tasks.data, count, kept ? ", or each by this command with `--cluster " : "",
            kept ? before : "", kept ? " --task TYPE/N` added" : "");
    mu_text_finish(&tasks);
}

static enum mu_status check_history(struct mu_run_dir *dir, struct mu_log *log, bool resume)
{
    int64_t newest = mu_task_newest(dir->store);
    bool any = newest >= 0;
    if (any && !resume)
        return mu_fail(log, MU_E0604, "add --resume to go on with it, or choose another --out",
            "%s holds a run already, at step %lld", dir->path, (long long)newest);
    /* So that a unit or a batch script can say --resume always. */
    if (!any && resume)
        mu_say(log, MU_LEVEL_WARN, "there is no checkpoint in %s: the run begins anew", dir->path);
    return MU_OK;
}

/* The end that an earlier process wrote is not that of the run any more: whoever reads it while
 * this one trains, or after it was killed, would take the one for the other. */
static enum mu_status remove_summary(const struct mu_run_dir *dir, struct mu_log *log)
{
    char path[2200];
    mu_format(path, sizeof(path), "%s/summary.json", dir->path);
    return mu_folder_remove(log, path);
}

enum mu_status mu_run_dir_find(struct mu_log *log, const char *path, const struct mu_job *job,
    char ret_path[MU_RUN_DIR_PATH_MAX])
{
    char found[MU_RUN_DIR_PATH_MAX];
    int bytes =
        snprintf(found, sizeof(found), "%s%s", path ? "" : "runs/", path ? path : job->name);
    if (bytes < 0 || (size_t)bytes >= sizeof(found))
        return mu_fail(log, MU_E0604, "choose a shorter --out, or a link to it",
            "the path of the run directory has %d bytes, more than %d", bytes,
            MU_RUN_DIR_PATH_MAX - 1);
    memcpy(ret_path, found, sizeof(found));
    return MU_OK;
}

enum mu_status mu_run_dir_open(struct mu_run_dir *dir, struct mu_log *log, const char *path,
    const struct mu_job *job, const struct mu_spec *spec, const struct mu_world *world, bool resume)
{
    *dir = (struct mu_run_dir){0};
    bool leads = spec->self == spec->leader;
    MU_TRY(mu_run_dir_find(log, path, job, dir->path));
    if (leads)
        MU_TRY(mu_run_lock_open(log, dir->path, world->host, world->process, &dir->lock));
    MU_TRY(make_folder(dir, log, "logs"));
    MU_TRY(make_folder(dir, log, "tb"));
    if (!leads && spec->task[spec->self].role != MU_ROLE_EVALUATOR)
        return MU_OK;
    char checkpoints[MU_RUN_DIR_PATH_MAX + 32];
    mu_format(checkpoints, sizeof(checkpoints), "%s/checkpoints", dir->path);
    MU_TRY(mu_store_directory_open(log, checkpoints, &dir->store));
    if (!leads)
        return MU_OK;
    MU_TRY(check_history(dir, log, resume));
    MU_TRY(remove_summary(dir, log));
    if (resume && spec->local)
        warn_of_being_alone(dir, log);
    return write_request(dir, log, job, spec);
}

void mu_run_dir_close(struct mu_run_dir *dir)
{
    if (dir->store)
        dir->store->ops->close(dir->store);
    mu_run_lock_close(dir->lock);
    *dir = (struct mu_run_dir){0};
}

enum mu_saved mu_run_dir_look(const char *directory)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_store *store;
    char path[2400];
    mu_format(path, sizeof(path), "%s/.lock", directory); /* of the leader */
    bool is_here = access(path, F_OK) == 0;
    mu_format(path, sizeof(path), "%s/checkpoints", directory);
    if (!mu_folder_is(path))
        return is_here ? MU_SAVED_NOTHING : MU_SAVED_UNKNOWN;
    if (mu_store_directory_open(&quiet, path, &store) != MU_OK)
        return MU_SAVED_UNKNOWN;
    bool any = mu_task_newest(store) >= 0;
    store->ops->close(store);
    return any ? MU_SAVED_SOME : MU_SAVED_UNKNOWN;
}
