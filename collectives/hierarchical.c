/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/hierarchical.h"
#include "collectives/doubling_index.h"
#include "collectives/flow.h"
#include "runtime/base/crc32c.h"
#include <math.h>
#include <stdlib.h>

/*
 * Two hosts, ranks 0 1 2 and 3 4; sums so far:
 *
 *            0      1      2      3      4
 *   home     012    012    012    34     34
 *   abroad   01234  012    012    01234  34
 *   home     01234  01234  01234  01234  01234
 */

/* An operation of a part of the group; *ret_rank in ranks of the whole. */
static enum mu_status run_part(struct mu_group *group, struct mu_group *part,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    int rank = -1;
    part->forced = NULL; /* what is forced on the whole is this */
    enum mu_status status = mu_group_run(part, request, deadline_ns, &rank);
    group->transport->signature = &group->signature;
    if (status != MU_OK && rank >= 0) {
        int peer = mu_group_peer(part, rank);
        for (*ret_rank = 0; mu_group_peer(group, *ret_rank) != peer;)
            ++*ret_rank;
    }
    return status;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_request home = *request, last = *request;
    bool reduces = request->kind == MU_ALLREDUCE;
    home.wire = last.wire = request->dtype; /* only what goes abroad is narrowed */
    last.kind = reduces ? MU_BROADCAST : MU_BARRIER;
    last.root = 0;
    MU_TRY(run_part(group, group->home, &home, deadline_ns, ret_rank));
    if (group->abroad)
        MU_TRY(run_part(group, group->abroad, request, deadline_ns, ret_rank));
    return run_part(group, group->home, &last, deadline_ns, ret_rank);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    if (!group->home) {
        *ret_why = "needs several hosts and several ranks on one";
        return INFINITY;
    }
    double count = request->kind == MU_ALLREDUCE ? (double)request->count : 0;
    double bytes = count * (double)mu_dtype_bytes(request->dtype);
    double wire = count * (double)mu_flow_wire_bytes(request);
    int rounds = mu_doubling_rounds(group->hosts);
    double few = rounds * (costs->message + wire * costs->byte);
    double many = 2 * (rounds * costs->message + (wire - wire / group->hosts) * costs->byte);
    /* At home each byte is added, and copied twice. */
    return fmin(few, many) + 3 * bytes * costs->add + 2 * costs->barrier;
}

const struct mu_algorithm mu_hierarchical = {
    .name = "hierarchical",
    .doc = "the ranks of each host, then the hosts, then the ranks of each host",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_BARRIER,
    .score = score,
    .run = run,
};

/* ---- hosts ---- */

static bool is_first(const int host[], int rank)
{
    for (int before = 0; before < rank; before++)
        if (host[before] == host[rank])
            return false;
    return true;
}

/* Unlike the ids of mu_group_split, which count upwards. */
static uint32_t id_of(const struct mu_group *group, bool home)
{
    uint32_t number = UINT32_MAX - home, id = mu_crc32c(group->id, &number, sizeof(number));
    return id ? id : 1;
}

static enum mu_status make(
    struct mu_group *group, const int rank[], int count, bool home, struct mu_group **ret_part)
{
    struct mu_group *part = calloc(1, sizeof(*part));
    enum mu_status status =
        part ? mu_group_init_part(part, group, rank, count, id_of(group, home)) : MU_NO_MEMORY;
    if (status != MU_OK)
        free(part);
    else
        *ret_part = part;
    return status;
}

static enum mu_status make_both(struct mu_group *group, const int host[], int rank[])
{
    int neighbours = 0, hosts = 0;
    for (int r = 0; r < group->count; r++)
        if (host[r] == host[group->rank])
            rank[neighbours++] = r;
    MU_TRY(make(group, rank, neighbours, true, &group->home));
    for (int r = 0; r < group->count; r++)
        if (is_first(host, r))
            rank[hosts++] = r;
    group->hosts = hosts;
    return is_first(host, group->rank) ? make(group, rank, hosts, false, &group->abroad) : MU_OK;
}

enum mu_status mu_hierarchical_init(struct mu_group *group, const int host[])
{
    int hosts = 0;
    for (int r = 0; r < group->count; r++)
        hosts += is_first(host, r);
    if (hosts == 1 || hosts == group->count)
        return MU_OK;
    int *rank = calloc((size_t)group->count, sizeof(*rank));
    enum mu_status status = rank ? make_both(group, host, rank) : MU_NO_MEMORY;
    free(rank);
    if (status != MU_OK && group->home) {
        mu_group_finish(group->home);
        free(group->home);
        group->home = NULL;
    }
    return status;
}
