/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi_library.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Built only where Open MPI's header is. The name of its library, 1.10 to 5: */
#define SONAME "libmpi.so.40"

struct symbol {
    const char *name;
    size_t offset; /* in struct mu_mpi_library */
};

#define SYMBOL(name, field)                                                                        \
    {                                                                                              \
        name, offsetof(struct mu_mpi_library, field)                                               \
    }

static const struct symbol symbols[] = {
    SYMBOL("MPI_Init", init),
    SYMBOL("MPI_Initialized", initialized),
    SYMBOL("MPI_Finalized", finalized),
    SYMBOL("MPI_Finalize", finalize),
    SYMBOL("MPI_Comm_dup", comm_dup),
    SYMBOL("MPI_Comm_free", comm_free),
    SYMBOL("MPI_Comm_rank", comm_rank),
    SYMBOL("MPI_Comm_size", comm_size),
    SYMBOL("MPI_Comm_set_errhandler", comm_set_errhandler),
    SYMBOL("MPI_Isend", isend),
    SYMBOL("MPI_Irecv", irecv),
    SYMBOL("MPI_Iallreduce", iallreduce),
    SYMBOL("MPI_Test", test),
    SYMBOL("MPI_Cancel", cancel),
    SYMBOL("MPI_Request_free", request_free),
    SYMBOL("MPI_Get_count", get_count),
    SYMBOL("ompi_mpi_comm_world", world),
    SYMBOL("ompi_mpi_errors_return", errors_return),
    SYMBOL("ompi_request_null", no_request),
    SYMBOL("ompi_mpi_byte", byte),
    SYMBOL("ompi_mpi_float", float32),
    SYMBOL("ompi_mpi_double", float64),
    SYMBOL("ompi_mpi_int32_t", int32),
    SYMBOL("ompi_mpi_int64_t", int64),
    SYMBOL("ompi_mpi_uint8_t", uint8),
    SYMBOL("ompi_mpi_op_sum", sum),
    SYMBOL("ompi_mpi_op_min", min),
    SYMBOL("ompi_mpi_op_max", max),
};
static_assert(MU_COUNT_OF(symbols) * sizeof(void *) == sizeof(struct mu_mpi_library),
    "every field has its symbol");

enum mu_status mu_mpi_library_load(struct mu_log *log, const struct mu_mpi_library **ret_library)
{
    static struct mu_mpi_library library;
    static bool loaded;
    *ret_library = &library;
    if (loaded)
        return MU_OK;
    /* GLOBAL: its own plug-ins look for its symbols. */
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        return mu_fail(
            log, MU_E0802, "install Open MPI, or take another transport", "%s", dlerror());
    for (size_t i = 0; i < MU_COUNT_OF(symbols); i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address)
            return mu_fail(
                log, MU_E0802, "install Open MPI 4 or 5", "%s has no %s", SONAME, symbols[i].name);
        memcpy((char *)&library + symbols[i].offset, &address, sizeof(address));
    }
    loaded = true;
    return MU_OK;
}
