/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "ps/shard.h"
#include "ps/split.h"
#include "runtime/io/frame.h"
#include <string.h>

static_assert(MU_PS_STATE_BODY_MAX <= MU_FRAME_BODY_MAX, "a state's body fits in a frame");

static size_t finish(const struct mu_body *body)
{
    assert(!body->failed);
    return body->bytes;
}

static bool read_int(struct mu_decoder *decoder, const char *key, int64_t max, int *ret_value)
{
    int64_t value;
    if (!mu_decoder_int(decoder, key, 0, max, &value))
        return false;
    *ret_value = (int)value;
    return true;
}

static bool read_count(struct mu_decoder *decoder, const char *key, int64_t *ret_value)
{
    return mu_decoder_int(decoder, key, 0, INT64_MAX, ret_value);
}

/* Of what is left out where it is 0. */
static bool read_count_or_none(
    struct mu_decoder *decoder, const char *key, int64_t max, int64_t *ret_value)
{
    int64_t value = 0;
    bool is_there = mu_decoder_int(decoder, key, INT64_MIN, INT64_MAX, &value);
    *ret_value = is_there ? value : 0;
    return *ret_value >= 0 && *ret_value <= max;
}

static void put_if_any(struct mu_body *body, const char *key, int64_t value)
{
    if (value != 0)
        mu_body_put_int(body, key, value);
}

/* What is left out where it is as most are. */
static int64_t read_or(struct mu_decoder *decoder, const char *key, int64_t otherwise)
{
    int64_t value;
    return read_count(decoder, key, &value) ? value : otherwise;
}

/* A gradient has a verdict, 0 or more; the other items are the numbers below. */
#define ITEM_MIN (-(int)MU_PS_ITEM_CHOICE)

static void put_item(struct mu_body *body, enum mu_ps_item item, enum mu_verdict verdict)
{
    mu_body_put_int(body, "verdict", item == MU_PS_ITEM_GRADIENT ? (int)verdict : -(int)item);
}

static bool read_item(
    struct mu_decoder *decoder, enum mu_ps_item *ret_item, enum mu_verdict *ret_verdict)
{
    int64_t verdict;
    if (!mu_decoder_int(decoder, "verdict", ITEM_MIN, MU_VERDICT_COUNT - 1, &verdict))
        return false;
    *ret_item = verdict < 0 ? (enum mu_ps_item) - verdict : MU_PS_ITEM_GRADIENT;
    *ret_verdict = verdict < 0 ? MU_VERDICT_APPLY : (enum mu_verdict)verdict;
    return true;
}

static bool read_flaw(struct mu_decoder *decoder, enum mu_ps_flaw *ret_flaw)
{
    int64_t flaw;
    if (!read_count_or_none(decoder, "flaw", MU_PS_FLAW_COUNT - 1, &flaw))
        return false;
    *ret_flaw = (enum mu_ps_flaw)flaw;
    return true;
}

#define FLAW_TEXT(name, text) text,
static const char *const flaw_texts[] = {MU_PS_FLAW_ROWS(FLAW_TEXT)};

const char *mu_ps_flaw_text(enum mu_ps_flaw flaw)
{
    assert(flaw < MU_PS_FLAW_COUNT);
    return flaw_texts[flaw];
}

/* ---- PUSH ---- */

static void put_place(struct mu_body *body, const char *key, int64_t place)
{
    if (place > 0)
        mu_body_put_int(body, key, place);
}

static int64_t read_place(struct mu_decoder *decoder, const char *key)
{
    int64_t place = 0;
    return mu_decoder_int(decoder, key, 1, INT64_MAX, &place) ? place : 0;
}

int64_t mu_ps_push_alike(const struct mu_ps_push_body *push)
{
    const float scale = (float)push->scale; /* as it is used */
    uint32_t bits;
    memcpy(&bits, &scale, sizeof(bits));
    uint64_t fresh = push->acknowledge_only ? 0 : (uint64_t)1 << 31;
    return (int64_t)((uint64_t)bits << 32 | fresh | ((uint64_t)push->seen & INT32_MAX));
}

size_t mu_ps_push_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_push_body *push)
{
    struct mu_body body;
    int places = (push->gradient_at > 0) + (push->fresh_at > 0);
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 3 + places + push->quiet);
    mu_body_put_int(&body, "seen", push->seen);
    mu_body_put_real(&body, "scale", push->scale);
    mu_body_put_int(&body, "fresh", !push->acknowledge_only);
    put_place(&body, "gradient_at", push->gradient_at);
    put_place(&body, "fresh_at", push->fresh_at);
    put_if_any(&body, "quiet", push->quiet);
    return finish(&body);
}

bool mu_ps_push_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_push_body *ret_push)
{
    int fresh;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !read_count(decoder, "seen", &ret_push->seen) ||
        !mu_decoder_real(decoder, "scale", &ret_push->scale) ||
        !read_int(decoder, "fresh", 1, &fresh))
        return false;
    ret_push->acknowledge_only = fresh == 0;
    ret_push->gradient_at = read_place(decoder, "gradient_at");
    ret_push->fresh_at = read_place(decoder, "fresh_at");
    ret_push->quiet = read_or(decoder, "quiet", 0) == 1;
    return true;
}

size_t mu_ps_pull_write(uint8_t out[MU_PS_BODY_MAX], enum mu_ps_item item, int64_t fresh_at)
{
    struct mu_body body;
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 2 + (fresh_at > 0));
    mu_body_put_int(&body, "leaves", item == MU_PS_ITEM_LEAVE);
    mu_body_put_int(&body, "looks", item == MU_PS_ITEM_LOOK);
    put_place(&body, "fresh_at", fresh_at);
    return finish(&body);
}

bool mu_ps_pull_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    enum mu_ps_item *ret_item, int64_t *ret_fresh_at)
{
    int leaves, looks;
    *ret_item = MU_PS_ITEM_PULL;
    *ret_fresh_at = 0;
    if (bytes == 0)
        return true;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !read_int(decoder, "leaves", 1, &leaves) || !read_int(decoder, "looks", 1, &looks))
        return false;
    if (leaves)
        *ret_item = MU_PS_ITEM_LEAVE;
    else if (looks)
        *ret_item = MU_PS_ITEM_LOOK;
    *ret_fresh_at = read_place(decoder, "fresh_at");
    return !(leaves && looks);
}

/* ---- SHARE ---- */

void mu_ps_host_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_shared_memory_host *host)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 2);
    mu_body_put_bytes(ret_body, "boot", host->boot, sizeof(host->boot));
    mu_body_put_int(ret_body, "user", host->user);
}

bool mu_ps_host_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_shared_memory_host *ret_host)
{
    int64_t user;
    *ret_host = (struct mu_shared_memory_host){0};
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !mu_decoder_bytes(decoder, "boot", ret_host->boot, sizeof(ret_host->boot)) ||
        !mu_decoder_int(decoder, "user", 0, UINT32_MAX, &user))
        return false;
    ret_host->user = (uint32_t)user;
    return true;
}

void mu_ps_offer_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_offer_body *offer)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 2);
    mu_body_put_text(ret_body, "name", offer->name);
    mu_body_put_int(ret_body, "bytes", offer->bytes);
}

bool mu_ps_offer_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_offer_body *ret_offer)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           mu_decoder_text(decoder, "name", ret_offer->name, sizeof(ret_offer->name)) &&
           mu_decoder_int(decoder, "bytes", 1, INT64_MAX, &ret_offer->bytes);
}

void mu_ps_mapped_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const char *why)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 1);
    mu_body_put_text(ret_body, "why", why);
}

bool mu_ps_mapped_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           mu_decoder_text(decoder, "why", why, MU_SHARED_MEMORY_WHY_MAX);
}

/* ---- ROWS ---- */

size_t mu_ps_rows_write(uint8_t out[MU_PS_ROWS_BODY_MAX], const struct mu_ps_rows_body *rows)
{
    struct mu_body body;
    int places = (rows->ids_at > 0) + (rows->gradients_at > 0) + (rows->values_at > 0);
    mu_body_begin(&body, out, MU_PS_ROWS_BODY_MAX, 2 + places);
    mu_body_put_int(&body, "given", rows->given);
    mu_body_put_int(&body, "wanted", rows->wanted);
    put_place(&body, "ids_at", rows->ids_at);
    put_place(&body, "gradients_at", rows->gradients_at);
    put_place(&body, "values_at", rows->values_at);
    return finish(&body);
}

bool mu_ps_rows_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_rows_body *ret_rows)
{
    int64_t given, wanted;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !mu_decoder_int(decoder, "given", 0, UINT32_MAX, &given) ||
        !mu_decoder_int(decoder, "wanted", 0, UINT32_MAX, &wanted))
        return false;
    *ret_rows = (struct mu_ps_rows_body){
        .given = (uint32_t)given,
        .wanted = (uint32_t)wanted,
        .ids_at = read_place(decoder, "ids_at"),
        .gradients_at = read_place(decoder, "gradients_at"),
        .values_at = read_place(decoder, "values_at"),
    };
    return true;
}

/* ---- READY of a worker ---- */

void mu_ps_ready_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_ready_body *ready)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 1);
    mu_body_put_int(ret_body, "incarnation", ready->incarnation);
}

bool mu_ps_ready_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_ready_body *ret_ready)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           mu_decoder_int(decoder, "incarnation", 1, INT64_MAX, &ret_ready->incarnation);
}

/* ---- notes of followers ---- */

void mu_ps_note_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_note_body *note)
{
    bool is_first = note->incarnation <= 1;
    int some = (note->item != 0) + (note->flaw != 0) + (note->alike != 0) + !is_first;
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 1 + some);
    mu_body_put_int(ret_body, "worker", note->worker);
    put_if_any(ret_body, "item", (int)note->item);
    put_if_any(ret_body, "flaw", (int)note->flaw);
    put_if_any(ret_body, "alike", note->alike);
    if (!is_first)
        mu_body_put_int(ret_body, "incarnation", note->incarnation);
}

size_t mu_ps_note_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_note_body *note)
{
    struct mu_body body;
    mu_ps_note_put(&body, out, note);
    return finish(&body);
}

bool mu_ps_note_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_note_body *ret_note)
{
    int64_t item;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !read_int(decoder, "worker", MU_PS_REPLICAS_MAX - 1, &ret_note->worker) ||
        !read_count_or_none(decoder, "item", MU_PS_ITEM_LOOK, &item) ||
        !read_flaw(decoder, &ret_note->flaw))
        return false;
    ret_note->item = (enum mu_ps_item)item;
    ret_note->incarnation = read_or(decoder, "incarnation", 1);
    if (!mu_decoder_int(decoder, "alike", INT64_MIN, INT64_MAX, &ret_note->alike))
        ret_note->alike = 0;
    return true;
}

/* ---- FRESH ---- */

void mu_ps_fresh_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh)
{
    bool is_gradient = fresh->item == MU_PS_ITEM_GRADIENT;
    int some = (fresh->flaw != 0) + fresh->bare;
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 4 + !is_gradient + some);
    put_item(ret_body, fresh->item, fresh->verdict);
    put_if_any(ret_body, "flaw", (int)fresh->flaw);
    if (!is_gradient)
        mu_body_put_int(ret_body, "rows", fresh->rows);
    mu_body_put_int(ret_body, "version", fresh->version);
    mu_body_put_int(ret_body, "staleness", fresh->staleness);
    mu_body_put_real(ret_body, "scale", fresh->scale);
    if (fresh->bare)
        mu_body_put_int(ret_body, "bare", 1);
}

size_t mu_ps_fresh_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh)
{
    struct mu_body body;
    mu_ps_fresh_put(&body, out, fresh);
    return finish(&body);
}

bool mu_ps_fresh_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_fresh_body *ret_fresh)
{
    ret_fresh->rows = 0;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !read_item(decoder, &ret_fresh->item, &ret_fresh->verdict) ||
        !read_flaw(decoder, &ret_fresh->flaw) ||
        (ret_fresh->item != MU_PS_ITEM_GRADIENT &&
            !read_count(decoder, "rows", &ret_fresh->rows)) ||
        !read_count(decoder, "version", &ret_fresh->version) ||
        !read_count(decoder, "staleness", &ret_fresh->staleness) ||
        !mu_decoder_real(decoder, "scale", &ret_fresh->scale))
        return false;
    ret_fresh->bare = read_or(decoder, "bare", 0) > 0;
    return true;
}

/* ---- VERDICT ---- */

void mu_ps_verdict_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_verdict_body *verdict)
{
    bool joins = verdict->item == MU_PS_ITEM_JOIN;
    int some = (verdict->flaw != 0) + (verdict->average != 0) + (verdict->version_awaited != 0) +
               (verdict->clock_awaited != 0);
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 8 + some + joins);
    mu_body_put_int(ret_body, "worker", verdict->worker);
    put_item(ret_body, verdict->item, verdict->verdict);
    put_if_any(ret_body, "flaw", (int)verdict->flaw);
    mu_body_put_int(ret_body, "clock", verdict->clock);
    put_if_any(ret_body, "average", verdict->average);
    put_if_any(ret_body, "awaits_version", verdict->version_awaited);
    put_if_any(ret_body, "awaits_clock", verdict->clock_awaited);
    mu_body_put_real(ret_body, "weight", verdict->weight);
    mu_body_put_int(ret_body, "version", verdict->version);
    mu_body_put_int(ret_body, "staleness", verdict->staleness);
    mu_body_put_real(ret_body, "scale", verdict->scale);
    mu_body_put_real(ret_body, "rate", verdict->learning_rate);
    if (joins)
        mu_body_put_int(ret_body, "incarnation", verdict->incarnation);
}

size_t mu_ps_verdict_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_verdict_body *verdict)
{
    struct mu_body body;
    mu_ps_verdict_put(&body, out, verdict);
    return finish(&body);
}

bool mu_ps_verdict_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_verdict_body *ret_verdict)
{
    ret_verdict->incarnation = 0;
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           read_int(decoder, "worker", MU_PS_REPLICAS_MAX - 1, &ret_verdict->worker) &&
           read_item(decoder, &ret_verdict->item, &ret_verdict->verdict) &&
           read_flaw(decoder, &ret_verdict->flaw) &&
           read_count(decoder, "clock", &ret_verdict->clock) &&
           read_count_or_none(decoder, "average", INT64_MAX, &ret_verdict->average) &&
           read_count_or_none(
               decoder, "awaits_version", INT64_MAX, &ret_verdict->version_awaited) &&
           read_count_or_none(decoder, "awaits_clock", INT64_MAX, &ret_verdict->clock_awaited) &&
           mu_decoder_real(decoder, "weight", &ret_verdict->weight) &&
           read_count(decoder, "version", &ret_verdict->version) &&
           read_count(decoder, "staleness", &ret_verdict->staleness) &&
           mu_decoder_real(decoder, "scale", &ret_verdict->scale) &&
           mu_decoder_real(decoder, "rate", &ret_verdict->learning_rate) &&
           (ret_verdict->item != MU_PS_ITEM_JOIN ||
               mu_decoder_int(decoder, "incarnation", 1, INT64_MAX, &ret_verdict->incarnation));
}

/* ---- where a standby takes over ---- */

void mu_ps_place_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_place_body *place)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 1);
    mu_body_put_int(ret_body, "asks", place->asks);
}

bool mu_ps_place_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_place_body *ret_place)
{
    int asks;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK || !read_int(decoder, "asks", 1, &asks))
        return false;
    ret_place->asks = asks == 1;
    return true;
}

void mu_ps_snapshot_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX],
    const struct mu_ps_snapshot_body *snapshot)
{
    mu_body_begin(ret_body, out, MU_PS_BODY_MAX, 2);
    mu_body_put_int(ret_body, "gives", snapshot->gives);
    mu_body_put_int(ret_body, "lost", snapshot->lost);
}

bool mu_ps_snapshot_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_snapshot_body *ret_snapshot)
{
    int64_t gives = 1, lost = -1;
    *ret_snapshot = (struct mu_ps_snapshot_body){.gives = true, .lost = -1};
    if (bytes == 0)
        return true;
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !mu_decoder_int(decoder, "gives", 0, 1, &gives) ||
        !mu_decoder_int(decoder, "lost", -1, MU_PS_SERVERS_MAX - 1, &lost))
        return false;
    *ret_snapshot = (struct mu_ps_snapshot_body){.gives = gives == 1, .lost = (int)lost};
    return true;
}

/* ---- STATE and RESTORE ---- */

size_t mu_ps_state_write(uint8_t *out, size_t capacity, const struct mu_ps_state_body *state)
{
    struct mu_body body;
    mu_body_begin(&body, out, capacity, 4);
    mu_body_put_int(&body, "vector", state->vector);
    mu_body_put_int(&body, "vectors", state->vector_count);
    mu_body_put_int(&body, "version", state->version);
    mu_body_put_ints(&body, "judged", state->judged, (size_t)state->replica_count);
    return finish(&body);
}

bool mu_ps_state_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    int64_t *judged_out, int replica_count, struct mu_ps_state_body *ret_state)
{
    *ret_state = (struct mu_ps_state_body){0};
    if (mu_decoder_read(decoder, body, bytes) != MU_OK ||
        !read_int(decoder, "vector", MU_SHARD_VECTORS_MAX - 1, &ret_state->vector) ||
        !read_int(decoder, "vectors", MU_SHARD_VECTORS_MAX, &ret_state->vector_count) ||
        !read_count(decoder, "version", &ret_state->version))
        return false;
    size_t count;
    if (ret_state->vector >= ret_state->vector_count ||
        !mu_decoder_ints(decoder, "judged", judged_out, (size_t)replica_count, &count))
        return false;
    ret_state->judged = judged_out;
    ret_state->replica_count = (int)count;
    return count == 0 || (int)count == replica_count;
}
