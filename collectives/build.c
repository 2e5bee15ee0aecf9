/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/build.h"
#include "collectives/choose.h"
#include "collectives/segments.h"
#include "collectives/shared.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16

enum mu_status mu_build_check(struct mu_log *log, const char *transport, const char *algorithm)
{
    bool found = transport == NULL;
    for (size_t i = 0; !found && mu_transports[i]; i++)
        found = strcmp(mu_transports[i]->name, transport) == 0;
    if (!found)
        return mu_fail(log, MU_E0001, "tcp, shm, route and mpi are there",
            "there is no transport `%s`", transport);
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

enum mu_status mu_group_build(struct mu_group *group, struct mu_world *world,
    struct mu_transport *transport, const struct mu_build_options *options, int64_t deadline_ns)
{
    MU_TRY(mu_group_init(group, world, transport));
    group->deterministic = options->deterministic;
    group->forced = options->algorithm ? mu_choose_find(options->algorithm) : NULL;
    if (options->timeout_ns > 0)
        group->timeout_ns = options->timeout_ns;
    if (options->costs)
        group->costs = *options->costs;
    return MU_OK;
}
