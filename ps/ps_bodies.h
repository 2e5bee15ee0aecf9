/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_PS_BODIES_H
#define MU_PS_PS_BODIES_H

#include "muster/policy.h"
#include "ps/ps_limits.h"
#include "runtime/io/codec.h"
#include "runtime/io/shared_memory.h"

/*
 * What the frames of the parameter servers say besides their payloads; one place that writes and
 * one that reads. Write returns the bytes used of `out`, read is false if a field is missing or out
 * of range. Documented in docs/PROTOCOL.md.
 */
#define MU_PS_BODY_MAX 256

/* What has a place in the order, besides snapshots. */
enum mu_ps_item {
    MU_PS_ITEM_GRADIENT,
    MU_PS_ITEM_PULL,
    MU_PS_ITEM_LEAVE,  /* a worker that sends no more gradients */
    MU_PS_ITEM_LOSS,   /* a worker whose link has ended without that; nobody is answered */
    MU_PS_ITEM_LOOK,   /* a pull of embedding rows alone */
    MU_PS_ITEM_JOIN,   /* a worker of another incarnation than before; nobody is answered */
    MU_PS_ITEM_CHOICE, /* of backups or a bound: its clock; nobody is answered */
};

/* Does its FRESH bring the parameters? */
static inline bool mu_ps_item_has_span(enum mu_ps_item item)
{
    return item == MU_PS_ITEM_GRADIENT || item == MU_PS_ITEM_PULL;
}

/* Why a gradient is refused. */
#define MU_PS_FLAW_ROWS(ROW)                                                                       \
    ROW(NONE, "")                                                                                  \
    ROW(LENGTH, "of another length than its span has")                                             \
    ROW(TURN, "with a number that is not the next one")                                            \
    ROW(NOT_FINITE, "with NaN or infinity")                                                        \
    ROW(FUTURE, "computed with a version that is not there yet")                                   \
    ROW(ROWS, "with more embedding rows than a batch has, or with another number than it says")    \
    ROW(ID, "with an id out of range, or of another server")                                       \
    ROW(PLACE, "at a place that is not in the memory it shares")                                   \
    ROW(TWICE, "with an id twice")                                                                 \
    ROW(LARGE, "with an element that is 2^48 or more, scaled")                                     \
    ROW(DIFFERS, "that says another thing to another server")

#define MU_PS_FLAW_ENUM(name, text) MU_PS_FLAW_##name,
enum mu_ps_flaw { MU_PS_FLAW_ROWS(MU_PS_FLAW_ENUM) MU_PS_FLAW_COUNT };
#undef MU_PS_FLAW_ENUM
const char *mu_ps_flaw_text(enum mu_ps_flaw flaw);

/* PUSH of a worker; tag: its sequence number. Places are bytes from the start of the memory that
 * the worker shares; 0, where nothing ever is: what they are about travels as a payload. */
struct mu_ps_push_body {
    int64_t seen;
    double scale;
    bool acknowledge_only; /* the answer brings no parameters */
    int64_t gradient_at;   /* the span of the gradient */
    int64_t fresh_at;      /* where that of the fresh parameters goes */
    bool quiet;            /* it is not answered */
};
/* What it says alike to all servers, as one number that is another one for another scale or
 * `fresh`; of `seen` the lowest 31 bits. */
int64_t mu_ps_push_alike(const struct mu_ps_push_body *push);
size_t mu_ps_push_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_push_body *push);
bool mu_ps_push_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_push_body *ret_push);

/* PULL, LEAVE and LOOK; tag: as of PUSH. Without a body it is PULL. `fresh_at` as above. */
size_t mu_ps_pull_write(uint8_t out[MU_PS_BODY_MAX], enum mu_ps_item item, int64_t fresh_at);
bool mu_ps_pull_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    enum mu_ps_item *ret_item, int64_t *ret_fresh_at);

/* SHARE. From a worker: where it runs, then, if the server runs there too, what it shares; from a
 * server: the same two as answers. */
enum mu_ps_share {
    MU_PS_SHARE_HOST,   /* tag 0, both ways */
    MU_PS_SHARE_MEMORY, /* tag 1: of a worker an offer, of a server the answer */
};
struct mu_ps_offer_body {
    char name[MU_SHARED_MEMORY_NAME_MAX];
    int64_t bytes;
};
void mu_ps_host_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX],
    const struct mu_shared_memory_host *host);
bool mu_ps_host_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_shared_memory_host *ret_host);
void mu_ps_offer_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_offer_body *offer);
bool mu_ps_offer_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_offer_body *ret_offer);
/* `why` "": it is mapped; else why not. */
void mu_ps_mapped_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const char *why);
bool mu_ps_mapped_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX]);

/* ROWS of a worker, before the PUSH or PULL that has the same tag: the payload is `wanted` ids (u64
 * each), `given` ids, and `given` rows of gradients. ROWS of a server, before the FRESH that has
 * the same tag, has no body: the wanted rows.
 *
 * With places, as in a PUSH, neither has a payload: the ids of both kinds, the gradients, and where
 * the wanted rows go. */
struct mu_ps_rows_body {
    uint32_t given, wanted;
    int64_t ids_at, gradients_at, values_at;
};
#define MU_PS_ROWS_BODY_MAX 96
size_t mu_ps_rows_write(uint8_t out[MU_PS_ROWS_BODY_MAX], const struct mu_ps_rows_body *rows);
bool mu_ps_rows_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_rows_body *ret_rows);
static inline size_t mu_ps_rows_bytes(const struct mu_ps_rows_body *rows, size_t width)
{
    return (size_t)rows->wanted * sizeof(uint64_t) +
           (size_t)rows->given * (sizeof(uint64_t) + width * sizeof(float));
}
static inline bool mu_ps_rows_are_placed(const struct mu_ps_rows_body *rows)
{
    return rows->ids_at > 0 || rows->gradients_at > 0 || rows->values_at > 0;
}

/* READY of a worker, first on each of its links if it may have several; tag: the number of the PUSH
 * or PULL that comes first, at most the next new one. */
struct mu_ps_ready_body {
    int64_t incarnation; /* 1 or more */
};
void mu_ps_ready_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_ready_body *ready);
bool mu_ps_ready_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_ready_body *ret_ready);

/* PUSH of a follower, without payload; tag: the sequence number of the worker's; of LOSS, which
 * says that the follower has cut the worker off, 0. */
struct mu_ps_note_body {
    int worker;
    enum mu_ps_item item;
    enum mu_ps_flaw flaw;
    int64_t incarnation; /* of the worker */
    int64_t alike;       /* of a gradient: mu_ps_push_alike; else 0 */
};
void mu_ps_note_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_note_body *note);
size_t mu_ps_note_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_note_body *note);
bool mu_ps_note_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_note_body *ret_note);

/* FRESH; tag: the sequence number it answers. */
struct mu_ps_fresh_body {
    enum mu_ps_item item; /* of other than a gradient there is no verdict: all but version
                             and rows is 0 */
    enum mu_verdict verdict;
    enum mu_ps_flaw flaw; /* for which it is refused */
    double scale;         /* of the policy */
    int64_t staleness, version;
    int64_t rows; /* of the embedding table on this server; not said of a gradient: 0 */
    bool bare;    /* it brings nothing: another server does, or the first answer to it did */
};
void mu_ps_fresh_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh);
size_t mu_ps_fresh_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_fresh_body *fresh);
bool mu_ps_fresh_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_fresh_body *ret_fresh);

/* VERDICT; tag: the sequence number of the worker's push. */
struct mu_ps_verdict_body {
    int worker;
    enum mu_ps_item item;    /* of other than a gradient there is no verdict: it is 0, and so is all
                                that is said of a gradient */
    enum mu_verdict verdict; /* of a gradient */
    enum mu_ps_flaw flaw;
    double scale;  /* of the policy: told to the worker */
    double weight; /* multiplies the gradient: of the worker, and of the policy where it has none
                      on the rate */
    int64_t staleness;
    int64_t clock;                          /* of the worker, after it */
    int64_t version;                        /* before it */
    int64_t average;                        /* > 0: the mean of so many gradients is a step now */
    double learning_rate;                   /* of the step, if there is one */
    int64_t version_awaited, clock_awaited; /* the answer waits for both; 0: for nothing */
    int64_t incarnation;                    /* of a worker that joins; else 0 */
};
void mu_ps_verdict_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX],
    const struct mu_ps_verdict_body *verdict);
size_t mu_ps_verdict_write(uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_verdict_body *verdict);
bool mu_ps_verdict_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_verdict_body *ret_verdict);

/* PLACE; tag: places in the order that the sender has served. */
struct mu_ps_place_body {
    bool asks; /* to be told what follows this place */
};
void mu_ps_place_put(
    struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX], const struct mu_ps_place_body *place);
bool mu_ps_place_read(
    struct mu_decoder *decoder, const void *body, size_t bytes, struct mu_ps_place_body *ret_place);

/* SNAPSHOT, where there are standbys; without a body: gives, and nobody is lost. */
struct mu_ps_snapshot_body {
    bool gives; /* to a follower: it sends its state */
    int lost;   /* from the leader: the server that it knows is lost; -1: none */
};
void mu_ps_snapshot_put(struct mu_body *ret_body, uint8_t out[MU_PS_BODY_MAX],
    const struct mu_ps_snapshot_body *snapshot);
bool mu_ps_snapshot_read(struct mu_decoder *decoder, const void *body, size_t bytes,
    struct mu_ps_snapshot_body *ret_snapshot);

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
