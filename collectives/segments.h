/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SEGMENTS_H
#define MU_COLLECTIVES_SEGMENTS_H

#include "collectives/transport/transport.h"
#include "runtime/base/log.h"

/*
 * One piece of shared memory for each rank, made by it and mapped by the other ranks of its host.
 * They find each other by trying: names are random, told over `messages`, and taken away as soon as
 * all have mapped them, so that nothing is left when a process dies. What a process that died in
 * between has left is swept by the next start: nobody holds its lock any more.
 *
 * A rank may be on this host (the same boot of the same kernel) and still not be reached: another
 * user, a container with a /dev/shm of its own, /dev/shm full. That is in `lacks`, and said once if
 * the memory is a way for messages: the caller takes the next transport.
 */
#define MU_SEGMENTS_LACKS_MAX 352

struct mu_segments {
    int rank, count;
    size_t bytes;
    bool *home; /* (count) on this host */
    void **at;  /* (count) mapped here, page-aligned; NULL: not reached, as it reaches not us */
    bool all;   /* every rank reaches every rank */
    /* "rank 1 (and 2 more): /dev/shm is full (...)": who of this host is not reached, and why; ""
     */
    char lacks[MU_SEGMENTS_LACKS_MAX];
    /* More ranks on this host than processors that any of them may run on: whoever spins keeps from
     * running whom it waits for. */
    bool crowded;
};

/* Collective over all ranks of `messages`; `bytes` the same on all. Zeroed, every page touched by
 * its owner. OK also if none is reached. `log` NULL: the caller says whom it lacks, if anybody.
 * NO_MEMORY; TIMEOUT, CLOSED, PROTOCOL as messages. */
enum mu_status mu_segments_open(struct mu_log *log, struct mu_transport *messages, size_t bytes,
    int64_t deadline_ns, struct mu_segments **ret_segments);
void mu_segments_close(struct mu_segments *segments); /* takes NULL */
/* Is the process of this rank, which is reached, still there? False: it has died or closed its
 * segments. A system call: for waits that are long already. */
bool mu_segments_alive(const struct mu_segments *segments, int rank);

#endif
