/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring.h"
#include "collectives/ring_index.h"
#include "runtime/base/random.h"
#include "runtime/io/real_world.h"
#include "test.h"

/* Every rank is a thread; the vectors meet over the inproc transport. */
struct rank {
    struct mu_world *world;
    struct mu_inproc_hub *hub;
    int number;
    float *data;
    size_t count;
    int rounds;
    bool leaves;       /* instead of taking part */
    bool other_length; /* of the vector, by mistake */
    int64_t patience_ns;
    enum mu_status status;
    int culprit;
};

static void run_rank(void *argument)
{
    struct rank *rank = argument;
    struct mu_transport *transport;
    struct mu_group group = {0};
    rank->status = mu_inproc_open(rank->hub, rank->number, &transport);
    if (rank->status == MU_OK)
        rank->status = mu_group_init(&group, rank->world, transport);
    int64_t deadline = mu_now(rank->world) + rank->patience_ns;
    for (int i = 0; i < rank->rounds && rank->status == MU_OK && !rank->leaves; i++)
        rank->status = mu_ring.run(&group,
            &(struct mu_request){.kind = MU_ALLREDUCE,
                .data = rank->data,
                .count = rank->count - (rank->other_length ? 1 : 0)},
            deadline, &rank->culprit);
    mu_group_finish(&group);
}

static float value(int rank, size_t i)
{
    return (float)((double)(mu_random_mix((uint64_t)rank + 7, i) >> 40) / 1000.0 - 8000.0);
}

/* The order of rounding that ring.h promises. */
static float expected(int ranks, size_t count, size_t i)
{
    int chunk = 0;
    while (i >= mu_ring_chunk(count, ranks, chunk).first + mu_ring_chunk(count, ranks, chunk).count)
        chunk++;
    float sum = value(chunk, i);
    for (int r = 1; r < ranks; r++)
        sum += value((chunk + r) % ranks, i);
    return sum;
}

static void start(struct rank *ranks, int count, size_t elements, struct mu_real_world *real,
    struct mu_thread **threads)
{
    for (int r = 0; r < count; r++) {
        ranks[r].world = &real->world;
        ranks[r].number = r;
        ranks[r].count = elements;
        ranks[r].rounds = ranks[r].rounds ? ranks[r].rounds : 1;
        ranks[r].patience_ns = ranks[r].patience_ns ? ranks[r].patience_ns : 20 * MU_SECOND;
        ranks[r].data = calloc(elements + 1, sizeof(float));
        for (size_t i = 0; i < elements; i++)
            ranks[r].data[i] = value(r, i);
        assert_ok(real->world.ops->spawn(&real->world, "rank", run_rank, &ranks[r], &threads[r]));
    }
}

static void allreduce_of(int count, size_t elements)
{
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    struct rank ranks[16] = {0};
    struct mu_thread *threads[16];
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_inproc_hub_create(&real.world, count, &hub));
    for (int r = 0; r < count; r++)
        ranks[r].hub = hub;
    start(ranks, count, elements, &real, threads);
    for (int r = 0; r < count; r++)
        real.world.ops->join(&real.world, threads[r]);
    for (int r = 0; r < count; r++) {
        assert_ok(ranks[r].status);
        for (size_t i = 0; i < elements; i++)
            if (ranks[r].data[i] != expected(count, elements, i))
                fail_msg("%d ranks, %zu elements: rank %d element %zu", count, elements, r, i);
        free(ranks[r].data);
    }
    mu_inproc_hub_destroy(hub);
}

static void every_rank_gets_the_sum_in_the_promised_order(void **state)
{
    (void)state;
    for (int count = 1; count <= 9; count++)
        for (size_t elements = 0; elements <= 20; elements++)
            allreduce_of(count, elements);
}

static void long_vectors_travel_in_segments(void **state)
{
    (void)state;
    allreduce_of(2, 5 * (MU_SEGMENT_BYTES / sizeof(float)) + 3);
    allreduce_of(3, 4 * (MU_SEGMENT_BYTES / sizeof(float)) + 1);
    allreduce_of(4, 4 * (MU_SEGMENT_BYTES / sizeof(float)));
}

static void fail_of(int count, void (*spoil)(struct rank *ranks), struct rank *ranks)
{
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    struct mu_thread *threads[16];
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_inproc_hub_create(&real.world, count, &hub));
    for (int r = 0; r < count; r++)
        ranks[r].hub = hub;
    spoil(ranks);
    start(ranks, count, 100, &real, threads);
    for (int r = 0; r < count; r++) {
        real.world.ops->join(&real.world, threads[r]);
        free(ranks[r].data);
    }
    mu_inproc_hub_destroy(hub);
}

static void rank_1_leaves(struct rank *ranks)
{
    ranks[1].leaves = true;
}

static void a_rank_that_leaves_ends_the_others_with_its_name(void **state)
{
    (void)state;
    struct rank ranks[16] = {0};
    fail_of(3, rank_1_leaves, ranks);
    assert_int_equal(ranks[2].status, MU_CLOSED);
    assert_int_equal(ranks[2].culprit, 1);
    assert_int_equal(ranks[0].status, MU_CLOSED);
}

static void rank_2_has_another_length(struct rank *ranks)
{
    ranks[2].other_length = true;
}

static void ranks_that_disagree_about_the_length_hear_so(void **state)
{
    (void)state;
    struct rank ranks[16] = {0};
    fail_of(3, rank_2_has_another_length, ranks);
    int protocol = 0;
    for (int r = 0; r < 3; r++) {
        assert_int_not_equal(ranks[r].status, MU_OK);
        protocol += ranks[r].status == MU_PROTOCOL;
    }
    assert_true(protocol > 0);
}

static void missing_peer_ends_in_timeout(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_inproc_hub_create(&real.world, 2, &hub));
    struct rank alone = {.world = &real.world,
        .hub = hub,
        .data = calloc(4, sizeof(float)),
        .count = 4,
        .rounds = 1,
        .culprit = -1,
        .patience_ns = 20 * MU_MS};
    run_rank(&alone);
    assert_int_equal(alone.status, MU_TIMEOUT);
    assert_int_equal(alone.culprit, 1);
    free(alone.data);
    mu_inproc_hub_destroy(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_gets_the_sum_in_the_promised_order),
        cmocka_unit_test(long_vectors_travel_in_segments),
        cmocka_unit_test(a_rank_that_leaves_ends_the_others_with_its_name),
        cmocka_unit_test(ranks_that_disagree_about_the_length_hear_so),
        cmocka_unit_test(missing_peer_ends_in_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
