/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/status_view.h"
#include "runtime/base/shell.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 1000
#define HELP_BYTES (MU_SHELL_WORD_BYTES + 24)
#define CLEAR "\033[H\033[2J"

/* ---- which run ---- */

/* The one below `runs` whose status was written last; false: there is none. */
static bool find_newest(char *out, size_t bytes)
{
    DIR *folder = opendir("runs");
    struct timespec newest = {0};
    bool found = false;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[512];
        struct stat stat_;
        snprintf(path, sizeof(path), "runs/%s/status.json", entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &stat_) != 0)
            continue;
        bool newer =
            stat_.st_mtim.tv_sec > newest.tv_sec ||
            (stat_.st_mtim.tv_sec == newest.tv_sec && stat_.st_mtim.tv_nsec > newest.tv_nsec);
        if (found && !newer)
            continue;
        newest = stat_.st_mtim;
        found = true;
        snprintf(out, bytes, "runs/%s", entry->d_name);
    }
    if (folder)
        closedir(folder);
    return found;
}

/* ---- showing ---- */

static enum mu_status print(struct mu_log *log, const struct mu_text *out)
{
    bool good = !out->failed && fwrite(out->data, 1, out->bytes, stdout) == out->bytes &&
                fflush(stdout) == 0;
    return good ? MU_OK : mu_fail(log, MU_E0605, NULL, "cannot write to the output");
}

/* What a look has found, for the exit code: does the run live, or has it ended well? */
struct found {
    bool runs, good;
};

static struct found find(const struct mu_status_view *view)
{
    bool runs = view->state == MU_STATUS_RUNNING;
    bool ended_well = view->state == MU_STATUS_OVER && mu_status_number(view->root, "exit") == 0;
    return (struct found){.runs = runs, .good = runs || ended_well};
}

static enum mu_status show_once(struct mu_log *log, const struct mu_cmd_status_options *asked,
    const char *directory, bool clears, struct found *ret_found)
{
    struct mu_status_view view;
    struct mu_text out;
    MU_TRY(mu_status_view_read(log, directory, &view));
    mu_text_init(&out);
    if (clears)
        mu_text_add(&out, CLEAR);
    (asked->json ? mu_status_show_json : mu_status_show)(&view, &out);
    if (asked->watch && !asked->json && !clears)
        mu_text_add(&out, "\n");
    enum mu_status status = print(log, &out);
    *ret_found = find(&view);
    mu_text_finish(&out);
    mu_status_view_finish(&view);
    return status;
}

/* What shows the whole run, with the directory as it was given. */
static void command_without_pid(const struct mu_cmd_status_options *asked, char command[HELP_BYTES])
{
    char word[MU_SHELL_WORD_BYTES];
    bool given = asked->directory[0] != '\0';
    mu_format(command, HELP_BYTES, "muster status%s%s", given ? " " : "",
        given ? mu_shell_word(word, asked->directory) : "");
}

/* For scripts: `kill -TERM $(muster status --pid worker/1)`. */
static enum mu_status show_pid(struct mu_log *log, const struct mu_cmd_status_options *asked,
    const char *directory, struct found *ret_found)
{
    const char *task_name = asked->pid;
    char command[HELP_BYTES], help[HELP_BYTES + 40];
    struct mu_status_view view;
    command_without_pid(asked, command);
    MU_TRY(mu_status_view_read(log, directory, &view));
    const mu_json_value *tasks = mu_json_member(view.root, "tasks");
    const mu_json_value *task =
        tasks && mu_json_type(tasks) == MU_JSON_OBJECT ? mu_json_member(tasks, task_name) : NULL;
    double process = task ? mu_status_number(task, "process") : 0;
    bool gone = view.state == MU_STATUS_OVER ||
                (task && strcmp(mu_status_string(task, "state", ""), "gone") == 0);
    *ret_found = find(&view);
    mu_status_view_finish(&view);
    mu_format(help, sizeof(help), "`%s` %s", command,
        task ? "says how the run is doing" : "lists the tasks");
    if (!task)
        return mu_fail(
            log, MU_E0001, help, "there is no task `%.40s` in the run of %s", task_name, directory);
    if (!(process > 0))
        return mu_fail(log, MU_E0301, NULL, "%s has not come yet", task_name);
    /* Its number may be somebody else's by now. */
    if (gone)
        return mu_fail(log, MU_E0401, help, "%s is gone; it was process %.0f", task_name, process);
    printf("%.0f\n", process);
    return fflush(stdout) == 0 ? MU_OK : mu_fail(log, MU_E0605, NULL, "cannot write to the output");
}

static void pause_a_while(void)
{
    struct timespec pause = {.tv_sec = WATCH_MS / 1000, .tv_nsec = WATCH_MS % 1000 * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    const struct mu_cmd_status_options *asked = options;
    char newest[MU_CLI_PATH_MAX];
    const char *directory = asked->directory;
    bool clears = asked->watch && !asked->json && isatty(STDOUT_FILENO);
    struct found found;
    if (!directory[0] && !find_newest(newest, sizeof(newest)))
        return mu_status_exit(mu_fail(log, MU_E0609,
            "name the directory of a run, that of its --out: muster status DIR",
            access("runs", F_OK) == 0 ? "there is no run in the folder `runs`"
                                      : "there is no folder `runs` in this directory"));
    if (!directory[0])
        directory = newest;
    for (;;) {
        enum mu_status status = asked->pid[0] ? show_pid(log, asked, directory, &found)
                                              : show_once(log, asked, directory, clears, &found);
        if (status != MU_OK)
            return mu_status_exit(status);
        if (!asked->watch || !found.runs || asked->pid[0])
            return mu_status_exit(found.good ? MU_OK : MU_UNAVAILABLE);
        pause_a_while();
    }
}

#define STATUS struct mu_cmd_status_options

static const struct mu_flag flags[] = {
    {.option = {.name = "watch",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(STATUS, watch),
         .doc = "again every second, until the run does not run any more"}},
    {.option = {.name = "json",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(STATUS, json),
         .doc = "as one line of JSON"}},
    {.option = {.name = "pid",
         .type = MU_OPTION_STRING,
         .offset = offsetof(STATUS, pid),
         .bytes = sizeof(((STATUS *)NULL)->pid),
         .fallback = "",
         .doc = "nothing but the process id of this task, for scripts on its host"},
        .value = "TASK"},
    MU_FLAG_NONE,
};
static const struct mu_operand operands[] = {
    {.name = "DIR",
        .doc = "of the run; if absent, the one below `runs` that was written last",
        .offset = offsetof(STATUS, directory),
        .bytes = sizeof(((STATUS *)NULL)->directory),
        .optional = true},
    MU_OPERAND_NONE,
};

const struct mu_command mu_command_status = {
    .name = "status",
    .doc = "how a run is doing: who is alive, step, speed, load",
    .details =
        "Reads status.json, which the leader of a run writes anew every second, and looks "
        "whether the leader is still there: it needs no network, and works when the run is "
        "dead. Ends with 0 if the run is running or has ended well (exit code 0); with 69 if "
        "it does not run and is not done: it ended with another code, died, or has written "
        "nothing for ten seconds; with 66 if the directory holds no run.",
    .examples = (const char *const[]){"muster status runs/mnist", "muster status --watch",
        "muster status --json runs/mnist", "muster status --pid worker/1 runs/mnist", NULL},
    .flags = flags,
    .operands = operands,
    .option_bytes = sizeof(STATUS),
    .run = run,
};
