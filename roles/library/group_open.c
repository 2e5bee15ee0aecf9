/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/group_open.h"
#include "cluster/spec.h"
#include "collectives/mesh.h"
#include "collectives/mpi.h"
#include "collectives/mpi_transport.h"
#include "roles/library/ground.h"
#include "roles/library/library_help.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Why mu_group_open failed, on this thread. */
static _Thread_local char open_error[MU_LOG_TEXT_MAX];

const char *mu_group_error(const struct mu_group *group)
{
    return group ? group->error : open_error;
}

/* ---- a group in a place that is known ---- */

/* Where there is no mesh to take it. */
static void close_listener(const struct mu_group_place *place)
{
    if (place && place->listen_fd >= 0)
        close(place->listen_fd);
}

static struct mu_mesh_request mesh_request(
    struct mu_ground *ground, struct mu_log *log, const struct mu_group_place *place)
{
    return (struct mu_mesh_request){
        .loop = ground->loop,
        .log = log,
        .rank = place->rank,
        .count = place->count,
        .address = place->address,
        .listen_fd = place->listen_fd,
        .group = place->id ? place->id : mu_mesh_group_of(place->address, place->count),
    };
}

/* Where a launcher has chosen the ports they say little. */
static void add_process(char name[MU_MESH_NAME_BYTES], int process)
{
    size_t end = strlen(name) - 1;
    mu_format(name + end, MU_MESH_NAME_BYTES - end, ", pid %d)", process);
}

/* "rank 1 (10.0.0.2:2222)", for as long as the group can fail; NULL: numbers have to do. */
static const char *const *name_ranks(struct mu_ground *ground,
    const struct mu_mesh_request *request, const struct mu_group_place *place)
{
    size_t count = (size_t)request->count;
    const char **names = calloc(count, sizeof(*names) + MU_MESH_NAME_BYTES);
    char(*text)[MU_MESH_NAME_BYTES] = (void *)(names + count);
    ground->names = names;
    for (int rank = 0; names && rank < request->count; rank++) {
        mu_mesh_name_rank(request, rank, text[rank]);
        if (place->process)
            add_process(text[rank], place->process[rank]);
        names[rank] = text[rank];
    }
    return names;
}

static enum mu_status make_transport(struct mu_ground *ground, struct mu_log *log,
    const struct mu_group_place *place, int64_t deadline_ns, struct mu_transport **ret_transport)
{
    struct mu_link **link = calloc((size_t)place->count, sizeof(*link));
    const struct mu_mesh_request request = mesh_request(ground, log, place);
    if (!link) {
        close_listener(place);
        return mu_fail(log, MU_E0801, NULL, "no memory for %d links", place->count);
    }
    enum mu_status status = mu_mesh_open(&request, deadline_ns, link);
    if (status == MU_OK) {
        status = mu_tcp_open(ground->loop, place->rank, place->count, 0, link, ret_transport);
        for (int rank = 0; status != MU_OK && rank < place->count; rank++)
            mu_link_close(link[rank]);
    }
    if (status == MU_OK)
        (*ret_transport)->names = name_ranks(ground, &request, place);
    free(link);
    return status;
}

/* Further links: the same mesh once more, as another group. */
struct more {
    struct mu_ground *ground;
    struct mu_log *log;
    const struct mu_group_place *place;
    int listen_fd; /* another descriptor of what was bound for this rank; -1: none was */
    uint64_t meshes;
};

static enum mu_status make_more_links(void *owner, int64_t deadline_ns, struct mu_link *ret_link[])
{
    struct more *more = owner;
    struct mu_mesh_request request = mesh_request(more->ground, more->log, more->place);
    request.listen_fd = more->listen_fd >= 0 ? fcntl(more->listen_fd, F_DUPFD_CLOEXEC, 0) : -1;
    request.group += ++more->meshes;
    return mu_mesh_open(&request, deadline_ns, ret_link);
}

static enum mu_status open_with_more(struct more *more, const struct mu_build_options *options,
    int64_t deadline_ns, struct mu_group **ret_group)
{
    struct mu_ground *ground = more->ground;
    const struct mu_group_place *place = more->place;
    struct mu_world *world = &ground->real.world;
    struct mu_transport *transport = NULL;
    if (!place)
        MU_TRY(mu_mpi_open(options->log, world, ground->loop, &transport));
    else if (place->count > 1)
        MU_TRY(make_transport(ground, options->log, place, deadline_ns, &transport));
    else
        close_listener(place);
    struct mu_group *group = calloc(1, sizeof(*group));
    if (!group) {
        if (transport)
            transport->ops->close(transport);
        return mu_fail(options->log, MU_E0801, NULL, "no memory for a group");
    }
    enum mu_status status = mu_group_build(group, world, transport, options, deadline_ns);
    if (status != MU_OK) {
        free(group);
        return status;
    }
    group->owner = ground;
    group->close_owner = mu_ground_close;
    *ret_group = group;
    return MU_OK;
}

static enum mu_status open_on(struct mu_ground *ground, const struct mu_group_place *place,
    const struct mu_build_options *options, int64_t start_timeout_ns, struct mu_group **ret_group)
{
    struct more more = {.ground = ground, .log = options->log, .place = place, .listen_fd = -1};
    struct mu_build_options widened = *options;
    widened.more = (struct mu_tcp_more){make_more_links, &more};
    if (place && place->listen_fd >= 0)
        more.listen_fd = fcntl(place->listen_fd, F_DUPFD_CLOEXEC, 0);
    enum mu_status status = open_with_more(
        &more, &widened, mu_deadline(mu_now(&ground->real.world), start_timeout_ns), ret_group);
    if (more.listen_fd >= 0)
        close(more.listen_fd);
    return status;
}

static enum mu_status check_count(struct mu_log *log, const struct mu_group_place *place)
{
    if (!place || place->count <= MU_GROUP_RANKS_MAX)
        return MU_OK;
    return mu_fail(log, MU_E0001, "split the work over several groups",
        "a group of %d ranks, of which there may be %d", place->count, MU_GROUP_RANKS_MAX);
}

enum mu_status mu_group_open_place(const struct mu_group_place *place,
    const struct mu_build_options *options, int64_t start_timeout_ns, struct mu_group **ret_group)
{
    struct mu_ground *ground = NULL;
    enum mu_status status = check_count(options->log, place);
    if (status == MU_OK)
        status = mu_ground_make(options->log, &ground);
    if (status != MU_OK) {
        close_listener(place);
        return status;
    }
    status = open_on(ground, place, options, start_timeout_ns, ret_group);
    if (status != MU_OK)
        mu_ground_close(ground);
    return status;
}

void mu_group_close(struct mu_group *group)
{
    if (!group)
        return;
    void (*close_owner)(void *owner) = group->close_owner;
    void *owner = group->owner;
    mu_group_finish(group);
    free(group);
    if (close_owner)
        close_owner(owner);
}

/* ---- finding the place ---- */

/* Errors are for mu_group_error; what else is worth telling goes to stderr. */
static void write_library_log(struct mu_log *log, enum mu_level level, const char *text)
{
    if (level == MU_LEVEL_ERROR)
        mu_text_copy(open_error, sizeof(open_error), text);
    else
        fprintf(stderr, "muster: %s\n", text);
}

static enum mu_status given_place(struct mu_log *log, const struct mu_group_options *options,
    struct mu_address *address, struct mu_group_place *place)
{
    char reason[128];
    for (int rank = 0; rank < options->count; rank++)
        if (!mu_address_parse(options->addresses[rank], &address[rank], reason, sizeof(reason)))
            return mu_fail(log, MU_E0108, NULL, "address %d, `%.80s`, %s", rank,
                options->addresses[rank], reason);
    place->rank = options->rank;
    place->count = options->count;
    return MU_OK;
}

/* The replicas of the spec, chief first. */
static enum mu_status spec_place(struct mu_log *log, const struct mu_spec *spec,
    struct mu_address **ret_address, struct mu_group_place *place)
{
    char name[MU_TASK_NAME_MAX];
    *place = (struct mu_group_place){.count = 1, .listen_fd = -1};
    if (spec->local)
        return MU_OK;
    const struct mu_task *self = &spec->task[spec->self];
    mu_task_name(self, name, sizeof(name));
    if (self->replica < 0)
        return mu_fail(log, MU_E0107, "the chief and the workers are the ranks",
            "%s has no rank in a group", name);
    *ret_address = calloc((size_t)spec->replica_count, sizeof(**ret_address));
    if (!*ret_address)
        return mu_fail(log, MU_E0801, NULL, "no memory for %d addresses", spec->replica_count);
    for (int rank = 0; rank < spec->replica_count; rank++)
        (*ret_address)[rank] = spec->task[mu_spec_replica(spec, rank)].address;
    place->rank = self->replica;
    place->count = spec->replica_count;
    place->id = spec->hash;
    return MU_OK;
}

static enum mu_status launched_place(struct mu_log *log, int64_t timeout_ns,
    struct mu_address **ret_address, struct mu_group_place *place)
{
    const struct mu_spec_request nothing = {0};
    struct mu_launcher launcher;
    struct mu_mpi_place mpi;
    struct mu_spec spec = {0};
    if (!mu_spec_needs_exchange(&nothing, &launcher)) {
        MU_TRY(mu_spec_load(log, &nothing, true, &spec));
        enum mu_status status = spec_place(log, &spec, ret_address, place);
        mu_spec_finish(&spec);
        return status;
    }
    MU_TRY(mu_mpi_exchange(log, timeout_ns, &mpi));
    *place = (struct mu_group_place){
        .rank = mpi.rank, .count = mpi.count, .listen_fd = mpi.listen_fd, .process = mpi.process};
    *ret_address = mpi.address; /* all are ours now */
    return MU_OK;
}

static enum mu_status find_place(struct mu_log *log, const struct mu_group_options *options,
    int64_t timeout_ns, struct mu_address **ret_address, struct mu_group_place *place)
{
    *place = (struct mu_group_place){.listen_fd = -1};
    if (!options->addresses)
        return launched_place(log, timeout_ns, ret_address, place);
    if (options->count < 1 || options->rank < 0 || options->rank >= options->count)
        return mu_fail(log, MU_E0107, "ranks count from 0", "rank %d of a group of %d",
            options->rank, options->count);
    *ret_address = calloc((size_t)options->count, sizeof(**ret_address));
    if (!*ret_address)
        return mu_fail(log, MU_E0801, NULL, "no memory for %d addresses", options->count);
    return given_place(log, options, *ret_address, place);
}

static enum mu_status check_wire(struct mu_log *log, enum mu_dtype wire)
{
    if (wire == MU_FLOAT32 || wire == MU_FLOAT16 || wire == MU_BFLOAT16)
        return MU_OK;
    return mu_fail(log, MU_E0001, "MU_FLOAT32, MU_BFLOAT16 and MU_FLOAT16 are there",
        "sums of float32 cannot travel as %s", mu_dtype_name(wire));
}

static enum mu_status check_streams(struct mu_log *log, int streams)
{
    if (streams >= 0 && streams <= MU_TCP_STREAMS_MAX)
        return MU_OK;
    return mu_fail(log, MU_E0001, "0 lets it be measured", "%d streams to a rank, of 1 to %d",
        streams, MU_TCP_STREAMS_MAX);
}

static enum mu_status open_with(
    struct mu_log *log, const struct mu_group_options *options, struct mu_group **ret_group)
{
    int64_t timeout_ns;
    struct mu_address *address = NULL;
    struct mu_group_place place = {.listen_fd = -1};
    MU_TRY(mu_ground_timeout(log, options->timeout_seconds, &timeout_ns));
    MU_TRY(mu_build_check(log, options->transport, options->algorithm));
    MU_TRY(check_wire(log, options->wire));
    MU_TRY(check_streams(log, options->streams));
    bool is_mpi = options->transport && strcmp(options->transport, "mpi") == 0;
    enum mu_status status = is_mpi ? MU_OK : find_place(log, options, timeout_ns, &address, &place);
    place.address = address;
    const struct mu_build_options build = {.log = log,
        .transport = options->transport,
        .algorithm = options->algorithm,
        .deterministic = options->deterministic != 0,
        .timeout_ns = timeout_ns,
        .streams = options->streams};
    if (status == MU_OK)
        status = mu_group_open_place(is_mpi ? NULL : &place, &build, timeout_ns, ret_group);
    if (status == MU_OK)
        (*ret_group)->wire = options->wire;
    free(place.process);
    free(address);
    return status;
}

enum mu_status mu_group_open(const struct mu_group_options *options, struct mu_group **ret_group)
{
    static const struct mu_group_options as_launched;
    struct mu_log *log = calloc(1, sizeof(*log)); /* which the group goes on using */
    enum mu_status status = MU_NO_MEMORY;
    mu_text_copy(open_error, sizeof(open_error), "");
    *ret_group = NULL;
    if (log) {
        *log = (struct mu_log){
            .write = write_library_log, .help = mu_library_help, .level = MU_LEVEL_WARN};
        status = open_with(log, options ? options : &as_launched, ret_group);
    }
    if (status == MU_OK) {
        struct mu_ground *ground = (*ret_group)->owner;
        ground->log = log;
        return MU_OK;
    }
    free(log);
    if (!open_error[0])
        mu_format(open_error, sizeof(open_error), "%s", mu_status_text(status));
    return status;
}
