/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"

/*
 * Servers whose link was lost. A new link begins with READY: who this is, and the number that comes
 * first; then all that the server has not answered is sent again. What it had judged before it
 * answers again without the parameters, which have changed since: all servers then agree on what
 * became of the push, and one pull brings parameters and rows of one version.
 */

static int64_t now_of(const struct mu_ps_client *client)
{
    return mu_now(client->options.loop->world);
}

void mu_client_relink_end(struct mu_client_server *server)
{
    struct mu_link *link = server->link;
    if (!link)
        return;
    server->link = NULL;
    mu_client_share_ended(server);
    server->lost_since_ns = now_of(server->client);
    mu_link_close(link);
}

/* The unanswered push of this server with the least number from `from` on, or NULL. */
static struct mu_client_slot *next_unanswered(const struct mu_client_server *server, uint64_t from)
{
    struct mu_ps_client *client = server->client;
    struct mu_client_slot *next = NULL;
    for (int i = 0; i < client->options.in_flight; i++) {
        struct mu_client_slot *slot = &client->slots[i];
        bool is_missing = slot->in_use && !slot->ended && !slot->parts[server->order].replied;
        if (is_missing && slot->sequence >= from && (!next || slot->sequence < next->sequence))
            next = slot;
    }
    return next;
}

static void say_ready(struct mu_client_server *server)
{
    struct mu_ps_client *client = server->client;
    const struct mu_ps_ready_body ready = {.incarnation = client->options.incarnation};
    const struct mu_client_slot *first = next_unanswered(server, 0);
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_ready_put(&body, memory, &ready);
    mu_link_post(server->link, MU_FRAME_READY, client->options.generation,
        first ? first->sequence : client->sequence_next, &body);
}

void mu_client_relink_resume(struct mu_client_server *server)
{
    if (server->ended) {
        mu_client_relink_end(server);
        return;
    }
    say_ready(server);
    uint64_t from = 0;
    for (struct mu_client_slot *slot; (slot = next_unanswered(server, from));
         from = slot->sequence + 1) {
        slot->parts[server->order].row_values_missing = slot->parts[server->order].rows.wanted > 0;
        mu_client_send_part(slot, server);
    }
    if (server->link)
        mu_link_resume(server->link);
}

bool mu_client_relink_asks(struct mu_client_slot *slot)
{
    struct mu_ps_client *client = slot->client;
    for (int i = 0; i < client->seat_count; i++)
        slot->parts[i].rows.given = 0;
    if (mu_client_has_all(slot))
        return false;
    if (slot->item == MU_PS_ITEM_GRADIENT) {
        slot->is_judged = true;
        slot->judged = mu_client_first_part(slot)->fresh;
    }
    slot->item = slot->fresh ? MU_PS_ITEM_PULL : MU_PS_ITEM_LOOK;
    enum mu_status status = mu_client_start(
        client, slot, mu_ps_pull_write(slot->body, slot->item, 0), NULL, slot->fresh);
    return status == MU_OK;
}

int mu_ps_client_unlinked(const struct mu_ps_client *client, int order)
{
    for (int i = order; i < client->seat_count; i++)
        if (!client->servers[i].link && !client->servers[i].is_lost)
            return i;
    return -1;
}

int64_t mu_ps_client_lost_since_ns(const struct mu_ps_client *client, int order)
{
    assert(order >= 0 && order < client->seat_count);
    const struct mu_client_server *server = &client->servers[order];
    return server->link ? -1 : server->lost_since_ns;
}
