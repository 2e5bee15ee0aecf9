/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_INSIDE_H
#define MU_COLLECTIVES_MPI_INSIDE_H

#include "collectives/mpi_library.h"
#include "collectives/mpi_transport.h"

/* What mpi_transport.c and mpi_collectives.c share. */
struct mu_mpi_inside {
    const struct mu_mpi_library *library;
    MPI_Comm comm; /* our own, of all ranks */
};

/* NULL: not this transport. */
const struct mu_mpi_inside *mu_mpi_inside(struct mu_transport *transport);
/* Between two looks at MPI: yields, turns the loop, looks at the clock, each as `round` counts.
 * TIMEOUT, or what the loop was cancelled with. */
enum mu_status mu_mpi_look_around(struct mu_transport *transport, int round, int64_t deadline_ns);
/* Something may be under way for good: MPI is not asked to end, nor to free our communicator. */
void mu_mpi_set_failed(struct mu_transport *transport);

#endif
