/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SNAPSHOT_H
#define MU_PS_SNAPSHOT_H

#include "ps/seats.h"
#include "runtime/base/log.h"
#include "runtime/io/link.h"

/*
 * The leader's side of the parameter servers' state, on the thread of its loop: takes snapshots
 * while training goes on, and gives the servers the state they begin with. Links are its own once
 * added; it closes them in destroy.
 *
 * Whole vectors of element_count floats: vectors[0] the parameters, vectors[1 + i] slot i. Of an
 * embedding table rows of row_width * (1 + slot_count) floats: parameters, then slots.
 */
struct mu_ps_snapshot;

struct mu_ps_snapshot_options {
    struct mu_loop *loop;
    struct mu_log *log;
    int server_count, replica_count, slot_count;
    int replicas; /* 1: each span has a standby, as the servers have it */
    bool relinks; /* a link that ends may be made anew, as the servers have it */
    uint32_t generation;
    size_t element_count;
    size_t row_width;       /* 0: the model has no embedding table */
    uint64_t row_range_ids; /* range_ids of struct mu_row_split */
};

/* Where the rows of a snapshot go, as they come: in no order. */
struct mu_row_sink {
    /* On the thread of the loop, inside of its callbacks: all of them, or false: not now. Then they
     * are offered again a little later, and their server sends no more until they are taken. */
    bool (*put)(void *owner, const uint64_t *ids, const float *rows, size_t count);
    void *owner;
};

enum mu_status mu_ps_snapshot_create(const struct mu_ps_snapshot_options *options,
    struct mu_ps_snapshot **ret_snapshot);                    /* NO_MEMORY */
void mu_ps_snapshot_destroy(struct mu_ps_snapshot *snapshot); /* takes NULL */
/* `order`: its seat (seats.h). With `relinks` also another link in place of one before. */
void mu_ps_snapshot_add_server(struct mu_ps_snapshot *snapshot, int order, struct mu_link *link);
/* With `relinks`: the first server from `order` on whose link has ended; -1: none. Since when. What
 * was under way then has ended with UNAVAILABLE and may be started again; before the servers have
 * their first state it fails with CLOSED. */
int mu_ps_snapshot_unlinked(const struct mu_ps_snapshot *snapshot, int order);
int64_t mu_ps_snapshot_lost_since_ns(const struct mu_ps_snapshot *snapshot, int order);
/* As of a client. A snapshot under way ends with UNAVAILABLE, and may be started again. For a
 * second one, or while it restores, all fails with CLOSED. */
void mu_ps_snapshot_lose_server(struct mu_ps_snapshot *snapshot, int process);

/* Asks for the state at one place in the order of updates. The vectors (1 + slot_count) are the
 * snapshot's until wait has returned, and so is the sink, which may be NULL where there is no
 * table. CLOSED: a server is gone. One at a time. */
enum mu_status mu_ps_snapshot_start(
    struct mu_ps_snapshot *snapshot, float *const vectors[], const struct mu_row_sink *sink);
/* Is it here, or has it failed? Then wait returns at once. */
bool mu_ps_snapshot_done(const struct mu_ps_snapshot *snapshot);
/* Turns the loop until the snapshot is whole. `judged` (replica_count) gets how many gradients of
 * each replica were judged before it. TIMEOUT: call again.
 * UNAVAILABLE: a server was lost meanwhile, and with standbys it may be started again; or a link
 * ended: likewise, and it begins when that is there again. CLOSED, PROTOCOL (MU_E0404): nothing
 * works any more. */
enum mu_status mu_ps_snapshot_wait(
    struct mu_ps_snapshot *snapshot, int64_t deadline_ns, int64_t *ret_version, int64_t *judged);

/* Grows as long as rows come: a large table may take longer than one deadline. */
uint64_t mu_ps_snapshot_rows_come(const struct mu_ps_snapshot *snapshot);

/* Does the sink not take rows that have come? */
bool mu_ps_snapshot_is_held(const struct mu_ps_snapshot *snapshot);

/* Rows of the embedding table to begin with, before restore: each goes to its server. They are the
 * caller's again when it returns. Fails like wait. */
enum mu_status mu_ps_snapshot_give_rows(struct mu_ps_snapshot *snapshot, const uint64_t *ids,
    const float *rows, size_t count, int64_t deadline_ns);

/* Gives all servers the state to begin with, and the number of updates that the run plans in
 * `total` (for schedules), and waits until all have it. Before the first push.
 * vector_count: 1 (slots begin with zeros) or 1 + slot_count. `judged` may be NULL: zeros. Fails
 * like wait, TIMEOUT included. */
enum mu_status mu_ps_snapshot_restore(struct mu_ps_snapshot *snapshot, const float *const vectors[],
    int vector_count, int64_t version, int64_t total, const int64_t *judged, int64_t deadline_ns);

/* The server that the last failure is about, with standbys its process; -1: none. */
int mu_ps_snapshot_culprit(const struct mu_ps_snapshot *snapshot);

#endif
