/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_bodies.h"
#include "ps/shard.h"
#include "runtime/io/frame.h"

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

/* Of a pull there is none: NO_VERDICT. */
#define NO_VERDICT (-1)

static void put_verdict(struct mu_body *body, bool is_pull, enum mu_verdict verdict)
{
    mu_body_put_int(body, "verdict", is_pull ? NO_VERDICT : (int)verdict);
}

static bool read_verdict(
    struct mu_decoder *decoder, bool *ret_is_pull, enum mu_verdict *ret_verdict)
{
    int64_t verdict;
    if (!mu_decoder_int(decoder, "verdict", NO_VERDICT, MU_VERDICT_COUNT - 1, &verdict))
        return false;
    *ret_is_pull = verdict == NO_VERDICT;
    *ret_verdict = *ret_is_pull ? MU_VERDICT_APPLY : (enum mu_verdict)verdict;
    return true;
}

/* ---- PUSH ---- */

size_t mu_ps_push_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_push_body *push)
{
    struct mu_body body;
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 2);
    mu_body_put_int(&body, "seen", push->seen);
    mu_body_put_real(&body, "scale", push->scale);
    return finish(&body);
}

bool mu_ps_push_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_push_body *ret_push)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           read_count(decoder, "seen", &ret_push->seen) &&
           mu_decoder_real(decoder, "scale", &ret_push->scale);
}

size_t mu_ps_note_write(uint8_t out[MU_PS_BODY_MAX], int worker)
{
    struct mu_body body;
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 1);
    mu_body_put_int(&body, "worker", worker);
    return finish(&body);
}

bool mu_ps_note_read(struct mu_decoder *decoder, const void *body, size_t bytes, int *ret_worker)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           read_int(decoder, "worker", MU_PS_REPLICAS_MAX - 1, ret_worker);
}

/* ---- FRESH ---- */

size_t mu_ps_fresh_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh)
{
    struct mu_body body;
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 4);
    put_verdict(&body, fresh->is_pull, fresh->verdict);
    mu_body_put_int(&body, "version", fresh->version);
    mu_body_put_int(&body, "staleness", fresh->staleness);
    mu_body_put_real(&body, "scale", fresh->scale);
    return finish(&body);
}

bool mu_ps_fresh_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_fresh_body *ret_fresh)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           read_verdict(decoder, &ret_fresh->is_pull, &ret_fresh->verdict) &&
           read_count(decoder, "version", &ret_fresh->version) &&
           read_count(decoder, "staleness", &ret_fresh->staleness) &&
           mu_decoder_real(decoder, "scale", &ret_fresh->scale);
}

/* ---- VERDICT ---- */

size_t mu_ps_verdict_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_verdict_body *verdict)
{
    struct mu_body body;
    mu_body_begin(&body, out, MU_PS_BODY_MAX, 6);
    mu_body_put_int(&body, "worker", verdict->worker);
    put_verdict(&body, verdict->is_pull, verdict->verdict);
    mu_body_put_int(&body, "version", verdict->version);
    mu_body_put_int(&body, "staleness", verdict->staleness);
    mu_body_put_real(&body, "scale", verdict->scale);
    mu_body_put_real(&body, "rate", verdict->learning_rate);
    return finish(&body);
}

bool mu_ps_verdict_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_verdict_body *ret_verdict)
{
    return mu_decoder_read(decoder, body, bytes) == MU_OK &&
           read_int(decoder, "worker", MU_PS_REPLICAS_MAX - 1, &ret_verdict->worker) &&
           read_verdict(decoder, &ret_verdict->is_pull, &ret_verdict->verdict) &&
           read_count(decoder, "version", &ret_verdict->version) &&
           read_count(decoder, "staleness", &ret_verdict->staleness) &&
           mu_decoder_real(decoder, "scale", &ret_verdict->scale) &&
           mu_decoder_real(decoder, "rate", &ret_verdict->learning_rate);
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
