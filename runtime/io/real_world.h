/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_REAL_WORLD_H
#define MU_IO_REAL_WORLD_H

#include "runtime/base/world.h"

/* The real world: clocks, threads, libuv. One a process. */
struct mu_real_world {
    struct mu_world world;
    char host[64];
};

enum mu_status mu_real_world_init(struct mu_real_world *real); /* IO_ERROR */
void mu_real_world_finish(struct mu_real_world *real);

#endif
