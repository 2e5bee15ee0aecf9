/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_view.h"
#include "runtime/base/shell.h"
#include "runtime/io/host.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define HELP "  = help: "

static const mu_json_value *tasks_of(const struct mu_status_view *view)
{
    const mu_json_value *tasks = mu_json_member(view->root, "tasks");
    return tasks && mu_json_type(tasks) == MU_JSON_OBJECT ? tasks : NULL;
}

/* A time that may be none; 0 then. */
static void add_seconds(struct mu_text *out, double seconds)
{
    char text[32];
    bool known = !isnan(seconds) && fabs(seconds) < 9e9;
    mu_text_duration(text, sizeof(text), known ? (int64_t)(seconds * 1e9) : 0);
    mu_text_add(out, "%s", text);
}

/* ---- how to go on ---- */

/* What begins this run, or goes on with it if something has been saved. */
static void add_command(const struct mu_status_view *view, struct mu_text *out)
{
    const mu_json_value *tasks = tasks_of(view);
    const char *command = mu_status_string(view->root, "command", NULL);
    bool saved = view->checkpoint >= 0;
    bool elsewhere = command && tasks && mu_json_count(tasks) > 1 &&
                     !strstr(command, " --local ") && !strstr(command, "mpirun -n");
    if (command)
        mu_text_add(out, "%s%s: %s%s",
            saved ? "to go on from the last checkpoint" : "nothing is saved; to begin anew",
            !elsewhere ? ""
            : strstr(command, " --task ")
                ? ", with every task started again, each with its own --task"
                : ", with every task started again",
            command, saved ? " --resume" : "");
    else
        mu_text_add(out, "%s",
            saved ? "the same command with --resume goes on"
                  : "nothing is saved, and the same command begins anew");
    mu_text_add(out, "\n");
}

/* ---- what went wrong ---- */

/* Of a task of this host; true of others, whose processes cannot be seen from here. */
static bool may_be_stopped(const struct mu_status_view *view, int process)
{
    const mu_json_value *tasks = tasks_of(view);
    for (size_t i = 0; tasks && i < mu_json_count(tasks); i++) {
        const mu_json_value *task = mu_json_member_at(tasks, i);
        if (process > 0 && mu_status_process_here(task) == process)
            return mu_host_process_stopped(process);
    }
    return true;
}

/* What a task was told to type when it saw another stop: that it ends it, while it is still there.
 */
static const char *without_the_gone(const struct mu_status_view *view, const char *help)
{
    static const char kills[] = "`kill -KILL ", ends[] = "ends it; ";
    if (strncmp(help, kills, strlen(kills)) != 0 ||
        may_be_stopped(view, (int)strtol(help + strlen(kills), NULL, 10)))
        return help;
    const char *rest = strstr(help, ends);
    return rest ? rest + strlen(ends) : help;
}

static void show_error(const struct mu_status_view *view, struct mu_text *out)
{
    const char *error = mu_status_string(view->root, "error", NULL);
    const char *help = mu_status_string(view->root, "error_help", NULL);
    double number = mu_status_number(view->root, "error_number");
    enum mu_error found;
    if (!error || !(number > 0 && number < 10000))
        return;
    mu_text_add(out, "error[E%04.0f]: %s\n", number, error);
    if (!help && mu_error_find((int64_t)number, &found))
        help = mu_error_remedy(found);
    mu_text_add(out, HELP "%s\n",
        help ? without_the_gone(view, help) : "its last words are in the logs of the directory");
}

bool mu_status_stopped_unsaved(const struct mu_status_view *view)
{
    double saved = view->checkpoint >= 0 ? (double)view->checkpoint : 0;
    return mu_status_number(view->root, "exit") == mu_status_exit(MU_PREEMPTED) &&
           mu_status_number(view->root, "step") > saved;
}

static void show_end(const struct mu_status_view *view, struct mu_text *out)
{
    double code = mu_status_number(view->root, "exit");
    if (code == mu_status_exit(MU_PREEMPTED)) {
        mu_text_add(out, HELP "it was asked to stop");
        if (mu_status_stopped_unsaved(view))
            mu_text_add(out, " while it could not save");
        if (mu_status_stopped_unsaved(view) && view->checkpoint >= 0)
            mu_text_add(out, ", what came after step %lld is lost", (long long)view->checkpoint);
        mu_text_add(out, "; ");
        add_command(view, out);
    } else if (code > 128) {
        mu_text_add(out, HELP "it was asked to stop before it had begun; ");
        add_command(view, out);
    } else if (code != 0 && !mu_status_string(view->root, "error", NULL)) {
        mu_text_add(out, HELP "its last words are in %s/logs\n", view->directory);
    }
}

static void show_death(const struct mu_status_view *view, struct mu_text *out)
{
    char name[64];
    mu_text_copy(name, sizeof(name), mu_status_string(view->root, "leader", "?"));
    for (char *slash = strchr(name, '/'); slash; slash = NULL)
        *slash = '-';
    mu_text_add(out, HELP "its last words are in %s/logs/%s.log; ", view->directory, name);
    add_command(view, out);
}

/* Others of this host who were there and are no more: they have given the stopped leader up. */
static const char *gone_from_here(const struct mu_status_view *view)
{
    const mu_json_value *tasks = tasks_of(view);
    const char *leader = mu_status_string(view->root, "leader", "?");
    for (size_t i = 0; tasks && i < mu_json_count(tasks); i++) {
        const mu_json_value *task = mu_json_member_at(tasks, i);
        int process = mu_status_process_here(task);
        bool was_here = strcmp(mu_status_string(task, "state", ""), "here") == 0 && process > 0;
        if (was_here && strcmp(mu_json_key(tasks, i), leader) != 0 &&
            mu_host_process_started(process) < 0)
            return mu_json_key(tasks, i);
    }
    return NULL;
}

static void show_silence(const struct mu_status_view *view, struct mu_text *out)
{
    double process = mu_status_number(view->root, "process");
    const char *gone = view->stopped ? gone_from_here(view) : NULL;
    if (gone) {
        mu_text_add(out,
            HELP "%s has ended, so the run cannot go on: `kill -KILL %.0f` ends the leader; then ",
            gone, process);
        add_command(view, out);
    } else if (view->stopped)
        mu_text_add(out, HELP "`kill -CONT %.0f` lets it go on\n", process);
    else
        mu_text_add(out, HELP "on %s: `ps -o pid,stat,cmd -p %.0f`\n",
            mu_status_string(view->root, "host", "its host"), process);
}

/* Less than this, and what a run says of itself may not have been written. */
#define FREE_BYTES_MIN ((uint64_t)64 << 10)

/* The last words of a run that could not write them are missing, not unsaid. */
static void show_full_disk(const struct mu_status_view *view, struct mu_text *out)
{
    char text[32];
    struct statvfs disk;
    if (statvfs(view->directory, &disk) != 0 || disk.f_blocks == 0)
        return;
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    bool no_files = disk.f_files > 0 && disk.f_favail == 0;
    if (free_bytes >= FREE_BYTES_MIN && !no_files)
        return;
    mu_text_bytes(text, sizeof(text), free_bytes);
    mu_text_add(out, "the disk of %s is full (%s free%s): the run may live, or have said more\n",
        view->directory, text, no_files ? ", and no file can be made" : "");
    char word[MU_SHELL_WORD_BYTES];
    mu_shell_word(word, view->directory);
    mu_text_add(out, HELP "`df -h %s; df -i %s`, then make room\n", word, word);
}

/* A run whose checkpoints cannot be written trains on. */
static void show_unsaved(const struct mu_status_view *view, struct mu_text *out)
{
    const char *error = mu_status_string(view->root, "checkpoint_error", NULL);
    double since = mu_status_number(view->root, "checkpoint_error_since");
    char word[MU_SHELL_WORD_BYTES];
    if (!error || view->state == MU_STATUS_OVER)
        return;
    mu_text_add(out, "no checkpoint can be saved since step %.0f, ",
        mu_status_number(view->root, "checkpoint_error_step"));
    add_seconds(out, mu_status_number(view->root, "written") + view->age_seconds - since);
    mu_text_add(out, " ago%s: %s\n",
        view->state == MU_STATUS_RUNNING ? ", and the run trains on" : "", error);
    mu_text_add(out,
        HELP "`df -h %s; df -i %s`, then make room; the next is tried when it is due\n",
        mu_shell_word(word, view->directory), word);
}

/* ---- who is waited for ---- */

/* bash alone can do it; its host has no brackets around it. */
static void add_knock(const char *address, const char *colon, struct mu_text *out)
{
    bool bracketed = address[0] == '[' && colon - address > 2;
    mu_text_add(out,
        "`timeout 3 bash -c '</dev/tcp/%.*s/%s' && echo open` says whether it is there",
        (int)(colon - address) - 2 * bracketed, address + bracketed, colon + 1);
}

/* What starts a task, where each is started by a command of its own: that of the leader, with
 * another task. */
static bool add_start(const struct mu_status_view *view, const char *name, struct mu_text *out)
{
    char end[64];
    const char *command = mu_status_string(view->root, "command", "");
    mu_format(end, sizeof(end), " --task %s", mu_status_string(view->root, "leader", "?"));
    size_t bytes = strlen(command), end_bytes = strlen(end);
    if (bytes <= end_bytes || strcmp(command + bytes - end_bytes, end) != 0)
        return false;
    mu_text_add(out, "`%.*s --task %s` starts it", (int)(bytes - end_bytes), command, name);
    return true;
}

static bool has_launcher(const struct mu_status_view *view)
{
    return strstr(mu_status_string(view->root, "command", ""), " --local ") != NULL;
}

/* The run has given it up: it can only end, and as long as it is there none can take its place. */
static void help_stopped(
    const struct mu_status_view *view, int process, const char *name, struct mu_text *out)
{
    mu_text_add(out, "`kill -KILL %d` ends it, so that it can be started again", process);
    if (has_launcher(view))
        mu_text_add(out, ", as the launcher does by itself");
    mu_text_add(out, "; ");
    if (!add_start(view, name, out))
        mu_text_add(out, "its last words are in its log");
    mu_text_add(out, "\n");
}

static void help_absent(
    const struct mu_status_view *view, const char *name, const char *address, struct mu_text *out)
{
    bool starts = strcmp(mu_status_string(view->root, "phase", ""), "starting") == 0;
    const char *colon = strrchr(address, ':');
    mu_text_add(out, "start it%s on its host; ", starts ? "" : " again, unless a launcher does,");
    if (add_start(view, name, out))
        mu_text_add(out, "; ");
    mu_text_add(out, "its last words are in its log%s", colon ? "; " : "");
    if (colon)
        add_knock(address, colon, out);
    mu_text_add(out, "\n");
}

static void show_awaited(const struct mu_status_view *view, const char *name,
    const mu_json_value *task, struct mu_text *out)
{
    const char *address = mu_status_string(task, "address", "?");
    int process = mu_status_process_here(task);
    bool stopped = process > 0 && mu_host_process_stopped(process);
    mu_text_add(out, "it waits for %s (%s), ", name, address);
    add_seconds(out, mu_status_number(task, "awaited_seconds"));
    mu_text_add(out, " more");
    if (stopped)
        mu_text_add(out, ": pid %d has the address and is stopped (state T)", process);
    else if (mu_status_string(task, "absent", NULL))
        mu_text_add(out, ": %s", mu_status_string(task, "absent", ""));
    mu_text_add(out, "\n" HELP);
    if (stopped)
        help_stopped(view, process, name, out);
    else
        help_absent(view, name, address, out);
}

static void show_all_awaited(const struct mu_status_view *view, struct mu_text *out)
{
    const mu_json_value *tasks = tasks_of(view);
    int shown = 0, awaited = 0;
    for (size_t i = 0; tasks && i < mu_json_count(tasks); i++) {
        const mu_json_value *task = mu_json_member_at(tasks, i);
        if (isnan(mu_status_number(task, "awaited_seconds")))
            continue;
        awaited++;
        if (shown < 3 && ++shown)
            show_awaited(view, mu_json_key(tasks, i), task, out);
    }
    if (awaited > shown)
        mu_text_add(out, "and for %d more\n", awaited - shown);
}

/* ---- the whole ---- */

void mu_status_help(const struct mu_status_view *view, struct mu_text *out)
{
    show_error(view, out);
    switch (view->state) {
    case MU_STATUS_RUNNING:
        show_all_awaited(view, out);
        break;
    case MU_STATUS_OVER:
        show_end(view, out);
        break;
    case MU_STATUS_DIED:
        show_death(view, out);
        show_full_disk(view, out);
        break;
    case MU_STATUS_SILENT:
        show_silence(view, out);
        show_full_disk(view, out);
        break;
    }
    show_unsaved(view, out);
}
