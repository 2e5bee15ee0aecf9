/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_TURNS_H
#define MU_TEST_TURNS_H

#include "runtime/base/net.h"
#include <stddef.h>

/* Watches a loop that turns between two pieces of what takes long: how often, and how much more
 * there is each time. One at once. */
struct turns {
    const struct mu_net_ops *real;
    struct mu_net_ops ops;
    size_t (*there)(void *owner); /* in bytes, or rows: as much as there is by now */
    void *owner;
    size_t count, before, piece_max;
};

static struct turns turns;

static inline void turns_look(void)
{
    size_t there = turns.there(turns.owner), piece = there - turns.before;
    turns.piece_max = piece > turns.piece_max ? piece : turns.piece_max;
    turns.before = there;
}

static inline enum mu_status turns_turn(struct mu_loop *loop, int64_t deadline_ns)
{
    turns.count++;
    turns_look();
    return turns.real->turn(loop, deadline_ns);
}

static inline void turns_begin(struct mu_loop *loop, size_t (*there)(void *owner), void *owner)
{
    turns = (struct turns){.real = loop->ops, .ops = *loop->ops, .there = there, .owner = owner};
    turns.ops.turn = turns_turn;
    loop->ops = &turns.ops;
}

static inline void turns_end(struct mu_loop *loop)
{
    loop->ops = turns.real;
    turns_look();
}

#endif
