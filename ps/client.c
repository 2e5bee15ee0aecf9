/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client.h"
#include "ps/ps_bodies.h"
#include <math.h>
#include <stdlib.h>

/* One server's part of a push. */
struct part {
    struct slot *slot;
    struct mu_send send;
    bool replied;
    struct mu_ps_fresh_body fresh;
};

struct slot {
    struct mu_ps_client *client;
    bool in_use;
    enum mu_ps_item item;
    bool ended; /* whole, or the client has failed */
    uint64_t sequence;
    float *fresh;
    int replies_missing, sends_pending;
    struct part *parts; /* (server_count) */
    uint8_t body[MU_PS_BODY_MAX];
};

struct server {
    struct mu_ps_client *client;
    int order;
    struct mu_span span;
    struct mu_link *link;
    bool ended, refused;
    struct part *part; /* that the frame at hand answers */
};

struct mu_ps_client {
    struct mu_ps_client_options options;
    struct server servers[MU_PS_SERVERS_MAX];
    struct slot slots[MU_PS_IN_FLIGHT_MAX];
    struct part *parts; /* of all slots */
    uint64_t sequence_next;
    enum mu_status failure; /* the first; it stays */
    int culprit;
};

/* ---- life ---- */

enum mu_status mu_ps_client_create(
    const struct mu_ps_client_options *options, struct mu_ps_client **ret_client)
{
    assert(options->server_count > 0 && options->server_count <= MU_PS_SERVERS_MAX);
    assert(options->in_flight > 0 && options->in_flight <= MU_PS_IN_FLIGHT_MAX);
    size_t servers = (size_t)options->server_count;
    struct mu_ps_client *client = calloc(1, sizeof(*client));
    struct part *parts = calloc(servers * (size_t)options->in_flight, sizeof(*parts));
    if (!client || !parts) {
        free(parts);
        free(client);
        return mu_fail(options->log, MU_E0801, NULL, "no memory for a parameter server's client");
    }
    *client = (struct mu_ps_client){.options = *options, .parts = parts, .culprit = -1};
    for (size_t i = 0; i < servers; i++)
        client->servers[i] = (struct server){
            .client = client,
            .order = (int)i,
            .span = mu_split(options->element_count, options->server_count, (int)i),
        };
    for (size_t i = 0; i < (size_t)options->in_flight; i++)
        client->slots[i] = (struct slot){.client = client, .parts = parts + i * servers};
    *ret_client = client;
    return MU_OK;
}

void mu_ps_client_destroy(struct mu_ps_client *client)
{
    if (!client)
        return;
    for (int i = 0; i < client->options.server_count; i++)
        mu_link_close(client->servers[i].link);
    free(client->parts);
    free(client);
}

/* ---- failing ---- */

static void client_fail(struct mu_ps_client *client, int order, enum mu_status why)
{
    if (client->failure == MU_OK) {
        client->failure = why;
        client->culprit = order;
    }
    for (int i = 0; i < client->options.in_flight; i++)
        client->slots[i].ended = client->slots[i].in_use;
}

static enum mu_link_answer refuse(struct server *server, const char *what)
{
    struct mu_ps_client *client = server->client;
    server->refused = true;
    client_fail(client, server->order,
        mu_fail(client->options.log, MU_E0404, NULL, "ps/%d %s", server->order, what));
    return MU_LINK_REFUSE;
}

/* ---- receiving ---- */

static struct part *part_of(struct server *server, uint64_t sequence)
{
    struct mu_ps_client *client = server->client;
    for (int i = 0; i < client->options.in_flight; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->in_use && slot->sequence == sequence && !slot->parts[server->order].replied)
            return &slot->parts[server->order];
    }
    return NULL;
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct server *server = owner;
    if (frame->type != MU_FRAME_FRESH || frame->generation != server->client->options.generation)
        return refuse(server, "sent a frame that has no place here");
    struct part *part = part_of(server, frame->tag);
    if (!part)
        return refuse(server, "answers a push that was not sent");
    if (!mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &part->fresh) ||
        part->fresh.item != part->slot->item)
        return refuse(server, "sent a FRESH whose body is malformed");
    float *fresh = part->slot->fresh;
    if (frame->payload_bytes != (fresh ? server->span.count * sizeof(float) : 0))
        return refuse(server, "sent parameters of another length than its span has");
    server->part = part;
    *ret_payload = fresh ? fresh + server->span.first : NULL;
    return MU_LINK_TAKE;
}

static void end_if_whole(struct slot *slot)
{
    if (slot->in_use && slot->replies_missing == 0 && slot->sends_pending == 0)
        slot->ended = true;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    struct part *part = ((struct server *)owner)->part;
    part->replied = true;
    part->slot->replies_missing--;
    end_if_whole(part->slot);
}

/* Is an answer of this server missing? */
static bool owes(const struct server *server)
{
    for (int i = 0; i < server->client->options.in_flight; i++) {
        const struct slot *slot = &server->client->slots[i];
        if (slot->in_use && !slot->parts[server->order].replied)
            return true;
    }
    return false;
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct server *server = owner;
    server->ended = true;
    if (why == MU_PROTOCOL && !server->refused)
        refuse(server, "sent what is not a frame");
    else if (owes(server))
        client_fail(server->client, server->order, MU_CLOSED);
}

static const struct mu_link_events server_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

void mu_ps_client_add_server(struct mu_ps_client *client, int order, struct mu_link *link)
{
    assert(order >= 0 && order < client->options.server_count);
    struct server *server = &client->servers[order];
    assert(!server->link);
    server->link = link;
    server->ended = !mu_link_alive(link);
    mu_link_adopt(link, &server_events, server);
    mu_link_resume(link);
}

/* ---- sending ---- */

static void send_finished(struct mu_send *send)
{
    struct part *part = send->owner;
    part->slot->sends_pending--;
    end_if_whole(part->slot);
}

static void send_part(
    struct slot *slot, struct server *server, const float *gradients, struct mu_frame frame)
{
    struct part *part = &slot->parts[server->order];
    if (gradients)
        frame.payload_bytes = (uint32_t)(server->span.count * sizeof(float));
    part->slot = slot;
    part->replied = false;
    part->send.owner = part;
    part->send.finished = send_finished;
    mu_link_send(server->link, &part->send, &frame, slot->body,
        gradients ? gradients + server->span.first : NULL);
}

static enum mu_status check_servers(struct mu_ps_client *client)
{
    for (int i = 0; i < client->options.server_count; i++) {
        assert(client->servers[i].link);
        if (client->servers[i].ended)
            client_fail(client, i, MU_CLOSED);
    }
    return client->failure;
}

/* The body is written; `gradients` NULL: a pull, or the client leaves. */
static enum mu_status start(struct mu_ps_client *client, struct slot *slot, size_t body_bytes,
    const float *gradients, float *fresh)
{
    slot->in_use = true;
    slot->ended = false;
    slot->sequence = client->sequence_next++;
    slot->fresh = fresh;
    slot->replies_missing = slot->sends_pending = client->options.server_count;
    struct mu_frame frame = {
        .type = gradients ? MU_FRAME_PUSH : MU_FRAME_PULL,
        .generation = client->options.generation,
        .tag = slot->sequence,
        .body_bytes = (uint32_t)body_bytes,
    };
    for (int i = 0; i < client->options.server_count; i++)
        send_part(slot, &client->servers[i], gradients, frame);
    return client->failure;
}

static struct slot *free_slot(struct mu_ps_client *client, int index, enum mu_ps_item item)
{
    assert(index >= 0 && index < client->options.in_flight);
    struct slot *slot = &client->slots[index];
    assert(!slot->in_use);
    slot->item = item;
    return slot;
}

enum mu_status mu_ps_client_push(struct mu_ps_client *client, int slot, const float *gradients,
    float scale, int64_t seen, float *fresh)
{
    assert(gradients && gradients != fresh);
    assert(isfinite(scale));
    assert(seen >= 0);
    const struct mu_ps_push_body push = {
        .seen = seen, .scale = (double)scale, .acknowledge_only = !fresh};
    MU_TRY(check_servers(client));
    struct slot *own = free_slot(client, slot, MU_PS_ITEM_GRADIENT);
    return start(client, own, mu_ps_push_write(own->body, &push), gradients, fresh);
}

/* ---- waiting ---- */

static void name_missing(struct mu_ps_client *client, const struct slot *slot)
{
    for (int i = client->options.server_count - 1; i >= 0; i--)
        if (!slot->parts[i].replied)
            client->culprit = i;
}

/* All servers must have done the same. */
static enum mu_status check_agreement(struct mu_ps_client *client, const struct slot *slot)
{
    const struct mu_ps_fresh_body *first = &slot->parts[0].fresh;
    for (int i = 1; i < client->options.server_count; i++) {
        const struct mu_ps_fresh_body *other = &slot->parts[i].fresh;
        if (other->version == first->version && other->verdict == first->verdict)
            continue;
        client_fail(client, i,
            mu_fail(client->options.log, MU_E0701, NULL,
                "ps/%d answers push %llu with version %lld where ps/0 has %lld", i,
                (unsigned long long)slot->sequence, (long long)other->version,
                (long long)first->version));
    }
    return client->failure;
}

static enum mu_status wait_for(
    struct mu_ps_client *client, int index, int64_t deadline_ns, struct mu_ps_fresh_body *ret_fresh)
{
    assert(index >= 0 && index < client->options.in_flight);
    struct slot *slot = &client->slots[index];
    assert(slot->in_use);
    struct mu_loop *loop = client->options.loop;
    int64_t spin_ns = loop->spin_ns;
    loop->spin_ns = mu_ps_spin_ns(loop);
    enum mu_status status = mu_loop_until(loop, &slot->ended, deadline_ns);
    loop->spin_ns = spin_ns;
    if (client->failure != MU_OK)
        return client->failure;
    if (status == MU_TIMEOUT)
        name_missing(client, slot);
    MU_TRY(status);
    MU_TRY(check_agreement(client, slot));
    slot->in_use = false;
    *ret_fresh = slot->parts[0].fresh;
    return MU_OK;
}

enum mu_status mu_ps_client_wait(
    struct mu_ps_client *client, int slot, int64_t deadline_ns, struct mu_ps_result *ret_result)
{
    struct mu_ps_fresh_body fresh;
    MU_TRY(wait_for(client, slot, deadline_ns, &fresh));
    *ret_result = (struct mu_ps_result){
        .verdict = fresh.verdict,
        .scale = (float)fresh.scale,
        .staleness = fresh.staleness,
        .version = fresh.version,
    };
    return MU_OK;
}

static enum mu_status start_pull(
    struct mu_ps_client *client, int index, enum mu_ps_item item, float *parameters)
{
    MU_TRY(check_servers(client));
    struct slot *slot = free_slot(client, index, item);
    size_t bytes = mu_ps_pull_write(slot->body, item == MU_PS_ITEM_LEAVE);
    return start(client, slot, bytes, NULL, parameters);
}

enum mu_status mu_ps_client_pull_start(struct mu_ps_client *client, int slot, float *parameters)
{
    assert(parameters);
    return start_pull(client, slot, MU_PS_ITEM_PULL, parameters);
}

enum mu_status mu_ps_client_pull(
    struct mu_ps_client *client, float *parameters, int64_t deadline_ns, int64_t *ret_version)
{
    struct mu_ps_fresh_body fresh;
    MU_TRY(mu_ps_client_pull_start(client, 0, parameters));
    MU_TRY(wait_for(client, 0, deadline_ns, &fresh));
    *ret_version = fresh.version;
    return MU_OK;
}

enum mu_status mu_ps_client_leave(struct mu_ps_client *client, int64_t deadline_ns)
{
    struct mu_ps_fresh_body fresh;
    MU_TRY(start_pull(client, 0, MU_PS_ITEM_LEAVE, NULL));
    return wait_for(client, 0, deadline_ns, &fresh);
}

int mu_ps_client_culprit(const struct mu_ps_client *client)
{
    return client->culprit;
}
