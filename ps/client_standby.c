/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"

/*
 * Each span has two servers. Both get each push and both must answer; one of them brings the
 * parameters and rows, and the other one does once the first is lost. What a lost server has
 * answered counts only if all others have answered, too: else they may judge that push anew.
 */

struct mu_client_part *mu_client_first_part(const struct mu_client_slot *slot)
{
    struct mu_client_part *part = slot->parts;
    while (part->is_dead)
        part++;
    assert(part < slot->parts + slot->client->seat_count);
    return part;
}

static bool brings(const struct mu_client_slot *slot, int seat)
{
    if (seat >= slot->client->seat_count)
        return false;
    return !slot->parts[seat].is_dead && !slot->parts[seat].fresh.bare;
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

static void lose_part(struct mu_client_slot *slot, int seat)
{
    struct mu_client_part *part = &slot->parts[seat];
    if (!slot->in_use || slot->ended)
        return;
    slot->replies_missing -= !part->replied;
    part->replied = part->is_dead = true;
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
    for (int i = 0; i < client->options.in_flight; i++) {
        struct mu_client_slot *slot = &client->slots[i];
        bool was_whole = !slot->in_use || slot->ended;
        if (was_whole)
            continue;
        lose_part(slot, process);
        slot->ended = false; /* the other one, too, before it may be */
        lose_part(slot, standby);
    }
}
