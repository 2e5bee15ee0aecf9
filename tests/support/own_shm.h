/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_OWN_SHM_H
#define MU_TEST_OWN_SHM_H

#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>

/* A /dev/shm for the calling thread alone, as in a container: "size=1m". False: this machine does
 * not permit it. */
static inline bool own_shm(const char *options)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", 0, options) == 0;
}

#endif
