/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"
#include "collectives/choose.h"
#include "collectives/group_agree.h"
#include "collectives/group_judge.h"
#include "collectives/group_report.h"
#include "collectives/shared.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory that a transport may know ---- */

#define PAGE_BYTES 4096

struct mu_group_memory {
    char scratch[MU_OPS_IN_FLIGHT * MU_SEGMENT_BYTES];
    char aside[MU_ASIDE_BYTES];
    struct mu_op send[MU_OPS_IN_FLIGHT], receive[MU_OPS_IN_FLIGHT];
    struct mu_group_memory *next;
};

static enum mu_status make_memory(struct mu_group *group)
{
    size_t bytes = (sizeof(*group->memory) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    group->memory = aligned_alloc(PAGE_BYTES, bytes);
    if (!group->memory) {
        mu_group_finish(group);
        return MU_NO_MEMORY;
    }
    memset(group->memory, 0, bytes);
    group->scratch = group->memory->scratch;
    group->aside = group->memory->aside;
    group->send = group->memory->send;
    group->receive = group->memory->receive;
    return MU_OK;
}

static struct mu_group *whole_of(struct mu_group *group)
{
    while (group->parent)
        group = group->parent;
    return group;
}

static void leave_memory(struct mu_group *group)
{
    struct mu_group *whole = whole_of(group);
    group->memory->next = whole->lost;
    whole->lost = group->memory;
}

/* The transport is closed, or nothing is under way. */
static void free_memory(struct mu_group *group)
{
    if (group->memory && group->parent && group->failed)
        leave_memory(group);
    else
        free(group->memory);
    while (group->lost) {
        struct mu_group_memory *next = group->lost->next;
        free(group->lost);
        group->lost = next;
    }
}

/* ---- life ---- */

enum mu_status mu_group_init(
    struct mu_group *group, struct mu_world *world, struct mu_transport *transport)
{
    *group = (struct mu_group){.world = world, .transport = transport, .count = 1};
    group->timeout_ns = 300 * MU_SECOND;
    if (!transport)
        return MU_OK;
    if (transport->count > MU_GROUP_RANKS_MAX) {
        mu_group_finish(group);
        return MU_USAGE;
    }
    group->rank = transport->rank;
    group->count = transport->count;
    return make_memory(group);
}

enum mu_status mu_group_init_part(
    struct mu_group *group, struct mu_group *parent, const int rank[], int count, uint32_t id)
{
    *group = (struct mu_group){.world = parent->world,
        .transport = parent->transport,
        .parent = parent,
        .count = count,
        .id = id,
        .deterministic = parent->deterministic,
        .forced = parent->forced,
        .costs = parent->costs,
        .timeout_ns = parent->timeout_ns,
        .wire = parent->wire};
    group->member = calloc((size_t)count, sizeof(*group->member));
    if (!group->member) {
        mu_group_finish(group);
        return MU_NO_MEMORY;
    }
    for (int i = 0; i < count; i++) {
        group->member[i] = mu_group_peer(parent, rank[i]);
        if (rank[i] == parent->rank)
            group->rank = i;
    }
    return make_memory(group);
}

static void finish_child(struct mu_group *child)
{
    if (child)
        mu_group_finish(child);
    free(child);
}

void mu_group_finish(struct mu_group *group)
{
    finish_child(group->home);
    finish_child(group->abroad);
    mu_shared_close(group->shared);
    struct mu_group *whole = whole_of(group);
    struct mu_transport *transport = whole->transport; /* NULL: somebody has closed it */
    if (transport && mu_signature_equal(&whole->told, &group->signature))
        transport->signature = NULL;
    if (transport && group->member && transport->member == group->member)
        transport->member = NULL;
    if (transport && !group->parent)
        transport->ops->close(transport);
    free(group->member);
    free_memory(group);
    *group = (struct mu_group){0};
}

/* ---- messages ---- */

#define LOOK_NS (MU_SECOND / 10)
#define STEP_BITS 12
#define SEQUENCE_BITS 20
#define IDS 255 /* 0xff is of what is no operation: segments.c */
static_assert(2 * (MU_GROUP_RANKS_MAX - 1) < 1 << STEP_BITS, "the ring's steps");

uint64_t mu_group_tag(const struct mu_group *group, uint32_t step, uint64_t segment)
{
    uint64_t sequence = group->signature.sequence & ((1u << SEQUENCE_BITS) - 1);
    assert(step < 1u << STEP_BITS && segment < 1u << MU_GROUP_SEGMENT_BITS);
    return (uint64_t)(group->id % IDS) << (SEQUENCE_BITS + STEP_BITS + MU_GROUP_SEGMENT_BITS) |
           sequence << (STEP_BITS + MU_GROUP_SEGMENT_BITS) |
           (uint64_t)step << MU_GROUP_SEGMENT_BITS | segment;
}

void mu_group_send(struct mu_group *group, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    group->transport->ops->send(group->transport, op, mu_group_peer(group, rank), tag, from, bytes);
}

void mu_group_receive(
    struct mu_group *group, struct mu_op *op, int rank, uint64_t tag, void *to, size_t bytes)
{
    group->transport->ops->receive(
        group->transport, op, mu_group_peer(group, rank), tag, to, bytes);
}

int mu_group_rank_of(const struct mu_group *group, int peer)
{
    if (!group->member)
        return peer >= 0 && peer < group->count ? peer : -1;
    for (int rank = 0; rank < group->count; rank++)
        if (group->member[rank] == peer)
            return rank;
    return -1;
}

/* Now and then it looks at all ranks: who is waited for may itself wait for one that will not come.
 */
static enum mu_status wait_and_judge(
    struct mu_group *group, struct mu_op *op, int64_t deadline_ns, int *ret_peer)
{
    struct mu_transport *transport = group->transport;
    for (;;) {
        bool done = __atomic_load_n(&op->done, __ATOMIC_ACQUIRE);
        int64_t look_ns = done ? deadline_ns : mu_deadline(mu_now(group->world), LOOK_NS);
        int64_t until_ns = look_ns < deadline_ns ? look_ns : deadline_ns;
        enum mu_status status = transport->ops->wait(transport, op, until_ns);
        *ret_peer = op->rank;
        if (status != MU_TIMEOUT || until_ns == deadline_ns)
            return status;
        if (mu_now(group->world) < until_ns) /* how the operation has ended, not the wait */
            return status;
        status = mu_group_judge(group, ret_peer);
        if (status != MU_OK)
            return status;
    }
}

enum mu_status mu_group_wait(
    struct mu_group *group, struct mu_op *op, int64_t deadline_ns, int *ret_rank)
{
    int peer;
    enum mu_status status = wait_and_judge(group, op, deadline_ns, &peer);
    if (status != MU_OK) {
        group->failed = true;
        *ret_rank = mu_group_rank_of(group, peer);
    }
    return status;
}

/* ---- running a request ---- */

/* What makes no sense, or NULL. */
static const char *find_fault(const struct mu_group *group, const struct mu_request *request)
{
    enum mu_dtype dtype = request->dtype, wire = request->wire;
    if ((unsigned)request->kind >= MU_REQUEST_KIND_COUNT)
        return "there is no such operation";
    if (request->kind == MU_BARRIER)
        return NULL;
    if ((unsigned)dtype >= MU_DTYPE_COUNT)
        return "there is no such type";
    if (mu_request_reduces(request->kind) && (unsigned)request->reduction >= MU_REDUCTION_COUNT)
        return "there is no such reduction";
    if (request->count > SIZE_MAX / 2 / sizeof(double) / (size_t)group->count)
        return "there are more elements than memory";
    if (request->count && (!request->data || (request->kind == MU_ALLTOALL && !request->from)))
        return "there is no vector";
    if (request->kind == MU_BROADCAST && (request->root < 0 || request->root >= group->count))
        return "the root is no rank of the group";
    if (wire != dtype && (request->kind != MU_ALLREDUCE || dtype != MU_FLOAT32 ||
                             (request->reduction != MU_SUM && request->reduction != MU_MEAN) ||
                             (wire != MU_FLOAT16 && wire != MU_BFLOAT16)))
        return "only a sum of float32 travels in another type, and only in a half one";
    return NULL;
}

void mu_group_add_error(struct mu_group *group, const char *format, ...)
{
    size_t used = strlen(group->error);
    va_list list;
    va_start(list, format);
    vsnprintf(group->error + used, sizeof(group->error) - used, format, list);
    va_end(list);
}

static enum mu_status refuse(
    struct mu_group *group, const struct mu_request *request, const char *fault)
{
    const char *kind = mu_request_kind_name(request->kind);
    mu_format(group->error, sizeof(group->error), "%s %u: %s", kind, group->sequence, fault);
    return MU_USAGE;
}

/* Sequence and algorithm are not known yet. */
static void describe(const struct mu_group *group, const struct mu_request *request,
    struct mu_signature *ret_signature)
{
    *ret_signature = (struct mu_signature){
        .group = group->id,
        .kind = (uint8_t)request->kind,
        .dtype = (uint8_t)request->dtype,
        .wire = (uint8_t)request->wire,
        .reduction = (uint8_t)request->reduction,
        .root = request->root,
        .count = request->count,
    };
    if (request->counts)
        ret_signature->counts_crc =
            mu_crc32c(0, request->counts, (size_t)group->count * sizeof(*request->counts));
}

/* For the vector that it shares with no one: a request is only equal to one of the same memory. */
static bool lies_in_shared(const struct mu_group *group, const struct mu_request *request)
{
    return group->shared && mu_shared_contains(group->shared, request->data,
                                request->count * mu_dtype_bytes(request->dtype));
}

static bool is_choice(const struct mu_choice *choice, const struct mu_group *group,
    const struct mu_signature *key, bool shared)
{
    return mu_signature_equal(&choice->key, key) && choice->shared == shared &&
           choice->forced == group->forced && choice->deterministic == group->deterministic;
}

/* NULL and group->error: none can. */
static const struct mu_choice *choose(struct mu_group *group, const struct mu_request *request,
    const struct mu_signature *key, bool shared)
{
    for (int i = 0; i < group->choices; i++)
        if (is_choice(&group->choice[i], group, key, shared))
            return &group->choice[i];
    const struct mu_algorithm *algorithm = mu_choose(group, request);
    if (!algorithm)
        return NULL;
    struct mu_choice *choice = &group->choice[group->choice_next];
    *choice = (struct mu_choice){.key = *key,
        .shared = shared,
        .deterministic = group->deterministic,
        .forced = group->forced,
        .algorithm = algorithm,
        .place = (uint8_t)mu_choose_place(algorithm)};
    group->choice_next = (group->choice_next + 1) % MU_CHOICES_MAX;
    if (group->choices < MU_CHOICES_MAX)
        group->choices++;
    return choice;
}

static void alone(const struct mu_request *request)
{
    if (request->kind == MU_ALLTOALL && request->count && request->data != request->from)
        memmove(request->data, request->from, request->count * mu_dtype_bytes(request->dtype));
}

void mu_group_name_members(struct mu_group *group)
{
    const struct mu_group *operation = mu_group_is_step(group) ? group->parent : group;
    group->transport->member = operation->member;
    group->transport->members = operation->count;
}

void mu_group_sign(struct mu_group *group)
{
    struct mu_group *whole = whole_of(group);
    if (group->shared && mu_shared_is_paused(group->shared))
        return;
    whole->told = group->signature;
    group->transport->signature = &whole->told;
    group->transport->operation = NULL;
    mu_group_name_members(group);
    if (mu_group_is_step(group)) {
        whole->operation = group->parent->signature;
        group->transport->operation = &whole->operation;
    }
}

/* Where it is noted, for those who wait in shared memory, maybe in a step of another operation.
 * What runs there says so itself. */
static struct mu_shared *find_shared(
    const struct mu_group *group, const struct mu_algorithm *algorithm)
{
    if (algorithm->any_thread)
        return NULL;
    return !group->shared && group->home ? group->home->shared : group->shared;
}

/* This rank has told all others that it goes no further: then it does not, in any other group. */
static void fail_whole(struct mu_group *group)
{
    struct mu_group *whole = whole_of(group);
    if (mu_group_is_step(group) || whole->failed)
        return;
    whole->failed = true;
    mu_text_copy(whole->error, sizeof(whole->error), group->error);
}

/* Has an operation of the whole, or of another part of it, failed? */
static bool has_failed(struct mu_group *group)
{
    const struct mu_group *whole = whole_of(group);
    if (!group->failed && whole->failed)
        mu_text_copy(group->error, sizeof(group->error), whole->error);
    return group->failed || whole->failed;
}

/* Everybody takes part from here on: what fails now has failed for good. */
static enum mu_status run_signed(struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_shared *shared = find_shared(group, algorithm);
    mu_group_sign(group);
    if (shared)
        mu_shared_note(shared, &group->signature, mu_group_entered(group));
    enum mu_status status = mu_group_run_agreed(group, algorithm, request, deadline_ns, ret_rank);
    if (status != MU_OK) {
        group->failed = true;
        status = mu_group_report(group, status, ret_rank);
        fail_whole(group);
        return status;
    }
    if (shared)
        mu_shared_note(shared, NULL, 0);
    return MU_OK;
}

/* Some 10 ns if an equal request was there before: the shortest all-reduce takes 150. */
enum mu_status mu_group_run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_signature signature;
    *ret_rank = -1;
    if (has_failed(group))
        return MU_CLOSED;                                     /* group->error says why */
    group->sequence += group->sequence == UINT32_MAX ? 2 : 1; /* 0: none yet */
    const char *fault = find_fault(group, request);
    if (fault)
        return refuse(group, request, fault);
    if (group->count == 1) {
        alone(request);
        return MU_OK;
    }
    describe(group, request, &signature);
    const struct mu_choice *choice =
        choose(group, request, &signature, lies_in_shared(group, request));
    if (!choice)
        return MU_CONFIG;
    signature.sequence = group->sequence;
    signature.algorithm = choice->place;
    group->signature = signature;
    return run_signed(group, choice->algorithm, request, deadline_ns, ret_rank);
}
