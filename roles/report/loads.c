/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/loads.h"
#include "roles/async/push_counts.h"
#include <stdlib.h>
#include <string.h>

#define NOTE_EVERY_NS MU_SECOND
#define ANSWER_NS (2 * MU_SECOND) /* who does not answer is told of with older numbers */

/* On the communication thread. */
struct looking {
    struct mu_replica *replica;
    struct mu_summary_server *servers; /* (ps_count) */
    struct mu_summary_task *tasks;     /* (count); NULL: nobody wants to know */
    int64_t staleness[MU_SUMMARY_STALENESS_MAX];
    bool asks;
};

/* What the heartbeats of the replicas have told. */
static void look_at_tasks(struct looking *looking)
{
    struct mu_replica *replica = looking->replica;
    for (int r = 0; looking->tasks && r < replica->count; r++) {
        struct mu_task_view view =
            mu_cluster_view(replica->cluster, mu_spec_replica(replica->spec, r));
        memset(looking->tasks[r].verdicts, 0, sizeof(looking->tasks[r].verdicts));
        mu_push_counts_heard(view.counts, looking->tasks[r].verdicts, looking->staleness);
    }
}

static enum mu_status run_look(struct mu_command *command)
{
    struct looking *looking = command->owner;
    struct mu_replica *replica = looking->replica;
    MU_TRY(replica->failed);
    if (looking->asks) {
        enum mu_status asked =
            mu_cluster_ask_loads(replica->cluster, mu_deadline(mu_now(replica->world), ANSWER_NS));
        if (asked != MU_OK && asked != MU_TIMEOUT)
            return asked;
    }
    for (int order = 0; order < replica->spec->ps_count; order++) {
        struct mu_task_view view =
            mu_cluster_view(replica->cluster, mu_spec_ps(replica->spec, order));
        if (view.load)
            looking->servers[order].load = *view.load;
    }
    look_at_tasks(looking);
    return MU_OK;
}

static enum mu_status make(struct mu_replica *replica)
{
    const struct mu_spec *spec = replica->spec;
    if (replica->task_counts)
        return MU_OK;
    if (!replica->server_summaries)
        replica->server_summaries =
            calloc((size_t)spec->ps_count, sizeof(*replica->server_summaries));
    replica->task_counts = calloc((size_t)replica->count, sizeof(*replica->task_counts));
    if (!replica->server_summaries || !replica->task_counts)
        return mu_fail(
            replica->log, MU_E0801, NULL, "no memory for the loads of %d servers", spec->ps_count);
    for (int i = 0; i < spec->ps_count; i++)
        mu_task_name(&spec->task[mu_spec_ps(spec, i)], replica->server_summaries[i].name,
            sizeof(replica->server_summaries[i].name));
    for (int r = 0; r < replica->count; r++)
        mu_task_name(&spec->task[mu_spec_replica(spec, r)], replica->task_counts[r].name,
            sizeof(replica->task_counts[r].name));
    return MU_OK;
}

void mu_loads_note(struct mu_replica *replica)
{
    struct mu_reporter *reporter = &replica->reporter;
    int64_t now = mu_now(replica->world);
    if (!reporter->metrics || now - reporter->loads_ns < NOTE_EVERY_NS)
        return;
    reporter->loads_ns = now;
    /* The run ends with what fails here, soon enough. */
    if (make(replica) != MU_OK)
        return;
    struct looking looking = {
        .replica = replica, .servers = replica->server_summaries, .tasks = replica->task_counts};
    if (mu_communicator_do(&replica->communicator, run_look, &looking) != MU_OK)
        return;
    mu_reporter_loads(reporter, replica->step,
        &(struct mu_report_loads){.servers = looking.servers,
            .server_count = replica->spec->ps_count,
            .tasks = looking.tasks,
            .task_count = replica->count,
            .staleness = looking.staleness});
}

enum mu_status mu_loads_end(struct mu_replica *replica)
{
    struct mu_summary *summary = &replica->reporter.summary;
    MU_TRY(make(replica));
    struct looking looking = {
        .replica = replica, .servers = replica->server_summaries, .asks = true};
    MU_TRY(mu_communicator_do(&replica->communicator, run_look, &looking));
    summary->servers = replica->server_summaries;
    summary->server_count = replica->spec->ps_count;
    summary->servers_since = replica->steps_begun;
    return MU_OK;
}
