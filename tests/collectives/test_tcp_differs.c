/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "runtime/base/random.h"
#include "tcp_ranks.h"

/*
 * One rank does something else than the others: all are told, soon, and by an error that says what
 * both sides do. By timing the first to see it is now this rank, now that one.
 */
#define SHORT 8
#define LONG ((size_t)1 << 20) /* of which the sockets take but a part */
#define ROUNDS 2
#define TOLD_NS (5 * MU_SECOND) /* a tenth, where the machine has nothing else to do */
#define MORE 3
#define PAUSE_NS 300000

struct act {
    const char *name, *algorithm; /* NULL: the best */
    struct mu_request request;
};

static const struct act acts[] = {
    {"sum", NULL, {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"sum by ring", "ring", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"long sum", "ring", {.kind = MU_ALLREDUCE, .count = LONG}},
    {"long sum of doubles", "ring",
        {.kind = MU_ALLREDUCE, .dtype = MU_FLOAT64, .wire = MU_FLOAT64, .count = LONG}},
    {"sum by tree", "tree", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"sum of nothing", NULL, {.kind = MU_ALLREDUCE}},
    {"least", NULL, {.kind = MU_ALLREDUCE, .reduction = MU_MIN, .count = SHORT}},
    {"reduce-scatter", NULL, {.kind = MU_REDUCE_SCATTER, .count = SHORT}},
    {"all-gather", NULL, {.kind = MU_ALLGATHER, .count = SHORT}},
    {"broadcast from 0", NULL, {.kind = MU_BROADCAST, .count = SHORT}},
    {"long broadcast from 0", "ring", {.kind = MU_BROADCAST, .count = LONG}},
    {"broadcast from 1", NULL, {.kind = MU_BROADCAST, .count = SHORT, .root = 1}},
    {"all-to-all", NULL, {.kind = MU_ALLTOALL, .count = SHORT}},
    {"barrier", NULL, {.kind = MU_BARRIER}},
};

/* Ranks that only send: each takes itself for the one that has something to give. */
static const size_t all_of_0[RANKS_MAX] = {SHORT}, all_of_1[RANKS_MAX] = {0, SHORT};
static const struct act senders[][2] = {
    {{"broadcast from 0", "tree", {.kind = MU_BROADCAST, .count = SHORT}},
        {"broadcast from odd", "tree", {.kind = MU_BROADCAST, .count = SHORT}}},
    {{"broadcast from 0 by ring", "ring", {.kind = MU_BROADCAST, .count = SHORT}},
        {"broadcast from odd by ring", "ring", {.kind = MU_BROADCAST, .count = SHORT}}},
    {{"broadcast from 0 by double tree", "double-tree", {.kind = MU_BROADCAST, .count = SHORT}},
        {"longer broadcast", "double-tree", {.kind = MU_BROADCAST, .count = SHORT + 1}}},
    {{"all-gather of 0", "ring", {.kind = MU_ALLGATHER, .count = SHORT, .counts = all_of_0}},
        {"all-gather of 1", "ring", {.kind = MU_ALLGATHER, .count = SHORT, .counts = all_of_1}}},
    {{"all-gather of 0 by doubling", "doubling",
         {.kind = MU_ALLGATHER, .count = SHORT, .counts = all_of_0}},
        {"broadcast from 1", "tree", {.kind = MU_BROADCAST, .count = SHORT, .root = 1}}},
    {{"reduce-scatter to 0", "halving",
         {.kind = MU_REDUCE_SCATTER, .count = SHORT, .counts = all_of_0}},
        {"reduce-scatter to 1", "halving",
            {.kind = MU_REDUCE_SCATTER, .count = SHORT, .counts = all_of_1}}},
};

static struct {
    const struct act *act[RANKS_MAX];
    int more;   /* operations that a rank begins which got through the one that differs */
    bool alone; /* the group, not under the trainer: then a rank says good-bye */
    enum mu_status status[RANKS_MAX];
    int64_t took_ns[RANKS_MAX];
    char error[RANKS_MAX][MU_GROUP_ERROR_MAX];
} scene;

static void never_called(void *owner)
{
    (void)owner;
}

static enum mu_status do_act(struct mu_group *group, const struct act *act, int64_t deadline_ns)
{
    struct mu_request request = act->request;
    size_t bytes = (request.count + 1) * sizeof(double) * (size_t)group->count;
    int rank;
    request.data = calloc(1, bytes);
    request.from = calloc(1, bytes);
    group->forced = act->algorithm ? mu_choose_find(act->algorithm) : NULL;
    enum mu_status status = mu_group_run(group, &request, deadline_ns, &rank);
    void *lent[] = {request.data, (void *)(uintptr_t)request.from};
    struct mu_transport *transport = group->transport;
    if (status != MU_OK) { /* it may still be in flight */
        group->transport = NULL;
        struct mu_loop *loop = transport->loop;
        transport->ops->close(transport);
        loop->ops->destroy(loop);
    }
    free(lent[0]);
    free(lent[1]);
    return status;
}

/* Others come a little earlier or later. */
static void pause_a_little(struct rank *rank)
{
    struct mu_world *world = &rank->ranks->real.world;
    uint64_t random;
    world->ops->random_bytes(world, &random, sizeof(random));
    int64_t until_ns = mu_now(world) + (int64_t)(random % PAUSE_NS);
    while (mu_now(world) < until_ns)
        ;
}

static enum mu_status take_part(struct rank *rank)
{
    struct mu_world *world = &rank->ranks->real.world;
    struct mu_transport *tcp;
    struct mu_group group;
    MU_TRY(tcp_open(rank, &tcp));
    struct mu_loop *loop = tcp->loop;
    MU_TRY(mu_group_init(&group, world, tcp));
    group.costs = (struct mu_costs){.message = 1e-5, .byte = 1e-9, .add = 1e-10};
    group.close_owner = scene.alone ? never_called : NULL;
    enum mu_status status = do_act(&group, &acts[MU_COUNT_OF(acts) - 1], ranks_soon(rank));
    pause_a_little(rank);
    int64_t begin_ns = mu_now(world);
    if (status == MU_OK)
        status = do_act(&group, scene.act[rank->rank], ranks_soon(rank));
    for (int i = 0; i < scene.more && status == MU_OK; i++)
        status = do_act(&group, &acts[0], ranks_soon(rank));
    scene.took_ns[rank->rank] = mu_now(world) - begin_ns;
    scene.status[rank->rank] = status;
    memcpy(scene.error[rank->rank], group.error, sizeof(group.error));
    bool open = group.transport != NULL;
    group.close_owner = NULL;
    mu_group_finish(&group);
    if (open)
        loop->ops->destroy(loop);
    return MU_OK;
}

static bool is_told(int rank)
{
    const char *error = scene.error[rank];
    bool named = names_both(error) && !strstr(error, "this rank");
    if (scene.took_ns[rank] >= TOLD_NS || !named)
        return false;
    return scene.status[rank] == MU_PROTOCOL;
}

static void play(int count)
{
    static struct ranks ranks;
    int told = 0;
    assert_int_equal(tcp_bind_ports(count), 0);
    ranks_begin(&ranks, count);
    ranks_run(&ranks, take_part);
    for (int r = 0; r < count; r++) {
        assert_ok(ranks.rank[r].status);
        told += is_told(r);
    }
    ranks_end(&ranks);
    if (told == count)
        return;
    for (int r = 0; r < count; r++)
        print_message("# rank %d, %s: %d after %lld ms: %s\n", r, scene.act[r]->name,
            scene.status[r], (long long)(scene.took_ns[r] / MU_MS), scene.error[r]);
    fail_msg("not all were told");
}

/* `odd` does `other`, all others `usual`. */
static void differ_in(int count, int odd, const struct act *usual, const struct act *other)
{
    for (int r = 0; r < count; r++)
        scene.act[r] = r == odd ? other : usual;
    play(count);
}

static void every_against_every(int count, int rounds)
{
    for (int round = 0; round < rounds; round++)
        for (size_t a = 0; a < MU_COUNT_OF(acts); a++)
            for (size_t b = 0; b < MU_COUNT_OF(acts); b++)
                if (a != b)
                    for (int odd = 0; odd < (count == 2 ? 1 : count); odd++)
                        differ_in(count, odd, &acts[a], &acts[b]);
}

/* In that operation itself: there is no later one in which they could be. */
static void ranks_that_only_send_are_told(void **state)
{
    (void)state;
    scene.alone = true;
    for (int count = 2; count <= 3; count++)
        for (size_t i = 0; i < MU_COUNT_OF(senders); i++)
            for (int odd = 1; odd < count; odd++) {
                struct act other = senders[i][1];
                if (strncmp(other.name, "broadcast from odd", 18) == 0)
                    other.request.root = odd;
                scene.more = 0;
                differ_in(count, odd, &senders[i][0], &other);
            }
    scene.more = MORE;
}

static void two_ranks_that_differ_are_both_told(void **state)
{
    (void)state;
    scene.alone = true;
    every_against_every(2, ROUNDS);
}

static void three_ranks_of_which_one_differs_are_all_told(void **state)
{
    (void)state;
    scene.alone = true;
    every_against_every(3, 1);
}

static void under_the_trainer_two_that_differ_are_both_told(void **state)
{
    (void)state;
    scene.alone = false;
    every_against_every(2, 1);
}

int main(void)
{
    scene.more = MORE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_only_send_are_told),
        cmocka_unit_test(two_ranks_that_differ_are_both_told),
        cmocka_unit_test(three_ranks_of_which_one_differs_are_all_told),
        cmocka_unit_test(under_the_trainer_two_that_differ_are_both_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
