/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_readers.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_pieces.h"
#include "runtime/base/text.h"

/*
 * Who does not read. The answers to one worker leave in the order of its pushes, so that the oldest
 * one says enough: if it is the same at every look for as long as the server has patience, the
 * worker is cut off. Nothing is counted while one serves.
 */
#define LOOKS 8 /* within a patience */
#define PERIOD_NS_MIN MU_MS

/* ---- what waits in the network ---- */

static bool is_unread(const struct mu_ps_buffer *buffer)
{
    return buffer->state == MU_PS_BUFFER_SENDING && !buffer->reply.done;
}

static uint64_t payload_of(const struct mu_send *send)
{
    struct mu_frame frame;
    return mu_frame_decode(send->header, &frame) == MU_OK ? frame.payload_bytes : 0;
}

static uint64_t unread_bytes(const struct mu_ps_buffer *buffer)
{
    uint64_t bytes = payload_of(&buffer->reply);
    struct mu_frame rows;
    /* Of an earlier push, if this one wanted none. */
    if (!buffer->rows.reply.done && mu_frame_decode(buffer->rows.reply.header, &rows) == MU_OK &&
        rows.tag == buffer->tag)
        bytes += rows.payload_bytes;
    return bytes;
}

struct unread {
    int count;
    uint64_t bytes, oldest; /* sequence */
};

static struct unread unread_of(const struct mu_ps_server *server, int worker)
{
    size_t in_flight = (size_t)server->options.in_flight_max;
    const struct mu_ps_buffer *buffers = server->buffers + (size_t)worker * in_flight;
    struct unread unread = {.oldest = UINT64_MAX};
    for (size_t i = 0; i < in_flight; i++) {
        if (!is_unread(&buffers[i]))
            continue;
        unread.count++;
        unread.bytes += unread_bytes(&buffers[i]);
        if (buffers[i].sequence < unread.oldest)
            unread.oldest = buffers[i].sequence;
    }
    return unread;
}

/* ---- cutting off ---- */

static void cut_off(struct mu_ps_peer *peer, const struct unread *unread, int64_t waited_ns)
{
    struct mu_ps_server *server = peer->server;
    char name[MU_TASK_NAME_MAX + 8], bytes[32], waited[32], did[MU_PS_DID_MAX];
    mu_ps_peer_name(peer, name, sizeof(name));
    mu_text_bytes(bytes, sizeof(bytes), unread->bytes);
    mu_text_duration(waited, sizeof(waited), waited_ns);
    mu_format(did, sizeof(did),
        "%s does not read: %d answer%s for it on ps/%d (%s), for %s now; it is cut off", name,
        unread->count, unread->count == 1 ? " waits" : "s wait", mu_ps_process(server), bytes,
        waited);
    mu_ps_accuse(peer, MU_E0402, did);
    mu_ps_lost(server, peer->index);
    mu_ps_cut(peer);
}

static void check(struct mu_ps_peer *peer, int64_t now_ns)
{
    struct unread unread = unread_of(peer->server, peer->index);
    bool same =
        peer->of_worker.unread_since_ns >= 0 && peer->of_worker.unread_sequence == unread.oldest;
    if (unread.count == 0 || !peer->link) {
        peer->of_worker.unread_since_ns = -1;
    } else if (!same) {
        peer->of_worker.unread_sequence = unread.oldest;
        peer->of_worker.unread_since_ns = now_ns;
    } else if (now_ns - peer->of_worker.unread_since_ns >= peer->server->options.patience_ns) {
        cut_off(peer, &unread, now_ns - peer->of_worker.unread_since_ns);
        peer->of_worker.unread_since_ns = -1;
    }
}

void mu_ps_readers_check(struct mu_ps_server *server)
{
    int64_t now_ns = mu_now(server->options.loop->world);
    server->readers_due = false;
    for (int i = 0; i < server->options.replica_count; i++)
        check(&server->workers[i], now_ns);
}

static void look(void *owner)
{
    ((struct mu_ps_server *)owner)->readers_due = true;
}

enum mu_status mu_ps_readers_watch(struct mu_ps_server *server, struct mu_timer **ret_timer)
{
    struct mu_loop *loop = server->options.loop;
    int64_t period_ns = server->options.patience_ns / LOOKS;
    *ret_timer = NULL;
    if (server->options.patience_ns == 0)
        return MU_OK;
    return loop->ops->timer_start(
        loop, period_ns < PERIOD_NS_MIN ? PERIOD_NS_MIN : period_ns, look, server, ret_timer);
}

/* ---- what is kept ---- */

static uint64_t arena_bytes(const struct mu_arena *arena)
{
    return arena->count * sizeof(float);
}

static uint64_t vector_bytes(const struct mu_ps_server *server)
{
    uint64_t bytes = arena_bytes(&server->vectors.memory) + arena_bytes(&server->shard.gather) +
                     arena_bytes(&server->seen.memory) + arena_bytes(&server->seen.mean_square) +
                     arena_bytes(&server->rows.seen.memory);
    for (int i = 0; i < server->shard.vector_count; i++)
        bytes +=
            arena_bytes(&server->shard.vectors[i]) + arena_bytes(&server->state.stream.copies[i]);
    return bytes;
}

/* Whatever the span is. */
static uint64_t buffer_bytes(const struct mu_ps_server *server)
{
    const struct mu_ps_vectors *vectors = &server->vectors;
    uint64_t each = sizeof(*server->buffers) + mu_ps_told_count(server) * sizeof(*server->told) +
                    sizeof(*vectors->spare) + sizeof(*vectors->laid_bytes);
    if (server->seen.versions)
        each += sizeof(*server->seen.versions);
    return mu_ps_buffer_count(server) * each;
}

/* What is known of workers, what they were told, and the order. */
static uint64_t ledger_bytes(const struct mu_ps_server *server)
{
    uint64_t replicas = (uint64_t)server->options.replica_count;
    uint64_t each = sizeof(*server->workers) + sizeof(*server->ledger) + sizeof(*server->judged) +
                    sizeof(*server->sequence_served) +
                    (uint64_t)server->standby.seat_count * sizeof(*server->noted);
    if (server->answers.kept)
        each += server->answers.count * sizeof(*server->answers.kept);
    if (server->auto_.sent_ns)
        each += sizeof(*server->auto_.sent_ns);
    return replicas * each + server->queue.capacity * sizeof(*server->queue.events) +
           server->standby.known.capacity * sizeof(*server->standby.known.places) +
           mu_arrivals_bytes(&server->auto_.arrivals);
}

/* Besides the table. */
static uint64_t row_buffer_bytes(const struct mu_ps_server *server)
{
    const struct mu_ps_server_rows *rows = &server->rows;
    uint64_t each = rows->stride +
                    rows->store.options.push_max * (sizeof(*rows->where) + sizeof(*rows->answered));
    uint64_t found = 0;
    if (rows->seen.reply) {
        each += sizeof(*rows->seen.reply);
        found = (rows->seen.push_max + 1) * sizeof(*rows->seen.found);
    }
    return mu_ps_buffer_count(server) * each + found + mu_unique_bytes(&rows->ids) +
           mu_row_store_bytes(&rows->store) + mu_ps_pieces_bytes(server);
}

struct mu_ps_kept mu_ps_server_kept(const struct mu_ps_server *server)
{
    struct mu_ps_kept kept = {
        .dense_bytes = (uint64_t)server->shard.vector_count * mu_ps_span_bytes(server),
        .memory = vector_bytes(server) + buffer_bytes(server) + ledger_bytes(server),
        .held_count = server->held_count,
    };
    if (server->rows.store.table) {
        const struct mu_table_counts counts = mu_table_count(server->rows.store.table);
        kept.rows = counts.rows;
        kept.row_bytes = counts.bytes;
        kept.rows_evicted = counts.evicted;
        kept.memory += counts.bytes + row_buffer_bytes(server);
    }
    for (int i = 0; i < server->options.replica_count; i++) {
        const struct unread unread = unread_of(server, i);
        kept.unread_count += unread.count;
        kept.unread_bytes += unread.bytes;
    }
    return kept;
}
