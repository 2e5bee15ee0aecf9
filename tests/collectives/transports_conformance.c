/* SPDX-License-Identifier: Apache-2.0 */
#include "../io/link_pair.h"
#include "collectives/segments.h"
#include "collectives/transport/transport.h"
#include "rank_threads.h"

/* One table of cases over every transport, two ranks on one thread. */
struct rig {
    struct link_pair pair; /* tcp */
    struct mu_inproc_hub *hub;
    struct mu_timer *timer;          /* shm */
    struct mu_segments *segments[2]; /* shm */
    struct mu_transport *rank[2];
    struct mu_op send[4], receive[4];
};

static struct rig rig;

/* ---- how to get two ranks ---- */

static void open_tcp(void)
{
    struct mu_link *link[2][2] = {0};
    link_pair_connect(&rig.pair, &link[0][1], &link[1][0]);
    for (int r = 0; r < 2; r++)
        assert_ok(mu_tcp_open(rig.pair.loop, r, 2, 1, link[r], &rig.rank[r]));
}

static int begin_tcp(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    link_pair_begin(&rig.pair);
    open_tcp();
    return 0;
}

/* The same over a unix socket. */
static int begin_tcp_unix(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    link_pair_begin_at(&rig.pair, "unix:muster-test");
    open_tcp();
    return 0;
}

static int begin_inproc(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    assert_ok(mu_real_world_init(&rig.pair.real));
    assert_ok(mu_inproc_hub_create(&rig.pair.real.world, 2, &rig.hub));
    for (int r = 0; r < 2; r++)
        assert_ok(mu_inproc_open(rig.hub, r, &rig.rank[r]));
    return 0;
}

static enum mu_status open_segments(struct rank *rank)
{
    return mu_segments_open(&rank->log.log, rank->transport, mu_shm_segment_bytes(2),
        ranks_soon(rank), &rig.segments[rank->rank]);
}

/* Both ranks are on one thread: while one waits, the loop that it turns moves the other. */
static void poll_both(void *owner)
{
    (void)owner;
    for (int r = 0; r < 2; r++)
        if (rig.rank[r])
            (void)rig.rank[r]->ops->poll(rig.rank[r]);
}

/* After link_pair_begin. */
static void open_shm(void)
{
    static struct ranks ranks;
    ranks_begin(&ranks, 2);
    ranks_run(&ranks, open_segments);
    ranks_end(&ranks);
    struct mu_transport messages = {.loop = rig.pair.loop};
    for (int r = 0; r < 2; r++) {
        assert_ok(ranks.rank[r].status);
        assert_true(rig.segments[r]->all);
        assert_ok(mu_shm_open(&rig.pair.real.world, r, rig.segments[r], &messages, &rig.rank[r]));
    }
    assert_ok(rig.pair.loop->ops->timer_start(rig.pair.loop, MU_MS, poll_both, NULL, &rig.timer));
}

static int begin_shm(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    link_pair_begin(&rig.pair);
    open_shm();
    return 0;
}

static int begin_route(void **state)
{
    begin_tcp(state);
    struct mu_transport *far[2] = {rig.rank[0], rig.rank[1]};
    open_shm();
    for (int r = 0; r < 2; r++)
        assert_ok(mu_route_open(&rig.pair.real.world, rig.rank[r], far[r], &rig.rank[r]));
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (rig.timer)
        rig.pair.loop->ops->timer_stop(rig.timer);
    for (int r = 0; r < 2; r++)
        if (rig.rank[r])
            rig.rank[r]->ops->close(rig.rank[r]);
    if (rig.hub)
        mu_inproc_hub_destroy(rig.hub);
    else
        link_pair_end(&rig.pair);
    return 0;
}

static int64_t soon(void)
{
    return mu_deadline(mu_now(&rig.pair.real.world), LINK_PAIR_TIME);
}

static void send_to(int from, int slot, uint64_t tag, const void *data, size_t bytes)
{
    rig.rank[from]->ops->send(rig.rank[from], &rig.send[slot], 1 - from, tag, data, bytes);
}

static void receive_at(int to, int slot, uint64_t tag, void *data, size_t bytes)
{
    rig.rank[to]->ops->receive(rig.rank[to], &rig.receive[slot], 1 - to, tag, data, bytes);
}

static enum mu_status wait_receive(int rank, int slot)
{
    return rig.rank[rank]->ops->wait(rig.rank[rank], &rig.receive[slot], soon());
}

static enum mu_status wait_send(int rank, int slot)
{
    return rig.rank[rank]->ops->wait(rig.rank[rank], &rig.send[slot], soon());
}

/* ---- the cases ---- */

static void a_message_lands_where_the_receiver_said(void **state)
{
    (void)state;
    char here[] = "0123456789", there[sizeof(here)] = "";
    receive_at(1, 0, 7, there, sizeof(there));
    send_to(0, 0, 7, here, sizeof(here));
    assert_ok(wait_receive(1, 0));
    assert_ok(wait_send(0, 0));
    assert_string_equal(there, here);
}

static void a_message_waits_for_its_receiver(void **state)
{
    (void)state;
    char here[] = "early", there[sizeof(here)] = "";
    send_to(1, 0, 9, here, sizeof(here));
    receive_at(0, 0, 9, there, sizeof(there));
    assert_ok(wait_receive(0, 0));
    assert_ok(wait_send(1, 0));
    assert_string_equal(there, here);
}

static void messages_arrive_in_order(void **state)
{
    (void)state;
    int32_t here[4] = {1, 2, 3, 4}, there[4] = {0};
    for (int i = 0; i < 2; i++)
        receive_at(1, i, (uint64_t)i, &there[i], sizeof(int32_t));
    for (int i = 0; i < 4; i++)
        send_to(0, i, (uint64_t)i, &here[i], sizeof(int32_t));
    for (int i = 2; i < 4; i++)
        receive_at(1, i, (uint64_t)i, &there[i], sizeof(int32_t));
    for (int i = 0; i < 4; i++) {
        assert_ok(wait_receive(1, i));
        assert_ok(wait_send(0, i));
    }
    assert_memory_equal(here, there, sizeof(here));
}

static void large_messages_pass_each_other(void **state)
{
    (void)state;
    size_t bytes = 5 << 20;
    uint8_t *data[4];
    for (int i = 0; i < 4; i++) {
        data[i] = malloc(bytes);
        memset(data[i], i < 2 ? 0x55 + i : 0, bytes);
    }
    for (int r = 0; r < 2; r++)
        receive_at(r, r, 1, data[2 + r], bytes);
    for (int r = 0; r < 2; r++)
        send_to(r, r, 1, data[r], bytes);
    for (int r = 0; r < 2; r++) {
        assert_ok(wait_receive(r, r));
        assert_ok(wait_send(r, r));
    }
    assert_memory_equal(data[0], data[3], bytes);
    assert_memory_equal(data[1], data[2], bytes);
    for (int i = 0; i < 4; i++)
        free(data[i]);
}

static void another_tag_is_an_error_and_not_a_wrong_message(void **state)
{
    (void)state;
    int32_t here = 1, there = 2;
    receive_at(1, 0, 5, &there, sizeof(there));
    send_to(0, 0, 6, &here, sizeof(here));
    assert_int_equal(wait_receive(1, 0), MU_PROTOCOL);
    assert_int_equal(there, 2);
}

static void another_length_is_an_error_and_not_a_wrong_message(void **state)
{
    (void)state;
    int32_t here[2] = {1, 1}, there = 2;
    receive_at(1, 0, 5, &there, sizeof(there));
    send_to(0, 0, 5, here, sizeof(here));
    assert_int_equal(wait_receive(1, 0), MU_PROTOCOL);
    assert_int_equal(there, 2);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    int32_t there;
    receive_at(1, 0, 5, &there, sizeof(there));
    int64_t deadline = mu_now(&rig.pair.real.world) + 20 * MU_MS;
    assert_int_equal(rig.rank[1]->ops->wait(rig.rank[1], &rig.receive[0], deadline), MU_TIMEOUT);
    assert_true(mu_now(&rig.pair.real.world) >= deadline);
}

static void a_peer_that_leaves_ends_the_wait(void **state)
{
    (void)state;
    int32_t there;
    receive_at(1, 0, 5, &there, sizeof(there));
    rig.rank[0]->ops->close(rig.rank[0]);
    rig.rank[0] = NULL;
    assert_int_equal(wait_receive(1, 0), MU_CLOSED);
    receive_at(1, 1, 5, &there, sizeof(there));
    assert_int_equal(wait_receive(1, 1), MU_CLOSED);
}

static const struct mu_signature sum_813 = {.sequence = 813, .kind = MU_ALLREDUCE, .count = 4096};
static const struct mu_signature broadcast_813 = {
    .sequence = 813, .kind = MU_BROADCAST, .count = 4096};

static void sign(const struct mu_signature *by_0, const struct mu_signature *by_1)
{
    rig.rank[0]->signature = by_0;
    rig.rank[1]->signature = by_1;
}

static void ranks_that_do_the_same_exchange_what_they_do(void **state)
{
    (void)state;
    struct mu_signature next = sum_813;
    int32_t here[2] = {1, 2}, there[2] = {0};
    sign(&sum_813, &sum_813);
    for (int i = 0; i < 2; i++) {
        receive_at(1, i, (uint64_t)i, &there[i], sizeof(here[i]));
        send_to(0, i, (uint64_t)i, &here[i], sizeof(here[i]));
        assert_ok(wait_receive(1, i));
        assert_ok(wait_send(0, i));
        assert_true(mu_signature_equal(&rig.rank[1]->seen[0].signature, &next));
        next.sequence++;
        sign(&next, &next);
    }
    assert_int_equal(there[0], 1);
    assert_int_equal(there[1], 2);
}

static void what_is_not_signed_is_not_compared(void **state)
{
    (void)state;
    int32_t here = 1, there = 2;
    sign(&sum_813, &sum_813);
    receive_at(1, 0, 1, &there, sizeof(there));
    send_to(0, 0, 1, &here, sizeof(here));
    assert_ok(wait_receive(1, 0));
    assert_ok(wait_send(0, 0));
    sign(NULL, &broadcast_813);
    receive_at(1, 0, 2, &there, sizeof(there));
    send_to(0, 0, 2, &here, sizeof(here));
    assert_ok(wait_receive(1, 0));
    assert_ok(wait_send(0, 0));
}

/* Rank 1 hears from rank 0 by what it receives; rank 0, to which nothing comes, by being told. */
static void ranks_that_do_different_things_both_hear_what_the_other_does(void **state)
{
    (void)state;
    int32_t here = 1, there[2] = {2, 2};
    sign(&sum_813, &broadcast_813);
    for (int r = 0; r < 2; r++)
        receive_at(r, r, 1, &there[r], sizeof(here));
    send_to(0, 0, 1, &here, sizeof(here));
    for (int r = 0; r < 2; r++)
        assert_int_equal(wait_receive(1 - r, 1 - r), MU_PROTOCOL);
    assert_true(mu_signature_equal(&rig.rank[1]->seen[0].signature, &sum_813));
    assert_true(mu_signature_equal(&rig.rank[0]->seen[1].signature, &broadcast_813));
    assert_true(rig.rank[0]->seen[1].since_ns <= mu_now(&rig.pair.real.world));
    assert_int_equal(there[1], 2);
    for (int r = 0; r < 2; r++) {
        receive_at(r, 2 + r, 2, &there[r], sizeof(here));
        assert_int_equal(wait_receive(r, 2 + r), MU_PROTOCOL);
    }
}

/* Two roots of one broadcast: nobody ever receives. */
static void two_that_only_send_hear_that_they_differ(void **state)
{
    (void)state;
    size_t bytes = 16 << 20;
    void *data = calloc(1, bytes);
    sign(&sum_813, &broadcast_813);
    for (int r = 0; r < 2; r++)
        send_to(r, r, 1, data, bytes);
    for (int r = 0; r < 2; r++) {
        int32_t there;
        receive_at(r, r, 2, &there, sizeof(there));
        assert_int_equal(wait_receive(r, r), MU_PROTOCOL);
        assert_true(wait_send(r, r) == MU_OK || wait_send(r, r) == MU_PROTOCOL);
    }
    free(data);
}

static void a_rank_that_aborts_says_why(void **state)
{
    (void)state;
    int32_t there;
    receive_at(1, 0, 5, &there, sizeof(there));
    rig.rank[0]->ops->abort(rig.rank[0], MU_CLOSED, -1, "no memory for the gradient");
    assert_int_equal(wait_receive(1, 0), MU_CLOSED);
    assert_string_equal(rig.rank[1]->seen[0].farewell, "no memory for the gradient");
    receive_at(1, 1, 5, &there, sizeof(there));
    assert_int_equal(wait_receive(1, 1), MU_CLOSED);
}

static void a_survey_tells_what_ranks_are_doing(void **state)
{
    (void)state;
    int32_t there;
    sign(&sum_813, &broadcast_813);
    receive_at(1, 0, 5, &there, sizeof(there));
    int64_t late = mu_now(&rig.pair.real.world);
    assert_int_equal(rig.rank[1]->ops->wait(rig.rank[1], &rig.receive[0], late), MU_TIMEOUT);
    rig.rank[0]->ops->survey(rig.rank[0], soon());
    assert_true(rig.rank[0]->seen[1].answers && rig.rank[0]->seen[1].inside);
    assert_true(mu_signature_equal(&rig.rank[0]->seen[1].signature, &broadcast_813));
    assert_true(mu_now(&rig.pair.real.world) < late + LINK_PAIR_TIME);
}

static void a_survey_does_not_wait_for_who_is_gone(void **state)
{
    (void)state;
    int32_t there;
    receive_at(0, 0, 5, &there, sizeof(there));
    rig.rank[1]->ops->close(rig.rank[1]);
    rig.rank[1] = NULL;
    assert_int_equal(wait_receive(0, 0), MU_CLOSED);
    int64_t before = mu_now(&rig.pair.real.world);
    rig.rank[0]->ops->survey(rig.rank[0], soon());
    assert_false(rig.rank[0]->seen[1].answers);
    assert_true(mu_now(&rig.pair.real.world) < before + LINK_PAIR_TIME);
}

static void every_transport_describes_itself(void **state)
{
    (void)state;
    for (int i = 0; mu_transports[i]; i++) {
        assert_true(mu_transports[i]->name[0] && mu_transports[i]->doc[0]);
        if (strcmp(mu_transports[i]->name, "mpi") == 0 && !mu_transports[i]->wait)
            continue; /* a build without MPI knows its name only */
        assert_true(mu_transports[i]->send && mu_transports[i]->receive);
        assert_true(mu_transports[i]->wait && mu_transports[i]->close);
    }
}

#define CASE(kind, claim)                                                                          \
    {                                                                                              \
#kind ": " #claim, claim, begin_##kind, end, NULL                                          \
    }
#define CASES(kind)                                                                                \
    CASE(kind, a_message_lands_where_the_receiver_said),                                           \
        CASE(kind, a_message_waits_for_its_receiver), CASE(kind, messages_arrive_in_order),        \
        CASE(kind, large_messages_pass_each_other),                                                \
        CASE(kind, another_tag_is_an_error_and_not_a_wrong_message),                               \
        CASE(kind, another_length_is_an_error_and_not_a_wrong_message),                            \
        CASE(kind, a_wait_ends_at_its_deadline), CASE(kind, a_peer_that_leaves_ends_the_wait),     \
        CASE(kind, ranks_that_do_the_same_exchange_what_they_do),                                  \
        CASE(kind, what_is_not_signed_is_not_compared),                                            \
        CASE(kind, ranks_that_do_different_things_both_hear_what_the_other_does),                  \
        CASE(kind, two_that_only_send_hear_that_they_differ),                                      \
        CASE(kind, a_rank_that_aborts_says_why), CASE(kind, a_survey_tells_what_ranks_are_doing),  \
        CASE(kind, a_survey_does_not_wait_for_who_is_gone)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_transport_describes_itself),
        CASES(inproc), CASES(tcp), CASES(tcp_unix), CASES(shm), CASES(route)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
