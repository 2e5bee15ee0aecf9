/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_HAND_SHARE_H
#define MU_TEST_HAND_SHARE_H

#include "ps/ps_bodies.h"
#include "ps/vectors.h"
#include "tests/ps/hand_rig.h"

/* A worker, played by hand, that shares memory with its server; and what clients and servers that
 * share need besides. */
#define HAND_SHARE_MAX 1024 /* floats of an answer */

struct hand_share {
    struct mu_link *link;
    struct mu_ps_server *server;
    struct mu_vectors vectors; /* what is shared, once it is */
    /* Of the last frames: ROWS, and any other one. */
    int rows_come;
    uint32_t rows_bytes, payload_bytes;
    float rows[HAND_SHARE_MAX], fresh[HAND_SHARE_MAX];
    bool answered; /* not by ROWS alone */
    struct mu_ps_fresh_body said;
    char why[MU_SHARED_MEMORY_WHY_MAX];
};

/* ---- its link ---- */

static inline enum mu_link_answer hand_share_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct hand_share *hand = owner;
    struct mu_decoder *decoder = mu_link_decoder(link);
    bool is_rows = frame->type == MU_FRAME_ROWS;
    *(is_rows ? &hand->rows_bytes : &hand->payload_bytes) = frame->payload_bytes;
    *ret_payload = is_rows ? hand->rows : hand->fresh;
    assert_true(frame->payload_bytes <= sizeof(hand->fresh));
    if (frame->type == MU_FRAME_FRESH)
        assert_true(mu_ps_fresh_read(decoder, body, frame->body_bytes, &hand->said));
    else if (!is_rows && frame->tag == MU_PS_SHARE_MEMORY)
        assert_true(mu_ps_mapped_read(decoder, body, frame->body_bytes, hand->why));
    hand->rows_come += is_rows;
    return MU_LINK_TAKE;
}

static inline void hand_share_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    if (frame->type != MU_FRAME_ROWS)
        ((struct hand_share *)owner)->answered = true;
}

static const struct mu_link_events hand_share_events = {
    .frame = hand_share_frame, .arrived = hand_share_arrived, .ended = hand_rig_ended};

static inline void hand_share_begin(struct hand_share *hand, struct mu_ps_server *server)
{
    *hand = (struct hand_share){.server = server};
    mu_ps_server_add_worker(
        server, 0, hand_rig_resumed_link(&hand->link, &hand_share_events, hand));
}

static inline void hand_share_end(struct hand_share *hand)
{
    mu_ps_server_destroy(hand->server);
    mu_link_close(hand->link);
    mu_vectors_finish(&hand->vectors);
}

/* ---- what it sends ---- */

static inline void hand_share_send(struct hand_share *hand, enum mu_frame_type type, uint64_t tag,
    const uint8_t *body, size_t bytes, const void *payload, size_t payload_bytes)
{
    struct mu_send send = {0};
    const struct mu_frame frame = {.type = (uint8_t)type,
        .generation = 7,
        .tag = tag,
        .body_bytes = (uint32_t)bytes,
        .payload_bytes = (uint32_t)payload_bytes};
    hand->answered = false;
    mu_link_send(hand->link, &send, &frame, body, payload);
    link_pair_until(&pair, &send.done);
}

/* Until it is answered. */
static inline enum mu_status hand_share_serve(struct hand_share *hand)
{
    return mu_ps_server_run(hand->server, &hand->answered);
}

/* A frame without a payload, and its answer. */
static inline enum mu_status hand_share_ask(struct hand_share *hand, enum mu_frame_type type,
    uint64_t tag, const uint8_t *body, size_t bytes)
{
    hand_share_send(hand, type, tag, body, bytes, NULL, 0);
    return hand_share_serve(hand);
}

/* What comes of it is in `why`. */
static inline enum mu_status hand_share_offer(
    struct hand_share *hand, const char *name, size_t bytes)
{
    uint8_t out[MU_PS_BODY_MAX];
    struct mu_body body;
    struct mu_ps_offer_body offer = {.bytes = (int64_t)bytes};
    snprintf(offer.name, sizeof(offer.name), "%s", name);
    mu_ps_offer_put(&body, out, &offer);
    return hand_share_ask(hand, MU_FRAME_SHARE, MU_PS_SHARE_MEMORY, out, body.bytes);
}

static inline void hand_share_offer_own(struct hand_share *hand)
{
    assert_ok(hand_share_offer(hand, hand->vectors.shared.name, hand->vectors.shared.bytes));
}

/* Makes memory of so many vectors, and of so many bytes of rows, and shares it. */
static inline void hand_share_share(
    struct hand_share *hand, int vector_count, size_t element_count, size_t row_bytes)
{
    char why[MU_SHARED_MEMORY_WHY_MAX];
    assert_ok(
        mu_vectors_init_shared(&hand->vectors, vector_count, element_count, row_bytes, NULL, why));
    hand_share_offer_own(hand);
    assert_string_equal(hand->why, "");
}

/* ---- what is mapped ---- */

/* Mappings of this process of files with this in their paths. */
static inline int hand_share_mappings(const char *path)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof(line), maps))
        count += strstr(line, path) != NULL;
    if (maps)
        fclose(maps);
    return count;
}

struct hand_share_until {
    bool (*is_so)(const void *owner);
    const void *owner;
    bool over;
};

static inline void hand_share_look(void *owner)
{
    struct hand_share_until *until = owner;
    until->over = until->is_so(until->owner);
}

/* Runs the server until it is so. */
static inline void hand_share_run_until(
    struct mu_ps_server *server, bool (*is_so)(const void *owner), const void *owner)
{
    struct hand_share_until until = {.is_so = is_so, .owner = owner};
    struct mu_timer *timer;
    assert_ok(pair.loop->ops->timer_start(pair.loop, MU_MS, hand_share_look, &until, &timer));
    assert_ok(mu_ps_server_run(server, &until.over));
    pair.loop->ops->timer_stop(timer);
}

/* ---- clients ---- */

static inline int64_t hand_share_deadline(void)
{
    return mu_deadline(mu_now(pair.loop->world), LINK_PAIR_TIME);
}

#endif
