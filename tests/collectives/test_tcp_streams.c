/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/transport/tcp_peer.h"
#include "runtime/base/random.h"
#include "tcp_ranks.h"
#include <fcntl.h>

/* Long messages in parts over several connections; ranks are threads over loopback. */
#define RANKS 3
#define IN_FLIGHT 4
#define LONGEST (((size_t)1 << 20) + 7)
#define ELEMENTS ((size_t)300000)

static int wanted[RANKS];
static int listen_fd[RANKS]; /* other descriptors of what the first meshes take */
static struct ranks ranks;

struct again {
    struct rank *rank;
    struct mu_loop *loop;
    uint64_t meshes;
};

static enum mu_status mesh_again(void *owner, int64_t deadline_ns, struct mu_link *ret_link[])
{
    struct again *again = owner;
    const struct mu_mesh_request request = {.loop = again->loop,
        .log = &again->rank->log.log,
        .rank = again->rank->rank,
        .count = RANKS,
        .address = tcp_address,
        .listen_fd = fcntl(listen_fd[again->rank->rank], F_DUPFD_CLOEXEC, 0),
        .group = 7 + ++again->meshes};
    return mu_mesh_open(&request, deadline_ns, ret_link);
}

static enum mu_status widen(struct rank *rank, struct mu_transport *tcp, const bool home[])
{
    struct again again = {.rank = rank, .loop = tcp->loop};
    const struct mu_tcp_more more = {mesh_again, &again};
    return mu_tcp_widen(tcp, &rank->log.log, wanted[rank->rank], home, &more, ranks_soon(rank));
}

static void run_ranks(enum mu_status (*run)(struct rank *rank))
{
    assert_int_equal(tcp_bind_ports(RANKS), 0);
    for (int r = 0; r < RANKS; r++)
        listen_fd[r] = fcntl(tcp_listen_fd[r], F_DUPFD_CLOEXEC, 0);
    ranks_begin(&ranks, RANKS);
    ranks_run(&ranks, run);
    for (int r = 0; r < RANKS; r++)
        close(listen_fd[r]);
    for (int r = 0; r < RANKS; r++)
        assert_ok(ranks.rank[r].status);
    ranks_end(&ranks);
}

static struct mu_tcp_peer *peer_of(struct mu_transport *tcp, int rank)
{
    return &((struct mu_tcp *)tcp)->peer[rank];
}

/* ---- messages ---- */

struct traffic {
    struct mu_op send[IN_FLIGHT], receive[IN_FLIGHT];
    uint8_t out[IN_FLIGHT][LONGEST], in[IN_FLIGHT][LONGEST + 1];
};

static uint8_t byte_of(int from, uint64_t tag, size_t i)
{
    return (uint8_t)mu_random_mix((uint64_t)from * 1000 + tag, i);
}

/* To the right and from the left. */
static enum mu_status pass_on(
    struct rank *rank, struct mu_transport *tcp, struct traffic *traffic, size_t bytes)
{
    int right = (rank->rank + 1) % RANKS, left = (rank->rank + RANKS - 1) % RANKS;
    for (int i = 0; i < IN_FLIGHT; i++) {
        uint64_t tag = bytes * IN_FLIGHT + (uint64_t)i;
        for (size_t b = 0; b < bytes; b++)
            traffic->out[i][b] = byte_of(rank->rank, tag, b);
        memset(traffic->in[i], 0xa5, sizeof(traffic->in[i]));
        tcp->ops->send(tcp, &traffic->send[i], right, tag, traffic->out[i], bytes);
        tcp->ops->receive(tcp, &traffic->receive[i], left, tag, traffic->in[i], bytes);
    }
    for (int i = 0; i < IN_FLIGHT; i++) {
        uint64_t tag = bytes * IN_FLIGHT + (uint64_t)i;
        MU_TRY(tcp->ops->wait(tcp, &traffic->receive[i], ranks_soon(rank)));
        MU_TRY(tcp->ops->wait(tcp, &traffic->send[i], ranks_soon(rank)));
        for (size_t b = 0; b < bytes; b++)
            if (traffic->in[i][b] != byte_of(left, tag, b))
                return MU_BAD_DATA;
        if (traffic->in[i][bytes] != 0xa5)
            return MU_BAD_DATA;
    }
    return MU_OK;
}

static enum mu_status pass_all_lengths(struct rank *rank)
{
    static const size_t lengths[] = {1, 65535, 65536, 65537, 100003, 262144, LONGEST};
    struct mu_signature signature = {.sequence = 1};
    struct mu_transport *tcp;
    struct traffic *traffic = calloc(1, sizeof(*traffic));
    MU_TRY(tcp_open(rank, &tcp));
    enum mu_status status = widen(rank, tcp, NULL);
    for (int r = 0; r < RANKS && status == MU_OK; r++)
        if (r != rank->rank && peer_of(tcp, r)->streams != wanted[RANKS - 1] - 1)
            status = MU_BUG;
    tcp->signature = &signature;
    for (size_t i = 0; i < MU_COUNT_OF(lengths) && status == MU_OK; i++) {
        status = pass_on(rank, tcp, traffic, lengths[i]);
        signature.sequence++;
    }
    tcp_close(tcp);
    free(traffic);
    return status;
}

static void messages_in_parts_are_whole_at_any_length(void **state)
{
    (void)state;
    static const int numbers[] = {1, 2, 3, MU_TCP_STREAMS_MAX};
    for (size_t i = 0; i < MU_COUNT_OF(numbers); i++) {
        for (int r = 0; r < RANKS; r++)
            wanted[r] = numbers[i];
        run_ranks(pass_all_lengths);
    }
}

static void the_least_that_a_rank_wants_counts(void **state)
{
    (void)state;
    wanted[0] = 8;
    wanted[1] = 5;
    wanted[2] = 3;
    run_ranks(pass_all_lengths);
}

/* ---- how many ---- */

static enum mu_status stay_at_home(struct rank *rank)
{
    static const bool home[RANKS] = {true, true, true};
    struct mu_transport *tcp;
    MU_TRY(tcp_open(rank, &tcp));
    enum mu_status status = mu_tcp_move_home(tcp, &rank->log.log, home, ranks_soon(rank));
    if (status == MU_OK)
        status = widen(rank, tcp, home);
    for (int r = 0; r < RANKS && status == MU_OK; r++)
        if (peer_of(tcp, r)->streams != 0)
            status = MU_BUG;
    tcp_close(tcp);
    return status;
}

static void unix_sockets_stay_alone(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        wanted[r] = 4;
    run_ranks(stay_at_home);
    assert_said(&ranks.rank[0].log, "");
}

/* Loopback is not a link that a stream leaves unfilled. */
static enum mu_status measure(struct rank *rank)
{
    const bool home[RANKS] = {[0] = rank->rank == 0, [1] = rank->rank == 1, [2] = rank->rank == 2};
    struct mu_transport *tcp;
    struct traffic *traffic = calloc(1, sizeof(*traffic));
    MU_TRY(tcp_open(rank, &tcp));
    enum mu_status status = widen(rank, tcp, home);
    if (status == MU_OK)
        status = pass_on(rank, tcp, traffic, LONGEST);
    tcp_close(tcp);
    free(traffic);
    return status;
}

static void how_many_is_measured_and_said(void **state)
{
    (void)state;
    memset(wanted, 0, sizeof(wanted));
    run_ranks(measure);
    for (int r = 0; r < RANKS; r++)
        assert_said(&ranks.rank[r].log, "as measured");
}

/* ---- groups ---- */

static enum mu_status sum(struct rank *rank, size_t count, char error[], float **ret_vector)
{
    struct mu_transport *tcp;
    struct mu_group group;
    float *vector = *ret_vector = calloc(ELEMENTS, sizeof(*vector));
    MU_TRY(tcp_open(rank, &tcp));
    struct mu_loop *loop = tcp->loop;
    enum mu_status status = widen(rank, tcp, NULL);
    if (status != MU_OK) {
        tcp_close(tcp);
        return status;
    }
    MU_TRY(mu_group_init(&group, &rank->ranks->real.world, tcp));
    group.forced = mu_choose_find("ring");
    group.timeout_ns = RANKS_TIME;
    for (size_t i = 0; i < ELEMENTS; i++)
        vector[i] = (float)(i % 1000 + (size_t)rank->rank);
    status = mu_group_allreduce(&group, vector, count, MU_FLOAT32, MU_SUM);
    memcpy(error, group.error, MU_GROUP_ERROR_MAX);
    mu_group_finish(&group);
    loop->ops->destroy(loop);
    return status;
}

static enum mu_status add_up(struct rank *rank)
{
    char error[MU_GROUP_ERROR_MAX];
    float *vector;
    enum mu_status status = sum(rank, ELEMENTS, error, &vector);
    for (size_t i = 0; i < ELEMENTS && status == MU_OK; i++)
        if (vector[i] != (float)(3 * (i % 1000) + 3))
            status = MU_BAD_DATA;
    free(vector);
    return status;
}

static void a_group_adds_up_over_several_streams(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        wanted[r] = 4;
    run_ranks(add_up);
}

static enum mu_status disagree(struct rank *rank)
{
    char error[MU_GROUP_ERROR_MAX];
    float *vector;
    size_t count = rank->rank == 1 ? ELEMENTS - 4000 : ELEMENTS;
    enum mu_status status = sum(rank, count, error, &vector);
    free(vector);
    bool named = strstr(error, "300000") && strstr(error, "296000");
    bool told = status == MU_PROTOCOL || (status == MU_CLOSED && rank->rank != 1);
    if (!told || (status == MU_PROTOCOL && !named))
        print_message("# rank %d: %d: %s\n", rank->rank, status, error);
    return told && (named || status == MU_CLOSED) ? MU_OK : MU_BUG;
}

static void ranks_that_differ_over_several_streams_are_told(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        wanted[r] = 4;
    for (int round = 0; round < 20; round++)
        run_ranks(disagree);
}

/* ---- ends ---- */

/* Rank 1 sends and is gone; what it sent counts. */
static enum mu_status send_and_go(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_op op;
    enum mu_status status;
    MU_TRY(tcp_open(rank, &tcp));
    MU_TRY(widen(rank, tcp, NULL));
    uint8_t *bytes = calloc(1, LONGEST);
    if (rank->rank == 1) {
        memset(bytes, 7, LONGEST);
        tcp->ops->send(tcp, &op, 0, 5, bytes, LONGEST);
        status = tcp->ops->wait(tcp, &op, ranks_soon(rank));
    } else {
        int from = 1 - rank->rank / 2;
        tcp->ops->receive(tcp, &op, from, 5, bytes, LONGEST);
        status = tcp->ops->wait(tcp, &op, ranks_soon(rank));
        bool whole = status == MU_OK && bytes[0] == 7 && bytes[LONGEST - 1] == 7;
        status = rank->rank == 2 ? (status == MU_CLOSED ? MU_OK : MU_BUG) : whole ? MU_OK : status;
    }
    tcp_close(tcp);
    free(bytes);
    return status;
}

static void what_was_sent_before_the_end_is_whole(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        wanted[r] = 3;
    run_ranks(send_and_go);
}

/* Rank 1 sends a first part, and its other connection breaks. */
static enum mu_status lose_a_stream(struct rank *rank)
{
    static uint8_t bytes[RANKS][LONGEST];
    struct mu_transport *tcp;
    struct mu_op op = {.bytes = LONGEST};
    enum mu_status status = MU_OK;
    MU_TRY(tcp_open(rank, &tcp));
    MU_TRY(widen(rank, tcp, NULL));
    uint8_t *mine = bytes[rank->rank];
    if (rank->rank == 0) {
        tcp->ops->receive(tcp, &op, 1, 5, mine, LONGEST);
        status = tcp->ops->wait(tcp, &op, ranks_soon(rank)) == MU_CLOSED ? MU_OK : MU_BUG;
        tcp->ops->send(tcp, &op, 1, 6, mine, 1);
    } else if (rank->rank == 1) {
        struct mu_tcp_peer *peer = peer_of(tcp, 0);
        struct mu_send send = {0};
        const struct mu_frame frame = {.type = MU_FRAME_SEGMENT,
            .flags = 1 << MU_TCP_PARTS_SHIFT,
            .generation = 1,
            .tag = 5,
            .payload_bytes = (uint32_t)mu_tcp_part_bytes(LONGEST, 2, 0)};
        mu_tcp_trim_streams(peer, 0);
        mu_link_send(peer->link, &send, &frame, NULL, mine);
        tcp->ops->receive(tcp, &op, 0, 6, mine, 1);
        status = tcp->ops->wait(tcp, &op, ranks_soon(rank));
    }
    tcp_close(tcp);
    return status;
}

static void a_part_that_never_comes_is_not_waited_for(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        wanted[r] = 2;
    run_ranks(lose_a_stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_parts_are_whole_at_any_length),
        cmocka_unit_test(the_least_that_a_rank_wants_counts),
        cmocka_unit_test(unix_sockets_stay_alone),
        cmocka_unit_test(how_many_is_measured_and_said),
        cmocka_unit_test(a_group_adds_up_over_several_streams),
        cmocka_unit_test(ranks_that_differ_over_several_streams_are_told),
        cmocka_unit_test(what_was_sent_before_the_end_is_whole),
        cmocka_unit_test(a_part_that_never_comes_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
