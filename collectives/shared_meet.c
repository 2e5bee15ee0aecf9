/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared_meet.h"
#include "collectives/group_judge.h"

/*
 * Waiting: spin, then yield, then sleep. To be woken takes 25 to 30 us, so whoever has waited ten
 * times as long loses little by sleeping. Sleeps are short pieces, because somebody has to look
 * after the network meanwhile, and because a wake may be missed: the peer looks for sleepers after
 * it has come, but the processor may do the two in the other order; a fence against that would cost
 * each meeting more than a missed piece costs the one in millions.
 */
#define YIELD_NS INT64_C(300000)
#define YIELDS_PER_LOOK 16
#define SLEEP_NS_MIN INT64_C(100000)
#define SLEEP_NS_MAX INT64_C(1000000)
#define LAST_WORDS_NS (MU_SECOND / 10) /* to hear why a rank goes no further */

static bool is_here(const struct mu_shared *shared, int rank)
{
    const struct mu_shared_slot *slot = mu_shared_meet_shown(shared, rank);
    return atomic_load_explicit(&slot->epoch, memory_order_acquire) == shared->epoch;
}

static void come(struct mu_shared *shared)
{
    struct mu_shared_rank *own = shared->ranks[shared->rank];
    uint32_t epoch = ++shared->epoch;
    _Atomic uint32_t *word = &own->slot[epoch & 1].epoch;
    atomic_store_explicit(word, epoch, memory_order_release);
    if (atomic_load_explicit(&own->sleepers, memory_order_relaxed))
        mu_futex_wake(word);
}

static void sleep_for(struct mu_shared *shared, int rank, int64_t piece_ns)
{
    struct mu_shared_rank *peer = shared->ranks[rank];
    _Atomic uint32_t *word = &peer->slot[shared->epoch & 1].epoch;
    uint32_t old = atomic_load_explicit(word, memory_order_relaxed);
    atomic_fetch_add(&peer->sleepers, 1);
    if (old != shared->epoch)
        mu_futex_wait(word, old, piece_ns);
    atomic_fetch_sub(&peer->sleepers, 1);
}

/* ---- a long wait ---- */

static void remember(struct mu_group *group, int rank, const struct mu_signature *signature)
{
    struct mu_transport *transport = group->transport;
    if (!transport->seen || group->shared->pause)
        return; /* it belongs to whoever turns its loop */
    struct mu_seen *seen = &transport->seen[mu_group_peer(group, rank)];
    seen->signature = *signature;
    seen->since_ns = mu_now(group->world);
}

static bool has_hung_up(struct mu_group *group, int rank)
{
    struct mu_transport *transport = group->transport;
    int peer = mu_group_peer(group, rank);
    if (group->shared->pause)
        return false; /* to be said by who pauses: the transport may be another thread's */
    return transport->ops->reaches && !transport->ops->reaches(transport, peer);
}

/* Has this very rank said that it goes no further, in whatever it did? */
static enum mu_status judge_alone(const struct mu_group *group, int rank)
{
    const struct mu_seen *seen = group->shared->pause ? NULL : group->transport->seen;
    return seen ? seen[mu_group_peer(group, rank)].ended : MU_OK;
}

/* A system call. Why it goes no further it may have said since somebody looked: that is known then,
 * too. */
static bool is_gone(struct mu_group *group, int rank)
{
    const struct mu_shared *shared = group->shared;
    struct mu_transport *transport = group->transport;
    if (!has_hung_up(group, rank) && shared->source->alive(shared->segments, rank))
        return false;
    if (!shared->pause && transport->ops->look)
        transport->ops->look(transport);
    return true;
}

/* What is known by messages, of all that take part. -1: it is no rank of the group. */
static enum mu_status judge_all(struct mu_group *group, int *ret_rank)
{
    int peer;
    if (group->shared->pause)
        return MU_OK;
    enum mu_status status = mu_group_judge(group, &peer);
    if (status == MU_OK)
        return judge_alone(group, *ret_rank);
    *ret_rank = mu_group_rank_of(group, peer);
    return status;
}

/* Will this rank never come, by what it says it does? It may be in an operation that waits for
 * messages, or have given up on this one. */
static enum mu_status judge(struct mu_group *group, int rank)
{
    struct mu_signature theirs;
    const struct mu_signature *ours = &group->signature;
    bool inside = mu_shared_seen(group->shared, rank, &theirs, NULL);
    if (mu_group_differs(group, &theirs)) {
        remember(group, rank, &theirs);
        return MU_PROTOCOL;
    }
    if (theirs.sequence == 0 || theirs.group != ours->group ||
        (int32_t)(theirs.sequence - ours->sequence) < 0)
        return MU_OK;
    if (mu_signature_equal(&theirs, ours))
        return inside ? MU_OK : MU_CLOSED;
    remember(group, rank, &theirs);
    return MU_PROTOCOL;
}

static enum mu_status pause_here(struct mu_shared *shared)
{
    struct mu_transport *transport = shared->transport;
    struct mu_loop *loop = transport->loop;
    if (shared->pause)
        return shared->pause(shared->pause_owner);
    if (transport->ops->poll)
        (void)!transport->ops->poll(transport); /* others may ask whether we are there */
    if (!loop)
        return MU_OK;
    /* TIMEOUT only says that there was nothing to do. */
    enum mu_status turned = loop->ops->turn(loop, 0);
    (void)turned;
    return loop->cancelled;
}

/* *ret_rank, as it comes in, is waited for, and that in pieces of `piece_ns`. */
static enum mu_status look_around(struct mu_group *group, int64_t piece_ns, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    int rank = *ret_rank;
    MU_TRY(pause_here(shared));
    enum mu_status status = judge(group, rank);
    if (status == MU_OK && piece_ns)
        status = judge_all(group, ret_rank);
    if (status == MU_OK &&
        (piece_ns == SLEEP_NS_MAX ? is_gone(group, rank) : has_hung_up(group, rank))) {
        status = judge_all(group, ret_rank);
        status = status == MU_OK ? MU_CLOSED : status;
    }
    /* What it did before it left still counts. */
    return is_here(shared, rank) ? MU_OK : status;
}

/* *ret_rank: because of whom it has failed. */
static enum mu_status wait_long(
    struct mu_group *group, int rank, int64_t deadline_ns, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    int64_t began = mu_now(shared->world), piece_ns = 0;
    for (;;) {
        for (int i = 0; i < YIELDS_PER_LOOK && !piece_ns; i++) {
            mu_futex_yield();
            if (is_here(shared, rank))
                return MU_OK;
        }
        int64_t now = mu_now(shared->world);
        *ret_rank = rank;
        MU_TRY(look_around(group, piece_ns, ret_rank));
        if (is_here(shared, rank))
            return MU_OK;
        if (now >= deadline_ns)
            return MU_TIMEOUT;
        if (now - began < YIELD_NS)
            continue;
        piece_ns = piece_ns ? 2 * piece_ns : SLEEP_NS_MIN;
        piece_ns = piece_ns < SLEEP_NS_MAX ? piece_ns : SLEEP_NS_MAX;
        sleep_for(shared, rank, piece_ns < deadline_ns - now ? piece_ns : deadline_ns - now);
    }
}

/* Whoever has left the operation is about to say why, by messages. */
static enum mu_status find_why(struct mu_group *group, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    int64_t until_ns = mu_deadline(mu_now(shared->world), LAST_WORDS_NS);
    int rank = *ret_rank;
    while (!shared->pause && mu_now(shared->world) < until_ns) {
        MU_TRY(pause_here(shared));
        enum mu_status status = judge_all(group, ret_rank);
        if (status != MU_OK)
            return status;
        sleep_for(shared, rank, SLEEP_NS_MIN);
    }
    return MU_CLOSED;
}

/* Of those that have not come and have not given up, one that is dead, or else the first; -1: all
 * are here. */
static int find_missing(struct mu_group *group, bool *ret_dead)
{
    int missing = -1;
    *ret_dead = false;
    for (int rank = 0; rank < group->count && !*ret_dead; rank++) {
        if (rank == group->rank || is_here(group->shared, rank) || judge(group, rank) != MU_OK)
            continue;
        *ret_dead = is_gone(group, rank);
        missing = missing < 0 || *ret_dead ? rank : missing;
    }
    return missing;
}

/* By messages: that it goes no further, and not because somebody has not come. */
static bool has_said_why(const struct mu_group *group, int rank)
{
    const struct mu_seen *seen = group->transport->seen;
    if (!seen || group->shared->pause)
        return false;
    seen = &seen[mu_group_peer(group, rank)];
    return seen->ended == MU_CLOSED && seen->farewell[0];
}

/* Whoever gave up was waiting for somebody too: that is who is gone, or who has not come, if there
 * is one. */
static enum mu_status blame(struct mu_group *group, enum mu_status status, int *ret_rank)
{
    bool dead;
    int rank = *ret_rank;
    if (rank < 0 || status != MU_CLOSED || judge(group, rank) != MU_CLOSED)
        return status;
    int missing = find_missing(group, &dead);
    if (missing < 0 || (!dead && has_said_why(group, rank)))
        return status;
    *ret_rank = missing;
    return dead ? MU_CLOSED : MU_TIMEOUT;
}

static enum mu_status wait_for(struct mu_group *group, int rank, int64_t deadline_ns, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    for (int i = 0; i < shared->spins; i++) {
        if (is_here(shared, rank))
            return MU_OK;
        mu_futex_relax();
    }
    enum mu_status status = wait_long(group, rank, deadline_ns, ret_rank);
    if (status == MU_CLOSED && *ret_rank == rank && judge(group, rank) == MU_CLOSED)
        status = find_why(group, ret_rank);
    return status == MU_OK ? MU_OK : blame(group, status, ret_rank);
}

/* ---- meetings ---- */

static int next_rank(const struct mu_shared *shared, int rank)
{
    return rank + 1 < shared->count ? rank + 1 : 0;
}

enum mu_status mu_shared_meet(struct mu_group *group, int64_t deadline_ns, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    come(shared);
    for (int rank = next_rank(shared, shared->rank); rank != shared->rank;
         rank = next_rank(shared, rank))
        MU_TRY(wait_for(group, rank, deadline_ns, ret_rank));
    return MU_OK;
}

static enum mu_status compare(struct mu_group *group, int rank, int *ret_rank)
{
    const struct mu_signature *theirs = &mu_shared_meet_shown(group->shared, rank)->signature;
    if (mu_signature_equal(theirs, &group->signature))
        return MU_OK;
    remember(group, rank, theirs);
    *ret_rank = rank;
    return MU_PROTOCOL;
}

enum mu_status mu_shared_meet_enter(
    struct mu_group *group, uint64_t where, int64_t deadline_ns, int *ret_rank)
{
    struct mu_shared *shared = group->shared;
    struct mu_shared_slot *own = mu_shared_meet_own(shared);
    own->where = where;
    own->signature = group->signature;
    come(shared);
    for (int rank = next_rank(shared, shared->rank); rank != shared->rank;
         rank = next_rank(shared, rank)) {
        MU_TRY(wait_for(group, rank, deadline_ns, ret_rank));
        MU_TRY(compare(group, rank, ret_rank));
    }
    return MU_OK;
}
