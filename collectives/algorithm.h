/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_ALGORITHM_H
#define MU_COLLECTIVES_ALGORITHM_H

#include "collectives/request.h"

struct mu_group;

/*
 * One way to do one or more kinds of operation. Runs straight through on the thread that owns the
 * group; waits only in the transport or in shared memory, with the deadline; allocates nothing.
 *
 * The canonical order of rounding: part c of a vector (mu_request_part) is
 * ((part of rank c + rank c+1) + ... rank n-1 + rank 0 ...) + rank c-1, one addition after the
 * other, each rounded to the type. An algorithm that `keeps_order` gives these bits when
 * group->deterministic is set; one that does not is not chosen then.
 */
struct mu_algorithm {
    const char *name; /* "ring" */
    const char *doc;  /* one line, with the source */
    unsigned kinds;   /* 1u << enum mu_request_kind, or-ed */
    bool keeps_order;
    bool any_thread; /* needs no event loop: any one thread may run it */
    bool holds_on;   /* may go on with the vector after it has failed: it must be the caller's */
    /* Seconds that it will take by the group's costs; the lowest runs. INFINITY: it cannot, and
     * *ret_why says why in a few words ("needs all ranks on one host"). Equal on all ranks. */
    double (*score)(
        const struct mu_group *group, const struct mu_request *request, const char **ret_why);
    /* OK; TIMEOUT, CLOSED, PROTOCOL with *ret_rank (of the group), whom it was waiting for; or what
     * the loop was cancelled with. */
    enum mu_status (*run)(struct mu_group *group, const struct mu_request *request,
        int64_t deadline_ns, int *ret_rank);
};

/* The registry: ring, doubling, halving, binomial tree, double tree, pairwise, direct,
 * hierarchical, mpi. NULL-terminated. (nccl has its place here.) */
extern const struct mu_algorithm *const mu_algorithms[];

#endif
