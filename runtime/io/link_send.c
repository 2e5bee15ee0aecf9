/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/link_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mu_link_post {
    struct mu_send send;
    struct mu_link_post *next_free;
    uint8_t body[MU_BODY_SMALL];
    uint8_t *large; /* a body that does not fit above */
};

void mu_link_free_posts(struct mu_link *link)
{
    while (link->free_posts) {
        struct mu_link_post *post = link->free_posts;
        link->free_posts = post->next_free;
        free(post);
    }
}

static void send_done(struct mu_write *write, enum mu_status status)
{
    struct mu_send *send = write->owner;
    send->status = status;
    send->done = true;
    if (send->finished)
        send->finished(send);
}

void mu_link_send(struct mu_link *link, struct mu_send *send, const struct mu_frame *frame,
    const void *body, const void *payload)
{
    send->done = false;
    send->write = (struct mu_write){.done = send_done, .owner = send};
    if (!link->stream) {
        send_done(&send->write, MU_CLOSED);
        return;
    }
    mu_frame_encode(frame, body, send->header);
    struct mu_part parts[MU_PARTS_MAX] = {{send->header, MU_FRAME_HEADER_BYTES}};
    int part_count = 1;
    if (frame->body_bytes)
        parts[part_count++] = (struct mu_part){body, frame->body_bytes};
    if (frame->payload_bytes)
        parts[part_count++] = (struct mu_part){payload, frame->payload_bytes};
    link->loop->ops->write(link->stream, &send->write, parts, part_count);
}

static void post_done(struct mu_send *send)
{
    struct mu_link_post *post =
        (struct mu_link_post *)((char *)send - offsetof(struct mu_link_post, send));
    struct mu_link *link = send->owner;
    link->posts_waiting--;
    free(post->large);
    post->large = NULL;
    post->next_free = link->free_posts;
    link->free_posts = post;
}

static struct mu_link_post *post_take(struct mu_link *link)
{
    struct mu_link_post *post = link->free_posts;
    if (!post)
        return calloc(1, sizeof(*post));
    link->free_posts = post->next_free;
    return post;
}

void mu_link_post(struct mu_link *link, uint8_t type, uint32_t generation, uint64_t tag,
    const struct mu_body *body)
{
    if (!link->stream)
        return;
    size_t bytes = body ? body->bytes : 0;
    assert(!body || !body->failed);
    struct mu_link_post *post = link->posts_waiting < MU_LINK_POSTS_MAX ? post_take(link) : NULL;
    if (post && bytes > MU_BODY_SMALL)
        post->large = malloc(bytes);
    if (!post || (bytes > MU_BODY_SMALL && !post->large)) {
        free(post);
        mu_link_end(link, MU_CLOSED, ENOBUFS);
        return;
    }
    uint8_t *copy = post->large ? post->large : post->body;
    if (bytes)
        memcpy(copy, body->data, bytes);
    struct mu_frame frame = {
        .type = type, .generation = generation, .tag = tag, .body_bytes = (uint32_t)bytes};
    post->send.finished = post_done;
    post->send.owner = link;
    link->posts_waiting++;
    mu_link_send(link, &post->send, &frame, copy, NULL);
}

int mu_link_posts_waiting(const struct mu_link *link)
{
    return link->posts_waiting;
}

void mu_link_hold_at_most(struct mu_link *link, int bytes)
{
    if (link->stream && link->loop->ops->hold_at_most)
        link->loop->ops->hold_at_most(link->stream, bytes);
}
