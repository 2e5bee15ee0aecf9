/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/server/ps_report.h"
#include "ps/policies.h"
#include "roles/server/ps_load.h"
#include <stdlib.h>
#include <string.h>

#define LOAD_EVERY_NS MU_SECOND /* points for TensorBoard */
#define CURVES_MAX 64           /* replicas whose verdicts are points; all are at the end */

/* ---- the load ---- */

static void load_of(const struct mu_ps_report *report, struct mu_load *ret_load)
{
    mu_ps_load_of(report->server, ret_load);
    if (report->standby)
        mu_ps_load_add_standby(report->standby, ret_load);
}

void mu_ps_report_load(void *report, struct mu_load *ret_load)
{
    load_of(report, ret_load);
}

/* For TensorBoard, now and then; all numbers once more at the end. The first points of a generation
 * void those that were made further on before the run went back. */
static void write_load(struct mu_ps_report *report)
{
    struct mu_world *world = report->run->world;
    int64_t wall_ns = world->ops->wall_ns(world), version = mu_ps_server_version(report->server);
    struct mu_load load;
    load_of(report, &load);
    if (!report->has_points)
        mu_event_file_go_on(report->events, wall_ns, version - 1);
    report->has_points = true;
    mu_ps_load_write(&load, report->events, wall_ns, version);
}

/* ---- what became of gradients ---- */

/* All servers count the same: who is the head says it for all. */
static bool judges(const struct mu_ps_report *report)
{
    return mu_ps_server_is_head(report->server) ||
           (report->standby && mu_ps_server_is_head(report->standby));
}

static void forget_written(struct mu_ps_report *report)
{
    size_t count = (size_t)report->run->spec->replica_count * MU_VERDICT_COUNT;
    if (report->written)
        memset(report->written, 0, count * sizeof(*report->written));
}

/* Of the gradients of each replica, of the first so many: a point of what has changed since the
 * last one. */
static void write_verdicts(struct mu_ps_report *report, int64_t wall_ns, int replica_count)
{
    int64_t version = mu_ps_server_version(report->server);
    for (int r = 0; r < replica_count; r++) {
        const uint64_t *verdicts = mu_ps_server_verdicts(report->server, r);
        uint64_t *written = &report->written[r * MU_VERDICT_COUNT];
        for (int i = 0; i < MU_VERDICT_COUNT; i++) {
            char tag[MU_TASK_NAME_MAX + 40];
            if (verdicts[i] == written[i])
                continue;
            mu_format(tag, sizeof(tag), "ps/verdict/%s/%s", mu_verdict_name((enum mu_verdict)i),
                report->replica_names[r]);
            mu_event_file_scalar(report->events, wall_ns, version, tag, (float)verdicts[i]);
            written[i] = verdicts[i];
        }
    }
}

static void write_staleness(const struct mu_ps_report *report, int64_t wall_ns)
{
    const struct mu_staleness *staleness = mu_ps_server_staleness(report->server);
    double edges[MU_STALENESS_BUCKETS + 1], counts[MU_STALENESS_BUCKETS];
    for (int i = 0; i < MU_STALENESS_BUCKETS; i++) {
        edges[i] = (double)mu_staleness_bucket_min(i);
        counts[i] = (double)staleness->buckets[i];
    }
    edges[MU_STALENESS_BUCKETS] = 2 * edges[MU_STALENESS_BUCKETS - 1];
    mu_event_file_histogram(report->events, wall_ns, mu_ps_server_version(report->server),
        "ps/staleness", edges, counts, MU_STALENESS_BUCKETS);
}

void mu_ps_report_note(struct mu_ps_report *report, int64_t now_ns)
{
    /* Version 0 may be one that is still to be restored. */
    if (!report->events || now_ns - report->load_ns < LOAD_EVERY_NS ||
        mu_ps_server_version(report->server) == 0)
        return;
    struct mu_world *world = report->run->world;
    int replica_count = report->run->spec->replica_count;
    report->load_ns = now_ns;
    write_load(report);
    if (!judges(report))
        return;
    int64_t wall_ns = world->ops->wall_ns(world);
    write_staleness(report, wall_ns);
    write_verdicts(report, wall_ns, replica_count < CURVES_MAX ? replica_count : CURVES_MAX);
}

/* ---- the end ---- */

/* Refused ones, too, which have no staleness. */
static uint64_t judged(const struct mu_ps_report *report)
{
    const struct mu_staleness *staleness = mu_ps_server_staleness(report->server);
    return staleness->count + staleness->verdicts[MU_VERDICT_REFUSE];
}

/* Verdicts and staleness of all gradients. */
static void say_staleness(const struct mu_ps_report *report)
{
    const struct mu_staleness *staleness = mu_ps_server_staleness(report->server);
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text, "%llu gradients judged:", (unsigned long long)judged(report));
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        if (staleness->verdicts[i])
            mu_text_add(&text, " %s %llu", mu_verdict_name((enum mu_verdict)i),
                (unsigned long long)staleness->verdicts[i]);
    mu_text_add(&text, "; staleness mean %.2f, most %llu;", mu_staleness_mean(staleness),
        (unsigned long long)staleness->max);
    for (int i = 0; i < MU_STALENESS_BUCKETS; i++)
        if (staleness->buckets[i])
            mu_text_add(&text, " %llu%s:%llu", (unsigned long long)mu_staleness_bucket_min(i),
                i > 4 ? "+" : "", (unsigned long long)staleness->buckets[i]);
    mu_say(report->run->log, MU_LEVEL_INFO, "%s", text.data);
    mu_text_finish(&text);
}

/* What this server had to do; with the bytes of workers and of the rows as they are in memory. */
static void say_load(const struct mu_ps_report *report)
{
    const struct mu_ps_load *load = mu_ps_server_load(report->server);
    const struct mu_table *table = mu_ps_server_table(report->server);
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text, "%llu requests, %.1f MB came, %.1f MB went",
        (unsigned long long)load->requests, (double)load->bytes_in / 1e6,
        (double)load->bytes_out / 1e6);
    if (table) {
        struct mu_table_counts counts = mu_table_count(table);
        mu_text_add(&text,
            "; embedding rows: %llu given, %llu wanted, %llu here (%.1f MB), %llu have left",
            (unsigned long long)load->rows_given, (unsigned long long)load->rows_wanted,
            (unsigned long long)counts.rows, (double)counts.bytes / 1e6,
            (unsigned long long)counts.evicted);
    }
    mu_say(report->run->log, MU_LEVEL_INFO, "%s", text.data);
    mu_text_finish(&text);
}

/* The same for TensorBoard; all counts, whether they have changed since or not. */
static void write_end(struct mu_ps_report *report)
{
    struct mu_world *world = report->run->world;
    int64_t wall_ns = world->ops->wall_ns(world);
    if (!report->events)
        return;
    write_load(report);
    write_staleness(report, wall_ns);
    forget_written(report);
    if (judges(report))
        write_verdicts(report, wall_ns, report->run->spec->replica_count);
}

void mu_ps_report_end(struct mu_ps_report *report)
{
    if (judged(report) == 0)
        return;
    if (judges(report))
        say_staleness(report);
    say_load(report);
    write_end(report);
}

void mu_ps_report_forget(struct mu_ps_report *report)
{
    report->server = report->standby = NULL;
    report->has_points = false;
    forget_written(report);
}

/* ---- life ---- */

enum mu_status mu_ps_report_open(struct mu_ps_report *report, struct mu_task_run *run)
{
    report->run = run;
    if (!run->out_dir)
        return MU_OK;
    MU_TRY(mu_task_events_open(run, -1, &report->events));
    report->written =
        calloc((size_t)run->spec->replica_count * MU_VERDICT_COUNT, sizeof(*report->written));
    return report->written ? MU_OK : MU_NO_MEMORY;
}

void mu_ps_report_close(struct mu_ps_report *report)
{
    mu_event_file_close(report->events);
    free(report->written);
}
