/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_TRANSPORT_H
#define MU_COLLECTIVES_MPI_TRANSPORT_H

#include "collectives/transport/transport.h"

/*
 * Open MPI's point-to-point messages as a transport, for clusters whose network it knows better
 * than TCP does: every process is a rank of MPI_COMM_WORLD. One thread a process may use it, and
 * while it waits it looks at MPI again and again: MPI has no other way to wait with a deadline.
 */
extern const struct mu_transport_ops mu_mpi_ops;

/*
 * Collective over MPI_COMM_WORLD. Calls MPI_Init if nobody has, and then close calls MPI_Finalize
 * (unless something failed: it could wait for a rank that is gone), after which it cannot be opened
 * again. `loop`: turned while waiting; may be NULL. UNAVAILABLE (MU_E0802: no Open MPI here, or not
 * in this build), NO_MEMORY.
 */
enum mu_status mu_mpi_open(struct mu_log *log, struct mu_world *world, struct mu_loop *loop,
    struct mu_transport **ret_transport);

#endif
