/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/pipe.h"
#include <stdlib.h>
#include <string.h>

/* The bytes of one write. */
struct mu_parcel {
    struct mu_parcel *next;
    uint64_t end; /* where in the pipe it ends */
    size_t bytes;
    uint8_t data[];
};

/* Bytes on the wire: first on the way to the other port, then coming in through it. */
struct mu_chunk {
    struct mu_event event;
    struct mu_pipe *pipe;
    struct mu_chunk *next;
    uint64_t end; /* where in the pipe it ends */
    size_t bytes;
    int64_t last_ns; /* when its last byte can be there at the earliest */
    bool is_end, came_in;
};

static int64_t duration_ns(const struct mu_port *port, uint64_t bytes)
{
    if (port->bits_per_second == 0)
        return 0;
    uint64_t rate = (uint64_t)port->bits_per_second;
    return (int64_t)((bytes * 8 * MU_SECOND + rate - 1) / rate);
}

/* ---- coming in ---- */

static void flight_remove(struct mu_pipe *pipe, struct mu_chunk *chunk)
{
    assert(pipe->flight_first == chunk); /* they arrive in order */
    pipe->flight_first = chunk->next;
    if (!pipe->flight_first)
        pipe->flight_last = NULL;
    mu_agenda_event_finish(&chunk->event);
    free(chunk);
}

static void on_chunk(void *owner)
{
    struct mu_chunk *chunk = owner;
    struct mu_pipe *pipe = chunk->pipe;
    struct mu_port *port = pipe->to;
    if (!chunk->came_in) {
        int64_t now = port->agenda->now_ns;
        int64_t start = port->ingress_free_ns > now ? port->ingress_free_ns : now;
        int64_t finish = start + duration_ns(port, chunk->bytes);
        port->ingress_free_ns = finish > chunk->last_ns ? finish : chunk->last_ns;
        chunk->came_in = true;
        mu_agenda_arm(&chunk->event, port->ingress_free_ns);
        return;
    }
    pipe->arrived = chunk->end;
    pipe->end_arrived = chunk->is_end;
    flight_remove(pipe, chunk);
    pipe->events->arrived(pipe->owner);
}

/* ---- going out ---- */

static size_t window_left(const struct mu_pipe *pipe)
{
    assert(pipe->sent - pipe->taken <= MU_PIPE_WINDOW_BYTES);
    return MU_PIPE_WINDOW_BYTES - (size_t)(pipe->sent - pipe->taken);
}

/* Bytes of the next chunk; 0: the window is full (a few bytes of room are not worth a chunk). */
static size_t next_chunk_bytes(const struct mu_pipe *pipe)
{
    uint64_t waiting = pipe->written - pipe->sent;
    size_t bytes = waiting < MU_PIPE_CHUNK_BYTES ? (size_t)waiting : MU_PIPE_CHUNK_BYTES;
    return window_left(pipe) >= bytes ? bytes : 0;
}

static bool has_something(const struct mu_pipe *pipe)
{
    return pipe->open && (next_chunk_bytes(pipe) > 0 || (pipe->ending && !pipe->end_sent));
}

static void port_queue(struct mu_pipe *pipe)
{
    struct mu_port *port = pipe->from;
    if (pipe->queued || port->sending == pipe || !has_something(pipe))
        return;
    pipe->queued = true;
    pipe->next = NULL;
    if (port->last)
        port->last->next = pipe;
    else
        port->first = pipe;
    port->last = pipe;
}

static void port_unqueue(struct mu_pipe *pipe)
{
    struct mu_port *port = pipe->from;
    struct mu_pipe **at = &port->first, *before = NULL;
    if (!pipe->queued)
        return;
    while (*at != pipe) {
        before = *at;
        at = &(*at)->next;
    }
    *at = pipe->next;
    if (port->last == pipe)
        port->last = before;
    pipe->queued = false;
}

/* Puts a chunk on the wire. Without memory for it the connection falls silent, as if cut. */
static void set_out(struct mu_pipe *pipe, size_t bytes)
{
    struct mu_agenda *agenda = pipe->from->agenda;
    int64_t latency = pipe->events->latency_ns(pipe->owner);
    struct mu_chunk *chunk = pipe->lost || latency == MU_FOREVER ? NULL : calloc(1, sizeof(*chunk));
    if (chunk && mu_agenda_event_init(agenda, &chunk->event, on_chunk, chunk) != MU_OK) {
        free(chunk);
        chunk = NULL;
    }
    if (!chunk) {
        pipe->lost = true;
        return;
    }
    /* Bytes of one connection do not overtake each other, whatever the latency does. */
    int64_t head_ns = agenda->now_ns + latency;
    pipe->heads_ns = head_ns > pipe->heads_ns ? head_ns : pipe->heads_ns;
    chunk->pipe = pipe;
    chunk->bytes = bytes;
    chunk->end = pipe->sent;
    chunk->is_end = pipe->end_sent;
    chunk->last_ns = pipe->heads_ns + duration_ns(pipe->from, bytes);
    if (pipe->flight_last)
        pipe->flight_last->next = chunk;
    else
        pipe->flight_first = chunk;
    pipe->flight_last = chunk;
    mu_agenda_arm(&chunk->event, pipe->heads_ns);
}

static void port_send(struct mu_port *port)
{
    struct mu_pipe *pipe = port->first;
    if (port->departed.place || !pipe)
        return;
    port_unqueue(pipe);
    size_t bytes = next_chunk_bytes(pipe);
    assert(has_something(pipe));
    pipe->sent += bytes;
    pipe->end_sent = pipe->ending && bytes == 0;
    port->sending = pipe;
    port->sending_end = pipe->sent;
    set_out(pipe, bytes);
    mu_agenda_arm(&port->departed, port->agenda->now_ns + duration_ns(port, bytes));
}

static void on_departed(void *owner)
{
    struct mu_port *port = owner;
    struct mu_pipe *pipe = port->sending;
    port->sending = NULL;
    if (pipe) {
        pipe->departed = port->sending_end;
        port_queue(pipe);
    }
    port_send(port);
    if (pipe)
        pipe->events->departed(pipe->owner);
}

enum mu_status mu_port_init(struct mu_port *port, struct mu_agenda *agenda, int64_t bits_per_second)
{
    assert(bits_per_second >= 0);
    *port = (struct mu_port){.agenda = agenda, .bits_per_second = bits_per_second};
    return mu_agenda_event_init(agenda, &port->departed, on_departed, port);
}

void mu_port_finish(struct mu_port *port)
{
    assert(!port->first);
    mu_agenda_event_finish(&port->departed);
}

/* ---- pipes ---- */

void mu_pipe_init(struct mu_pipe *pipe, struct mu_port *from, struct mu_port *to,
    const struct mu_pipe_events *events, void *owner)
{
    *pipe = (struct mu_pipe){.from = from, .to = to, .events = events, .owner = owner};
}

static void parcels_free(struct mu_pipe *pipe)
{
    while (pipe->first) {
        struct mu_parcel *parcel = pipe->first;
        pipe->first = parcel->next;
        free(parcel);
    }
    pipe->last = NULL;
}

void mu_pipe_finish(struct mu_pipe *pipe)
{
    if (!pipe->from)
        return;
    port_unqueue(pipe);
    if (pipe->from->sending == pipe)
        pipe->from->sending = NULL; /* the port stays busy until its chunk has left */
    while (pipe->flight_first)
        flight_remove(pipe, pipe->flight_first);
    parcels_free(pipe);
    pipe->from = NULL;
}

void mu_pipe_open(struct mu_pipe *pipe)
{
    pipe->open = true;
    port_queue(pipe);
    port_send(pipe->from);
}

enum mu_status mu_pipe_write(struct mu_pipe *pipe, const struct mu_part *parts, int part_count)
{
    size_t bytes = 0;
    assert(!pipe->ending);
    for (int i = 0; i < part_count; i++)
        bytes += parts[i].bytes;
    if (bytes == 0)
        return MU_OK;
    struct mu_parcel *parcel = malloc(sizeof(*parcel) + bytes);
    if (!parcel)
        return MU_NO_MEMORY;
    uint8_t *at = parcel->data;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].bytes)
            memcpy(at, parts[i].at, parts[i].bytes);
        at += parts[i].bytes;
    }
    pipe->written += bytes;
    parcel->next = NULL;
    parcel->bytes = bytes;
    parcel->end = pipe->written;
    if (pipe->last)
        pipe->last->next = parcel;
    else
        pipe->first = parcel;
    pipe->last = parcel;
    port_queue(pipe);
    port_send(pipe->from);
    return MU_OK;
}

void mu_pipe_drop(struct mu_pipe *pipe)
{
    pipe->written = pipe->sent;
    if (!has_something(pipe))
        port_unqueue(pipe);
}

void mu_pipe_end(struct mu_pipe *pipe, int error)
{
    assert(!pipe->ending);
    mu_pipe_drop(pipe);
    pipe->ending = true;
    pipe->error = error;
    port_queue(pipe);
    port_send(pipe->from);
}

size_t mu_pipe_available(const struct mu_pipe *pipe)
{
    return (size_t)(pipe->arrived - pipe->taken);
}

void mu_pipe_take(struct mu_pipe *pipe, void *at, size_t bytes)
{
    assert(bytes <= mu_pipe_available(pipe));
    uint8_t *to = at;
    while (bytes > 0) {
        struct mu_parcel *parcel = pipe->first;
        size_t left = (size_t)(parcel->end - pipe->taken);
        size_t part = left < bytes ? left : bytes;
        memcpy(to, parcel->data + parcel->bytes - left, part);
        to += part;
        bytes -= part;
        pipe->taken += part;
        if (part == left) {
            pipe->first = parcel->next;
            if (!pipe->first)
                pipe->last = NULL;
            free(parcel);
        }
    }
    port_queue(pipe);
    port_send(pipe->from);
}
