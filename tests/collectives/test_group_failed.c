/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/segments.h"
#include "collectives/shared_layout.h"
#include "rank_threads.h"
#include "runtime/base/text.h"
#include <stdatomic.h>

/* What is left of a group when an operation has failed, and what it leaves alone. Ranks are threads
 * over inproc; who is absent keeps its group until the others have given up. */
#define PATIENCE (100 * MU_MS)

static struct ranks ranks;
static struct mu_group groups[RANKS_MAX];
static _Alignas(64) float vectors[RANKS_MAX][64];
static atomic_int finished;

static enum mu_status sum_by(struct mu_group *group, const char *algorithm, int *ret_rank)
{
    const struct mu_request request = {
        .kind = MU_ALLREDUCE, .data = vectors[group->rank], .count = 64};
    group->forced = mu_choose_find(algorithm);
    return mu_group_run(group, &request, mu_now(group->world) + PATIENCE, ret_rank);
}

static void leave_together(struct mu_group *group)
{
    struct mu_world *world = group->world;
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < group->count)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
}

static void perform(int count, enum mu_status (*run)(struct rank *rank))
{
    atomic_store(&finished, 0);
    ranks_begin(&ranks, count);
    ranks_run(&ranks, run);
    for (int r = 0; r < count; r++) {
        groups[r].close_owner = NULL;
        mu_group_finish(&groups[r]);
        ranks.rank[r].transport = NULL;
    }
    for (int r = 0; r < count; r++)
        assert_ok(ranks.rank[r].status);
    ranks_end(&ranks);
}

/* What a rank finds; assertions are for the main thread. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_message("# %s\n", #condition);                                                   \
            status = MU_BUG;                                                                       \
        }                                                                                          \
    } while (0)

/* ---- a failure is the last operation ---- */

static enum mu_status go_on_after_failure(struct rank *rank)
{
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    char error[MU_GROUP_ERROR_MAX];
    int culprit;
    if (rank->rank == 0) {
        EXPECT(sum_by(group, "ring", &culprit) == MU_TIMEOUT);
        EXPECT(group->failed && group->sequence == 1);
        mu_text_copy(error, sizeof(error), group->error);
        EXPECT(mu_group_run(group, &(struct mu_request){.kind = MU_REQUEST_KIND_COUNT}, MU_FOREVER,
                   &culprit) == MU_CLOSED);
        EXPECT(sum_by(group, "ring", &culprit) == MU_CLOSED && culprit == -1);
        EXPECT(group->sequence == 1 && strcmp(error, group->error) == 0);
    }
    leave_together(group);
    return status;
}

static void after_a_failure_nothing_more_is_begun(void **state)
{
    (void)state;
    perform(2, go_on_after_failure);
}

static enum mu_status go_on_after_nonsense(struct rank *rank)
{
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    int culprit;
    EXPECT(mu_group_run(group, &(struct mu_request){.kind = MU_REQUEST_KIND_COUNT}, MU_FOREVER,
               &culprit) == MU_USAGE);
    EXPECT(sum_by(group, "direct", &culprit) == MU_CONFIG);
    EXPECT(sum_by(group, "ring", &culprit) == MU_OK);
    leave_together(group);
    return status;
}

static void what_was_refused_has_not_failed(void **state)
{
    (void)state;
    perform(2, go_on_after_nonsense);
}

/* ---- ranks that disagree ---- */

/* 0 and 1 agree, and meet first; 3 differs, and meets 2 first. */
static bool in_canonical_order;

static enum mu_status disagree(struct rank *rank)
{
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    struct mu_request request = {
        .kind = MU_ALLREDUCE, .data = vectors[rank->rank], .count = rank->rank == 3 ? 63 : 64};
    int culprit;
    for (int i = 0; i < 64; i++)
        vectors[rank->rank][i] = (float)(rank->rank + 1);
    group->costs = (struct mu_costs){.message = 1e-5, .byte = 1e-9, .add = 1e-10};
    group->deterministic = in_canonical_order;
    group->forced = mu_choose_find("doubling");
    EXPECT(mu_group_run(group, &request, mu_now(group->world) + PATIENCE, &culprit) != MU_OK);
    for (int i = 0; i < 64; i++)
        EXPECT(vectors[rank->rank][i] == (float)(rank->rank + 1));
    leave_together(group);
    return status;
}

static void short_vectors_of_ranks_that_disagree_are_as_they_were(void **state)
{
    (void)state;
    for (int canonical = 0; canonical < 2; canonical++) {
        in_canonical_order = canonical;
        perform(4, disagree);
    }
}

/* ---- shared memory, on a thread that does not own the transport ---- */

static enum mu_status keep_waiting(void *owner)
{
    (void)owner;
    return MU_OK;
}

static atomic_int surveys, aborts;

static void count_survey(struct mu_transport *transport, int64_t deadline_ns)
{
    (void)transport;
    (void)deadline_ns;
    atomic_fetch_add(&surveys, 1);
}

static void count_abort(
    struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    (void)late;
    (void)transport;
    (void)why;
    atomic_fetch_add(&aborts, 1);
}

static void never_called(void *owner)
{
    (void)owner;
}

/* Its transport is counted, and what it has heard would show. */
static void stand_apart(struct mu_group *group, struct mu_transport_ops *counting)
{
    *counting = *group->transport->ops;
    counting->survey = count_survey;
    counting->abort = count_abort;
    group->transport->ops = counting;
    for (int r = 0; r < group->count; r++)
        group->transport->seen[r] =
            (struct mu_seen){.signature = {.sequence = 1000}, .farewell = "what is not ours"};
    group->close_owner = never_called;
    mu_shared_set_pause(group->shared, keep_waiting, NULL);
}

static enum mu_status sum_apart(struct rank *rank)
{
    static struct mu_transport_ops counting[RANKS_MAX];
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    int culprit;
    EXPECT(mu_shared_open(group, &rank->log.log, ranks_soon(rank)) == MU_OK);
    EXPECT(sum_by(group, "ring", &culprit) == MU_OK);
    stand_apart(group, &counting[rank->rank]);
    EXPECT(sum_by(group, "direct", &culprit) == MU_OK);
    EXPECT(group->signature.sequence == 2);
    EXPECT(rank->transport->signature->sequence == 1);
    if (rank->rank == 0) {
        EXPECT(sum_by(group, "direct", &culprit) == MU_TIMEOUT && culprit == 1);
        EXPECT(strstr(group->error, "rank 1 has not entered it; last seen after all-reduce 2"));
        EXPECT(!strstr(group->error, "not ours"));
        EXPECT(rank->transport->signature->sequence == 1);
    }
    leave_together(group);
    return status;
}

static void who_waits_beside_the_transports_thread_leaves_it_alone(void **state)
{
    (void)state;
    perform(2, sum_apart);
    assert_int_equal(atomic_load(&surveys), 0);
    assert_int_equal(atomic_load(&aborts), 0);
}

/* ---- memory that only some have ---- */

static _Thread_local bool fails;

static enum mu_status open_or_fail(struct mu_log *log, struct mu_transport *messages, size_t bytes,
    int64_t deadline_ns, struct mu_segments **ret_segments)
{
    MU_TRY(mu_segments_open(log, messages, bytes, deadline_ns, ret_segments));
    if (!fails)
        return MU_OK;
    mu_segments_close(*ret_segments);
    return MU_NO_MEMORY;
}

static enum mu_status share_in_vain(struct rank *rank)
{
    static const struct mu_shared_source source = {
        open_or_fail, mu_segments_close, mu_segments_alive};
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    bool is_last = rank->rank == 1;
    int culprit;
    EXPECT(mu_shared_open_from(group, &rank->log.log, ranks_soon(rank), &source) == MU_OK);
    fails = is_last;
    EXPECT((mu_shared_alloc(group, 5000, ranks_soon(rank)) == NULL) == is_last);
    EXPECT(group->failed == is_last);
    if (is_last) {
        EXPECT(strstr(group->error, "shared memory of 5000 bytes"));
        EXPECT(sum_by(group, "direct", &culprit) == MU_CLOSED);
    }
    leave_together(group);
    return status;
}

static void who_alone_has_no_memory_takes_no_further_part(void **state)
{
    (void)state;
    perform(2, share_in_vain);
}

static _Thread_local bool has_none_of_its_own;

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return has_none_of_its_own ? NULL : __real_aligned_alloc(alignment, bytes);
}

/* Rank 1 of two that share nothing. */
static enum mu_status alloc_apart(struct rank *rank)
{
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    group->timeout_ns = 10 * MU_SECOND;
    has_none_of_its_own = rank->rank == 1;
    EXPECT(!mu_group_alloc(group, 5000));
    EXPECT(strstr(group->error, "no memory for 5000 bytes"));
    has_none_of_its_own = false;
    void *memory = mu_group_alloc(group, 5000);
    EXPECT(memory);
    mu_group_free(group, memory);
    leave_together(group);
    return status;
}

static void memory_that_one_rank_has_not_no_rank_has(void **state)
{
    (void)state;
    perform(2, alloc_apart);
}

/* One more than can be shared, and another one. */
static enum mu_status alloc_many(struct rank *rank)
{
    struct mu_group *group = &groups[rank->rank];
    enum mu_status status = mu_group_init(group, &rank->ranks->real.world, rank->transport);
    float *memory[MU_SHARED_ARENAS_MAX + 2];
    int culprit;
    group->timeout_ns = 10 * MU_SECOND;
    EXPECT(mu_shared_open(group, &rank->log.log, ranks_soon(rank)) == MU_OK && group->shared);
    for (int i = 0; i < MU_SHARED_ARENAS_MAX + 2; i++) {
        memory[i] = mu_group_alloc(group, sizeof(vectors[0]));
        EXPECT(memory[i]);
        EXPECT(mu_shared_contains(group->shared, memory[i], 1) == (i < MU_SHARED_ARENAS_MAX));
    }
    float *last = memory[MU_SHARED_ARENAS_MAX + 1];
    for (int i = 0; i < 64; i++)
        last[i] = (float)(i + rank->rank);
    const struct mu_request request = {.kind = MU_ALLREDUCE, .data = last, .count = 64};
    EXPECT(mu_group_run(group, &request, ranks_soon(rank), &culprit) == MU_OK);
    for (int i = 0; i < 64; i++)
        EXPECT(last[i] == (float)(2 * i + 1));
    for (int i = 0; i < MU_SHARED_ARENAS_MAX + 2; i++)
        mu_group_free(group, memory[i]);
    leave_together(group);
    return status;
}

static void vectors_beyond_what_can_be_shared_are_the_ranks_own_and_said_once(void **state)
{
    (void)state;
    perform(2, alloc_many);
    for (int r = 0; r < 2; r++) {
        const char *said = strstr(ranks.rank[r].log.text, "(64 of them do already)");
        assert_non_null(said);
        assert_null(strstr(said + 1, "(64 of them"));
    }
}

/* ---- between two looks ---- */

static struct mu_transport *sender;
static const struct mu_transport_ops *honest;

/* The message comes just when the wait has given up. */
static enum mu_status send_when_late(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    static const float message = 42;
    static struct mu_op send;
    enum mu_status status = honest->wait(transport, op, deadline_ns);
    if (status == MU_TIMEOUT)
        honest->send(sender, &send, transport->rank, op->tag, &message, sizeof(message));
    return status;
}

static void what_comes_between_two_looks_has_come(void **state)
{
    (void)state;
    static struct ranks pair;
    struct mu_group group;
    struct mu_op receive;
    float got = 0;
    int culprit;
    ranks_begin(&pair, 2);
    assert_ok(mu_group_init(&group, &pair.real.world, pair.rank[0].transport));
    sender = pair.rank[1].transport;
    honest = group.transport->ops;
    struct mu_transport_ops late = *honest;
    late.wait = send_when_late;
    group.transport->ops = &late;
    mu_group_receive(&group, &receive, 1, mu_group_tag(&group, 0, 0), &got, sizeof(got));
    assert_ok(mu_group_wait(&group, &receive, ranks_soon(&pair.rank[0]), &culprit));
    assert_true(got == 42);
    group.transport->ops = honest;
    mu_group_finish(&group);
    pair.rank[0].transport = NULL;
    ranks_end(&pair);
}

/* ---- how many, and which ---- */

static int closed;

static void count_close(struct mu_transport *transport)
{
    (void)transport;
    closed++;
}

static void more_ranks_than_tags_have_steps_for_are_refused(void **state)
{
    (void)state;
    const struct mu_transport_ops ops = {.close = count_close};
    struct mu_transport transport = {.ops = &ops, .count = MU_GROUP_RANKS_MAX};
    struct mu_group group;
    assert_ok(mu_group_init(&group, NULL, &transport));
    mu_group_finish(&group);
    transport.count++;
    assert_int_equal(mu_group_init(&group, NULL, &transport), MU_USAGE);
    assert_int_equal(closed, 2);
}

/* segments.c marks what it sends with 0xff. */
static void no_group_has_the_tags_of_what_is_no_operation(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 1000; id++) {
        const struct mu_group group = {.id = id};
        assert_int_not_equal(mu_group_tag(&group, 0, 0) >> 56, 0xff);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_failure_nothing_more_is_begun),
        cmocka_unit_test(what_was_refused_has_not_failed),
        cmocka_unit_test(short_vectors_of_ranks_that_disagree_are_as_they_were),
        cmocka_unit_test(who_waits_beside_the_transports_thread_leaves_it_alone),
        cmocka_unit_test(who_alone_has_no_memory_takes_no_further_part),
        cmocka_unit_test(memory_that_one_rank_has_not_no_rank_has),
        cmocka_unit_test(vectors_beyond_what_can_be_shared_are_the_ranks_own_and_said_once),
        cmocka_unit_test(what_comes_between_two_looks_has_come),
        cmocka_unit_test(more_ranks_than_tags_have_steps_for_are_refused),
        cmocka_unit_test(no_group_has_the_tags_of_what_is_no_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
