/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/loads.h"
#include <stdlib.h>

#define NOTE_EVERY_NS MU_SECOND
#define ANSWER_NS (2 * MU_SECOND) /* who does not answer is told of with older numbers */

/* On the communication thread. */
struct looking {
    struct mu_replica *replica;
    struct mu_summary_server *servers; /* (ps_count) */
    bool asks;
};

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
    return MU_OK;
}

static enum mu_status look(struct mu_replica *replica, bool asks)
{
    struct looking looking = {
        .replica = replica, .servers = replica->server_summaries, .asks = asks};
    return mu_communicator_do(&replica->communicator, run_look, &looking);
}

static enum mu_status make(struct mu_replica *replica)
{
    size_t count = (size_t)replica->spec->ps_count;
    if (replica->server_summaries)
        return MU_OK;
    replica->server_summaries = calloc(count, sizeof(*replica->server_summaries));
    if (!replica->server_summaries)
        return mu_fail(
            replica->log, MU_E0801, NULL, "no memory for the loads of %zu servers", count);
    for (size_t i = 0; i < count; i++)
        mu_task_name(&replica->spec->task[mu_spec_ps(replica->spec, (int)i)],
            replica->server_summaries[i].name, sizeof(replica->server_summaries[i].name));
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
    if (make(replica) != MU_OK || look(replica, false) != MU_OK)
        return;
    mu_reporter_loads(reporter, replica->step, replica->server_summaries, replica->spec->ps_count);
}

enum mu_status mu_loads_end(struct mu_replica *replica)
{
    struct mu_summary *summary = &replica->reporter.summary;
    MU_TRY(make(replica));
    MU_TRY(look(replica, true));
    summary->servers = replica->server_summaries;
    summary->server_count = replica->spec->ps_count;
    summary->servers_since = replica->steps_begun;
    return MU_OK;
}
