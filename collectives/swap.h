/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SWAP_H
#define MU_COLLECTIVES_SWAP_H

#include "collectives/transport/transport.h"

/*
 * Every rank gives every other rank a few bytes and gets as many: what ranks tell each other before
 * there is a group to run operations in. Ranks that the transport does not reach give zeroes.
 */
struct mu_swap;

enum mu_status mu_swap_create(
    struct mu_transport *messages, size_t bytes, struct mu_swap **ret_swap);
/* For rank `rank`, zeroed; from it. 8-byte aligned. */
void *mu_swap_out(struct mu_swap *swap, int rank);
void *mu_swap_in(struct mu_swap *swap, int rank);
/* Collective. TIMEOUT, CLOSED, PROTOCOL as the transport, which then keeps the swap. */
enum mu_status mu_swap_run(struct mu_swap *swap, uint64_t tag, int64_t deadline_ns);
void mu_swap_destroy(struct mu_swap *swap); /* takes NULL */
/* For drivers, when nothing of what failed is under way any more. */
void mu_swap_free_kept(struct mu_transport *transport);

#endif
