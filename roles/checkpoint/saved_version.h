/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SAVED_VERSION_H
#define MU_ROLES_SAVED_VERSION_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * What a run that goes on begins with, as its leader knows without a look at a disk that may hang:
 * steps of checkpoints. Written by who restores and by who saves, read from any thread.
 */
struct mu_saved_version {
    _Atomic int64_t whole;   /* the newest that this process has read or written; 0: none */
    _Atomic int64_t written; /* the one that is being written; 0: none */
};

#endif
