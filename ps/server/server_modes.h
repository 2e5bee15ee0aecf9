/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_MODES_H
#define MU_PS_SERVER_MODES_H

/* Which phase of its plan a server is in. */
struct mu_ps_server;

/* Makes the plan of the options. */
void mu_ps_modes_init(struct mu_ps_server *server);
/* To be asked after every change of the version: goes to its phase. */
void mu_ps_modes_follow(struct mu_ps_server *server);

#endif
