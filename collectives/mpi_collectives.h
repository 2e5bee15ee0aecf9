/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_COLLECTIVES_H
#define MU_COLLECTIVES_MPI_COLLECTIVES_H

#include "collectives/algorithm.h"

/* MPI's own all-reduce, over the transport mpi. It chooses its order of rounding itself. */
extern const struct mu_algorithm mu_mpi_algorithm;

#endif
