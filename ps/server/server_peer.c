/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_peer.h"
#include "ps/server/server_heal.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_queue.h"
#include "ps/server/server_relink.h"
#include "ps/server/server_share.h"
#include "ps/server/server_state.h"
#include "runtime/base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what a peer did ---- */

void mu_ps_failed(struct mu_ps_server *server, const struct mu_ps_peer *peer, enum mu_status why)
{
    if (server->failure != MU_OK)
        return;
    server->failure = why;
    int process = mu_ps_seat_process(peer->index, server->options.server_count);
    server->culprit = (struct mu_ps_culprit){
        .kind = peer->kind, .index = peer->kind == MU_PS_PEER_SERVER ? process : peer->index};
}

void mu_ps_accuse(const struct mu_ps_peer *peer, enum mu_error error, const char *did)
{
    struct mu_ps_server *server = peer->server;
    bool first = server->failure == MU_OK;
    mu_ps_failed(server, peer, mu_fail(server->options.log, error, NULL, "%s", did));
    if (first)
        mu_text_copy(server->culprit.did, sizeof(server->culprit.did), did);
}

void mu_ps_peer_name(const struct mu_ps_peer *peer, char *out, size_t bytes)
{
    const char *const *names = peer->server->options.replica_names;
    if (peer->kind == MU_PS_PEER_LEADER)
        snprintf(out, bytes, "the leader");
    else if (peer->kind == MU_PS_PEER_SERVER)
        snprintf(out, bytes, "ps/%d",
            mu_ps_seat_process(peer->index, peer->server->options.server_count));
    else if (names)
        snprintf(out, bytes, "%s", names[peer->index]);
    else
        snprintf(out, bytes, "replica %d", peer->index);
}

__attribute__((format(printf, 3, 0))) static void blame(
    struct mu_ps_peer *peer, enum mu_error error, const char *format, va_list list)
{
    char did[MU_PS_DID_MAX];
    mu_ps_peer_name(peer, did, MU_TASK_NAME_MAX + 8);
    size_t length = strlen(did);
    did[length++] = ' ';
    vsnprintf(did + length, sizeof(did) - length, format, list);
    peer->refused = true;
    mu_ps_accuse(peer, error, did);
}

void mu_ps_blame(struct mu_ps_peer *peer, enum mu_error error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    blame(peer, error, format, list);
    va_end(list);
}

enum mu_link_answer mu_ps_refuse(struct mu_ps_peer *peer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    blame(peer, MU_E0404, format, list);
    va_end(list);
    return MU_LINK_REFUSE;
}

enum mu_link_answer mu_ps_hold(struct mu_ps_peer *peer)
{
    peer->held = true;
    return MU_LINK_HOLD;
}

enum mu_link_answer mu_ps_refuse_type(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    return mu_ps_refuse(
        peer, "sent a %s, which has no place on this link", mu_frame_type_name(frame->type));
}

bool mu_ps_is_of_now(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    if (frame->generation == peer->server->options.generation)
        return true;
    mu_ps_refuse(peer, "sent a frame of generation %u; this is %u", frame->generation,
        peer->server->options.generation);
    return false;
}

static void resume(struct mu_ps_peer *peer)
{
    if (!peer->held)
        return;
    peer->held = false;
    mu_link_resume(peer->link);
}

void mu_ps_resume_held(struct mu_ps_server *server)
{
    server->look_again = false;
    resume(&server->leader);
    for (int i = 0; i < server->standby.seat_count; i++)
        resume(&server->others[i]);
    for (int i = 0; i < server->options.replica_count; i++) {
        resume(&server->workers[i]);
        mu_ps_share_drop(&server->workers[i]);
    }
}

void mu_ps_cut(struct mu_ps_peer *peer)
{
    mu_link_close(peer->link);
    peer->link = NULL;
    peer->ended = true;
    peer->held = false;
    peer->server->load.cut_off++;
}

void mu_ps_lost(struct mu_ps_server *server, int worker)
{
    struct mu_ps_worker *own = &server->ledger[worker];
    if (own->left || own->is_lost)
        return;
    if (!mu_ps_is_head(server)) {
        own->is_cut = server->losses_due = true;
        return;
    }
    own->is_lost = true;
    mu_ps_queue_add(
        &server->queue, &(struct mu_ps_event){.kind = MU_PS_EVENT_LOSS, .worker = worker});
}

void mu_ps_peer_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct mu_ps_peer *peer = owner;
    bool comes_back =
        peer->kind == MU_PS_PEER_WORKER && peer->server->options.relinks && why != MU_PROTOCOL;
    if (comes_back) {
        mu_ps_relink_end(peer);
        return;
    }
    if (peer->kind == MU_PS_PEER_LEADER && peer->server->options.relinks && peer->server->begun &&
        why != MU_PROTOCOL) {
        mu_ps_state_unlink(peer->server);
        return;
    }
    peer->server->look_again = true; /* for what it leaves */
    if (peer->kind == MU_PS_PEER_SERVER && mu_ps_heal_ended(peer, why))
        return;
    peer->ended = true;
    peer->held = false;
    if (peer->kind == MU_PS_PEER_SERVER)
        peer->server->other_ended = peer->index;
    if (peer->kind == MU_PS_PEER_WORKER)
        mu_ps_lost(peer->server, peer->index);
    if (why == MU_PROTOCOL && !peer->refused)
        mu_ps_refuse(peer, "sent what is not a frame");
}

void mu_ps_add_peer(
    struct mu_ps_peer *peer, struct mu_link *link, const struct mu_link_events *events)
{
    assert(!peer->link);
    peer->link = link;
    peer->ended = peer->refused = false;
    mu_link_adopt(link, events, peer);
    if (!mu_link_alive(link))
        mu_ps_peer_ended(peer, link, MU_CLOSED, 0);
    /* Its first frame may have come already, and others may have waited for this link. */
    peer->held = peer->link && mu_link_alive(peer->link);
    peer->server->look_again = true;
}
