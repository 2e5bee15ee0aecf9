/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHARED_LAYOUT_H
#define MU_COLLECTIVES_SHARED_LAYOUT_H

#include "collectives/segments.h"
#include "collectives/shared.h"
#include "runtime/io/futex.h"
#include "runtime/io/processors.h"
#include <stdatomic.h>

/*
 * How shared memory lies; for shared*.c and direct*.c.
 *
 * Ranks meet: each writes what it shows into one of its two slots, then the number of the meeting,
 * the epoch, into the same line, and waits until all others have done so. Meeting e uses slot
 * e % 2. Who is at meeting e + 2 has seen all others come to e + 1, so all have left e: its slot
 * is free, and no meeting needs a second one to end it.
 */
#define MU_SHARED_SMALL_BYTES 16
#define MU_SHARED_ARENAS_MAX 64
#define MU_SHARED_RANKS_MAX 1024

/* What a rank shows. The first line is all that a short message takes. */
struct mu_shared_slot {
    _Alignas(128) _Atomic uint32_t epoch; /* written last; what waits sleep on */
    uint32_t reserved;
    uint64_t where;                /* entering: its vector, see mu_shared_where */
    struct mu_signature signature; /* entering: what it does */
    unsigned char small[MU_SHARED_SMALL_BYTES];
    _Alignas(64) unsigned char bytes[MU_SEGMENT_BYTES];
};
static_assert(offsetof(struct mu_shared_slot, bytes) == 64, "one line before the bytes");

/* What a rank is doing, readable at any time: `version` is odd while it is written. */
struct mu_shared_note {
    _Alignas(128) _Atomic uint32_t version;
    _Atomic uint32_t inside; /* it has not left the operation */
    _Atomic int64_t since_ns;
    _Atomic uint64_t words[sizeof(struct mu_signature) / sizeof(uint64_t)];
};

/* One rank's segment. */
struct mu_shared_rank {
    struct mu_shared_slot slot[2];
    struct mu_shared_note note;
    _Alignas(128) _Atomic uint32_t sleepers; /* on this rank's epochs */
    uint64_t processors[MU_PROCESSORS_WORDS];
};

/* Where segments come from: segments.h, or a test's own memory. */
struct mu_shared_source {
    enum mu_status (*open)(struct mu_log *log, struct mu_transport *messages, size_t bytes,
        int64_t deadline_ns, struct mu_segments **ret_segments);
    void (*close)(struct mu_segments *segments);
    bool (*alive)(const struct mu_segments *segments, int rank);
};

struct mu_shared {
    int rank, count;
    uint32_t epoch;                /* of the last meeting */
    struct mu_shared_rank **ranks; /* (count) */
    int spins;                     /* before the first yield */
    /* For reducers: vectors in the order of adding. (count) */
    const void **from;
    void **to;

    struct mu_world *world;
    struct mu_log *log;
    const struct mu_shared_source *source;
    struct mu_transport *transport; /* of the group */
    struct mu_transport *members;   /* over the group's ranks only; NULL: that is all of them */
    struct mu_segments *segments;
    struct mu_segments *arenas[MU_SHARED_ARENAS_MAX]; /* the same places on all ranks */
    enum mu_status (*pause)(void *owner);             /* NULL: the transport's loop is turned */
    void *pause_owner;
    enum mu_status
        failed; /* why an arena could not be made, where the group has failed with that */
    bool said;  /* that vectors do not lie in shared memory */
};

/* mu_shared_open, from this source. */
enum mu_status mu_shared_open_from(struct mu_group *group, struct mu_log *log, int64_t deadline_ns,
    const struct mu_shared_source *source);

/* A place in an arena, in words that all ranks understand; 0: not in one. */
uint64_t mu_shared_where(const struct mu_shared *shared, const void *data, size_t bytes);
/* Where that is here, if it is rank `rank` that says so. */
void *mu_shared_at(const struct mu_shared *shared, int rank, uint64_t where);

#endif
