/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MESH_H
#define MU_COLLECTIVES_MESH_H

#include "runtime/base/log.h"
#include "runtime/io/link.h"

/*
 * The links of a group that stands alone, without cluster/: one between any two ranks. The higher
 * rank calls the lower one, again and again until it is there. Both say a small hello: the group,
 * how many ranks it has, and who calls whom. A stranger, a rank of another group and a second
 * process with the same rank are turned away.
 */
#define MU_MESH_STRANGERS_MAX 32 /* accepted, and not yet greeted */
#define MU_MESH_NAME_BYTES (MU_HOST_MAX + 64)
#define MU_MESH_TERMS_MAX 4096

struct mu_mesh_request {
    struct mu_loop *loop;
    struct mu_log *log;
    int rank, count;
    const struct mu_address *address; /* (count) where each rank listens */
    int listen_fd;  /* bound to address[rank], taken also on failure; -1: the mesh binds itself */
    uint64_t group; /* the same on all ranks, and not that of others */
    /* > 0: only so many ranks listen, the first ones. The others have no address and no links
     * between them. 0: all listen. */
    int listener_count;
    const char *const *names; /* (count) for messages, "ps/0"; NULL: "rank 0" */
    /* What this rank says of what must agree: lines "key value", in the order in which they are
     * compared, less than MU_MESH_TERMS_MAX bytes. A key that only one of two ranks names is free.
     * NULL: nothing. */
    const char *terms;
};

/*
 * ret_link[r] leads to rank r, greeted and held: it is for its new owner to adopt and resume.
 * ret_link[rank] is NULL, and so is what has no link. On failure there are none.
 *
 * UNAVAILABLE: MU_E0301 not all came before the deadline (it is said who, and why), MU_E0302 the
 * port is taken, MU_E0310 no such name; PROTOCOL: MU_E0305 the terms of two ranks differ, MU_E0306
 * another service is there, MU_E0307 this rank is there already, MU_E0309 another group is there;
 * NO_MEMORY; what the loop was cancelled with.
 */
enum mu_status mu_mesh_open(
    const struct mu_mesh_request *request, int64_t deadline_ns, struct mu_link *ret_link[]);

/* "rank 2 (10.0.0.3:2222)" */
void mu_mesh_name_rank(
    const struct mu_mesh_request *request, int rank, char out[MU_MESH_NAME_BYTES]);

/* A number for a group that has nothing but its addresses. */
uint64_t mu_mesh_group_of(const struct mu_address *address, int count);

#endif
