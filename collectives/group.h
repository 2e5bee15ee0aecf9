/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_GROUP_H
#define MU_COLLECTIVES_GROUP_H

#include "collectives/algorithm.h"
#include "collectives/transport/transport.h"

/*
 * The ranks that do collectives together, as one of them sees it. Every rank calls the same
 * operations in the same order; `sequence` counts them and travels in tags and signatures, so that
 * two operations cannot mix.
 */
#define MU_OPS_IN_FLIGHT 4
#define MU_SEGMENT_BYTES ((size_t)256 << 10) /* added while it is still in the cache */
#define MU_ASIDE_BYTES ((size_t)64 << 10)    /* see collectives/group_agree.h */
#define MU_GROUP_ERROR_MAX 512
#define MU_CHOICES_MAX 16
#define MU_GROUP_RANKS_MAX 2048 /* a ring takes two steps a rank, and steps have bits in tags */

struct mu_shared;

/* What things cost here, in seconds; measured by mu_costs_probe or given. Equal on all ranks. */
struct mu_costs {
    double message; /* one way, a few bytes */
    double byte;    /* of a long message, sending and receiving at once */
    double add;     /* one byte added to another, in cache */
    double barrier; /* shared memory; 0 without it */
    double direct;  /* a byte of an all-reduce of vectors in shared memory */
};

/* A choice that was made, so that the next equal request costs nothing. */
struct mu_choice {
    struct mu_signature key; /* sequence and algorithm 0 */
    bool shared;             /* the vector lies in shared memory */
    bool deterministic;
    const struct mu_algorithm *forced;
    const struct mu_algorithm *algorithm;
    uint8_t place; /* in mu_algorithms */
};

struct mu_group {
    struct mu_world *world;
    struct mu_transport *transport; /* NULL in a group of one */
    struct mu_shared *shared;       /* NULL: no shared memory with all ranks */
    int rank, count;
    int *member; /* (count) ranks of the transport; NULL: all of it, in order */
    uint32_t id; /* 0: the whole */
    uint32_t sequence;
    uint32_t splits;               /* groups made of this one */
    struct mu_signature signature; /* of the operation under way */
    /* Of the whole: what its transport compares and tells, and of which operation that is a step.
     * Copies, see mu_group_sign. */
    struct mu_signature told, operation;

    bool deterministic;
    const struct mu_algorithm *forced; /* NULL: the best */
    struct mu_costs costs;
    struct mu_choice choice[MU_CHOICES_MAX];
    int choices, choice_next;
    /* Of the calls of include/muster/collectives.h: */
    int64_t timeout_ns;
    enum mu_dtype wire; /* of all-reduces of float32 by sum or mean */
    int64_t entered_ns; /* when such a call began; 0: not in one */

    /* Hierarchical: the ranks of this host, and the first ranks of all hosts (on those only). NULL
     * where there is one host or one rank a host. */
    struct mu_group *home, *abroad;
    int hosts;               /* how many, where there are `home` and `abroad` */
    struct mu_group *parent; /* whose transport this is; NULL: our own */

    void *scratch; /* MU_OPS_IN_FLIGHT segments */
    void *aside;   /* MU_ASIDE_BYTES: a short vector, until all ranks are known to agree */
    /* What is under way. After a failure the transport still knows them, and the scratch: those of
     * a part then stay in `lost` of the whole until the transport is closed. */
    struct mu_op *send, *receive; /* (MU_OPS_IN_FLIGHT) */
    struct mu_group_memory *memory, *lost;
    bool failed; /* what was begun has not ended: it may be under way, and is the last */
    char error[MU_GROUP_ERROR_MAX];
    void *owner; /* of whoever opened it: closed last. See mu_group_open. */
    void (*close_owner)(void *owner);
};

/* Takes the transport (NULL for a group of one, then `world` says whose). NO_MEMORY, and USAGE for
 * more than MU_GROUP_RANKS_MAX ranks: it is closed. */
enum mu_status mu_group_init(
    struct mu_group *group, struct mu_world *world, struct mu_transport *transport);
/*
 * A part of `parent`, over its transport: ranks `rank` (count) of it, this one among them, with its
 * settings, costs and timeout. Not collective, but all of them must give the same `id`, and no
 * other group of the transport may have it. NO_MEMORY.
 */
enum mu_status mu_group_init_part(
    struct mu_group *group, struct mu_group *parent, const int rank[], int count, uint32_t id);
void mu_group_finish(struct mu_group *group); /* takes a zeroed one; closes shared, home, abroad */

/*
 * Any request, by the algorithm that is forced or best. The calls of include/muster/collectives.h
 * are this with group->timeout_ns. A vector of no elements is an operation as any other: whoever
 * asks for another one learns it.
 *
 * On failure group->error says why, and *ret_rank names the rank that is to blame, as far as is
 * known: for TIMEOUT the one that is furthest behind; -1: none. USAGE: the request makes no sense;
 * CONFIG: no algorithm can do it. After any other failure the ranks do not know any more what the
 * others do: all that is asked later is CLOSED, with the same error, also of the whole and of its
 * other parts.
 */
enum mu_status mu_group_run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank);

/* What becomes of ranks that are none of this group ends nothing of the transport's from now on. */
void mu_group_name_members(struct mu_group *group);
/* The transport tells group->signature from now on. Not while shared memory is paused: the
 * transport is another thread's then, which may read what is told at any time. */
void mu_group_sign(struct mu_group *group);

/* When the call that is under way began; a part works for the call of its whole. 0: not known. */
static inline int64_t mu_group_entered(const struct mu_group *group)
{
    while (group->entered_ns == 0 && group->parent)
        group = group->parent;
    return group->entered_ns;
}

/* Appends to group->error as far as there is room. */
__attribute__((format(printf, 2, 3))) void mu_group_add_error(
    struct mu_group *group, const char *format, ...);

/* Rank of the group of a rank of the transport; -1: it is not in it. */
int mu_group_rank_of(const struct mu_group *group, int peer);
/* Rank of the transport of a rank of the group. */
static inline int mu_group_peer(const struct mu_group *group, int rank)
{
    return group->member ? group->member[rank] : rank;
}

/* Does it only do steps of operations of its parent, hierarchical, which all have agreed on? */
static inline bool mu_group_is_step(const struct mu_group *group)
{
    return group->parent && (group->parent->home == group || group->parent->abroad == group);
}

/* ---- what algorithms send and receive with; group ranks; tags made of sequence, step, segment --
 */
#define MU_GROUP_SEGMENT_BITS 24
#define MU_GROUP_SEGMENT_MAX (((uint64_t)1 << MU_GROUP_SEGMENT_BITS) - 1)
uint64_t mu_group_tag(const struct mu_group *group, uint32_t step, uint64_t segment);
void mu_group_send(struct mu_group *group, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes);
void mu_group_receive(
    struct mu_group *group, struct mu_op *op, int rank, uint64_t tag, void *to, size_t bytes);
/* Sets *ret_rank (of the group) on failure. */
enum mu_status mu_group_wait(
    struct mu_group *group, struct mu_op *op, int64_t deadline_ns, int *ret_rank);

#endif
