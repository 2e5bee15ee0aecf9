/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/launch/local_report.h"
#include "roles/run_dir.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_retry(int code)
{
    return code == mu_status_exit(MU_UNAVAILABLE) || code == mu_status_exit(MU_PREEMPTED);
}

/* 69 says that somebody else failed, 75 that somebody asked to stop: neither is where it began. */
static bool is_cause(const struct mu_local_child *child)
{
    int code = mu_local_child_code(child);
    return child->role != MU_ROLE_EVALUATOR && code != 0 && !is_retry(code) &&
           !mu_local_child_ended_by_us(child);
}

static bool is_told(const struct mu_local_outcome *outcome, const struct mu_local_child *child)
{
    return !outcome->insisted || child->ended_ns < outcome->user_signal_ns;
}

/* The others can go on without a task that a signal ended; that is what they are there for. But a
 * task that says that its input is missing or its spec is wrong will say so again, and the others
 * would wait for it. */
bool mu_local_report_is_final(const struct mu_local_child *child)
{
    return is_cause(child) && !WIFSIGNALED(child->wait_status);
}

/* Was a server that may die missed in the end? Not if the replicas ended well, nor, of one that a
 * signal ended, if they were asked to stop or one failed on its own: they had gone on without. */
static bool was_missed(const struct mu_local_outcome *outcome, const struct mu_local_child *server)
{
    bool missed = false;
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        int code = mu_local_child_code(child);
        if (!mu_local_is_replica(child) || code == 0)
            continue;
        if (mu_local_report_is_final(server))
            return true;
        if (is_cause(child))
            return false;
        missed = missed || code != mu_status_exit(MU_PREEMPTED);
    }
    return missed;
}

static bool is_lost_server(const struct mu_local_child *child)
{
    return child->role == MU_ROLE_PS && is_cause(child) && WIFSIGNALED(child->wait_status);
}

/* The first server that was lost, if another was lost after it: its standby had taken over. */
static bool was_survived(
    const struct mu_local_outcome *outcome, const struct mu_local_child *server)
{
    bool another = false;
    if (!outcome->has_standbys || !is_lost_server(server))
        return false;
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        if (child == server || !is_lost_server(child))
            continue;
        if (child->ended_ns < server->ended_ns)
            return false;
        another = another || child->ended_ns > server->ended_ns;
    }
    return another;
}

static bool counts(const struct mu_local_outcome *outcome, const struct mu_local_child *child)
{
    if (child->role == MU_ROLE_EVALUATOR)
        return false;
    if (child->role != MU_ROLE_PS || !outcome->servers_may_die)
        return true;
    return was_missed(outcome, child) && !was_survived(outcome, child);
}

/* Position of the first real cause, or -1. */
static int find_cause(const struct mu_local_outcome *outcome)
{
    int first = -1;
    for (int i = 0; i < outcome->count; i++)
        if (is_cause(&outcome->children[i]) && counts(outcome, &outcome->children[i]) &&
            is_told(outcome, &outcome->children[i]) &&
            (first < 0 || outcome->children[i].ended_ns < outcome->children[first].ended_ns))
            first = i;
    return first;
}

/* Position of the first that ended with this code, the evaluator aside, or -1. */
static int find_code(const struct mu_local_outcome *outcome, int code)
{
    int first = -1;
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        if (counts(outcome, child) && mu_local_child_code(child) == code &&
            (first < 0 || child->ended_ns < outcome->children[first].ended_ns))
            first = i;
    }
    return first;
}

static bool somebody_died_of_us(const struct mu_local_outcome *outcome)
{
    for (int i = 0; i < outcome->count; i++)
        if (counts(outcome, &outcome->children[i]) &&
            mu_local_child_ended_by_us(&outcome->children[i]))
            return true;
    return false;
}

int mu_local_report_code(const struct mu_local_outcome *outcome)
{
    int cause = find_cause(outcome);
    if (cause >= 0)
        return mu_local_child_code(&outcome->children[cause]);
    /* A task that a signal of ours ended has saved nothing: 75 would be a lie. */
    if (outcome->user_signal && somebody_died_of_us(outcome))
        return 128 + outcome->user_signal;
    if (find_code(outcome, mu_status_exit(MU_UNAVAILABLE)) >= 0)
        return mu_status_exit(MU_UNAVAILABLE);
    if (find_code(outcome, mu_status_exit(MU_PREEMPTED)) >= 0)
        return mu_status_exit(MU_PREEMPTED);
    if (outcome->killed && somebody_died_of_us(outcome))
        return 128 + SIGKILL;
    return 0;
}

/* A task that was refused its run directory has written no log. */
static void write_log_path(
    const struct mu_local_outcome *outcome, const struct mu_local_child *child, struct mu_text *out)
{
    char path[MU_RUN_DIR_PATH_MAX + MU_TASK_NAME_MAX + 16];
    if (!outcome->out_dir)
        return;
    mu_format(path, sizeof(path), "%s/logs/%s.log", outcome->out_dir, child->name);
    char *slash = strrchr(path, '/');
    *slash = '-';
    if (access(path, F_OK) == 0)
        mu_text_add(out, "\n  log    %s", path);
}

static void write_task(
    const struct mu_local_outcome *outcome, const struct mu_local_child *child, struct mu_text *out)
{
    char text[128];
    mu_text_time(text, sizeof(text), child->ended_wall_ns);
    mu_text_add(out, "\n  time   %s", text);
    mu_text_duration(text, sizeof(text), child->ended_ns - outcome->started_ns);
    mu_text_add(out, ", %s after the start", text);
    mu_local_child_describe(child, text, sizeof(text));
    mu_text_add(out, "\n  end    %s", text);
    if (child->reason[0])
        mu_text_add(out, "\n  %s%s", child->reason_is_error ? "" : "said   ", child->reason);
    write_log_path(outcome, child, out);
}

/* "  others chief 75, worker/0 killed" */
static void write_others(const struct mu_local_outcome *outcome, int cause, struct mu_text *out)
{
    const char *between = "\n  others ";
    char name[MU_LOCAL_SIGNAL_NAME_MAX];
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        if (i == cause)
            continue;
        mu_text_add(out, "%s%s ", between, child->name);
        if (WIFSIGNALED(child->wait_status)) {
            mu_local_child_signal_name(child, name);
            mu_text_add(
                out, "%s%s", name, mu_local_child_ended_by_us(child) ? " by the launcher" : "");
        } else
            mu_text_add(out, "%d", mu_local_child_code(child));
        between = ", ";
    }
}

/* What the run had lost before, and could do without. */
static void write_survived(const struct mu_local_outcome *outcome, int cause, struct mu_text *out)
{
    char after[64];
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        if (i == cause || !was_survived(outcome, child))
            continue;
        mu_text_duration(after, sizeof(after), child->ended_ns - outcome->started_ns);
        mu_text_add(
            out, " after %s, lost %s after the start, which the run survived", child->name, after);
    }
}

/* A task that was stopped while the others ended with 69: they had given it up. */
static int find_stopped(const struct mu_local_outcome *outcome)
{
    for (int i = 0; i < outcome->count; i++)
        if (outcome->children[i].role != MU_ROLE_EVALUATOR && outcome->children[i].was_stopped)
            return i;
    return -1;
}

/* To leave is no failure. */
static bool was_asked(const struct mu_local_child *child)
{
    int code = mu_local_child_code(child);
    return code == mu_status_exit(MU_PREEMPTED) || code == 128 + SIGTERM || code == 128 + SIGINT;
}

/* Alone it is worth a word; with the others it only followed them. */
static void write_evaluator(const struct mu_local_outcome *outcome, struct mu_text *out)
{
    for (int i = 0; i < outcome->count; i++) {
        const struct mu_local_child *child = &outcome->children[i];
        if (child->role != MU_ROLE_EVALUATOR || mu_local_child_code(child) == 0 || child->sent ||
            was_asked(child))
            continue;
        mu_text_add(out, "%sthe evaluator failed; training did not depend on it",
            out->bytes > 0 ? "\n" : "");
        write_task(outcome, child, out);
    }
}

void mu_local_report_write(const struct mu_local_outcome *outcome, struct mu_text *out)
{
    int first = find_cause(outcome), stopped = find_stopped(outcome);
    if (first < 0 && stopped >= 0 && !outcome->insisted) {
        mu_text_add(out, "%s was stopped (state T), and the others gave it up",
            outcome->children[stopped].name);
        write_task(outcome, &outcome->children[stopped], out);
        write_others(outcome, stopped, out);
        return;
    }
    if (first < 0 && !outcome->insisted)
        first = find_code(outcome, mu_status_exit(MU_UNAVAILABLE));
    if (first >= 0) {
        mu_text_add(out, "%s was the first to fail", outcome->children[first].name);
        write_survived(outcome, first, out);
        write_task(outcome, &outcome->children[first], out);
        write_others(outcome, first, out);
        return;
    }
    write_evaluator(outcome, out);
}
