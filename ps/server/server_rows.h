/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_ROWS_H
#define MU_PS_SERVER_ROWS_H

#include "ps/ps_bodies.h"
#include "ps/server/seen_rows.h"
#include "ps/table/row_store.h"
#include "runtime/io/link.h"

/*
 * The embedding rows of a server's gradients and answers. What a ROWS frame brings lies beside the
 * buffer of the PUSH or PULL it belongs to, and goes the same round:
 *
 *   ROWS     | wanted ids | given ids | their gradients |
 *   answer   | wanted ids | their rows ...              |    in the same memory
 *
 * Of a worker that shares memory only the ids come there, copied: gradients and answer are in its
 * own.
 *
 * Given rows are carried out with the dense part of their gradient, at its place in the order and
 * by the same verdict. `correct` of a policy acts on them, too, if all of them came with replies of
 * the version that their gradient was computed with, which are kept for that (seen_rows.h); else on
 * none of them. Wanted rows are answered whatever became of the gradient.
 */
struct mu_ps_server;
struct mu_ps_peer;
struct mu_ps_buffer;

/* Of one buffer. */
struct mu_ps_row_buffer {
    uint8_t *data; /* NULL: the model has no embedding table */
    bool come;     /* a ROWS for the PUSH or PULL that comes next, or is here */
    enum mu_ps_flaw flaw;
    struct mu_ps_rows_body counts;
    const float *gradients; /* of the given */
    float *values;          /* where the answer goes; NULL: it travels */
    /* The rows of the last answer, which were looked at, and where they were found: as a rule the
     * next gradient of this buffer is of the same. */
    uint64_t *answered; /* (push_max) */
    uint32_t *where;    /* (push_max) */
    size_t where_count;
    struct mu_send reply;
};

/* Of the server. */
struct mu_ps_server_rows {
    struct mu_row_store store;
    uint8_t *memory;          /* of all buffers */
    size_t stride;            /* of one, in bytes */
    uint64_t *answered;       /* of all buffers */
    uint32_t *where;          /* of all buffers */
    struct mu_unique ids;     /* of the ROWS at hand, or of the gradient */
    struct mu_seen_rows seen; /* if the policy corrects, else zeroed */
};

/* After the buffers are there. CONFIG (MU_E0204), NO_MEMORY. */
enum mu_status mu_ps_rows_init(struct mu_ps_server *server);
void mu_ps_rows_finish(struct mu_ps_server *server);
/* That are kept for the policy to correct rows with; 0: it does not. */
size_t mu_ps_rows_seen_bytes(const struct mu_ps_server *server);

/* ---- from links ---- */

/* A ROWS of a worker, whose next buffer is free; false: it is refused. `*ret_payload` NULL: thrown
 * away. */
bool mu_ps_rows_frame(struct mu_ps_peer *peer, struct mu_ps_buffer *buffer,
    const struct mu_frame *frame, const void *body, void **ret_payload);
void mu_ps_rows_arrived(struct mu_ps_peer *peer, struct mu_ps_buffer *buffer);
/* With the PUSH that they belong to comes the scale of the given rows: all that is wrong with
 * them. */
enum mu_ps_flaw mu_ps_rows_flaw(const struct mu_ps_buffer *buffer, float scale);
/* What has come for this buffer is forgotten: it is ready for the next ROWS. */
void mu_ps_rows_forget(struct mu_ps_buffer *buffer);

/* Are all ids in range, and of this server? */
bool mu_ps_rows_are_ours(const struct mu_ps_server *server, const uint64_t *ids, size_t count);

/* ---- at a place in the order ---- */

/* What the given rows of a gradient that is to be corrected were computed with: (given). NULL:
 * there are none, or they are not corrected. The same until the gradient is answered. */
const float *const *mu_ps_rows_seen(struct mu_ps_server *server, const struct mu_ps_buffer *buffer);
/* As the same of the shard; before it, whose version is the step. */
enum mu_status mu_ps_rows_apply(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
void mu_ps_rows_gather(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
enum mu_status mu_ps_rows_apply_gathered(struct mu_ps_server *server, double learning_rate);
/* What of the given rows goes into an audit log, ids and gradients: so many bytes at *ret_rows. */
size_t mu_ps_rows_given(const struct mu_ps_buffer *buffer, size_t width, const void **ret_rows);
/* Sends the wanted rows, if there are any, and is ready for the next ROWS of this buffer. What its
 * worker will have seen is kept whoever sends it: the same on a server and its standby. */
void mu_ps_rows_reply(struct mu_ps_server *server, struct mu_ps_buffer *buffer);

#endif
