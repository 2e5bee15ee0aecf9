/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/caller.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finish_with(struct mu_caller *caller, enum mu_status status, int error)
{
    caller->status = status;
    caller->error = error;
    caller->done = true;
}

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    struct mu_caller *caller = owner;
    caller->connected = status == MU_OK;
    if (status == MU_OK)
        mu_hello_send(link, caller->ours);
    else
        finish_with(caller, MU_UNAVAILABLE, error);
}

/* After the answer nothing more is read until the link has its real owner. */
static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)body;
    (void)ret_payload;
    struct mu_caller *caller = owner;
    if (caller->done)
        return MU_LINK_HOLD;
    bool expected = frame->type == MU_FRAME_HELLO || frame->type == MU_FRAME_REFUSAL;
    return expected && frame->payload_bytes == 0 ? MU_LINK_TAKE : MU_LINK_REFUSE;
}

/* One process is one task: what another says of itself is never the same in all three. A server
 * with two seats calls itself as well, but not to enter the cluster. */
static bool is_own(const struct mu_caller *caller)
{
    const struct mu_hello *ours = caller->ours, *theirs = caller->theirs;
    bool enters = ours->kind == MU_KIND_CONTROL || ours->kind == MU_KIND_PROBE;
    return enters && theirs->role == ours->role && theirs->index == ours->index &&
           theirs->incarnation == ours->incarnation;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct mu_caller *caller = owner;
    enum mu_status status;
    if (frame->type == MU_FRAME_HELLO) {
        status = mu_hello_read(link, body, frame->body_bytes, caller->theirs);
        caller->echoed = status == MU_OK && is_own(caller);
        status = caller->echoed ? MU_PROTOCOL : status;
    } else {
        status = mu_refusal_read(link, body, frame->body_bytes, &caller->refusal);
        caller->refused = status == MU_OK;
        status = MU_PROTOCOL;
    }
    finish_with(caller, status, 0);
}

/* Less than shows who it is: four bytes of another service would have ended the link. */
static void quote_some(struct mu_caller *caller, struct mu_link *link, const char *then)
{
    char some[sizeof(caller->stray)];
    size_t bytes = mu_link_some(link, some, sizeof(some));
    if (bytes > 0)
        mu_format(caller->reason, sizeof(caller->reason),
            "it answered `%s` (%zu byte%s) and %s: is it muster?", some, bytes,
            bytes == 1 ? "" : "s", then);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    struct mu_caller *caller = owner;
    mu_text_copy(caller->stray, sizeof(caller->stray), mu_link_stray(link));
    int version = mu_link_peer_version(link);
    caller->peer_version = version == MU_PROTOCOL_VERSION ? 0 : version;
    quote_some(caller, link, "closed the connection");
    if (!caller->done)
        finish_with(caller, why, error);
}

static const struct mu_link_events caller_events = {
    .connected = on_connected,
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

void mu_caller_start(struct mu_caller *caller, struct mu_loop *loop,
    const struct mu_address *address, const struct mu_hello *ours)
{
    *caller = (struct mu_caller){.ours = ours};
    caller->theirs = calloc(1, sizeof(*caller->theirs));
    enum mu_status status =
        caller->theirs ? mu_link_connect(loop, address, &caller_events, caller, &caller->link)
                       : MU_NO_MEMORY;
    if (status != MU_OK)
        finish_with(caller, status, status == MU_NO_MEMORY ? ENOMEM : ENETUNREACH);
}

void mu_caller_finish(struct mu_caller *caller)
{
    mu_link_close(caller->link);
    free(caller->theirs);
    *caller = (struct mu_caller){0};
}

const char *mu_caller_error_text(int error)
{
    return error == ENOENT ? "the name cannot be resolved" : strerror(error);
}

const char *mu_caller_reason(struct mu_caller *caller)
{
    if (caller->error != 0)
        return mu_caller_error_text(caller->error);
    if (caller->connected && !caller->done)
        quote_some(caller, caller->link, "says nothing more");
    if (caller->reason[0])
        return caller->reason;
    if (caller->refused)
        return caller->refusal.text;
    if (caller->done)
        return "the connection was closed";
    return "no answer yet";
}

bool mu_caller_is_mute(const struct mu_caller *caller)
{
    char some[2];
    return caller->connected && !caller->done &&
           mu_link_some(caller->link, some, sizeof(some)) == 0;
}
