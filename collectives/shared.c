/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared.h"
#include "collectives/shared_layout.h"
#include "collectives/shared_meet.h"
#include "collectives/shared_members.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>

#define SPINS 2000       /* 20 to 100 us, by the processor's pause */
#define SPINS_CROWDED 20 /* whoever is waited for needs this processor */
#define OFFSET_BITS 48
#define SEEN_TRIES 1000

static const struct mu_shared_source segments_source = {
    .open = mu_segments_open,
    .close = mu_segments_close,
    .alive = mu_segments_alive,
};

/* ---- opening ---- */

/* Whom they lack is for the caller to say. */
static enum mu_status open_segments(
    struct mu_shared *shared, size_t bytes, int64_t deadline_ns, struct mu_segments **ret_segments)
{
    struct mu_transport *messages = shared->members ? shared->members : shared->transport;
    shared->transport->signature = NULL; /* this is no operation */
    return shared->source->open(NULL, messages, bytes, deadline_ns, ret_segments);
}

static const char *lacks_of(const struct mu_segments *segments)
{
    return segments->lacks[0] ? segments->lacks : "not all other ranks reach each other";
}

/* More ranks than processors that any of them may run on? */
static bool is_crowded(const struct mu_shared *shared)
{
    int processors = 0;
    for (int word = 0; word < MU_PROCESSORS_WORDS; word++) {
        uint64_t any = 0;
        for (int rank = 0; rank < shared->count; rank++)
            any |= shared->ranks[rank]->processors[word];
        processors += __builtin_popcountll(any);
    }
    return shared->count > processors;
}

static enum mu_status find_spins(struct mu_group *group, int64_t deadline_ns)
{
    struct mu_shared *shared = group->shared;
    int rank;
    mu_processors_allowed(shared->ranks[shared->rank]->processors);
    shared->spins = SPINS_CROWDED;
    MU_TRY(mu_shared_meet(group, deadline_ns, &rank));
    if (!is_crowded(shared))
        shared->spins = SPINS;
    return MU_OK;
}

static struct mu_shared *create(
    struct mu_group *group, struct mu_log *log, const struct mu_shared_source *source)
{
    struct mu_shared *shared = calloc(1, sizeof(*shared));
    if (!shared)
        return NULL;
    size_t count = (size_t)group->count;
    *shared = (struct mu_shared){.rank = group->rank,
        .count = group->count,
        .world = group->world,
        .log = log,
        .source = source,
        .transport = group->transport};
    shared->ranks = calloc(count, sizeof(*shared->ranks));
    shared->from = calloc(count, sizeof(*shared->from));
    shared->to = calloc(count, sizeof(*shared->to));
    if (!shared->ranks || !shared->from || !shared->to) {
        mu_shared_close(shared);
        return NULL;
    }
    return shared;
}

enum mu_status mu_shared_open_from(struct mu_group *group, struct mu_log *log, int64_t deadline_ns,
    const struct mu_shared_source *source)
{
    if (group->count == 1 || group->count > MU_SHARED_RANKS_MAX)
        return MU_OK;
    struct mu_shared *shared = create(group, log, source);
    if (!shared)
        return MU_NO_MEMORY;
    enum mu_status status = MU_OK;
    mu_group_name_members(group);
    if (group->member)
        status = mu_shared_members_open(group, &shared->members);
    if (status == MU_OK)
        status =
            open_segments(shared, sizeof(struct mu_shared_rank), deadline_ns, &shared->segments);
    if (status == MU_OK && !shared->segments->all)
        mu_say(log, MU_LEVEL_WARN,
            "the ranks have no memory to add vectors in together (%s): they add by messages",
            lacks_of(shared->segments));
    if (status != MU_OK || !shared->segments->all) {
        mu_shared_close(shared);
        return status;
    }
    for (int rank = 0; rank < shared->count; rank++)
        shared->ranks[rank] = shared->segments->at[rank];
    group->shared = shared;
    status = find_spins(group, deadline_ns);
    if (status != MU_OK) {
        group->shared = NULL;
        mu_shared_close(shared);
    }
    return status;
}

enum mu_status mu_shared_open(struct mu_group *group, struct mu_log *log, int64_t deadline_ns)
{
    return mu_shared_open_from(group, log, deadline_ns, &segments_source);
}

void mu_shared_close(struct mu_shared *shared)
{
    if (!shared)
        return;
    for (int i = 0; i < MU_SHARED_ARENAS_MAX; i++)
        if (shared->arenas[i])
            shared->source->close(shared->arenas[i]);
    if (shared->segments)
        shared->source->close(shared->segments);
    if (shared->members)
        shared->members->ops->close(shared->members);
    free(shared->ranks);
    free(shared->from);
    free(shared->to);
    free(shared);
}

void mu_shared_set_pause(
    struct mu_shared *shared, enum mu_status (*pause)(void *owner), void *owner)
{
    shared->pause = pause;
    shared->pause_owner = owner;
}

bool mu_shared_is_paused(const struct mu_shared *shared)
{
    return shared->pause != NULL;
}

/* ---- arenas ---- */

static int free_arena(const struct mu_shared *shared)
{
    for (int i = 0; i < MU_SHARED_ARENAS_MAX; i++)
        if (!shared->arenas[i])
            return i;
    return -1;
}

/* The arena that all of this lies in; -1: none. */
static int find_arena(const struct mu_shared *shared, const void *data, size_t bytes)
{
    for (int i = 0; i < MU_SHARED_ARENAS_MAX; i++) {
        const struct mu_segments *arena = shared->arenas[i];
        if (!arena)
            continue;
        size_t offset = (uintptr_t)data - (uintptr_t)arena->at[shared->rank];
        if (offset < arena->bytes && bytes <= arena->bytes - offset)
            return i;
    }
    return -1;
}

/* `why` of MU_SEGMENTS_LACKS_MAX bytes: where it is NULL on all ranks. */
static void *alloc(struct mu_group *group, size_t bytes, int64_t deadline_ns, char *why)
{
    struct mu_shared *shared = group->shared;
    int arena = free_arena(shared);
    if (arena < 0 || bytes >> OFFSET_BITS) {
        mu_text_copy(why, MU_SEGMENTS_LACKS_MAX, "it is too large");
        if (arena < 0)
            mu_format(why, MU_SEGMENTS_LACKS_MAX, "%d of them do already", MU_SHARED_ARENAS_MAX);
        return NULL;
    }
    struct mu_segments *segments;
    enum mu_status status = open_segments(shared, bytes ? bytes : 1, deadline_ns, &segments);
    if (status != MU_OK) { /* the others may have it, and would wait for us in it */
        group->failed = true;
        shared->failed = status;
        mu_format(group->error, sizeof(group->error), "shared memory of %zu bytes: %s", bytes,
            mu_status_text(status));
        return NULL;
    }
    if (!segments->all) {
        mu_text_copy(why, MU_SEGMENTS_LACKS_MAX, lacks_of(segments));
        shared->source->close(segments);
        return NULL;
    }
    shared->arenas[arena] = segments;
    return segments->at[shared->rank];
}

void *mu_shared_try(struct mu_group *group, size_t bytes, int64_t deadline_ns)
{
    char unused[MU_SEGMENTS_LACKS_MAX];
    return alloc(group, bytes, deadline_ns, unused);
}

void *mu_shared_alloc(struct mu_group *group, size_t bytes, int64_t deadline_ns)
{
    struct mu_shared *shared = group->shared;
    char why[MU_SEGMENTS_LACKS_MAX], text[32];
    void *memory = alloc(group, bytes, deadline_ns, why);
    if (memory || group->failed || shared->said)
        return memory;
    shared->said = true;
    mu_text_bytes(text, sizeof(text), bytes);
    mu_say(shared->log, MU_LEVEL_WARN,
        "a vector of %s lies in each rank's own memory, not in shared memory (%s): to be added it "
        "is copied",
        text, why);
    return NULL;
}

enum mu_status mu_shared_failed(const struct mu_group *group)
{
    return group->failed && group->shared ? group->shared->failed : MU_OK;
}

bool mu_shared_free(struct mu_group *group, void *memory)
{
    struct mu_shared *shared = group->shared;
    for (int i = 0; memory && i < MU_SHARED_ARENAS_MAX; i++)
        if (shared->arenas[i] && shared->arenas[i]->at[shared->rank] == memory) {
            shared->source->close(shared->arenas[i]);
            shared->arenas[i] = NULL;
            return true;
        }
    return false;
}

bool mu_shared_contains(const struct mu_shared *shared, const void *data, size_t bytes)
{
    return find_arena(shared, data, bytes) >= 0;
}

uint64_t mu_shared_where(const struct mu_shared *shared, const void *data, size_t bytes)
{
    int arena = find_arena(shared, data, bytes);
    if (arena < 0)
        return 0;
    uint64_t offset = (uintptr_t)data - (uintptr_t)shared->arenas[arena]->at[shared->rank];
    return ((uint64_t)arena + 1) << OFFSET_BITS | offset;
}

void *mu_shared_at(const struct mu_shared *shared, int rank, uint64_t where)
{
    uint64_t arena = (where >> OFFSET_BITS) - 1;
    uint64_t offset = where & ((UINT64_C(1) << OFFSET_BITS) - 1);
    assert(arena < MU_SHARED_ARENAS_MAX && shared->arenas[arena]);
    assert(offset <= shared->arenas[arena]->bytes);
    return (char *)shared->arenas[arena]->at[rank] + offset;
}

/* ---- what a rank is doing ---- */

void mu_shared_note(
    struct mu_shared *shared, const struct mu_signature *signature, int64_t since_ns)
{
    struct mu_shared_note *note = &shared->ranks[shared->rank]->note;
    if (!signature) {
        atomic_store_explicit(&note->inside, 0, memory_order_release);
        return;
    }
    uint64_t words[MU_COUNT_OF(note->words)];
    memcpy(words, signature, sizeof(words));
    uint32_t version = atomic_load_explicit(&note->version, memory_order_relaxed);
    /* Each store releases the ones before it: who reads a new word, then reads an odd version. */
    atomic_store_explicit(&note->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < MU_COUNT_OF(words); i++)
        atomic_store_explicit(&note->words[i], words[i], memory_order_release);
    atomic_store_explicit(&note->since_ns, since_ns, memory_order_release);
    atomic_store_explicit(&note->inside, 1, memory_order_release);
    atomic_store_explicit(&note->version, version + 2, memory_order_release);
}

/* False: it was being written. */
static bool read_note(struct mu_shared_note *note, struct mu_signature *ret_signature,
    int64_t *ret_since_ns, bool *ret_inside)
{
    uint64_t words[MU_COUNT_OF(note->words)];
    uint32_t version = atomic_load_explicit(&note->version, memory_order_acquire);
    for (size_t i = 0; i < MU_COUNT_OF(words); i++)
        words[i] = atomic_load_explicit(&note->words[i], memory_order_acquire);
    *ret_since_ns = atomic_load_explicit(&note->since_ns, memory_order_acquire);
    *ret_inside = atomic_load_explicit(&note->inside, memory_order_acquire);
    memcpy(ret_signature, words, sizeof(words));
    return version % 2 == 0 &&
           version == atomic_load_explicit(&note->version, memory_order_relaxed);
}

bool mu_shared_seen(const struct mu_shared *shared, int rank, struct mu_signature *ret_signature,
    int64_t *ret_since_ns)
{
    bool inside;
    int64_t unused;
    if (!ret_since_ns)
        ret_since_ns = &unused;
    /* Whoever was stopped while it wrote is not waited for. */
    for (int i = 0; i < SEEN_TRIES; i++)
        if (read_note(&shared->ranks[rank]->note, ret_signature, ret_since_ns, &inside))
            return inside;
    *ret_signature = (struct mu_signature){0};
    *ret_since_ns = 0;
    return false;
}
