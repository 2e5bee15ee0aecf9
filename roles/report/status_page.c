/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/status_page.h"
#include "ps/split.h"
#include <math.h>

/* Rates are over so long: long enough to be calm, short enough to show a change. */
#define MARK_EVERY_NS (2 * MU_SECOND)

/* ---- looking ---- */

static void take_rates(struct mu_status_task *task, int64_t now_ns)
{
    double seconds = (double)(now_ns - task->mark_ns) / (double)MU_SECOND;
    int64_t gradients = task->load.value[MU_LOAD_GRADIENTS] - task->mark.value[MU_LOAD_GRADIENTS];
    task->rated = true;
    task->samples_per_second = (double)(task->samples - task->mark_samples) / seconds;
    for (int row = 0; row < MU_LOAD_COUNT; row++)
        task->per_second[row] = (double)(task->load.value[row] - task->mark.value[row]) / seconds;
    task->staleness = gradients > 0 ? (double)(task->load.value[MU_LOAD_STALENESS_SUM] -
                                               task->mark.value[MU_LOAD_STALENESS_SUM]) /
                                          (double)gradients
                                    : (double)NAN;
}

static void forget_rates(struct mu_status_task *task)
{
    task->rated = false;
    task->samples_per_second = task->staleness = (double)NAN;
    for (int row = 0; row < MU_LOAD_COUNT; row++)
        task->per_second[row] = (double)NAN;
}

static void mark(struct mu_status_task *task, int64_t now_ns)
{
    task->mark_ns = now_ns;
    task->mark_samples = task->samples;
    task->mark = task->load;
}

/* Does what it counts begin anew? So it is with each generation of a run, and a worker that goes
 * back to a checkpoint has trained on fewer samples. */
static bool counts_anew(const struct mu_status_task *task)
{
    if (task->samples < task->mark_samples)
        return true;
    for (int row = 0; row < MU_LOAD_COUNT; row++)
        if (mu_load_has_rate((enum mu_load_row)row) &&
            task->load.value[row] < task->mark.value[row])
            return true;
    return false;
}

void mu_status_page_look(
    struct mu_status_task *task, const struct mu_task_view *view, int64_t now_ns)
{
    /* One that has come is known, even if the run has begun without it. */
    bool came = view->joined || task->process > 0;
    task->state = view->here ? MU_STATUS_HERE : came ? MU_STATUS_GONE : MU_STATUS_MISSING;
    mu_text_copy(task->absent, sizeof(task->absent), view->joined ? "" : view->absent);
    task->awaited_ns = view->awaited_ns;
    task->done = view->done;
    if (task->state == MU_STATUS_GONE)
        forget_rates(task);
    if (task->state == MU_STATUS_MISSING || (task->state == MU_STATUS_GONE && !view->joined))
        return;
    mu_text_copy(task->host, sizeof(task->host), view->host);
    task->process = view->process;
    task->started_wall_ns = view->started_wall_ns;
    task->heard_wall_ns = view->heard_wall_ns;
    task->doing = view->doing;
    task->step = view->step;
    task->doing_age_ns = view->doing_age_ns;
    task->samples = view->samples;
    bool first = !task->has_load && view->load;
    if (view->load)
        task->load = *view->load;
    task->has_load = view->load != NULL;
    if (task->mark_ns == 0 || first || counts_anew(task)) {
        forget_rates(task);
        mark(task, now_ns);
    } else if (now_ns - task->mark_ns >= (task->rated ? MARK_EVERY_NS : MARK_EVERY_NS / 4)) {
        take_rates(task, now_ns);
        mark(task, now_ns);
    }
}

/* ---- writing ---- */

/* Each writes a comma first, but the first of an object. */
static void add_key(struct mu_text *out, const char *indent, const char *key)
{
    bool first = out->bytes > 0 && out->data[out->bytes - 1] == '{';
    mu_text_add(out, "%s%s", first ? "" : ",", indent);
    mu_text_add_json_string(out, key);
    mu_text_add(out, ": ");
}

static void add_text(struct mu_text *out, const char *indent, const char *key, const char *value)
{
    add_key(out, indent, key);
    if (value[0])
        mu_text_add_json_string(out, value);
    else
        mu_text_add(out, "null");
}

static void add_integer(struct mu_text *out, const char *indent, const char *key, int64_t value)
{
    add_key(out, indent, key);
    mu_text_add(out, "%lld", (long long)value);
}

/* To six digits: more would only be noise in a file for looking at. */
static void add_number(struct mu_text *out, const char *indent, const char *key, double value)
{
    add_key(out, indent, key);
    if (isfinite(value))
        mu_text_add(out, "%.6g", value);
    else
        mu_text_add(out, "null");
}

/* Seconds, of a time since 1970 or of a duration. */
static void add_seconds(struct mu_text *out, const char *indent, const char *key, int64_t ns)
{
    add_key(out, indent, key);
    ns = ns > 0 ? ns : 0;
    mu_text_add(out, "%lld.%03d", (long long)(ns / MU_SECOND), (int)(ns / MU_MS % 1000));
}

#define IN_RUN "\n  "
#define IN_TASK " "

static void write_unsaved(const struct mu_status_page *page, struct mu_text *out)
{
    add_text(out, IN_RUN, "checkpoint_error", page->unsaved);
    if (!page->unsaved[0])
        return;
    add_integer(out, IN_RUN, "checkpoint_error_step", page->unsaved_step);
    add_seconds(out, IN_RUN, "checkpoint_error_since", page->unsaved_wall_ns);
}

static void write_run(const struct mu_status_page *page, struct mu_text *out)
{
    static const char *const phases[] = {"starting", "training", "ended"};
    bool ended = page->phase == MU_STATUS_ENDED;
    add_text(out, IN_RUN, "phase", phases[page->phase]);
    add_seconds(out, IN_RUN, "written", page->written_wall_ns);
    add_seconds(out, IN_RUN, "started", page->started_wall_ns);
    add_text(out, IN_RUN, "name", page->run);
    add_text(out, IN_RUN, "leader", page->leader);
    add_text(out, IN_RUN, "host", page->host);
    add_integer(out, IN_RUN, "process", page->process);
    add_integer(out, IN_RUN, "process_started", page->process_started);
    add_key(out, IN_RUN, "exit");
    mu_text_add(out, ended ? "%d" : "null", page->exit);
    add_key(out, IN_RUN, "error_number");
    mu_text_add(out, page->error_number > 0 ? "%d" : "null", page->error_number);
    add_text(out, IN_RUN, "error", page->error);
    add_text(out, IN_RUN, "error_help", page->error_help);
    add_text(out, IN_RUN, "command", page->command);
    write_unsaved(page, out);
}

static void write_progress(const struct mu_progress *progress, struct mu_text *out)
{
    add_integer(out, IN_RUN, "step", progress->step);
    add_integer(out, IN_RUN, "steps_total", progress->steps_total);
    add_integer(out, IN_RUN, "epoch", progress->epoch);
    add_key(out, IN_RUN, "epochs");
    mu_text_add(out, progress->epochs > 0 ? "%lld" : "null", (long long)progress->epochs);
    add_number(out, IN_RUN, "loss", progress->loss);
    add_number(out, IN_RUN, "accuracy", progress->accuracy);
    add_number(out, IN_RUN, "samples_per_second", progress->samples_per_second);
    add_number(out, IN_RUN, "seconds_left", progress->seconds_left);
}

static void write_absent(const struct mu_status_task *task, struct mu_text *out)
{
    add_text(out, IN_TASK, "absent", task->absent);
    if (task->awaited_ns > 0)
        add_seconds(out, IN_TASK, "awaited_seconds", task->awaited_ns);
}

static void write_task(
    const struct mu_status_task *task, int64_t written_wall_ns, struct mu_text *out)
{
    static const char *const states[] = {"missing", "here", "gone"};
    char doing[96];
    mu_activity_text(task->doing, task->step, doing, sizeof(doing));
    add_key(out, "\n    ", task->name);
    mu_text_add(out, "{");
    add_text(out, "", "state", states[task->state]);
    add_text(out, IN_TASK, "address", task->address);
    if (task->state == MU_STATUS_MISSING) {
        write_absent(task, out);
        mu_text_add(out, "}");
        return;
    }
    add_text(out, IN_TASK, "host", task->host);
    add_integer(out, IN_TASK, "process", task->process);
    add_seconds(out, IN_TASK, "started", task->started_wall_ns);
    add_seconds(out, IN_TASK, "up_seconds", task->heard_wall_ns - task->started_wall_ns);
    add_seconds(out, IN_TASK, "heard_seconds", written_wall_ns - task->heard_wall_ns);
    add_text(out, IN_TASK, "doing", doing);
    add_seconds(out, IN_TASK, "doing_seconds", task->doing_age_ns);
    add_integer(out, IN_TASK, "step", task->step);
    add_integer(out, IN_TASK, "samples", task->samples);
    add_number(out, IN_TASK, "samples_per_second", task->samples_per_second);
    if (task->state == MU_STATUS_GONE) {
        if (task->done) {
            add_key(out, IN_TASK, "done");
            mu_text_add(out, "true");
        }
        write_absent(task, out);
    }
    mu_text_add(out, "}");
}

static void write_server(const struct mu_status_task *task, struct mu_text *out)
{
    add_key(out, "\n    ", task->name);
    mu_text_add(out, "{");
    for (int row = 0; row < MU_LOAD_COUNT; row++)
        add_integer(out, row > 0 ? IN_TASK : "", mu_load_name((enum mu_load_row)row),
            task->load.value[row]);
    for (int row = 0; row < MU_LOAD_COUNT; row++) {
        char key[64];
        if (!mu_load_has_rate((enum mu_load_row)row))
            continue;
        mu_format(key, sizeof(key), "%s_per_second", mu_load_name((enum mu_load_row)row));
        add_number(out, IN_TASK, key, task->per_second[row]);
    }
    add_number(out, IN_TASK, "staleness", task->staleness);
    mu_text_add(out, "}");
}

static void write_servers(const struct mu_status_page *page, struct mu_text *out)
{
    int64_t dense_bytes[MU_PS_SERVERS_MAX];
    int count = 0;
    add_key(out, IN_RUN, "servers");
    mu_text_add(out, "{");
    for (int i = 0; i < page->task_count; i++) {
        if (!page->task[i].has_load)
            continue;
        write_server(&page->task[i], out);
        if (count < MU_PS_SERVERS_MAX)
            dense_bytes[count++] = page->task[i].load.value[MU_LOAD_DENSE_BYTES];
    }
    mu_text_add(out, "}");
    add_key(out, IN_RUN, "servers_since");
    mu_text_add(out, count > 0 ? "%lld" : "null", (long long)page->servers_since);
    add_number(out, IN_RUN, "dense_balance", mu_load_balance(dense_bytes, count));
}

void mu_status_page_write(const struct mu_status_page *page, struct mu_text *out)
{
    mu_text_clear(out);
    mu_text_add(out, "{");
    write_run(page, out);
    write_progress(&page->progress, out);
    add_key(out, IN_RUN, "tasks");
    mu_text_add(out, "{");
    for (int i = 0; i < page->task_count && i < MU_STATUS_TASKS_MAX; i++)
        write_task(&page->task[i], page->written_wall_ns, out);
    mu_text_add(out, "}");
    write_servers(page, out);
    mu_text_add(out, "\n}\n");
}
