/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/job_file.h"
#include "runtime/base/text.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 256     /* of a folder that are looked at */
#define SHIPPED "configs" /* where jobs are that came with the source */

/* The job files of one folder. */
struct files {
    char *name[FILES_MAX];
    size_t count;
};

static bool is_job_name(const char *name)
{
    size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".json") == 0;
}

static void files_read(struct files *files, const char *folder)
{
    DIR *directory = opendir(folder);
    *files = (struct files){0};
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (is_job_name(entry->d_name) && files->count < FILES_MAX) {
            char *copy = strdup(entry->d_name);
            if (copy)
                files->name[files->count++] = copy;
        }
    if (directory)
        closedir(directory);
}

static void files_finish(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->name[i]);
}

/* "demo" may mean demo.json. */
static const char *nearest(const struct files *files, const char *name)
{
    char ended[NAME_MAX + 8];
    const char *const *names = (const char *const *)files->name;
    const char *found = mu_text_nearest(name, names, files->count);
    if (found || strlen(name) > NAME_MAX)
        return found;
    mu_format(ended, sizeof(ended), "%s.json", name);
    return mu_text_nearest(ended, names, files->count);
}

/* "configs/demo.json" for "configs/dmeo.json"; "" if nothing in the folder is like it. */
static void suggest(const char *folder, const char *name, char *out, size_t bytes)
{
    struct files files;
    files_read(&files, folder);
    const char *found = nearest(&files, name);
    bool here = strcmp(folder, ".") == 0, root = strcmp(folder, "/") == 0;
    int length =
        found ? snprintf(out, bytes, "%s%s%s", here ? "" : folder, here || root ? "" : "/", found)
              : 0;
    if (length <= 0 || (size_t)length >= bytes)
        out[0] = '\0';
    files_finish(&files);
}

static enum mu_status fail_missing(struct mu_log *log, const char *path)
{
    char folder[PATH_MAX] = ".", meant[PATH_MAX], help[PATH_MAX + 32];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (slash)
        mu_text_copy(folder, slash == path ? 2 : (size_t)(slash - path) + 1, path);
    suggest(folder, name, meant, sizeof(meant));
    if (!meant[0] && !slash)
        suggest(SHIPPED, name, meant, sizeof(meant));
    mu_format(help, sizeof(help), "did you mean `%s`?", meant);
    return mu_fail(log, MU_E0002, meant[0] ? help : "`muster man job` describes a job file",
        "cannot read %s: %s", path, strerror(ENOENT));
}

enum mu_status mu_job_file_load(
    struct mu_log *log, const char *path, const char *const sets[], struct mu_job **ret_job)
{
    struct stat stat_;
    if (strlen(path) < PATH_MAX && stat(path, &stat_) != 0 && errno == ENOENT)
        return fail_missing(log, path);
    return mu_job_load(log, path, sets, ret_job);
}
