/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "tcp_ranks.h"
#include <stdatomic.h>

/* A rank stops, in a ring: the one that hears from it knows where, the other one does not, and must
 * not say more than it knows. */
#define RANKS 3
#define STOPPED 2
#define SUMS 5
#define PATIENCE (300 * MU_MS)

static _Alignas(64) float vectors[RANKS][64];
static char errors[RANKS][MU_GROUP_ERROR_MAX];
static atomic_int finished;

static enum mu_status sum(struct mu_group *group, int64_t deadline_ns, int *ret_rank)
{
    const struct mu_request request = {
        .kind = MU_ALLREDUCE, .data = vectors[group->rank], .count = 64};
    return mu_group_run(group, &request, deadline_ns, ret_rank);
}

/* All meet, add some vectors, and one comes to no more; its links stay open. */
static enum mu_status add_until_one_stops(struct mu_group *group, struct rank *rank)
{
    const struct mu_request barrier = {.kind = MU_BARRIER};
    int culprit;
    MU_TRY(mu_group_run(group, &barrier, ranks_soon(rank), &culprit));
    for (int i = 0; i < SUMS; i++)
        MU_TRY(sum(group, ranks_soon(rank), &culprit));
    if (rank->rank == STOPPED)
        return MU_OK;
    enum mu_status status = sum(group, mu_now(group->world) + PATIENCE, &culprit);
    return status == MU_TIMEOUT && culprit == STOPPED ? MU_OK : MU_BUG;
}

static enum mu_status take_part(struct rank *rank)
{
    struct mu_world *world = &rank->ranks->real.world;
    struct mu_transport *tcp;
    struct mu_group group;
    MU_TRY(tcp_open(rank, &tcp));
    struct mu_loop *loop = tcp->loop;
    MU_TRY(mu_group_init(&group, world, tcp));
    group.forced = mu_choose_find("ring");
    enum mu_status status = add_until_one_stops(&group, rank);
    memcpy(errors[rank->rank], group.error, sizeof(group.error));
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < RANKS)
        world->ops->sleep_until(world, mu_now(world) + MU_MS);
    mu_group_finish(&group);
    loop->ops->destroy(loop);
    return status;
}

static void who_does_not_know_where_a_rank_has_stopped_says_so(void **state)
{
    (void)state;
    static struct ranks ranks;
    assert_int_equal(tcp_bind_ports(RANKS), 0);
    ranks_begin(&ranks, RANKS);
    ranks_run(&ranks, take_part);
    for (int r = 0; r < RANKS; r++)
        if (ranks.rank[r].status != MU_OK)
            fail_msg("rank %d: %d: %s", r, ranks.rank[r].status, errors[r]);
    ranks_end(&ranks);
    for (int r = 0; r < RANKS; r++)
        if (r != STOPPED &&
            (strstr(errors[r], "has not entered it") ||
                !strstr(errors[r], "rank 2 has not been heard in it, and may have entered it; ") ||
                !strstr(errors[r], " ago, and does not answer")))
            fail_msg("rank %d: %s", r, errors[r]);
    assert_non_null(strstr(errors[1], "last heard "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_know_where_a_rank_has_stopped_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
