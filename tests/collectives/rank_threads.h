/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_RANK_THREADS_H
#define MU_TEST_RANK_THREADS_H

#include "collectives/transport/transport.h"
#include "runtime/io/real_world.h"
#include "test.h"

/* Ranks that are threads of this process, each with its transport (inproc), log and status. */
#define RANKS_MAX 8
#define RANKS_TIME (20 * MU_SECOND)

struct ranks;
struct rank {
    struct ranks *ranks;
    struct mu_transport *transport; /* NULL: whoever has taken it closes it */
    int rank;
    enum mu_status status; /* what `run` returned */
    struct mu_test_log log;
    struct mu_thread *thread;
};

struct ranks {
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    int count;
    enum mu_status (*run)(struct rank *rank);
    struct rank rank[RANKS_MAX];
};

static inline void ranks_thread(void *argument)
{
    struct rank *rank = argument;
    rank->status = rank->ranks->run(rank);
}

static inline int64_t ranks_soon(struct rank *rank)
{
    return mu_deadline(mu_now(&rank->ranks->real.world), RANKS_TIME);
}

static inline void ranks_begin(struct ranks *ranks, int count)
{
    memset(ranks, 0, sizeof(*ranks));
    ranks->count = count;
    assert_ok(mu_real_world_init(&ranks->real));
    assert_ok(mu_inproc_hub_create(&ranks->real.world, count, &ranks->hub));
    for (int r = 0; r < count; r++) {
        struct rank *rank = &ranks->rank[r];
        rank->ranks = ranks;
        rank->rank = r;
        mu_test_log_init(&rank->log);
        assert_ok(mu_inproc_open(ranks->hub, r, &rank->transport));
    }
}

/* All at once; returns when all have returned. */
static inline void ranks_run(struct ranks *ranks, enum mu_status (*run)(struct rank *rank))
{
    struct mu_world *world = &ranks->real.world;
    ranks->run = run;
    for (int r = 0; r < ranks->count; r++)
        assert_ok(world->ops->spawn(
            world, "rank", ranks_thread, &ranks->rank[r], &ranks->rank[r].thread));
    for (int r = 0; r < ranks->count; r++)
        world->ops->join(world, ranks->rank[r].thread);
}

static inline void ranks_end(struct ranks *ranks)
{
    for (int r = 0; r < ranks->count; r++)
        if (ranks->rank[r].transport)
            ranks->rank[r].transport->ops->close(ranks->rank[r].transport);
    mu_inproc_hub_destroy(ranks->hub);
    mu_real_world_finish(&ranks->real);
}

#endif
