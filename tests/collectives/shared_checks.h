/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_SHARED_CHECKS_H
#define MU_TEST_SHARED_CHECKS_H

#include "collectives/direct.h"
#include "shared_team.h"

/* Ranks are threads; what each of them finds is asserted afterwards. */
#define SOON (20 * MU_MS)

static inline void complain(struct team_report *report, const char *what)
{
    if (!report->text[0])
        snprintf(report->text, sizeof(report->text), "%s", what);
}

#define CHECK(report, condition)                                                                   \
    do {                                                                                           \
        if (!(condition))                                                                          \
            complain(report, #condition);                                                          \
    } while (0)

static inline void sign(struct mu_group *group, enum mu_request_kind kind, size_t count)
{
    group->signature =
        (struct mu_signature){.sequence = ++group->sequence, .kind = (uint8_t)kind, .count = count};
}

static inline enum mu_status barrier(struct mu_group *group, int64_t patience_ns, int *ret_rank)
{
    const struct mu_request request = {.kind = MU_BARRIER};
    sign(group, MU_BARRIER, 0);
    return mu_direct.run(group, &request, mu_now(group->world) + patience_ns, ret_rank);
}

static inline void run_team(int ranks,
    void (*body)(struct mu_group *group, struct team_report *report, void *argument),
    void *argument)
{
    struct team team;
    team_init(&team, ranks, body, argument);
    team_run_threads(&team);
    team_assert(&team);
    team_finish(&team);
}

#endif
