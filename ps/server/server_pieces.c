/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_pieces.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_rows.h"
#include "ps/table/table_save.h"

/* ---- life ---- */

static size_t aside_max(const struct mu_row_store *store)
{
    size_t record_bytes = mu_table_record_bytes(store->table);
    size_t least = mu_row_store_step_max(&store->options) + 1;
    size_t rows = MU_ROWS_ASIDE_BYTES / record_bytes;
    return rows > least ? rows : least;
}

enum mu_status mu_ps_pieces_init(struct mu_ps_server *server)
{
    struct mu_ps_row_pieces *pieces = &server->pieces;
    struct mu_table *table = server->rows.store.table;
    MU_TRY(mu_table_follow(table, &pieces->sweep, aside_max(&server->rows.store)));
    for (int i = 0; i < MU_ROW_PIECES_MAX; i++)
        MU_TRY(mu_row_piece_init(&pieces->piece[i], mu_table_stride(table)));
    return MU_OK;
}

void mu_ps_pieces_finish(struct mu_ps_server *server)
{
    mu_table_sweep_finish(&server->pieces.sweep);
    for (int i = 0; i < MU_ROW_PIECES_MAX; i++)
        mu_row_piece_finish(&server->pieces.piece[i]);
}

uint64_t mu_ps_pieces_bytes(const struct mu_ps_server *server)
{
    const struct mu_ps_row_pieces *pieces = &server->pieces;
    const struct mu_row_piece *piece = &pieces->piece[0];
    size_t record_bytes = sizeof(uint64_t) + piece->stride * sizeof(float);
    return pieces->sweep.aside_max * mu_table_record_bytes(server->rows.store.table) +
           MU_ROW_PIECES_MAX * piece->row_max * record_bytes + pieces->sweep.end / 8;
}

/* ---- snapshots ---- */

bool mu_ps_pieces_idle(const struct mu_ps_server *server)
{
    const struct mu_ps_row_pieces *pieces = &server->pieces;
    for (int i = 0; i < MU_ROW_PIECES_MAX; i++)
        if (pieces->busy[i])
            return false;
    return !pieces->sending;
}

bool mu_ps_pieces_have_room(const struct mu_ps_server *server)
{
    const struct mu_table_sweep *sweep = &server->pieces.sweep;
    return !server->pieces.sending ||
           mu_table_sweep_room(sweep) >= mu_row_store_step_max(&server->rows.store.options);
}

enum mu_status mu_ps_pieces_begin(struct mu_ps_server *server, uint64_t snapshot_id)
{
    struct mu_ps_row_pieces *pieces = &server->pieces;
    if (!server->rows.store.table)
        return MU_OK;
    if (mu_table_sweep_begin(&pieces->sweep) != MU_OK)
        return mu_fail(server->options.log, MU_E0801, NULL,
            "ps/%d has no memory for a snapshot of its %llu embedding rows", mu_ps_process(server),
            (unsigned long long)mu_table_count(server->rows.store.table).rows);
    pieces->snapshot_id = snapshot_id;
    pieces->sending = true;
    return MU_OK;
}

static void piece_finished(struct mu_send *send)
{
    struct mu_ps_server *server = send->owner;
    server->pieces.busy[send - server->pieces.sends] = false;
    server->look_again = true;
}

static void fill(struct mu_ps_row_pieces *pieces, struct mu_row_piece *piece)
{
    uint64_t id;
    const float *row;
    piece->count = 0;
    while (piece->count < piece->row_max && (row = mu_table_sweep_next(&pieces->sweep, &id)))
        mu_row_piece_add(piece, id, row);
}

/* An empty piece says that this was all. */
static void send_piece(struct mu_ps_server *server, int i)
{
    struct mu_ps_row_pieces *pieces = &server->pieces;
    struct mu_row_piece *piece = &pieces->piece[i];
    fill(pieces, piece);
    const struct mu_frame frame = {
        .type = MU_FRAME_ROWS,
        .generation = server->options.generation,
        .tag = pieces->snapshot_id,
        .payload_bytes = (uint32_t)mu_row_piece_close(piece),
    };
    struct mu_send *send = &pieces->sends[i];
    send->owner = server;
    send->finished = piece_finished;
    pieces->busy[i] = true;
    pieces->sending = piece->count > 0;
    mu_link_send(server->leader.link, send, &frame, NULL, piece->count ? piece->data : NULL);
}

void mu_ps_pieces_go_on(struct mu_ps_server *server)
{
    struct mu_ps_row_pieces *pieces = &server->pieces;
    for (int i = 0; pieces->sending && server->leader.link && i < MU_ROW_PIECES_MAX; i++)
        if (!pieces->busy[i])
            send_piece(server, i);
}

void mu_ps_pieces_drop(struct mu_ps_server *server)
{
    mu_table_sweep_drop(&server->pieces.sweep);
    server->pieces.sending = false;
}

/* ---- restoring ---- */

enum mu_link_answer mu_ps_pieces_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, void **ret_payload)
{
    struct mu_ps_server *server = peer->server;
    struct mu_row_piece *piece = &server->pieces.piece[0];
    if (server->begun || server->state.restored != 0)
        return mu_ps_refuse(peer, "sent ROWS after the state that they belong to");
    if (!server->rows.store.table)
        return mu_ps_refuse(peer, "sent ROWS, and the model has no embedding table");
    piece->count = mu_row_piece_count(piece, frame->payload_bytes);
    if (piece->count == 0 || piece->count == SIZE_MAX)
        return mu_ps_refuse(
            peer, "sent ROWS of %u bytes, which is no number of rows", frame->payload_bytes);
    *ret_payload = piece->data;
    return MU_LINK_TAKE;
}

void mu_ps_pieces_arrived(struct mu_ps_peer *peer)
{
    struct mu_ps_server *server = peer->server;
    const struct mu_row_piece *piece = &server->pieces.piece[0];
    const uint64_t *ids = mu_row_piece_ids(piece);
    if (!mu_ps_rows_are_ours(server, ids, piece->count)) {
        mu_ps_blame(peer, MU_E0404,
            "restores an embedding row with an id out of range, or of another server");
        return;
    }
    for (size_t i = 0; i < piece->count; i++) {
        const float *row = mu_row_piece_rows(piece) + i * piece->stride;
        if (mu_table_put(server->rows.store.table, ids[i], row) == MU_OK)
            continue;
        mu_ps_failed(server, peer,
            mu_fail(server->options.log, MU_E0801, "add parameter servers",
                "ps/%d has no memory for more embedding rows than the %llu that it was given",
                mu_ps_process(server),
                (unsigned long long)mu_table_count(server->rows.store.table).rows));
        return;
    }
}
