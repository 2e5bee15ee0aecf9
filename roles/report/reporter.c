/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/reporter.h"
#include "ps/policies.h"
#include "roles/report/status_keeper.h"
#include "runtime/base/log_quiet.h"
#include <math.h>
#include <stdio.h>

static int64_t wall(const struct mu_reporter *reporter)
{
    return reporter->run->world->ops->wall_ns(reporter->run->world);
}

static enum mu_status open_files(struct mu_reporter *reporter, int64_t resume_step)
{
    struct mu_task_run *run = reporter->run;
    char path[1024];
    MU_TRY(mu_task_events_open(run, resume_step, &reporter->events));
    if (!reporter->leads)
        return MU_OK;
    mu_format(path, sizeof(path), "%s/metrics.jsonl", run->out_dir);
    return mu_metrics_open(run->log, path, resume_step >= 0, &reporter->metrics);
}

enum mu_status mu_reporter_open(struct mu_reporter *reporter, struct mu_task_run *run, bool leads,
    int64_t resume_step, int64_t steps_total, int64_t last_start_wall_ns, int64_t samples_before)
{
    *reporter = (struct mu_reporter){.run = run,
        .leads = leads,
        .steps_total = steps_total,
        .last_start_wall_ns = last_start_wall_ns,
        .samples_before = samples_before,
        .epochs = run->job->train.steps > 0 ? 0 : run->job->train.epochs,
        .speed = (double)NAN};
    reporter->summary = (struct mu_summary){.first_step_seconds = (double)NAN,
        .samples_per_second = (double)NAN,
        .rows_per_second = (double)NAN,
        .train_loss = (double)NAN,
        .test_accuracy = (double)NAN,
        .test_loss = (double)NAN,
        .test_auc = (double)NAN,
        .takeover_seconds = (double)NAN,
        .takeover_silence_seconds = (double)NAN,
        .embedding_rows = -1};
    return run->out_dir ? open_files(reporter, resume_step) : MU_OK;
}

void mu_reporter_close(struct mu_reporter *reporter)
{
    mu_event_file_close(reporter->events);
    mu_metrics_close(reporter->metrics);
    reporter->events = NULL;
    reporter->metrics = NULL;
}

enum mu_status mu_reporter_go_back(
    struct mu_reporter *reporter, int64_t step, int64_t steps_total, int64_t samples)
{
    reporter->steps_total = steps_total;
    reporter->samples = reporter->point_samples = samples;
    reporter->point_ns = mu_now(reporter->run->world);
    reporter->at_end = false;
    mu_reporter_close(reporter);
    return reporter->run->out_dir ? open_files(reporter, step) : MU_OK;
}

/* Of the verdicts on this task's gradients, those that were given; "verdict" in front. */
static const char *verdict_key(const struct mu_report *report, int verdict, char out[40])
{
    if (!report->verdicts || report->verdicts[verdict] == 0)
        return NULL;
    mu_format(out, 40, "verdict/%s", mu_verdict_name((enum mu_verdict)verdict));
    return out;
}

static void write_verdicts(
    struct mu_reporter *reporter, const struct mu_report *report, int64_t now)
{
    char key[40];
    for (int i = 0; i < MU_VERDICT_COUNT; i++) {
        if (!verdict_key(report, i, key))
            continue;
        if (reporter->events)
            mu_event_file_scalar(
                reporter->events, now, report->step, key, (float)report->verdicts[i]);
        if (reporter->metrics)
            mu_metrics_integer(reporter->metrics, key, report->verdicts[i]);
    }
}

static void write_point(struct mu_reporter *reporter, const struct mu_report *report)
{
    int64_t now = wall(reporter);
    struct mu_event_file *events = reporter->events;
    if (events) {
        mu_event_file_scalar(events, now, report->step, "train/loss", (float)report->loss);
        mu_event_file_scalar(events, now, report->step, "train/accuracy", (float)report->accuracy);
        mu_event_file_scalar(
            events, now, report->step, "train/learning_rate", (float)report->learning_rate);
        if (!isnan(report->staleness))
            mu_event_file_scalar(
                events, now, report->step, "train/staleness", (float)report->staleness);
        if (!isnan(reporter->speed))
            mu_event_file_scalar(
                events, now, report->step, "train/samples_per_second", (float)reporter->speed);
    }
    if (!reporter->metrics) {
        write_verdicts(reporter, report, now);
        return;
    }
    mu_metrics_begin(reporter->metrics, now, report->step);
    mu_metrics_integer(reporter->metrics, "epoch", report->epoch);
    mu_metrics_integer(reporter->metrics, "samples", reporter->samples_before + report->samples);
    mu_metrics_number(reporter->metrics, "loss", report->loss);
    mu_metrics_number(reporter->metrics, "accuracy", report->accuracy);
    mu_metrics_number(reporter->metrics, "learning_rate", report->learning_rate);
    if (!isnan(report->staleness))
        mu_metrics_number(reporter->metrics, "staleness", report->staleness);
    mu_metrics_number(reporter->metrics, "samples_per_second", reporter->speed);
    write_verdicts(reporter, report, now);
    mu_metrics_end(reporter->metrics);
}

#define SPEED_EVERY_NS (500 * MU_MS)

/* Speed over the last half second or so: short enough to show a change, long enough to read. */
static void measure_speed(struct mu_reporter *reporter, int64_t now, int64_t samples)
{
    if (reporter->first_step_ns == 0) {
        reporter->first_step_ns = reporter->point_ns = now;
        reporter->first_samples = reporter->point_samples = samples;
        reporter->summary.first_step_seconds =
            (double)(wall(reporter) - reporter->last_start_wall_ns) / (double)MU_SECOND;
    } else if (now - reporter->point_ns >= SPEED_EVERY_NS) {
        double seconds = (double)(now - reporter->point_ns) / (double)MU_SECOND;
        reporter->speed = (double)(samples - reporter->point_samples) / seconds;
        reporter->point_ns = now;
        reporter->point_samples = samples;
    }
    reporter->last_ns = now;
    reporter->samples = samples;
}

static double seconds_left(
    const struct mu_reporter *reporter, const struct mu_report *report, int64_t now)
{
    double seconds = (double)(now - reporter->first_step_ns) / (double)MU_SECOND;
    double done = (double)(report->step - reporter->first_step);
    double left = (double)(reporter->steps_total - report->step);
    return seconds > 1 && done > 0 && left > 0 ? left * seconds / done : (double)NAN;
}

#define TELL_EVERY_NS MU_SECOND
#define NOTE_EVERY_NS (250 * MU_MS)

static void note_progress(struct mu_reporter *reporter)
{
    struct mu_task_run *run = reporter->run;
    if (!run->status || reporter->progress.steps_total == 0)
        return;
    mu_status_keeper_enter(run->status)->progress = reporter->progress;
    mu_status_keeper_leave(run->status, false);
}

/* A run that ends when its data are read may do more steps than were planned, and then nobody knows
 * how many: as many as are done are the total. */
static int64_t total_of(struct mu_reporter *reporter, int64_t step)
{
    if (step <= reporter->steps_total)
        return reporter->steps_total;
    if (!reporter->beyond)
        mu_say(reporter->run->log, MU_LEVEL_INFO,
            "more steps than the %lld planned: who was late in mode `sync` still reads what it "
            "left out there; their learning rate is that of the last planned step",
            (long long)reporter->steps_total);
    reporter->beyond = true;
    return step;
}

static void show_progress(struct mu_reporter *reporter, const struct mu_report *report, int64_t now)
{
    const struct mu_progress progress = {
        .epoch = report->epoch + 1,
        .epochs = reporter->epochs,
        .step = report->step,
        .steps_total = total_of(reporter, report->step),
        .loss = report->loss,
        .accuracy = report->accuracy,
        .samples_per_second = reporter->speed,
        .seconds_left = seconds_left(reporter, report, now),
        .alive = report->alive,
        .tasks = report->tasks,
    };
    struct mu_task_run *run = reporter->run;
    bool is_last = report->step >= reporter->steps_total && !reporter->at_end;
    reporter->at_end = reporter->at_end || is_last;
    reporter->progress = progress;
    if (run->display)
        mu_progress_show(run->display, &progress, now, is_last);
    if (is_last || now - reporter->noted_ns >= NOTE_EVERY_NS) {
        note_progress(reporter);
        reporter->noted_ns = now;
    }
    if (run->tell && now - reporter->told_ns >= TELL_EVERY_NS) {
        char text[160];
        mu_progress_format(&progress, 120, false, text, sizeof(text));
        run->tell(text);
        reporter->told_ns = now;
    }
}

void mu_reporter_step(struct mu_reporter *reporter, const struct mu_report *report)
{
    int64_t now = mu_now(reporter->run->world);
    if (reporter->first_step_ns == 0)
        reporter->first_step = report->step;
    measure_speed(reporter, now, report->samples);
    reporter->summary.train_loss = report->loss;
    reporter->summary.steps = report->step;
    int64_t every = reporter->run->job->log.every_steps;
    if (every > 0 && (report->step % every == 0 || report->step >= reporter->steps_total))
        write_point(reporter, report);
    if (reporter->leads)
        show_progress(reporter, report, now);
}

static void add_loads(
    struct mu_metrics *metrics, const struct mu_summary_server *servers, int server_count)
{
    for (int s = 0; s < server_count; s++)
        for (int row = 0; row < MU_LOAD_COUNT; row++) {
            char key[MU_TASK_NAME_MAX + 40];
            mu_format(key, sizeof(key), "load/%s/%s", mu_load_name((enum mu_load_row)row),
                servers[s].name);
            mu_metrics_integer(metrics, key, servers[s].load.value[row]);
        }
}

static void add_verdicts(
    struct mu_metrics *metrics, const char *name, const int64_t verdicts[MU_VERDICT_COUNT])
{
    for (int i = 0; i < MU_VERDICT_COUNT; i++) {
        char key[MU_TASK_NAME_MAX + 40];
        mu_format(key, sizeof(key), "verdict/%s/%s", mu_verdict_name((enum mu_verdict)i), name);
        if (verdicts[i] > 0)
            mu_metrics_integer(metrics, key, verdicts[i]);
    }
}

static void add_staleness(struct mu_metrics *metrics, const int64_t *staleness)
{
    for (int i = 0; i < MU_SUMMARY_STALENESS_MAX; i++) {
        char key[40];
        mu_format(key, sizeof(key), "staleness/%d", i);
        if (staleness[i] > 0)
            mu_metrics_integer(metrics, key, staleness[i]);
    }
}

static void add_sums(struct mu_metrics *metrics, const struct mu_summary_task *tasks, int count)
{
    int64_t sums[MU_VERDICT_COUNT] = {0};
    for (int t = 0; t < count; t++)
        for (int i = 0; i < MU_VERDICT_COUNT; i++)
            sums[i] += tasks[t].verdicts[i];
    add_verdicts(metrics, "all", sums);
}

void mu_reporter_loads(
    struct mu_reporter *reporter, int64_t step, const struct mu_report_loads *loads)
{
    struct mu_metrics *metrics = reporter->metrics;
    mu_metrics_begin(metrics, wall(reporter), step);
    if (loads->task_count > MU_REPORT_TASKS_MAX)
        add_sums(metrics, loads->tasks, loads->task_count);
    for (int t = 0; t < loads->task_count && t < MU_REPORT_TASKS_MAX; t++)
        add_verdicts(metrics, loads->tasks[t].name, loads->tasks[t].verdicts);
    add_staleness(metrics, loads->staleness);
    add_loads(metrics, loads->servers, loads->server_count);
    mu_metrics_end(metrics);
}

/* The last line: what became of the gradients of each task, and how stale they were. */
static void write_tasks(struct mu_reporter *reporter)
{
    const struct mu_summary *summary = &reporter->summary;
    if (!reporter->metrics || summary->task_count == 0)
        return;
    mu_metrics_begin(reporter->metrics, wall(reporter), summary->steps);
    for (int t = 0; t < summary->task_count; t++)
        add_verdicts(reporter->metrics, summary->tasks[t].name, summary->tasks[t].verdicts);
    add_staleness(reporter->metrics, summary->staleness);
    add_loads(reporter->metrics, summary->servers, summary->server_count);
    mu_metrics_end(reporter->metrics);
}

/* The last line, if the last step has not been one: it may have been another replica's, or the run
 * was stopped before. What fails has its error for a last line. */
static void show_the_end(struct mu_reporter *reporter, enum mu_status status, int64_t now)
{
    struct mu_progress_display *display = reporter->run->display;
    bool ends_well = status == MU_OK || status == MU_PREEMPTED;
    bool shown = reporter->at_end && reporter->progress.step <= reporter->steps_total;
    if (ends_well && !shown && reporter->progress.steps_total > 0)
        mu_progress_show(display, &reporter->progress, now, true);
    mu_progress_clear(display);
}

/* Speed is between two steps: of a single one there is none to tell. */
static void say_result(const struct mu_reporter *reporter, double seconds)
{
    const struct mu_summary *summary = &reporter->summary;
    struct mu_log *log = reporter->run->log;
    char now[40] = "", speed[96] = "";
    if (reporter->first_step_ns == 0) {
        mu_say(log, MU_LEVEL_INFO, "nothing trained: test accuracy %.2f %%",
            100 * summary->test_accuracy);
        return;
    }
    if (reporter->samples_before > 0)
        mu_format(now, sizeof(now), ", %lld of them now,", (long long)reporter->samples);
    if (!isnan(summary->samples_per_second))
        mu_format(speed, sizeof(speed), "%s in %.1f s (%.0f samples/s)", now, seconds,
            summary->samples_per_second);
    mu_say(log, MU_LEVEL_INFO, "%lld step%s, %lld sample%s%s: loss %.4f, test accuracy %.2f %%",
        (long long)summary->steps, summary->steps == 1 ? "" : "s", (long long)summary->samples,
        summary->samples == 1 ? "" : "s", speed, summary->train_loss, 100 * summary->test_accuracy);
}

/* Why a run has failed was said: that its summary cannot be written is not to be taken for it. */
static enum mu_status save_summary(const struct mu_reporter *reporter, enum mu_status ending)
{
    const struct mu_task_run *run = reporter->run;
    bool has_failed = ending != MU_OK && ending != MU_PREEMPTED;
    struct mu_log quiet = mu_log_quiet();
    char path[1024];
    mu_format(path, sizeof(path), "%s/summary.json", run->out_dir);
    enum mu_status status =
        mu_summary_save(has_failed ? &quiet : run->log, path, &reporter->summary);
    if (has_failed && status != MU_OK)
        mu_say(run->log, MU_LEVEL_WARN, "%s cannot be written", path);
    return status;
}

enum mu_status mu_reporter_finish(struct mu_reporter *reporter, enum mu_status status)
{
    struct mu_summary *summary = &reporter->summary;
    struct mu_task_run *run = reporter->run;
    int64_t now = mu_now(run->world);
    reporter->progress.step = summary->steps;
    if (reporter->progress.steps_total > 0)
        reporter->progress.steps_total = total_of(reporter, summary->steps);
    reporter->progress.seconds_left = (double)NAN;
    note_progress(reporter);
    if (run->display)
        show_the_end(reporter, status, now);
    summary->exit = mu_status_exit(status);
    summary->samples = reporter->samples_before + reporter->samples;
    summary->wall_seconds = (double)(now - run->started_ns) / (double)MU_SECOND;
    double trained = reporter->first_step_ns > 0
                         ? (double)(reporter->last_ns - reporter->first_step_ns) / (double)MU_SECOND
                         : 0;
    if (trained > 0 && reporter->samples > reporter->first_samples)
        summary->samples_per_second =
            (double)(reporter->samples - reporter->first_samples) / trained;
    if (reporter->first_step_ns > 0)
        summary->rows_per_second = (double)reporter->samples * (double)MU_SECOND /
                                   (double)(reporter->last_ns - run->started_ns);
    if (!isnan(summary->test_accuracy))
        say_result(reporter, trained);
    if (summary->samples_again > 0)
        mu_say(run->log, MU_LEVEL_INFO,
            "%lld samples more were read, whose updates were lost with a parameter server",
            (long long)summary->samples_again);
    if (!run->out_dir)
        return MU_OK;
    write_tasks(reporter);
    return save_summary(reporter, status);
}
