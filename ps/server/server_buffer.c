/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_buffer.h"
#include "ps/server/server_inside.h"

static void send_finished(struct mu_send *send)
{
    struct mu_ps_buffer *buffer = send->owner;
    buffer->sends_pending--;
    if (buffer->sends_pending == 0 && buffer->state == MU_PS_BUFFER_SENDING) {
        buffer->state = MU_PS_BUFFER_FREE;
        buffer->server->look_again = true;
    }
}

void mu_ps_buffer_leave(struct mu_ps_buffer *buffer)
{
    bool is_free = buffer->sends_pending == 0;
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
