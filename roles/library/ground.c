/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/ground.h"
#include "runtime/base/net.h"
#include <math.h>
#include <stdlib.h>

#define TIMEOUT_SECONDS 300
#define TIMEOUT_SECONDS_MAX (1000.0 * 24 * 3600)

enum mu_status mu_ground_timeout(struct mu_log *log, double seconds, int64_t *ret_ns)
{
    if (!(seconds >= 0))
        return mu_fail(log, MU_E0001, "0 is 300 s",
            "timeout_seconds is %g, which is no time to wait", seconds);
    if (seconds == 0)
        seconds = TIMEOUT_SECONDS;
    *ret_ns = (int64_t)(fmin(seconds, TIMEOUT_SECONDS_MAX) * (double)MU_SECOND);
    return MU_OK;
}

void mu_ground_close(void *owner)
{
    struct mu_ground *ground = owner;
    if (!ground)
        return;
    if (ground->loop)
        ground->loop->ops->destroy(ground->loop);
    if (ground->real.world.ops)
        mu_real_world_finish(&ground->real);
    free(ground->log);
    free(ground->names);
    free(ground);
}

enum mu_status mu_ground_make(struct mu_log *log, struct mu_ground **ret_ground)
{
    struct mu_ground *ground = calloc(1, sizeof(*ground));
    enum mu_status status = ground ? mu_real_world_init(&ground->real) : MU_NO_MEMORY;
    if (status == MU_OK)
        status = ground->real.world.ops->loop_create(&ground->real.world, &ground->loop);
    if (status == MU_OK) {
        *ret_ground = ground;
        return MU_OK;
    }
    mu_ground_close(ground);
    return mu_fail(log, MU_E0801, NULL, "no memory or descriptors for an event loop");
}
