/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"
#include "runtime/base/text.h"
#include <stdio.h>
#include <string.h>

/*
 * Memory that a worker shares with the servers of its host:
 *
 *   worker ---- SHARE (boot, user) ----> server      where are you?
 *   worker <--- SHARE (boot, user) ----- server
 *           ... those of this host and user: the worker makes the memory ...
 *   worker ---- SHARE (name, bytes) ---> server      maps it
 *   worker <--- SHARE (why) ------------ server      "": it has
 *           ... when all have answered, the name goes: nobody needs it any more
 */

static void settle(struct mu_client_server *server, enum mu_client_share share)
{
    struct mu_ps_client *client = server->client;
    server->share = share;
    client->share_missing--;
    client->share_over = client->share_over || client->share_missing == 0;
}

/* It is on this host, and yet goes without; the first one's reason is the one that is said. */
static void stays_apart(struct mu_client_server *server, const char *why)
{
    struct mu_ps_client *client = server->client;
    if (client->share_apart < 0) {
        client->share_apart = server->order;
        mu_text_copy(client->share_why, sizeof(client->share_why), why);
    }
    settle(server, MU_CLIENT_APART);
}

static bool is_awaited(const struct mu_client_server *server)
{
    return server->share == MU_CLIENT_ASKED || server->share == MU_CLIENT_OFFERED;
}

void mu_client_share_ended(struct mu_client_server *server)
{
    if (is_awaited(server))
        settle(server, MU_CLIENT_APART);
    else
        server->share = MU_CLIENT_APART;
    /* What others say is of no use any more: they may not answer before this one is back. */
    if (!server->client->options.relinks)
        server->client->share_over = true;
}

/* ---- answers ---- */

static enum mu_link_answer on_host(
    struct mu_client_server *server, const struct mu_frame *frame, const void *body)
{
    const struct mu_shared_memory_host *ours = &server->client->host;
    struct mu_shared_memory_host theirs;
    if (!mu_ps_host_read(mu_link_decoder(server->link), body, frame->body_bytes, &theirs))
        return mu_client_refuse(server, "sent a SHARE whose body is malformed");
    if (!mu_shared_memory_same_host(ours, &theirs))
        settle(server, MU_CLIENT_APART);
    else if (ours->user != theirs.user)
        stays_apart(server, "it belongs to another user");
    else
        settle(server, MU_CLIENT_HOME);
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_mapped(
    struct mu_client_server *server, const struct mu_frame *frame, const void *body)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    if (!mu_ps_mapped_read(mu_link_decoder(server->link), body, frame->body_bytes, why))
        return mu_client_refuse(server, "sent a SHARE whose body is malformed");
    if (why[0])
        stays_apart(server, why);
    else
        settle(server, MU_CLIENT_SHARES);
    return MU_LINK_TAKE;
}

enum mu_link_answer mu_client_share_frame(
    struct mu_client_server *server, const struct mu_frame *frame, const void *body)
{
    if (frame->generation != server->client->options.generation || frame->payload_bytes != 0)
        return mu_client_refuse(server, "sent a frame that has no place here");
    if (!is_awaited(server))
        return MU_LINK_TAKE; /* too late */
    return server->share == MU_CLIENT_ASKED ? on_host(server, frame, body)
                                            : on_mapped(server, frame, body);
}

/* ---- asking ---- */

static void post(struct mu_client_server *server, enum mu_ps_share what, const struct mu_body *body)
{
    struct mu_ps_client *client = server->client;
    server->share = what == MU_PS_SHARE_HOST ? MU_CLIENT_ASKED : MU_CLIENT_OFFERED;
    client->share_missing++;
    client->share_over = false;
    mu_link_post(server->link, MU_FRAME_SHARE, client->options.generation, (uint64_t)what, body);
}

/* For all that were written to; who has not answered at the deadline stays apart. */
static enum mu_status await(struct mu_ps_client *client, int64_t deadline_ns)
{
    if (client->share_missing > 0) {
        enum mu_status status =
            mu_loop_until(client->options.loop, &client->share_over, deadline_ns);
        MU_TRY(status == MU_TIMEOUT ? MU_OK : status);
    }
    for (int i = 0; i < client->seat_count; i++)
        if (is_awaited(&client->servers[i]))
            stays_apart(&client->servers[i], "it has not answered in time");
    return mu_client_check_servers(client);
}

static enum mu_status ask(struct mu_ps_client *client, int64_t deadline_ns)
{
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_shared_memory_host(&client->host);
    mu_ps_host_put(&body, memory, &client->host);
    for (int i = 0; i < client->seat_count; i++)
        if (client->servers[i].link)
            post(&client->servers[i], MU_PS_SHARE_HOST, &body);
    return await(client, deadline_ns);
}

static enum mu_status offer(
    struct mu_ps_client *client, struct mu_vectors *vectors, int64_t deadline_ns)
{
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    struct mu_ps_offer_body offer = {.bytes = (int64_t)vectors->shared.bytes};
    mu_text_copy(offer.name, sizeof(offer.name), vectors->shared.name);
    mu_ps_offer_put(&body, memory, &offer);
    for (int i = 0; i < client->seat_count; i++)
        if (client->servers[i].share == MU_CLIENT_HOME)
            post(&client->servers[i], MU_PS_SHARE_MEMORY, &body);
    enum mu_status status = await(client, deadline_ns);
    mu_shared_memory_unlink(&vectors->shared);
    return status;
}

static int count_of(const struct mu_ps_client *client, enum mu_client_share share)
{
    int count = 0;
    for (int i = 0; i < client->seat_count; i++)
        count += client->servers[i].share == share;
    return count;
}

static bool sees_vectors(const struct mu_ps_client *client, int order)
{
    return client->servers[order].share == MU_CLIENT_SHARES;
}

/* ---- the vectors ---- */

/* All that are at home see the memory, or none is there. */
static enum mu_status make_shared(struct mu_ps_client *client, size_t vector_count,
    int64_t deadline_ns, struct mu_vectors *vectors)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    mu_shared_memory_sweep();
    if (mu_vectors_init_shared(vectors, vector_count, client->options.element_count,
            mu_client_rows_bytes(client), client->options.loop, why) != MU_OK) {
        for (int i = 0; i < client->seat_count; i++)
            if (client->servers[i].share == MU_CLIENT_HOME) {
                client->share_missing++;
                stays_apart(&client->servers[i], why);
            }
        return MU_OK;
    }
    enum mu_status status = offer(client, vectors, deadline_ns);
    if (status != MU_OK || count_of(client, MU_CLIENT_SHARES) == 0)
        mu_vectors_finish(vectors);
    else
        client->vectors = vectors;
    return status;
}

static void say_apart(struct mu_ps_client *client)
{
    if (client->share_apart >= 0)
        mu_say(client->options.log, MU_LEVEL_WARN,
            "ps/%d is on this host, but not in shared memory with us: %s; pushes to it travel by "
            "tcp",
            mu_ps_seat_process(client->share_apart, client->options.server_count),
            client->share_why);
}

static void say(struct mu_ps_client *client)
{
    struct mu_log *log = client->options.log;
    struct mu_text names;
    mu_text_init(&names);
    /* Both seats of a process are on its host. */
    for (int i = 0; i < client->options.server_count; i++)
        if (sees_vectors(client, i))
            mu_text_add(&names, "%sps/%d", names.bytes ? ", " : "", i);
    /* One line of a run is enough. */
    if (client->vectors)
        mu_say(log, client->options.replica == 0 ? MU_LEVEL_INFO : MU_LEVEL_DEBUG,
            "gradients and parameters reach %s through shared memory", names.data);
    mu_text_finish(&names);
    say_apart(client);
}

static bool is_real(const struct mu_ps_client *client)
{
    return strcmp(client->options.loop->world->ops->name, "real") == 0;
}

static enum mu_status check_all_share(const struct mu_ps_client *client)
{
    for (int i = 0; i < client->seat_count; i++)
        if (!sees_vectors(client, i))
            return mu_fail(client->options.log, MU_E0204, "let the transport be found (route)",
                "no memory is shared with ps/%d, and only shm is allowed",
                mu_ps_seat_process(i, client->options.server_count));
    return MU_OK;
}

static enum mu_status share(struct mu_ps_client *client, enum mu_ps_sharing sharing,
    size_t vector_count, int64_t deadline_ns, struct mu_vectors *vectors)
{
    if (sharing == MU_PS_SHARE_NEVER || !is_real(client))
        return MU_OK;
    MU_TRY(mu_client_check_servers(client));
    MU_TRY(ask(client, deadline_ns));
    if (count_of(client, MU_CLIENT_HOME) > 0)
        MU_TRY(make_shared(client, vector_count, deadline_ns, vectors));
    say(client);
    return sharing == MU_PS_SHARE_ALWAYS ? check_all_share(client) : MU_OK;
}

enum mu_status mu_ps_client_share_home(struct mu_ps_client *client, enum mu_ps_sharing sharing,
    size_t vector_count, int64_t deadline_ns, struct mu_vectors *vectors)
{
    *vectors = (struct mu_vectors){0};
    client->share_apart = -1;
    mu_client_rows_use(client, NULL);
    enum mu_status status = share(client, sharing, vector_count, deadline_ns, vectors);
    if (status != MU_OK) {
        client->vectors = NULL;
        mu_vectors_finish(vectors);
    }
    if (vectors->data)
        mu_client_rows_use(client, mu_vectors_rows(vectors));
    return status;
}

enum mu_status mu_ps_client_share(struct mu_ps_client *client, enum mu_ps_sharing sharing,
    size_t vector_count, int64_t deadline_ns, struct mu_vectors *vectors)
{
    MU_TRY(mu_ps_client_share_home(client, sharing, vector_count, deadline_ns, vectors));
    if (vectors->data)
        return MU_OK;
    if (mu_vectors_init(vectors, vector_count, client->options.element_count,
            mu_client_rows_bytes(client), client->options.loop) != MU_OK)
        return mu_fail(client->options.log, MU_E0801, "use fewer pushes in flight",
            "no memory for %zu vectors of %zu floats", vector_count, client->options.element_count);
    mu_client_rows_use(client, mu_vectors_rows(vectors));
    return MU_OK;
}

/* ---- after a loss ---- */

enum mu_status mu_ps_client_share_anew(
    struct mu_ps_client *client, int64_t deadline_ns, struct mu_vectors *vectors, bool *ret_shared)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    *ret_shared = client->vectors != NULL;
    if (!client->vectors)
        return MU_OK;
    enum mu_status renewed = mu_shared_memory_renew(&vectors->shared, client->options.loop, why);
    if (renewed != MU_OK && vectors->shared.file >= 0) /* it is still what the lost server sees */
        return mu_fail(client->options.log, MU_E0801, "use fewer pushes in flight",
            "no memory to move %zu vectors of %zu floats away from a lost server", vectors->count,
            client->options.element_count);
    client->share_apart = -1;
    client->vectors = renewed == MU_OK ? vectors : NULL;
    for (int i = 0; i < client->seat_count; i++) {
        struct mu_client_server *server = &client->servers[i];
        if (server->share != MU_CLIENT_SHARES)
            continue;
        server->share = renewed == MU_OK ? MU_CLIENT_HOME : MU_CLIENT_APART;
        if (renewed == MU_OK || client->share_apart >= 0)
            continue;
        client->share_apart = i;
        mu_text_copy(client->share_why, sizeof(client->share_why), why);
    }
    enum mu_status status = renewed == MU_OK ? offer(client, vectors, deadline_ns) : MU_OK;
    say_apart(client);
    return status;
}

/* ---- pushes ---- */

void mu_client_share_part(struct mu_client_slot *slot, struct mu_client_server *server,
    struct mu_frame *frame, const float **gradient, const uint8_t **body)
{
    struct mu_client_part *part = &slot->parts[server->order];
    size_t bytes = server->span.count * sizeof(float);
    part->in_place = false;
    if (server->share != MU_CLIENT_SHARES || part->quiet)
        return;
    const struct mu_vectors *vectors = slot->client->vectors;
    const float *fresh = slot->fresh ? slot->fresh + server->span.first : NULL;
    struct mu_ps_push_body push = slot->push;
    push.gradient_at = mu_vectors_place(vectors, *gradient, bytes, MU_VECTORS_ALIGN);
    push.fresh_at = mu_vectors_place(vectors, fresh, bytes, MU_VECTORS_ALIGN);
    part->in_place = push.fresh_at > 0;
    part->was_in_place = part->was_in_place || part->in_place;
    if (push.gradient_at > 0) {
        *gradient = NULL;
        frame->payload_bytes = 0;
    }
    frame->body_bytes =
        (uint32_t)(frame->type == MU_FRAME_PUSH
                       ? mu_ps_push_write(part->own_body, &push)
                       : mu_ps_pull_write(part->own_body, slot->item, push.fresh_at));
    *body = part->own_body;
}

/* What is sent again over another link travels; but if it was here already, and waited, it is
 * answered as it was sent first. */
bool mu_client_share_is_in_place(const struct mu_client_part *part, const struct mu_frame *frame)
{
    return part->in_place || (part->was_in_place && frame->payload_bytes == 0);
}
