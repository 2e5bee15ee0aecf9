/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/door.h"
#include <string.h>

static void turn_away(struct mu_door_stranger *stranger, const char *why)
{
    struct mu_door *door = stranger->door;
    struct mu_link *link = stranger->link;
    stranger->link = NULL;
    door->turned_away++;
    /* The first few are told; a flood is only counted. */
    if (door->turned_away <= 3) {
        char name[80];
        mu_link_peer_name(link, name, sizeof(name));
        mu_say(door->log, MU_LEVEL_WARN, "turned away %s: %s%s%s", name, why,
            mu_link_stray(link)[0] ? ": " : "", mu_link_stray(link));
    }
    mu_link_close(link);
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct mu_door_stranger *stranger = owner;
    struct mu_door *door = stranger->door;
    if (mu_hello_read(link, body, frame->body_bytes, &door->theirs) != MU_OK) {
        turn_away(stranger, "its hello is malformed");
        return;
    }
    struct mu_refusal refusal = {.help = ""};
    if (door->greeted(door->owner, link, &door->theirs, &refusal)) {
        mu_hello_send(link, door->ours);
        if (door->theirs.kind != MU_KIND_PROBE)
            stranger->link = NULL;
        return;
    }
    /* It stays a stranger until it has read why, or its time is up. */
    mu_refusal_send(link, &refusal);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)error;
    struct mu_door_stranger *stranger = owner;
    assert(stranger->link == link);
    if (why == MU_PROTOCOL) {
        int version = mu_link_peer_version(link);
        bool other = version != 0 && version != MU_PROTOCOL_VERSION;
        char from[80];
        mu_link_peer_name(link, from, sizeof(from));
        turn_away(stranger,
            other ? "it speaks another version of the protocol" : "it does not speak muster");
        if (other)
            stranger->door->other_version(stranger->door->owner, from, version);
        return;
    }
    mu_link_close(stranger->link);
    stranger->link = NULL;
}

static const struct mu_link_events stranger_events = {
    .frame = mu_link_take_hello,
    .arrived = on_arrived,
    .ended = on_ended,
};

static struct mu_door_stranger *free_place(struct mu_door *door)
{
    for (int i = 0; i < MU_DOOR_STRANGERS_MAX; i++)
        if (!door->stranger[i].link)
            return &door->stranger[i];
    return NULL;
}

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct mu_door *door = owner;
    struct mu_door_stranger *place = free_place(door);
    if (!place) {
        door->turned_away++;
        door->loop->ops->close(stream);
        return;
    }
    place->door = door;
    place->deadline_ns = mu_now(door->loop->world) + MU_DOOR_GREETING_NS;
    if (mu_link_accept(door->loop, stream, &stranger_events, place, &place->link) != MU_OK)
        place->link = NULL;
}

enum mu_status mu_door_open(
    struct mu_door *door, const struct mu_address *address, int inherited_fd, int *ret_error)
{
    memset(door->stranger, 0, sizeof(door->stranger));
    return door->loop->ops->listen(
        door->loop, address, inherited_fd, on_accepted, door, &door->listener, ret_error);
}

void mu_door_tick(struct mu_door *door, int64_t now_ns)
{
    for (int i = 0; i < MU_DOOR_STRANGERS_MAX; i++)
        if (door->stranger[i].link && now_ns >= door->stranger[i].deadline_ns)
            turn_away(&door->stranger[i], "it said nothing in time");
}

void mu_door_shut(struct mu_door *door)
{
    if (door->loop)
        door->loop->ops->listener_close(door->listener);
    door->listener = NULL;
}

void mu_door_flush(struct mu_door *door, int64_t deadline_ns)
{
    for (int i = 0; door->loop && i < MU_DOOR_STRANGERS_MAX; i++) {
        struct mu_link *link = door->stranger[i].link;
        door->stranger[i].link = NULL;
        if (link)
            mu_link_flush(link, deadline_ns);
    }
}

void mu_door_close(struct mu_door *door)
{
    if (!door->loop)
        return;
    mu_door_shut(door);
    for (int i = 0; i < MU_DOOR_STRANGERS_MAX; i++) {
        mu_link_close(door->stranger[i].link);
        door->stranger[i].link = NULL;
    }
}
