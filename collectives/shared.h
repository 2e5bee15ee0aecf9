/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHARED_H
#define MU_COLLECTIVES_SHARED_H

#include "collectives/group.h"
#include "runtime/base/log.h"

/*
 * Memory that all ranks of a group on one host share: a line of flags for each rank, a place to
 * stage vectors that lie elsewhere, and arenas, in which vectors are added where they lie.
 *
 * Waiting is spin, then yield, then sleep in short pieces with `pause` between them; with more
 * ranks than processors the spin is short. A peer that is stopped or dead ends a wait by its
 * deadline, or earlier by `pause`.
 */
struct mu_shared;

/* Collective over group->transport: makes group->shared, or leaves it NULL where not all ranks are
 * reached (which has been said). A sub-group gets memory of its own. */
enum mu_status mu_shared_open(struct mu_group *group, struct mu_log *log, int64_t deadline_ns);
void mu_shared_close(struct mu_shared *shared); /* takes NULL; frees its arenas too */

/* Collective: an arena of `bytes` on each rank; NULL (on all ranks) if one of them has no memory,
 * which is said once a group. NULL because not all took part to the end, which others may not know:
 * group->failed is set, and group->error. Page-aligned, zeroed, touched. */
void *mu_shared_alloc(struct mu_group *group, size_t bytes, int64_t deadline_ns);
/* Of that last NULL: TIMEOUT, CLOSED, PROTOCOL as messages; OK: no arena was cut short. */
enum mu_status mu_shared_failed(const struct mu_group *group);
/* The same, for who can well do without: nothing is said. */
void *mu_shared_try(struct mu_group *group, size_t bytes, int64_t deadline_ns);
/* False: it is none of our arenas. */
bool mu_shared_free(struct mu_group *group, void *memory);
/* Does it all lie in one arena? */
bool mu_shared_contains(const struct mu_shared *shared, const void *data, size_t bytes);

/* Called now and then by whoever waits: not OK ends the wait with it. NULL, as at first: the
 * loop of the group's transport is turned without waiting. */
void mu_shared_set_pause(
    struct mu_shared *shared, enum mu_status (*pause)(void *owner), void *owner);
/* Is there such a function? Then the loop and the transport may be another thread's: nothing but
 * shared memory is read or written here. */
bool mu_shared_is_paused(const struct mu_shared *shared);

/* Tells the others what this rank does now, also where that is not in shared memory: who waits for
 * it here then knows that it does something else. `since_ns`: when it entered that; 0: not told.
 * NULL: it has left it. */
void mu_shared_note(
    struct mu_shared *shared, const struct mu_signature *signature, int64_t since_ns);
/* What rank `rank` has noted last (sequence 0: nothing yet), and since when; ret_since_ns may be
 * NULL. False: it is in no operation now. */
bool mu_shared_seen(const struct mu_shared *shared, int rank, struct mu_signature *ret_signature,
    int64_t *ret_since_ns);

#endif
