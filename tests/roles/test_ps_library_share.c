/* SPDX-License-Identifier: Apache-2.0 */
#include "own_shm.h"
#include "party.h"
#include <fcntl.h>
#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <sys/resource.h>

/* Workers of muster/ps.h that share memory with servers of their host, and those that cannot. */

#define UNDER_WAY 3
#define ROUNDS 12
#define WIDTH 32
#define IDS 100
#define FILES 1024 /* of this process, at the most */

/* ---- what travels ---- */

/* Is this the worker's end of a link to one of the servers? */
static bool is_link(const struct party *party, int file)
{
    struct sockaddr_in peer;
    socklen_t bytes = sizeof(peer);
    char text[32];
    if (getpeername(file, (struct sockaddr *)&peer, &bytes) != 0 || peer.sin_family != AF_INET)
        return false;
    snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(peer.sin_port));
    for (int s = 0; s < party->server_count; s++)
        if (strcmp(text, party->text[s]) == 0)
            return true;
    return false;
}

/* By all links of workers, there and back. */
static uint64_t travelled(const struct party *party)
{
    uint64_t sum = 0;
    for (int file = 0; file < FILES; file++) {
        struct tcp_info info = {0};
        socklen_t bytes = sizeof(info);
        if (is_link(party, file) && getsockopt(file, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0)
            sum += info.tcpi_bytes_acked + info.tcpi_bytes_received;
    }
    return sum;
}

/* ---- one worker's training, whose every answer is kept ---- */

/* All that a worker is told, push after push. */
struct told {
    float fresh[ROUNDS][UNDER_WAY][COUNT], rows[ROUNDS][UNDER_WAY][IDS][WIDTH];
    struct mu_ps_result result[ROUNDS][UNDER_WAY];
    uint64_t travelled;
    bool shared;
};
static struct told told_now;

/* Always the same, of any size and sign. */
static void make_gradient(unsigned seed, float *ret_gradient, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        ret_gradient[i] = ((float)(seed >> 8) - 8388608.0f) / 4194304.0f;
    }
}

/* Several at once, waited for in another order; one of a round is refused. */
static enum mu_status train_round(struct mu_ps *ps, int round, int64_t version)
{
    static float gradient[UNDER_WAY][COUNT], given[UNDER_WAY][IDS][WIDTH];
    static uint64_t ids[UNDER_WAY][IDS], wanted[UNDER_WAY][IDS];
    int push[UNDER_WAY];
    for (int i = 0; i < UNDER_WAY; i++) {
        unsigned seed = (unsigned)(round * UNDER_WAY + i);
        make_gradient(seed, gradient[i], COUNT);
        make_gradient(~seed, given[i][0], IDS * WIDTH);
        for (uint64_t k = 0; k < IDS; k++) {
            ids[i][k] = k * 7919 % (IDS / 2) + seed; /* each twice */
            wanted[i][k] = k + seed;
        }
        const struct mu_ps_rows rows = {
            ids[i], given[i][0], IDS, wanted[i], told_now.rows[round][i][0], IDS};
        if (i == 1)
            gradient[i][COUNT / 2] = round % 4 == 1 ? INFINITY : 1;
        MU_TRY(
            mu_ps_push_rows(ps, gradient[i], version, told_now.fresh[round][i], &rows, &push[i]));
    }
    for (int i = UNDER_WAY - 1; i >= 0; i--)
        MU_TRY(mu_ps_wait(ps, push[i], &told_now.result[round][i]));
    for (int i = 0; i < UNDER_WAY; i++) {
        float again[COUNT];
        make_gradient((unsigned)(round * UNDER_WAY + i), again, COUNT);
        gradient[i][COUNT / 2] = again[COUNT / 2];
        if (memcmp(again, gradient[i], sizeof(again)) != 0)
            return MU_BUG; /* the caller's vector is as it was */
    }
    return MU_OK;
}

static enum mu_status train(struct actor *actor, struct mu_ps *ps)
{
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    for (int k = 0; k < ROUNDS; k++)
        MU_TRY(train_round(ps, k, actor->version));
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    told_now.shared = ps->vectors.data != NULL;
    told_now.travelled = travelled(actor->party);
    return MU_OK;
}

/* Servers begin with rows of zeros. */
static const struct mu_ps_options train_options = {.in_flight = UNDER_WAY,
    .row_width = WIDTH,
    .row_max = IDS,
    .optimizer = "adam",
    .optimizer_options = "learning_rate=0.1"};

static void train_by(struct party *party, const char *transport)
{
    memset(&told_now, 0, sizeof(told_now));
    *party = (struct party){.options = train_options, .work = train};
    party->options.transport = transport;
    party_run(party);
    party_all_ended_well(party);
}

static bool is_same(const struct mu_ps_result *a, const struct mu_ps_result *b)
{
    return a->verdict == b->verdict && a->scale == b->scale && a->staleness == b->staleness &&
           a->version == b->version && !a->refused == !b->refused;
}

static void check_same(const struct told *a, const struct told *b)
{
    assert_memory_equal(a->fresh, b->fresh, sizeof(a->fresh));
    assert_memory_equal(a->rows, b->rows, sizeof(a->rows));
    for (int k = 0; k < ROUNDS; k++)
        for (int i = 0; i < UNDER_WAY; i++)
            assert_true(is_same(&a->result[k][i], &b->result[k][i]));
    assert_int_equal(a->result[1][1].verdict, MU_VERDICT_REFUSE);
    assert_int_equal(a->result[2][1].verdict, MU_VERDICT_APPLY);
}

/* Vectors there and back, and rows. */
#define VECTOR_BYTES ((uint64_t)ROUNDS * UNDER_WAY * 2 * COUNT * sizeof(float))
#define ROW_BYTES ((uint64_t)ROUNDS * UNDER_WAY * IDS * WIDTH * sizeof(float))
/* Of a push two frames there and two back, with each server. */
#define FRAME_BYTES ((uint64_t)ROUNDS * UNDER_WAY * SERVERS * 4 * 160)
static_assert(4 * FRAME_BYTES < VECTOR_BYTES, "a vector that travels is seen");

static void nothing_but_frames_travels_and_all_is_the_same_to_the_last_bit(void **state)
{
    static struct party by_tcp, by_shm;
    static struct told told_by_tcp;
    train_by(&by_tcp, "tcp");
    told_by_tcp = told_now;
    assert_false(told_by_tcp.shared);
    assert_true(told_by_tcp.travelled > VECTOR_BYTES + ROW_BYTES);
    train_by(&by_shm, NULL);
    assert_true(told_now.shared);
    assert_true(told_now.travelled > 0);
    check_same(&told_by_tcp, &told_now);
    for (int s = 0; s < SERVERS; s++)
        assert_memory_equal(
            by_tcp.servers[s].vector, by_shm.servers[s].vector, sizeof(by_tcp.servers[s].vector));
    assert_memory_equal(
        by_tcp.workers[0].vector, by_shm.workers[0].vector, sizeof(by_tcp.workers[0].vector));
}

/* ---- where none is to be had ---- */

/* What is said on stderr meanwhile. */
struct overheard {
    int stderr_was, from;
    char text[4096];
};

static void begin_to_listen(struct overheard *overheard)
{
    int ends[2];
    fflush(stderr);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    overheard->stderr_was = dup(STDERR_FILENO);
    overheard->from = ends[0];
    assert_return_code(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
}

static void listen_no_more(struct overheard *overheard)
{
    fflush(stderr);
    ssize_t bytes = read(overheard->from, overheard->text, sizeof(overheard->text) - 1);
    overheard->text[bytes > 0 ? bytes : 0] = '\0';
    assert_return_code(dup2(overheard->stderr_was, STDERR_FILENO), 0);
    close(overheard->stderr_was);
    close(overheard->from);
}

static void said_once(const struct overheard *overheard, const char *said)
{
    const char *apart = strstr(overheard->text, "but not in shared memory with us");
    if (!apart || !strstr(apart, said) || !strstr(apart, "pushes to it travel by tcp") ||
        strstr(apart + 1, "but not in shared memory with us"))
        fail_msg("not `%s` once, but: %s", said, overheard->text);
}

static void check_by_tcp(const struct overheard *overheard, const char *said)
{
    assert_false(told_now.shared);
    assert_true(told_now.travelled > VECTOR_BYTES + ROW_BYTES);
    assert_int_equal(told_now.result[2][1].verdict, MU_VERDICT_APPLY);
    said_once(overheard, said);
}

static void a_full_dev_shm_is_said_once_and_all_travels(void **state)
{
    static struct party party;
    struct overheard overheard;
    struct rlimit before, small;
    assert_return_code(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    begin_to_listen(&overheard);
    assert_return_code(setrlimit(RLIMIT_FSIZE, &small), 0);
    train_by(&party, "route");
    assert_return_code(setrlimit(RLIMIT_FSIZE, &before), 0);
    listen_no_more(&overheard);
    check_by_tcp(&overheard, "files may have 4.0 KiB at the most");
}

static bool container_is_permitted;

/* Of a container of its own; the links of all are of one process yet. */
static enum mu_status train_in_container(struct actor *actor, struct mu_ps *ps)
{
    container_is_permitted = own_shm("size=64m");
    return container_is_permitted ? train(actor, ps) : MU_OK;
}

static enum mu_status train_in_full_container(struct actor *actor, struct mu_ps *ps)
{
    container_is_permitted = own_shm("size=16k");
    return container_is_permitted ? train(actor, ps) : MU_OK;
}

static void a_container_of_its_own_is_said_once_and_all_travels(void **state)
{
    static const struct {
        enum mu_status (*work)(struct actor *actor, struct mu_ps *ps);
        const char *said;
    } cases[] = {
        {train_in_container, "it does not see this /dev/shm (another container?)"},
        {train_in_full_container, "/dev/shm is full (needs "},
    };
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        static struct party party;
        struct overheard overheard;
        memset(&told_now, 0, sizeof(told_now));
        party = (struct party){.options = train_options, .work = cases[i].work};
        begin_to_listen(&overheard);
        party_run(&party);
        listen_no_more(&overheard);
        party_all_ended_well(&party);
        if (!container_is_permitted)
            skip_saying("no mount namespace of its own is permitted here");
        check_by_tcp(&overheard, cases[i].said);
    }
}

/* By each call that may be the first, and no other call after it. */
static enum mu_status insist(struct actor *actor, struct mu_ps *ps)
{
    static const uint64_t id = 1;
    static const float gradient[COUNT];
    float row[WIDTH];
    int push;
    static int first;
    container_is_permitted = own_shm("size=64m");
    if (!container_is_permitted)
        return MU_OK;
    enum mu_status status = MU_BUG;
    switch (first++) {
    case 0:
        status = mu_ps_pull(ps, actor->vector, NULL);
        break;
    case 1:
        status = mu_ps_push(ps, gradient, 0, NULL, &push);
        break;
    case 2:
        status = mu_ps_push_pull(ps, gradient, 0, actor->vector, NULL);
        break;
    case 3:
        status = mu_ps_pull_rows(ps, &id, 1, row);
        break;
    }
    if (status != MU_CONFIG || !strstr(mu_ps_error(ps), "only shm is allowed"))
        return MU_BUG;
    return mu_ps_pull(ps, actor->vector, NULL) == MU_BROKEN ? MU_OK : MU_BUG;
}

static void who_allows_shared_memory_alone_is_told_by_the_first_call(void **state)
{
    for (int i = 0; i < 4; i++) {
        static struct party party;
        struct overheard overheard;
        party = (struct party){.options = train_options, .work = insist};
        party.options.transport = "shm";
        begin_to_listen(&overheard);
        party_run(&party);
        listen_no_more(&overheard);
        if (!container_is_permitted)
            skip_saying("no mount namespace of its own is permitted here");
        if (party.workers[0].status != MU_OK)
            fail_msg("%d: %s", i, party.workers[0].error);
    }
}

/* ---- no wait that TCP has not ---- */

static enum mu_status nothing_more(struct actor *actor, struct mu_ps *ps)
{
    return mu_ps_pull(ps, actor->vector, NULL);
}

/* Servers do not serve before the other worker is there. */
static void a_first_push_waits_for_nobody_and_a_later_call_shares(void **state)
{
    static struct party party;
    static const float gradient[COUNT];
    struct mu_ps *ps;
    struct mu_ps_result result;
    int push;
    party = (struct party){.options = {.worker_count = 2}, .work = nothing_more};
    party_prepare(&party);
    for (int s = 0; s < SERVERS; s++)
        party_start(&party.servers[s], &party, s, party_serve);
    struct actor *early = &party.workers[0];
    early->party = &party;
    const struct mu_ps_options options = party_options_of(early);
    assert_ok(mu_ps_open(&options, &ps));
    assert_ok(mu_ps_push(ps, gradient, 0, early->vector, &push));
    party_start(&party.workers[1], &party, 1, party_work);
    assert_ok(mu_ps_wait(ps, push, &result));
    assert_int_equal(result.version, 1);
    assert_null(ps->vectors.data);
    assert_ok(mu_ps_push_pull(ps, gradient, 1, NULL, &result));
    assert_non_null(ps->vectors.data);
    assert_int_equal(result.version, 2);
    mu_ps_close(ps);
    pthread_join(party.workers[1].thread, NULL);
    for (int s = 0; s < SERVERS; s++)
        pthread_join(party.servers[s].thread, NULL);
    assert_ok(party.workers[1].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_frames_travels_and_all_is_the_same_to_the_last_bit),
        cmocka_unit_test(a_full_dev_shm_is_said_once_and_all_travels),
        cmocka_unit_test(a_container_of_its_own_is_said_once_and_all_travels),
        cmocka_unit_test(who_allows_shared_memory_alone_is_told_by_the_first_call),
        cmocka_unit_test(a_first_push_waits_for_nobody_and_a_later_call_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
