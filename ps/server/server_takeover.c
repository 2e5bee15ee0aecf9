/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_takeover.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_heal.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_known.h"
#include "ps/server/server_order.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_queue.h"

/*
 * What the others do when a server is lost.
 *
 * Both seats of a span carry out the same verdicts in the same order, of pushes that both have. So
 * a standby only has to begin to bring what it has. If it was the head that was lost, the deputy
 * (seat n) becomes the head:
 *
 *   others                           deputy
 *   what the old head has said is served to its end
 *   PLACE 17, PLACE 19 ----------->  has served 18 places itself
 *                    <-------------  PLACE 18, asks: what came after that?
 *   VERDICT (19) ----------------->
 *                    <-------------  VERDICTs that each one has missed
 *                    <-------------  PLACE 19: from here on I judge
 *   notes of what is whole ------->  judges
 *
 * All have served a beginning of the same order, so that of the furthest one has all the others in
 * it; what is missing of it at somebody is about pushes that are whole there, for else it could not
 * have been judged. A push is over for its worker when the first seats of all spans have answered:
 * a verdict of which only the lost head knew was not acknowledged, and that push is judged anew.
 */
#define POSTS_MAX 64 /* that wait in a link at once */
static_assert(POSTS_MAX < MU_LINK_POSTS_MAX, "there is room for other frames");

/* ---- life ---- */

enum mu_status mu_ps_standby_init(struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    size_t replicas = (size_t)options->replica_count;
    bool is_asked = options->order == 0 && options->relinks && options->server_count > 1;
    if (options->replicas == 0 && !is_asked)
        return MU_OK;
    /* So far one may be behind another: its workers' pushes of then are unanswered. */
    return mu_ps_known_init(&server->standby.known,
        replicas * (size_t)options->in_flight_max + 2 * replicas + MU_PS_PHASES_MAX);
}

void mu_ps_standby_finish(struct mu_ps_server *server)
{
    mu_ps_known_finish(&server->standby.known);
}

bool mu_ps_server_is_head(const struct mu_ps_server *server)
{
    return mu_ps_is_head(server);
}

int mu_ps_server_without(const struct mu_ps_server *server)
{
    return server->standby.lost;
}

/* ---- a loss ---- */

static void lose_seat(struct mu_ps_server *server, int seat)
{
    struct mu_ps_peer *peer = &server->others[seat];
    assert(seat != server->options.order);
    mu_ps_heal_lose(peer);
    mu_link_close(peer->link);
    peer->link = NULL;
    peer->of_server.is_lost = peer->ended = true;
    peer->held = false;
    server->standby.live_count--;
    if (server->other_ended == seat)
        server->other_ended = -1;
}

static void say_loss(const struct mu_ps_server *server)
{
    int lost = server->standby.lost, servers = server->options.server_count;
    if (server->options.order >= servers && mu_ps_brings(server))
        mu_say(server->options.log, MU_LEVEL_WARN,
            "ps/%d is lost: ps/%d has its part of the parameters and takes over", lost,
            mu_ps_process(server));
}

void mu_ps_server_lose_server(struct mu_ps_server *server, int process)
{
    struct mu_ps_standby *standby = &server->standby;
    int servers = server->options.server_count;
    assert(server->options.replicas > 0);
    assert(process >= 0 && process < servers);
    if (standby->lost == process)
        return;
    if (standby->lost >= 0) {
        mu_ps_failed(server, &server->others[process], MU_CLOSED);
        return;
    }
    standby->lost = process;
    lose_seat(server, process);
    lose_seat(server, mu_ps_seat_standby_in(process, servers));
    server->look_again = true;
    say_loss(server);
    if (process == standby->head) {
        standby->head = servers;
        standby->takeover = MU_PS_TAKEOVER_ENDING;
        mu_ps_queue_add(&server->queue, &(struct mu_ps_event){.kind = MU_PS_EVENT_HEAD_ENDS});
    } else if (mu_ps_is_head(server)) {
        mu_ps_count_here(server);
    }
}

/* ---- frames ---- */

static void post_place(struct mu_ps_server *server, struct mu_ps_peer *peer, bool asks)
{
    const struct mu_ps_place_body place = {.asks = asks};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_place_put(&body, memory, &place);
    mu_link_post(
        peer->link, MU_FRAME_PLACE, server->options.generation, server->standby.known.next, &body);
}

void mu_ps_standby_post(struct mu_ps_server *server, struct mu_ps_peer *peer, uint64_t place)
{
    const struct mu_ps_known_place *known = mu_ps_known_at(&server->standby.known, place);
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_verdict_put(&body, memory, &known->verdict);
    mu_link_post(peer->link, MU_FRAME_VERDICT, server->options.generation, known->tag, &body);
}

bool mu_ps_standby_has_room(const struct mu_ps_peer *peer)
{
    return peer->link && mu_link_posts_waiting(peer->link) < POSTS_MAX;
}

/* True: all that this server knows from *from on is on its way. */
static bool post_known(struct mu_ps_server *server, struct mu_ps_peer *peer, uint64_t *from)
{
    for (; *from < server->standby.known.next; (*from)++) {
        if (!mu_ps_standby_has_room(peer))
            return false;
        mu_ps_standby_post(server, peer, *from);
    }
    return true;
}

static enum mu_link_answer on_place(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const struct mu_ps_place_body *place)
{
    struct mu_ps_server *server = peer->server;
    bool is_deputy = server->options.order == server->options.server_count;
    enum mu_ps_takeover now = server->standby.takeover;
    if (place->asks && mu_ps_is_head(server))
        return mu_ps_heal_frame(peer, frame);
    if (server->standby.lost < 0 || now == MU_PS_TAKEOVER_ENDING)
        return mu_ps_hold(peer); /* it heard of the loss before this one did */
    if (now != (is_deputy ? MU_PS_TAKEOVER_COLLECTING : MU_PS_TAKEOVER_FOLLOWING) ||
        (is_deputy && (place->asks || peer->of_server.has_place)) ||
        (place->asks && !mu_ps_known_since(&server->standby.known, frame->tag)))
        return mu_ps_refuse(peer, "sent a PLACE that does not fit");
    peer->of_server.place = frame->tag;
    peer->at_hand.asks_place = place->asks;
    return MU_LINK_TAKE;
}

enum mu_link_answer mu_ps_takeover_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_place_body place;
    if (frame->type == MU_FRAME_VERDICT)
        return peer->server->standby.takeover == MU_PS_TAKEOVER_ASKING
                   ? mu_ps_on_verdict(peer, frame, body)
                   : mu_ps_refuse_type(peer, frame);
    if (!mu_ps_place_read(mu_link_decoder(peer->link), body, frame->body_bytes, &place))
        return mu_ps_refuse(peer, "sent a PLACE whose body is malformed");
    return on_place(peer, frame, &place);
}

void mu_ps_takeover_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_standby *standby = &server->standby;
    if (frame->type == MU_FRAME_VERDICT) {
        mu_ps_verdict_arrived(peer);
    } else if (mu_ps_is_head(server)) {
        mu_ps_heal_arrived(peer);
    } else if (standby->takeover == MU_PS_TAKEOVER_COLLECTING) {
        peer->of_server.has_place = true;
    } else if (peer->at_hand.asks_place) {
        standby->tells = true;
        standby->told = peer->of_server.place;
    } else {
        standby->takeover = MU_PS_TAKEOVER_NONE;
        mu_ps_tell_here(server);
    }
    server->look_again = true;
}

/* ---- the deputy ---- */

static void tell_others(struct mu_ps_server *server)
{
    size_t buffers = (size_t)server->options.replica_count * (size_t)server->options.in_flight_max;
    for (size_t i = 0; i < buffers; i++) {
        server->buffers[i].here_count = 0;
        server->buffers[i].here_flaw = MU_PS_FLAW_NONE;
    }
    for (int i = 0; i < server->standby.seat_count; i++)
        for (int w = 0; w < server->options.replica_count; w++)
            server->others[i].of_server.noted[w] = server->sequence_served[w];
    server->standby.takeover = MU_PS_TAKEOVER_TELLING;
    server->look_again = true;
}

/* The furthest of the others; NULL: not all have said how far they are. */
static struct mu_ps_peer *furthest(struct mu_ps_server *server)
{
    struct mu_ps_peer *most = NULL;
    for (int i = 0; i < server->standby.seat_count; i++) {
        struct mu_ps_peer *peer = &server->others[i];
        if (!mu_ps_is_other(server, i))
            continue;
        if (!peer->of_server.has_place)
            return NULL;
        most = !most || peer->of_server.place > most->of_server.place ? peer : most;
    }
    return most;
}

static enum mu_status collect(struct mu_ps_server *server)
{
    struct mu_ps_standby *standby = &server->standby;
    struct mu_ps_peer *most = furthest(server);
    if (!most)
        return MU_OK;
    standby->wanted =
        most->of_server.place > standby->known.next ? most->of_server.place : standby->known.next;
    for (int i = 0; i < standby->seat_count; i++)
        if (mu_ps_is_other(server, i) &&
            standby->wanted - server->others[i].of_server.place > standby->known.capacity)
            return mu_fail(server->options.log, MU_E0701, NULL,
                "ps/%d is %llu verdicts behind the others: it cannot go on",
                mu_ps_seat_process(i, server->options.server_count),
                (unsigned long long)(standby->wanted - server->others[i].of_server.place));
    if (standby->wanted > standby->known.next) {
        post_place(server, most, true);
        standby->takeover = MU_PS_TAKEOVER_ASKING;
    } else {
        tell_others(server);
    }
    return MU_OK;
}

static void become_head(struct mu_ps_server *server)
{
    server->standby.takeover = MU_PS_TAKEOVER_NONE;
    for (int w = 0; w < server->options.replica_count; w++) {
        const struct mu_ps_worker *worker = &server->ledger[w];
        if (worker->is_dead || worker->is_cut || worker->refused_in_row >= MU_PS_REFUSED_MAX)
            mu_ps_lost(server, w);
    }
    mu_ps_auto_take_over(server);
    mu_ps_tell_here(server);
    mu_say(server->options.log, MU_LEVEL_WARN,
        "ps/%d judges gradients from now on, from version %lld on", mu_ps_process(server),
        (long long)server->shard.version);
    server->look_again = true;
}

static void tell(struct mu_ps_server *server)
{
    bool all = true;
    for (int i = 0; i < server->standby.seat_count; i++) {
        struct mu_ps_peer *peer = &server->others[i];
        if (!mu_ps_is_other(server, i) || peer->of_server.goes_on)
            continue;
        peer->of_server.goes_on = post_known(server, peer, &peer->of_server.place) && peer->link;
        if (peer->of_server.goes_on)
            post_place(server, peer, false);
        peer->of_server.is_behind = peer->of_server.is_behind && !peer->of_server.goes_on;
        all = all && peer->of_server.goes_on;
    }
    if (all)
        become_head(server);
}

/* ---- each turn ---- */

enum mu_status mu_ps_takeover_begin(struct mu_ps_server *server)
{
    struct mu_ps_peer *deputy = &server->others[server->standby.head];
    bool is_deputy = server->options.order == server->standby.head;
    server->standby.takeover = is_deputy ? MU_PS_TAKEOVER_COLLECTING : MU_PS_TAKEOVER_FOLLOWING;
    server->look_again = true;
    if (!is_deputy && deputy->link)
        mu_ps_takeover_follow(server);
    else if (!is_deputy && deputy->ended)
        mu_ps_failed(server, deputy, MU_CLOSED); /* else its link comes back */
    return MU_OK;
}

void mu_ps_takeover_follow(struct mu_ps_server *server)
{
    post_place(server, &server->others[server->standby.head], false);
}

enum mu_status mu_ps_takeover_step(struct mu_ps_server *server)
{
    struct mu_ps_standby *standby = &server->standby;
    if (server->queue.count > 0)
        return MU_OK;
    switch (standby->takeover) {
    case MU_PS_TAKEOVER_COLLECTING:
        return collect(server);
    case MU_PS_TAKEOVER_ASKING:
        if (standby->known.next == standby->wanted)
            tell_others(server);
        return MU_OK;
    case MU_PS_TAKEOVER_TELLING:
        tell(server);
        return MU_OK;
    case MU_PS_TAKEOVER_FOLLOWING:
        if (standby->tells)
            standby->tells = !post_known(server, &server->others[standby->head], &standby->told);
        return MU_OK;
    case MU_PS_TAKEOVER_NONE:
    case MU_PS_TAKEOVER_ENDING:
        break;
    }
    return MU_OK;
}
