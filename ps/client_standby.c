/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"

/*
 * Each span has two servers. Both get each push, and it is judged when both have it: that any first
 * one has answered says that all standbys have it, too, which so need not answer. A gradient in
 * memory that the worker shares is answered by both, for both read it there.
 *
 * Once the first server of a span is lost, the other one brings the parameters and rows. What a
 * lost server has answered counts only if all others have answered, too: else they may judge that
 * push anew. What it has not brought is pulled.
 */

static bool is_twin_lost(const struct mu_client_server *server)
{
    const struct mu_ps_client *client = server->client;
    return client->servers[mu_ps_seat_twin(server->order, client->options.server_count)].is_lost;
}

static bool is_quiet(const struct mu_client_slot *slot, const struct mu_client_server *server)
{
    return slot->gradients && server->order >= server->client->options.server_count &&
           !is_twin_lost(server) && server->share != MU_CLIENT_SHARES;
}

bool mu_client_awaits(const struct mu_client_part *part)
{
    return !part->replied && !part->quiet;
}

static int count_missing(const struct mu_client_slot *slot)
{
    int count = 0;
    for (int i = 0; i < slot->client->seat_count; i++)
        count += mu_client_awaits(&slot->parts[i]);
    return count;
}

void mu_client_expect(struct mu_client_slot *slot)
{
    for (int i = 0; i < slot->client->seat_count; i++) {
        const struct mu_client_server *server = &slot->client->servers[i];
        struct mu_client_part *part = &slot->parts[i];
        part->replied = part->is_dead = server->is_lost;
        part->quiet = is_quiet(slot, server);
    }
    slot->replies_missing = count_missing(slot);
}

struct mu_client_part *mu_client_first_part(const struct mu_client_slot *slot)
{
    struct mu_client_part *part = slot->parts;
    while (part->is_dead)
        part++;
    assert(part < slot->parts + slot->client->seat_count);
    return part;
}

static bool agree(const struct mu_client_part *a, const struct mu_client_part *b)
{
    return a->fresh.version == b->fresh.version && a->fresh.verdict == b->fresh.verdict;
}

/* It has judged the push and died before any other one heard of that: these have judged it anew. */
bool mu_client_awaits_loss(const struct mu_client_slot *slot)
{
    const struct mu_ps_client *client = slot->client;
    const struct mu_client_part *other = NULL;
    if (client->options.replicas == 0 || client->lost >= 0 || !slot->parts[0].replied)
        return false;
    for (int i = 1; i < client->seat_count; i++) {
        if (!slot->parts[i].replied)
            continue;
        if (other && !agree(other, &slot->parts[i]))
            return false;
        other = &slot->parts[i];
    }
    return other && !agree(other, &slot->parts[0]);
}

enum mu_status mu_client_check_agreement(const struct mu_client_slot *slot)
{
    struct mu_ps_client *client = slot->client;
    const struct mu_client_part *part = mu_client_first_part(slot);
    const struct mu_ps_fresh_body *first = &part->fresh;
    int servers = client->options.server_count;
    for (int i = 0; i < client->seat_count; i++) {
        const struct mu_ps_fresh_body *other = &slot->parts[i].fresh;
        if (!slot->parts[i].replied || slot->parts[i].is_dead ||
            (other->version == first->version && other->verdict == first->verdict))
            continue;
        mu_client_fail(client, i,
            mu_fail(client->options.log, MU_E0701, NULL,
                "ps/%d answers push %llu with version %lld where ps/%d has %lld",
                mu_ps_seat_process(i, servers), (unsigned long long)slot->sequence,
                (long long)other->version, mu_ps_seat_process((int)(part - slot->parts), servers),
                (long long)first->version));
    }
    return client->failure;
}

static bool brings(const struct mu_client_slot *slot, int seat)
{
    if (seat >= slot->client->seat_count)
        return false;
    const struct mu_client_part *part = &slot->parts[seat];
    return part->replied && !part->is_dead && !part->fresh.bare;
}

bool mu_client_has_all(const struct mu_client_slot *slot)
{
    int servers = slot->client->options.server_count;
    for (int i = 0; i < servers; i++) {
        bool wants = slot->fresh || slot->parts[i].rows.wanted > 0;
        if (wants && !brings(slot, i) && !brings(slot, mu_ps_seat_twin(i, servers)))
            return false;
    }
    return true;
}

int64_t mu_client_count_rows(const struct mu_client_slot *slot)
{
    int servers = slot->client->options.server_count;
    int64_t count = 0;
    for (int i = 0; i < servers; i++) {
        int seat = slot->parts[i].is_dead ? mu_ps_seat_twin(i, servers) : i;
        count += slot->parts[seat].fresh.rows;
    }
    return count;
}

static void lose_parts(struct mu_client_slot *slot)
{
    struct mu_ps_client *client = slot->client;
    if (!slot->in_use || slot->ended)
        return;
    for (int i = 0; i < client->seat_count; i++)
        if (client->servers[i].is_lost)
            slot->parts[i].replied = slot->parts[i].is_dead = true;
    slot->replies_missing = count_missing(slot);
    mu_client_end_if_whole(slot);
}

static void lose_seat(struct mu_ps_client *client, int seat)
{
    struct mu_client_server *server = &client->servers[seat];
    server->is_lost = server->ended = true;
    mu_client_share_ended(server);
    mu_client_relink_end(server);
}

void mu_ps_client_lose_server(struct mu_ps_client *client, int process)
{
    int servers = client->options.server_count;
    int standby = mu_ps_seat_standby_in(process, servers);
    assert(client->options.replicas > 0);
    assert(process >= 0 && process < servers);
    if (client->lost == process)
        return;
    if (client->lost >= 0) {
        mu_client_fail(client, process, MU_CLOSED);
        return;
    }
    client->lost = process;
    lose_seat(client, process);
    lose_seat(client, standby);
    for (int i = 0; i < client->options.in_flight; i++)
        lose_parts(&client->slots[i]);
}
