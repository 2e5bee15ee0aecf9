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

static bool lies_in(const struct mu_shared_memory *memory, const void *at)
{
    const char *start = memory->at, *place = at;
    return place >= start && place < start + memory->bytes;
}

/* Rows come before their gradient, and lie there already; of one that is gone it never comes. */
static bool is_used(const struct mu_ps_peer *peer, const struct mu_shared_memory *memory)
{
    for (int i = 0; i < peer->server->options.in_flight_max; i++) {
        const struct mu_ps_buffer *buffer = mu_ps_buffer_of(peer->server, peer->index, (uint64_t)i);
        const struct mu_ps_row_buffer *rows = &buffer->rows;
        if (buffer->state == MU_PS_BUFFER_FREE && (!rows->come || peer->ended))
            continue;
        if (lies_in(memory, buffer->data) || lies_in(memory, buffer->fresh) ||
            lies_in(memory, rows->gradients) || lies_in(memory, rows->values))
            return true;
    }
    return false;
}

static void drop_unused(struct mu_ps_peer *peer, struct mu_shared_memory *memory)
{
    if (memory->at && !is_used(peer, memory))
        mu_shared_memory_close(memory);
}

/* What is under way in the memory of before ends there. */
static void exchange(struct mu_ps_peer *peer, const struct mu_ps_offer_body *offer,
    char why[MU_SHARED_MEMORY_WHY_MAX])
{
    struct mu_ps_of_worker *worker = &peer->of_worker;
    drop_unused(peer, &worker->shared_before);
    drop_unused(peer, &worker->shared);
    if (worker->shared.at && worker->shared_before.at) {
        mu_text_copy(why, MU_SHARED_MEMORY_WHY_MAX, "it still uses the memory of before");
        return;
    }
    if (worker->shared.at) {
        worker->shared_before = worker->shared;
        worker->shared = (struct mu_shared_memory){0};
    }
    (void)!mu_shared_memory_open(&worker->shared, offer->name, (size_t)offer->bytes, why);
}

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
        exchange(peer, &offer, why);
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

void mu_ps_share_drop(struct mu_ps_peer *peer)
{
    drop_unused(peer, &peer->of_worker.shared_before);
    if (peer->ended)
        drop_unused(peer, &peer->of_worker.shared);
}

void mu_ps_share_close(struct mu_ps_peer *peer)
{
    mu_shared_memory_close(&peer->of_worker.shared_before);
    mu_shared_memory_close(&peer->of_worker.shared);
}
