/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/build.h"
#include "tcp_ranks.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/*
 * Four processes on real sockets, split into {0, 2} and {1, 3}. Something goes wrong in the first
 * part while rank 1 waits in the second for rank 3, which comes only then. The second part is none
 * the worse; the whole, which needs all, then fails and says who, and why.
 */
#define COUNT 4
#define TOLD_NS (5 * MU_SECOND)
#define MORE 20

enum wrong { MISMATCH, KILLED, LATE };
enum leaves { EXITS, CLOSES, STAYS };

#define SCENES_MAX 6 /* of one way to send, at a time */

static struct scene {
    pid_t pid[COUNT];
    const char *transport;
    enum mu_build_home home;
    enum wrong wrong;
    enum leaves leaves;
    bool rest;               /* no rank waits for the first part to have failed: any order */
    atomic_int failed, over; /* of the first part; of all */
    enum mu_status status[COUNT], whole[COUNT];
    int64_t took_ns[COUNT];
    char part_error[COUNT][MU_GROUP_ERROR_MAX], error[COUNT][MU_GROUP_ERROR_MAX];
} * scenes, *scene; /* in memory that the processes share; the one being played */

static void never_called(void *owner)
{
    (void)owner;
}

static void wait_until(struct mu_world *world, atomic_int *value, int at_least)
{
    int64_t until_ns = mu_deadline(mu_now(world), RANKS_TIME);
    while (atomic_load(value) < at_least && mu_now(world) < until_ns)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
}

static enum mu_status sum(struct mu_group *group, size_t count)
{
    float data[32];
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(mu_group_rank(group) + 1);
    MU_TRY(mu_group_allreduce(group, data, count, MU_FLOAT32, MU_SUM));
    for (size_t i = 0; i < count; i++)
        if (data[i] < 3 || data[i] > 3)
            return MU_BUG;
    return MU_OK;
}

/* {0, 2}: what goes wrong. */
static enum mu_status go_wrong(struct mu_world *world, struct mu_group *part, int rank)
{
    if (scene->wrong == KILLED && rank == 2)
        kill(getpid(), SIGKILL);
    if (scene->wrong == LATE && rank == 2) {
        wait_until(world, &scene->failed, 1);
        return MU_TIMEOUT;
    }
    part->timeout_ns = scene->wrong == LATE ? MU_SECOND / 5 : part->timeout_ns;
    return sum(part, rank == 0 ? 20 : 10);
}

/* {1, 3}: rank 1 is waiting when the others fail. */
static enum mu_status go_on(struct mu_world *world, struct mu_group *part, int rank)
{
    if (rank == 3 && !scene->rest)
        wait_until(world, &scene->failed, scene->wrong == MISMATCH ? 2 : 1);
    for (int i = 0; i < MORE; i++)
        MU_TRY(sum(part, 8));
    return MU_OK;
}

static void use_whole(struct mu_world *world, struct mu_group *group)
{
    int rank = group->rank;
    int64_t begin_ns = mu_now(world);
    scene->whole[rank] = mu_group_barrier(group);
    scene->took_ns[rank] = mu_now(world) - begin_ns;
    memcpy(scene->error[rank], group->error, sizeof(group->error));
}

static void leave(struct mu_world *world, bool first)
{
    if (first && scene->leaves == EXITS)
        _exit(0);
    if (first && scene->leaves == CLOSES)
        return;
    atomic_fetch_add(&scene->over, 1);
    wait_until(world, &scene->over, scene->leaves == STAYS ? COUNT - (scene->wrong == KILLED) : 2);
}

static enum mu_status play_part(struct mu_world *world, struct mu_group *group)
{
    int rank = group->rank;
    bool first = rank % 2 == 0;
    struct mu_group *part;
    MU_TRY(mu_group_split(group, rank % 2, 0, &part));
    MU_TRY(sum(part, 4));
    scene->status[rank] = first ? go_wrong(world, part, rank) : go_on(world, part, rank);
    memcpy(scene->part_error[rank], part->error, sizeof(part->error));
    if (first)
        atomic_fetch_add(&scene->failed, 1);
    if (!first || scene->leaves == STAYS)
        use_whole(world, group);
    leave(world, first);
    mu_group_finish(part);
    free(part);
    return MU_OK;
}

static enum mu_status take_part(struct rank *rank)
{
    static const struct mu_costs costs = {.message = 1e-5, .byte = 1e-9, .add = 1e-10};
    struct mu_world *world = &rank->ranks->real.world;
    const struct mu_build_options options = {.log = &rank->log.log,
        .transport = scene->transport,
        .home = scene->home,
        .timeout_ns = RANKS_TIME,
        .costs = &costs};
    struct mu_transport *tcp;
    struct mu_group group;
    MU_TRY(tcp_open(rank, &tcp));
    struct mu_loop *loop = tcp->loop;
    MU_TRY(mu_group_build(&group, world, tcp, &options, ranks_soon(rank)));
    group.close_owner = never_called;
    enum mu_status status = play_part(world, &group);
    mu_group_finish(&group);
    loop->ops->destroy(loop);
    return status;
}

static int be_rank(int r)
{
    static struct ranks ranks;
    struct rank *rank = &ranks.rank[r];
    ranks.count = COUNT;
    rank->ranks = &ranks;
    rank->rank = r;
    mu_test_log_init(&rank->log);
    for (int other = 0; other < COUNT; other++)
        if (other != r)
            close(tcp_listen_fd[other]);
    if (mu_real_world_init(&ranks.real) != MU_OK)
        return 1;
    return take_part(rank) == MU_OK ? 0 : 1;
}

static void show(void)
{
    for (int r = 0; r < COUNT; r++)
        print_message("# %s, wrong %d, leaves %d, rank %d: part %d (%s), whole %d after %lld ms "
                      "(%s)\n",
            scene->transport, scene->wrong, scene->leaves, r, scene->status[r],
            scene->part_error[r], scene->whole[r], (long long)(scene->took_ns[r] / MU_MS),
            scene->error[r]);
}

static void start(void)
{
    assert_int_equal(tcp_bind_ports(COUNT), 0);
    for (int r = 0; r < COUNT; r++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(be_rank(r));
        scene->pid[r] = pid;
    }
    for (int r = 0; r < COUNT; r++)
        close(tcp_listen_fd[r]);
}

/* Of the whole: who, and why. */
static bool names_cause(int rank)
{
    const char *error = scene->error[rank];
    bool who = strstr(error, "rank 0") || strstr(error, "rank 2");
    if (scene->wrong == MISMATCH)
        return who && strstr(error, " of 10 float32") && strstr(error, " of 20 float32");
    if (scene->wrong == KILLED)
        return strstr(error, "rank 2") && strstr(error, " is gone");
    bool gone = scene->leaves != STAYS && strstr(error, "rank 2") && strstr(error, " is gone");
    /* Or rank 2 finds in the whole what rank 0 has sent it in the part. */
    return gone || (who && (strstr(error, " waited ") || strstr(error, " in another group")));
}

static bool is_right(int rank)
{
    bool first = rank % 2 == 0, uses = !first || scene->leaves == STAYS;
    if (scene->wrong == KILLED && rank == 2)
        return true;
    if ((scene->status[rank] == MU_OK) == first)
        return false;
    return !uses ||
           (scene->whole[rank] != MU_OK && scene->took_ns[rank] < TOLD_NS && names_cause(rank));
}

static bool end(void)
{
    int right = 0;
    for (int r = 0; r < COUNT; r++) {
        int how;
        assert_int_equal(waitpid(scene->pid[r], &how, 0), scene->pid[r]);
        bool killed = scene->wrong == KILLED && r == 2;
        bool sound = killed ? WIFSIGNALED(how) : WIFEXITED(how) && WEXITSTATUS(how) == 0;
        right += sound && is_right(r);
    }
    if (right < COUNT)
        show();
    return right == COUNT;
}

/* Much of it is waiting: the scenes of one way to send are played side by side. */
static void play_all(enum wrong wrong)
{
    static const struct {
        const char *transport;
        enum mu_build_home home;
    } ways[] = {{"tcp", MU_BUILD_HOME_TCP}, {"tcp", MU_BUILD_HOME_BEST},
        {"route", MU_BUILD_HOME_BEST}, {"shm", MU_BUILD_HOME_BEST}};
    for (size_t way = 0; way < MU_COUNT_OF(ways); way++) {
        size_t count = 0, right = 0;
        for (enum leaves leaves = EXITS; leaves <= STAYS; leaves++)
            for (int rest = 0; rest < (wrong == LATE ? 1 : 2); rest++) {
                assert_true(count < SCENES_MAX);
                scene = &scenes[count++];
                *scene = (struct scene){.transport = ways[way].transport,
                    .home = ways[way].home,
                    .wrong = wrong,
                    .leaves = leaves,
                    .rest = rest};
                start();
            }
        for (size_t i = 0; i < count; i++) {
            scene = &scenes[i];
            right += end();
        }
        assert_int_equal(right, count);
    }
}

static void ranks_that_disagree_fail_their_own_part_and_the_whole(void **state)
{
    (void)state;
    play_all(MISMATCH);
}

static void a_killed_rank_fails_its_own_part_and_the_whole(void **state)
{
    (void)state;
    play_all(KILLED);
}

static void a_rank_that_waited_too_long_fails_its_own_part_and_the_whole(void **state)
{
    (void)state;
    play_all(LATE);
}

int main(void)
{
    scenes = mmap(NULL, SCENES_MAX * sizeof(*scenes), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (scenes == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_disagree_fail_their_own_part_and_the_whole),
        cmocka_unit_test(a_killed_rank_fails_its_own_part_and_the_whole),
        cmocka_unit_test(a_rank_that_waited_too_long_fails_its_own_part_and_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
