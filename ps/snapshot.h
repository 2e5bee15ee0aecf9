/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SNAPSHOT_H
#define MU_PS_SNAPSHOT_H

#include "ps/split.h"
#include "runtime/base/log.h"
#include "runtime/io/link.h"

/*
 * The leader's side of the parameter servers' state, on the thread of its loop: takes snapshots
 * while training goes on, and gives the servers the state they begin with. Links are its own once
 * added; it closes them in destroy.
 *
 * Whole vectors of element_count floats: vectors[0] the parameters, vectors[1 + i] slot i.
 */
struct mu_ps_snapshot;

struct mu_ps_snapshot_options {
    struct mu_loop *loop;
    struct mu_log *log;
    int server_count, replica_count, slot_count;
    uint32_t generation;
    size_t element_count;
};

enum mu_status mu_ps_snapshot_create(const struct mu_ps_snapshot_options *options,
    struct mu_ps_snapshot **ret_snapshot);                    /* NO_MEMORY */
void mu_ps_snapshot_destroy(struct mu_ps_snapshot *snapshot); /* takes NULL */
void mu_ps_snapshot_add_server(struct mu_ps_snapshot *snapshot, int order, struct mu_link *link);

/* Asks for the state at one place in the order of updates. The vectors (1 + slot_count) are the
 * snapshot's until wait has returned. CLOSED: a server is gone. One at a time. */
enum mu_status mu_ps_snapshot_start(struct mu_ps_snapshot *snapshot, float *const vectors[]);
/* Is it here, or has it failed? Then wait returns at once. */
bool mu_ps_snapshot_done(const struct mu_ps_snapshot *snapshot);
/* Turns the loop until the snapshot is whole. `judged` (replica_count) gets how many gradients of
 * each replica were judged before it. TIMEOUT: call again. CLOSED, PROTOCOL (MU_E0404): nothing
 * works any more. */
enum mu_status mu_ps_snapshot_wait(
    struct mu_ps_snapshot *snapshot, int64_t deadline_ns, int64_t *ret_version, int64_t *judged);

/* Gives all servers the state to begin with, and the number of updates that the run plans in
 * `total` (for schedules), and waits until all have it. Before the first push.
 * vector_count: 1 (slots begin with zeros) or 1 + slot_count. `judged` may be NULL: zeros. Fails
 * like wait, TIMEOUT included. */
enum mu_status mu_ps_snapshot_restore(struct mu_ps_snapshot *snapshot, const float *const vectors[],
    int vector_count, int64_t version, int64_t total, const int64_t *judged, int64_t deadline_ns);

/* The order of the server that the last failure is about; -1: none. */
int mu_ps_snapshot_culprit(const struct mu_ps_snapshot *snapshot);

#endif
