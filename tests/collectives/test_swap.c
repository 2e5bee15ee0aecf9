/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared_members.h"
#include "collectives/swap.h"
#include "rank_threads.h"

static struct ranks ranks;

static int setup(void **state)
{
    (void)state;
    ranks_begin(&ranks, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ranks_end(&ranks);
    return 0;
}

static enum mu_status swap_ranks(struct rank *rank)
{
    struct mu_swap *swap;
    int other = 1 - rank->rank;
    MU_TRY(mu_swap_create(rank->transport, sizeof(int), &swap));
    *(int *)mu_swap_out(swap, other) = 10 + rank->rank;
    MU_TRY(mu_swap_run(swap, 1, ranks_soon(rank)));
    int heard = *(int *)mu_swap_in(swap, other);
    mu_swap_destroy(swap);
    return heard == 10 + other ? MU_OK : MU_BAD_DATA;
}

static void each_hears_what_the_other_gives(void **state)
{
    (void)state;
    ranks_run(&ranks, swap_ranks);
    for (int r = 0; r < 2; r++) {
        assert_ok(ranks.rank[r].status);
        assert_null(ranks.rank[r].transport->kept);
    }
}

static void fail_over(struct mu_transport *messages)
{
    struct mu_swap *swap;
    assert_ok(mu_swap_create(messages, 1000, &swap));
    assert_int_equal(
        mu_swap_run(swap, 1, mu_now(&ranks.real.world) + MU_MS), MU_TIMEOUT); /* nobody else is */
}

/* That it is freed then is for the address sanitizer to see. */
static void what_failed_stays_until_the_transport_is_closed(void **state)
{
    (void)state;
    struct mu_transport *transport = ranks.rank[0].transport;
    fail_over(transport);
    assert_non_null(transport->kept);
    fail_over(transport);
}

/* A view of some ranks is closed long before that. */
static void what_failed_in_a_part_stays_with_the_whole(void **state)
{
    (void)state;
    int member[] = {0, 1};
    struct mu_transport *whole = ranks.rank[0].transport, *part;
    const struct mu_group group = {.transport = whole, .member = member, .count = 2};
    assert_ok(mu_shared_members_open(&group, &part));
    fail_over(part);
    assert_null(part->kept);
    assert_non_null(whole->kept);
    part->ops->close(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_hears_what_the_other_gives, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_failed_stays_until_the_transport_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_failed_in_a_part_stays_with_the_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
