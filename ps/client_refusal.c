/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"
#include "runtime/base/text.h"

#define WHY_MAX 256 /* as much as collectives/mesh.c says */

enum mu_link_answer mu_client_hear_refusal(struct mu_client_server *server, struct mu_link *link,
    const struct mu_frame *frame, const void *body)
{
    struct mu_ps_client *client = server->client;
    struct mu_decoder *decoder = mu_link_decoder(link);
    int64_t number;
    char why[WHY_MAX];
    if (frame->payload_bytes > 0 || mu_decoder_read(decoder, body, frame->body_bytes) != MU_OK ||
        !mu_decoder_int(decoder, "error", 0, 9999, &number) ||
        !mu_decoder_text(decoder, "why", why, sizeof(why)))
        return mu_client_refuse(server, "sent a frame that has no place here");
    server->refused = true;
    mu_client_fail(client, server->order,
        mu_fail(client->options.log, number == mu_error_number(MU_E0305) ? MU_E0305 : MU_E0309,
            "start all servers and workers again, with the same addresses and options", "ps/%d: %s",
            mu_ps_seat_process(server->order, client->options.server_count), why));
    return MU_LINK_REFUSE;
}
