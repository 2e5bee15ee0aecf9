/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_COLLECTIVES_H
#define MUSTER_COLLECTIVES_H

#include "muster/status.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Collectives without the trainer: link libmuster, start the processes, call these.
 *
 *     struct mu_group *group;
 *     if (mu_group_open(NULL, &group) != MU_OK) return 1;       // under mpirun: nothing to say
 *     mu_group_allreduce(group, x, n, MU_FLOAT32, MU_SUM);
 *     mu_group_close(group);
 *
 * All ranks of a group call the same operations in the same order, with the same kind, type, count,
 * reduction and root; if they do not, all get PROTOCOL, mu_group_error names both sides, and the
 * vectors of all ranks are as they were. Calls block. A group belongs to one thread at a time.
 * Vectors are contiguous, in the caller's memory and aligned to their type. After TIMEOUT or CLOSED
 * what the vector holds is unspecified (old, new or partly added values). After each of the three
 * the group only serves to be closed.
 *
 * OK; TIMEOUT (a rank did not come), CLOSED (a rank is gone, or an earlier call has failed),
 * PROTOCOL (ranks disagree); USAGE (there is no such type, reduction, root or vector), CONFIG (the
 * algorithm that was asked for cannot do this). The reason is in mu_group_error.
 */
enum mu_dtype {
    MU_FLOAT32,
    MU_FLOAT64,
    MU_FLOAT16,  /* IEEE binary16 */
    MU_BFLOAT16, /* upper half of a float32 */
    MU_INT32,
    MU_INT64,
    MU_UINT8,
    MU_DTYPE_COUNT
};

/*
 * float16 and bfloat16 are added in float32, and each sum of two is rounded to nearest even.
 * Integers wrap. MEAN is the sum divided by the number of ranks, integers towards zero. MIN and
 * MAX: a NaN on any rank gives NaN.
 */
enum mu_reduction { MU_SUM, MU_MEAN, MU_MIN, MU_MAX, MU_REDUCTION_COUNT };

struct mu_group;

struct mu_group_options {
    /* Rank and addresses of all ranks ("10.0.0.1:2222"); NULL: as the launcher says, TF_CONFIG or
     * mpirun, srun --mpi=pmix. */
    const char *const *addresses; /* (count) */
    int rank, count;
    const char *transport; /* NULL: "route", the best way to each rank */
    const char *algorithm; /* for the calls that it does; the others, and NULL: the best */
    int deterministic;     /* the same bits whichever algorithm runs */
    /* What sums and means of float32 travel as in an all-reduce: MU_FLOAT32 (0); or MU_BFLOAT16,
     * MU_FLOAT16: half the bytes, rounded on each way. The same on all ranks. */
    enum mu_dtype wire;
    double timeout_seconds; /* 0: 300; USAGE: less than 0, or not a number */
    /* Connections to each rank of another host, 1 to 8, the least of what the ranks say; 0: more
     * than one where that proves faster. */
    int streams;
};

/* Collective: waits for all ranks; from 2 s on it says on stderr, every 10 s, for whom, at which
 * address, why and since when. `options` NULL: all as the launcher says. Fails as the calls
 * above; CONFIG: also addresses, TF_CONFIG or a rank that cannot be; UNAVAILABLE: a rank did not
 * come, its port is taken or its name unknown, this build or machine lacks the transport;
 * PROTOCOL: also something else listens there, or ranks of another group; NO_MEMORY. *ret_group is
 * NULL then. */
enum mu_status mu_group_open(const struct mu_group_options *options, struct mu_group **ret_group);
void mu_group_close(struct mu_group *group); /* takes NULL */
/* Why the last call failed; never NULL. `group` NULL: of mu_group_open on this thread. */
const char *mu_group_error(const struct mu_group *group);
int mu_group_rank(const struct mu_group *group);
int mu_group_size(const struct mu_group *group);

/* data[i] = reduction over the ranks of data[i]; the same bits on all ranks. */
enum mu_status mu_group_allreduce(struct mu_group *group, void *data, size_t count,
    enum mu_dtype dtype, enum mu_reduction reduction);
/* `data` is one vector of `counts[0] + counts[1] + ...` elements on every rank. Afterwards part r
 * of it, on rank r, is reduced; the other parts hold nothing of use. */
enum mu_status mu_group_reduce_scatter(struct mu_group *group, void *data, const size_t counts[],
    enum mu_dtype dtype, enum mu_reduction reduction);
/* Part r of `data` is taken from rank r. Parts may be empty. */
enum mu_status mu_group_allgather(
    struct mu_group *group, void *data, const size_t counts[], enum mu_dtype dtype);
/* `data` of rank `root`, which is the same argument on all ranks, goes to all others. */
enum mu_status mu_group_broadcast(
    struct mu_group *group, void *data, size_t count, enum mu_dtype dtype, int root);
/* Part r of `from` goes to rank r; part s of `to` comes from rank s; `count` elements each. */
enum mu_status mu_group_alltoall(
    struct mu_group *group, const void *from, void *to, size_t count, enum mu_dtype dtype);
/* Returns when all ranks have called it. */
enum mu_status mu_group_barrier(struct mu_group *group);

/* Collective: the ranks that give the same `color` make a group, in the order of (`key`, rank).
 * A negative color: none, *ret_group is NULL. Close it before its parent. Also NO_MEMORY. */
enum mu_status mu_group_split(
    struct mu_group *group, int color, int key, struct mu_group **ret_group);

/* Collective, the same `bytes` on all ranks: zeroed memory, aligned to a page. On one host it is
 * shared, and an all-reduce of vectors at the same place of it on all ranks copies nothing. Where
 * /dev/shm has no room for it on one of the ranks it is private on all, which a line says once.
 * NULL, on all ranks alike: no such memory either, or the ranks do not agree: mu_group_error says
 * so. */
void *mu_group_alloc(struct mu_group *group, size_t bytes);
void mu_group_free(struct mu_group *group, void *memory); /* collective; takes NULL */

#ifdef __cplusplus
}
#endif

#endif
