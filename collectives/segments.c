/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/segments.h"
#include "collectives/swap.h"
#include "runtime/base/text.h"
#include "runtime/io/processors.h"
#include "runtime/io/shared_memory.h"
#include <stdlib.h>
#include <string.h>

/*
 * Three rounds, each in all pairs:
 *
 *   where   which kernel, user, processors     who could share memory at all
 *   offer   a name and a token, or why not     each maps what its peers on this host have made
 *   result  whom I have mapped, or why not     two ranks reach each other if both have mapped;
 *                                              all rows full: `all`, the same on every rank
 *
 * After the third round nobody needs the names any more.
 */
#define PAGE_BYTES ((size_t)4096)
#define TOKEN_BYTES 16
#define NAME_MAX_BYTES 160         /* "rank 1 (and 2 more)" */
#define TAG (UINT64_C(0xff) << 56) /* above those of operations */

struct where {
    struct mu_shared_memory_host host;
    uint64_t processors[MU_PROCESSORS_WORDS];
};

/* The first page of a segment. */
struct header {
    uint8_t token[TOKEN_BYTES]; /* as offered, or this is not what was offered */
};

struct offer {
    char name[MU_SHARED_MEMORY_NAME_MAX]; /* "" none */
    char why[MU_SHARED_MEMORY_WHY_MAX];
    uint8_t token[TOKEN_BYTES];
};

struct result {
    char why[MU_SHARED_MEMORY_WHY_MAX]; /* the receiver is not reached; "" it is, or is elsewhere */
    uint8_t mapped[];                   /* (count) */
};

struct segments {
    struct mu_segments base;
    struct mu_log *log;
    struct mu_transport *messages;
    int64_t deadline_ns;
    struct mu_shared_memory *memory;       /* (count) */
    struct offer offer;                    /* ours */
    char (*why)[MU_SHARED_MEMORY_WHY_MAX]; /* (count) */
};

static struct segments *segments_of(const struct mu_segments *segments)
{
    return (struct segments *)(uintptr_t)segments;
}

static bool is_simulated(const struct mu_transport *messages)
{
    return messages->loop && strcmp(messages->loop->world->ops->name, "simulated") == 0;
}

/* ---- where ---- */

/* Adds what the ranks of this host may run on. */
static void count_processors(
    const struct where *there, uint64_t any[MU_PROCESSORS_WORDS], int *ranks)
{
    for (int word = 0; word < MU_PROCESSORS_WORDS; word++)
        any[word] |= there->processors[word];
    ++*ranks;
}

static bool is_crowded(const uint64_t any[MU_PROCESSORS_WORDS], int ranks)
{
    for (int word = 0; word < MU_PROCESSORS_WORDS; word++)
        ranks -= __builtin_popcountll(any[word]);
    return ranks > 0;
}

static void look_home(struct segments *segments, struct mu_swap *swap)
{
    struct mu_segments *base = &segments->base;
    const struct where *here = mu_swap_out(swap, base->rank);
    uint64_t any[MU_PROCESSORS_WORDS] = {0};
    int ranks = 0;
    for (int rank = 0; rank < base->count; rank++) {
        bool ours = rank == base->rank;
        const struct where *there = ours ? here : mu_swap_in(swap, rank);
        base->home[rank] = ours || mu_shared_memory_same_host(&here->host, &there->host);
        if (!base->home[rank])
            continue;
        count_processors(there, any, &ranks);
        if (here->host.user != there->host.user)
            mu_text_copy(
                segments->why[rank], sizeof(segments->why[rank]), "it belongs to another user");
    }
    base->crowded = is_crowded(any, ranks);
}

static enum mu_status find_home(struct segments *segments)
{
    struct mu_swap *swap;
    MU_TRY(mu_swap_create(segments->messages, sizeof(struct where), &swap));
    struct where here;
    mu_shared_memory_host(&here.host);
    mu_processors_allowed(here.processors);
    for (int rank = 0; rank < segments->base.count; rank++)
        memcpy(mu_swap_out(swap, rank), &here, sizeof(here));
    MU_TRY(mu_swap_run(swap, TAG, segments->deadline_ns));
    look_home(segments, swap);
    mu_swap_destroy(swap);
    return MU_OK;
}

static bool is_alone(const struct mu_segments *base)
{
    for (int rank = 0; rank < base->count; rank++)
        if (rank != base->rank && base->home[rank])
            return false;
    return true;
}

/* ---- offer ---- */

static void make_ours(struct segments *segments)
{
    struct mu_shared_memory *memory = &segments->memory[segments->base.rank];
    struct offer *offer = &segments->offer;
    mu_shared_memory_sweep();
    size_t bytes = PAGE_BYTES + segments->base.bytes;
    if (mu_shared_memory_create(memory, bytes, segments->messages->loop, offer->why) != MU_OK)
        return;
    mu_shared_memory_random(offer->token, sizeof(offer->token));
    struct header *header = memory->at;
    memcpy(header->token, offer->token, sizeof(offer->token));
    memcpy(offer->name, memory->name, sizeof(offer->name));
}

static void map_theirs(struct segments *segments, int rank, struct offer *offer)
{
    struct mu_shared_memory *memory = &segments->memory[rank];
    char *why = segments->why[rank];
    /* From a peer: terminated by us. */
    offer->name[sizeof(offer->name) - 1] = offer->why[sizeof(offer->why) - 1] = '\0';
    if (why[0] || !segments->offer.name[0])
        return;
    if (!offer->name[0]) {
        mu_text_copy(why, sizeof(segments->why[rank]), offer->why);
        return;
    }
    size_t bytes = PAGE_BYTES + segments->base.bytes;
    if (mu_shared_memory_open(memory, offer->name, bytes, why) != MU_OK)
        return;
    const struct header *header = memory->at;
    if (memcmp(header->token, offer->token, sizeof(offer->token)) != 0) {
        mu_text_copy(why, sizeof(segments->why[rank]), "what has its name is not from it");
        mu_shared_memory_close(memory);
    }
}

static enum mu_status map_home(struct segments *segments)
{
    struct mu_segments *base = &segments->base;
    struct mu_swap *swap;
    MU_TRY(mu_swap_create(segments->messages, sizeof(struct offer), &swap));
    if (!is_alone(base))
        make_ours(segments);
    for (int rank = 0; rank < base->count; rank++)
        if (base->home[rank])
            memcpy(mu_swap_out(swap, rank), &segments->offer, sizeof(segments->offer));
    MU_TRY(mu_swap_run(swap, TAG | 1, segments->deadline_ns));
    for (int rank = 0; rank < base->count; rank++)
        if (base->home[rank] && rank != base->rank)
            map_theirs(segments, rank, mu_swap_in(swap, rank));
    mu_swap_destroy(swap);
    return MU_OK;
}

/* ---- result ---- */

static bool has_mapped(const struct segments *segments, int rank)
{
    return segments->memory[rank].at != NULL;
}

/* Both ways or not at all: who sends this way is received this way. */
static void settle_with(struct segments *segments, int rank, struct result *theirs)
{
    struct mu_segments *base = &segments->base;
    if (has_mapped(segments, rank) && theirs->mapped[base->rank])
        base->at[rank] = (char *)segments->memory[rank].at + PAGE_BYTES;
    else
        mu_shared_memory_close(&segments->memory[rank]);
    theirs->why[sizeof(theirs->why) - 1] = '\0';
    if (!base->at[rank] && !segments->why[rank][0])
        mu_text_copy(segments->why[rank], sizeof(segments->why[rank]), theirs->why);
}

static bool is_full(const uint8_t *mapped, int count)
{
    for (int rank = 0; rank < count; rank++)
        if (!mapped[rank])
            return false;
    return true;
}

/* Nobody looks for our name any more; where nobody has found it, we need no memory. */
static void keep_or_close_ours(struct segments *segments)
{
    struct mu_segments *base = &segments->base;
    struct mu_shared_memory *ours = &segments->memory[base->rank];
    bool reached = false;
    for (int rank = 0; rank < base->count; rank++)
        reached = reached || base->at[rank];
    mu_shared_memory_unlink(ours);
    if (reached)
        base->at[base->rank] = (char *)ours->at + PAGE_BYTES;
    else
        mu_shared_memory_close(ours);
}

static enum mu_status settle(struct segments *segments)
{
    struct mu_segments *base = &segments->base;
    size_t bytes = sizeof(struct result) + (size_t)base->count;
    struct mu_swap *swap;
    MU_TRY(mu_swap_create(segments->messages, bytes, &swap));
    for (int rank = 0; rank < base->count; rank++) {
        struct result *ours = mu_swap_out(swap, rank);
        mu_text_copy(ours->why, sizeof(ours->why), segments->why[rank]);
        for (int other = 0; other < base->count; other++)
            ours->mapped[other] = has_mapped(segments, other);
    }
    MU_TRY(mu_swap_run(swap, TAG | 2, segments->deadline_ns));
    base->all = is_full(((struct result *)mu_swap_out(swap, base->rank))->mapped, base->count);
    for (int rank = 0; rank < base->count; rank++) {
        if (rank == base->rank)
            continue;
        struct result *theirs = mu_swap_in(swap, rank);
        base->all = base->all && is_full(theirs->mapped, base->count);
        if (base->home[rank])
            settle_with(segments, rank, theirs);
    }
    mu_swap_destroy(swap);
    keep_or_close_ours(segments);
    return MU_OK;
}

/* ---- saying so ---- */

static void name_of(const struct mu_transport *messages, int rank, char *out, size_t bytes)
{
    if (messages->names)
        mu_text_copy(out, bytes, messages->names[rank]);
    else
        mu_format(out, bytes, "rank %d", rank);
}

/* About the first that is not reached. False: all of this host are. */
static bool find_lacks(struct segments *segments, char name[NAME_MAX_BYTES], const char **ret_why)
{
    const struct mu_segments *base = &segments->base;
    int first = -1, others = 0;
    for (int rank = base->count - 1; rank >= 0; rank--)
        if (base->home[rank] && rank != base->rank && !base->at[rank]) {
            others += first >= 0;
            first = rank;
        }
    if (first < 0)
        return false;
    char one[128], more[32] = "";
    name_of(segments->messages, first, one, sizeof(one));
    if (others > 0)
        mu_format(more, sizeof(more), " (and %d more)", others);
    mu_format(name, NAME_MAX_BYTES, "%s%s", one, more);
    const char *own = segments->offer.why;
    const char *why = own[0] ? own : segments->why[first];
    *ret_why = why[0] ? why : "it could not map ours";
    return true;
}

/* One line, unless the caller knows better what it is without. */
static void say(struct segments *segments)
{
    char name[NAME_MAX_BYTES];
    const char *why;
    if (!find_lacks(segments, name, &why))
        return;
    mu_format(segments->base.lacks, sizeof(segments->base.lacks), "%s: %s", name, why);
    if (segments->log)
        mu_say(segments->log, MU_LEVEL_WARN,
            "%s is on this host, but not in shared memory with us: %s; only %s reaches it", name,
            why, segments->messages->ops->name);
}

/* ---- life ---- */

static enum mu_status find_each_other(struct segments *segments)
{
    if (is_simulated(segments->messages))
        return MU_OK;
    MU_TRY(find_home(segments));
    MU_TRY(map_home(segments));
    MU_TRY(settle(segments));
    say(segments);
    return MU_OK;
}

static struct segments *create(struct mu_transport *messages, size_t bytes)
{
    struct segments *segments = calloc(1, sizeof(*segments));
    if (!segments)
        return NULL;
    size_t count = (size_t)messages->count;
    segments->base =
        (struct mu_segments){.rank = messages->rank, .count = messages->count, .bytes = bytes};
    segments->messages = messages;
    segments->base.home = calloc(count, sizeof(*segments->base.home));
    segments->base.at = calloc(count, sizeof(*segments->base.at));
    segments->memory = calloc(count, sizeof(*segments->memory));
    segments->why = calloc(count, sizeof(*segments->why));
    if (!segments->base.home || !segments->base.at || !segments->memory || !segments->why) {
        mu_segments_close(&segments->base);
        return NULL;
    }
    segments->base.home[messages->rank] = true;
    return segments;
}

enum mu_status mu_segments_open(struct mu_log *log, struct mu_transport *messages, size_t bytes,
    int64_t deadline_ns, struct mu_segments **ret_segments)
{
    struct segments *segments = create(messages, (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
    if (!segments)
        return MU_NO_MEMORY;
    segments->log = log;
    segments->deadline_ns = deadline_ns;
    enum mu_status status = find_each_other(segments);
    if (status != MU_OK) {
        mu_segments_close(&segments->base);
        return status;
    }
    *ret_segments = &segments->base;
    return MU_OK;
}

void mu_segments_close(struct mu_segments *base)
{
    if (!base)
        return;
    struct segments *segments = segments_of(base);
    for (int rank = 0; segments->memory && rank < base->count; rank++)
        mu_shared_memory_close(&segments->memory[rank]);
    free(segments->memory);
    free(segments->why);
    free(base->home);
    free(base->at);
    free(segments);
}

bool mu_segments_alive(const struct mu_segments *segments, int rank)
{
    return rank == segments->rank || mu_shared_memory_held(&segments_of(segments)->memory[rank]);
}
