/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_rows.h"
#include "ps/look.h"
#include "ps/server/server_buffer.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_pieces.h"
#include "ps/server/server_relink.h"
#include "ps/table/table_room.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)64)

/* ---- life ---- */

size_t mu_ps_rows_seen_bytes(const struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    if (options->rows.width == 0 || !mu_ps_plan_correcting(&server->plan))
        return 0;
    return mu_seen_rows_bytes(options->rows.push_max, options->rows.width, options->replica_count,
        options->in_flight_max);
}

static enum mu_status check_dense(
    const struct mu_ps_server *server, const struct mu_row_store_options *store)
{
    bool has_standby = server->options.replicas > 0; /* beside it: not there yet either */
    const struct mu_table_room room = {
        .rows = store->dense_ids / (uint64_t)store->server_count,
        .stride = store->width * (size_t)(1 + store->optimizer->slot_count + store->adapts),
        .dense = true,
        .tables = 1 + has_standby,
        .bytes_besides = (uint64_t)(1 + has_standby) * mu_ps_rows_seen_bytes(server),
        .help =
            "add parameter servers, or leave out `mode.rows` dense: rows then begin at first touch",
    };
    return mu_table_room_check(&room, server->options.log,
        "ps/%d: %" PRIu64 " dense embedding rows of %zu floats, slots included%s%s,",
        mu_ps_process(server), room.rows, room.stride,
        has_standby ? ", and as many for a standby" : "",
        room.bytes_besides > 0 ? ", and what workers compute with" : "");
}

static enum mu_status check(
    const struct mu_ps_server *server, const struct mu_row_store_options *store)
{
    struct mu_log *log = server->options.log;
    const struct mu_ps_rows_body most = {
        .given = (uint32_t)store->push_max, .wanted = (uint32_t)store->push_max};
    if (store->push_max > UINT32_MAX ||
        mu_ps_rows_bytes(&most, store->width) > MU_FRAME_PAYLOAD_MAX)
        return mu_fail(log, MU_E0204, "use a smaller data.batch",
            "a batch may touch %zu embedding rows of %zu floats; a frame carries %u bytes",
            store->push_max, store->width, MU_FRAME_PAYLOAD_MAX);
    if (store->dense_ids > 0)
        return check_dense(server, store);
    if (store->row_limit > 0 && store->row_limit < mu_row_store_step_max(store))
        return mu_fail(log, MU_E0204, "use a larger mode.row_limit, or a smaller data.batch",
            "ps/%d may keep %zu embedding rows; one step may touch %zu", mu_ps_process(server),
            store->row_limit, mu_row_store_step_max(store));
    return MU_OK;
}

static enum mu_status allocate(struct mu_ps_server *server, size_t push_max, size_t width)
{
    MU_TRY(mu_unique_init(&server->rows.ids, push_max));
    const struct mu_ps_rows_body most = {.given = (uint32_t)push_max, .wanted = (uint32_t)push_max};
    size_t count = (size_t)server->options.replica_count * (size_t)server->options.in_flight_max;
    size_t stride = (mu_ps_rows_bytes(&most, width) / ALIGN + 1) * ALIGN;
    server->rows.memory = aligned_alloc(ALIGN, count * stride);
    if (!server->rows.memory)
        return MU_NO_MEMORY;
    server->rows.stride = stride;
    server->rows.where = calloc(count * push_max, sizeof(*server->rows.where));
    server->rows.answered = calloc(count * push_max, sizeof(*server->rows.answered));
    if (!server->rows.where || !server->rows.answered)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        server->buffers[i].rows.data = server->rows.memory + i * stride;
        server->buffers[i].rows.where = server->rows.where + i * push_max;
        server->buffers[i].rows.answered = server->rows.answered + i * push_max;
    }
    if (!mu_ps_plan_correcting(&server->plan))
        return MU_OK;
    return mu_seen_rows_init(&server->rows.seen, push_max, width, server->options.replica_count,
        server->options.in_flight_max);
}

enum mu_status mu_ps_rows_init(struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    const struct mu_row_store_options store = {
        .width = options->rows.width,
        .push_max = options->rows.push_max,
        .gather_max = (size_t)mu_ps_plan_gathered_max(&server->plan),
        .row_limit = options->rows.row_limit,
        .dense_ids = options->rows.dense ? options->rows.id_count : 0,
        .order = mu_ps_seat_span(options->order, options->server_count),
        .server_count = options->server_count,
        .by_range = options->rows.by_range,
        .seed = options->rows.seed,
        .init_row = options->rows.init_row,
        .owner = options->rows.owner,
        .optimizer = options->optimizer,
        .optimizer_options = options->optimizer_options,
        .weight_decay = (float)options->weight_decay,
        .adapts = mu_ps_plan_adapts(&server->plan),
    };
    if (store.width == 0)
        return MU_OK;
    MU_TRY(check(server, &store));
    enum mu_status status = mu_row_store_init(&server->rows.store, &store);
    if (status == MU_OK)
        status = allocate(server, store.push_max, store.width);
    if (status == MU_OK)
        status = mu_ps_pieces_init(server);
    if (status == MU_OK)
        return MU_OK;
    return mu_fail(options->log, MU_E0801, "use a smaller data.batch, or fewer in flight",
        "ps/%d needs room for %zu embedding rows of %zu floats for each of %d workers with %d "
        "pushes in flight",
        mu_ps_process(server), store.push_max, store.width, options->replica_count,
        options->in_flight_max);
}

void mu_ps_rows_finish(struct mu_ps_server *server)
{
    mu_row_store_finish(&server->rows.store);
    mu_unique_finish(&server->rows.ids);
    mu_seen_rows_finish(&server->rows.seen);
    free(server->rows.memory);
    free(server->rows.where);
    free(server->rows.answered);
}

/* ---- what lies in a buffer ---- */

static uint64_t *wanted_ids(const struct mu_ps_row_buffer *rows)
{
    return (uint64_t *)rows->data;
}

static uint64_t *given_ids(const struct mu_ps_row_buffer *rows)
{
    return wanted_ids(rows) + rows->counts.wanted;
}

/* Of what has travelled. */
static float *gradients(const struct mu_ps_row_buffer *rows)
{
    return (float *)(given_ids(rows) + rows->counts.given);
}

/* ---- from links ---- */

/* The ids where they lie, and what else is in there; NULL: it is not all in the memory that the
 * worker shares. The counts are in range. */
static const uint64_t *find_places(
    const struct mu_ps_peer *peer, struct mu_ps_row_buffer *rows, const struct mu_ps_rows_body *at)
{
    const struct mu_shared_memory *shared = &peer->of_worker.shared;
    size_t row_bytes = peer->server->rows.store.options.width * sizeof(float);
    size_t id_count = (size_t)at->wanted + at->given;
    if (at->given > 0) {
        rows->gradients =
            mu_vectors_find(shared, at->gradients_at, at->given * row_bytes, MU_VECTORS_ROW_ALIGN);
        if (!rows->gradients)
            return NULL;
    }
    if (at->wanted > 0) {
        rows->values =
            mu_vectors_find(shared, at->values_at, at->wanted * row_bytes, MU_VECTORS_ROW_ALIGN);
        if (!rows->values)
            return NULL;
    }
    return mu_vectors_find(shared, at->ids_at, id_count * sizeof(uint64_t), sizeof(uint64_t));
}

/* What the counts say is taken, unless it is none: ids are here then, or will be. */
static enum mu_ps_flaw take(struct mu_ps_peer *peer, struct mu_ps_row_buffer *rows,
    const struct mu_frame *frame, const struct mu_ps_rows_body *counts)
{
    const struct mu_row_store_options *options = &peer->server->rows.store.options;
    bool placed = mu_ps_rows_are_placed(counts);
    size_t bytes = mu_ps_rows_bytes(counts, options->width);
    rows->values = NULL;
    if (counts->given > options->push_max || counts->wanted > options->push_max ||
        frame->payload_bytes != (placed ? 0 : bytes))
        return MU_PS_FLAW_ROWS;
    const uint64_t *ids = placed ? find_places(peer, rows, counts) : NULL;
    if (placed && !ids)
        return MU_PS_FLAW_PLACE;
    rows->counts = *counts;
    if (placed) {
        memcpy(rows->data, ids, ((size_t)counts->wanted + counts->given) * sizeof(*ids));
        peer->server->load.bytes_in += bytes;
    } else {
        rows->gradients = gradients(rows);
    }
    return frame->tag == peer->of_worker.sequence_next ? MU_PS_FLAW_NONE : MU_PS_FLAW_TURN;
}

bool mu_ps_rows_frame(struct mu_ps_peer *peer, struct mu_ps_buffer *buffer,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct mu_ps_row_buffer *rows = &buffer->rows;
    struct mu_ps_rows_body counts;
    if (!rows->data)
        mu_ps_refuse(peer, "sent ROWS, and the model has no embedding table");
    else if (rows->come)
        mu_ps_refuse(peer, "sent ROWS twice before one PUSH");
    else if (!mu_ps_rows_read(mu_link_decoder(peer->link), body, frame->body_bytes, &counts))
        mu_ps_refuse(peer, "sent a ROWS whose body is malformed");
    if (peer->refused)
        return false;
    rows->counts = (struct mu_ps_rows_body){0};
    rows->flaw = take(peer, rows, frame, &counts);
    bool takes = rows->flaw != MU_PS_FLAW_ROWS && rows->flaw != MU_PS_FLAW_PLACE;
    *ret_payload = takes ? rows->data : NULL;
    return true;
}

bool mu_ps_rows_are_ours(const struct mu_ps_server *server, const uint64_t *ids, size_t count)
{
    const struct mu_ps_server_options *options = &server->options;
    const struct mu_row_split split =
        mu_row_split_by(options->server_count, options->rows.by_range, options->rows.id_count);
    for (size_t i = 0; i < count; i++)
        if ((options->rows.id_count > 0 && ids[i] >= options->rows.id_count) ||
            mu_row_split_server(&split, ids[i]) !=
                mu_ps_seat_span(options->order, options->server_count))
            return false;
    return true;
}

/* Are the rows that are given those of the last answer? Then their ids are sound. */
static bool were_answered(const struct mu_ps_row_buffer *rows)
{
    size_t given = rows->counts.given;
    return given == rows->where_count &&
           memcmp(rows->answered, given_ids(rows), given * sizeof(*rows->answered)) == 0;
}

/* A row that is given twice would take two steps for one gradient. */
static enum mu_ps_flaw flaw_of_ids(struct mu_ps_server *server, const struct mu_ps_row_buffer *rows)
{
    size_t wanted = rows->counts.wanted, given = were_answered(rows) ? 0 : rows->counts.given;
    if (!mu_ps_rows_are_ours(server, wanted_ids(rows), wanted + given))
        return MU_PS_FLAW_ID;
    if (!mu_unique_are(&server->rows.ids, wanted_ids(rows), wanted) ||
        !mu_unique_are(&server->rows.ids, given_ids(rows), given))
        return MU_PS_FLAW_TWICE;
    return MU_PS_FLAW_NONE;
}

void mu_ps_rows_arrived(struct mu_ps_peer *peer, struct mu_ps_buffer *buffer)
{
    struct mu_ps_row_buffer *rows = &buffer->rows;
    rows->come = true;
    enum mu_ps_flaw flaw = flaw_of_ids(peer->server, rows);
    if (flaw != MU_PS_FLAW_NONE) {
        rows->flaw = flaw;
        rows->counts = (struct mu_ps_rows_body){0};
    }
}

enum mu_ps_flaw mu_ps_rows_flaw(const struct mu_ps_buffer *buffer, float scale)
{
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    size_t given = rows->counts.given;
    if (rows->flaw != MU_PS_FLAW_NONE || given == 0)
        return rows->flaw;
    return mu_look_at(rows->gradients, given * buffer->server->rows.store.options.width, scale);
}

/* ---- at a place in the order ---- */

static struct mu_row_step step_of(
    const struct mu_ps_server *server, double learning_rate, double gradient_scale)
{
    return (struct mu_row_step){.learning_rate = (float)learning_rate,
        .gradient_scale = (float)gradient_scale,
        .step = server->shard.version + 1};
}

static enum mu_status check_memory(struct mu_ps_server *server, enum mu_status status)
{
    if (status == MU_OK)
        return MU_OK;
    return mu_fail(server->options.log, MU_E0801,
        "add parameter servers, or set mode.row_limit: rows not used for long leave then",
        "ps/%d has no memory for more embedding rows than its %llu", mu_ps_process(server),
        (unsigned long long)mu_table_count(server->rows.store.table).rows);
}

const float *const *mu_ps_rows_seen(struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    if (verdict->verdict != MU_VERDICT_CORRECT || rows->counts.given == 0)
        return NULL;
    return mu_seen_rows_find(&server->rows.seen, buffer->worker,
        verdict->version - verdict->staleness, given_ids(rows), rows->counts.given,
        &server->rows.ids);
}

/* To correct a gradient is to change it: not the worker's own. */
static float *own_gradients(const struct mu_ps_server *server, const struct mu_ps_row_buffer *rows)
{
    float *own = gradients(rows);
    size_t bytes = rows->counts.given * server->rows.store.options.width * sizeof(*own);
    if (rows->gradients != own)
        memcpy(own, rows->gradients, bytes);
    return own;
}

enum mu_status mu_ps_rows_apply(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    struct mu_row_store *store = &server->rows.store;
    size_t count = rows->counts.given;
    if (count == 0)
        return MU_OK;
    const struct mu_row_step step = step_of(server, verdict->learning_rate, verdict->weight);
    const uint32_t *where = rows->where_count == count ? rows->where : NULL;
    const struct mu_row_correction correction = {
        .correct = mu_ps_phase_of(server)->policy->correct,
        .options = mu_ps_phase_of(server)->policy_options,
        .seen = mu_ps_rows_seen(server, buffer),
    };
    server->load.rows_given += count;
    if (!correction.seen)
        return check_memory(server,
            mu_row_store_apply_where(store, given_ids(rows), where, count, rows->gradients, &step));
    return check_memory(server, mu_row_store_apply_corrected(store, given_ids(rows), where, count,
                                    own_gradients(server, rows), &step, &correction));
}

void mu_ps_rows_gather(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    size_t count = rows->counts.given;
    if (count == 0)
        return;
    server->load.rows_given += count;
    mu_row_store_gather(&server->rows.store, given_ids(rows), count, rows->gradients,
        (float)buffer->verdict.weight);
}

enum mu_status mu_ps_rows_apply_gathered(struct mu_ps_server *server, double learning_rate)
{
    if (!server->rows.store.table)
        return MU_OK;
    float scale = 1 / (float)server->shard.gathered; /* as the shard has it */
    const struct mu_row_step step = step_of(server, learning_rate, (double)scale);
    return check_memory(server, mu_row_store_apply_gathered(&server->rows.store, &step));
}

void mu_ps_rows_forget(struct mu_ps_buffer *buffer)
{
    struct mu_ps_row_buffer *rows = &buffer->rows;
    rows->come = false;
    rows->flaw = MU_PS_FLAW_NONE;
    rows->counts = (struct mu_ps_rows_body){0};
}

size_t mu_ps_rows_given(const struct mu_ps_buffer *buffer, size_t width, const void **ret_rows)
{
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    const struct mu_ps_rows_body given = {.given = rows->counts.given};
    if (rows->gradients != gradients(rows))
        memcpy(gradients(rows), rows->gradients, given.given * width * sizeof(float));
    *ret_rows = given_ids(rows);
    return mu_ps_rows_bytes(&given, width);
}

/* Where the wanted rows are kept, as they are now; NULL: they are not. What is refused is not the
 * same on all servers: one may have found no ids. */
static const float *remember(
    struct mu_ps_server *server, struct mu_ps_buffer *buffer, const uint64_t *ids, size_t count)
{
    bool is_refused =
        buffer->verdict.item == MU_PS_ITEM_GRADIENT && buffer->verdict.verdict == MU_VERDICT_REFUSE;
    float *seen = is_refused || count == 0
                      ? NULL
                      : mu_seen_rows_store(&server->rows.seen, buffer->worker, buffer->sequence,
                            ids, count, server->shard.version);
    if (seen)
        mu_row_store_read_where(&server->rows.store, ids, count, seen, buffer->rows.where);
    return seen;
}

void mu_ps_rows_reply(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    struct mu_ps_row_buffer *rows = &buffer->rows;
    struct mu_ps_peer *worker = &server->workers[buffer->worker];
    size_t count = rows->counts.wanted, width = server->rows.store.options.width;
    const uint64_t *ids = (const uint64_t *)rows->data;
    const float *seen = remember(server, buffer, ids, count);
    mu_ps_rows_forget(buffer);
    if (count == 0 || !mu_ps_brings(server) || !mu_ps_relink_sends(server, buffer))
        return;
    float *values = rows->values ? rows->values : (float *)(rows->data + count * sizeof(*ids));
    size_t bytes = count * width * sizeof(*values);
    if (seen)
        memcpy(values, seen, bytes);
    else
        mu_row_store_read_where(&server->rows.store, ids, count, values, rows->where);
    memcpy(rows->answered, ids, count * sizeof(*ids));
    rows->where_count = count;
    const struct mu_frame frame = {
        .type = MU_FRAME_ROWS,
        .generation = server->options.generation,
        .tag = buffer->tag,
        .payload_bytes = rows->values ? 0 : (uint32_t)bytes,
    };
    server->load.rows_wanted += count;
    server->load.bytes_out += rows->values ? bytes : 0;
    mu_ps_buffer_send(buffer, worker, &rows->reply, &frame, NULL, values);
}
