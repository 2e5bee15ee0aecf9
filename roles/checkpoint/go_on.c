/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/go_on.h"
#include "collectives/mpi.h"
#include "runtime/base/shell.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the command ---- */

static void add_roles(const int counts[MU_ROLE_COUNT], struct mu_text *out)
{
    const char *between = " --roles ";
    for (int role = 0; role < MU_ROLE_COUNT; role++) {
        if (counts[role] == 0)
            continue;
        mu_text_add(out, "%s%s=%d", between, mu_role_name((enum mu_role)role), counts[role]);
        between = ",";
    }
}

/* Those that were given, or those tasks would have others than they had. */
static void add_times(const struct mu_run_request *request, struct mu_text *out)
{
    if (request->start_timeout_ns != MU_RUN_START_TIMEOUT * MU_SECOND)
        mu_text_add(out, " --start-timeout %.9g", (double)request->start_timeout_ns / 1e9);
    if (request->step_timeout_ns != MU_RUN_STEP_TIMEOUT * MU_SECOND)
        mu_text_add(out, " --step-timeout %.9g", (double)request->step_timeout_ns / 1e9);
    if (request->failure_detection == MU_DETECT_FAST)
        mu_text_add(out, " --failure-detection fast");
}

static const char *ranks(void)
{
    return mu_mpi_is_rank() ? getenv("OMPI_COMM_WORLD_SIZE") : NULL;
}

/* Does a file say who is in the cluster? The tasks of `--local` have their ports from it alone. */
static bool has_file(const struct mu_go_on *go_on)
{
    return !getenv("MUSTER_LOCAL") && !go_on->spec->local &&
           (go_on->request->cluster.cluster_path || atomic_load(&go_on->has_cluster));
}

/* Each task by its own command, from that file: a launcher says by itself who is who. */
static bool is_by_hand(const struct mu_go_on *go_on)
{
    struct mu_launcher launcher;
    return has_file(go_on) && !mu_spec_launched(&go_on->request->cluster, &launcher);
}

/* One task of the file. Of a cluster that a variable named, the copy: the variable is not there in
 * another shell. */
static void add_task(const struct mu_go_on *go_on, int task, struct mu_text *out)
{
    const char *given = go_on->request->cluster.cluster_path;
    const struct mu_task evaluator = {.role = MU_ROLE_EVALUATOR}; /* outside the cluster */
    char path[1024], name[MU_TASK_NAME_MAX];
    mu_format(path, sizeof(path), "%s/%s", go_on->directory, MU_RUN_CLUSTER_NAME);
    mu_shell_add_word(out, " --cluster ", given ? given : path);
    mu_task_name(
        task < go_on->spec->task_count ? &go_on->spec->task[task] : &evaluator, name, sizeof(name));
    mu_shell_add_word(out, " --task ", name);
}

static void add_as_given(const struct mu_spec_request *given, struct mu_text *out)
{
    const char *local = getenv("MUSTER_LOCAL");
    if (local)
        mu_shell_add_word(out, " --local ", local);
    add_roles(given->counts, out);
    if (given->cluster_path)
        mu_shell_add_word(out, " --cluster ", given->cluster_path);
    if (given->task)
        mu_shell_add_word(out, " --task ", given->task);
}

/* "muster run job.json --out runs/a", and all that is not about the cluster. */
static void add_run(const struct mu_go_on *go_on, bool resumes, struct mu_text *out)
{
    const struct mu_run_request *request = go_on->request;
    /* The launcher starts tasks by the path of its own file: it says what was typed. */
    const char *program = getenv("MUSTER_PROGRAM");
    mu_shell_add_word(out, "", program ? program : program_invocation_name);
    mu_shell_add_word(out, " run ", request->job_path);
    mu_shell_add_word(out, " --out ", go_on->directory);
    mu_text_add(out, "%s", resumes ? " --resume" : "");
    for (int i = 0; request->sets && request->sets[i]; i++)
        mu_shell_add_word(out, " --set ", request->sets[i]);
    add_times(request, out);
}

void mu_go_on_command(const struct mu_go_on *go_on, bool resumes, struct mu_text *out)
{
    if (ranks())
        mu_text_add(out, "mpirun -n %s ", ranks());
    add_run(go_on, resumes, out);
    if (!is_by_hand(go_on)) {
        add_as_given(&go_on->request->cluster, out);
        return;
    }
    add_roles(go_on->request->cluster.counts, out);
    add_task(go_on, go_on->spec->self, out);
}

void mu_go_on_start_command(const struct mu_go_on *go_on, int task, struct mu_text *out)
{
    if (!has_file(go_on))
        return;
    add_run(go_on, go_on->request->resume, out);
    add_task(go_on, task, out);
}

/* ---- is there anything to go on from? ---- */

void mu_go_on_note_saving(struct mu_go_on *go_on)
{
    enum mu_saved nothing = MU_SAVED_NOTHING;
    if (go_on)
        atomic_compare_exchange_strong(&go_on->saved, &nothing, MU_SAVED_UNKNOWN);
}

void mu_go_on_note_saved(struct mu_go_on *go_on)
{
    if (go_on)
        atomic_store(&go_on->saved, MU_SAVED_SOME);
}

static void add_why_not(const struct mu_go_on *go_on, struct mu_text *out)
{
    const struct mu_job_checkpoint *rule = &go_on->job->checkpoint;
    if (!go_on->begun)
        return;
    if (rule->every_steps == 0 && !(rule->every_seconds > 0)) {
        mu_text_add(out, "nothing was saved, for this job saves at its end alone "
                         "(--set checkpoint.every_seconds=60 saves every minute); ");
        return;
    }
    mu_text_add(out, "nothing was saved yet, for this job saves only ");
    if (rule->every_steps > 0)
        mu_text_add(out, "every %lld steps (checkpoint.every_steps)", (long long)rule->every_steps);
    if (rule->every_seconds > 0)
        mu_text_add(out, "%severy %g s (checkpoint.every_seconds)",
            rule->every_steps > 0 ? " or " : "", rule->every_seconds);
    mu_text_add(out, "; ");
}

void mu_go_on_say(const struct mu_go_on *go_on, char *out, size_t bytes)
{
    struct mu_text text;
    enum mu_saved saved = go_on->look ? go_on->look(go_on->directory) : atomic_load(&go_on->saved);
    bool elsewhere = !getenv("MUSTER_LOCAL") && !go_on->spec->local && !ranks();
    mu_text_init(&text);
    if (saved == MU_SAVED_NOTHING)
        add_why_not(go_on, &text);
    mu_text_add(&text, "%s%s: ",
        saved == MU_SAVED_SOME      ? "to go on from the last checkpoint"
        : saved == MU_SAVED_NOTHING ? "to begin anew"
                                    : "to go on from the last checkpoint, or anew if there is none",
        !elsewhere          ? ""
        : is_by_hand(go_on) ? ", with every task started again, each with its own --task"
                            : ", with every task started again");
    mu_go_on_command(go_on, saved != MU_SAVED_NOTHING, &text);
    mu_text_copy(out, bytes, text.data);
    mu_text_finish(&text);
}
