/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group_judge.h"

/* Of which it is a step, or itself. */
static const struct mu_group *operation_of(const struct mu_group *group)
{
    return mu_group_is_step(group) ? group->parent : group;
}

static bool is_same_number(const struct mu_group *group, const struct mu_signature *theirs)
{
    return theirs->sequence && theirs->group == group->id &&
           theirs->sequence == group->signature.sequence;
}

const struct mu_signature *mu_group_counterpart(
    const struct mu_group *group, const struct mu_signature *theirs)
{
    const struct mu_group *whole = operation_of(group);
    if (is_same_number(group, theirs))
        return &group->signature;
    return is_same_number(whole, theirs) ? &whole->signature : NULL;
}

bool mu_group_differs(const struct mu_group *group, const struct mu_signature *theirs)
{
    const struct mu_signature *ours = mu_group_counterpart(group, theirs);
    return ours && !mu_signature_equal(ours, theirs);
}

/* To see that ranks differ says more than that one goes no further. */
static enum mu_status status_of(const struct mu_group *group, int peer)
{
    const struct mu_seen *seen = &group->transport->seen[peer];
    if (mu_group_differs(group, &seen->signature))
        return MU_PROTOCOL;
    bool stops = mu_signature_stops(&seen->ended_in, &operation_of(group)->signature);
    return stops ? seen->ended : MU_OK;
}

int mu_group_find_cause(const struct mu_group *group, enum mu_status status)
{
    const struct mu_group *whole = operation_of(group);
    int cause = -1;
    for (int rank = 0; group->transport->seen && rank < whole->count; rank++) {
        int peer = mu_group_peer(whole, rank);
        if (rank == whole->rank || status_of(group, peer) != status)
            continue;
        if (mu_group_differs(group, &group->transport->seen[peer].signature))
            return peer;
        cause = cause < 0 ? peer : cause;
    }
    return cause;
}

enum mu_status mu_group_judge(const struct mu_group *group, int *ret_peer)
{
    static const enum mu_status statuses[] = {MU_PROTOCOL, MU_TIMEOUT, MU_CLOSED};
    struct mu_transport *transport = group->transport;
    if (transport->ops->look)
        transport->ops->look(transport);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        *ret_peer = mu_group_find_cause(group, statuses[i]);
        if (*ret_peer >= 0)
            return statuses[i];
    }
    return MU_OK;
}
