/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/server/ps_report.h"
#include "ps/policies.h"
#include "roles/server/ps_load.h"

#define LOAD_EVERY_NS MU_SECOND /* points for TensorBoard */

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

void mu_ps_report_note(struct mu_ps_report *report, int64_t now_ns)
{
    /* Version 0 may be one that is still to be restored. */
    if (!report->events || now_ns - report->load_ns < LOAD_EVERY_NS ||
        mu_ps_server_version(report->server) == 0)
        return;
    report->load_ns = now_ns;
    write_load(report);
}

/* ---- the end ---- */

/* All servers count the same: who is the head at the end says it for all. */
static bool judges(const struct mu_ps_report *report)
{
    return mu_ps_server_is_head(report->server) ||
           (report->standby && mu_ps_server_is_head(report->standby));
}

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

/* What became of the gradients of each replica. */
static void write_verdicts(const struct mu_ps_report *report, int64_t wall_ns)
{
    int64_t version = mu_ps_server_version(report->server);
    for (int r = 0; r < report->run->spec->replica_count; r++) {
        const uint64_t *verdicts = mu_ps_server_verdicts(report->server, r);
        for (int i = 0; i < MU_VERDICT_COUNT; i++) {
            char tag[MU_TASK_NAME_MAX + 40];
            mu_format(tag, sizeof(tag), "ps/verdict/%s/%s", mu_verdict_name((enum mu_verdict)i),
                report->replica_names[r]);
            if (verdicts[i] > 0)
                mu_event_file_scalar(report->events, wall_ns, version, tag, (float)verdicts[i]);
        }
    }
}

/* The same for TensorBoard. */
static void write_end(struct mu_ps_report *report)
{
    const struct mu_staleness *staleness = mu_ps_server_staleness(report->server);
    struct mu_world *world = report->run->world;
    int64_t wall_ns = world->ops->wall_ns(world);
    double edges[MU_STALENESS_BUCKETS + 1], counts[MU_STALENESS_BUCKETS];
    if (!report->events)
        return;
    write_load(report);
    for (int i = 0; i < MU_STALENESS_BUCKETS; i++) {
        edges[i] = (double)mu_staleness_bucket_min(i);
        counts[i] = (double)staleness->buckets[i];
    }
    edges[MU_STALENESS_BUCKETS] = 2 * edges[MU_STALENESS_BUCKETS - 1];
    mu_event_file_histogram(report->events, wall_ns, mu_ps_server_version(report->server),
        "ps/staleness", edges, counts, MU_STALENESS_BUCKETS);
    if (judges(report))
        write_verdicts(report, wall_ns);
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
}

/* ---- life ---- */

enum mu_status mu_ps_report_open(struct mu_ps_report *report, struct mu_task_run *run)
{
    report->run = run;
    return run->out_dir ? mu_task_events_open(run, -1, &report->events) : MU_OK;
}

void mu_ps_report_close(struct mu_ps_report *report)
{
    mu_event_file_close(report->events);
}
