/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_answers.h"
#include "ps/server/server_audit.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_heal.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_modes.h"
#include "ps/server/server_order.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_pieces.h"
#include "ps/server/server_queue.h"
#include "ps/server/server_readers.h"
#include "ps/server/server_relink.h"
#include "ps/server/server_rows.h"
#include "ps/server/server_serve.h"
#include "ps/server/server_share.h"
#include "ps/server/server_state.h"
#include "ps/server/server_takeover.h"
#include "ps/spin.h"
#include <stdlib.h>

/*
 * The straight line: run takes the next event of the order, which the callbacks have queued, and
 * serves it to its end; then the loop turns once. What serving a gradient means is in
 * server_serve.c.
 */

/* ---- life ---- */

static enum mu_status check(const struct mu_ps_server_options *options, struct mu_span span)
{
    assert(options->replicas == 0 || (options->replicas == 1 && options->server_count > 1));
    assert(options->server_count > 0 && options->server_count <= MU_PS_SERVERS_MAX);
    assert(options->order >= 0);
    assert(options->order < mu_ps_seat_count(options->server_count, options->replicas));
    assert(options->replica_count > 0 && options->replica_count <= MU_PS_REPLICAS_MAX);
    assert(options->in_flight_max > 0 && options->in_flight_max <= MU_PS_IN_FLIGHT_MAX);
    if (span.count <= MU_FRAME_PAYLOAD_MAX / sizeof(float))
        return MU_OK;
    return mu_fail(options->log, MU_E0204, "use more parameter servers",
        "the part of ps/%d has %zu parameters; a frame carries %zu",
        mu_ps_seat_process(options->order, options->server_count), span.count,
        MU_FRAME_PAYLOAD_MAX / sizeof(float));
}

static void init_buffers(struct mu_ps_server *server, size_t told_count)
{
    size_t in_flight = (size_t)server->options.in_flight_max;
    for (size_t i = 0; i < (size_t)server->options.replica_count * in_flight; i++)
        server->buffers[i] = (struct mu_ps_buffer){
            .server = server,
            .worker = (int)(i / in_flight),
            .told = server->told + i * told_count,
        };
}

static void init_peers(struct mu_ps_server *server)
{
    size_t replicas = (size_t)server->options.replica_count;
    for (size_t i = 0; i < replicas; i++)
        server->workers[i] = (struct mu_ps_peer){.server = server,
            .kind = MU_PS_PEER_WORKER,
            .index = (int)i,
            .of_worker.unread_since_ns = -1};
    server->leader = (struct mu_ps_peer){.server = server, .kind = MU_PS_PEER_LEADER};
    for (int i = 0; i < server->standby.seat_count; i++)
        server->others[i] = (struct mu_ps_peer){
            .server = server,
            .kind = MU_PS_PEER_SERVER,
            .index = i,
            .of_server.noted = server->noted + (size_t)i * replicas,
        };
}

/* For large spans, where another processor may have time for them. Without one it goes on as well.
 * With standbys all processes do twice as much: of two processors none has time. */
static void make_helper(struct mu_ps_server *server)
{
    struct mu_loop *loop = server->options.loop;
    if (loop->processors > 1 + server->options.replicas &&
        server->shard.span.count >= MU_SHARD_HELPED_MIN)
        (void)!mu_helper_create(loop->world, &server->shard.helper);
}

static enum mu_status allocate(struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    size_t replicas = (size_t)options->replica_count;
    size_t buffers = mu_ps_buffer_count(server), told = mu_ps_told_count(server);
    size_t span = server->shard.span.count;
    server->workers = calloc(replicas, sizeof(*server->workers));
    server->buffers = calloc(buffers, sizeof(*server->buffers));
    server->told = calloc(buffers * told + 1, sizeof(*server->told));
    server->noted = calloc(replicas * (size_t)server->standby.seat_count, sizeof(*server->noted));
    server->sequence_served = calloc(replicas, sizeof(*server->sequence_served));
    server->judged = calloc(replicas, sizeof(*server->judged));
    server->ledger = calloc(replicas, sizeof(*server->ledger));
    if (!server->workers || !server->buffers || !server->told || !server->noted ||
        !server->sequence_served || !server->judged || !server->ledger)
        return MU_NO_MEMORY;
    /* Each worker may be lost and join; a snapshot, a choice, and the end of a head. */
    MU_TRY(mu_ps_queue_init(&server->queue, buffers + 2 * replicas + 3));
    MU_TRY(mu_ps_auto_init(server));
    if (mu_ps_plan_gathers(&server->plan))
        MU_TRY(mu_shard_make_room(&server->shard));
    if (mu_ps_plan_correcting(&server->plan))
        MU_TRY(mu_seen_init(&server->seen, span, options->replica_count, options->in_flight_max));
    for (int i = 0; i < server->shard.vector_count; i++)
        MU_TRY(mu_arena_reserve(&server->state.stream.copies[i], server->shard.vectors[i].count));
    MU_TRY(mu_ps_vectors_init(&server->vectors, buffers, span));
    make_helper(server);
    init_buffers(server, told);
    init_peers(server);
    MU_TRY(mu_ps_standby_init(server));
    return mu_ps_relink_init(server);
}

enum mu_status mu_ps_server_create(
    const struct mu_ps_server_options *options, struct mu_ps_server **ret_server)
{
    struct mu_span span = mu_split(options->element_count, options->server_count,
        mu_ps_seat_span(options->order, options->server_count));
    MU_TRY(check(options, span));
    struct mu_ps_server *server = calloc(1, sizeof(*server));
    enum mu_status status = MU_NO_MEMORY;
    if (server) {
        server->options = *options;
        server->options.relinks = options->relinks || options->replicas > 0;
        server->other_ended = -1;
        server->standby.lost = -1;
        server->standby.seat_count = server->standby.live_count =
            mu_ps_seat_count(options->server_count, options->replicas);
        server->active_count = options->replica_count;
        mu_ps_modes_init(server);
        status = mu_shard_init(&server->shard, span, options->optimizer, options->optimizer_options,
            options->weight_decay);
        server->shard.layout = options->layout;
        if (status == MU_OK)
            status = allocate(server);
    }
    if (status != MU_OK) {
        mu_ps_server_destroy(server);
        return mu_fail(options->log, MU_E0801, "use more parameter servers, or fewer in flight",
            "ps/%d needs buffers of %zu bytes for %d workers with %d pushes in flight each",
            mu_ps_seat_process(options->order, options->server_count), span.count * sizeof(float),
            options->replica_count, options->in_flight_max);
    }
    status = mu_ps_rows_init(server);
    if (status != MU_OK) {
        mu_ps_server_destroy(server);
        return status;
    }
    *ret_server = server;
    return MU_OK;
}

static void close_links(struct mu_ps_server *server)
{
    for (int i = 0; server->workers && i < server->options.replica_count; i++) {
        mu_link_close(server->workers[i].link);
        mu_ps_share_close(&server->workers[i]);
    }
    for (int i = 0; i < server->standby.seat_count; i++)
        mu_link_close(server->others[i].link);
    mu_link_close(server->leader.link);
}

void mu_ps_server_destroy(struct mu_ps_server *server)
{
    if (!server)
        return;
    close_links(server);
    for (int i = 0; i < MU_SHARD_VECTORS_MAX; i++)
        mu_arena_finish(&server->state.stream.copies[i]);
    mu_ps_vectors_finish(&server->vectors);
    mu_seen_finish(&server->seen);
    mu_ps_auto_finish(server);
    mu_ps_rows_finish(server);
    mu_ps_pieces_finish(server);
    mu_helper_destroy(server->shard.helper);
    mu_shard_finish(&server->shard);
    free(server->workers);
    free(server->buffers);
    free(server->told);
    free(server->noted);
    mu_ps_queue_finish(&server->queue);
    free(server->sequence_served);
    free(server->judged);
    free(server->ledger);
    mu_ps_answers_finish(&server->answers);
    mu_ps_standby_finish(server);
    free(server);
}

/* ---- the order ---- */

/* On the head a snapshot waits for the end of the step that is being gathered. */
static bool snapshot_is_due(const struct mu_ps_server *server)
{
    return mu_ps_is_head(server) && server->state.snapshot_queued && server->shard.gathered == 0 &&
           mu_ps_state_free(server);
}

/* Can this be served now? */
static bool may_serve(const struct mu_ps_server *server, const struct mu_ps_event *event)
{
    switch (event->kind) {
    case MU_PS_EVENT_SNAPSHOT:
        return !event->gives || mu_ps_state_free(server);
    case MU_PS_EVENT_LOSS:
    case MU_PS_EVENT_JOIN:
        return mu_ps_knows_followers(server);
    case MU_PS_EVENT_BUFFER:
        return mu_ps_buffer_lay(event->buffer, 0);
    case MU_PS_EVENT_CHOICE:
    case MU_PS_EVENT_HEAD_ENDS:
        break;
    }
    return true;
}

static bool next_event(struct mu_ps_server *server, struct mu_ps_event *ret_event)
{
    const struct mu_ps_event *first = mu_ps_queue_first(&server->queue);
    if (mu_ps_auto_due(server))
        *ret_event = (struct mu_ps_event){.kind = MU_PS_EVENT_CHOICE};
    else if (snapshot_is_due(server))
        *ret_event = (struct mu_ps_event){.kind = MU_PS_EVENT_SNAPSHOT,
            .snapshot_id = server->state.snapshot_id,
            .gives = mu_ps_brings(server)};
    else if (first && may_serve(server, first))
        *ret_event = mu_ps_queue_take(&server->queue);
    else
        return false;
    return true;
}

/* ---- serving a snapshot ---- */

/* The head gives it its place in the order; to the followers it comes between two verdicts. */
static void tell_snapshot(struct mu_ps_server *server, uint64_t snapshot_id)
{
    if (!mu_ps_is_head(server))
        return;
    server->standby.snapshot_id = snapshot_id;
    server->standby.snapshot_place = server->standby.known.next;
    for (int i = 0; i < server->standby.seat_count; i++)
        if (mu_ps_is_told(server, i))
            mu_ps_tell_snapshot(server, i, snapshot_id);
}

static enum mu_status serve_snapshot(struct mu_ps_server *server, const struct mu_ps_event *event)
{
    tell_snapshot(server, event->snapshot_id);
    if (event->gives)
        MU_TRY(mu_ps_state_take(server, event->snapshot_id));
    server->state.snapshot_queued = false;
    server->look_again = true;
    return MU_OK;
}

static enum mu_status serve(struct mu_ps_server *server, const struct mu_ps_event *event)
{
    switch (event->kind) {
    case MU_PS_EVENT_BUFFER:
        return mu_ps_serve_buffer(server, event->buffer);
    case MU_PS_EVENT_LOSS:
        return mu_ps_serve_loss(server, event->worker);
    case MU_PS_EVENT_JOIN:
        return mu_ps_relink_join(server, event->worker);
    case MU_PS_EVENT_CHOICE:
        return mu_ps_auto_serve(server);
    case MU_PS_EVENT_SNAPSHOT:
        return serve_snapshot(server, event);
    case MU_PS_EVENT_HEAD_ENDS:
        break;
    }
    return mu_ps_takeover_begin(server);
}

/* ---- running ---- */

/* So much is served before the loop turns again: heartbeats flow however long the queue is, and
 * small gradients are received and answered many at once. */
#define SERVED_BYTES_MAX ((size_t)512 << 10)

#define LAID_BYTES ((size_t)4 << 20) /* of a vector that is used for the first time: the same */

/* So that what is served next does not wait for page after page of its vector. */
static void lay_next(struct mu_ps_server *server, bool *ret_any)
{
    const struct mu_ps_event *first = mu_ps_queue_first(&server->queue);
    if (!first || first->kind != MU_PS_EVENT_BUFFER || mu_ps_buffer_lay(first->buffer, 0))
        return;
    (void)mu_ps_buffer_lay(first->buffer, LAID_BYTES);
    *ret_any = true;
}

static enum mu_status serve_some(struct mu_ps_server *server, bool *ret_any)
{
    struct mu_ps_event event;
    *ret_any = false;
    for (size_t bytes = 0; server->begun && bytes < SERVED_BYTES_MAX && mu_ps_audit_ready(server) &&
                           mu_ps_pieces_have_room(server) && next_event(server, &event);
         bytes += mu_ps_span_bytes(server) + 1) {
        *ret_any = true;
        MU_TRY(serve(server, &event));
    }
    return MU_OK;
}

/* A gradient that waits for a server that is gone waits for ever; but with standbys, until the
 * cluster says that it is lost. */
static enum mu_status check_others(struct mu_ps_server *server)
{
    bool may_be_lost = server->options.replicas > 0 && server->standby.lost < 0;
    if (server->failure == MU_OK && server->waiting_count > 0 && server->other_ended >= 0 &&
        !may_be_lost)
        mu_ps_failed(server, &server->others[server->other_ended], MU_CLOSED);
    enum mu_status failure = server->failure;
    server->failure = MU_OK;
    return failure;
}

/* Whatever there is to do before the loop turns. */
static enum mu_status go_on(struct mu_ps_server *server, bool *ret_any)
{
    bool any = false;
    if (server->readers_due)
        mu_ps_readers_check(server);
    mu_ps_heal_check(server);
    mu_ps_tell_losses(server);
    MU_TRY(check_others(server));
    MU_TRY(mu_ps_audit_status(server));
    lay_next(server, ret_any);
    MU_TRY(serve_some(server, &any));
    MU_TRY(mu_ps_takeover_step(server));
    mu_ps_heal_step(server);
    mu_ps_pieces_go_on(server);
    if (server->look_again) {
        mu_ps_resume_held(server);
        any = true;
    }
    *ret_any = *ret_any || any;
    return MU_OK;
}

static void share_culprit(
    struct mu_ps_server *const servers[], int count, const struct mu_ps_server *failed)
{
    for (int i = 0; i < count; i++)
        servers[i]->culprit = failed->culprit;
}

static enum mu_status run(struct mu_ps_server *const servers[], int count, const bool *over)
{
    struct mu_loop *loop = servers[0]->options.loop;
    int64_t busy_ns = mu_now(loop->world);
    for (int i = 0; i < count; i++)
        if (servers[i]->failure == MU_OK) /* what was returned before is over */
            servers[i]->culprit.did[0] = '\0';
    while (!__atomic_load_n(over, __ATOMIC_ACQUIRE)) {
        if (loop->cancelled != MU_OK)
            return loop->cancelled;
        bool any = false;
        for (int i = 0; i < count; i++) {
            enum mu_status status = go_on(servers[i], &any);
            if (status != MU_OK)
                share_culprit(servers, count, servers[i]);
            MU_TRY(status);
        }
        int64_t now_ns = mu_now(loop->world);
        busy_ns = any ? now_ns : busy_ns;
        mu_loop_wait(loop, busy_ns, now_ns, any ? now_ns : MU_FOREVER);
    }
    return MU_OK;
}

/* The loop turns after whatever is served, so answers may wait for each other. */
enum mu_status mu_ps_servers_run(struct mu_ps_server *const servers[], int count, const bool *over)
{
    struct mu_loop *loop = servers[0]->options.loop;
    bool gathers = loop->gathers;
    int64_t spin_ns = loop->spin_ns;
    struct mu_timer *timers[MU_PS_SEATS_MAX] = {NULL};
    enum mu_status status = MU_OK;
    assert(count > 0 && count <= MU_PS_SEATS_MAX);
    for (int i = 0; i < count && status == MU_OK; i++)
        status = mu_ps_readers_watch(servers[i], &timers[i]);
    loop->gathers = true;
    loop->spin_ns = mu_ps_spin_ns(loop);
    if (status == MU_OK)
        status = run(servers, count, over);
    for (int i = 0; i < count; i++)
        loop->ops->timer_stop(timers[i]);
    loop->gathers = gathers;
    loop->spin_ns = spin_ns;
    return status;
}

enum mu_status mu_ps_server_run(struct mu_ps_server *server, const bool *over)
{
    return mu_ps_servers_run(&server, 1, over);
}

/* ---- questions ---- */

struct mu_span mu_ps_server_span(const struct mu_ps_server *server)
{
    return server->shard.span;
}

float *mu_ps_server_vector(struct mu_ps_server *server, int vector)
{
    assert(vector >= 0 && vector < server->shard.vector_count);
    return server->shard.vectors[vector].data;
}

void mu_ps_server_begin(struct mu_ps_server *server, int64_t version)
{
    assert(!server->begun);
    assert(version >= 0);
    server->shard.version = version;
    mu_ps_modes_follow(server);
    mu_ps_auto_enter(server);
    server->begun = true;
    server->look_again = true;
    mu_ps_audit_begin(server);
}

struct mu_ps_culprit mu_ps_server_culprit(const struct mu_ps_server *server)
{
    return server->culprit;
}

bool mu_ps_server_deserted(const struct mu_ps_server *server)
{
    for (int i = 0; i < server->options.replica_count; i++)
        if (!server->workers[i].ended)
            return false;
    return server->active_count == 0 || server->other_ended >= 0;
}

bool mu_ps_server_lost(const struct mu_ps_server *server, int replica)
{
    assert(replica >= 0 && replica < server->options.replica_count);
    return server->ledger[replica].is_lost;
}

int64_t mu_ps_server_total(const struct mu_ps_server *server)
{
    return server->state.updates_total;
}

int64_t mu_ps_server_version(const struct mu_ps_server *server)
{
    return server->shard.version;
}

const struct mu_staleness *mu_ps_server_staleness(const struct mu_ps_server *server)
{
    return &server->staleness;
}

int64_t mu_ps_server_judged(const struct mu_ps_server *server, int replica)
{
    assert(replica >= 0 && replica < server->options.replica_count);
    return server->judged[replica];
}

const uint64_t *mu_ps_server_verdicts(const struct mu_ps_server *server, int replica)
{
    assert(replica >= 0 && replica < server->options.replica_count);
    return server->ledger[replica].verdicts;
}

const struct mu_ps_load *mu_ps_server_load(const struct mu_ps_server *server)
{
    return &server->load;
}

const struct mu_table *mu_ps_server_table(const struct mu_ps_server *server)
{
    return server->rows.store.table;
}

size_t mu_ps_server_seen_bytes(const struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    if (!mu_ps_plan_correcting(&server->plan))
        return 0;
    return mu_seen_bytes(server->shard.span.count, options->replica_count, options->in_flight_max) +
           mu_ps_rows_seen_bytes(server);
}
