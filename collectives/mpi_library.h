/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MPI_LIBRARY_H
#define MU_COLLECTIVES_MPI_LIBRARY_H

#include "runtime/base/log.h"
#include <mpi.h>

/*
 * What of Open MPI is used, found when it is asked for: a program that does without it does not
 * load its two dozen libraries. Its header makes handles of the addresses of global objects, so
 * those are looked up too.
 */
struct mu_mpi_library {
    int (*init)(int *argc, char ***argv);
    int (*initialized)(int *flag);
    int (*finalized)(int *flag);
    int (*finalize)(void);
    int (*comm_dup)(MPI_Comm comm, MPI_Comm *ret_comm);
    int (*comm_free)(MPI_Comm *comm);
    int (*comm_rank)(MPI_Comm comm, int *rank);
    int (*comm_size)(MPI_Comm comm, int *size);
    int (*comm_set_errhandler)(MPI_Comm comm, MPI_Errhandler handler);
    int (*isend)(const void *from, int count, MPI_Datatype type, int rank, int tag, MPI_Comm comm,
        MPI_Request *request);
    int (*irecv)(void *to, int count, MPI_Datatype type, int rank, int tag, MPI_Comm comm,
        MPI_Request *request);
    int (*iallreduce)(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
        MPI_Comm comm, MPI_Request *request);
    int (*test)(MPI_Request *request, int *flag, MPI_Status *status);
    int (*cancel)(MPI_Request *request);
    int (*request_free)(MPI_Request *request);
    int (*get_count)(const MPI_Status *status, MPI_Datatype type, int *count);

    MPI_Comm world;
    MPI_Errhandler errors_return;
    MPI_Request no_request;
    MPI_Datatype byte, float32, float64, int32, int64, uint8;
    MPI_Op sum, min, max;
};

/* Loaded once, kept until the process ends. UNAVAILABLE (MU_E0802). */
enum mu_status mu_mpi_library_load(struct mu_log *log, const struct mu_mpi_library **ret_library);

#endif
