/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/swap.h"
#include "collectives/transport/tcp_peer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Unix sockets in the place of TCP, between ranks of one host: half the time for a short message.
 *
 *   higher rank                                   lower rank
 *   listens at a random name
 *   name, token, answer    -- over TCP ------->
 *                          <-- new socket -----   HELLO: its rank, token
 *   right rank and token?
 *   HELLO: answer          -- new socket ----->   right answer?
 *                          <-- over TCP -------   it is there
 *   both take it           <-- new socket ---->   both have taken it
 *                                                 the TCP connection is closed
 *
 * What is wrong with the new socket leaves the ranks on TCP: another network namespace or another
 * user are usual.
 */
#define NAME_MAX 48
#define TOKEN_BYTES 16
#define MOVE_NS (2 * MU_SECOND)            /* for the new sockets; it takes under a millisecond */
#define TAG (UINT64_C(0xff) << 56 | 0x100) /* of no operation, nor of segments.c */

/* What each rank gives each: from the higher one the offer, from the lower one whether it holds. */
struct note {
    char name[NAME_MAX]; /* "": no offer */
    uint8_t token[TOKEN_BYTES], answer[TOKEN_BYTES];
    uint8_t is_there;
    uint8_t reserved[7];
};

struct move;

/* A new link to a rank; `rank` -1: from somebody who has not said HELLO. */
struct way {
    struct move *move;
    struct mu_link *link;
    int rank;
    bool ready;
};

struct move {
    struct mu_tcp *tcp;
    struct mu_log *log;
    struct mu_swap *swap; /* of struct note */
    struct mu_listener *listener;
    struct way *way;   /* (count) */
    struct way *guest; /* (count) accepted and not known yet */
    int guests;
    int calls;     /* that this rank made and waits for */
    bool answered; /* there are none */
};

static struct note *given(struct move *move, int rank)
{
    return mu_swap_out(move->swap, rank);
}

static struct note *taken(struct move *move, int rank)
{
    return mu_swap_in(move->swap, rank);
}

static bool is_lower(const struct move *move, int rank)
{
    return rank < move->tcp->base.rank;
}

/* ---- links whose peer is known ---- */

static void post_hello(struct mu_link *link, int rank, const uint8_t token[TOKEN_BYTES])
{
    uint8_t memory[64];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 2);
    mu_body_put_int(&body, "rank", rank);
    mu_body_put_bytes(&body, "token", token, TOKEN_BYTES);
    mu_link_post(link, MU_FRAME_HELLO, 0, 0, &body);
}

static bool read_hello(struct mu_link *link, const struct mu_frame *frame, const void *body,
    int64_t ranks, int *ret_rank, uint8_t token[TOKEN_BYTES])
{
    struct mu_decoder *decoder = mu_link_decoder(link);
    int64_t rank;
    if (mu_decoder_read(decoder, body, frame->body_bytes) != MU_OK ||
        !mu_decoder_int(decoder, "rank", 0, ranks - 1, &rank) ||
        !mu_decoder_bytes(decoder, "token", token, TOKEN_BYTES))
        return false;
    *ret_rank = (int)rank;
    return true;
}

static void drop(struct way *way)
{
    mu_link_close(way->link);
    way->link = NULL;
    way->ready = false;
}

/* ---- the lower rank calls ---- */

static void call_over(struct way *way, bool ready)
{
    struct move *move = way->move;
    if (!ready)
        drop(way);
    way->ready = ready;
    move->calls--;
    move->answered = move->calls == 0;
}

static void on_call_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    struct way *way = owner;
    (void)error;
    if (status == MU_OK)
        post_hello(link, way->move->tcp->base.rank, taken(way->move, way->rank)->token);
    else
        call_over(way, false);
}

static void on_answer(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct way *way = owner;
    uint8_t answer[TOKEN_BYTES];
    int rank;
    bool right = read_hello(link, frame, body, way->move->tcp->base.count, &rank, answer) &&
                 rank == way->rank &&
                 memcmp(answer, taken(way->move, way->rank)->answer, TOKEN_BYTES) == 0;
    if (right)
        mu_link_adopt(link, &mu_link_hold_events, way);
    call_over(way, right);
}

static void on_call_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    call_over(owner, false);
}

static const struct mu_link_events call_events = {
    .frame = mu_link_take_hello,
    .arrived = on_answer,
    .ended = on_call_ended,
    .connected = on_call_connected,
};

static bool call(struct move *move, int rank)
{
    struct way *way = &move->way[rank];
    struct note *offer = taken(move, rank);
    struct mu_address address = {.port = 1};
    if (!memchr(offer->name, 0, sizeof(offer->name)) || !offer->name[0])
        return false;
    snprintf(address.host, sizeof(address.host), "unix:%s", offer->name);
    return mu_link_connect(move->tcp->base.loop, &address, &call_events, way, &way->link) == MU_OK;
}

static void call_higher_ranks(struct move *move, int64_t deadline_ns)
{
    struct mu_loop *loop = move->tcp->base.loop;
    int64_t until_ns = mu_deadline(mu_now(loop->world), MOVE_NS);
    for (int rank = move->tcp->base.rank + 1; rank < move->tcp->base.count; rank++)
        move->calls += call(move, rank);
    move->answered = move->calls == 0;
    (void)!mu_loop_until(loop, &move->answered, until_ns < deadline_ns ? until_ns : deadline_ns);
    for (int rank = move->tcp->base.rank + 1; rank < move->tcp->base.count; rank++)
        if (!move->way[rank].ready)
            drop(&move->way[rank]);
}

/* ---- the higher rank listens ---- */

static void on_guest(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct way *guest = owner;
    struct move *move = guest->move;
    uint8_t token[TOKEN_BYTES];
    int rank;
    if (!read_hello(link, frame, body, move->tcp->base.rank, &rank, token) ||
        move->way[rank].link || !given(move, rank)->name[0] ||
        memcmp(token, given(move, rank)->token, TOKEN_BYTES) != 0) {
        drop(guest);
        return;
    }
    guest->link = NULL;
    move->way[rank].link = link;
    move->way[rank].ready = true;
    mu_link_adopt(link, &mu_link_hold_events, &move->way[rank]);
    post_hello(link, move->tcp->base.rank, given(move, rank)->answer);
}

static void on_guest_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    drop(owner);
}

static const struct mu_link_events guest_events = {
    .frame = mu_link_take_hello,
    .arrived = on_guest,
    .ended = on_guest_ended,
};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct move *move = owner;
    struct mu_loop *loop = move->tcp->base.loop;
    if (move->guests == move->tcp->base.count) {
        loop->ops->close(stream);
        return;
    }
    struct way *guest = &move->guest[move->guests++];
    *guest = (struct way){.move = move, .rank = -1};
    if (mu_link_accept(loop, stream, &guest_events, guest, &guest->link) != MU_OK)
        guest->link = NULL;
}

/* A name for all, tokens for each. */
static void offer(struct move *move, const bool home[])
{
    struct mu_loop *loop = move->tcp->base.loop;
    struct mu_world *world = loop->world;
    struct mu_address address = {.port = 1};
    uint64_t random[2];
    char name[NAME_MAX] = {0}; /* all of it goes over the wire */
    int error;
    world->ops->random_bytes(world, random, sizeof(random));
    snprintf(name, sizeof(name), "muster-%016llx%016llx", (unsigned long long)random[0],
        (unsigned long long)random[1]);
    snprintf(address.host, sizeof(address.host), "unix:%s", name);
    if (loop->ops->listen(loop, &address, -1, on_accepted, move, &move->listener, &error) != MU_OK)
        return;
    for (int rank = 0; is_lower(move, rank); rank++) {
        struct note *note = given(move, rank);
        if (!home[rank] || !move->tcp->peer[rank].link)
            continue;
        memcpy(note->name, name, sizeof(name));
        world->ops->random_bytes(world, note->token, sizeof(note->token));
        world->ops->random_bytes(world, note->answer, sizeof(note->answer));
    }
}

/* ---- taking the new links ---- */

/* The old ones are only closed when the others have taken the new ones, too: until then their end
 * would be that of the peer. */
static void take_new_links(struct move *move, struct mu_link *old[])
{
    for (int rank = 0; rank < move->tcp->base.count; rank++) {
        struct mu_tcp_peer *peer = &move->tcp->peer[rank];
        struct way *way = &move->way[rank];
        bool both = is_lower(move, rank) ? taken(move, rank)->is_there == 1 : way->ready;
        if (!way->link || !both || !peer->link)
            continue;
        old[rank] = peer->link;
        mu_link_adopt(old[rank], &mu_link_hold_events, NULL);
        mu_tcp_take_link(peer, way->link);
        peer->at_home = true;
        way->link = NULL;
    }
}

static void close_all(struct move *move, struct mu_link *old[])
{
    struct mu_loop *loop = move->tcp->base.loop;
    loop->ops->listener_close(move->listener);
    for (int rank = 0; rank < move->tcp->base.count; rank++) {
        drop(&move->way[rank]);
        drop(&move->guest[rank]);
        mu_link_close(old[rank]);
    }
}

static enum mu_status run(struct move *move, const bool home[], int64_t deadline_ns)
{
    int count = move->tcp->base.count;
    struct mu_link **old = calloc((size_t)count, sizeof(struct mu_link *));
    if (!old)
        return MU_NO_MEMORY;
    offer(move, home);
    enum mu_status status = mu_swap_run(move->swap, TAG, deadline_ns);
    if (status == MU_OK) {
        call_higher_ranks(move, deadline_ns);
        for (int rank = 0; rank < count; rank++)
            given(move, rank)->is_there = move->way[rank].ready;
        status = mu_swap_run(move->swap, TAG + 1, deadline_ns);
    }
    if (status == MU_OK) {
        take_new_links(move, old);
        status = mu_swap_run(move->swap, TAG + 2, deadline_ns);
    }
    int moved = 0;
    for (int rank = 0; rank < count; rank++)
        moved += old[rank] != NULL;
    mu_say(move->log, MU_LEVEL_DEBUG, "unix sockets to %d of %d ranks", moved, count - 1);
    close_all(move, old);
    free(old);
    if (status == MU_OK)
        mu_swap_destroy(move->swap);
    return status;
}

enum mu_status mu_tcp_move_home(
    struct mu_transport *transport, struct mu_log *log, const bool home[], int64_t deadline_ns)
{
    struct mu_tcp *tcp = (struct mu_tcp *)transport;
    struct move move = {.tcp = tcp, .log = log};
    size_t count = (size_t)transport->count;
    const struct mu_signature *signature = transport->signature;
    if (transport->loop->processors == 0) /* the simulated world has no such sockets */
        return MU_OK;
    MU_TRY(mu_swap_create(transport, sizeof(struct note), &move.swap));
    move.way = calloc(count, sizeof(*move.way));
    move.guest = calloc(count, sizeof(*move.guest));
    enum mu_status status = MU_NO_MEMORY;
    if (move.way && move.guest) {
        for (int rank = 0; rank < transport->count; rank++)
            move.way[rank] = (struct way){.move = &move, .rank = rank};
        transport->signature = NULL;
        status = run(&move, home, deadline_ns);
        transport->signature = signature;
    } else {
        mu_swap_destroy(move.swap);
    }
    free(move.way);
    free(move.guest);
    return status;
}
