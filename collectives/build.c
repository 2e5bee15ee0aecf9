/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/build.h"
#include "collectives/choose.h"
#include "collectives/segments.h"
#include "collectives/shared.h"
#include "collectives/transport/inproc.h"
#include "collectives/transport/tcp.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16
#define PAGE_BYTES 4096

enum mu_status mu_build_check(struct mu_log *log, const char *transport, const char *algorithm)
{
    const struct mu_transport_ops *const *found = mu_transports;
    while (transport && *found && strcmp((*found)->name, transport) != 0)
        found++;
    if (!*found || *found == &mu_inproc_ops) /* which is between threads, for tests */
        return mu_fail(log, MU_E0001, "tcp, shm, route and mpi are there",
            "there is no transport `%s`", transport);
    if (!(*found)->send)
        return mu_fail(log, MU_E0802, "take another transport, or build it with what it needs",
            "the transport %s is not in this build", transport);
    if (!algorithm || mu_choose_find(algorithm))
        return MU_OK;
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; mu_algorithms[i] && count < NAMES_MAX; i++)
        names[count++] = mu_algorithms[i]->name;
    const char *nearest = mu_text_nearest(algorithm, names, count);
    char help[64];
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest ? nearest : "ring");
    return mu_fail(log, MU_E0001, help, "there is no algorithm `%s`", algorithm);
}

/* ---- the way to each rank ---- */

struct build {
    struct mu_group *group;
    struct mu_world *world;
    const struct mu_build_options *options;
    int64_t deadline_ns;
    struct mu_transport *transport; /* the group's, from mu_group_init on */
    bool all;                       /* ranks reach each other through shared memory */
    int host;                       /* lowest rank of this host; -1: hosts are not known */
};

static bool wants(const struct build *build, const char *transport)
{
    const char *wanted = build->options->transport ? build->options->transport : "route";
    return strcmp(wanted, transport) == 0;
}

static bool reaches_any(const struct mu_segments *segments)
{
    for (int rank = 0; rank < segments->count; rank++)
        if (rank != segments->rank && segments->at[rank])
            return true;
    return false;
}

static int first_at_home(const struct mu_segments *segments)
{
    int rank = 0;
    while (rank != segments->rank && !segments->home[rank])
        rank++;
    return rank;
}

/* Shared memory takes the place of sockets where it reaches. Takes `segments`. */
static enum mu_status share(struct build *build, struct mu_segments *segments)
{
    struct mu_transport *tcp = build->transport, *near = NULL;
    build->all = segments->all;
    if (wants(build, "shm") && !segments->all) {
        mu_segments_close(segments);
        return mu_fail(build->options->log, MU_E0802,
            "transport `route` takes the best way to each",
            "not all ranks reach each other through shared memory");
    }
    if (!reaches_any(segments)) {
        mu_segments_close(segments);
        return MU_OK;
    }
    MU_TRY(mu_shm_open(build->world, tcp->rank, segments, tcp, &near));
    build->transport = NULL; /* the next takes both */
    return mu_route_open(build->world, near, tcp, &build->transport);
}

/* `home` NULL: where the ranks are is not known. */
static enum mu_status widen(struct build *build, const bool home[])
{
    const struct mu_build_options *options = build->options;
    if (!options->more.links)
        return MU_OK;
    return mu_tcp_widen(
        build->transport, options->log, options->streams, home, &options->more, build->deadline_ns);
}

/* A rank may have left before there is a group whose operation could say so. */
static void say_who_left(const struct build *build)
{
    const struct mu_transport *transport = build->transport;
    int rank = 0;
    while (rank < transport->count && !transport->seen[rank].farewell[0])
        rank++;
    if (rank == transport->count)
        return;
    char number[16];
    mu_format(number, sizeof(number), "rank %d", rank);
    mu_say(build->options->log, MU_LEVEL_ERROR,
        "the ranks cannot work together: %s goes no further: %s",
        transport->names ? transport->names[rank] : number, transport->seen[rank].farewell);
}

/* Finds the ranks of this host, and better ways to them than TCP. */
static enum mu_status come_home(struct build *build)
{
    struct mu_segments *segments;
    struct mu_log *log = build->options->log;
    bool shares = !wants(build, "tcp");
    size_t bytes = shares ? mu_shm_segment_bytes(build->transport->count) : PAGE_BYTES;
    if (!shares && build->options->home == MU_BUILD_HOME_TCP)
        return widen(build, NULL);
    MU_TRY(mu_segments_open(log, build->transport, bytes, build->deadline_ns, &segments));
    build->host = first_at_home(segments);
    enum mu_status status = MU_OK;
    if (build->options->home == MU_BUILD_HOME_BEST)
        status = mu_tcp_move_home(build->transport, log, segments->home, build->deadline_ns);
    if (status == MU_OK)
        status = widen(build, segments->home);
    if (status == MU_OK && shares)
        return share(build, segments);
    mu_segments_close(segments);
    return status;
}

/* ---- hosts ---- */

static void drop(struct mu_group **group)
{
    if (*group)
        mu_group_finish(*group);
    free(*group);
    *group = NULL;
}

/* How many hosts there are, which their first ranks know. */
static enum mu_status count_hosts(struct mu_group *group)
{
    int32_t hosts = group->abroad ? group->abroad->count : 0;
    enum mu_status status = MU_OK;
    if (group->home->count > 1)
        status = mu_group_broadcast(group->home, &hosts, 1, MU_INT32, 0);
    group->hosts = hosts;
    return status;
}

static enum mu_status split_by_host(struct build *build)
{
    struct mu_group *group = build->group;
    MU_TRY(mu_group_split(group, build->host, 0, &group->home));
    MU_TRY(mu_group_split(group, build->host == group->rank ? 0 : -1, 0, &group->abroad));
    MU_TRY(count_hosts(group));
    if (group->hosts == 1 || group->hosts == group->count) {
        drop(&group->home);
        drop(&group->abroad);
        group->hosts = 0;
        return MU_OK;
    }
    if (group->home->count > 1 && !wants(build, "tcp"))
        return mu_shared_open(group->home, build->options->log, build->deadline_ns);
    return MU_OK;
}

/* ---- the group ---- */

static enum mu_status probe_part(struct mu_group *group, int64_t deadline_ns)
{
    return group && group->count > 1 ? mu_costs_probe(group, deadline_ns) : MU_OK;
}

/* Hosts side by side, then their first ranks, then all: each has the network to itself. */
static enum mu_status find_costs(struct build *build)
{
    struct mu_group *group = build->group;
    if (build->options->costs) {
        group->costs = *build->options->costs;
        mu_choose_forget(group);
        return MU_OK;
    }
    MU_TRY(probe_part(group->home, build->deadline_ns));
    MU_TRY(probe_part(group->abroad, build->deadline_ns));
    return probe_part(group, build->deadline_ns);
}

/* What happens in a group that is there, but not yet as it should be. */
static enum mu_status furnish(struct build *build)
{
    struct mu_group *group = build->group;
    if (build->all)
        MU_TRY(mu_shared_open(group, build->options->log, build->deadline_ns));
    if (build->host >= 0 && !build->all)
        MU_TRY(split_by_host(build));
    MU_TRY(find_costs(build));
    group->forced = build->options->algorithm ? mu_choose_find(build->options->algorithm) : NULL;
    mu_choose_forget(group);
    return MU_OK;
}

/* Its row has one status, the reason its own. A rank that is gone is known by others too, who name
 * it: that is then the cause, and this its echo. Of a wait that was cut short they have said so. */
static void say_unable(const struct build *build, enum mu_status status)
{
    const char *why = build->group->error[0] ? build->group->error : mu_status_text(status);
    struct mu_log *log = build->options->log;
    if (status == MU_CLOSED || status == MU_UNAVAILABLE)
        mu_say(log, status == MU_CLOSED ? MU_LEVEL_ERROR : MU_LEVEL_DEBUG,
            "the ranks cannot work together (E%04d): %s", mu_error_number(MU_E0311), why);
    else
        (void)!mu_fail(log, MU_E0311, NULL, "the ranks cannot work together: %s", why);
}

enum mu_status mu_group_build(struct mu_group *group, struct mu_world *world,
    struct mu_transport *transport, const struct mu_build_options *options, int64_t deadline_ns)
{
    struct build build = {.group = group,
        .world = world,
        .options = options,
        .deadline_ns = deadline_ns,
        .transport = transport,
        .host = -1};
    if (transport && transport->ops == &mu_tcp_ops) {
        enum mu_status status = come_home(&build);
        if (status != MU_OK) {
            if (build.transport) {
                say_who_left(&build);
                build.transport->ops->close(build.transport);
            }
            return status;
        }
    }
    MU_TRY(mu_group_init(group, world, build.transport));
    group->deterministic = options->deterministic;
    if (options->timeout_ns > 0)
        group->timeout_ns = options->timeout_ns;
    if (!build.transport)
        return MU_OK;
    group->sequence = MU_OPENING_SEQUENCE;
    enum mu_status status = furnish(&build);
    if (status == MU_OK) {
        assert(group->sequence >= MU_OPENING_SEQUENCE);
        group->sequence = UINT32_MAX; /* the next is the user's first */
        return MU_OK;
    }
    say_unable(&build, status);
    mu_group_finish(group);
    return status;
}
