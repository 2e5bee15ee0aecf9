/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/segments.h"
#include "collectives/transport/shm_board.h"
#include "rank_threads.h"
#include "runtime/base/random.h"
#include "runtime/io/futex.h"

static struct ranks ranks;
static struct mu_transport *shm[RANKS_MAX];
static struct mu_segments *segments[RANKS_MAX];

static enum mu_status open_segments(struct rank *rank)
{
    return mu_segments_open(&rank->log.log, rank->transport,
        mu_shm_segment_bytes(rank->ranks->count), ranks_soon(rank), &segments[rank->rank]);
}

static void open_shm(int rank)
{
    assert_ok(mu_shm_open(
        &ranks.real.world, rank, segments[rank], ranks.rank[rank].transport, &shm[rank]));
}

static void begin(int count)
{
    ranks_begin(&ranks, count);
    ranks_run(&ranks, open_segments);
    for (int r = 0; r < count; r++) {
        assert_ok(ranks.rank[r].status);
        assert_true(segments[r]->all);
        open_shm(r);
    }
}

static void close_rank(int rank)
{
    if (shm[rank])
        shm[rank]->ops->close(shm[rank]);
    shm[rank] = NULL;
}

static int teardown(void **state)
{
    (void)state;
    for (int r = 0; r < ranks.count; r++)
        close_rank(r);
    ranks_end(&ranks);
    return 0;
}

static int64_t after(int64_t ns)
{
    return mu_now(&ranks.real.world) + ns;
}

static void send_to(int from, struct mu_op *op, int to, const void *data, size_t bytes)
{
    shm[from]->ops->send(shm[from], op, to, 1, data, bytes);
}

static void receive_at(int to, struct mu_op *op, int from, void *data, size_t bytes)
{
    shm[to]->ops->receive(shm[to], op, from, 1, data, bytes);
}

/* ---- a machine that is busy ---- */

void __real_mu_futex_yield(void);
void __wrap_mu_futex_yield(void);

static int64_t yield_ns; /* what a yield lasts */
static int yields;       /* meanwhile */

void __wrap_mu_futex_yield(void)
{
    if (yield_ns == 0) {
        __real_mu_futex_yield();
        return;
    }
    yields++;
    for (int64_t until_ns = after(yield_ns); after(0) < until_ns;)
        mu_futex_relax();
}

/* ---- traffic ---- */

#define ROUNDS 60
#define MESSAGE_MAX ((size_t)3 << 20)

struct traffic {
    struct mu_op send[RANKS_MAX], receive[RANKS_MAX];
    uint8_t *out[RANKS_MAX], *in[RANKS_MAX];
};

/* From a few bytes to many times the ring, the same on both sides. */
static size_t message_bytes(int round, int from, int to)
{
    uint64_t drawn = mu_random_mix((uint64_t)round, (uint64_t)(from * RANKS_MAX + to));
    return 1 + drawn % (round % 6 == 5 ? MESSAGE_MAX : round % 2 == 1 ? 100000 : 200);
}

static void fill(uint8_t *data, size_t bytes, int round, int from)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i * 7 + (size_t)round * 13 + (size_t)from + (i >> 9));
}

static bool is_filled(const uint8_t *data, size_t bytes, int round, int from)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != (uint8_t)(i * 7 + (size_t)round * 13 + (size_t)from + (i >> 9)))
            return false;
    return true;
}

static enum mu_status exchange(struct rank *rank, struct traffic *traffic, int round)
{
    struct mu_transport *transport = shm[rank->rank];
    uint64_t tag = (uint64_t)round;
    int us = rank->rank, count = rank->ranks->count;
    for (int r = 0; r < count; r++)
        if (r != us)
            transport->ops->receive(transport, &traffic->receive[r], r, tag, traffic->in[r],
                message_bytes(round, r, us));
    for (int r = 0; r < count; r++)
        if (r != us) {
            size_t bytes = message_bytes(round, us, r);
            fill(traffic->out[r], bytes, round, us);
            transport->ops->send(transport, &traffic->send[r], r, tag, traffic->out[r], bytes);
        }
    for (int r = 0; r < count; r++)
        if (r != us) {
            MU_TRY(transport->ops->wait(transport, &traffic->receive[r], ranks_soon(rank)));
            MU_TRY(transport->ops->wait(transport, &traffic->send[r], ranks_soon(rank)));
            if (!is_filled(traffic->in[r], message_bytes(round, r, us), round, r))
                return MU_BAD_DATA;
        }
    return MU_OK;
}

static enum mu_status run_traffic(struct rank *rank)
{
    struct traffic *traffic = calloc(1, sizeof(*traffic));
    for (int r = 0; r < rank->ranks->count; r++) {
        traffic->out[r] = malloc(MESSAGE_MAX);
        traffic->in[r] = malloc(MESSAGE_MAX);
    }
    enum mu_status status = MU_OK;
    for (int round = 0; status == MU_OK && round < ROUNDS; round++)
        status = exchange(rank, traffic, round);
    for (int r = 0; r < rank->ranks->count; r++) {
        free(traffic->out[r]);
        free(traffic->in[r]);
    }
    free(traffic);
    return status;
}

static void everybody_to_everybody_arrives_whole_and_in_order(void **state)
{
    (void)state;
    for (int count = 2; count <= 4; count++) {
        begin(count);
        ranks_run(&ranks, run_traffic);
        for (int r = 0; r < count; r++)
            assert_ok(ranks.rank[r].status);
        if (count < 4)
            teardown(NULL);
    }
}

/* ---- waiting ---- */

static char answer[64];

static enum mu_status wait_asleep(struct rank *rank)
{
    struct mu_op op;
    if (rank->rank == 0) {
        receive_at(0, &op, 1, answer, sizeof(answer));
        return shm[0]->ops->wait(shm[0], &op, ranks_soon(rank));
    }
    const struct mu_shm_board *board = segments[1]->at[0];
    int64_t deadline_ns = ranks_soon(rank);
    while (!atomic_load(&board->sleeping) && mu_now(&rank->ranks->real.world) < deadline_ns)
        mu_futex_yield();
    if (!atomic_load(&board->sleeping))
        return MU_TIMEOUT;
    static const char text[sizeof(answer)] = "to a sleeper";
    send_to(1, &op, 0, text, sizeof(text));
    return shm[1]->ops->wait(shm[1], &op, deadline_ns);
}

static void who_sleeps_is_woken_by_a_message(void **state)
{
    (void)state;
    begin(2);
    ranks_run(&ranks, wait_asleep);
    assert_ok(ranks.rank[0].status);
    assert_ok(ranks.rank[1].status);
    assert_string_equal(answer, "to a sleeper");
}

/* Rank 0 waits for rank 1, which is as a process that was killed: the lock went, and nothing is
 * said. */
static void begin_with_the_dead(struct mu_op *op)
{
    ranks_begin(&ranks, 2);
    ranks_run(&ranks, open_segments);
    assert_true(segments[0]->all);
    open_shm(0);
    mu_segments_close(segments[1]);
    receive_at(0, op, 1, answer, sizeof(answer));
}

static void who_dies_ends_the_wait_long_before_its_deadline(void **state)
{
    (void)state;
    struct mu_op op;
    begin_with_the_dead(&op);
    int64_t begin_ns = mu_now(&ranks.real.world);
    assert_int_equal(shm[0]->ops->wait(shm[0], &op, after(20 * MU_SECOND)), MU_CLOSED);
    assert_true(mu_now(&ranks.real.world) - begin_ns < 5 * MU_SECOND);
}

static void who_waits_in_short_pieces_sees_that_one_has_died(void **state)
{
    (void)state;
    struct mu_op op;
    begin_with_the_dead(&op);
    int64_t deadline_ns = after(20 * MU_SECOND);
    enum mu_status status = MU_TIMEOUT;
    while (status == MU_TIMEOUT && after(0) < deadline_ns)
        status = shm[0]->ops->wait(shm[0], &op, after(MU_MS / 100));
    assert_int_equal(status, MU_CLOSED);
}

static void who_dies_is_missed_soon_though_others_take_the_processor(void **state)
{
    (void)state;
    struct mu_op op;
    begin_with_the_dead(&op);
    yield_ns = 20 * MU_MS;
    yields = 0;
    enum mu_status status = shm[0]->ops->wait(shm[0], &op, after(20 * MU_SECOND));
    yield_ns = 0;
    assert_int_equal(status, MU_CLOSED);
    assert_true(yields > 0 && yields <= 3);
}

static void what_was_sent_before_leaving_still_arrives(void **state)
{
    (void)state;
    begin(2);
    struct mu_op send, receive[2];
    char here[] = "last words", there[2][sizeof(here)] = {""};
    send_to(0, &send, 1, here, sizeof(here));
    assert_true(send.done);
    close_rank(0);
    for (int i = 0; i < 2; i++)
        receive_at(1, &receive[i], 0, there[i], sizeof(here));
    assert_ok(shm[1]->ops->wait(shm[1], &receive[0], after(20 * MU_SECOND)));
    assert_string_equal(there[0], here);
    assert_int_equal(shm[1]->ops->wait(shm[1], &receive[1], after(20 * MU_SECOND)), MU_CLOSED);
}

static void a_cancelled_loop_ends_the_wait(void **state)
{
    (void)state;
    struct mu_op op;
    struct mu_loop *loop;
    begin(2);
    struct mu_world *world = &ranks.real.world;
    assert_ok(world->ops->loop_create(world, &loop));
    loop->cancelled = MU_PREEMPTED;
    shm[0]->loop = loop;
    receive_at(0, &op, 1, answer, sizeof(answer));
    assert_int_equal(shm[0]->ops->wait(shm[0], &op, after(20 * MU_SECOND)), MU_PREEMPTED);
    loop->ops->destroy(loop);
    shm[0]->loop = NULL;
}

/* ---- who does what ---- */

static void both_sides_of_a_disagreement_learn_what_the_other_does(void **state)
{
    (void)state;
    begin(2);
    struct mu_signature doing[2] = {{.sequence = 5, .count = 10}, {.sequence = 5, .count = 11}};
    struct mu_op send[2], receive[2];
    int32_t here = 1, there[2] = {2, 2};
    for (int r = 0; r < 2; r++) {
        shm[r]->signature = &doing[r];
        receive_at(r, &receive[r], 1 - r, &there[r], sizeof(here));
    }
    for (int r = 0; r < 2; r++)
        send_to(r, &send[r], 1 - r, &here, sizeof(here));
    for (int r = 0; r < 2; r++) {
        assert_int_equal(
            shm[r]->ops->wait(shm[r], &receive[r], after(20 * MU_SECOND)), MU_PROTOCOL);
        assert_int_equal(shm[r]->seen[1 - r].signature.count, 11 - r);
        assert_int_equal(there[r], 2);
    }
}

static void a_sender_that_is_refused_learns_it(void **state)
{
    (void)state;
    begin(2);
    struct mu_signature doing[2] = {{.sequence = 5, .count = 10}, {.sequence = 5, .count = 11}};
    struct mu_op send, receive;
    size_t bytes = 4 << 20; /* more than lies in the ring */
    char *data = calloc(2, bytes);
    shm[0]->signature = &doing[0];
    shm[1]->signature = &doing[1];
    send_to(0, &send, 1, data, bytes);
    assert_false(send.done);
    receive_at(1, &receive, 0, data + bytes, bytes);
    assert_int_equal(shm[0]->ops->wait(shm[0], &send, after(20 * MU_SECOND)), MU_PROTOCOL);
    assert_int_equal(shm[0]->seen[1].signature.count, 11);
    free(data);
}

static void a_farewell_is_read_by_who_waits(void **state)
{
    (void)state;
    begin(3);
    struct mu_op op;
    receive_at(0, &op, 2, answer, sizeof(answer));
    shm[2]->ops->abort(shm[2], MU_CLOSED, -1, "worker/1 is lost");
    assert_int_equal(shm[0]->ops->wait(shm[0], &op, after(20 * MU_SECOND)), MU_CLOSED);
    assert_string_equal(shm[0]->seen[2].farewell, "worker/1 is lost");
    send_to(2, &op, 0, answer, sizeof(answer));
    assert_int_equal(shm[2]->ops->wait(shm[2], &op, after(20 * MU_SECOND)), MU_CLOSED);
}

static void a_time_out_knows_what_the_others_entered(void **state)
{
    (void)state;
    begin(2);
    struct mu_signature doing = {.sequence = 7, .count = 10};
    struct mu_op send, receive;
    int32_t here = 1, there = 2;
    shm[1]->signature = &doing;
    int64_t before_ns = mu_now(&ranks.real.world);
    receive_at(1, &receive, 0, &there, sizeof(there));
    receive_at(0, &send, 1, &here, sizeof(here));
    assert_int_equal(shm[0]->ops->wait(shm[0], &send, after(5 * MU_MS)), MU_TIMEOUT);
    assert_int_equal(shm[0]->seen[1].signature.sequence, 7);
    assert_true(shm[0]->seen[1].since_ns >= before_ns);
    assert_false(shm[0]->seen[1].inside);
    assert_int_equal(shm[1]->ops->wait(shm[1], &receive, after(5 * MU_MS)), MU_TIMEOUT);
    assert_int_equal(shm[0]->ops->wait(shm[0], &send, after(5 * MU_MS)), MU_TIMEOUT);
    assert_true(shm[0]->seen[1].inside);
}

/* Rank 0 asks, rank 1 waits for it, rank 2 does nothing. */
static enum mu_status ask_or_wait(struct rank *rank)
{
    struct mu_transport *transport = shm[rank->rank];
    struct mu_op op;
    if (rank->rank == 0) {
        static const char text[sizeof(answer)] = "asked and answered";
        transport->ops->survey(transport, after(200 * MU_MS));
        send_to(0, &op, 1, text, sizeof(text));
        return transport->ops->wait(transport, &op, ranks_soon(rank));
    }
    if (rank->rank == 2)
        return MU_OK;
    receive_at(1, &op, 0, answer, sizeof(answer));
    return transport->ops->wait(transport, &op, ranks_soon(rank));
}

static void a_survey_tells_who_answers_from_who_does_not(void **state)
{
    (void)state;
    begin(3);
    ranks_run(&ranks, ask_or_wait);
    assert_ok(ranks.rank[1].status);
    assert_true(shm[0]->seen[1].answers);
    assert_false(shm[0]->seen[2].answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(everybody_to_everybody_arrives_whole_and_in_order, teardown),
        cmocka_unit_test_teardown(who_sleeps_is_woken_by_a_message, teardown),
        cmocka_unit_test_teardown(who_dies_ends_the_wait_long_before_its_deadline, teardown),
        cmocka_unit_test_teardown(who_waits_in_short_pieces_sees_that_one_has_died, teardown),
        cmocka_unit_test_teardown(
            who_dies_is_missed_soon_though_others_take_the_processor, teardown),
        cmocka_unit_test_teardown(what_was_sent_before_leaving_still_arrives, teardown),
        cmocka_unit_test_teardown(a_cancelled_loop_ends_the_wait, teardown),
        cmocka_unit_test_teardown(both_sides_of_a_disagreement_learn_what_the_other_does, teardown),
        cmocka_unit_test_teardown(a_sender_that_is_refused_learns_it, teardown),
        cmocka_unit_test_teardown(a_farewell_is_read_by_who_waits, teardown),
        cmocka_unit_test_teardown(a_time_out_knows_what_the_others_entered, teardown),
        cmocka_unit_test_teardown(a_survey_tells_who_answers_from_who_does_not, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
