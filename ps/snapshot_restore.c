/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot_inside.h"
#include <string.h>

/* ---- restoring: rows ---- */

static enum mu_status send_piece(struct mu_snapshot_source *source, int64_t deadline_ns)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    const struct mu_frame frame = {
        .type = MU_FRAME_ROWS,
        .generation = snapshot->options.generation,
        .payload_bytes = (uint32_t)mu_row_piece_close(&source->piece),
    };
    if (source->piece.count == 0)
        return MU_OK;
    MU_TRY(mu_snapshot_check_alive(snapshot));
    source->piece_send.done = false;
    mu_link_send(source->link, &source->piece_send, &frame, NULL, source->piece.data);
    enum mu_status status =
        mu_loop_until(snapshot->options.loop, &source->piece_send.done, deadline_ns);
    source->piece.count = 0;
    if (status == MU_TIMEOUT)
        snapshot->culprit = mu_ps_seat_process(source->order, snapshot->options.server_count);
    MU_TRY(snapshot->failure);
    MU_TRY(status);
    return mu_snapshot_check_alive(snapshot);
}

enum mu_status mu_ps_snapshot_give_rows(struct mu_ps_snapshot *snapshot, const uint64_t *ids,
    const float *rows, size_t count, int64_t deadline_ns)
{
    assert(snapshot->state == MU_SNAPSHOT_IDLE || snapshot->state == MU_SNAPSHOT_FAILED);
    assert(snapshot->options.row_width > 0);
    const struct mu_row_split split = mu_snapshot_row_split(snapshot);
    for (size_t i = 0; i < count; i++) {
        for (int seat = mu_row_split_server(&split, ids[i]); seat < snapshot->seat_count;
             seat += split.server_count) {
            struct mu_snapshot_source *source = &snapshot->sources[seat];
            mu_row_piece_add(&source->piece, ids[i], rows + i * source->piece.stride);
            if (source->piece.count == source->piece.row_max)
                MU_TRY(send_piece(source, deadline_ns));
        }
    }
    return MU_OK;
}

static enum mu_status give_rest(struct mu_ps_snapshot *snapshot, int64_t deadline_ns)
{
    for (int i = 0; i < snapshot->seat_count; i++)
        MU_TRY(send_piece(&snapshot->sources[i], deadline_ns));
    return MU_OK;
}

/* ---- restoring ---- */

static void restore_sent(struct mu_send *send)
{
    struct mu_snapshot_source *source = send->owner;
    source->sends_pending--;
    if (source->ready)
        mu_snapshot_count_down(source);
}

static void send_vector(struct mu_snapshot_source *source, int vector, const uint8_t *body,
    size_t body_bytes, const float *values)
{
    struct mu_frame frame = {
        .type = MU_FRAME_RESTORE,
        .generation = source->snapshot->options.generation,
        .tag = (uint64_t)source->snapshot->total,
        .body_bytes = (uint32_t)body_bytes,
        .payload_bytes = (uint32_t)(source->span.count * sizeof(float)),
    };
    struct mu_send *send = &source->sends[vector];
    send->owner = source;
    send->finished = restore_sent;
    mu_link_send(source->link, send, &frame, body, values + source->span.first);
}

/* Sends one vector to all servers. */
static void restore_vector(
    struct mu_ps_snapshot *snapshot, const struct mu_ps_state_body *state, const float *values)
{
    struct mu_ps_state_body plain = *state;
    plain.judged = NULL;
    plain.replica_count = 0;
    uint8_t *body = snapshot->bodies[state->vector];
    size_t body_bytes = mu_ps_state_write(body, MU_PS_BODY_MAX, &plain);
    for (int i = 0; i < snapshot->seat_count; i++) {
        bool may_judge = mu_ps_seat_may_judge(i, snapshot->options.server_count);
        if (may_judge && state->vector == 0)
            send_vector(&snapshot->sources[i], 0, snapshot->first_body,
                mu_ps_state_write(snapshot->first_body, MU_PS_STATE_BODY_MAX, state), values);
        else
            send_vector(&snapshot->sources[i], state->vector, body, body_bytes, values);
    }
}

enum mu_status mu_ps_snapshot_restore(struct mu_ps_snapshot *snapshot, const float *const vectors[],
    int vector_count, int64_t version, int64_t total, const int64_t *judged, int64_t deadline_ns)
{
    assert(vector_count == 1 || vector_count == snapshot->vector_count);
    assert(version >= 0);
    MU_TRY(give_rest(snapshot, deadline_ns));
    MU_TRY(mu_snapshot_begin(snapshot, MU_SNAPSHOT_RESTORING));
    snapshot->total = total;
    for (int i = 0; i < snapshot->seat_count; i++)
        snapshot->sources[i].sends_pending = vector_count;
    struct mu_ps_state_body state = {
        .vector_count = vector_count,
        .version = version,
        .judged = judged,
        .replica_count = judged ? snapshot->options.replica_count : 0,
    };
    for (state.vector = 0; state.vector < vector_count; state.vector++)
        restore_vector(snapshot, &state, vectors[state.vector]);
    MU_TRY(mu_snapshot_finish(snapshot, deadline_ns));
    snapshot->has_begun = true;
    return MU_OK;
}
