/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include "runtime/io/host.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING_NS (5 * MU_SECOND)  /* that a stranger has for its hello */
#define RETRY_NS (20 * MU_MS)        /* between two calls of a rank that is not there yet */
#define PARTING_NS MU_SECOND         /* that one who is turned away has to read why */
#define LINGER_NS (2 * MU_SECOND)    /* that one who fails stays, for those who come to read why */
#define SAY_AFTER_NS (2 * MU_SECOND) /* whom we wait for */

static void send_refusal(struct mu_link *link, enum mu_error error, const char *why)
{
    uint8_t memory[MU_BODY_SMALL];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 2);
    mu_body_put_int(&body, "error", mu_error_number(error));
    mu_body_put_text(&body, "why", why);
    mu_link_post(link, MU_FRAME_REFUSAL, 0, 0, &body);
}

static enum mu_link_answer take_greetings(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body, void **ret)
{
    bool expected = frame->type == MU_FRAME_HELLO || frame->type == MU_FRAME_REFUSAL;
    return expected && frame->payload_bytes == 0 ? MU_LINK_TAKE : MU_LINK_REFUSE;
}

static bool is_complete(const struct mu_mesh *mesh)
{
    return mesh->greeted == mu_mesh_degree(mesh->request);
}

/* It is gone before the group was complete: it may come again. Afterwards whoever has the link
 * finds it gone. */
static void lose(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    struct mu_mesh_way *way = owner;
    if (is_complete(way->mesh))
        return;
    way->mesh->greeted -= way->greeted;
    way->greeted = false;
    way->error = error;
    way->call_ns = mu_now(way->mesh->request->loop->world) + RETRY_NS;
    mu_link_close(way->link);
    way->link = NULL;
}

static int rank_of(const struct mu_mesh_way *way)
{
    return (int)(way - way->mesh->way);
}

static void fail_call(
    struct mu_mesh_way *way, enum mu_error error, const char *help, const char *what)
{
    char name[MU_MESH_NAME_BYTES];
    const struct mu_mesh_request *request = way->mesh->request;
    mu_mesh_name_rank(request, rank_of(way), name);
    way->mesh->failed = mu_fail(request->log, error, help, "%s: %s", name, what);
}

/* The reason is of another process: only for reading. Whoever is refused because the ranks do not
 * agree tells it to those who come to him. */
static void be_refused(
    struct mu_mesh_way *way, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    int64_t number = 0;
    struct mu_mesh *mesh = way->mesh;
    struct mu_decoder *decoder = mu_link_decoder(link);
    char why[MU_MESH_WHY_MAX] = "";
    way->told = true;
    if (mesh->failed != MU_OK)
        return;
    if (mu_decoder_read(decoder, body, frame->body_bytes) != MU_OK ||
        !mu_decoder_int(decoder, "error", 0, 9999, &number) ||
        !mu_decoder_text(decoder, "why", why, sizeof(why)))
        number = 0;
    if (number == mu_error_number(MU_E0307)) {
        fail_call(way, MU_E0307, "each rank is started once",
            "it has this rank already, from another process");
        return;
    }
    mesh->reason = number == mu_error_number(MU_E0305) ? MU_E0305 : MU_E0309;
    fail_call(way, mesh->reason, mu_mesh_help(mesh->reason),
        why[0] ? why : "it belongs to another group than this rank");
    mu_text_copy(mesh->why, sizeof(mesh->why), why);
}

/* What comes after the hello is for the link's next owner, unless it is that there is no group. */
static enum mu_link_answer take_parting(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body, void **ret)
{
    const struct mu_mesh *mesh = ((struct mu_mesh_way *)owner)->mesh;
    bool refuses = frame->type == MU_FRAME_REFUSAL;
    bool gives_up = frame->type == MU_FRAME_GOODBYE && !is_complete(mesh);
    return (refuses || gives_up) && frame->payload_bytes == 0 ? MU_LINK_TAKE : MU_LINK_HOLD;
}

static void on_parting(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct mu_mesh_way *way = owner;
    if (frame->type == MU_FRAME_REFUSAL) {
        be_refused(way, link, frame, body);
        return;
    }
    way->gave_up = true;
    lose(way, link, MU_CLOSED, 0);
}

static const struct mu_link_events greeted_events = {
    .frame = take_parting, .arrived = on_parting, .ended = lose};

static void welcome(struct mu_mesh_way *way, struct mu_link *link)
{
    mu_link_adopt(link, &greeted_events, way);
    way->link = link;
    way->greeted = way->came = true;
    way->gave_up = false;
    way->mesh->greeted++;
}

/* ---- calling the lower ranks ---- */

static void on_answer(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct mu_mesh_way *way = owner;
    struct mu_mesh_hello hello;
    if (frame->type == MU_FRAME_REFUSAL) {
        be_refused(way, link, frame, body);
    } else if (!mu_mesh_read_hello(link, frame, body, &hello)) {
        fail_call(way, MU_E0308, "start the same version of muster on every host",
            "its hello is not that of a rank");
    } else if (mu_mesh_disagrees(way->mesh, rank_of(way), hello.from == rank_of(way), &hello)) {
        way->told = true; /* by our hello */
    } else {
        welcome(way, link);
    }
}

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    struct mu_mesh_way *way = owner;
    if (status == MU_OK)
        mu_mesh_send_hello(link, way->mesh->request, rank_of(way));
    else
        lose(way, link, MU_CLOSED, error);
}

static void on_call_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    struct mu_mesh_way *way = owner;
    char what[160];
    const char *stray = mu_link_stray(link);
    if (why == MU_PROTOCOL && way->mesh->failed == MU_OK) {
        mu_format(
            what, sizeof(what), "another service answers there%s%s", stray[0] ? ": " : "", stray);
        fail_call(way, MU_E0306, "look at the address and the port", what);
    }
    lose(way, link, why, error);
}

static const struct mu_link_events call_events = {.connected = on_connected,
    .frame = take_greetings,
    .arrived = on_answer,
    .ended = on_call_ended};

static enum mu_status call_lower_ranks(struct mu_mesh *mesh, int64_t now_ns)
{
    const struct mu_mesh_request *request = mesh->request;
    for (int rank = 0; rank < request->rank && mu_mesh_linked(request, rank); rank++) {
        struct mu_mesh_way *way = &mesh->way[rank];
        if (way->link || way->told || way->call_ns > now_ns)
            continue;
        enum mu_status status =
            mu_link_connect(request->loop, &request->address[rank], &call_events, way, &way->link);
        if (status == MU_NO_MEMORY)
            return mu_fail(request->log, MU_E0801, NULL, "no memory for a link");
        if (status != MU_OK) {
            way->error = ENETUNREACH;
            way->call_ns = now_ns + RETRY_NS;
        }
    }
    return MU_OK;
}

/* ---- answering the higher ranks ---- */

static void turn_away(struct mu_mesh_stranger *stranger, const char *why)
{
    char name[80];
    struct mu_link *link = stranger->link;
    stranger->link = NULL;
    mu_link_peer_name(link, name, sizeof(name));
    mu_say(stranger->mesh->request->log, MU_LEVEL_WARN, "turned away %s: %s%s%s", name, why,
        mu_link_stray(link)[0] ? ": " : "", mu_link_stray(link));
    mu_link_close(link);
}

/* It stays a stranger until it has read why, and leaves; or its time is up. */
static void refuse(struct mu_mesh_stranger *stranger, enum mu_error error)
{
    stranger->deadline_ns = mu_now(stranger->mesh->request->loop->world) + PARTING_NS;
    send_refusal(stranger->link, error, stranger->mesh->why);
}

static void on_hello(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct mu_mesh_stranger *stranger = owner;
    struct mu_mesh *mesh = stranger->mesh;
    struct mu_mesh_hello hello;
    if (frame->type != MU_FRAME_HELLO || !mu_mesh_read_hello(link, frame, body, &hello)) {
        turn_away(stranger, "its hello is not that of a rank");
    } else if (mesh->failed != MU_OK ||
               mu_mesh_disagrees(mesh, (int)hello.from, hello.from > mesh->request->rank, &hello)) {
        refuse(stranger, mesh->reason);
    } else if (mesh->way[hello.from].greeted) {
        refuse(stranger, MU_E0307);
    } else {
        stranger->link = NULL;
        mu_mesh_send_hello(link, mesh->request, (int)hello.from);
        welcome(&mesh->way[hello.from], link);
    }
}

static void on_stranger_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    struct mu_mesh_stranger *stranger = owner;
    if (why == MU_PROTOCOL) {
        turn_away(stranger, "it does not speak muster, or another version");
        return;
    }
    mu_link_close(stranger->link);
    stranger->link = NULL;
}

static const struct mu_link_events stranger_events = {
    .frame = take_greetings, .arrived = on_hello, .ended = on_stranger_ended};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct mu_mesh *mesh = owner;
    struct mu_loop *loop = mesh->request->loop;
    struct mu_mesh_stranger *place = NULL;
    for (int i = 0; i < MU_MESH_STRANGERS_MAX && !place; i++)
        if (!mesh->stranger[i].link)
            place = &mesh->stranger[i];
    if (!place) { /* a rank that is sent away here calls again */
        loop->ops->close(stream);
        return;
    }
    *place =
        (struct mu_mesh_stranger){.mesh = mesh, .deadline_ns = mu_now(loop->world) + GREETING_NS};
    if (mu_link_accept(loop, stream, &stranger_events, place, &place->link) != MU_OK)
        place->link = NULL;
}

static void watch_strangers(struct mu_mesh *mesh, int64_t now_ns)
{
    for (int i = 0; i < MU_MESH_STRANGERS_MAX; i++)
        if (mesh->stranger[i].link && now_ns >= mesh->stranger[i].deadline_ns)
            turn_away(&mesh->stranger[i], "it is none of ours, or said nothing in time");
}

static enum mu_status say_held(const struct mu_mesh_request *request, const char *name)
{
    const struct mu_address *own = &request->address[request->rank];
    struct mu_host_holder holder;
    char help[160];
    mu_format(help, sizeof(help), "who has it: `sudo ss -ltnp 'sport = :%d'`", own->port);
    if (!mu_host_port_holder(own->host, own->port, &holder))
        return mu_fail(request->log, MU_E0302, help, "%s: the port is in use", name);
    mu_format(help, sizeof(help), "`kill %d` ends it if it is left over; if not, take another port",
        holder.process);
    return mu_fail(request->log, MU_E0302, help, "%s: the port is in use by pid %d (%s)%s", name,
        holder.process, holder.command, holder.stopped ? ", which is stopped (state T)" : "");
}

static enum mu_status start_listening(struct mu_mesh *mesh, int64_t deadline_ns)
{
    const struct mu_mesh_request *request = mesh->request;
    struct mu_loop *loop = request->loop;
    char name[MU_MESH_NAME_BYTES];
    enum mu_status status;
    int error;
    if (request->rank >= mu_mesh_listeners(request))
        return MU_OK;
    do { /* until the resolver has answered */
        error = 0;
        status = loop->ops->listen(loop, &request->address[request->rank], request->listen_fd,
            on_accepted, mesh, &mesh->listener, &error);
    } while (status == MU_NO_INPUT && error == EAGAIN && mu_now(loop->world) < deadline_ns);
    if (status == MU_OK)
        return MU_OK;
    if (request->listen_fd >= 0)
        close(request->listen_fd);
    mu_mesh_name_rank(request, request->rank, name);
    if (status == MU_NO_MEMORY)
        return mu_fail(request->log, MU_E0801, NULL, "no memory to listen as %s", name);
    if (status == MU_NO_INPUT)
        return mu_fail(request->log, MU_E0310, NULL, "%s: there is no host of this name", name);
    if (status == MU_UNAVAILABLE)
        return say_held(request, name);
    return mu_fail(request->log, MU_E0303, "the address of a rank is one of its own host",
        "cannot listen as %s: %s", name, strerror(error));
}

/* ---- the whole ---- */

static int64_t next_call_ns(const struct mu_mesh *mesh)
{
    int64_t next = MU_FOREVER;
    const struct mu_mesh_request *request = mesh->request;
    for (int rank = 0; rank < request->rank && mu_mesh_linked(request, rank); rank++)
        if (!mesh->way[rank].link && !mesh->way[rank].told && mesh->way[rank].call_ns < next)
            next = mesh->way[rank].call_ns;
    return next;
}

/* Until something happens, or there is something to do. */
static enum mu_status turn(struct mu_mesh *mesh, int64_t until_ns)
{
    struct mu_loop *loop = mesh->request->loop;
    enum mu_status turned = loop->ops->turn(loop, until_ns);
    (void)turned; /* the clock is looked at by who turns */
    return loop->cancelled;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void tell_greeted(struct mu_mesh *mesh)
{
    for (int rank = 0; rank < mesh->request->count; rank++) {
        struct mu_mesh_way *way = &mesh->way[rank];
        if (!way->greeted || way->told)
            continue;
        send_refusal(way->link, mesh->reason, mesh->why);
        way->told = true;
    }
}

/* The ranks that have been greeted are told why; so are those that come for a while, and those that
 * do not listen yet, who would wait for us in vain. */
static enum mu_status tell_others(struct mu_mesh *mesh)
{
    struct mu_world *world = mesh->request->loop->world;
    int64_t until = mu_now(world) + LINGER_NS;
    for (int64_t now; (now = mu_now(world)) < until;) {
        tell_greeted(mesh);
        watch_strangers(mesh, now);
        MU_TRY(call_lower_ranks(mesh, now));
        MU_TRY(turn(mesh, least(next_call_ns(mesh), until)));
    }
    return MU_OK;
}

static enum mu_status gather(struct mu_mesh *mesh, int64_t deadline_ns)
{
    struct mu_world *world = mesh->request->loop->world;
    mesh->begin_ns = mu_now(world);
    mesh->say_ns = mesh->begin_ns + SAY_AFTER_NS;
    while (!is_complete(mesh) && mesh->failed == MU_OK) {
        int64_t now = mu_now(world);
        if (now >= deadline_ns)
            return mu_mesh_fail_missing(mesh, now);
        mu_mesh_say_missing(mesh, now, deadline_ns);
        watch_strangers(mesh, now);
        MU_TRY(call_lower_ranks(mesh, now));
        int64_t until = least(next_call_ns(mesh), mu_deadline(now, GREETING_NS));
        MU_TRY(turn(mesh, least(least(until, mesh->say_ns), deadline_ns)));
    }
    if (mesh->why[0])
        MU_TRY(tell_others(mesh));
    return mesh->failed;
}

static void part(struct mu_mesh *mesh)
{
    int64_t until_ns = mu_now(mesh->request->loop->world) + PARTING_NS;
    mu_mesh_say_goodbye(mesh);
    for (int rank = 0; rank < mesh->request->count; rank++) {
        struct mu_link *link = mesh->way[rank].link;
        mesh->way[rank].link = NULL;
        if (link && mesh->way[rank].greeted)
            mu_link_flush(link, until_ns);
        else
            mu_link_close(link);
    }
}

/* Hands over what is greeted; `status` not OK: nothing. */
static void finish(struct mu_mesh *mesh, enum mu_status status, struct mu_link *ret_link[])
{
    mesh->request->loop->ops->listener_close(mesh->listener);
    for (int i = 0; i < MU_MESH_STRANGERS_MAX; i++)
        if (mesh->stranger[i].link)
            mu_link_flush(mesh->stranger[i].link, mu_now(mesh->request->loop->world) + PARTING_NS);
    if (mesh->goodbye[0])
        part(mesh);
    for (int rank = 0; rank < mesh->request->count; rank++)
        if (status == MU_OK)
            ret_link[rank] = mesh->way[rank].link;
        else
            mu_link_close(mesh->way[rank].link);
    free(mesh->way);
}

enum mu_status mu_mesh_open(
    const struct mu_mesh_request *request, int64_t deadline_ns, struct mu_link *ret_link[])
{
    assert(request->rank >= 0 && request->rank < request->count);
    struct mu_mesh mesh = {.request = request, .reason = MU_E0309};
    mesh.way = calloc((size_t)request->count, sizeof(*mesh.way));
    if (!mesh.way) {
        if (request->listen_fd >= 0)
            close(request->listen_fd);
        return mu_fail(request->log, MU_E0801, NULL, "no memory for %d links", request->count);
    }
    for (int rank = 0; rank < request->count; rank++)
        mesh.way[rank].mesh = &mesh;
    enum mu_status status = start_listening(&mesh, deadline_ns);
    if (status == MU_OK)
        status = gather(&mesh, deadline_ns);
    finish(&mesh, status, ret_link);
    return status;
}

/* FNV-1a (Fowler, Noll, Vo) of the addresses as text. */
uint64_t mu_mesh_group_of(const struct mu_address *address, int count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int rank = 0; rank < count; rank++) {
        char text[MU_HOST_MAX + 16];
        mu_format(text, sizeof(text), "%s %d,", address[rank].host, address[rank].port);
        for (const char *at = text; *at; at++)
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return hash;
}
