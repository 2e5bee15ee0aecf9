/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SHARED_TEAM_H
#define MU_SHARED_TEAM_H

#include "collectives/shared_layout.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Ranks that share memory without files: threads, or processes made by fork() after the memory was
 * mapped. Each runs `body`, which notes what is wrong in its report; the test's own thread asserts.
 */
#define TEAM_RANKS_MAX 8
#define TEAM_POOL_BYTES ((size_t)64 << 20)

struct team_report {
    enum mu_status status;
    int culprit;
    char text[200]; /* what is wrong; "" nothing */
};

struct team {
    int count;
    int64_t patience_ns;
    const struct mu_shared_source *source;
    void (*body)(struct mu_group *group, struct team_report *report, void *argument);
    void *argument;
    struct mu_real_world real;
    char *pool;
    struct team_report *report; /* (count), shared */
};

/* What a group is over: no messages, only memory, which each rank takes in the same order. */
struct team_rank {
    struct mu_transport base;
    struct team *team;
    size_t used;
    bool refuses; /* the next piece is not reached */
    struct mu_seen seen[TEAM_RANKS_MAX];
};

static inline enum mu_status team_open(struct mu_log *log, struct mu_transport *messages,
    size_t bytes, int64_t deadline_ns, struct mu_segments **ret_segments)
{
    (void)log;
    (void)deadline_ns;
    struct team_rank *rank = (struct team_rank *)messages;
    struct mu_segments *segments = calloc(1, sizeof(*segments));
    bytes = (bytes + 4095) & ~(size_t)4095;
    *segments = (struct mu_segments){.rank = messages->rank,
        .count = messages->count,
        .bytes = bytes,
        .at = calloc(TEAM_RANKS_MAX, sizeof(void *)),
        .all = !rank->refuses};
    for (int r = 0; r < messages->count; r++) {
        segments->at[r] = rank->team->pool + rank->used;
        rank->used += bytes;
    }
    if (rank->used > TEAM_POOL_BYTES)
        abort();
    *ret_segments = segments;
    return MU_OK;
}

static inline void team_close(struct mu_segments *segments)
{
    free(segments->at);
    free(segments);
}

static inline bool team_alive(const struct mu_segments *segments, int rank)
{
    (void)segments;
    (void)rank;
    return true;
}

static const struct mu_shared_source team_source = {team_open, team_close, team_alive};
static const struct mu_transport_ops team_transport_ops = {.name = "none"};

struct team_seat {
    struct team *team;
    int rank;
};

static inline void team_run_rank(void *argument)
{
    struct team_seat *seat = argument;
    struct team *team = seat->team;
    struct team_report *report = &team->report[seat->rank];
    struct mu_log log;
    struct team_rank rank = {
        .base = {.ops = &team_transport_ops, .rank = seat->rank, .count = team->count},
        .team = team};
    rank.base.seen = rank.seen;
    mu_log_init_stderr(&log, MU_LEVEL_ERROR);
    struct mu_group group = {.world = &team->real.world,
        .transport = &rank.base,
        .rank = seat->rank,
        .count = team->count};
    report->status =
        mu_shared_open_from(&group, &log, mu_now(group.world) + 20 * MU_SECOND, team->source);
    if (report->status == MU_OK)
        team->body(&group, report, team->argument);
    mu_shared_close(group.shared);
}

static inline void *team_map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static inline void team_init(struct team *team, int count,
    void (*body)(struct mu_group *group, struct team_report *report, void *argument),
    void *argument)
{
    *team = (struct team){.count = count,
        .patience_ns = 20 * MU_SECOND,
        .source = &team_source,
        .body = body,
        .argument = argument};
    assert_ok(mu_real_world_init(&team->real));
    team->pool = team_map(TEAM_POOL_BYTES);
    team->report = team_map(TEAM_RANKS_MAX * sizeof(*team->report));
}

static inline void team_finish(struct team *team)
{
    munmap(team->pool, TEAM_POOL_BYTES);
    munmap(team->report, TEAM_RANKS_MAX * sizeof(*team->report));
    mu_real_world_finish(&team->real);
}

static inline void team_run_threads(struct team *team)
{
    struct mu_world *world = &team->real.world;
    struct mu_thread *threads[TEAM_RANKS_MAX];
    struct team_seat seats[TEAM_RANKS_MAX];
    for (int r = 0; r < team->count; r++) {
        seats[r] = (struct team_seat){team, r};
        assert_ok(world->ops->spawn(world, "rank", team_run_rank, &seats[r], &threads[r]));
    }
    for (int r = 0; r < team->count; r++)
        world->ops->join(world, threads[r]);
}

static inline void team_run_processes(struct team *team)
{
    for (int r = 0; r < team->count; r++) {
        struct team_seat seat = {team, r};
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            team_run_rank(&seat);
            _exit(0);
        }
    }
    for (int r = 0; r < team->count; r++) {
        int status = 0;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

/* All ranks are content. */
static inline void team_assert(const struct team *team)
{
    for (int r = 0; r < team->count; r++) {
        if (team->report[r].text[0])
            fail_msg("%d ranks, rank %d: %s", team->count, r, team->report[r].text);
        assert_ok(team->report[r].status);
    }
}

static inline int64_t team_deadline(const struct mu_group *group)
{
    return mu_now(group->world) + ((struct team_rank *)group->transport)->team->patience_ns;
}

#endif
