/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_PS_BODIES_H
#define MU_PS_PS_BODIES_H

#include "ps/server.h"
#include "runtime/io/codec.h"

/*
 * What the frames of the parameter servers say besides their payloads; one place that writes and
 * one that reads. Write returns the bytes used of `out`, read is false if a field is missing or out
 * of range. Documented in docs/PROTOCOL.md.
 */
#define MU_PS_BODY_MAX 160

/* PUSH of a worker; tag: its sequence number. */
struct mu_ps_push_body {
    int64_t seen;
    double scale;
};
size_t mu_ps_push_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_push_body *push);
bool mu_ps_push_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_push_body *ret_push);

/* PUSH of a follower, without payload; tag: the sequence number of the worker's. */
size_t mu_ps_note_write(uint8_t out[MU_PS_BODY_MAX], int worker);
bool mu_ps_note_read(struct mu_decoder *decoder, const void *body, size_t bytes, int *ret_worker);

/* FRESH; tag: the sequence number it answers. */
struct mu_ps_fresh_body {
    bool is_pull; /* then there is no verdict, and the rest but version is 0 */
    enum mu_verdict verdict;
    double scale;
    int64_t staleness, version;
};
size_t mu_ps_fresh_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh);
bool mu_ps_fresh_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_fresh_body *ret_fresh);

/* VERDICT; tag: the sequence number of the worker's push. `scale` is of the policy and the client
 * together. */
struct mu_ps_verdict_body {
    int worker;
    bool is_pull; /* then there is no verdict, and the rest but version is 0 */
    enum mu_verdict verdict;
    double scale, learning_rate;
    int64_t staleness;
    int64_t version; /* before it */
};
size_t mu_ps_verdict_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_verdict_body *verdict);
bool mu_ps_verdict_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_verdict_body *ret_verdict);

/* STATE and RESTORE; tag of STATE: the snapshot's number. `judged` (replica_count) comes with the
 * first vector of the head only; elsewhere it is empty. Such a body needs up to
 * MU_PS_STATE_BODY_MAX, others MU_PS_BODY_MAX. */
struct mu_ps_state_body {
    int vector, vector_count;
    int64_t version;
    const int64_t *judged;
    int replica_count; /* of judged; 0: none */
};
#define MU_PS_STATE_BODY_MAX (64 + MU_PS_REPLICAS_MAX * 9)
size_t mu_ps_state_write(uint8_t *out, size_t capacity, const struct mu_ps_state_body *state);
/* `judged_out` has room for `replica_count`; ret_state->replica_count says whether it was filled:
 * then it is `replica_count`. */
bool mu_ps_state_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    int64_t *judged_out, int replica_count, struct mu_ps_state_body *ret_state);

#endif
