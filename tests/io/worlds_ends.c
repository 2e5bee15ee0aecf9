/* SPDX-License-Identifier: Apache-2.0 */
#include "worlds_ends.h"
#include <stdlib.h>
#include <string.h>

void mu_ends_shut(struct end *end)
{
    struct mu_stream *stream = end->stream;
    end->stream = NULL;
    end->loop->ops->close(stream);
}

static void note_call(struct end *end)
{
    end->called_back = true;
    end->late_calls += !end->stream;
}

static void on_connected(void *owner, enum mu_status status, int error)
{
    struct end *end = owner;
    note_call(end);
    end->connected = true;
    end->status = status;
    end->error = error;
    if (status != MU_OK)
        end->stream = NULL;
    if (end->close_when_connected)
        mu_ends_shut(end);
}

static void on_room(void *owner, void **ret_at, size_t *ret_bytes)
{
    struct end *end = owner;
    note_call(end);
    *ret_at = end->into ? end->into + end->got : end->scratch;
    *ret_bytes = end->hold ? 0 : ROOM_BYTES;
    if (end->into && end->hold_at > end->got && *ret_bytes > end->hold_at - end->got)
        *ret_bytes = end->hold_at - end->got;
    if (end->hold_at && end->got == end->hold_at)
        *ret_bytes = 0;
    end->held = end->held || *ret_bytes == 0;
}

static void on_got(void *owner, size_t bytes)
{
    struct end *end = owner;
    note_call(end);
    end->got += bytes;
    end->enough = end->got >= end->wanted;
    if (end->close_when_got)
        mu_ends_shut(end);
}

static void on_ended(void *owner, int error)
{
    struct end *end = owner;
    note_call(end);
    end->ended = true;
    end->ended_count++;
    end->error = error;
    end->under_way_at_end = end->started - end->done;
    if (end->close_when_ended)
        mu_ends_shut(end);
}

const struct mu_stream_events mu_ends_events = {
    .connected = on_connected, .room = on_room, .got = on_got, .ended = on_ended};

static void on_done(struct mu_write *write, enum mu_status status)
{
    struct end *end = write->owner;
    end->out_of_order += status == MU_OK && write != &end->writes[end->done];
    end->done++;
    end->done_ok += status == MU_OK;
    end->done_closed += status == MU_CLOSED;
    end->drained = end->done == end->started;
}

void mu_ends_send_parts(struct end *end, const struct mu_part *parts, int part_count)
{
    struct mu_write *write = &end->writes[end->started++];
    *write = (struct mu_write){.done = on_done, .owner = end};
    end->drained = false;
    end->loop->ops->write(end->stream, write, parts, part_count);
}

void mu_ends_send_bytes(struct end *end, const void *at, size_t bytes)
{
    mu_ends_send_parts(end, &(struct mu_part){at, bytes}, 1);
}

void mu_ends_expect(struct end *end, size_t bytes)
{
    end->wanted = end->got + bytes;
    end->enough = false;
}

/* ---- two ends on one loop ---- */

void mu_ends_on_accepted(void *owner, struct mu_stream *stream)
{
    struct pair *pair = owner;
    pair->accepted = true;
    pair->accepted_count++;
    if (pair->close_listener) {
        pair->loop->ops->listener_close(pair->listener);
        pair->listener = NULL;
    }
    if (pair->refuse || pair->server.stream) {
        pair->loop->ops->close(stream);
        return;
    }
    pair->server.stream = stream;
    pair->loop->ops->own(stream, &mu_ends_events, &pair->server);
}

enum mu_status mu_ends_wait_flag(struct mu_loop *loop, const bool *flag)
{
    return mu_loop_until(loop, flag, soon(loop->world, PATIENCE));
}

const char *mu_ends_pair_listen(
    struct mu_world *world, const struct mu_address *address, struct pair *pair)
{
    int error = 0;
    memset(pair, 0, sizeof(*pair));
    CHECK(world->ops->loop_create(world, &pair->loop) == MU_OK);
    pair->client.loop = pair->server.loop = pair->loop;
    CHECK(pair->loop->ops->listen(pair->loop, address, -1, mu_ends_on_accepted, pair,
              &pair->listener, &error) == MU_OK);
    return NULL;
}

const char *mu_ends_pair_connect(const struct mu_address *address, struct pair *pair)
{
    CHECK(pair->loop->ops->connect(
              pair->loop, address, &mu_ends_events, &pair->client, &pair->client.stream) == MU_OK);
    CHECK(!pair->client.connected);
    return NULL;
}

const char *mu_ends_pair_open(
    struct mu_world *world, const struct mu_address *address, struct pair *pair)
{
    const char *wrong = mu_ends_pair_listen(world, address, pair);
    if (!wrong)
        wrong = mu_ends_pair_connect(address, pair);
    if (wrong)
        return wrong;
    CHECK(mu_ends_wait_flag(pair->loop, &pair->client.connected) == MU_OK);
    CHECK(pair->client.status == MU_OK);
    CHECK(mu_ends_wait_flag(pair->loop, &pair->accepted) == MU_OK);
    return NULL;
}

const char *mu_ends_pair_close(struct pair *pair)
{
    if (pair->client.stream)
        mu_ends_shut(&pair->client);
    if (pair->server.stream)
        mu_ends_shut(&pair->server);
    pair->loop->ops->listener_close(pair->listener);
    pair->loop->ops->destroy(pair->loop);
    CHECK(pair->client.late_calls == 0);
    CHECK(pair->server.late_calls == 0);
    CHECK(pair->client.done == pair->client.started);
    CHECK(pair->server.done == pair->server.started);
    CHECK(pair->client.out_of_order == 0 && pair->server.out_of_order == 0);
    return NULL;
}

void mu_ends_turn_for(struct mu_loop *loop, int64_t ns)
{
    int64_t deadline = soon(loop->world, ns);
    while (mu_now(loop->world) < deadline)
        (void)!loop->ops->turn(loop, deadline);
}

uint8_t *mu_ends_pattern(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; data && i < bytes; i++)
        data[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
    return data;
}
