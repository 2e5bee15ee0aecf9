/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_RUN_LOCK_H
#define MU_IO_RUN_LOCK_H

#include "runtime/base/log.h"

/* One run at a time in a run directory: a lock of fcntl(2), F_OFD_SETLK, on DIRECTORY/.lock, which
 * says who holds it. The lock goes with the process, so a killed run leaves none behind; the file
 * stays. */
struct mu_run_lock;

/* Makes the directory if it is not there. CANNOT_CREATE: MU_E0604, or MU_E0607 "locked by pid 412
 * on h2". NO_MEMORY. */
enum mu_status mu_run_lock_open(struct mu_log *log, const char *directory, const char *host,
    int process, struct mu_run_lock **ret_lock);
/* CANNOT_CREATE and MU_E0607, as above, if a run has the directory now; nothing is made or taken.
 */
enum mu_status mu_run_lock_check(struct mu_log *log, const char *directory);
void mu_run_lock_close(struct mu_run_lock *lock); /* takes NULL */

#endif
