/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "rank_threads.h"

/* More elements than an int can count: two ranks, 4 GiB in all. */
#define COUNT (((size_t)1 << 31) + 12345)
static uint8_t *vectors[2];

static uint8_t value(int rank, size_t i)
{
    return (uint8_t)(i * 7 + (i >> 20) + (size_t)rank * 3);
}

static enum mu_status add_up(struct rank *rank)
{
    struct mu_group group;
    uint8_t *data = vectors[rank->rank];
    MU_TRY(mu_group_init(&group, &rank->ranks->real.world, rank->transport));
    for (size_t i = 0; i < COUNT; i++)
        data[i] = value(rank->rank, i);
    enum mu_status status = mu_group_allreduce(&group, data, COUNT, MU_UINT8, MU_SUM);
    for (size_t i = 0; i < COUNT && status == MU_OK; i++)
        if (data[i] != (uint8_t)(value(0, i) + value(1, i)))
            status = MU_BROKEN;
    rank->transport->signature = NULL;
    group.transport = NULL;
    mu_group_finish(&group);
    return status;
}

static void more_than_two_to_the_31_elements_are_added(void **state)
{
    (void)state;
    static struct ranks ranks;
    for (int r = 0; r < 2; r++) {
        vectors[r] = malloc(COUNT);
        assert_non_null(vectors[r]);
    }
    ranks_begin(&ranks, 2);
    ranks_run(&ranks, add_up);
    for (int r = 0; r < 2; r++) {
        assert_ok(ranks.rank[r].status);
        free(vectors[r]);
    }
    ranks_end(&ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_two_to_the_31_elements_are_added)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
