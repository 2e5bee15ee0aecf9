/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot_inside.h"
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static enum mu_status init_sources(struct mu_ps_snapshot *snapshot)
{
    const struct mu_ps_snapshot_options *options = &snapshot->options;
    size_t stride = options->row_width * (1 + (size_t)options->slot_count);
    for (int i = 0; i < snapshot->seat_count; i++) {
        struct mu_snapshot_source *source = &snapshot->sources[i];
        *source = (struct mu_snapshot_source){
            .snapshot = snapshot,
            .order = i,
            .span = mu_split(options->element_count, options->server_count,
                mu_ps_seat_span(i, options->server_count)),
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
    snapshot->seat_count = mu_ps_seat_count(options->server_count, options->replicas);
    snapshot->lost = -1;
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
    for (int i = 0; i < snapshot->seat_count; i++) {
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
        snapshot->culprit = mu_ps_seat_process(order, snapshot->options.server_count);
    }
    snapshot->ended = true;
}

static void blame(struct mu_snapshot_source *source, const char *what)
{
    source->refused = true;
    fail(source->snapshot, source->order,
        mu_fail(source->snapshot->options.log, MU_E0404, NULL, "ps/%d %s",
            mu_ps_seat_process(source->order, source->snapshot->options.server_count), what));
}

static enum mu_link_answer refuse(struct mu_snapshot_source *source, const char *what)
{
    blame(source, what);
    return MU_LINK_REFUSE;
}

/* Of two that have the same, one sends it. */
static bool gives(const struct mu_snapshot_source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    int servers = snapshot->options.server_count;
    int twin = mu_ps_seat_twin(source->order, servers);
    return !source->is_lost && (source->order < servers || snapshot->sources[twin].is_lost);
}

/* Then the cluster says so, or all goes on to its deadline. */
static bool may_be_lost(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->options.replicas > 0 && snapshot->lost < 0;
}

static bool is_missing(const struct mu_snapshot_source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    if (source->is_lost)
        return false;
    if (snapshot->doing == MU_SNAPSHOT_RESTORING)
        return !source->ready || source->sends_pending > 0;
    return snapshot->doing == MU_SNAPSHOT_TAKING && gives(source) &&
           (source->here != (1u << snapshot->vector_count) - 1 || !source->rows_ended);
}

/* ---- links that end ---- */

/* Not while something still comes to the caller's memory. */
static void end_given_up(struct mu_ps_snapshot *snapshot)
{
    bool lands = false;
    for (int i = 0; i < snapshot->seat_count; i++)
        lands = lands || snapshot->sources[i].lands;
    snapshot->ended = snapshot->ended || (snapshot->is_given_up && !lands);
}

/* What servers begin with must come to them whole, and by one link. */
static bool heals(const struct mu_snapshot_source *source, enum mu_status why)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    return snapshot->options.relinks && snapshot->has_begun &&
           snapshot->doing != MU_SNAPSHOT_RESTORING && why != MU_PROTOCOL && !source->refused;
}

static void give_up(struct mu_ps_snapshot *snapshot)
{
    if (snapshot->doing != MU_SNAPSHOT_TAKING || snapshot->ended)
        return;
    snapshot->given_up = snapshot->id;
    snapshot->is_given_up = true;
    end_given_up(snapshot);
}

/* The head may not have heard of the snapshot, or this one not sent all of its part. */
static void unlink_source(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    struct mu_link *link = source->link;
    source->link = NULL;
    source->lost_since_ns = mu_now(snapshot->options.loop->world);
    mu_link_close(link);
    if (snapshot->asked && is_missing(source))
        give_up(snapshot);
}

int mu_ps_snapshot_unlinked(const struct mu_ps_snapshot *snapshot, int order)
{
    for (int i = order; i < snapshot->seat_count; i++)
        if (!snapshot->sources[i].link && !snapshot->sources[i].is_lost)
            return i;
    return -1;
}

int64_t mu_ps_snapshot_lost_since_ns(const struct mu_ps_snapshot *snapshot, int order)
{
    assert(order >= 0 && order < snapshot->seat_count);
    return snapshot->sources[order].lost_since_ns;
}

/* ---- receiving ---- */

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

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    struct mu_snapshot_source *source = owner;
    struct mu_ps_snapshot *snapshot = source->snapshot;
    if (frame->generation != snapshot->options.generation)
        return refuse(source, "sent a frame of another generation");
    bool is_state = frame->type == MU_FRAME_STATE || frame->type == MU_FRAME_ROWS;
    /* A head that heard of a loss first asks the standby: we begin anew when we hear of it. */
    source->is_old = is_state && ((snapshot->given_up > 0 && frame->tag <= snapshot->given_up) ||
                                     (may_be_lost(snapshot) && !gives(source)));
    if (source->is_old)
        return MU_LINK_SKIP;
    if (frame->type == MU_FRAME_STATE && snapshot->doing == MU_SNAPSHOT_TAKING &&
        frame->tag == snapshot->id)
        return on_state(source, frame, body, ret_payload);
    if (frame->type == MU_FRAME_ROWS && snapshot->doing == MU_SNAPSHOT_TAKING &&
        frame->tag == snapshot->id)
        return on_rows(source, frame, ret_payload);
    if (frame->type == MU_FRAME_READY && snapshot->doing == MU_SNAPSHOT_RESTORING &&
        !source->ready && frame->payload_bytes == 0)
        return MU_LINK_TAKE;
    return refuse(source, "sent a frame that has no place here");
}

void mu_snapshot_count_down(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    if (is_missing(source))
        return;
    snapshot->missing--;
    if (snapshot->missing == 0)
        snapshot->ended = true;
}

static void rows_arrived(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    const struct mu_row_piece *piece = &source->piece;
    const uint64_t *ids = mu_row_piece_ids(piece);
    source->rows_ended = piece->count == 0;
    snapshot->rows_come += piece->count;
    for (size_t i = 0; i < piece->count; i++)
        if (mu_split_row(ids[i], snapshot->options.server_count) !=
            mu_ps_seat_span(source->order, snapshot->options.server_count)) {
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
    struct mu_snapshot_source *source = owner;
    struct mu_ps_snapshot *snapshot = source->snapshot;
    source->lands = false;
    end_given_up(snapshot);
    /* It may have begun before its snapshot was given up, and the next one with it. */
    bool is_late = frame->type != MU_FRAME_READY && frame->tag <= snapshot->given_up;
    if (source->is_old || is_late)
        return;
    if (frame->type == MU_FRAME_READY)
        source->ready = true;
    else if (frame->type == MU_FRAME_ROWS)
        rows_arrived(source);
    else
        source->here |= 1u << source->vector;
    mu_snapshot_count_down(source);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct mu_snapshot_source *source = owner;
    source->ended = true;
    source->lands = false;
    end_given_up(source->snapshot);
    if (why == MU_PROTOCOL && !source->refused)
        refuse(source, "sent what is not a frame");
    else if (heals(source, why))
        unlink_source(source);
    else if (is_missing(source) && !may_be_lost(source->snapshot))
        fail(source->snapshot, source->order, MU_CLOSED);
}

static const struct mu_link_events source_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

/* The head, or the deputy after it; as soon as all can give their part. */
static void ask_if_linked(struct mu_ps_snapshot *snapshot)
{
    int head = snapshot->lost == 0 ? snapshot->options.server_count : 0;
    const struct mu_ps_snapshot_body asked = {.gives = true, .lost = snapshot->lost};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    if (snapshot->doing != MU_SNAPSHOT_TAKING || snapshot->ended || snapshot->asked ||
        mu_ps_snapshot_unlinked(snapshot, 0) >= 0)
        return;
    snapshot->asked = true;
    mu_ps_snapshot_put(&body, memory, &asked);
    mu_link_post(snapshot->sources[head].link, MU_FRAME_SNAPSHOT, snapshot->options.generation,
        snapshot->id, snapshot->options.replicas > 0 ? &body : NULL);
}

void mu_ps_snapshot_add_server(struct mu_ps_snapshot *snapshot, int order, struct mu_link *link)
{
    assert(order >= 0 && order < snapshot->seat_count);
    struct mu_snapshot_source *source = &snapshot->sources[order];
    if (source->is_lost) {
        mu_link_close(link);
        return;
    }
    if (source->link && heals(source, MU_CLOSED))
        unlink_source(source);
    assert(!source->link);
    source->link = link;
    source->ended = !mu_link_alive(link);
    mu_link_adopt(link, &source_events, source);
    if (source->ended && heals(source, MU_CLOSED))
        unlink_source(source);
    else
        mu_link_resume(link);
    ask_if_linked(snapshot);
}

/* ---- what both do ---- */

enum mu_status mu_snapshot_check_alive(struct mu_ps_snapshot *snapshot)
{
    for (int i = 0; i < snapshot->seat_count; i++) {
        if (snapshot->sources[i].is_lost)
            continue;
        if (!snapshot->sources[i].link && snapshot->has_begun)
            continue; /* it comes back */
        assert(snapshot->sources[i].link);
        if (snapshot->sources[i].ended && !may_be_lost(snapshot))
            fail(snapshot, i, MU_CLOSED);
    }
    return snapshot->failure;
}

enum mu_status mu_snapshot_begin(struct mu_ps_snapshot *snapshot, enum mu_snapshot_doing doing)
{
    assert(snapshot->doing == MU_SNAPSHOT_IDLE);
    MU_TRY(mu_snapshot_check_alive(snapshot));
    for (int i = 0; i < snapshot->seat_count; i++) {
        snapshot->sources[i].here = 0;
        snapshot->sources[i].ready = false;
        snapshot->sources[i].rows_ended = snapshot->options.row_width == 0;
    }
    snapshot->doing = doing;
    snapshot->ended = snapshot->is_given_up = false;
    snapshot->missing = 0;
    for (int i = 0; i < snapshot->seat_count; i++)
        snapshot->missing += is_missing(&snapshot->sources[i]);
    return MU_OK;
}

enum mu_status mu_snapshot_finish(struct mu_ps_snapshot *snapshot, int64_t deadline_ns)
{
    enum mu_status status = mu_loop_until(snapshot->options.loop, &snapshot->ended, deadline_ns);
    if (snapshot->failure != MU_OK)
        return snapshot->failure;
    if (snapshot->is_given_up) {
        snapshot->doing = MU_SNAPSHOT_IDLE;
        return MU_UNAVAILABLE;
    }
    for (int i = snapshot->seat_count - 1; status == MU_TIMEOUT && i >= 0; i--)
        if (is_missing(&snapshot->sources[i]))
            snapshot->culprit = mu_ps_seat_process(i, snapshot->options.server_count);
    if (status == MU_TIMEOUT && mu_ps_snapshot_unlinked(snapshot, 0) >= 0)
        snapshot->culprit = mu_ps_seat_process(
            mu_ps_snapshot_unlinked(snapshot, 0), snapshot->options.server_count);
    MU_TRY(status);
    snapshot->doing = MU_SNAPSHOT_IDLE;
    return MU_OK;
}

/* ---- taking ---- */

enum mu_status mu_ps_snapshot_start(
    struct mu_ps_snapshot *snapshot, float *const vectors[], const struct mu_row_sink *sink)
{
    assert(sink || snapshot->options.row_width == 0);
    MU_TRY(mu_snapshot_begin(snapshot, MU_SNAPSHOT_TAKING));
    for (int i = 0; i < snapshot->vector_count; i++)
        snapshot->vectors[i] = vectors[i];
    snapshot->sink = sink ? *sink : (struct mu_row_sink){0};
    snapshot->version = -1;
    snapshot->id++;
    snapshot->asked = false;
    ask_if_linked(snapshot);
    return snapshot->failure;
}

void mu_ps_snapshot_lose_server(struct mu_ps_snapshot *snapshot, int process)
{
    int servers = snapshot->options.server_count;
    int seats[] = {process, mu_ps_seat_standby_in(process, servers)};
    assert(snapshot->options.replicas > 0);
    assert(process >= 0 && process < servers);
    if (snapshot->lost == process)
        return;
    if (snapshot->lost >= 0 || snapshot->doing == MU_SNAPSHOT_RESTORING) {
        fail(snapshot, process, MU_CLOSED);
        return;
    }
    snapshot->lost = process;
    for (int i = 0; i < 2; i++) {
        struct mu_snapshot_source *source = &snapshot->sources[seats[i]];
        source->is_lost = source->ended = true;
        source->lands = false;
        mu_link_close(source->link);
        source->link = NULL;
    }
    give_up(snapshot);
}

bool mu_ps_snapshot_done(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->ended;
}

enum mu_status mu_ps_snapshot_wait(
    struct mu_ps_snapshot *snapshot, int64_t deadline_ns, int64_t *ret_version, int64_t *judged)
{
    assert(snapshot->doing == MU_SNAPSHOT_TAKING);
    MU_TRY(mu_snapshot_finish(snapshot, deadline_ns));
    *ret_version = snapshot->version;
    memcpy(judged, snapshot->judged, (size_t)snapshot->options.replica_count * sizeof(*judged));
    return MU_OK;
}

uint64_t mu_ps_snapshot_rows_come(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->rows_come;
}

int mu_ps_snapshot_culprit(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->culprit;
}
