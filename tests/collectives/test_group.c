/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/shared.h"
#include "rank_threads.h"
#include "runtime/base/text.h"
#include <math.h>
#include <stdatomic.h>

/* What groups say when ranks disagree or do not come; ranks are threads, over inproc, with and
 * without shared memory. */
#define PATIENCE (300 * MU_MS)
static const struct mu_request whole = {.kind = MU_ALLREDUCE, .count = 64};
static const char *const names[] = {"worker/0 (10.0.0.1:2222)", "10.0.0.2:2222", "10.0.0.3:2222"};

/* What one rank does in a case. */
struct part {
    struct mu_request request;
    const char *algorithm;
    int before;   /* operations before, which all share but for one that skips */
    bool skips;   /* one of them */
    bool absent;  /* it never comes to this one */
    size_t alloc; /* memory in place of the request, if not 0 */
};

static struct {
    bool shares;
    struct part part[RANKS_MAX];
    enum mu_status status[RANKS_MAX];
    int culprit[RANKS_MAX];
    char error[RANKS_MAX][MU_GROUP_ERROR_MAX];
} play;

/* Who is absent has a group all the same, until the others have given up. */
static atomic_int finished;

static void wait_for_others(struct mu_world *world, int count)
{
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < count)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
}

static _Alignas(64) double vectors[RANKS_MAX][256];

static enum mu_status act(struct mu_group *group, struct part *part, int rank)
{
    struct mu_request before = whole;
    int culprit;
    before.data = part->request.data = vectors[rank];
    part->request.from = vectors[rank];
    group->entered_ns = mu_now(group->world);
    for (int i = 0; i < part->before; i++)
        MU_TRY(mu_group_run(group, &before, mu_now(group->world) + MU_SECOND, &culprit));
    if (part->skips)
        group->sequence++;
    if (part->absent)
        return MU_OK;
    group->forced = part->algorithm ? mu_choose_find(part->algorithm) : NULL;
    if (part->alloc) {
        group->timeout_ns = 10 * MU_SECOND;
        return mu_group_alloc(group, part->alloc) ? MU_OK : MU_PROTOCOL;
    }
    group->entered_ns = mu_now(group->world);
    return mu_group_run(group, &part->request, group->entered_ns + PATIENCE, &play.culprit[rank]);
}

static struct mu_group groups[RANKS_MAX];

static enum mu_status run(struct rank *rank)
{
    int r = rank->rank;
    struct mu_group *group = &groups[r];
    MU_TRY(mu_group_init(group, &rank->ranks->real.world, rank->transport));
    rank->transport->names = names;
    enum mu_status status = MU_OK;
    if (play.shares)
        status = mu_shared_open(group, &rank->log.log, ranks_soon(rank));
    if (status == MU_OK)
        play.status[r] = act(group, &play.part[r], r);
    memcpy(play.error[r], group->error, sizeof(group->error));
    wait_for_others(group->world, group->count);
    return status;
}

static void begin(bool shares)
{
    memset(&play, 0, sizeof(play));
    play.shares = shares;
    for (int r = 0; r < RANKS_MAX; r++)
        play.part[r] = (struct part){.request = whole, .algorithm = shares ? "direct" : "ring"};
}

/* Groups close their transports, when nobody waits any more. */
static void perform(int count)
{
    static struct ranks ranks;
    atomic_store(&finished, 0);
    ranks_begin(&ranks, count);
    ranks_run(&ranks, run);
    for (int r = 0; r < count; r++) {
        assert_ok(ranks.rank[r].status);
        mu_group_finish(&groups[r]);
    }
    ranks.count = 0;
    ranks_end(&ranks);
}

static void assert_tells(int rank, const char *needle)
{
    if (!strstr(play.error[rank], needle))
        fail_msg("rank %d: expected \"%s\" in: %s", rank, needle, play.error[rank]);
}

/* ---- ranks disagree ---- */

/* Both sides learn what the other does, and none waits until its deadline. */
static void assert_disagree(const char *zero_does, const char *one_does)
{
    perform(2);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(play.status[r], MU_PROTOCOL);
        assert_int_equal(play.culprit[r], 1 - r);
        assert_tells(r, zero_does);
        assert_tells(r, one_does);
        assert_tells(r, r == 0 ? "rank 1 (10.0.0.2:2222) does" : "worker/0 (10.0.0.1:2222) does");
        assert_tells(
            r, r == 1 ? "; rank 1 (10.0.0.2:2222) does" : "; worker/0 (10.0.0.1:2222) does");
    }
}

static void disagree_about_everything(bool shares)
{
    const char *usual = shares ? "all-reduce 1 of 64 float32, sum, by direct"
                               : "all-reduce 1 of 64 float32, sum, by ring";
    const char *by = shares ? "by direct" : "by ring";
    char text[MU_SIGNATURE_TEXT_MAX];
    struct mu_request *other = &play.part[1].request;

    begin(shares);
    *other = (struct mu_request){.kind = MU_ALLGATHER, .count = 64};
    mu_format(text, sizeof(text), "all-gather 1 of 64 float32, %s", by);
    assert_disagree(usual, text);

    begin(shares);
    other->dtype = other->wire = MU_FLOAT64;
    mu_format(text, sizeof(text), "all-reduce 1 of 64 float64, sum, %s", by);
    assert_disagree(usual, text);

    begin(shares);
    other->count = 65;
    mu_format(text, sizeof(text), "all-reduce 1 of 65 float32, sum, %s", by);
    assert_disagree(usual, text);

    begin(shares);
    other->reduction = MU_MEAN;
    mu_format(text, sizeof(text), "all-reduce 1 of 64 float32, mean, %s", by);
    assert_disagree(usual, text);

    begin(shares);
    play.part[1].skips = true;
    mu_format(text, sizeof(text), "all-reduce 2 of 64 float32, sum, %s", by);
    assert_disagree(usual, text);

    begin(shares);
    play.part[0].request.kind = play.part[1].request.kind = MU_BROADCAST;
    other->root = 1;
    assert_disagree(
        "broadcast 1 of 64 float32, from rank 0", "broadcast 1 of 64 float32, from rank 1");
}

static void ranks_that_disagree_both_learn_it(void **state)
{
    (void)state;
    disagree_about_everything(false);
}

static void ranks_that_disagree_in_shared_memory_both_learn_it(void **state)
{
    (void)state;
    disagree_about_everything(true);
}

static void two_algorithms_are_a_disagreement(void **state)
{
    (void)state;
    begin(false);
    play.part[1].algorithm = "doubling";
    assert_disagree(
        "all-reduce 1 of 64 float32, sum, by ring", "all-reduce 1 of 64 float32, sum, by doubling");
}

static void parts_of_other_lengths_are_a_disagreement(void **state)
{
    (void)state;
    static const size_t mine[] = {32, 32}, theirs[] = {16, 48};
    begin(false);
    for (int r = 0; r < 2; r++) {
        play.part[r].request.kind = MU_ALLGATHER;
        play.part[r].request.counts = r ? theirs : mine;
    }
    assert_disagree("all-gather 1 of 64 float32", "in other parts");
}

static void memory_of_other_sizes_is_a_disagreement(void **state)
{
    (void)state;
    for (int shares = 0; shares < 2; shares++) {
        begin(shares);
        play.part[0].alloc = 4096;
        play.part[1].alloc = 8192;
        perform(2);
        for (int r = 0; r < 2; r++) {
            assert_int_equal(play.status[r], MU_PROTOCOL);
            assert_tells(r, r ? "worker/0 (10.0.0.1:2222) does" : "rank 1 (10.0.0.2:2222) does");
            assert_tells(r, "barrier 1 for 4096 bytes of memory");
            assert_tells(r, "barrier 1 for 8192 bytes of memory");
        }
    }
}

static void of_three_ranks_none_hangs_when_one_does_something_else(void **state)
{
    (void)state;
    for (int other = 0; other < 3; other++) {
        begin(false);
        play.part[other].request.count = 65;
        perform(3);
        for (int r = 0; r < 3; r++)
            assert_int_not_equal(play.status[r], MU_OK);
    }
}

/* ---- a rank does not come ---- */

/* Whoever waits names the one that is missing, not its neighbour, and what that did last. */
static void name_who_is_missing(bool shares)
{
    begin(shares);
    for (int r = 0; r < 3; r++)
        play.part[r].before = 3;
    play.part[2].absent = true;
    perform(3);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(play.status[r], MU_TIMEOUT);
        assert_int_equal(play.culprit[r], 2);
        assert_tells(r, "all-reduce 4 of 64 float32, sum, by ");
        assert_tells(r, " waited 3");
        assert_tells(r, " ms: rank 2 (10.0.0.3:2222) has not entered it; last seen after ");
        assert_tells(r, "all-reduce 3 3"); /* some 300 ms ago */
        assert_tells(r, " ms ago");
    }
}

static void who_has_not_come_is_named(void **state)
{
    (void)state;
    name_who_is_missing(false);
}

static void who_has_not_come_to_shared_memory_is_named(void **state)
{
    (void)state;
    name_who_is_missing(true);
}

/* ---- requests that make no sense ---- */

static void assert_refused(struct mu_request request, const char *why)
{
    begin(false);
    play.part[0].request = request;
    perform(1);
    assert_int_equal(play.status[0], MU_USAGE);
    assert_tells(0, why);
}

static void requests_without_sense_are_refused(void **state)
{
    (void)state;
    assert_refused((struct mu_request){.kind = MU_REQUEST_KIND_COUNT}, "no such operation");
    assert_refused((struct mu_request){.dtype = MU_DTYPE_COUNT}, "no such type");
    assert_refused((struct mu_request){.reduction = MU_REDUCTION_COUNT}, "no such reduction");
    assert_refused((struct mu_request){.count = SIZE_MAX / 4}, "more elements than memory");
    assert_refused((struct mu_request){.kind = MU_BROADCAST, .root = 1}, "no rank of the group");
    assert_refused((struct mu_request){.kind = MU_BROADCAST, .root = -1}, "no rank of the group");
    assert_refused((struct mu_request){.wire = MU_INT32}, "travels in another type");
    assert_refused(
        (struct mu_request){.dtype = MU_FLOAT64, .wire = MU_BFLOAT16}, "travels in another type");
}

static void a_group_of_one_has_what_it_gives(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_group group;
    float from[] = {1, 2, 3}, to[3] = {0};
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_group_init(&group, &real.world, NULL));
    assert_ok(mu_group_allreduce(&group, from, 3, MU_FLOAT32, MU_MEAN));
    assert_ok(mu_group_alltoall(&group, from, to, 3, MU_FLOAT32));
    assert_ok(mu_group_barrier(&group));
    assert_memory_equal(from, to, sizeof(to));
    assert_true(to[2] == 3);
    assert_int_equal(mu_group_size(&group), 1);
    mu_group_finish(&group);
    mu_real_world_finish(&real);
}

/* ---- choices are remembered ---- */

static int asked;

static double count_questions(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    (void)group;
    (void)request;
    (void)ret_why;
    asked++;
    return 1;
}

static enum mu_status do_nothing(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    (void)group;
    (void)request;
    (void)deadline_ns;
    (void)ret_rank;
    return MU_OK;
}

static const struct mu_algorithm nothing = {
    .name = "nothing", .kinds = 1u << MU_ALLREDUCE, .score = count_questions, .run = do_nothing};

static struct mu_group remembering;

static int questions(struct mu_request request)
{
    int before = asked, culprit;
    request.data = vectors;
    request.wire = request.dtype;
    assert_ok(mu_group_run(&remembering, &request, MU_FOREVER, &culprit));
    return asked - before;
}

static void a_choice_is_made_once(void **state)
{
    (void)state;
    static struct ranks ranks;
    ranks_begin(&ranks, 2);
    assert_ok(mu_group_init(&remembering, &ranks.real.world, ranks.rank[0].transport));
    remembering.forced = &nothing;
    assert_int_equal(questions(whole), 1);
    assert_int_equal(questions(whole), 0);
    struct mu_request other = whole;
    for (other.count = 1; other.count <= 2 * MU_CHOICES_MAX; other.count++) {
        assert_int_equal(questions(other), 1);
        assert_int_equal(questions(other), 0);
    }
    assert_int_equal(questions(whole), 1); /* that was long ago */
    assert_int_equal(questions(whole), 0);
    mu_choose_forget(&remembering);
    assert_int_equal(questions(whole), 1);
    remembering.deterministic = true;
    struct mu_request exact = whole;
    exact.dtype = MU_INT32;
    assert_int_equal(questions(exact), 1);
    int culprit;
    exact = whole;
    exact.data = vectors;
    assert_int_equal(mu_group_run(&remembering, &exact, MU_FOREVER, &culprit), MU_CONFIG);
    remembering.transport = NULL;
    mu_group_finish(&remembering);
    ranks_end(&ranks);
}

/* ---- between the caller and the algorithm ---- */

#define ROUNDS 200000

/* A target of 40 ns on a quiet machine; a machine that does other things gets ten times that,
 * and ten times more if a sanitizer looks at each access. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define AROUND_NS_MAX 4000
#else
#define AROUND_NS_MAX 400
#endif

static void a_repeated_request_costs_next_to_nothing(void **state)
{
    (void)state;
    static struct ranks ranks;
    double best = INFINITY;
    int culprit;
    ranks_begin(&ranks, 2);
    struct mu_world *world = &ranks.real.world;
    assert_ok(mu_group_init(&remembering, world, ranks.rank[0].transport));
    remembering.forced = &nothing;
    struct mu_request request = {.kind = MU_ALLREDUCE, .data = vectors, .count = 1};
    for (int batch = 0; batch < 10; batch++) {
        int64_t start = mu_now(world);
        for (int i = 0; i < ROUNDS / 10; i++)
            assert_ok(mu_group_run(&remembering, &request, MU_FOREVER, &culprit));
        best = fmin(best, (double)(mu_now(world) - start) / (ROUNDS / 10));
    }
    print_message("# %.1f ns around an algorithm\n", best);
    assert_true(best < AROUND_NS_MAX || getenv("MUSTER_UNHURRIED"));
    remembering.transport = NULL;
    mu_group_finish(&remembering);
    ranks_end(&ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_disagree_both_learn_it),
        cmocka_unit_test(ranks_that_disagree_in_shared_memory_both_learn_it),
        cmocka_unit_test(two_algorithms_are_a_disagreement),
        cmocka_unit_test(parts_of_other_lengths_are_a_disagreement),
        cmocka_unit_test(memory_of_other_sizes_is_a_disagreement),
        cmocka_unit_test(of_three_ranks_none_hangs_when_one_does_something_else),
        cmocka_unit_test(who_has_not_come_is_named),
        cmocka_unit_test(who_has_not_come_to_shared_memory_is_named),
        cmocka_unit_test(requests_without_sense_are_refused),
        cmocka_unit_test(a_group_of_one_has_what_it_gives),
        cmocka_unit_test(a_choice_is_made_once),
        cmocka_unit_test(a_repeated_request_costs_next_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
