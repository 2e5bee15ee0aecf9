/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/build.h"
#include "collectives/choose.h"
#include "collectives/ring.h"
#include "roles/replica_servers.h"
#include "roles/report/status_keeper.h"
#include "roles/task_cluster.h"
#include "runtime/tensor/layout.h"
#include <stdlib.h>
#include <string.h>

/* Commands for the communication thread that make, use and close its links. */

static int64_t link_deadline(const struct mu_replica *replica)
{
    return mu_deadline(mu_now(replica->world), replica->run->timeouts.step_ns);
}

enum mu_status mu_replica_blame(
    struct mu_replica *replica, enum mu_status status, int rank, const char *what, int64_t since_ns)
{
    int task = rank >= 0 ? mu_spec_replica(replica->spec, rank) : -1;
    bool is_told = replica->communicator.loop->cancelled == status; /* by the cluster, and said */
    if (status == MU_PROTOCOL && !is_told)
        status = mu_fail(replica->log, MU_E0404, NULL, "in %s: %s", what, replica->group.error);
    else if (status == MU_CONFIG)
        status = mu_fail(replica->log, MU_E0204, "leave out mode.algorithm, or choose one that can",
            "in %s: %s", what, replica->group.error);
    else
        status = mu_cluster_blame(replica->cluster, status, task, what, since_ns);
    return mu_replica_cut(replica, status);
}

enum mu_status mu_replica_cut(struct mu_replica *replica, enum mu_status status)
{
    replica->failed = status;
    mu_replica_hang_up(replica);
    /* Only what moves by itself: the memory that the group shares may still be computed in. */
    if (replica->group.transport)
        replica->group.transport->ops->close(replica->group.transport);
    replica->group.transport = NULL;
    return status;
}

/* Whom does this replica talk to? Everybody, or in a large group the neighbours on the ring. */
static bool is_neighbour(const struct mu_replica *replica, int rank)
{
    int away = (rank - replica->rank + replica->count) % replica->count;
    return away != 0 &&
           (replica->count <= MU_REPLICA_MESH_MAX || away == 1 || away == replica->count - 1);
}

static enum mu_status make_link(struct mu_replica *replica, int rank, struct mu_link **ret_link)
{
    int task = mu_spec_replica(replica->spec, rank);
    return rank < replica->rank
               ? mu_task_dial(replica->run, replica->cluster, task, MU_KIND_RING, 0, ret_link)
               : mu_task_answer(
                     replica->run, replica->cluster, task, MU_KIND_RING, 0, "connecting", ret_link);
}

/* Too many for a link between any two: the ring is all there is. */
static enum mu_status make_large_group(struct mu_replica *replica, struct mu_transport *transport)
{
    const struct mu_job_mode *mode = &replica->job->mode;
    if (mode->transport == MU_MODE_SHM ||
        (mode->algorithm[0] && strcmp(mode->algorithm, mu_ring.name) != 0)) {
        transport->ops->close(transport);
        return mu_fail(replica->log, MU_E0204, "leave out mode.transport and mode.algorithm",
            "more than %d replicas talk around a ring over tcp, and this job asks for another way",
            MU_REPLICA_MESH_MAX);
    }
    MU_TRY(mu_group_init(&replica->group, replica->world, transport));
    replica->group.deterministic = mode->deterministic;
    replica->group.forced = &mu_ring;
    return MU_OK;
}

/* Better now than in the first step. */
static enum mu_status check_algorithm(struct mu_replica *replica)
{
    const struct mu_request gradient = {
        .kind = MU_ALLREDUCE, .count = replica->layout.element_count};
    if (replica->count == 1 || mu_choose(&replica->group, &gradient))
        return MU_OK;
    return mu_fail(replica->log, MU_E0204,
        "leave out mode.algorithm, choose one that can, or set mode.deterministic=false", "%s",
        replica->group.error);
}

/* One more to each replica. */
static enum mu_status make_more_links(void *owner, int64_t deadline_ns, struct mu_link *ret_link[])
{
    struct mu_replica *replica = owner;
    (void)deadline_ns; /* that of the step, as for the first ones */
    for (int rank = 0; rank < replica->count; rank++)
        if (rank != replica->rank)
            MU_TRY(make_link(replica, rank, &ret_link[rank]));
    return MU_OK;
}

/* So that who reads of a rank need not count tasks. */
static void name_ranks(struct mu_replica *replica, struct mu_transport *transport)
{
    for (int rank = 0; rank < replica->count; rank++) {
        mu_task_name(&replica->spec->task[mu_spec_replica(replica->spec, rank)],
            replica->names[rank], sizeof(replica->names[rank]));
        replica->name[rank] = replica->names[rank];
    }
    transport->names = replica->name;
}

static enum mu_status make_group(struct mu_replica *replica, struct mu_transport *transport)
{
    static const char *const transports[] = {
        [MU_MODE_ROUTE] = "route", [MU_MODE_SHM] = "shm", [MU_MODE_TCP] = "tcp"};
    const struct mu_job_mode *mode = &replica->job->mode;
    const struct mu_build_options options = {.log = replica->log,
        .transport = transports[mode->transport],
        .algorithm = mode->algorithm[0] ? mode->algorithm : NULL,
        .deterministic = mode->deterministic,
        .streams = (int)mode->streams,
        .more = {make_more_links, replica}};
    static_assert(MU_JOB_STREAMS_MAX == MU_TCP_STREAMS_MAX, "what a job may ask for");
    int64_t since = mu_now(replica->world);
    if (replica->count > MU_REPLICA_MESH_MAX)
        return make_large_group(replica, transport);
    name_ranks(replica, transport);
    MU_TRY(mu_task_blame(replica->cluster,
        mu_group_build(
            &replica->group, replica->world, transport, &options, link_deadline(replica)),
        -1, "connecting", since));
    return check_algorithm(replica);
}

/* One link between any two: the one of higher rank calls. */
static enum mu_status make_mesh(struct mu_replica *replica)
{
    struct mu_link *link[MU_REPLICAS_MAX] = {0};
    struct mu_transport *transport = NULL;
    enum mu_status status = MU_OK;
    if (replica->count == 1)
        return mu_group_init(&replica->group, replica->world, NULL);
    for (int rank = 0; rank < replica->count && status == MU_OK; rank++)
        if (is_neighbour(replica, rank))
            status = make_link(replica, rank, &link[rank]);
    if (status == MU_OK)
        status = mu_tcp_open(replica->communicator.loop, replica->rank, replica->count,
            mu_cluster_generation(replica->cluster), link, &transport);
    if (status != MU_OK) {
        for (int rank = 0; rank < replica->count; rank++)
            mu_link_close(link[rank]);
        return status;
    }
    return make_group(replica, transport);
}

static enum mu_status run_connect(struct mu_command *command)
{
    struct mu_replica *replica = command->owner;
    replica->last_start_wall_ns = replica->run->started_wall_ns;
    if (replica->spec->local)
        return mu_group_init(&replica->group, replica->world, NULL);
    if (!replica->cluster)
        MU_TRY(mu_task_join(replica->run, replica->communicator.loop,
            mu_layout_crc32c(&replica->layout), &replica->activity, &replica->cluster));
    replica->last_start_wall_ns = mu_cluster_last_start_wall_ns(replica->cluster);
    mu_replica_status_look(replica);
    MU_TRY(make_mesh(replica));
    if (!mu_replica_uses_servers(replica))
        return MU_OK;
    return mu_replica_call_servers(replica);
}

enum mu_status mu_replica_connect(struct mu_replica *replica)
{
    return mu_communicator_do(&replica->communicator, run_connect, replica);
}

/* ---- another generation ---- */

struct again {
    struct mu_replica *replica;
    enum mu_status *status;
    bool begins;
};

static enum mu_status run_begin_again(struct mu_command *command)
{
    struct again *again = command->owner;
    struct mu_replica *replica = again->replica;
    /* Not of a run that ends: whoever reads its last status would look for a server. */
    if (mu_cluster_interrupted(replica->cluster))
        mu_replica_doing(replica, MU_DOING_AWAITING);
    enum mu_status cut = mu_replica_cut(replica, *again->status);
    mu_group_finish(&replica->group);
    again->begins = mu_cluster_begin_again(replica->cluster, again->status);
    if (!again->begins)
        return cut;
    replica->failed = MU_OK;
    mu_replica_doing(replica, MU_DOING_STARTING); /* before a heartbeat of this generation */
    return cut;
}

bool mu_replica_begin_again(struct mu_replica *replica, enum mu_status *status)
{
    struct again again = {.replica = replica, .status = status};
    if (*status != MU_UNAVAILABLE || !replica->cluster || !mu_replica_uses_servers(replica))
        return false;
    enum mu_status cut = mu_communicator_do(&replica->communicator, run_begin_again, &again);
    (void)cut;
    mu_vectors_finish(&replica->vectors);
    replica->again = replica->again || again.begins;
    return again.begins;
}

static enum mu_status run_let_go(struct mu_command *command)
{
    struct again *again = command->owner;
    return mu_replica_cut(again->replica, *again->status);
}

void mu_replica_let_go(struct mu_replica *replica, enum mu_status status)
{
    struct again again = {.replica = replica, .status = &status};
    enum mu_status cut = mu_communicator_do(&replica->communicator, run_let_go, &again);
    (void)cut;
}

/* ---- requests of the group ---- */

enum mu_status mu_replica_ask(struct mu_replica *replica, const struct mu_request *request,
    int64_t timeout_ns, const char *what)
{
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    int rank = -1;
    enum mu_status status =
        mu_group_run(&replica->group, request, mu_deadline(since, timeout_ns), &rank);
    return status == MU_OK ? MU_OK : mu_replica_blame(replica, status, rank, what, since);
}

struct request {
    struct mu_replica *replica;
    struct mu_request request;
    const char *what;
};

static enum mu_status run_request(struct mu_command *command)
{
    struct request *request = command->owner;
    return mu_replica_ask(request->replica, &request->request, MU_FOREVER, request->what);
}

enum mu_status mu_replica_broadcast(
    struct mu_replica *replica, int root, void *data, size_t bytes, const char *what)
{
    struct request request = {.replica = replica,
        .request = {.kind = MU_BROADCAST,
            .dtype = MU_UINT8,
            .wire = MU_UINT8,
            .data = data,
            .count = bytes,
            .root = root},
        .what = what};
    return mu_communicator_do(&replica->communicator, run_request, &request);
}

enum mu_status mu_replica_sum(struct mu_replica *replica, float *data, size_t count)
{
    struct request request = {.replica = replica,
        .request = {.kind = MU_ALLREDUCE, .data = data, .count = count},
        .what = "the closing all-reduce"};
    return mu_communicator_do(&replica->communicator, run_request, &request);
}

bool mu_replica_stop_wanted(struct mu_replica *replica)
{
    return replica->cluster ? mu_cluster_stop_wanted(replica->cluster)
                            : mu_stop_requested(replica->world);
}

/* ---- ending ---- */

struct ending {
    struct mu_replica *replica;
    enum mu_status status;
};

static enum mu_status run_part(struct mu_command *command)
{
    struct ending *ending = command->owner;
    struct mu_replica *replica = ending->replica;
    if (!replica->leads)
        return mu_cluster_wait_over(replica->cluster);
    /* Somebody was lost while we closed the books: the others have been told so already. */
    if (replica->communicator.loop->cancelled != MU_OK && !mu_cluster_interrupted(replica->cluster))
        return replica->communicator.loop->cancelled;
    /* A launcher may kill the leader as soon as the first of the others has gone. */
    replica->ends = true;
    if (replica->run->status)
        mu_status_keeper_foresee(replica->run->status, mu_status_exit(ending->status));
    mu_cluster_finish(replica->cluster, ending->status);
    return ending->status;
}

enum mu_status mu_replica_part(struct mu_replica *replica, enum mu_status status)
{
    struct ending ending = {.replica = replica, .status = status};
    return replica->cluster ? mu_communicator_do(&replica->communicator, run_part, &ending)
                            : status;
}

static enum mu_status run_disconnect(struct mu_command *command)
{
    struct ending *ending = command->owner;
    struct mu_replica *replica = ending->replica;
    bool failed = ending->status != MU_OK && ending->status != MU_PREEMPTED;
    if (replica->cluster && failed)
        mu_cluster_goodbye(replica->cluster, ending->status, replica->log->first_text);
    mu_replica_status_end(replica);
    enum mu_status closed = mu_replica_cut(replica, ending->status);
    (void)closed;
    if (replica->compressor)
        replica->job->compressor->close(replica->compressor);
    replica->compressor = NULL;
    mu_group_finish(&replica->group);
    mu_cluster_destroy(replica->cluster);
    replica->cluster = NULL;
    return MU_OK;
}

void mu_replica_disconnect(struct mu_replica *replica, enum mu_status status)
{
    struct ending ending = {.replica = replica, .status = status};
    enum mu_status closed = mu_communicator_do(&replica->communicator, run_disconnect, &ending);
    (void)closed;
}
