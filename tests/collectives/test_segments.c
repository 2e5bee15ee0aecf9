/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/segments.h"
#include "own_shm.h"
#include "rank_threads.h"
#include "runtime/io/shared_memory.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES ((size_t)100 << 10)

static struct ranks ranks;
static struct mu_segments *segments[RANKS_MAX];

static enum mu_status open_segments(struct rank *rank)
{
    return mu_segments_open(
        &rank->log.log, rank->transport, BYTES, ranks_soon(rank), &segments[rank->rank]);
}

/* Is this rank the odd one out? */
static bool is_odd(const struct rank *rank)
{
    return rank->rank == rank->ranks->count - 1;
}

static int teardown(void **state)
{
    (void)state;
    for (int r = 0; r < ranks.count; r++) {
        mu_segments_close(segments[r]);
        segments[r] = NULL;
    }
    ranks_end(&ranks);
    return 0;
}

static int names_left(void)
{
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "muster-%u-", (unsigned)geteuid());
    int left = 0;
    DIR *folder = opendir("/dev/shm");
    for (struct dirent *entry; (entry = readdir(folder));)
        left += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(folder);
    return left;
}

/* ---- the cases ---- */

static void every_rank_reads_what_every_rank_writes(void **state)
{
    (void)state;
    ranks_begin(&ranks, 4);
    ranks_run(&ranks, open_segments);
    for (int r = 0; r < 4; r++) {
        assert_ok(ranks.rank[r].status);
        assert_true(segments[r]->all);
        assert_string_equal(ranks.rank[r].log.text, "");
        ((char *)segments[r]->at[r])[BYTES - 1] = (char)(10 + r);
    }
    for (int r = 0; r < 4; r++)
        for (int other = 0; other < 4; other++) {
            assert_true(segments[r]->home[other]);
            assert_int_equal(((char *)segments[r]->at[other])[BYTES - 1], 10 + other);
            assert_int_equal((uintptr_t)segments[r]->at[other] % 4096, 0);
            assert_true(mu_segments_alive(segments[r], other));
        }
}

static void no_name_is_left_once_all_have_mapped(void **state)
{
    (void)state;
    mu_shared_memory_sweep();
    int before = names_left();
    ranks_begin(&ranks, 3);
    ranks_run(&ranks, open_segments);
    assert_true(segments[0]->all);
    assert_int_equal(names_left(), before);
}

static void who_has_closed_is_not_alive(void **state)
{
    (void)state;
    ranks_begin(&ranks, 2);
    ranks_run(&ranks, open_segments);
    mu_segments_close(segments[1]);
    segments[1] = NULL;
    assert_false(mu_segments_alive(segments[0], 1));
}

/* The last rank reaches nobody, all others reach each other; `needle` is why. */
static void check_odd_one(const char *needle)
{
    int last = ranks.count - 1;
    if (ranks.rank[last].status == MU_DENIED)
        skip_saying("only root can do this");
    for (int r = 0; r < ranks.count; r++) {
        assert_ok(ranks.rank[r].status);
        assert_false(segments[r]->all);
        assert_said(&ranks.rank[r].log, needle);
        assert_said(&ranks.rank[r].log, "only inproc reaches it");
        for (int other = 0; other < ranks.count; other++) {
            assert_true(segments[r]->home[other]);
            bool apart = r == last || other == last;
            assert_int_equal(segments[r]->at[other] == NULL, apart);
        }
    }
    assert_said(&ranks.rank[0].log, "rank 2 is on this host");
    assert_said(&ranks.rank[last].log, "rank 0 (and 1 more) is on this host");
}

static enum mu_status open_in_container(struct rank *rank)
{
    if (is_odd(rank) && !own_shm("size=64m"))
        rank->status = MU_DENIED;
    MU_TRY(open_segments(rank));
    return rank->status;
}

static void a_container_with_its_own_shm_is_said_and_left_out(void **state)
{
    (void)state;
    ranks_begin(&ranks, 3);
    ranks_run(&ranks, open_in_container);
    check_odd_one("it does not see this /dev/shm (another container?)");
}

static enum mu_status open_in_full_shm(struct rank *rank)
{
    if (is_odd(rank) && !own_shm("size=64k"))
        rank->status = MU_DENIED;
    MU_TRY(open_segments(rank));
    return rank->status;
}

static void a_full_shm_is_said_and_left_out(void **state)
{
    (void)state;
    ranks_begin(&ranks, 3);
    ranks_run(&ranks, open_in_full_shm);
    check_odd_one("/dev/shm is full (needs 104.0 KiB, has 64.0 KiB)");
}

/* The raw call changes this thread only. */
static enum mu_status open_as_nobody(struct rank *rank)
{
    if (is_odd(rank) && syscall(SYS_setresuid, 65534, 65534, 65534) != 0)
        rank->status = MU_DENIED;
    MU_TRY(open_segments(rank));
    return rank->status;
}

static void another_user_is_said_and_left_out(void **state)
{
    (void)state;
    ranks_begin(&ranks, 3);
    ranks_run(&ranks, open_as_nobody);
    check_odd_one("it belongs to another user");
}

/* ---- a peer whose file is not what it said ---- */

static const struct mu_transport_ops *honest;

/* The token is the last of an offer. */
static void send_forged(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    if (tag == (UINT64_C(0xff) << 56 | 1))
        ((uint8_t *)(uintptr_t)from)[bytes - 1] ^= 1;
    honest->send(transport, op, rank, tag, from, bytes);
}

static void a_file_without_the_token_is_not_trusted(void **state)
{
    (void)state;
    ranks_begin(&ranks, 3);
    honest = ranks.rank[2].transport->ops;
    struct mu_transport_ops forger = *honest;
    forger.send = send_forged;
    ranks.rank[2].transport->ops = &forger;
    ranks_run(&ranks, open_segments);
    ranks.rank[2].transport->ops = honest;
    check_odd_one("what has its name is not from it");
}

static void nothing_is_shared_in_a_simulated_world(void **state)
{
    (void)state;
    static const struct mu_world_ops ops = {.name = "simulated"};
    struct mu_world world = {.ops = &ops};
    struct mu_loop loop = {.world = &world};
    ranks_begin(&ranks, 2);
    for (int r = 0; r < 2; r++)
        ranks.rank[r].transport->loop = &loop;
    ranks_run(&ranks, open_segments);
    for (int r = 0; r < 2; r++) {
        assert_ok(ranks.rank[r].status);
        assert_false(segments[r]->all || segments[r]->home[1 - r]);
        assert_null(segments[r]->at[1 - r]);
        assert_string_equal(ranks.rank[r].log.text, "");
    }
}

static enum mu_status leave_or_open(struct rank *rank)
{
    if (!is_odd(rank))
        return open_segments(rank);
    return MU_OK;
}

static void a_rank_that_does_not_come_ends_in_its_transports_way(void **state)
{
    (void)state;
    ranks_begin(&ranks, 2);
    ranks.rank[1].transport->ops->abort(ranks.rank[1].transport, MU_CLOSED, -1, "not today");
    ranks_run(&ranks, leave_or_open);
    assert_int_equal(ranks.rank[0].status, MU_CLOSED);
    assert_null(segments[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_rank_reads_what_every_rank_writes, teardown),
        cmocka_unit_test_teardown(no_name_is_left_once_all_have_mapped, teardown),
        cmocka_unit_test_teardown(who_has_closed_is_not_alive, teardown),
        cmocka_unit_test_teardown(a_container_with_its_own_shm_is_said_and_left_out, teardown),
        cmocka_unit_test_teardown(a_full_shm_is_said_and_left_out, teardown),
        cmocka_unit_test_teardown(another_user_is_said_and_left_out, teardown),
        cmocka_unit_test_teardown(a_file_without_the_token_is_not_trusted, teardown),
        cmocka_unit_test_teardown(nothing_is_shared_in_a_simulated_world, teardown),
        cmocka_unit_test_teardown(a_rank_that_does_not_come_ends_in_its_transports_way, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
