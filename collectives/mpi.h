/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_H
#define MU_COLLECTIVES_MPI_H

#include "runtime/base/log.h"
#include "runtime/base/net.h"

/*
 * Under mpirun, or `srun --mpi=pmix`, nobody needs a cluster spec: the ranks tell each other their
 * addresses. This speaks PMIx, the protocol that MPI_Init itself uses for that, and no MPI: it
 * takes 10 ms where MPI_Init, one MPI_Allgather and MPI_Finalize take 340 ms (five ranks, Open MPI
 * 4.1.4, two cores: `exchange_rank time` and `mpi_start` of tests/mpi), and it leaves signals, exit
 * codes and threads as they were.
 */
struct mu_mpi_place {
    int rank, count;
    int listen_fd;              /* bound to address[rank] and listening; the caller's */
    struct mu_address *address; /* [count], the same on every rank */
    int *process;               /* [count], their ids, each on its host: for messages */
};

/* Was this process started by a launcher that speaks PMIx? */
bool mu_mpi_is_rank(void);

/*
 * Collective over all ranks. Loopback addresses where all ranks are on one host; else those of a
 * network that every host is in, the one of rank 0's default route before others. MUSTER_INTERFACE
 * names the interface to use where that guess is wrong. From here on this process dies with the
 * daemon that started it.
 *
 * CONFIG (MU_E0101 not a rank, MU_E0111 no network in common), UNAVAILABLE (MU_E0301 not all ranks
 * came within `timeout_ns`, MU_E0802 the launcher does not answer or this build has no PMIx),
 * NO_MEMORY. Blocks; to be called before threads are started.
 */
enum mu_status mu_mpi_exchange(
    struct mu_log *log, int64_t timeout_ns, struct mu_mpi_place *ret_place);
/* Closes listen_fd too, unless it has been set to -1 by a new owner. */
void mu_mpi_place_finish(struct mu_mpi_place *place);

#endif
