/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_GROUND_H
#define MU_ROLES_GROUND_H

#include "runtime/base/log.h"
#include "runtime/io/real_world.h"

/* What a part of the library stands on in a program of somebody else: the real world and one
 * loop. */
struct mu_ground {
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_log *log; /* freed with it; NULL: it is somebody else's */
    void *names;        /* of the ranks, which errors are made of; freed with it */
};

enum mu_status mu_ground_make(struct mu_log *log, struct mu_ground **ret_ground); /* NO_MEMORY */
void mu_ground_close(void *ground);                                               /* takes NULL */

/* The time-out of an option, in seconds; 0: TIMEOUT_SECONDS. USAGE: it is no time. */
enum mu_status mu_ground_timeout(struct mu_log *log, double seconds, int64_t *ret_ns);

#endif
