/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_CLIENT_H
#define MU_PS_CLIENT_H

#include "muster/ps.h"
#include "ps/table/row_set.h"
#include "ps/vectors.h"
#include "runtime/base/log.h"
#include "runtime/io/link.h"

/*
 * The worker's side of the parameter servers, on the thread of its loop. A push sends each server
 * its span of the gradient and brings back each span of the fresh parameters, straight into the
 * caller's vector, or only what became of it. Allocates nothing after create. Links are the
 * client's once added; it closes them in destroy.
 */
struct mu_ps_client;

struct mu_ps_client_options {
    struct mu_loop *loop;
    struct mu_log *log;
    int replica, server_count;
    int replicas;  /* 1: each span has a standby, as the servers have it; then `relinks` is set, too
                    */
    int in_flight; /* slots, at most what the servers were told */
    uint32_t generation;
    size_t element_count;
    /* The end of a server's link is no failure: see mu_ps_client_add_server. As the servers have
     * it.
     */
    bool relinks;
    /* Of this client among all that this replica has had in the run: higher than those before; 0 is
     * 1. What an earlier one had under way is dropped whole, or was judged. */
    int64_t incarnation;
    /* Of the model's embedding table; 0: it has none. Rows of one push, as the servers were told.
     */
    size_t row_width, row_max;
};

enum mu_status mu_ps_client_create(
    const struct mu_ps_client_options *options, struct mu_ps_client **ret_client); /* NO_MEMORY */
void mu_ps_client_destroy(struct mu_ps_client *client);                            /* takes NULL */
/* `order`: its seat (seats.h). With `relinks` a server may be added later and again, also while
 * something is under way: what it has not answered is sent again, in order. Until then waits go on
 * to their deadlines. */
void mu_ps_client_add_server(struct mu_ps_client *client, int order, struct mu_link *link);
/* The process of this server, 0 to server_count - 1, is gone with both its seats, as the cluster
 * says: what they have not answered their standbys answer. For a second one all fails with CLOSED.
 */
void mu_ps_client_lose_server(struct mu_ps_client *client, int process);
/* The first seat from `order` on that has no link, and is not lost; -1: all have one. */
int mu_ps_client_unlinked(const struct mu_ps_client *client, int order);
/* Since when a server has no link, as mu_now; -1: it has one. */
int64_t mu_ps_client_lost_since_ns(const struct mu_ps_client *client, int order);

enum mu_ps_sharing {
    MU_PS_SHARE_NEVER,
    MU_PS_SHARE_WHERE_POSSIBLE,
    MU_PS_SHARE_ALWAYS, /* with all servers, or it is a failure */
};
/* Makes `vector_count` vectors of element_count floats, and memory for rows, all zeroed, whatever
 * becomes of the rest.
 * Unless that is not wanted, the servers are asked where they run; those of this host get to see
 * the vectors, and what is pushed from there or wanted there does not travel: frames name its
 * place. The vectors are the caller's, who finishes them after the client has gone. Says in one
 * line who shares, and in another why somebody of this host does not: pushes to it travel like
 * those to other hosts. Waits for the answers of servers that serve; at the deadline it goes on
 * without. NO_MEMORY (MU_E0801), CONFIG (MU_E0204: it must, and cannot), CLOSED, PROTOCOL, or why
 * the loop was cancelled. In a simulated world nothing is shared. Once, in all servers' presence,
 * with nothing under way. */
enum mu_status mu_ps_client_share(struct mu_ps_client *client, enum mu_ps_sharing sharing,
    size_t vector_count, int64_t deadline_ns, struct mu_vectors *vectors);
/* The same of vectors that a server sees, and of nothing else: zeroed if none does. */
enum mu_status mu_ps_client_share_home(struct mu_ps_client *client, enum mu_ps_sharing sharing,
    size_t vector_count, int64_t deadline_ns, struct mu_vectors *vectors);

/* After a server was lost, with nothing under way: the vectors are at the same place with the same
 * contents, in memory that the lost one does not see, and the others that saw it do again. A server
 * that was only stopped still writes into what it had, and may have written there until now: who
 * calls this pulls anew. True: there was something to share. Fails like share. */
enum mu_status mu_ps_client_share_anew(
    struct mu_ps_client *client, int64_t deadline_ns, struct mu_vectors *vectors, bool *ret_shared);

/* The parameters (element_count) as they are, at one version. Uses a slot: one must be free.
 * Fails like wait. */
enum mu_status mu_ps_client_pull(
    struct mu_ps_client *client, float *parameters, int64_t deadline_ns, int64_t *ret_version);

/* The same in two halves: starts a pull in `slot`, which must be free; wait brings the version. */
enum mu_status mu_ps_client_pull_start(struct mu_ps_client *client, int slot, float *parameters);

/* Embedding rows that go with a push. */
struct mu_ps_client_rows {
    const struct mu_row_set *given; /* NULL: none */
    const float *gradients;         /* (given->count, row_width), the sum of equal ids in one row */
    const struct mu_row_set *wanted; /* NULL: none; their values as they are after this push */
    float *values;                   /* (wanted->count, row_width) */
};

/* Memory of `slot` behind the vectors that share has made, (row_max, row_width) each; what lies
 * there servers of this host see. NULL: there are no vectors, or no table. */
struct mu_ps_client_row_memory {
    float *gradients, *values;
};
struct mu_ps_client_row_memory mu_ps_client_row_memory(const struct mu_ps_client *client, int slot);

/* Puts rows aside for the next push of `slot`, which must be free, as a part of that gradient. Both
 * sets are copied, and what is given, too, unless it lies in the slot's own memory: that, and
 * `values`, stay the client's until wait has returned OK. */
void mu_ps_client_put_rows(
    struct mu_ps_client *client, int slot, const struct mu_ps_client_rows *rows);
/* The values of rows as they are, and nothing else: on the servers this changes nothing. Uses
 * `slot`, which must be free. Fails like wait. */
enum mu_status mu_ps_client_look(struct mu_ps_client *client, int slot,
    const struct mu_row_set *wanted, float *values, int64_t deadline_ns);
/* Embedding rows of all servers together, as they said at the last pull or look. */
int64_t mu_ps_client_row_count(const struct mu_ps_client *client);

/* No more gradients will come from this client: the others need not wait for it. Uses the first
 * slot that is free; one must be. It may still pull. Fails like wait. */
enum mu_status mu_ps_client_leave(struct mu_ps_client *client, int64_t deadline_ns);

/* Starts a push in `slot`, which must be free. `gradients` were computed with the parameters of
 * version `seen`; the servers multiply them by `scale` (clipping), which must be finite. Both
 * vectors (element_count) stay the client's until wait has returned OK; `fresh` must be another
 * than `gradients`, or NULL: then the answers bring no parameters, and the result's version says
 * only which step the gradient made. CLOSED (a server is gone), BROKEN (the client has failed
 * before). */
enum mu_status mu_ps_client_push(struct mu_ps_client *client, int slot, const float *gradients,
    float scale, int64_t seen, float *fresh);
/* Turns the loop until the push of this slot has ended; the slot is then free. TIMEOUT: the slot
 * stays in use, and wait may be called again. CLOSED: a server is gone. PROTOCOL (MU_E0404): a
 * server sent what is not allowed. BROKEN (MU_E0701): the servers do not agree. After any but OK
 * and TIMEOUT nothing works any more. */
enum mu_status mu_ps_client_wait(
    struct mu_ps_client *client, int slot, int64_t deadline_ns, struct mu_ps_result *ret_result);
/* The order of the server that the last failure is about (TIMEOUT: the first whose reply is
 * missing, rather one without a link), with standbys its process; -1: none. */
int mu_ps_client_culprit(const struct mu_ps_client *client);
/* After CLOSED: did the servers end the links because they refused a gradient more than they do? */
bool mu_ps_client_put_out(const struct mu_ps_client *client);

#endif
