/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot.h"
#include "ps/ps_bodies.h"
#include "ps/row_piece.h"
#include "ps/shard.h"
#include <stdlib.h>
#include <string.h>

struct source {
    struct mu_ps_snapshot *snapshot;
    int order;
    struct mu_span span;
    struct mu_link *link;
    bool ended, refused;
    uint32_t here; /* vectors that have come, bit by bit */
    int vector;    /* of the frame at hand */
    bool ready;    /* restored */
    struct mu_send sends[MU_SHARD_VECTORS_MAX];
    int sends_pending;
    struct mu_row_piece piece; /* of the embedding table, coming or going */
    struct mu_send piece_send;
    bool rows_ended; /* all have come */
};

struct mu_ps_snapshot {
    struct mu_ps_snapshot_options options;
    int vector_count;
    struct source sources[MU_PS_SERVERS_MAX];
    enum { IDLE, TAKING, RESTORING } doing;
    int missing; /* servers of which something is still to come */
    bool ended;  /* whole, or it has failed */
    uint64_t id;
    float *vectors[MU_SHARD_VECTORS_MAX];
    struct mu_row_sink sink;
    uint64_t rows_come;
    int64_t version;
    int64_t total; /* RESTORE: of updates that the run plans */
    int64_t judged[MU_PS_REPLICAS_MAX], judged_seen[MU_PS_REPLICAS_MAX];
    uint8_t first_body[MU_PS_STATE_BODY_MAX]; /* of RESTORE to the head, the counts included */
    uint8_t bodies[MU_SHARD_VECTORS_MAX][MU_PS_BODY_MAX];
    enum mu_status failure; /* the first; it stays */
    int culprit;
};

/* ---- life ---- */

static enum mu_status init_sources(struct mu_ps_snapshot *snapshot)
{
    const struct mu_ps_snapshot_options *options = &snapshot->options;
    size_t stride = options->row_width * (1 + (size_t)options->slot_count);
    for (int i = 0; i < options->server_count; i++) {
        struct source *source = &snapshot->sources[i];
        *source = (struct source){
            .snapshot = snapshot,
            .order = i,
            .span = mu_split(options->element_count, options->server_count, i),
        };
        MU_TRY(mu_row_piece_init(&source->piece, stride));
    }
    return MU_OK;
}

enum mu_status mu_ps_snapshot_create(
    const struct mu_ps_snapshot_options *options, struct mu_ps_snapshot **ret_snapshot)
{
    assert(options->server_count > 0 && options->server_count <= MU_PS_SERVERS_MAX);
    assert(options->replica_count > 0 && options->replica_count <= MU_PS_REPLICAS_MAX);
    assert(options->slot_count >= 0 && options->slot_count <= MU_SLOTS_MAX);
    struct mu_ps_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return mu_fail(options->log, MU_E0801, NULL, "no memory for snapshots");
    snapshot->options = *options;
    snapshot->vector_count = 1 + options->slot_count;
    snapshot->culprit = -1;
    enum mu_status status = init_sources(snapshot);
    if (status != MU_OK) {
        mu_ps_snapshot_destroy(snapshot);
        return mu_fail(options->log, MU_E0801, NULL, "no memory for snapshots of embedding rows");
    }
    *ret_snapshot = snapshot;
    return MU_OK;
}

void mu_ps_snapshot_destroy(struct mu_ps_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (int i = 0; i < snapshot->options.server_count; i++) {
        mu_link_close(snapshot->sources[i].link);
        mu_row_piece_finish(&snapshot->sources[i].piece);
    }
    free(snapshot);
}

/* ---- failing ---- */

static void fail(struct mu_ps_snapshot *snapshot, int order, enum mu_status why)
{
    if (snapshot->failure == MU_OK) {
        snapshot->failure = why;
        snapshot->culprit = order;
    }
    snapshot->ended = true;
}

static void blame(struct source *source, const char *what)
{
    source->refused = true;
    fail(source->snapshot, source->order,
        mu_fail(source->snapshot->options.log, MU_E0404, NULL, "ps/%d %s", source->order, what));
}

static enum mu_link_answer refuse(struct source *source, const char *what)
{
    blame(source, what);
    return MU_LINK_REFUSE;
}

static bool is_missing(const struct source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    if (snapshot->doing == RESTORING)
        return !source->ready || source->sends_pending > 0;
    return snapshot->doing == TAKING &&
           (source->here != (1u << snapshot->vector_count) - 1 || !source->rows_ended);
}

/* ---- receiving ---- */

static enum mu_link_answer on_state(
    struct source *source, const struct mu_frame *frame, const void *body, void **ret_payload)
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
    *ret_payload = snapshot->vectors[state.vector] + source->span.first;
    return MU_LINK_TAKE;
}

/* No rows: that was all. */
static enum mu_link_answer on_rows(
    struct source *source, const struct mu_frame *frame, void **ret_payload)
{
    if (source->rows_ended)
        return refuse(source, "sent more embedding rows than there are");
    source->piece.count = mu_row_piece_count(&source->piece, frame->payload_bytes);
    if (source->piece.count == SIZE_MAX)
        return refuse(source, "sent what is no number of embedding rows");
    *ret_payload = source->piece.count > 0 ? source->piece.data : NULL;
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    struct source *source = owner;
    struct mu_ps_snapshot *snapshot = source->snapshot;
    if (frame->generation != snapshot->options.generation)
        return refuse(source, "sent a frame of another generation");
    if (frame->type == MU_FRAME_STATE && snapshot->doing == TAKING && frame->tag == snapshot->id)
        return on_state(source, frame, body, ret_payload);
    if (frame->type == MU_FRAME_ROWS && snapshot->doing == TAKING && frame->tag == snapshot->id)
        return on_rows(source, frame, ret_payload);
    if (frame->type == MU_FRAME_READY && snapshot->doing == RESTORING && !source->ready &&
        frame->payload_bytes == 0)
        return MU_LINK_TAKE;
    return refuse(source, "sent a frame that has no place here");
}

static void count_down(struct source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    if (is_missing(source))
        return;
    snapshot->missing--;
    if (snapshot->missing == 0)
        snapshot->ended = true;
}

static void rows_arrived(struct source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    const struct mu_row_piece *piece = &source->piece;
    const uint64_t *ids = mu_row_piece_ids(piece);
    source->rows_ended = piece->count == 0;
    snapshot->rows_come += piece->count;
    for (size_t i = 0; i < piece->count; i++)
        if (mu_split_row(ids[i], snapshot->options.server_count) != source->order) {
            blame(source, "sent an embedding row of another server");
            return;
        }
    if (piece->count > 0)
        snapshot->sink.put(snapshot->sink.owner, ids, mu_row_piece_rows(piece), piece->count);
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct source *source = owner;
    if (frame->type == MU_FRAME_READY)
        source->ready = true;
    else if (frame->type == MU_FRAME_ROWS)
        rows_arrived(source);
    else
        source->here |= 1u << source->vector;
    count_down(source);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct source *source = owner;
    source->ended = true;
    if (why == MU_PROTOCOL && !source->refused)
        refuse(source, "sent what is not a frame");
    else if (is_missing(source))
        fail(source->snapshot, source->order, MU_CLOSED);
}

static const struct mu_link_events source_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

void mu_ps_snapshot_add_server(struct mu_ps_snapshot *snapshot, int order, struct mu_link *link)
{
    assert(order >= 0 && order < snapshot->options.server_count);
    struct source *source = &snapshot->sources[order];
    assert(!source->link);
    source->link = link;
    source->ended = !mu_link_alive(link);
    mu_link_adopt(link, &source_events, source);
    mu_link_resume(link);
}

/* ---- what both do ---- */

static enum mu_status check_alive(struct mu_ps_snapshot *snapshot)
{
    for (int i = 0; i < snapshot->options.server_count; i++) {
        assert(snapshot->sources[i].link);
        if (snapshot->sources[i].ended)
            fail(snapshot, i, MU_CLOSED);
    }
    return snapshot->failure;
}

static enum mu_status begin(struct mu_ps_snapshot *snapshot, int doing)
{
    assert(snapshot->doing == IDLE);
    MU_TRY(check_alive(snapshot));
    for (int i = 0; i < snapshot->options.server_count; i++) {
        snapshot->sources[i].here = 0;
        snapshot->sources[i].ready = false;
        snapshot->sources[i].rows_ended = snapshot->options.row_width == 0;
    }
    snapshot->doing = doing;
    snapshot->ended = false;
    snapshot->missing = snapshot->options.server_count;
    return MU_OK;
}

static enum mu_status finish(struct mu_ps_snapshot *snapshot, int64_t deadline_ns)
{
    enum mu_status status = mu_loop_until(snapshot->options.loop, &snapshot->ended, deadline_ns);
    if (snapshot->failure != MU_OK)
        return snapshot->failure;
    for (int i = snapshot->options.server_count - 1; status == MU_TIMEOUT && i >= 0; i--)
        if (is_missing(&snapshot->sources[i]))
            snapshot->culprit = i;
    MU_TRY(status);
    snapshot->doing = IDLE;
    return MU_OK;
}

/* ---- taking ---- */

enum mu_status mu_ps_snapshot_start(
    struct mu_ps_snapshot *snapshot, float *const vectors[], const struct mu_row_sink *sink)
{
    assert(sink || snapshot->options.row_width == 0);
    MU_TRY(begin(snapshot, TAKING));
    for (int i = 0; i < snapshot->vector_count; i++)
        snapshot->vectors[i] = vectors[i];
    snapshot->sink = sink ? *sink : (struct mu_row_sink){0};
    snapshot->version = -1;
    snapshot->id++;
    mu_link_post(snapshot->sources[0].link, MU_FRAME_SNAPSHOT, snapshot->options.generation,
        snapshot->id, NULL);
    return snapshot->failure;
}

bool mu_ps_snapshot_done(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->ended;
}

enum mu_status mu_ps_snapshot_wait(
    struct mu_ps_snapshot *snapshot, int64_t deadline_ns, int64_t *ret_version, int64_t *judged)
{
    assert(snapshot->doing == TAKING);
    MU_TRY(finish(snapshot, deadline_ns));
    *ret_version = snapshot->version;
    memcpy(judged, snapshot->judged, (size_t)snapshot->options.replica_count * sizeof(*judged));
    return MU_OK;
}

uint64_t mu_ps_snapshot_rows_come(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->rows_come;
}

/* ---- restoring: rows ---- */

static enum mu_status send_piece(struct source *source, int64_t deadline_ns)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    const struct mu_frame frame = {
        .type = MU_FRAME_ROWS,
        .generation = snapshot->options.generation,
        .payload_bytes = (uint32_t)mu_row_piece_close(&source->piece),
    };
    if (source->piece.count == 0)
        return MU_OK;
    MU_TRY(check_alive(snapshot));
    source->piece_send.done = false;
    mu_link_send(source->link, &source->piece_send, &frame, NULL, source->piece.data);
    enum mu_status status =
        mu_loop_until(snapshot->options.loop, &source->piece_send.done, deadline_ns);
    source->piece.count = 0;
    if (status == MU_TIMEOUT)
        snapshot->culprit = source->order;
    MU_TRY(snapshot->failure);
    MU_TRY(status);
    return check_alive(snapshot);
}

enum mu_status mu_ps_snapshot_give_rows(struct mu_ps_snapshot *snapshot, const uint64_t *ids,
    const float *rows, size_t count, int64_t deadline_ns)
{
    assert(snapshot->doing == IDLE);
    assert(snapshot->options.row_width > 0);
    for (size_t i = 0; i < count; i++) {
        struct source *source =
            &snapshot->sources[mu_split_row(ids[i], snapshot->options.server_count)];
        mu_row_piece_add(&source->piece, ids[i], rows + i * source->piece.stride);
        if (source->piece.count == source->piece.row_max)
            MU_TRY(send_piece(source, deadline_ns));
    }
    return MU_OK;
}

static enum mu_status give_rest(struct mu_ps_snapshot *snapshot, int64_t deadline_ns)
{
    for (int i = 0; i < snapshot->options.server_count; i++)
        MU_TRY(send_piece(&snapshot->sources[i], deadline_ns));
    return MU_OK;
}

/* ---- restoring ---- */

static void restore_sent(struct mu_send *send)
{
    struct source *source = send->owner;
    source->sends_pending--;
    if (source->ready)
        count_down(source);
}

static void send_vector(
    struct source *source, int vector, const uint8_t *body, size_t body_bytes, const float *values)
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
    for (int i = 0; i < snapshot->options.server_count; i++) {
        if (i == 0 && state->vector == 0)
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
    MU_TRY(begin(snapshot, RESTORING));
    snapshot->total = total;
    for (int i = 0; i < snapshot->options.server_count; i++)
        snapshot->sources[i].sends_pending = vector_count;
    struct mu_ps_state_body state = {
        .vector_count = vector_count,
        .version = version,
        .judged = judged,
        .replica_count = judged ? snapshot->options.replica_count : 0,
    };
    for (state.vector = 0; state.vector < vector_count; state.vector++)
        restore_vector(snapshot, &state, vectors[state.vector]);
    return finish(snapshot, deadline_ns);
}

int mu_ps_snapshot_culprit(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->culprit;
}
