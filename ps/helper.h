/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_HELPER_H
#define MU_PS_HELPER_H

#include "runtime/base/world.h"

/*
 * A second thread for loops over large vectors. Who runs a loop takes its pieces one after the
 * other, and the helper, if it has a processor, takes some of them meanwhile. Nobody waits for a
 * helper that has none: only for the piece that it has taken.
 */
struct mu_helper;

/* UNAVAILABLE, NO_MEMORY: there is none, and loops run without. */
enum mu_status mu_helper_create(struct mu_world *world, struct mu_helper **ret_helper);
void mu_helper_destroy(struct mu_helper *helper); /* takes NULL */

/* Calls `piece` once for each index below `count`, in any order, on two threads; returns when all
 * have returned. NULL: on this thread alone. One loop at a time. Allocates nothing. */
void mu_helper_run(
    struct mu_helper *helper, size_t count, void (*piece)(void *owner, size_t index), void *owner);

#endif
