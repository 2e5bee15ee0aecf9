/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/sync/sync_check.h"
#include "runtime/base/crc32c.h"
#include <string.h>

bool mu_sync_check_is_due(const struct mu_replica *replica)
{
    int64_t every = replica->job->mode.check_every;
    return replica->count > 1 && every > 0 && replica->step % every == 0;
}

void mu_sync_check_write(struct mu_replica *replica, float *checks)
{
    uint32_t crc =
        mu_crc32c(0, replica->parameters.data, replica->layout.element_count * sizeof(float));
    checks[MU_SYNC_CHECK_FLOATS * replica->rank] = (float)(crc & 0xffff);
    checks[MU_SYNC_CHECK_FLOATS * replica->rank + 1] = (float)(crc >> 16);
}

static int same_as(const float *checks, int count, int rank)
{
    int same = 0;
    for (int other = 0; other < count; other++)
        same += memcmp(checks + MU_SYNC_CHECK_FLOATS * rank, checks + MU_SYNC_CHECK_FLOATS * other,
                    MU_SYNC_CHECK_FLOATS * sizeof(float)) == 0;
    return same;
}

/* With a majority against it a replica can be named; otherwise nobody knows who is right. */
enum mu_status mu_sync_check_compare(struct mu_replica *replica, const float *checks)
{
    static const char help[] =
        "check the memory of the machines; the last checkpoint is from before";
    int count = replica->count, odd = -1;
    bool majority = false;
    for (int rank = 0; rank < count; rank++) {
        int same = same_as(checks, count, rank);
        majority = majority || 2 * same > count;
        if (same < count && 2 * same < count)
            odd = rank;
    }
    if (same_as(checks, count, 0) == count)
        return MU_OK;
    if (!majority)
        return mu_fail(replica->log, MU_E0701, help,
            "the parameters of the replicas are no longer equal at step %lld",
            (long long)replica->step);
    char who[MU_TASK_NAME_MAX];
    mu_task_name(&replica->spec->task[mu_spec_replica(replica->spec, odd)], who, sizeof(who));
    return mu_fail(replica->log, MU_E0701, help,
        "the parameters of %s are not those of the others at step %lld", who,
        (long long)replica->step);
}
