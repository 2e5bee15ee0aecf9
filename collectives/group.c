/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"

enum mu_status mu_group_init(struct mu_group *group, struct mu_transport *transport)
{
    *group = (struct mu_group){.transport = transport, .count = 1};
    if (!transport)
        return MU_OK;
    group->rank = transport->rank;
    group->count = transport->count;
    enum mu_status status = mu_arena_init(&group->scratch, 2 * MU_SEGMENT_COUNT);
    if (status != MU_OK)
        mu_group_finish(group);
    return status;
}

void mu_group_finish(struct mu_group *group)
{
    if (group->transport)
        group->transport->ops->close(group->transport);
    mu_arena_finish(&group->scratch);
    *group = (struct mu_group){0};
}
