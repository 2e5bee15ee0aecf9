/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_RESIDUALS_H
#define MU_ROLES_RESIDUALS_H

#include "roles/replica.h"

/*
 * What a compressor has left out so far, of each replica, and what it keeps that is equal on all:
 * part of a checkpoint. With the same number of replicas a resumed run goes on bit-exactly; with
 * another each gets an equal part of the sum, so that nothing is lost.
 */

/* Collective: opens the replica's compressor and restores what it kept, from the checkpoint that
 * the leader has loaded (`manifest`; NULL: none). */
enum mu_status mu_residuals_open(struct mu_replica *replica, const struct mu_manifest *manifest);
/* Does a checkpoint of this run hold any? */
bool mu_residuals_kept(const struct mu_replica *replica);
/* Collective: the leader gathers those of all into its saver, if `keep`. */
enum mu_status mu_residuals_gather(struct mu_replica *replica, bool keep);

#endif
