/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_heal.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_known.h"
#include "ps/server/server_order.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_takeover.h"

/*
 * Links between servers that break while both live. Who follows calls again, and says how much of
 * the order it has heard:
 *
 *   follower                       head
 *   PLACE 17, asks -------------->
 *                    <-----------  VERDICT (17), VERDICT (18), ...: what came after that
 *   notes of all that is whole, without a verdict
 *                 -------------->  those it has counted already count for nothing
 *
 * Each place in the order is heard once, because it is asked for by its number, and each note is
 * counted once, because the notes of a worker are numbered. Until it has sent what is missing the
 * head sends that follower nothing else: it keeps the verdicts of last (server_takeover.c), and the
 * last snapshot, which has no place of its own, goes between the same two verdicts as to the
 * others.
 *
 * A follower without its head takes nothing more from workers, and the head judges nothing that it
 * does not have; what is lost for good says the cluster, or the patience of the server.
 */

static bool heals(const struct mu_ps_peer *peer, enum mu_status why)
{
    const struct mu_ps_server *server = peer->server;
    return server->options.relinks && why != MU_PROTOCOL && !peer->refused &&
           !peer->of_server.is_lost && server->standby.takeover == MU_PS_TAKEOVER_NONE;
}

/* ---- the end of a link ---- */

static void drop_link(struct mu_ps_peer *peer)
{
    struct mu_link *link = peer->link;
    peer->link = NULL;
    peer->held = peer->of_server.catches_up = false;
    peer->of_server.is_behind = true;
    peer->of_server.gone_ns = mu_now(peer->server->options.loop->world);
    peer->server->gone_count++;
    mu_link_close(link);
}

bool mu_ps_heal_ended(struct mu_ps_peer *peer, enum mu_status why)
{
    if (!heals(peer, why))
        return false;
    drop_link(peer);
    return true;
}

static bool is_gone(const struct mu_ps_peer *peer)
{
    return !peer->link && peer->link_number > 0 && !peer->of_server.is_lost;
}

void mu_ps_heal_lose(struct mu_ps_peer *peer)
{
    peer->server->gone_count -= is_gone(peer);
    peer->of_server.is_behind = peer->of_server.catches_up = false;
}

void mu_ps_heal_check(struct mu_ps_server *server)
{
    int64_t patience = server->options.patience_ns;
    if (server->gone_count == 0 || patience == 0)
        return;
    int64_t now = mu_now(server->options.loop->world);
    for (int i = 0; i < server->standby.seat_count; i++) {
        const struct mu_ps_peer *peer = &server->others[i];
        if (is_gone(peer) && now - peer->of_server.gone_ns > patience)
            mu_ps_failed(server, peer, MU_CLOSED);
    }
}

/* ---- another link ---- */

int mu_ps_server_unlinked(const struct mu_ps_server *server, int seat)
{
    const int judges[] = {0, server->options.server_count};
    for (int i = 0; i < 1 + server->options.replicas; i++) {
        bool calls = server->options.order > 0 && server->options.order != judges[i];
        if (calls && judges[i] >= seat && is_gone(&server->others[judges[i]]))
            return judges[i];
    }
    return -1;
}

int64_t mu_ps_server_unlinked_since_ns(const struct mu_ps_server *server, int seat)
{
    return server->others[seat].of_server.gone_ns;
}

bool mu_ps_heal_begin(struct mu_ps_peer *peer)
{
    if (peer->of_server.is_lost)
        return false;
    if (peer->link)
        drop_link(peer); /* this side has not seen its end yet */
    peer->server->gone_count -= is_gone(peer);
    peer->link_number++;
    return true;
}

void mu_ps_heal_ask(struct mu_ps_peer *head)
{
    struct mu_ps_server *server = head->server;
    const struct mu_ps_place_body place = {.asks = true};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    if (head->link_number == 1 || !head->link || head->index != server->standby.head)
        return;
    if (server->standby.takeover == MU_PS_TAKEOVER_ENDING)
        return; /* mu_ps_takeover_begin tells it the place */
    if (server->standby.takeover == MU_PS_TAKEOVER_FOLLOWING) {
        mu_ps_takeover_follow(server);
        return;
    }
    mu_ps_place_put(&body, memory, &place);
    mu_link_post(
        head->link, MU_FRAME_PLACE, server->options.generation, server->standby.heard, &body);
    mu_ps_tell_here(server);
}

/* ---- on the head ---- */

enum mu_link_answer mu_ps_heal_frame(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    if (!mu_ps_known_since(&peer->server->standby.known, frame->tag))
        return mu_ps_refuse(peer, "asks for what came after verdict %llu, which is long forgotten",
            (unsigned long long)frame->tag);
    peer->of_server.place = frame->tag;
    peer->at_hand.asks_place = true;
    return MU_LINK_TAKE;
}

void mu_ps_heal_arrived(struct mu_ps_peer *peer)
{
    peer->of_server.is_behind = peer->of_server.catches_up = true;
    peer->server->look_again = true;
}

/* True: there is nothing left to send. */
static bool catch_up(struct mu_ps_server *server, struct mu_ps_peer *peer)
{
    const struct mu_ps_standby *standby = &server->standby;
    for (;; peer->of_server.place++) {
        if (!mu_ps_standby_has_room(peer))
            return false;
        if (standby->snapshot_id > 0 && standby->snapshot_place == peer->of_server.place)
            mu_ps_tell_snapshot(server, peer->index, standby->snapshot_id);
        if (!peer->link)
            return false; /* no memory to tell it */
        if (peer->of_server.place == standby->known.next)
            return true;
        mu_ps_standby_post(server, peer, peer->of_server.place);
    }
}

void mu_ps_heal_step(struct mu_ps_server *server)
{
    for (int i = 0; i < server->standby.seat_count; i++) {
        struct mu_ps_peer *peer = &server->others[i];
        if (!peer->of_server.catches_up || !catch_up(server, peer))
            continue;
        peer->of_server.is_behind = peer->of_server.catches_up = false;
    }
}
