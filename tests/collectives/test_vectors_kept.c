/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "pretended_hosts.h"

/*
 * One rank does something else than the others: all learn it before any of them has written into
 * its vector. Ranks are threads, over inproc, or over what a group finds between hosts.
 */
#define BOUND (MU_ASIDE_BYTES / sizeof(float)) /* elements that are done beside the vector */
#define LONG (5 * BOUND)                       /* the longest is a little longer */
#define VECTOR_BYTES ((LONG + 64) * sizeof(float))

struct act {
    const char *algorithm;
    struct mu_request request; /* without a vector; `count` is of the whole */
    bool empty_parts;          /* of all ranks but two, which have unequal ones */
};

static const struct act acts[] = {
    {"ring", {.kind = MU_ALLREDUCE}, false},
    {"ring", {.kind = MU_ALLREDUCE, .wire = MU_BFLOAT16}, false},
    {"doubling", {.kind = MU_ALLREDUCE}, false},
    {"halving", {.kind = MU_ALLREDUCE, .reduction = MU_MEAN}, false},
    {"tree", {.kind = MU_ALLREDUCE}, false},
    {"double-tree", {.kind = MU_ALLREDUCE}, false},
    {"hierarchical", {.kind = MU_ALLREDUCE}, false},
    {"direct", {.kind = MU_ALLREDUCE}, false},
    {"ring", {.kind = MU_REDUCE_SCATTER}, false},
    {"halving", {.kind = MU_REDUCE_SCATTER}, false},
    {"ring", {.kind = MU_REDUCE_SCATTER}, true},
    {"ring", {.kind = MU_ALLGATHER}, false},
    {"doubling", {.kind = MU_ALLGATHER}, false},
    {"doubling", {.kind = MU_ALLGATHER}, true},
    {"ring", {.kind = MU_BROADCAST}, false},
    {"tree", {.kind = MU_BROADCAST}, false},
    {"double-tree", {.kind = MU_BROADCAST}, false},
    {"pairwise", {.kind = MU_ALLTOALL}, false},
};

static const size_t lengths[] = {1000, BOUND, BOUND + 1, LONG};

enum difference { COUNT, DTYPE, KIND, REDUCTION, ROOT, DIFFERENCES };
static const char *const difference_name[] = {"count", "type", "kind", "reduction", "root"};

static struct {
    const char *hosts; /* of each rank: "1122"; NULL: over inproc */
    int count, odd;
    const struct act *act;
    size_t length;
    enum difference difference;
    enum mu_status status[RANKS_MAX];
    char error[RANKS_MAX][MU_GROUP_ERROR_MAX];
    bool kept[RANKS_MAX];
    _Atomic int over;
} scene;

static void never_called(void *owner)
{
    (void)owner;
}

/* ---- what is asked for ---- */

static void make_odd(struct mu_request *request)
{
    switch (scene.difference) {
    case COUNT:
        request->count++;
        break;
    case DTYPE: /* as many bytes */
        request->dtype = request->wire = MU_INT32;
        break;
    case KIND:
        request->kind = request->kind == MU_ALLREDUCE ? MU_REDUCE_SCATTER : MU_ALLREDUCE;
        request->wire = request->dtype;
        break;
    case REDUCTION:
        request->reduction = MU_MAX;
        request->wire = request->dtype;
        break;
    default:
        request->root = 1;
    }
}

/* Needs hosts of several ranks, or all ranks on one. */
static bool can_act(const struct act *act)
{
    const char *hosts = scene.hosts ? scene.hosts : "12";
    size_t alike = strspn(hosts, "1");
    if (strcmp(act->algorithm, "hierarchical") == 0)
        return alike > 1 && alike < strlen(hosts);
    return strcmp(act->algorithm, "direct") != 0 || alike == strlen(hosts);
}

/* What a request does not have cannot differ. */
static bool can_differ(const struct act *act, enum difference difference)
{
    if (difference == REDUCTION)
        return mu_request_reduces(act->request.kind);
    return difference != ROOT || act->request.kind == MU_BROADCAST;
}

static struct mu_request ask(int rank, size_t counts[])
{
    struct mu_request request = scene.act->request;
    request.count = scene.length;
    if (request.kind == MU_ALLTOALL)
        request.count = (scene.length + (size_t)scene.count - 1) / (size_t)scene.count;
    if (rank == scene.odd)
        make_odd(&request);
    if (scene.act->empty_parts && request.kind == scene.act->request.kind) {
        counts[0] = 1;
        counts[1] = request.count - 1;
        request.counts = counts;
    }
    return request;
}

/* ---- one rank ---- */

/* Nobody learns from it that another has closed. */
static void wait_for_all(struct rank *rank)
{
    struct mu_world *world = &rank->ranks->real.world;
    scene.over++;
    while (scene.over < rank->ranks->count)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
}

static void take_part_in(struct rank *rank, struct mu_group *group)
{
    static const struct mu_request meeting = {.kind = MU_BARRIER};
    size_t counts[RANKS_MAX] = {0};
    int r = rank->rank, culprit;
    char *vector = malloc(VECTOR_BYTES), *before = malloc(VECTOR_BYTES);
    for (size_t i = 0; i < VECTOR_BYTES / sizeof(float); i++)
        ((float *)(void *)before)[i] = (float)(i % 1000) + (float)r * 0.25F + 1;
    memcpy(vector, before, VECTOR_BYTES);
    struct mu_request request = ask(r, counts);
    request.data = vector;
    request.from = before;
    group->close_owner = never_called;
    scene.status[r] = mu_group_run(group, &meeting, ranks_soon(rank), &culprit);
    group->forced = mu_choose_find(scene.act->algorithm);
    if (scene.status[r] == MU_OK)
        scene.status[r] = mu_group_run(group, &request, ranks_soon(rank), &culprit);
    memcpy(scene.error[r], group->error, sizeof(group->error));
    wait_for_all(rank);
    group->close_owner = NULL;
    mu_group_finish(group);
    scene.kept[r] = memcmp(vector, before, VECTOR_BYTES) == 0;
    free(vector);
    free(before);
}

static enum mu_status play_over_inproc(struct rank *rank)
{
    struct mu_group group;
    MU_TRY(mu_group_init(&group, &rank->ranks->real.world, rank->transport));
    rank->transport = NULL;
    take_part_in(rank, &group);
    return MU_OK;
}

static enum mu_status play_between_hosts(struct rank *rank)
{
    struct mu_group group;
    struct mu_loop *loop;
    enum mu_status status = pretended_build_unprobed(rank, scene.hosts, &group, &loop);
    if (!loop)
        return status;
    if (status == MU_OK)
        take_part_in(rank, &group);
    loop->ops->destroy(loop);
    return status;
}

/* ---- all of them ---- */

static void show(int rank)
{
    print_message(
        "# %s, %s by %s of %zu, %s of rank %d; rank %d of %d ends with %d, vector %s: %s\n",
        scene.hosts ? scene.hosts : "inproc", mu_request_kind_name(scene.act->request.kind),
        scene.act->algorithm, scene.length, difference_name[scene.difference], scene.odd, rank,
        scene.count, scene.status[rank], scene.kept[rank] ? "kept" : "changed", scene.error[rank]);
}

/* How many ranks are not as they should be. */
static int play(void)
{
    static struct ranks ranks;
    int wrong = 0;
    scene.over = 0;
    if (scene.hosts)
        assert_int_equal(tcp_bind_ports(scene.count), 0);
    ranks_begin(&ranks, scene.count);
    ranks_run(&ranks, scene.hosts ? play_between_hosts : play_over_inproc);
    for (int r = 0; r < scene.count; r++) {
        assert_ok(ranks.rank[r].status);
        if (scene.status[r] == MU_PROTOCOL && names_both(scene.error[r]) && scene.kept[r])
            continue;
        show(r);
        wrong++;
    }
    ranks_end(&ranks);
    return wrong;
}

/* Which difference and whose goes by turns, so that each length of each act has another one. */
static void everything(const char *hosts, int count)
{
    unsigned turn = (unsigned)count;
    int wrong = 0;
    scene.hosts = hosts;
    scene.count = count;
    for (size_t a = 0; a < MU_COUNT_OF(acts); a++)
        for (size_t i = 0; i < MU_COUNT_OF(lengths); i++) {
            scene.act = &acts[a];
            if (!can_act(scene.act))
                continue;
            scene.length = lengths[i];
            do
                scene.difference = (enum difference)(turn++ % DIFFERENCES);
            while (!can_differ(scene.act, scene.difference));
            scene.odd = (int)((a + i) % (size_t)count);
            wrong += play();
        }
    assert_int_equal(wrong, 0);
}

static void two_ranks_keep_their_vectors(void **state)
{
    (void)state;
    everything(NULL, 2);
}

static void three_to_five_ranks_keep_their_vectors(void **state)
{
    (void)state;
    for (int count = 3; count <= 5; count++)
        everything(NULL, count);
}

static void ranks_keep_their_vectors_over_tcp(void **state)
{
    (void)state;
    everything("123", 3);
    everything("12345", 5);
}

static void ranks_of_one_host_keep_their_vectors(void **state)
{
    (void)state;
    everything("111", 3);
    everything("1111", 4);
}

static void ranks_of_two_hosts_keep_their_vectors(void **state)
{
    (void)state;
    everything("112", 3);
    everything("1122", 4);
    everything("11223", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ranks_keep_their_vectors),
        cmocka_unit_test(three_to_five_ranks_keep_their_vectors),
        cmocka_unit_test(ranks_keep_their_vectors_over_tcp),
        cmocka_unit_test(ranks_of_one_host_keep_their_vectors),
        cmocka_unit_test(ranks_of_two_hosts_keep_their_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
