/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim_loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A connection is two streams and the two pipes between them:
 *
 *   connecting end                      accepting end
 *   ends[0].out  ----------------->  read by ends[1]
 *   read by ends[0]  <-------------  ends[1].out
 *
 * Pipes and the handshake only set flags and queue an end at its loop (stream_changed); its owner
 * is called back from stream_run, inside a turn. A connection lasts until both ends are closed.
 */
struct mu_stream {
    struct mu_sim_item item;
    struct mu_connection *connection;
    struct mu_sim_host *host;
    int port;
    struct mu_pipe out;
    const struct mu_stream_events *events;
    void *owner;
    struct mu_write *first, *last; /* under way */

    bool closed;                        /* true for an end that nobody holds, before and after */
    bool connecting, connected, failed; /* of the connecting end; failed: tell, and close */
    enum mu_status failure;
    int error;
    bool paused, ended;

    struct mu_stream *next_in_backlog;
};

struct mu_connection {
    struct mu_stream ends[2];
    struct mu_sim_net *net;
    struct mu_sim_host *to; /* NULL: there is no such host */
    char to_address[MU_HOST_MAX];
    struct mu_event handshake;
    bool answered; /* the other host has; now the answer is on its way */
    int busy;      /* callbacks that run: it may be closed by them but is still looked at */
    struct mu_connection *next, *previous;
};

/* What a write needs until it is done, in the caller's struct mu_write. */
struct write_state {
    struct mu_write *next;
    uint64_t end; /* where in the pipe it ends */
};
static_assert(sizeof(struct write_state) <= sizeof(((struct mu_write *)NULL)->driver),
    "the state fits the room for it");

static struct write_state *state_of(struct mu_write *write)
{
    return (struct write_state *)(void *)write->driver;
}

static struct mu_stream *other_of(struct mu_stream *stream)
{
    struct mu_stream *ends = stream->connection->ends;
    return stream == &ends[0] ? &ends[1] : &ends[0];
}

/* An event of the log: what this end does with the other, and the error if there is one. */
static void say(struct mu_stream *stream, const char *what, int error)
{
    struct mu_connection *connection = stream->connection;
    struct mu_stream *other = other_of(stream);
    const char *address =
        other == &connection->ends[1] ? connection->to_address : other->host->address;
    char suffix[32] = "";
    if (error)
        mu_format(suffix, sizeof(suffix), " (error %d)", error);
    mu_event_log_line(connection->net->events, stream->host->task, "%s %s:%d%s", what, address,
        other->port, suffix);
}

/* ---- life ---- */

static void connection_free(struct mu_connection *connection)
{
    for (int i = 0; i < 2; i++) {
        if (connection->ends[i].item.loop)
            mu_sim_item_unqueue(&connection->ends[i].item);
        mu_pipe_finish(&connection->ends[i].out);
    }
    mu_agenda_event_finish(&connection->handshake);
    if (connection->next)
        connection->next->previous = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connection->net->connections = connection->next;
    free(connection);
}

static void connection_release(struct mu_connection *connection)
{
    connection->busy--;
    if (connection->busy == 0 && connection->ends[0].closed && connection->ends[1].closed)
        connection_free(connection);
}

static void abandon_writes(struct mu_stream *stream)
{
    while (stream->first) {
        struct mu_write *write = stream->first;
        stream->first = state_of(write)->next;
        write->done(write, MU_CLOSED);
    }
    stream->last = NULL;
}

/* What a kernel says to the peer when a socket is closed. */
static int parting_error(struct mu_stream *stream)
{
    return mu_pipe_available(&other_of(stream)->out) > 0 ? ECONNRESET : 0;
}

static void shut(struct mu_stream *stream, int error)
{
    stream->closed = true;
    mu_sim_item_unqueue(&stream->item);
    mu_pipe_end(&stream->out, error);
    if (!stream->out.open)
        mu_pipe_open(&stream->out); /* it was still connecting: the end is all that goes */
}

void mu_sim_stream_close(struct mu_stream *stream)
{
    if (!stream || stream->closed)
        return;
    struct mu_connection *connection = stream->connection;
    connection->busy++;
    say(stream, "closes", 0);
    shut(stream, parting_error(stream));
    abandon_writes(stream);
    connection_release(connection);
}

void mu_sim_stream_reset_all(struct mu_sim_host *host)
{
    struct mu_connection *next;
    for (struct mu_connection *connection = host->net->connections; connection; connection = next) {
        next = connection->next;
        connection->busy++;
        for (int i = 0; i < 2; i++) {
            struct mu_stream *stream = &connection->ends[i];
            if (stream->host == host && !stream->closed)
                shut(stream, parting_error(stream));
        }
        connection_release(connection);
    }
}

/* ---- what the wire says ---- */

static void stream_changed(void *owner)
{
    struct mu_stream *stream = owner;
    if (!stream->closed && !stream->connecting && stream->events)
        mu_sim_item_queue(&stream->item);
}

static void peer_changed(void *owner)
{
    stream_changed(other_of(owner));
}

static int64_t latency_of(void *owner)
{
    struct mu_stream *stream = owner;
    return mu_sim_net_latency_ns(stream->host, other_of(stream)->host);
}

static const struct mu_pipe_events pipe_events = {
    .departed = stream_changed,
    .arrived = peer_changed,
    .latency_ns = latency_of,
};

/* ---- connecting ---- */

/* The connection request has reached its host: whoever listens there gets a stream, even if his
 * task is stopped. */
static bool offer(struct mu_connection *connection)
{
    struct mu_stream *stream = &connection->ends[1];
    struct mu_listener *listener = mu_sim_net_listener(connection->to, stream->port);
    if (!listener)
        return false;
    stream->closed = false;
    stream->item.loop = listener->item.loop;
    mu_pipe_open(&stream->out);
    struct mu_stream **at = &listener->first;
    while (*at)
        at = &(*at)->next_in_backlog;
    *at = stream;
    mu_sim_item_queue(&listener->item);
    return true;
}

static void fail(struct mu_connection *connection, enum mu_status status, int error)
{
    connection->ends[0].failed = true;
    connection->ends[0].failure = status;
    connection->ends[0].error = error;
}

static void on_handshake(void *owner)
{
    struct mu_connection *connection = owner;
    struct mu_stream *stream = &connection->ends[0];
    if (connection->to && !connection->answered) {
        connection->answered = true;
        if (!offer(connection))
            fail(connection, MU_UNAVAILABLE, ECONNREFUSED);
        mu_agenda_arm(
            &connection->handshake, mu_deadline(connection->net->scheduler->agenda.now_ns,
                                        mu_sim_net_latency_ns(connection->to, stream->host)));
        return;
    }
    stream->connecting = false;
    stream->connected = !stream->failed;
    stream_changed(stream);
}

static void stream_init(
    struct mu_connection *connection, int end, struct mu_sim_host *host, struct mu_sim_host *to)
{
    struct mu_stream *stream = &connection->ends[end];
    stream->connection = connection;
    stream->host = host;
    mu_pipe_init(&stream->out, &host->port, &to->port, &pipe_events, stream);
}

/* When the other host learns of it; a name that cannot be resolved is known at once. */
static int64_t first_answer_ns(struct mu_connection *connection, const struct mu_sim_host *from)
{
    uint8_t binary[sizeof(struct in6_addr)];
    const char *address = connection->to_address;
    int64_t now_ns = connection->net->scheduler->agenda.now_ns;
    if (connection->to)
        return mu_deadline(now_ns, mu_sim_net_latency_ns(from, connection->to));
    if (inet_pton(AF_INET, address, binary) || inet_pton(AF_INET6, address, binary))
        fail(connection, MU_UNAVAILABLE, EHOSTUNREACH);
    else
        fail(connection, MU_NO_INPUT, ENOENT);
    return now_ns;
}

static int next_ephemeral(struct mu_sim_host *host)
{
    int port = host->ephemeral_port;
    host->ephemeral_port = port == 65535 ? MU_SIM_EPHEMERAL_FIRST : port + 1;
    return port;
}

static void stream_run(struct mu_sim_item *item);

enum mu_status mu_sim_stream_connect(struct mu_loop *base, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    struct mu_sim_net *net = loop->host->net;
    struct mu_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return MU_NO_MEMORY;
    if (mu_agenda_event_init(
            &net->scheduler->agenda, &connection->handshake, on_handshake, connection) != MU_OK) {
        free(connection);
        return MU_NO_MEMORY;
    }
    connection->net = net;
    connection->to = mu_sim_net_find(loop->host, address->host);
    mu_text_copy(connection->to_address, sizeof(connection->to_address), address->host);
    struct mu_sim_host *to = connection->to ? connection->to : loop->host;
    struct mu_stream *stream = &connection->ends[0];
    stream_init(connection, 0, loop->host, to);
    stream_init(connection, 1, to, loop->host);
    connection->ends[1].closed = true; /* until somebody there holds it */
    connection->ends[1].port = address->port;
    connection->ends[1].item.run = stream_run;
    stream->item = (struct mu_sim_item){.loop = loop, .run = stream_run};
    stream->events = events;
    stream->owner = owner;
    stream->connecting = true;
    stream->port = next_ephemeral(loop->host);
    connection->next = net->connections;
    if (connection->next)
        connection->next->previous = connection;
    net->connections = connection;
    say(stream, "connects to", 0);
    mu_agenda_arm(&connection->handshake, first_answer_ns(connection, loop->host));
    *ret_stream = stream;
    return MU_OK;
}

struct mu_stream *mu_sim_stream_next(struct mu_listener *listener)
{
    struct mu_stream *stream = listener->first;
    if (stream) {
        listener->first = stream->next_in_backlog;
        stream->next_in_backlog = NULL;
    }
    return stream;
}

void mu_sim_stream_hand_over(struct mu_listener *listener, struct mu_stream *stream)
{
    struct mu_connection *connection = stream->connection;
    connection->busy++;
    say(stream, "accepts", 0);
    listener->accepted(listener->owner, stream);
    assert(stream->closed || stream->events); /* closed or owned by now */
    connection_release(connection);
}

void mu_sim_stream_own(struct mu_stream *stream, const struct mu_stream_events *events, void *owner)
{
    assert(events);
    stream->events = events;
    stream->owner = owner;
    stream_changed(stream);
}

void mu_sim_stream_peer_name(struct mu_stream *stream, char *out, size_t bytes)
{
    struct mu_stream *other = other_of(stream);
    snprintf(out, bytes, "%s:%d", other->host->address, other->port);
}

/* ---- callbacks ---- */

static void finish_writes(struct mu_stream *stream)
{
    while (
        !stream->closed && stream->first && state_of(stream->first)->end <= stream->out.departed) {
        struct mu_write *write = stream->first;
        stream->first = state_of(write)->next;
        if (!stream->first)
            stream->last = NULL;
        write->done(write, MU_OK);
    }
}

/* Asks for room; false if there is none, until resume. */
static bool has_room(struct mu_stream *stream, void **ret_at, size_t *ret_bytes)
{
    *ret_at = NULL;
    *ret_bytes = 0;
    stream->events->room(stream->owner, ret_at, ret_bytes);
    stream->paused = !stream->closed && *ret_bytes == 0;
    return !stream->closed && !stream->paused;
}

static void read_some(struct mu_stream *stream)
{
    struct mu_pipe *in = &other_of(stream)->out;
    uint64_t before = in->taken;
    void *at;
    size_t room_bytes, available;
    while (!stream->closed && !stream->paused && (available = mu_pipe_available(in)) > 0) {
        if (!has_room(stream, &at, &room_bytes))
            break;
        size_t bytes = room_bytes < available ? room_bytes : available;
        mu_pipe_take(in, at, bytes);
        stream->events->got(stream->owner, bytes);
    }
    if (in->taken != before)
        mu_event_log_line(stream->connection->net->events, stream->host->task,
            "got %llu bytes from %s:%d", (unsigned long long)(in->taken - before),
            other_of(stream)->host->address, other_of(stream)->port);
}

static void maybe_end(struct mu_stream *stream)
{
    struct mu_pipe *in = &other_of(stream)->out;
    void *at;
    size_t room_bytes;
    if (stream->closed || stream->paused || stream->ended || !in->end_arrived ||
        mu_pipe_available(in) > 0)
        return;
    /* As a real socket does: it finds the end while it looks for bytes, for which it needs room. */
    if (!has_room(stream, &at, &room_bytes))
        return;
    say(stream, in->error ? "is cut off by" : "sees the end of", in->error);
    stream->ended = true;
    mu_pipe_drop(&stream->out);
    abandon_writes(stream);
    if (!stream->closed)
        stream->events->ended(stream->owner, in->error);
}

/* A failed connect closes the stream before its owner hears of it. */
static void tell_failure(struct mu_stream *stream)
{
    stream->closed = true;
    say(stream, "cannot connect to", stream->error);
    mu_pipe_drop(&stream->out);
    abandon_writes(stream);
    stream->events->connected(stream->owner, stream->failure, stream->error);
}

static void tell_connected(struct mu_stream *stream)
{
    stream->connected = false;
    say(stream, "is connected to", 0);
    mu_pipe_open(&stream->out);
    stream->events->connected(stream->owner, MU_OK, 0);
}

static void stream_run(struct mu_sim_item *item)
{
    struct mu_stream *stream = (struct mu_stream *)item;
    struct mu_connection *connection = stream->connection;
    connection->busy++;
    if (stream->failed)
        tell_failure(stream);
    else if (stream->connected)
        tell_connected(stream);
    finish_writes(stream);
    read_some(stream);
    maybe_end(stream);
    connection_release(connection);
}

/* ---- calls ---- */

void mu_sim_stream_write(
    struct mu_stream *stream, struct mu_write *write, const struct mu_part *parts, int part_count)
{
    assert(part_count >= 0 && part_count <= MU_PARTS_MAX);
    if (stream->closed || stream->ended ||
        mu_pipe_write(&stream->out, parts, part_count) != MU_OK) {
        write->done(write, MU_CLOSED);
        return;
    }
    *state_of(write) = (struct write_state){.next = NULL, .end = stream->out.written};
    if (stream->last)
        state_of(stream->last)->next = write;
    else
        stream->first = write;
    stream->last = write;
    if (stream->out.departed >= stream->out.written)
        stream_changed(stream); /* a write of nothing is done at the next turn */
}

void mu_sim_stream_resume(struct mu_stream *stream)
{
    stream->paused = false;
    stream_changed(stream);
}

/* An end takes nothing back here: what was written before it arrives before it. */
bool mu_sim_stream_delivered(struct mu_stream *stream)
{
    (void)stream;
    return true;
}
