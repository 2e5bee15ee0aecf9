/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_REPLICA_SERVERS_H
#define MU_ROLES_REPLICA_SERVERS_H

#include "roles/replica.h"

/* A replica's links to the parameter servers, on the communication thread: to each seat
 * (ps/seats.h) one, and one more from the leader. A link that breaks while its server lives is made
 * anew; a server that is lost is left to its standby. */

enum mu_status mu_replica_call_servers(struct mu_replica *replica);
/* Takes one that has called nobody. */
void mu_replica_hang_up(struct mu_replica *replica);
/* What a call of the client, or of the snapshot, has ended with: OK is passed on; else, as
 * mu_replica_blame, of the server that it names as the culprit. */
enum mu_status mu_replica_client_ended(
    struct mu_replica *replica, enum mu_status status, const char *what, int64_t since_ns);
enum mu_status mu_replica_snapshot_ended(
    struct mu_replica *replica, enum mu_status status, const char *what, int64_t since_ns);
/* A push has been answered: the first after a loss shows how long the standby needed to take over.
 */
void mu_replica_note_answer(struct mu_replica *replica, int64_t pushed_ns, int64_t awaited_ns);

#endif
