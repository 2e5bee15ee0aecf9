/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "pretended_hosts.h"
#include <ctype.h>

/*
 * One rank does something else than the others, where some ranks share memory: who waits there is
 * told as soon as who waits for a message.
 */
#define SHORT 8
#define LONG ((size_t)1 << 18)
#define MORE 3                  /* operations that a rank begins which got through that one */
#define TOLD_NS (5 * MU_SECOND) /* a tenth, where the machine has nothing else to do */

struct act {
    const char *name, *algorithm;
    struct mu_request request;
};

/* Of ranks of several hosts; all of them can be done there. */
static const struct act abroad[] = {
    {"sum", "hierarchical", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"longer sum", "hierarchical", {.kind = MU_ALLREDUCE, .count = LONG}},
    {"meeting", "hierarchical", {.kind = MU_BARRIER}},
    {"sum by ring", "ring", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"long sum by ring", "ring", {.kind = MU_ALLREDUCE, .count = LONG}},
    {"broadcast from 0", "tree", {.kind = MU_BROADCAST, .count = SHORT}},
};

/* Of ranks of one host. */
static const struct act at_home[] = {
    {"sum", "direct", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"longer sum", "direct", {.kind = MU_ALLREDUCE, .count = LONG}},
    {"sum by ring", "ring", {.kind = MU_ALLREDUCE, .count = SHORT}},
    {"long sum by ring", "ring", {.kind = MU_ALLREDUCE, .count = LONG}},
    {"broadcast by tree", "tree", {.kind = MU_BROADCAST, .count = SHORT}},
};

static struct {
    const char *hosts;                /* of each rank: "1122" */
    const struct act *act[RANKS_MAX]; /* NULL: it does not come before the others have given up */
    int64_t patience_ns[RANKS_MAX];   /* 0: longer than all of it takes */
    int culprit[RANKS_MAX];
    enum mu_status status[RANKS_MAX];
    int64_t took_ns[RANKS_MAX];
    char error[RANKS_MAX][MU_GROUP_ERROR_MAX];
    _Atomic int over;
} scene;

static void never_called(void *owner)
{
    (void)owner;
}

static enum mu_status do_act(struct mu_group *group, const struct act *act, void *data,
    int64_t deadline_ns, int *ret_culprit)
{
    struct mu_request request = act->request;
    request.data = data;
    request.from = (char *)data + LONG * sizeof(float);
    group->forced = mu_choose_find(act->algorithm);
    group->entered_ns = mu_now(group->world);
    return mu_group_run(group, &request, deadline_ns, ret_culprit);
}

/* Nobody learns from it that another has closed: a rank may keep a group that has failed. */
static void wait_for_all(struct rank *rank)
{
    struct mu_world *world = &rank->ranks->real.world;
    scene.over++;
    while (scene.over < rank->ranks->count)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
}

static int64_t patience(struct rank *rank)
{
    int64_t patience_ns = scene.patience_ns[rank->rank];
    return patience_ns ? mu_now(&rank->ranks->real.world) + patience_ns : ranks_soon(rank);
}

static enum mu_status do_acts(struct rank *rank, struct mu_group *group, void *data)
{
    static const struct act meeting = {"meeting", "doubling", {.kind = MU_BARRIER}};
    const struct act *act = scene.act[rank->rank];
    int *culprit = &scene.culprit[rank->rank];
    MU_TRY(do_act(group, &meeting, data, ranks_soon(rank), culprit));
    if (!act)
        return MU_OK;
    MU_TRY(do_act(group, act, data, patience(rank), culprit));
    for (int i = 0; i < MORE; i++)
        MU_TRY(do_act(group, &meeting, data, ranks_soon(rank), culprit));
    return MU_OK;
}

static enum mu_status act_and_note(struct rank *rank, struct mu_group *group)
{
    struct mu_world *world = &rank->ranks->real.world;
    void *data = calloc(2 * LONG, sizeof(float));
    int64_t begin_ns = mu_now(world);
    scene.status[rank->rank] = do_acts(rank, group, data);
    scene.took_ns[rank->rank] = mu_now(world) - begin_ns;
    memcpy(scene.error[rank->rank], group->error, sizeof(group->error));
    wait_for_all(rank);
    group->close_owner = NULL;
    mu_group_finish(group);
    free(data);
    return MU_OK;
}

static enum mu_status take_part(struct rank *rank)
{
    struct mu_group group;
    struct mu_loop *loop;
    enum mu_status status = pretended_build_unprobed(rank, scene.hosts, &group, &loop);
    if (!loop)
        return status;
    group.close_owner = never_called;
    if (status == MU_OK)
        status = act_and_note(rank, &group);
    loop->ops->destroy(loop);
    return status;
}

static bool is_told(int rank)
{
    return scene.status[rank] == MU_PROTOCOL && scene.took_ns[rank] < TOLD_NS &&
           names_both(scene.error[rank]) && !strstr(scene.error[rank], "another group");
}

static void play(const char *hosts)
{
    static struct ranks ranks;
    int count = (int)strlen(hosts);
    scene.hosts = hosts;
    scene.over = 0;
    assert_int_equal(tcp_bind_ports(count), 0);
    ranks_begin(&ranks, count);
    ranks_run(&ranks, take_part);
    for (int r = 0; r < count; r++)
        assert_ok(ranks.rank[r].status);
    ranks_end(&ranks);
}

static void show(int rank)
{
    const struct act *act = scene.act[rank];
    print_message("# hosts %s, rank %d, %s by %s: %d after %lld ms, because of %d: %s\n",
        scene.hosts, rank, act ? act->name : "nothing", act ? act->algorithm : "nobody",
        scene.status[rank], (long long)(scene.took_ns[rank] / MU_MS), scene.culprit[rank],
        scene.error[rank]);
}

/* ---- ranks that do different things ---- */

static void differ(const char *hosts)
{
    int told = 0, count = (int)strlen(hosts);
    play(hosts);
    for (int r = 0; r < count; r++)
        told += is_told(r);
    for (int r = 0; r < count && told < count; r++)
        show(r);
    assert_int_equal(told, count);
}

/* `odds` first ranks differ from the others by turns. */
static void one_differs(const char *hosts, int odds, const struct act acts[], size_t act_count)
{
    for (size_t a = 0; a < act_count; a++)
        for (size_t b = 0; b < act_count; b++)
            for (int odd = 0; odd < odds && a != b; odd++) {
                for (int r = 0; r < (int)strlen(hosts); r++)
                    scene.act[r] = r == odd ? &acts[b] : &acts[a];
                differ(hosts);
            }
}

static void ranks_of_one_host_are_all_told(void **state)
{
    (void)state;
    one_differs("11", 1, at_home, MU_COUNT_OF(at_home));
    one_differs("111", 2, at_home, MU_COUNT_OF(at_home));
}

static void ranks_of_two_hosts_are_all_told(void **state)
{
    (void)state;
    one_differs("1122", 2, abroad, MU_COUNT_OF(abroad));
}

static void a_host_of_one_rank_is_told_too(void **state)
{
    (void)state;
    one_differs("112", 3, abroad, MU_COUNT_OF(abroad));
}

/* ---- a rank that does not come ---- */

#define PATIENCE_NS (MU_SECOND / 5)

/* "rank 1 goes no further: ... waited 200 ms: rank 2 has not entered it", or been heard in it */
static bool is_relayed(const char *error)
{
    const char *teller = strstr(error, "rank 1 goes no further: ");
    const char *waited = teller ? strstr(teller, " waited ") : NULL;
    bool for_how_long = waited && isdigit((unsigned char)waited[strlen(" waited ")]);
    return for_how_long && strstr(waited, ": rank 2 has not ");
}

/* Rank 2 is absent; rank 1 gives up soon, rank 0 would not. */
static void be_late(const char *hosts, const struct act *act)
{
    scene.act[0] = scene.act[1] = act;
    scene.act[2] = NULL;
    scene.patience_ns[1] = PATIENCE_NS;
    play(hosts);
    scene.patience_ns[1] = 0;
    bool told = scene.status[0] == MU_TIMEOUT && scene.took_ns[0] < TOLD_NS &&
                scene.culprit[0] == 2 && is_relayed(scene.error[0]);
    for (int r = 0; r < 3 && !told; r++)
        show(r);
    assert_true(told);
}

static void a_time_out_is_told_with_the_rank_that_has_not_come(void **state)
{
    (void)state;
    be_late("123", &abroad[3]);
    be_late("112", &abroad[3]);
    be_late("111", &at_home[2]);
    be_late("111", &at_home[0]);
}

/* ---- a rank that ends while the group is made ---- */

/* Rank 1 knows the costs, has its group at once and ends it, or does something else first; rank 0
 * would measure them with it. */
static enum mu_status build_and_end(struct rank *rank)
{
    struct mu_group group;
    struct mu_loop *loop;
    const struct mu_build_options options = {
        .log = &rank->log.log, .costs = rank->rank == 1 ? &pretended_costs : NULL};
    scene.status[rank->rank] = pretended_build(rank, scene.hosts, &options, &group, &loop);
    if (!loop)
        return scene.status[rank->rank];
    if (scene.status[rank->rank] == MU_OK) {
        float data[SHORT] = {0};
        if (scene.act[rank->rank])
            (void)!mu_group_allreduce(&group, data, SHORT, MU_FLOAT32, MU_SUM);
        mu_group_finish(&group);
    }
    loop->ops->destroy(loop);
    return MU_OK;
}

static void build_two(const struct act *act, const char *said)
{
    static struct ranks ranks;
    scene.hosts = "12";
    scene.act[1] = act;
    assert_int_equal(tcp_bind_ports(2), 0);
    ranks_begin(&ranks, 2);
    ranks_run(&ranks, build_and_end);
    assert_int_not_equal(scene.status[0], MU_OK);
    assert_ok(scene.status[1]);
    assert_said(&ranks.rank[0].log, said);
    ranks_end(&ranks);
}

static void a_group_that_cannot_be_made_has_a_number_and_the_reason(void **state)
{
    (void)state;
    build_two(&abroad[3], "error[E0311]: the ranks cannot work together: ");
    /* Who is gone is the cause, and said by others. */
    build_two(NULL, "the ranks cannot work together (E0311): ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_one_host_are_all_told),
        cmocka_unit_test(ranks_of_two_hosts_are_all_told),
        cmocka_unit_test(a_host_of_one_rank_is_told_too),
        cmocka_unit_test(a_time_out_is_told_with_the_rank_that_has_not_come),
        cmocka_unit_test(a_group_that_cannot_be_made_has_a_number_and_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
