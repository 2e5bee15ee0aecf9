/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/swap.h"
#include <stdlib.h>

struct mu_swap {
    struct mu_transport *messages;
    size_t bytes, stride;
    struct mu_op *send, *receive; /* (count) */
    char *out, *in;               /* (count, stride) */
    struct mu_swap *next;
};

/* A transport knows what is under way until it is closed. */
static void keep(struct mu_swap *swap)
{
    struct mu_transport *whole = swap->messages;
    while (whole->whole)
        whole = whole->whole;
    swap->next = whole->kept;
    whole->kept = swap;
}

void mu_swap_free_kept(struct mu_transport *transport)
{
    while (transport->kept) {
        struct mu_swap *next = transport->kept->next;
        mu_swap_destroy(transport->kept);
        transport->kept = next;
    }
}

enum mu_status mu_swap_create(
    struct mu_transport *messages, size_t bytes, struct mu_swap **ret_swap)
{
    struct mu_swap *swap = calloc(1, sizeof(*swap));
    if (!swap)
        return MU_NO_MEMORY;
    size_t count = (size_t)messages->count;
    *swap = (struct mu_swap){.messages = messages, .bytes = bytes, .stride = (bytes + 7) & ~7ul};
    swap->send = calloc(count, sizeof(*swap->send));
    swap->receive = calloc(count, sizeof(*swap->receive));
    swap->out = calloc(count, swap->stride);
    swap->in = calloc(count, swap->stride);
    if (!swap->send || !swap->receive || !swap->out || !swap->in) {
        mu_swap_destroy(swap);
        return MU_NO_MEMORY;
    }
    *ret_swap = swap;
    return MU_OK;
}

void *mu_swap_out(struct mu_swap *swap, int rank)
{
    return swap->out + (size_t)rank * swap->stride;
}

void *mu_swap_in(struct mu_swap *swap, int rank)
{
    return swap->in + (size_t)rank * swap->stride;
}

static bool is_peer(struct mu_transport *messages, int rank)
{
    return rank != messages->rank &&
           (!messages->ops->reaches || messages->ops->reaches(messages, rank));
}

static enum mu_status wait_for_all(struct mu_swap *swap, int64_t deadline_ns)
{
    struct mu_transport *messages = swap->messages;
    for (int rank = 0; rank < messages->count; rank++)
        if (is_peer(messages, rank)) {
            MU_TRY(messages->ops->wait(messages, &swap->receive[rank], deadline_ns));
            MU_TRY(messages->ops->wait(messages, &swap->send[rank], deadline_ns));
        }
    return MU_OK;
}

enum mu_status mu_swap_run(struct mu_swap *swap, uint64_t tag, int64_t deadline_ns)
{
    struct mu_transport *messages = swap->messages;
    for (int rank = 0; rank < messages->count; rank++)
        if (is_peer(messages, rank))
            messages->ops->receive(
                messages, &swap->receive[rank], rank, tag, mu_swap_in(swap, rank), swap->bytes);
    for (int rank = 0; rank < messages->count; rank++)
        if (is_peer(messages, rank))
            messages->ops->send(
                messages, &swap->send[rank], rank, tag, mu_swap_out(swap, rank), swap->bytes);
    enum mu_status status = wait_for_all(swap, deadline_ns);
    if (status != MU_OK)
        keep(swap);
    return status;
}

void mu_swap_destroy(struct mu_swap *swap)
{
    if (!swap)
        return;
    free(swap->send);
    free(swap->receive);
    free(swap->out);
    free(swap->in);
    free(swap);
}
