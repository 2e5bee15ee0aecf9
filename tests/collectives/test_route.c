/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/segments.h"
#include "rank_threads.h"

/* Four ranks on two hosts, as it were: 0 and 1 here, 2 and 3 there. Shared memory at home, inproc
 * abroad. */
#define COUNT 4

static struct ranks ranks;
static struct mu_transport *route[COUNT];
static struct mu_segments *segments[COUNT];

static bool is_home(int a, int b)
{
    return a / 2 == b / 2;
}

static enum mu_status open_segments(struct rank *rank)
{
    return mu_segments_open(&rank->log.log, rank->transport, mu_shm_segment_bytes(COUNT),
        ranks_soon(rank), &segments[rank->rank]);
}

static int setup(void **state)
{
    (void)state;
    ranks_begin(&ranks, COUNT);
    ranks_run(&ranks, open_segments);
    for (int r = 0; r < COUNT; r++) {
        assert_ok(ranks.rank[r].status);
        for (int other = 0; other < COUNT; other++)
            if (!is_home(r, other))
                segments[r]->at[other] = NULL;
    }
    for (int r = 0; r < COUNT; r++) {
        struct mu_transport *near, *far = ranks.rank[r].transport;
        assert_ok(mu_shm_open(&ranks.real.world, r, segments[r], far, &near));
        assert_ok(mu_route_open(&ranks.real.world, near, far, &route[r]));
        ranks.rank[r].transport = route[r]; /* it has taken both, and is closed in their place */
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ranks_end(&ranks);
    return 0;
}

static int64_t after(int64_t ns)
{
    return mu_now(&ranks.real.world) + ns;
}

/* ---- the cases ---- */

#define BYTES ((size_t)4 << 20) /* more than the rings hold: both must move at once */
static struct mu_op sends[COUNT][COUNT], receives[COUNT][COUNT];

static enum mu_status exchange(struct rank *rank)
{
    int us = rank->rank;
    uint8_t *in = malloc(COUNT * BYTES), *out = malloc(BYTES);
    memset(out, 0x40 + us, BYTES);
    enum mu_status status = MU_OK;
    for (int r = 0; r < COUNT; r++)
        if (r != us) {
            route[us]->ops->receive(
                route[us], &receives[us][r], r, 3, in + (size_t)r * BYTES, BYTES);
            route[us]->ops->send(route[us], &sends[us][r], r, 3, out, BYTES);
        }
    for (int i = 0; i < 2 && status == MU_OK; i++) {
        int far = (us / 2 * 2 + 2 + i) % COUNT;
        status = route[us]->ops->wait(route[us], &receives[us][far], ranks_soon(rank));
    }
    for (int r = 0; r < COUNT && status == MU_OK; r++)
        if (r != us) {
            status = route[us]->ops->wait(route[us], &receives[us][r], ranks_soon(rank));
            if (status == MU_OK)
                status = route[us]->ops->wait(route[us], &sends[us][r], ranks_soon(rank));
            if (in[(size_t)r * BYTES] != 0x40 + r || in[(size_t)(r + 1) * BYTES - 1] != 0x40 + r)
                status = MU_BAD_DATA;
        }
    free(in);
    free(out);
    return status;
}

static void near_and_far_move_at_once(void **state)
{
    (void)state;
    ranks_run(&ranks, exchange);
    for (int r = 0; r < COUNT; r++)
        assert_ok(ranks.rank[r].status);
}

/* Rank 0 waits for rank 2 abroad, which sends only when rank 1 has all that rank 0 sends at home.
 */
static enum mu_status wait_in_turn(struct rank *rank)
{
    static char data[2][BYTES], token[4];
    struct mu_op a, b;
    int64_t deadline_ns = ranks_soon(rank);
    struct mu_transport *us = route[rank->rank];
    switch (rank->rank) {
    case 0:
        us->ops->send(us, &a, 1, 1, data[0], BYTES);
        us->ops->receive(us, &b, 2, 2, &token[0], 1);
        MU_TRY(us->ops->wait(us, &b, deadline_ns));
        return us->ops->wait(us, &a, deadline_ns);
    case 1:
        us->ops->receive(us, &a, 0, 1, data[1], BYTES);
        MU_TRY(us->ops->wait(us, &a, deadline_ns));
        us->ops->send(us, &b, 2, 3, &token[2], 1);
        return us->ops->wait(us, &b, deadline_ns);
    case 2:
        us->ops->receive(us, &a, 1, 3, &token[1], 1);
        MU_TRY(us->ops->wait(us, &a, deadline_ns));
        us->ops->send(us, &b, 0, 2, &token[3], 1);
        return us->ops->wait(us, &b, deadline_ns);
    default:
        return MU_OK;
    }
}

static void who_waits_for_the_far_still_moves_the_near(void **state)
{
    (void)state;
    ranks_run(&ranks, wait_in_turn);
    for (int r = 0; r < COUNT; r++)
        assert_ok(ranks.rank[r].status);
}

static void what_failed_is_seen_whichever_way_it_came(void **state)
{
    (void)state;
    struct mu_op op[COUNT];
    char byte;
    route[1]->ops->abort(route[1], MU_CLOSED, -1, "near by");
    route[2]->ops->abort(route[2], MU_CLOSED, -1, "far away");
    for (int r = 1; r <= 2; r++) {
        route[0]->ops->receive(route[0], &op[r], r, 1, &byte, 1);
        assert_int_equal(route[0]->ops->wait(route[0], &op[r], after(20 * MU_SECOND)), MU_CLOSED);
    }
    assert_string_equal(route[0]->seen[1].farewell, "near by");
    assert_string_equal(route[0]->seen[2].farewell, "far away");
}

static void every_rank_is_reached(void **state)
{
    (void)state;
    for (int r = 1; r < COUNT; r++)
        assert_true(route[0]->ops->reaches(route[0], r));
}

static void a_wait_that_is_in_vain_ends_at_its_deadline(void **state)
{
    (void)state;
    static struct mu_op near, far; /* under way until the end */
    char bytes[2];
    route[0]->ops->receive(route[0], &near, 1, 1, &bytes[0], 1);
    route[0]->ops->receive(route[0], &far, 2, 1, &bytes[1], 1);
    int64_t deadline_ns = after(10 * MU_MS);
    assert_int_equal(route[0]->ops->wait(route[0], &far, deadline_ns), MU_TIMEOUT);
    assert_true(after(0) >= deadline_ns);
    deadline_ns = after(10 * MU_MS);
    assert_int_equal(route[0]->ops->wait(route[0], &near, deadline_ns), MU_TIMEOUT);
    assert_true(after(0) >= deadline_ns);
}

#define CASE(claim) cmocka_unit_test_setup_teardown(claim, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(near_and_far_move_at_once),
        CASE(who_waits_for_the_far_still_moves_the_near),
        CASE(what_failed_is_seen_whichever_way_it_came),
        CASE(every_rank_is_reached),
        CASE(a_wait_that_is_in_vain_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
