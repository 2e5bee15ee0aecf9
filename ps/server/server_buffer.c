/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_buffer.h"
#include "muster/tensor.h"
#include "ps/server/server_inside.h"
#include <assert.h>
#include <stdlib.h>

/* ---- vectors ---- */

enum mu_status mu_ps_vectors_init(struct mu_ps_vectors *vectors, size_t count, size_t element_count)
{
    size_t stride = (element_count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
    stride += MU_VIEW_ALIGN; /* their beginnings would be rivals for the same places of a cache */
    MU_TRY(mu_arena_reserve(&vectors->memory, count * stride));
    vectors->stride = stride;
    vectors->laid_bytes = calloc(count, sizeof(*vectors->laid_bytes));
    vectors->spare = calloc(count, sizeof(*vectors->spare));
    if (!vectors->laid_bytes || !vectors->spare)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        vectors->spare[i] = vectors->memory.data + (count - 1 - i) * stride;
    vectors->spare_count = count;
    return MU_OK;
}

void mu_ps_vectors_finish(struct mu_ps_vectors *vectors)
{
    mu_arena_finish(&vectors->memory);
    free(vectors->laid_bytes);
    free(vectors->spare);
}

void mu_ps_buffer_take(struct mu_ps_buffer *buffer)
{
    struct mu_ps_vectors *vectors = &buffer->server->vectors;
    if (buffer->own)
        return;
    assert(vectors->spare_count > 0);
    buffer->own = vectors->spare[--vectors->spare_count];
}

void mu_ps_buffer_give(struct mu_ps_buffer *buffer)
{
    struct mu_ps_vectors *vectors = &buffer->server->vectors;
    if (!buffer->own)
        return;
    vectors->spare[vectors->spare_count++] = buffer->own;
    buffer->own = buffer->data = buffer->fresh = NULL;
}

/* The answer goes into it, or what is corrected of a gradient that lies elsewhere. */
static bool is_written(const struct mu_ps_buffer *buffer)
{
    bool answers = buffer->wants_fresh && buffer->fresh == buffer->own;
    return answers || (buffer->data != buffer->own && mu_ps_plan_correcting(&buffer->server->plan));
}

bool mu_ps_buffer_lay(struct mu_ps_buffer *buffer, size_t bytes_max)
{
    struct mu_ps_vectors *vectors = &buffer->server->vectors;
    if (!buffer->own || !is_written(buffer))
        return true;
    size_t first = (size_t)(buffer->own - vectors->memory.data);
    size_t *laid = &vectors->laid_bytes[first / vectors->stride];
    size_t left = mu_ps_span_bytes(buffer->server) - *laid;
    size_t bytes = left < bytes_max ? left : bytes_max;
    if (bytes > 0)
        mu_arena_touch_part(&vectors->memory, first * sizeof(float) + *laid, bytes);
    *laid += bytes;
    return bytes == left;
}

/* ---- frames ---- */

static void send_finished(struct mu_send *send)
{
    struct mu_ps_buffer *buffer = send->owner;
    buffer->sends_pending--;
    if (buffer->sends_pending == 0 && buffer->state == MU_PS_BUFFER_SENDING) {
        buffer->state = MU_PS_BUFFER_FREE;
        mu_ps_buffer_give(buffer);
        buffer->server->look_again = true;
    }
}

void mu_ps_buffer_leave(struct mu_ps_buffer *buffer)
{
    bool is_free = buffer->sends_pending == 0;
    mu_ps_buffer_give(buffer);
    buffer->reply.done = true;
    buffer->state = is_free ? MU_PS_BUFFER_FREE : MU_PS_BUFFER_SENDING;
    buffer->server->look_again = true;
}

void mu_ps_buffer_send(struct mu_ps_buffer *buffer, struct mu_ps_peer *peer, struct mu_send *send,
    const struct mu_frame *frame, const void *body, const void *payload)
{
    send->owner = buffer;
    send->finished = send_finished;
    buffer->sends_pending++;
    if (peer->kind == MU_PS_PEER_WORKER)
        buffer->server->load.bytes_out +=
            MU_FRAME_HEADER_BYTES + frame->body_bytes + frame->payload_bytes;
    mu_link_send(peer->link, send, frame, body, frame->payload_bytes ? payload : NULL);
}
