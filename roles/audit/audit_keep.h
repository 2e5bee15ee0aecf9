/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_KEEP_H
#define MU_ROLES_AUDIT_KEEP_H

#include "ps/server/server.h"
#include "roles/task.h"

/*
 * The audit log of a parameter server of a run: audit/ps-N.log in the run directory; that of its
 * standby, which another process writes, is audit/ps-N-standby.log.
 */
struct mu_audit_keep {
    struct mu_task_run *run;
    struct mu_loop *loop;
    const struct mu_cluster *cluster; /* joined */
    const struct mu_layout *layout;
    const struct mu_dataset_facts *facts;
};

/* Of this seat (ps/seats.h). *ret_audit is NULL if the job asks for none, or nothing is written.
 * Fails like mu_audit_open. */
enum mu_status mu_audit_keep_open(
    const struct mu_audit_keep *keep, int seat, struct mu_audit **ret_audit);
/* Closes it, with the end record if the server has begun. `audit` and `server` may be NULL. */
enum mu_status mu_audit_keep_close(struct mu_audit *audit, struct mu_ps_server *server);

#endif
