/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"
#include <stdlib.h>
#include <string.h>

/*
 * What travels lies in the memory of its slot, server after server, each part at a multiple of
 * ALIGN. What servers of this host see lies behind the vectors, for each slot:
 *
 *   | ids: wanted, given of server 0, wanted, given of server 1 ... | gradients | values |
 *
 * Gradients and values are in the order of their sets, so those of one server lie together, and who
 * writes gradients there and reads values there copies neither.
 */
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

/* ---- memory behind the vectors ---- */

static size_t in_lines(size_t bytes)
{
    return (bytes + MU_VECTORS_ALIGN - 1) / MU_VECTORS_ALIGN * MU_VECTORS_ALIGN;
}

static size_t ids_bytes(const struct mu_ps_client_options *options)
{
    return in_lines(2 * options->row_max * sizeof(uint64_t));
}

static size_t floats_bytes(const struct mu_ps_client_options *options)
{
    return in_lines(options->row_max * options->row_width * sizeof(float));
}

size_t mu_client_rows_bytes(const struct mu_ps_client *client)
{
    const struct mu_ps_client_options *options = &client->options;
    if (options->row_width == 0)
        return 0;
    return (size_t)options->in_flight * (ids_bytes(options) + 2 * floats_bytes(options));
}

void mu_client_rows_use(struct mu_ps_client *client, void *memory)
{
    const struct mu_ps_client_options *options = &client->options;
    uint8_t *at = memory;
    for (int i = 0; options->row_width > 0 && i < options->in_flight; i++) {
        struct mu_client_slot *slot = &client->slots[i];
        slot->row_ids = NULL;
        slot->rows = (struct mu_ps_client_row_memory){0};
        if (!memory)
            continue;
        slot->row_ids = (uint64_t *)at;
        slot->rows.gradients = (float *)(at += ids_bytes(options));
        slot->rows.values = (float *)(at += floats_bytes(options));
        at += floats_bytes(options);
    }
}

struct mu_ps_client_row_memory mu_ps_client_row_memory(const struct mu_ps_client *client, int slot)
{
    assert(slot >= 0 && slot < client->options.in_flight);
    return client->slots[slot].rows;
}

/* ---- sending ---- */

static uint32_t count_of(const struct mu_row_set *set, int order)
{
    return set ? (uint32_t)(set->first[order + 1] - set->first[order]) : 0;
}

static void copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0 && to != from)
        memcpy(to, from, bytes);
}

/* Those of one server; returns where the next ones go. */
static uint64_t *copy_ids(uint64_t *to, const struct mu_row_set *set, int order)
{
    uint32_t count = count_of(set, order);
    if (count > 0)
        memcpy(to, set->id + set->first[order], count * sizeof(*to));
    return to + count;
}

/* The part of one server as it travels. */
static void put(
    struct mu_client_part *part, int order, size_t width, const struct mu_ps_client_rows *rows)
{
    part->row_ids = (uint64_t *)part->row_payload;
    uint64_t *end = copy_ids(copy_ids(part->row_ids, rows->wanted, order), rows->given, order);
    part->row_gradients = (float *)end;
    if (part->rows.given > 0)
        memcpy(end, rows->gradients + rows->given->first[order] * width,
            part->rows.given * width * sizeof(float));
}

/* The same where servers see it; returns where the next server's ids go. */
static uint64_t *put_in_place(
    struct mu_client_slot *slot, int order, uint64_t *ids, const struct mu_ps_client_rows *rows)
{
    struct mu_client_part *part = &slot->parts[order];
    size_t width = slot->client->options.row_width;
    part->row_ids = ids;
    if (part->rows.given > 0)
        part->row_gradients = slot->rows.gradients + rows->given->first[order] * width;
    if (part->rows.wanted > 0)
        part->row_values_in_place = slot->rows.values + rows->wanted->first[order] * width;
    return copy_ids(copy_ids(ids, rows->wanted, order), rows->given, order);
}

static void put_all(struct mu_client_slot *slot, const struct mu_ps_client_rows *rows)
{
    const struct mu_ps_client *client = slot->client;
    size_t width = client->options.row_width;
    uint8_t *memory = slot->row_memory;
    uint64_t *ids = slot->row_ids;
    bool in_place = client->vectors != NULL;
    if (in_place && rows->given)
        copy(slot->rows.gradients, rows->gradients, rows->given->count * width * sizeof(float));
    for (int i = 0; i < client->options.server_count; i++) {
        struct mu_client_part *part = &slot->parts[i];
        part->rows = (struct mu_ps_rows_body){
            .given = count_of(rows->given, i), .wanted = count_of(rows->wanted, i)};
        part->row_payload = memory;
        part->row_values = NULL;
        if (part->rows.wanted > 0)
            part->row_values = rows->values + rows->wanted->first[i] * width;
        if (in_place)
            ids = put_in_place(slot, i, ids, rows);
        else
            put(part, i, width, rows);
        memory += (mu_ps_rows_bytes(&part->rows, width) + ALIGN - 1) / ALIGN * ALIGN;
    }
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
    put_all(own, rows);
    for (int i = options->server_count; i < client->seat_count; i++) {
        const struct mu_client_part *twin = &own->parts[i - options->server_count];
        own->parts[i].rows = twin->rows;
        own->parts[i].row_ids = twin->row_ids;
        own->parts[i].row_gradients = twin->row_gradients;
        own->parts[i].row_payload = twin->row_payload;
        own->parts[i].row_values = twin->row_values;
        own->parts[i].row_values_in_place = twin->row_values_in_place;
    }
}

/* Names the places of all that there is; false: it has to travel. */
static bool place(const struct mu_client_server *server, const struct mu_client_part *part,
    struct mu_ps_rows_body *rows)
{
    const struct mu_vectors *vectors = server->client->vectors;
    size_t row_bytes = server->client->options.row_width * sizeof(float);
    if (server->share != MU_CLIENT_SHARES)
        return false;
    rows->ids_at = mu_vectors_place(
        vectors, part->row_ids, (rows->wanted + rows->given) * sizeof(uint64_t), sizeof(uint64_t));
    if (rows->given > 0)
        rows->gradients_at = mu_vectors_place(
            vectors, part->row_gradients, rows->given * row_bytes, MU_VECTORS_ROW_ALIGN);
    if (rows->wanted > 0)
        rows->values_at = mu_vectors_place(
            vectors, part->row_values_in_place, rows->wanted * row_bytes, MU_VECTORS_ROW_ALIGN);
    assert(rows->ids_at > 0);
    assert((rows->gradients_at > 0) == (rows->given > 0));
    assert((rows->values_at > 0) == (rows->wanted > 0));
    return true;
}

/* A server that saw it where it lies may have been lost meanwhile. */
static const uint8_t *payload_of(const struct mu_client_part *part, size_t width)
{
    size_t ids = (part->rows.wanted + part->rows.given) * sizeof(uint64_t);
    if ((uint8_t *)part->row_ids == part->row_payload)
        return part->row_payload;
    memcpy(part->row_payload, part->row_ids, ids);
    if (part->rows.given > 0)
        memcpy(
            part->row_payload + ids, part->row_gradients, part->rows.given * width * sizeof(float));
    return part->row_payload;
}

void mu_client_rows_send(
    struct mu_client_slot *slot, struct mu_client_server *server, struct mu_frame frame)
{
    struct mu_client_part *part = &slot->parts[server->order];
    size_t width = slot->client->options.row_width;
    struct mu_ps_rows_body rows = part->rows;
    if (rows.given == 0 && rows.wanted == 0)
        return;
    part->rows_in_place = place(server, part, &rows);
    part->rows_were_in_place = part->rows_were_in_place || part->rows_in_place;
    const uint8_t *payload = part->rows_in_place ? NULL : payload_of(part, width);
    frame.type = MU_FRAME_ROWS;
    frame.body_bytes = (uint32_t)mu_ps_rows_write(part->row_body, &rows);
    frame.payload_bytes = payload ? (uint32_t)mu_ps_rows_bytes(&rows, width) : 0;
    part->row_values_bytes = (uint32_t)(rows.wanted * width * sizeof(float));
    part->row_send.owner = part;
    part->row_send.finished = mu_client_send_finished;
    slot->sends_pending++;
    mu_link_send(server->link, &part->row_send, &frame, part->row_body, payload);
}

/* ---- receiving ---- */

bool mu_client_rows_take(
    const struct mu_client_part *part, const struct mu_frame *frame, void **ret_payload)
{
    bool in_place = frame->payload_bytes == 0 && part->rows_were_in_place;
    if (!part->row_values_missing || (!in_place && frame->payload_bytes != part->row_values_bytes))
        return false;
    *ret_payload = in_place ? NULL : part->row_values;
    return true;
}

void mu_client_rows_arrived(struct mu_client_part *part, const struct mu_frame *frame)
{
    part->row_values_missing = false;
    if (frame->payload_bytes == 0)
        copy(part->row_values, part->row_values_in_place, part->row_values_bytes);
}
