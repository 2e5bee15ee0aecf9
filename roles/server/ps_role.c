/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/seats.h"
#include "ps/server/server.h"
#include "roles/async/push_counts.h"
#include "roles/audit/audit_keep.h"
#include "roles/job/job_table.h"
#include "roles/server/ps_links.h"
#include "roles/server/ps_report.h"
#include "roles/task_cluster.h"
#include <stdlib.h>

/*
 * A parameter server: one thread, which owns the loop. Joins, answers the links of the replicas,
 * of the leader and of the other servers, and serves until the leader says that the run is over.
 */
struct ps_role {
    struct mu_task_run *run;
    struct mu_loop *loop;
    struct mu_cluster *cluster;
    struct mu_ps_server *server;  /* of its own span; NULL between two generations */
    struct mu_ps_server *standby; /* of its neighbour's; NULL: none */
    struct mu_ps_links links;
    struct mu_audit *audit, *standby_audit; /* NULL: none is kept */
    struct mu_timer *timer;
    struct mu_layout layout;
    struct mu_ps_plan modes;
    struct mu_activity activity;
    int order;
    bool cut_off; /* a replica: the run ends without it */
    struct mu_ps_report report;
    char (*names)[MU_TASK_NAME_MAX];
    const char **name;
};

static double learning_rate(void *owner, int64_t version)
{
    const struct ps_role *role = owner;
    return mu_job_rate(role->run->job, version, mu_ps_server_total(role->server));
}

static enum mu_status name_replicas(struct ps_role *role)
{
    int count = role->run->spec->replica_count;
    role->names = calloc((size_t)count, sizeof(*role->names));
    role->name = calloc((size_t)count, sizeof(*role->name));
    if (!role->names || !role->name)
        return MU_NO_MEMORY;
    for (int r = 0; r < count; r++) {
        mu_task_name(&role->run->spec->task[mu_spec_replica(role->run->spec, r)], role->names[r],
            sizeof(role->names[r]));
        role->name[r] = role->names[r];
    }
    return MU_OK;
}

/* With what a standby keeps. */
static void say_memory(const struct ps_role *role, const struct mu_ps_server_options *options)
{
    size_t bytes = mu_ps_server_seen_bytes(role->server);
    if (role->standby)
        bytes += mu_ps_server_seen_bytes(role->standby);
    if (bytes > 0)
        mu_say(role->run->log, MU_LEVEL_INFO,
            "policy `%s` keeps %.1f MB here: the parameters%s that %d replicas compute with, %d in "
            "flight each",
            mu_ps_plan_correcting(&role->modes)->name, (double)bytes / 1e6,
            options->rows.width > 0 ? " and embedding rows" : "", options->replica_count,
            options->in_flight_max);
}

/* The one of the server before this one. */
static enum mu_status make_standby(
    struct ps_role *role, const struct mu_audit_keep *keep, struct mu_ps_server_options *options)
{
    int servers = options->server_count;
    struct mu_ps_links *links = &role->links;
    options->order = mu_ps_seat_standby_in(role->order, servers);
    assert(mu_ps_seat_process(options->order, servers) == role->order);
    MU_TRY(mu_audit_keep_open(keep, options->order, &role->standby_audit));
    options->audit = role->standby_audit;
    MU_TRY(mu_ps_server_create(options, &role->standby));
    role->report.standby = role->standby;
    links->server[links->count] = role->standby;
    links->seat[links->count++] = options->order;
    return MU_OK;
}

static void on_gone(void *owner, int task)
{
    struct ps_role *role = owner;
    int order = mu_spec_ps_order(role->run->spec, task);
    if (order != role->order)
        mu_ps_links_lose(&role->links, order);
}

static enum mu_status make_server(struct ps_role *role)
{
    const struct mu_job *job = role->run->job;
    const struct mu_spec *spec = role->run->spec;
    struct mu_data_shape shape = mu_cluster_shape(role->cluster);
    const struct mu_dataset_facts facts = {.sample_count = (size_t)shape.samples,
        .feature_count = (size_t)shape.features,
        .class_count = (size_t)shape.classes,
        .field_count = (size_t)shape.fields,
        .entry_max = (size_t)shape.entries,
        .id_count = shape.ids};
    struct mu_ps_rows_options rows = {0};
    MU_TRY(mu_job_table(job, &facts, spec->ps_count, role->run->log, &rows));
    MU_TRY(job->model->layout(job->model_options, &facts, role->run->log, &role->layout));
    role->modes = mu_job_ps_plan(job, spec->replica_count, facts.sample_count);
    const struct mu_audit_keep keep = {.run = role->run,
        .loop = role->loop,
        .cluster = role->cluster,
        .layout = &role->layout,
        .facts = &facts};
    MU_TRY(mu_audit_keep_open(&keep, role->order, &role->audit));
    struct mu_ps_server_options options = {
        .loop = role->loop,
        .log = role->run->log,
        .order = role->order,
        .server_count = spec->ps_count,
        .replica_count = spec->replica_count,
        .replicas = (int)job->mode.replicas,
        .relinks = true,
        .in_flight_max = (int)job->mode.in_flight,
        .generation = mu_cluster_generation(role->cluster),
        .element_count = role->layout.element_count,
        .layout = &role->layout,
        .optimizer = job->optimizer,
        .optimizer_options = job->optimizer_options,
        .weight_decay = job->optim.weight_decay,
        .policy = job->policy,
        .policy_options = job->policy_options,
        .mode = role->modes.phase[0].mode,
        .later = &role->modes.phase[1],
        .later_count = role->modes.phase_count - 1,
        .rows = rows,
        .learning_rate = learning_rate,
        .owner = role,
        .replica_names = role->name,
        .patience_ns = role->run->timeouts.step_ns,
        .audit = role->audit,
    };
    MU_TRY(mu_ps_server_create(&options, &role->server));
    role->report.server = role->server;
    role->links = (struct mu_ps_links){.run = role->run,
        .cluster = role->cluster,
        .server = {role->server},
        .seat = {role->order},
        .count = 1};
    if (options.replicas > 0)
        MU_TRY(make_standby(role, &keep, &options));
    say_memory(role, &options);
    return MU_OK;
}

/* What the heartbeats say of this server. */
static void note(void *owner)
{
    struct ps_role *role = owner;
    if (!role->server) /* between two generations */
        return;
    mu_ps_links_take(&role->links);
    int64_t version = mu_ps_server_version(role->server), now = mu_now(role->run->world);
    if (version != atomic_load(&role->activity.step))
        mu_activity_set(&role->activity, MU_DOING_SERVING, version, now);
    mu_ps_report_note(&role->report, now);
}

/* A replica that does not speak as it should, or does not read: it is cut off already, and the
 * leader ends the run because of it, not of this server. False: it is something else. */
static bool cuts_off(struct ps_role *role, enum mu_status status)
{
    const struct mu_ps_culprit culprit = mu_ps_server_culprit(role->server);
    bool is_replica = culprit.kind != MU_PS_PEER_SERVER && culprit.did[0];
    if ((status != MU_PROTOCOL && status != MU_UNAVAILABLE) || !is_replica ||
        role->loop->cancelled != MU_OK)
        return false;
    role->cut_off = true;
    int64_t numbers[MU_PUSH_COUNTS_TOLD_MAX];
    size_t count = mu_push_counts_tell(role->server, role->run->spec->replica_count, numbers);
    mu_cluster_accuse(role->cluster, mu_ps_links_culprit(&role->links),
        status == MU_PROTOCOL ? MU_E0404 : MU_E0402, culprit.did,
        (struct mu_cluster_numbers){numbers, count});
    return true;
}

static enum mu_status serve(struct ps_role *role)
{
    const bool *over = mu_cluster_over(role->cluster);
    enum mu_status status;
    do {
        status = mu_ps_servers_run(role->links.server, role->links.count, over);
    } while (status != MU_OK && !*over && cuts_off(role, status));
    bool failed = status != MU_OK && !*over;
    if (!failed || role->cut_off) /* what was refused until then is still to be told */
        mu_ps_report_end(&role->report);
    if (failed) {
        int64_t now = mu_now(role->run->world);
        return mu_cluster_blame(
            role->cluster, status, mu_ps_links_culprit(&role->links), "serving", now);
    }
    return mu_cluster_over_status(role->cluster);
}

static enum mu_status run_generation(struct ps_role *role)
{
    mu_activity_set(&role->activity, MU_DOING_SERVING, 0, mu_now(role->run->world));
    MU_TRY(make_server(role));
    mu_cluster_tell_load(role->cluster, mu_ps_report_load, &role->report);
    mu_cluster_on_gone(role->cluster, on_gone, role);
    for (int i = 0; i < role->links.count; i++)
        MU_TRY(mu_ps_server_lay(role->links.server[i]));
    MU_TRY(mu_ps_links_make(&role->links));
    return serve(role);
}

/* With all that its server has, links included. */
static enum mu_status end_generation(struct ps_role *role, enum mu_status status)
{
    int64_t version = role->server ? mu_ps_server_version(role->server) : 0;
    mu_cluster_tell_load(role->cluster, NULL, NULL);
    mu_cluster_on_gone(role->cluster, NULL, NULL);
    enum mu_status closed = mu_audit_keep_close(role->audit, role->server);
    enum mu_status closed_too = mu_audit_keep_close(role->standby_audit, role->standby);
    closed = closed == MU_OK ? closed_too : closed;
    mu_ps_links_finish(&role->links);
    mu_ps_server_destroy(role->standby);
    mu_ps_server_destroy(role->server);
    role->server = role->standby = NULL;
    mu_ps_report_forget(&role->report);
    role->audit = role->standby_audit = NULL;
    if (mu_cluster_interrupted(role->cluster))
        mu_activity_set(&role->activity, MU_DOING_AWAITING, version, mu_now(role->run->world));
    return status == MU_OK ? closed : status;
}

/* A parameter server in a synchronous job has nothing to do but to be there until the end. */
static enum mu_status run_role(struct ps_role *role)
{
    enum mu_status status;
    mu_activity_set(&role->activity, MU_DOING_STARTING, 0, mu_now(role->run->world));
    MU_TRY(mu_task_join(role->run, role->loop, 0, &role->activity, &role->cluster));
    if (!mu_job_uses_servers(
            role->run->job, role->run->spec->replica_count, role->run->spec->ps_count)) {
        mu_say(role->run->log, MU_LEVEL_INFO,
            "nothing to do for a parameter server: the replicas of this job sum by all-reduce");
        mu_activity_set(&role->activity, MU_DOING_SERVING, 0, mu_now(role->run->world));
        return mu_cluster_wait_over(role->cluster);
    }
    MU_TRY(name_replicas(role));
    MU_TRY(mu_ps_report_open(&role->report, role->run));
    role->report.replica_names = role->name;
    MU_TRY(role->loop->ops->timer_start(
        role->loop, role->run->timeouts.heartbeat_ns, note, role, &role->timer));
    do {
        status = end_generation(role, run_generation(role));
    } while (mu_cluster_begin_again(role->cluster, &status));
    return status;
}

enum mu_status mu_ps_role_run(struct mu_task_run *run)
{
    struct ps_role role = {.run = run, .order = mu_spec_ps_order(run->spec, run->spec->self)};
    MU_TRY(run->world->ops->loop_create(run->world, &role.loop));
    enum mu_status status = run_role(&role);
    if (role.cluster && status != MU_OK && status != MU_PREEMPTED)
        mu_cluster_goodbye(role.cluster, status, run->log->first_text);
    role.loop->ops->timer_stop(role.timer);
    mu_ps_report_close(&role.report);
    mu_cluster_destroy(role.cluster);
    role.loop->ops->destroy(role.loop);
    free(role.names);
    free(role.name);
    return status;
}
