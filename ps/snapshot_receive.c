/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot_inside.h"
#include <string.h>

/* What servers send: their parts of a snapshot, and that they have what they begin with. */

static enum mu_link_answer refuse(struct mu_snapshot_source *source, const char *what)
{
    mu_snapshot_blame(source, what);
    return MU_LINK_REFUSE;
}

/* ---- frames ---- */

static enum mu_link_answer on_state(struct mu_snapshot_source *source, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    struct mu_ps_state_body state;
    if (!mu_ps_state_read(mu_link_decoder(source->link), body, frame->body_bytes,
            snapshot->judged_seen, snapshot->options.replica_count, &state) ||
        state.vector_count != snapshot->vector_count)
        return refuse(source, "sent a STATE whose body is malformed");
    if (source->here & 1u << state.vector)
        return refuse(source, "sent a vector of a snapshot twice");
    if (frame->payload_bytes != source->span.count * sizeof(float))
        return refuse(source, "sent a vector of another length than its span has");
    if (snapshot->version >= 0 && state.version != snapshot->version)
        return refuse(source, "sent its part of a snapshot at another version than the others");
    if (state.replica_count > 0)
        memcpy(snapshot->judged, snapshot->judged_seen, sizeof(snapshot->judged));
    snapshot->version = state.version;
    source->vector = state.vector;
    source->lands = true;
    *ret_payload = snapshot->vectors[state.vector] + source->span.first;
    return MU_LINK_TAKE;
}

/* No rows: that was all. */
static enum mu_link_answer on_rows(
    struct mu_snapshot_source *source, const struct mu_frame *frame, void **ret_payload)
{
    if (source->rows_ended)
        return refuse(source, "sent more embedding rows than there are");
    source->piece.count = mu_row_piece_count(&source->piece, frame->payload_bytes);
    if (source->piece.count == SIZE_MAX)
        return refuse(source, "sent what is no number of embedding rows");
    *ret_payload = source->piece.count > 0 ? source->piece.data : NULL;
    return MU_LINK_TAKE;
}

/* Of a snapshot that was given up; or not from whom it is to come: a head that heard of a loss
 * first asks the standby, and we begin anew when we hear of it. After a failure nothing is used. */
static bool is_skipped(const struct mu_snapshot_source *source, const struct mu_frame *frame)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    if (snapshot->state == MU_SNAPSHOT_FAILED)
        return true;
    if (frame->type != MU_FRAME_STATE && frame->type != MU_FRAME_ROWS)
        return false;
    return (snapshot->given_up > 0 && frame->tag <= snapshot->given_up) ||
           (mu_snapshot_may_be_lost(snapshot) && !mu_snapshot_gives(source));
}

enum mu_link_answer mu_snapshot_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    struct mu_snapshot_source *source = owner;
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    if (frame->generation != snapshot->options.generation)
        return refuse(source, "sent a frame of another generation");
    source->is_skipped = is_skipped(source, frame);
    if (source->is_skipped)
        return MU_LINK_SKIP;
    if (source->waits)
        return MU_LINK_HOLD;
    bool comes = (snapshot->state == MU_SNAPSHOT_COMING || snapshot->state == MU_SNAPSHOT_HERE) &&
                 frame->tag == snapshot->id;
    if (frame->type == MU_FRAME_STATE && comes)
        return on_state(source, frame, body, ret_payload);
    if (frame->type == MU_FRAME_ROWS && comes)
        return on_rows(source, frame, ret_payload);
    if (frame->type == MU_FRAME_READY && mu_snapshot_restores(snapshot) && !source->ready &&
        frame->payload_bytes == 0)
        return MU_LINK_TAKE;
    return refuse(source, "sent a frame that has no place here");
}

/* ---- rows that wait for the sink ---- */

#define AGAIN_NS (5 * MU_MS)

static bool offer(const struct mu_snapshot_source *source)
{
    const struct mu_row_sink *sink = &source->snapshot->sink;
    const struct mu_row_piece *piece = &source->piece;
    return sink->put(sink->owner, mu_row_piece_ids(piece), mu_row_piece_rows(piece), piece->count);
}

/* Of a link that was held the next frame comes from inside of resume, so the timer goes first. */
static void offer_again(void *owner)
{
    struct mu_ps_snapshot *snapshot = owner;
    for (int i = 0; i < snapshot->seat_count; i++)
        if (snapshot->sources[i].waits)
            snapshot->sources[i].waits = !offer(&snapshot->sources[i]);
    if (!mu_ps_snapshot_is_held(snapshot)) {
        snapshot->options.loop->ops->timer_stop(snapshot->again);
        snapshot->again = NULL;
    }
    for (int i = 0; i < snapshot->seat_count; i++)
        if (snapshot->sources[i].link && !snapshot->sources[i].waits)
            mu_link_resume(snapshot->sources[i].link);
}

static void put_rows(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    struct mu_loop *loop = snapshot->options.loop;
    source->waits = !offer(source);
    if (source->waits && !snapshot->again &&
        loop->ops->timer_start(loop, AGAIN_NS, offer_again, snapshot, &snapshot->again) != MU_OK)
        mu_snapshot_fail(snapshot, source->order,
            mu_fail(snapshot->options.log, MU_E0801, NULL, "no memory to wait for a disk"));
}

/* The timer lets their links go on. */
void mu_snapshot_forget_waiting(struct mu_ps_snapshot *snapshot)
{
    for (int i = 0; i < snapshot->seat_count; i++)
        snapshot->sources[i].waits = false;
}

/* ---- what has come ---- */

static void rows_arrived(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    const struct mu_row_piece *piece = &source->piece;
    const uint64_t *ids = mu_row_piece_ids(piece);
    const struct mu_row_split split = mu_snapshot_row_split(snapshot);
    source->rows_ended = piece->count == 0;
    snapshot->rows_come += piece->count;
    for (size_t i = 0; i < piece->count; i++)
        if (mu_row_split_server(&split, ids[i]) !=
            mu_ps_seat_span(source->order, snapshot->options.server_count)) {
            mu_snapshot_blame(source, "sent an embedding row of another server");
            return;
        }
    if (piece->count > 0)
        put_rows(source);
}

void mu_snapshot_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_snapshot_source *source = owner;
    struct mu_ps_snapshot *snapshot = source->snapshot;
    source->lands = false;
    mu_snapshot_leave(snapshot);
    /* It may have begun before its snapshot was given up, and the next one with it. */
    bool is_late = frame->type != MU_FRAME_READY && frame->tag <= snapshot->given_up;
    if (source->is_skipped || is_late)
        return;
    if (frame->type == MU_FRAME_READY)
        source->ready = true;
    else if (frame->type == MU_FRAME_ROWS)
        rows_arrived(source);
    else
        source->here |= 1u << source->vector;
    mu_snapshot_count_down(source);
}
