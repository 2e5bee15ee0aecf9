/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"
#include <stdlib.h>
#include <string.h>

/* What is sent lies in the memory of its slot, server after server, each part at a multiple of: */
#define ALIGN sizeof(uint64_t)

enum mu_status mu_client_rows_init(struct mu_ps_client *client)
{
    const struct mu_ps_client_options *options = &client->options;
    if (options->row_width == 0)
        return MU_OK;
    const struct mu_ps_rows_body most = {
        .given = (uint32_t)options->row_max, .wanted = (uint32_t)options->row_max};
    size_t bytes =
        mu_ps_rows_bytes(&most, options->row_width) + ALIGN * (size_t)options->server_count;
    for (int i = 0; i < options->in_flight; i++) {
        client->slots[i].row_memory = malloc(bytes);
        if (!client->slots[i].row_memory)
            return MU_NO_MEMORY;
    }
    return MU_OK;
}

void mu_client_rows_finish(struct mu_ps_client *client)
{
    for (int i = 0; i < client->options.in_flight; i++)
        free(client->slots[i].row_memory);
}

/* ---- sending ---- */

static uint8_t *copy(uint8_t *to, const void *from, size_t bytes)
{
    if (bytes > 0)
        memcpy(to, from, bytes);
    return to + bytes;
}

static uint32_t count_of(const struct mu_row_set *set, int order)
{
    return set ? (uint32_t)(set->first[order + 1] - set->first[order]) : 0;
}

/* The part of one server; returns where the next one begins. */
static uint8_t *put(struct mu_client_part *part, int order, uint8_t *memory, size_t width,
    const struct mu_ps_client_rows *rows)
{
    const struct mu_row_set *given = rows->given, *wanted = rows->wanted;
    struct mu_ps_rows_body counts = {count_of(given, order), count_of(wanted, order)};
    part->rows = counts;
    part->row_payload = memory;
    part->row_values = counts.wanted ? rows->values + wanted->first[order] * width : NULL;
    uint8_t *at = memory;
    if (counts.wanted)
        at = copy(at, wanted->id + wanted->first[order], counts.wanted * sizeof(uint64_t));
    if (counts.given) {
        size_t first = given->first[order];
        at = copy(at, given->id + first, counts.given * sizeof(uint64_t));
        at = copy(at, rows->gradients + first * width, counts.given * width * sizeof(float));
    }
    return memory + ((size_t)(at - memory) + ALIGN - 1) / ALIGN * ALIGN;
}

void mu_ps_client_put_rows(
    struct mu_ps_client *client, int slot, const struct mu_ps_client_rows *rows)
{
    const struct mu_ps_client_options *options = &client->options;
    assert(slot >= 0 && slot < options->in_flight);
    struct mu_client_slot *own = &client->slots[slot];
    assert(own->row_memory && !own->in_use);
    assert(!rows->given || rows->given->count <= options->row_max);
    assert(!rows->wanted || rows->wanted->count <= options->row_max);
    uint8_t *at = own->row_memory;
    for (int i = 0; i < options->server_count; i++)
        at = put(&own->parts[i], i, at, options->row_width, rows);
    for (int i = options->server_count; i < client->seat_count; i++) {
        const struct mu_client_part *twin = &own->parts[i - options->server_count];
        own->parts[i].rows = twin->rows;
        own->parts[i].row_payload = twin->row_payload;
        own->parts[i].row_values = twin->row_values;
    }
}

void mu_client_rows_send(
    struct mu_client_slot *slot, struct mu_client_server *server, struct mu_frame frame)
{
    struct mu_client_part *part = &slot->parts[server->order];
    size_t width = slot->client->options.row_width;
    struct mu_ps_rows_body counts = part->rows;
    if (counts.given == 0 && counts.wanted == 0)
        return;
    frame.type = MU_FRAME_ROWS;
    frame.body_bytes = (uint32_t)mu_ps_rows_write(part->row_body, &counts);
    frame.payload_bytes = (uint32_t)mu_ps_rows_bytes(&counts, width);
    part->row_values_bytes = (uint32_t)(counts.wanted * width * sizeof(float));
    part->row_send.owner = part;
    part->row_send.finished = mu_client_send_finished;
    slot->sends_pending++;
    mu_link_send(server->link, &part->row_send, &frame, part->row_body, part->row_payload);
}

/* ---- receiving ---- */

float *mu_client_rows_place(const struct mu_client_part *part, const struct mu_frame *frame)
{
    if (!part->row_values_missing || frame->payload_bytes != part->row_values_bytes)
        return NULL;
    return part->row_values;
}
