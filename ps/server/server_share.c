/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_share.h"
#include "ps/look.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "runtime/base/text.h"
#include "runtime/optim/usable.h"

/*
 * Memory that a worker of this host shares (client_share.c has its side). What it pushes from there
 * is looked at and applied where it lies, and fresh parameters and embedding rows are written
 * straight to where the worker wants them. A place is checked at every frame. The worker can write
 * there at any time, and could change a gradient after it was found to be usable: this trusts a
 * process of our own user that far. The ids of rows are copied first: what is looked at is what the
 * table gets.
 */

/* False: it is malformed. */
static bool answer_share(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_decoder *decoder = mu_link_decoder(peer->link);
    struct mu_shared_memory_host host;
    struct mu_ps_offer_body offer;
    uint8_t memory[MU_PS_BODY_MAX];
    char why[MU_SHARED_MEMORY_WHY_MAX] = "";
    struct mu_body answer;
    if (frame->tag == MU_PS_SHARE_HOST) {
        if (!mu_ps_host_read(decoder, body, frame->body_bytes, &host))
            return false;
        mu_shared_memory_host(&host);
        mu_ps_host_put(&answer, memory, &host);
    } else {
        if (frame->tag != MU_PS_SHARE_MEMORY ||
            !mu_ps_offer_read(decoder, body, frame->body_bytes, &offer))
            return false;
        mu_ps_share_drop(peer); /* of before its link was lost */
        if (peer->of_worker.shared.at)
            mu_text_copy(why, sizeof(why), "it still uses the memory of before");
        else
            (void)!mu_shared_memory_open(
                &peer->of_worker.shared, offer.name, (size_t)offer.bytes, why);
        mu_ps_mapped_put(&answer, memory, why);
    }
    mu_link_post(peer->link, MU_FRAME_SHARE, frame->generation, frame->tag, &answer);
    return true;
}

enum mu_link_answer mu_ps_share_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    if (frame->payload_bytes != 0 || !answer_share(peer, frame, body))
        return mu_ps_refuse(peer, "sent a SHARE that is malformed");
    return MU_LINK_TAKE;
}

bool mu_ps_share_places(
    struct mu_ps_peer *peer, struct mu_ps_buffer *buffer, int64_t gradient_at, int64_t fresh_at)
{
    size_t bytes = mu_ps_span_bytes(peer->server);
    buffer->data = buffer->fresh = buffer->own;
    if (gradient_at > 0)
        buffer->data =
            mu_vectors_find(&peer->of_worker.shared, gradient_at, bytes, MU_VECTORS_ALIGN);
    if (fresh_at > 0)
        buffer->fresh = mu_vectors_find(&peer->of_worker.shared, fresh_at, bytes, MU_VECTORS_ALIGN);
    if (buffer->data && buffer->fresh)
        return true;
    buffer->data = buffer->fresh = buffer->own;
    return false;
}

void mu_ps_share_look(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    if (buffer->data == buffer->own)
        return;
    server->load.bytes_in += mu_ps_span_bytes(server);
    if (buffer->flaw == MU_PS_FLAW_NONE &&
        !mu_shard_takes(&server->shard, buffer->data, mu_usable_limit(buffer->scale)))
        buffer->flaw = mu_look_at(buffer->data, server->shard.span.count, buffer->scale);
}

/* Rows come before their gradient, and lie there already; of one that is gone it never comes. */
static bool is_used(struct mu_ps_server *server, const struct mu_ps_peer *peer)
{
    for (int i = 0; i < server->options.in_flight_max; i++) {
        const struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, peer->index, (uint64_t)i);
        if (buffer->state != MU_PS_BUFFER_FREE || (buffer->rows.come && !peer->ended))
            return true;
    }
    return false;
}

void mu_ps_share_drop(struct mu_ps_peer *peer)
{
    if (peer->of_worker.shared.at && !is_used(peer->server, peer))
        mu_shared_memory_close(&peer->of_worker.shared);
}
