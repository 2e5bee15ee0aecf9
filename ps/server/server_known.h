/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_KNOWN_H
#define MU_PS_SERVER_KNOWN_H

#include "ps/ps_bodies.h"

/*
 * What the last places in the order were, for servers that have not heard of them: the verdict at
 * each, and the number of the push that it was about. A ring, in which the oldest one gives way.
 */
struct mu_ps_known_place {
    uint64_t tag;
    struct mu_ps_verdict_body verdict;
};

struct mu_ps_known {
    struct mu_ps_known_place *places; /* a ring of `capacity`; NULL: nobody may ask for them */
    size_t capacity;
    uint64_t next; /* places so far */
};

enum mu_status mu_ps_known_init(struct mu_ps_known *known, size_t capacity); /* NO_MEMORY */
void mu_ps_known_finish(struct mu_ps_known *known); /* takes a zeroed one, which only counts */
void mu_ps_known_add(
    struct mu_ps_known *known, uint64_t tag, const struct mu_ps_verdict_body *verdict);
/* Are all places from this one on known? From the next one on there are none. */
bool mu_ps_known_since(const struct mu_ps_known *known, uint64_t place);
/* One of those. */
const struct mu_ps_known_place *mu_ps_known_at(const struct mu_ps_known *known, uint64_t place);

#endif
