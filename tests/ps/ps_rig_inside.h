/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_PS_RIG_INSIDE_H
#define MU_TEST_PS_RIG_INSIDE_H

#include "ps_rig.h"

/* What the files of the rig share. */

/* As rig_connect, for the server or worker `index`. */
enum mu_status rig_connect_as(struct rig_task *task, int order, enum rig_kind kind, int index,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link);
/* Of the links whose end says that somebody needs the servers no more. Owner: a task. */
extern const struct mu_link_events rig_control_events;
enum mu_status rig_server_main(struct rig_task *task);

#endif
