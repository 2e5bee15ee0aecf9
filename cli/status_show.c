/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_view.h"
#include "runtime/io/host.h"
#include "watch/progress.h"
#include <math.h>
#include <signal.h>
#include <string.h>

/* ---- words ---- */

#define WORD 32

static const char *seconds_text(double seconds, char out[WORD])
{
    if (isnan(seconds) || fabs(seconds) > 9e9) /* no file of ours says such things */
        return "-";
    mu_text_duration(out, WORD, (int64_t)(seconds * 1e9));
    return out;
}

static const char *bytes_text(double bytes, char out[WORD])
{
    if (isnan(bytes) || bytes < 0 || bytes >= 9e18)
        return "-";
    mu_text_bytes(out, WORD, (uint64_t)bytes);
    return out;
}

/* "11.2k" */
static const char *count_text(double count, char out[WORD])
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    if (isnan(count) || fabs(count) > 1e18)
        return "-";
    for (; count >= 999.5 && unit + 1 < MU_COUNT_OF(units); unit++)
        count /= 1000;
    bool has_digit = count < 99.95 && (unit > 0 || count != floor(count));
    mu_format(out, WORD, "%.*f%s", has_digit ? 1 : 0, count, units[unit]);
    return out;
}

/* ---- the run ---- */

static void add_leader(const struct mu_status_view *view, struct mu_text *out)
{
    mu_text_add(out, "%s (pid %.0f on %s)", mu_status_string(view->root, "leader", "?"),
        mu_status_number(view->root, "process"), mu_status_string(view->root, "host", "?"));
}

/* A number that a file has may be no code at all. */
static const char *meaning_of(double code)
{
    bool is_code = code >= 0 && code <= 255 && code == (int)code;
    return mu_status_exit_text(is_code ? (int)code : -1);
}

static bool ended_well(const struct mu_status_view *view)
{
    return view->state == MU_STATUS_OVER && mu_status_number(view->root, "exit") == 0;
}

static void show_end(
    const struct mu_status_view *view, const char *life, const char *since, struct mu_text *out)
{
    double code = mu_status_number(view->root, "exit");
    double written = mu_status_number(view->root, "written");
    char when[WORD] = "?";
    if (fabs(written) < 9e9)
        mu_text_time(when, sizeof(when), (int64_t)(written * 1e3) * (int64_t)1000000);
    const char *signal = code > 128 && code < 128 + 65 ? sigabbrev_np((int)code - 128) : NULL;
    if (code == 0)
        mu_text_add(out, "ended well, with exit code 0");
    else if (signal)
        mu_text_add(out, "ended with exit code %.0f (SIG%s)", code, signal);
    else if (mu_status_stopped_unsaved(view))
        mu_text_add(out, "ended with exit code %.0f (preempted, its last steps not saved)", code);
    else
        mu_text_add(out, "ended with exit code %.0f (%s)", code, meaning_of(code));
    mu_text_add(out, ", at %s, %s ago, after %s\n", when, since, life);
}

static void show_state(const struct mu_status_view *view, struct mu_text *out)
{
    char age[WORD], lasted[WORD];
    double seconds =
        mu_status_number(view->root, "written") - mu_status_number(view->root, "started");
    const char *since = seconds_text(view->age_seconds, age);
    const char *life = seconds_text(seconds, lasted);
    mu_text_add(out, "%s ", view->directory);
    switch (view->state) {
    case MU_STATUS_RUNNING:
        mu_text_add(out, "is running, for %s (%s); %s ago ", life,
            mu_status_string(view->root, "phase", "?"), since);
        add_leader(view, out);
        mu_text_add(out, " wrote this\n");
        break;
    case MU_STATUS_OVER:
        show_end(view, life, since, out);
        break;
    case MU_STATUS_DIED:
        mu_text_add(out, "died: ");
        add_leader(view, out);
        mu_text_add(out, " is gone and has not said why. What follows was so %s ago\n", since);
        break;
    case MU_STATUS_SILENT:
        mu_text_add(out, "is silent: ");
        add_leader(view, out);
        mu_text_add(out, "%s has written nothing for %s\n",
            view->stopped ? " is stopped (state T) and" : "", since);
        break;
    }
}

static bool is_here(const mu_json_value *task)
{
    return strcmp(mu_status_string(task, "state", ""), "here") == 0;
}

/* Of those that train or serve, like the line of progress: an evaluator is not needed. */
static int count_tasks(const mu_json_value *tasks, bool here)
{
    static const char evaluator[] = "evaluator/";
    int count = 0;
    for (size_t i = 0; tasks && i < mu_json_count(tasks); i++)
        if (strncmp(mu_json_key(tasks, i), evaluator, strlen(evaluator)) != 0)
            count += !here || is_here(mu_json_member_at(tasks, i));
    return count;
}

static int64_t whole(const mu_json_value *object, const char *key)
{
    double number = mu_status_number(object, key);
    return isnan(number) || fabs(number) > 9e15 ? 0 : (int64_t)number;
}

/* A resume takes the newest that is whole: where it found none, the newest is not. */
static bool could_not_load(const struct mu_status_view *view)
{
    return view->state == MU_STATUS_OVER && mu_status_number(view->root, "error_number") == 601;
}

static void show_progress(
    const struct mu_status_view *view, const mu_json_value *tasks, struct mu_text *out)
{
    const mu_json_value *root = view->root;
    char line[256], age[WORD];
    const struct mu_progress progress = {
        .epoch = whole(root, "epoch"),
        .epochs = whole(root, "epochs"),
        .step = whole(root, "step"),
        .steps_total = whole(root, "steps_total"),
        .loss = mu_status_number(root, "loss"),
        .accuracy = mu_status_number(root, "accuracy"),
        .samples_per_second = mu_status_number(root, "samples_per_second"),
        .seconds_left =
            view->state == MU_STATUS_RUNNING ? mu_status_number(root, "seconds_left") : (double)NAN,
        .alive = count_tasks(tasks, true),
        .tasks = count_tasks(tasks, false),
    };
    if (progress.steps_total > 0) {
        mu_progress_format(&progress, 79, false, line, sizeof(line));
        /* Who is alive is what it says last, and not known of a run that is not. */
        char *last = view->state == MU_STATUS_RUNNING ? NULL : strrchr(line, ' ');
        while (last && last > line && (last[0] != ' ' || last[-1] != ' '))
            last--;
        if (last && last > line)
            last[-1] = '\0';
        mu_text_add(out, "%s\n", line);
    }
    if (view->checkpoint < 0) {
        mu_text_add(out, "no checkpoint yet\n");
        return;
    }
    mu_text_add(out, "newest checkpoint: step %lld, %s ago: %s/checkpoints/%lld%s\n",
        (long long)view->checkpoint, seconds_text(view->checkpoint_age_seconds, age),
        view->directory, (long long)view->checkpoint,
        could_not_load(view) ? ", which is damaged" : "");
}

/* ---- the tasks ---- */

static void add_absent(const mu_json_value *task, struct mu_text *out)
{
    const char *absent = mu_status_string(task, "absent", NULL);
    if (absent)
        mu_text_add(out, ": %s", absent);
}

static void show_missing(
    const char *name, const mu_json_value *task, bool runs, struct mu_text *out)
{
    mu_text_add(out, "%-12s %s to %s", name, runs ? "has not come" : "never came",
        mu_status_string(task, "address", "?"));
    add_absent(task, out);
    mu_text_add(out, "\n");
}

/* The leader only knows that nothing is heard of it; on this host there is more to be seen. */
static bool is_stopped(const mu_json_value *task)
{
    int process = mu_status_process_here(task);
    return process > 0 && mu_host_process_stopped(process);
}

/* Of a run that ended well: has it, too, or was it lost on the way? The leader wrote that itself.
 */
static bool is_done(const struct mu_status_view *view, const mu_json_value *task, bool gone)
{
    const mu_json_value *done = mu_json_member(task, "done");
    return ended_well(view) &&
           (!gone || (done && mu_json_type(done) == MU_JSON_BOOL && mu_json_bool(done)));
}

static void add_doing(
    const struct mu_status_view *view, const mu_json_value *task, bool gone, struct mu_text *out)
{
    char since[WORD];
    double doing = mu_status_number(task, "doing_seconds");
    if (is_done(view, task, gone)) {
        mu_text_add(out, "done");
        return;
    }
    mu_text_add(out, "%s", gone ? "last seen " : "");
    if (view->state == MU_STATUS_RUNNING && !gone && is_stopped(task))
        mu_text_add(out, "stopped (state T), `kill -CONT %.0f` lets it go on; ",
            mu_status_number(task, "process"));
    mu_text_add(out, "%s", mu_status_string(task, "doing", "?"));
    if (doing >= 1)
        mu_text_add(out, ", for %s", seconds_text(doing, since));
}

/* Of a run that has not ended well: nobody has seen it go, and its process is no more. */
static bool has_ended_here(const struct mu_status_view *view, const mu_json_value *task)
{
    int process = mu_status_process_here(task);
    return view->state != MU_STATUS_RUNNING && !ended_well(view) && process > 0 &&
           mu_host_process_started(process) < 0;
}

static void show_task(const struct mu_status_view *view, const char *name,
    const mu_json_value *task, struct mu_text *out)
{
    bool runs = view->state == MU_STATUS_RUNNING;
    char speed[WORD], seen[WORD], up[WORD];
    const char *state = mu_status_string(task, "state", "?");
    double heard = mu_status_number(task, "heard_seconds") + (runs ? 0 : view->age_seconds);
    bool gone = strcmp(state, "gone") == 0 || has_ended_here(view, task);
    if (strcmp(state, "missing") == 0) {
        show_missing(name, task, runs, out);
        return;
    }
    mu_text_add(out, "%-12s %7.0f %-12.12s %7s %8s %8s  ", name, mu_status_number(task, "process"),
        mu_status_string(task, "host", "?"), seconds_text(mu_status_number(task, "up_seconds"), up),
        gone                  ? "gone"
        : runs && heard < 1.5 ? "now"
                              : seconds_text(heard, seen),
        mu_status_number(task, "samples") > 0 && !gone
            ? count_text(mu_status_number(task, "samples_per_second"), speed)
            : "-");
    add_doing(view, task, gone, out);
    add_absent(task, out);
    mu_text_add(out, "\n");
}

static void show_tasks(
    const struct mu_status_view *view, const mu_json_value *tasks, struct mu_text *out)
{
    mu_text_add(out, "\n%-12s %7s %-12s %7s %8s %8s  %s\n", "TASK", "PID", "HOST", "UP", "SEEN",
        "ROWS/S", "DOING");
    for (size_t i = 0; i < mu_json_count(tasks); i++)
        if (mu_json_type(mu_json_member_at(tasks, i)) == MU_JSON_OBJECT)
            show_task(view, mu_json_key(tasks, i), mu_json_member_at(tasks, i), out);
}

/* ---- the servers ---- */

/* Less on all servers together is even enough: a click model may have one dense number. */
#define UNEVEN_BYTES_MIN 65536

static void show_server(const char *name, const mu_json_value *server, bool is_gone,
    double *dense_bytes, struct mu_text *out)
{
    char kept[WORD], rows[WORD], requests[WORD], in[WORD], out_[WORD], memory[WORD], stale[WORD];
    double row_bytes = mu_status_number(server, "row_bytes");
    double row_count = mu_status_number(server, "rows");
    if (is_gone) {
        mu_text_add(out, "%-8s %10s\n", name, "gone");
        return;
    }
    *dense_bytes += mu_status_number(server, "dense_bytes");
    mu_text_add(out, "%-8s %10s %7s %8s %10s %10s %10s %9s\n", name,
        bytes_text(mu_status_number(server, "dense_bytes") + row_bytes, kept),
        row_bytes > 0 ? count_text(row_count, rows) : "-",
        count_text(mu_status_number(server, "requests_per_second"), requests),
        bytes_text(mu_status_number(server, "bytes_in_per_second"), in),
        bytes_text(mu_status_number(server, "bytes_out_per_second"), out_),
        bytes_text(mu_status_number(server, "memory_bytes"), memory),
        count_text(mu_status_number(server, "staleness"), stale));
}

/* What is no number of every day. */
static void show_trouble(const char *name, const mu_json_value *server, struct mu_text *out)
{
    char bytes[WORD];
    double unread = mu_status_number(server, "unread"), cut = mu_status_number(server, "cut_off");
    if (unread > 0)
        mu_text_add(out, "%s: %.0f answers (%s) are not read by their workers\n", name, unread,
            bytes_text(mu_status_number(server, "unread_bytes"), bytes));
    if (cut > 0)
        mu_text_add(out, "%s: %.0f workers were cut off\n", name, cut);
}

/* What a dead server kept and did is no load any more. */
static bool is_gone(const mu_json_value *tasks, const char *name)
{
    const mu_json_value *task = tasks ? mu_json_member(tasks, name) : NULL;
    return task && strcmp(mu_status_string(task, "state", ""), "gone") == 0;
}

static void show_servers(const struct mu_status_view *view, const mu_json_value *tasks,
    const mu_json_value *servers, struct mu_text *out)
{
    double balance = mu_status_number(view->root, "dense_balance"), dense_bytes = 0;
    bool runs = view->state == MU_STATUS_RUNNING;
    mu_text_add(out, "\n%-8s %10s %7s %8s %10s %10s %10s %9s\n", "SERVER", "KEEPS", "ROWS", "REQ/S",
        "IN/S", "OUT/S", "MEMORY", "STALENESS");
    for (size_t i = 0; i < mu_json_count(servers); i++)
        if (mu_json_type(mu_json_member_at(servers, i)) == MU_JSON_OBJECT)
            show_server(mu_json_key(servers, i), mu_json_member_at(servers, i),
                runs && is_gone(tasks, mu_json_key(servers, i)), &dense_bytes, out);
    for (size_t i = 0; i < mu_json_count(servers); i++)
        if (mu_json_type(mu_json_member_at(servers, i)) == MU_JSON_OBJECT)
            show_trouble(mu_json_key(servers, i), mu_json_member_at(servers, i), out);
    if (balance > 1.1 && dense_bytes > UNEVEN_BYTES_MIN)
        mu_text_add(out, "the fullest server has %.2f times the mean of dense bytes\n", balance);
}

/* ---- the whole ---- */

static const mu_json_value *object_of(const mu_json_value *root, const char *key)
{
    const mu_json_value *value = mu_json_member(root, key);
    return value && mu_json_type(value) == MU_JSON_OBJECT ? value : NULL;
}

void mu_status_show(const struct mu_status_view *view, struct mu_text *out)
{
    const mu_json_value *tasks = object_of(view->root, "tasks");
    const mu_json_value *servers = object_of(view->root, "servers");
    show_state(view, out);
    mu_status_help(view, out);
    show_progress(view, tasks, out);
    if (tasks && mu_json_count(tasks) > 0)
        show_tasks(view, tasks, out);
    if (servers && mu_json_count(servers) > 0)
        show_servers(view, tasks, servers, out);
}

void mu_status_show_json(const struct mu_status_view *view, struct mu_text *out)
{
    struct mu_text file;
    mu_text_init(&file);
    mu_json_write_canonical(view->root, &file);
    mu_text_add(out, "{\"directory\":");
    mu_text_add_json_string(out, view->directory);
    mu_text_add(out, ",\"state\":\"%s\",\"age_seconds\":", mu_status_state_name(view->state));
    mu_text_add_double(out, view->age_seconds);
    mu_text_add(out, ",\"checkpoint_step\":");
    mu_text_add(out, view->checkpoint >= 0 ? "%lld" : "null", (long long)view->checkpoint);
    mu_text_add(out, ",\"checkpoint_age_seconds\":");
    mu_text_add_double(out, view->checkpoint_age_seconds);
    mu_text_add(out, ",%s\n", file.bytes > 0 ? file.data + 1 : "}");
    out->failed = out->failed || file.failed;
    mu_text_finish(&file);
}
