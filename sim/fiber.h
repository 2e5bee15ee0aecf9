/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_FIBER_H
#define MU_SIM_FIBER_H

#include "runtime/base/status.h"
#include <stdbool.h>

/*
 * A fiber: a function with a stack of its own that runs until it suspends itself, and goes on from
 * there when it is resumed. Made on ucontext: a switch costs a system call, which is little beside
 * what runs between two switches, and needs no assembly for each processor. The sanitizers and
 * valgrind are told of every stack and every switch (the address sanitizer still prints one warning
 * about swapcontext when it meets it).
 *
 * All fibers live on the thread that resumes them.
 */
#define MU_FIBER_STACK_BYTES (512 * 1024) /* BLAS runs on it */

struct mu_fiber;

/* Does not run yet. `run` may return. NO_MEMORY. */
enum mu_status mu_fiber_create(
    void (*run)(void *argument), void *argument, struct mu_fiber **ret_fiber);
/* Takes NULL. Also a fiber that has not ended: it is never heard of again, and what only its stack
 * knew of is lost, as with a killed process. Not from itself. */
void mu_fiber_destroy(struct mu_fiber *fiber);
/* Runs it until it suspends or ends. Not from a fiber. */
void mu_fiber_resume(struct mu_fiber *fiber);
/* From the fiber that runs: back to who has resumed it. */
void mu_fiber_suspend(void);
bool mu_fiber_ended(const struct mu_fiber *fiber);

#endif
