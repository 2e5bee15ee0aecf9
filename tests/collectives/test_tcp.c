/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/swap.h"
#include "collectives/transport/tcp_peer.h"
#include "runtime/base/random.h"
#include "tcp_ranks.h"
#include <sched.h>
#include <stdatomic.h>

#define RANKS 3

/* What each rank believes of the others. */
static bool home[RANKS][RANKS];
static int unix_links[RANKS];
static struct mu_seen seen_by_0[RANKS];

static int bind_ports(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        for (int other = 0; other < RANKS; other++)
            home[r][other] = true;
    return tcp_bind_ports(RANKS);
}

/* Everybody sends everybody a number. */
static enum mu_status exchange(struct rank *rank, struct mu_transport *tcp, uint64_t tag)
{
    struct mu_op send[RANKS], receive[RANKS];
    uint64_t there[RANKS], here = tag * 100 + (uint64_t)rank->rank;
    for (int r = 0; r < RANKS; r++) {
        if (r == rank->rank)
            continue;
        tcp->ops->receive(tcp, &receive[r], r, tag, &there[r], sizeof(there[r]));
        tcp->ops->send(tcp, &send[r], r, tag, &here, sizeof(here));
    }
    for (int r = 0; r < RANKS; r++) {
        if (r == rank->rank)
            continue;
        MU_TRY(tcp->ops->wait(tcp, &receive[r], ranks_soon(rank)));
        MU_TRY(tcp->ops->wait(tcp, &send[r], ranks_soon(rank)));
        if (there[r] != tag * 100 + (uint64_t)r)
            return MU_BAD_DATA;
    }
    return MU_OK;
}

/* ---- unix sockets ---- */

static int count_unix_links(struct mu_transport *transport)
{
    struct mu_tcp *tcp = (struct mu_tcp *)transport;
    int count = 0;
    for (int r = 0; r < RANKS; r++) {
        char name[80] = "";
        if (tcp->peer[r].link)
            mu_link_peer_name(tcp->peer[r].link, name, sizeof(name));
        count += strcmp(name, "unix socket") == 0;
    }
    return count;
}

static enum mu_status move_and_talk(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_signature signature = {.sequence = 1};
    MU_TRY(tcp_open(rank, &tcp));
    tcp->signature = &signature;
    MU_TRY(exchange(rank, tcp, 1));
    MU_TRY(mu_tcp_move_home(tcp, &rank->log.log, home[rank->rank], ranks_soon(rank)));
    unix_links[rank->rank] = count_unix_links(tcp);
    for (uint64_t tag = 2; tag < 50; tag++) {
        signature.sequence++;
        MU_TRY(exchange(rank, tcp, tag));
    }
    tcp_close(tcp);
    return MU_OK;
}

static void run_ranks(enum mu_status (*run)(struct rank *rank))
{
    static struct ranks ranks;
    ranks_begin(&ranks, RANKS);
    ranks_run(&ranks, run);
    for (int r = 0; r < RANKS; r++)
        assert_ok(ranks.rank[r].status);
    ranks_end(&ranks);
}

static void ranks_of_one_host_go_over_to_unix_sockets(void **state)
{
    (void)state;
    run_ranks(move_and_talk);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(unix_links[r], RANKS - 1);
}

static void ranks_of_other_hosts_stay_on_tcp(void **state)
{
    (void)state;
    for (int r = 0; r < RANKS; r++)
        home[r][2] = home[2][r] = r == 2;
    run_ranks(move_and_talk);
    assert_int_equal(unix_links[0], 1);
    assert_int_equal(unix_links[1], 1);
    assert_int_equal(unix_links[2], 0);
}

static void ranks_that_do_not_agree_where_they_are_stay_on_tcp(void **state)
{
    (void)state;
    for (int r = 1; r < RANKS; r++)
        home[r][0] = false;
    home[1][2] = home[2][1] = false;
    run_ranks(move_and_talk);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(unix_links[r], 0);
}

/* ---- a stranger at the new sockets ---- */

/* What tcp_home.c gives and takes. */
struct home_note {
    char name[48];
    uint8_t token[16], answer[16];
    uint8_t is_there;
    uint8_t reserved[7];
};
#define HOME_TAG (UINT64_C(0xff) << 56 | 0x100)

struct stranger {
    struct mu_link *link;
    struct home_note offer; /* to rank 0 */
    bool over, welcome;
};

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    (void)error;
    struct stranger *stranger = owner;
    uint8_t memory[64];
    struct mu_body body;
    stranger->over = status != MU_OK;
    if (stranger->over)
        return;
    stranger->offer.token[15] ^= 1;
    mu_body_begin(&body, memory, sizeof(memory), 2);
    mu_body_put_int(&body, "rank", 0);
    mu_body_put_bytes(&body, "token", stranger->offer.token, sizeof(stranger->offer.token));
    mu_link_post(link, MU_FRAME_HELLO, 0, 0, &body);
}

static enum mu_link_answer on_welcome(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    (void)frame;
    (void)body;
    (void)ret_payload;
    struct stranger *stranger = owner;
    stranger->over = stranger->welcome = true;
    return MU_LINK_TAKE;
}

static void on_sent_away(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    ((struct stranger *)owner)->over = true;
}

/* Calls the name that was offered to rank 0, and says that it is rank 0; not with its token. */
static enum mu_status intrude(struct mu_loop *loop, struct stranger *stranger, int64_t deadline_ns)
{
    static const struct mu_link_events events = {.frame = on_welcome,
        .arrived = mu_link_ignore,
        .ended = on_sent_away,
        .connected = on_connected};
    struct mu_address at = {.port = 1};
    snprintf(at.host, sizeof(at.host), "unix:%.47s", stranger->offer.name);
    MU_TRY(mu_link_connect(loop, &at, &events, stranger, &stranger->link));
    enum mu_status status = mu_loop_until(loop, &stranger->over, deadline_ns);
    mu_link_close(stranger->link);
    return stranger->welcome ? MU_BUG : status;
}

/* Rank 0 lets a stranger go in its place, and then says that it is there itself. */
static enum mu_status let_in(struct rank *rank, struct mu_transport *tcp)
{
    struct mu_swap *swap;
    MU_TRY(mu_swap_create(tcp, sizeof(struct home_note), &swap));
    MU_TRY(mu_swap_run(swap, HOME_TAG, ranks_soon(rank)));
    for (int r = 1; r < RANKS; r++) {
        struct stranger stranger = {.offer = *(struct home_note *)mu_swap_in(swap, r)};
        MU_TRY(intrude(tcp->loop, &stranger, ranks_soon(rank)));
        ((struct home_note *)mu_swap_out(swap, r))->is_there = 1;
    }
    MU_TRY(mu_swap_run(swap, HOME_TAG + 1, ranks_soon(rank)));
    MU_TRY(mu_swap_run(swap, HOME_TAG + 2, ranks_soon(rank)));
    mu_swap_destroy(swap);
    return MU_OK;
}

static enum mu_status move_among_strangers(struct rank *rank)
{
    struct mu_transport *tcp;
    MU_TRY(tcp_open(rank, &tcp));
    MU_TRY(rank->rank == 0
               ? let_in(rank, tcp)
               : mu_tcp_move_home(tcp, &rank->log.log, home[rank->rank], ranks_soon(rank)));
    unix_links[rank->rank] = count_unix_links(tcp);
    MU_TRY(exchange(rank, tcp, 1));
    tcp_close(tcp);
    return MU_OK;
}

static void a_stranger_with_another_token_is_not_let_in(void **state)
{
    (void)state;
    run_ranks(move_among_strangers);
    assert_int_equal(unix_links[0], 0);
    assert_int_equal(unix_links[1], 1);
    assert_int_equal(unix_links[2], 1);
}

/* ---- surveys ---- */

/* 1 waits for 0, who asks it; but in front of the question there is a message that 1 has not come
 * to. So it is heard because it says by itself what it waits for. */
static enum mu_status ask(struct rank *rank, struct mu_transport *tcp)
{
    struct mu_op send;
    uint64_t early = 1;
    tcp->ops->send(tcp, &send, 1, 9, &early, sizeof(early));
    MU_TRY(tcp->ops->wait(tcp, &send, ranks_soon(rank)));
    tcp->ops->survey(tcp, ranks_soon(rank));
    memcpy(seen_by_0, tcp->seen, sizeof(seen_by_0));
    for (int r = 1; r < RANKS; r++) {
        tcp->ops->send(tcp, &send, r, 8, &early, sizeof(early));
        MU_TRY(tcp->ops->wait(tcp, &send, ranks_soon(rank)));
    }
    return MU_OK;
}

/* Rank 1 waits for rank 2, and rank 2 for rank 0. */
static enum mu_status wait_in_line(struct rank *rank, struct mu_transport *tcp)
{
    struct mu_op send, receive;
    uint64_t there;
    int before = rank->rank == 1 ? 2 : 0;
    tcp->ops->receive(tcp, &receive, before, 8, &there, sizeof(there));
    MU_TRY(tcp->ops->wait(tcp, &receive, ranks_soon(rank)));
    if (rank->rank == 2) {
        tcp->ops->send(tcp, &send, 1, 8, &there, sizeof(there));
        return tcp->ops->wait(tcp, &send, ranks_soon(rank));
    }
    for (uint64_t tag = 9; tag >= 8; tag--) {
        tcp->ops->receive(tcp, &receive, 0, tag, &there, sizeof(there));
        MU_TRY(tcp->ops->wait(tcp, &receive, ranks_soon(rank)));
    }
    return MU_OK;
}

static enum mu_status survey(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_signature signature = {.sequence = 40, .count = 3};
    MU_TRY(tcp_open(rank, &tcp));
    tcp->signature = &signature;
    MU_TRY(exchange(rank, tcp, 7));
    MU_TRY(rank->rank == 0 ? ask(rank, tcp) : wait_in_line(rank, tcp));
    MU_TRY(exchange(rank, tcp, 10));
    tcp_close(tcp);
    return MU_OK;
}

static void a_rank_that_reads_no_question_is_heard_all_the_same(void **state)
{
    (void)state;
    run_ranks(survey);
    for (int r = 1; r < RANKS; r++) {
        assert_true(seen_by_0[r].answers && seen_by_0[r].inside);
        assert_int_equal(seen_by_0[r].signature.sequence, 40);
    }
}

/* Nobody has anything left to do when rank 0 has heard from all. */
static enum mu_status tell_rank_0(struct rank *rank, struct mu_transport *tcp)
{
    struct mu_op op;
    uint64_t number = 0;
    if (rank->rank != 0) {
        tcp->ops->send(tcp, &op, 0, 8, &number, sizeof(number));
        return tcp->ops->wait(tcp, &op, ranks_soon(rank));
    }
    for (int r = 1; r < RANKS; r++) {
        tcp->ops->receive(tcp, &op, r, 8, &number, sizeof(number));
        MU_TRY(tcp->ops->wait(tcp, &op, ranks_soon(rank)));
    }
    return MU_OK;
}

/* Rank 0 goes no further; the others wait for each other. */
static enum mu_status give_up(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_signature signature = {.sequence = 41, .count = 3};
    struct mu_op receive;
    uint64_t there;
    MU_TRY(tcp_open(rank, &tcp));
    tcp->signature = &signature;
    MU_TRY(exchange(rank, tcp, 7));
    MU_TRY(tell_rank_0(rank, tcp));
    if (rank->rank == 0) {
        tcp->ops->abort(tcp, MU_CLOSED, -1, "no memory");
        tcp_close(tcp);
        return MU_OK;
    }
    tcp->ops->receive(tcp, &receive, 3 - rank->rank, 9, &there, sizeof(there));
    enum mu_status status = tcp->ops->wait(tcp, &receive, ranks_soon(rank));
    /* Or by then the other one has heard it and is gone itself. */
    bool named = receive.rank != 0 || strcmp(tcp->seen[0].farewell, "no memory") == 0;
    tcp_close(tcp);
    return status == MU_CLOSED && named ? MU_OK : MU_BUG;
}

static void who_hears_that_a_rank_gave_up_waits_for_nobody(void **state)
{
    (void)state;
    run_ranks(give_up);
}

/* ---- going first ---- */

#define CHUNKS 96
#define CHUNK_BYTES ((size_t)64 << 10)

static uint8_t given[CHUNKS][CHUNK_BYTES], taken[CHUNKS][CHUNK_BYTES];

static enum mu_status send_and_go(struct mu_transport *tcp, int64_t deadline_ns)
{
    struct mu_op send;
    for (uint64_t i = 0; i < CHUNKS; i++) {
        tcp->ops->send(tcp, &send, 1, i, given[i], CHUNK_BYTES);
        MU_TRY(tcp->ops->wait(tcp, &send, deadline_ns));
    }
    return MU_OK;
}

/* The sender is gone before it could read most of what it is told. */
static enum mu_status take_and_talk(struct mu_transport *tcp, int64_t deadline_ns)
{
    struct mu_op receive;
    for (uint64_t i = 0; i < CHUNKS; i++) {
        mu_tcp_tell(&((struct mu_tcp *)tcp)->peer[0], MU_TCP_TELLS);
        tcp->ops->receive(tcp, &receive, 0, i, taken[i], CHUNK_BYTES);
        MU_TRY(tcp->ops->wait(tcp, &receive, deadline_ns));
    }
    return MU_OK;
}

static enum mu_status go_first(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_signature signature = {.sequence = 5};
    enum mu_status status = MU_OK;
    MU_TRY(tcp_open(rank, &tcp));
    tcp->signature = &signature;
    MU_TRY(exchange(rank, tcp, 1000)); /* all are there */
    if (rank->rank == 0)
        status = send_and_go(tcp, ranks_soon(rank));
    else if (rank->rank == 1)
        status = take_and_talk(tcp, ranks_soon(rank));
    tcp_close(tcp);
    return status;
}

static void who_goes_first_leaves_what_it_has_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(given); i++)
        ((uint8_t *)given)[i] = (uint8_t)mu_random_mix(1, i);
    memset(taken, 0, sizeof(taken));
    run_ranks(go_first);
    assert_memory_equal(taken, given, sizeof(given));
}

static atomic_bool has_closed;
static int64_t closing_ns;

/* Rank 1 takes nothing until rank 0 has closed. */
static enum mu_status give_up_on_the_other(struct rank *rank)
{
    struct mu_transport *tcp;
    struct mu_world *world = &rank->ranks->real.world;
    const int64_t deadline_ns = ranks_soon(rank);
    MU_TRY(tcp_open(rank, &tcp));
    MU_TRY(exchange(rank, tcp, 1000));
    if (rank->rank == 0) {
        struct mu_op send;
        tcp->ops->send(tcp, &send, 1, 0, given, sizeof(given));
        enum mu_status status = tcp->ops->wait(tcp, &send, mu_deadline(mu_now(world), MU_MS));
        closing_ns = mu_now(world);
        tcp_close(tcp);
        closing_ns = mu_now(world) - closing_ns;
        has_closed = true;
        return status == MU_TIMEOUT ? MU_OK : MU_BUG;
    }
    while (rank->rank == 1 && !has_closed && mu_now(world) < deadline_ns)
        sched_yield();
    tcp_close(tcp);
    return MU_OK;
}

static void who_gives_up_waits_for_nobody(void **state)
{
    (void)state;
    has_closed = false;
    run_ranks(give_up_on_the_other);
    assert_in_range(closing_ns, 0, 5 * MU_SECOND);
}

#define CASE(claim) cmocka_unit_test_setup(claim, bind_ports)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(ranks_of_one_host_go_over_to_unix_sockets),
        CASE(ranks_of_other_hosts_stay_on_tcp),
        CASE(ranks_that_do_not_agree_where_they_are_stay_on_tcp),
        CASE(a_stranger_with_another_token_is_not_let_in),
        CASE(a_rank_that_reads_no_question_is_heard_all_the_same),
        CASE(who_hears_that_a_rank_gave_up_waits_for_nobody),
        CASE(who_goes_first_leaves_what_it_has_sent),
        CASE(who_gives_up_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
