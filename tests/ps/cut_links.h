/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_CUT_LINKS_H
#define MU_TEST_CUT_LINKS_H

#include "runtime/base/net.h"

/*
 * Connections that break at a place that a seed draws: at the boundary of a write, inside one, or
 * after any byte that came. Put around the loop of a task of the simulation; what connects while
 * `cuts_left` > 0 breaks some time.
 */
#define CUT_WAYS_MAX 128

struct cut_links;
struct cut_write;

/* One connection. */
struct cut_way {
    struct cut_links *cuts;
    struct mu_stream *stream; /* NULL: not used */
    const struct mu_stream_events *events;
    void *owner;
    int writes_left;    /* -1: it does not break by writing */
    double part;        /* of the write it breaks in that still goes */
    int64_t bytes_left; /* to come; -1: it does not break by reading */
    bool lingers;       /* the other side does not see the end for now */
    bool is_cut, is_told, is_closed;
    struct cut_write *writes; /* under way */
};

struct cut_links {
    struct mu_net_ops ops; /* of the loop meanwhile */
    const struct mu_net_ops *real;
    struct mu_loop *loop;
    uint64_t seed;
    int cuts_left, cut_count;
    struct cut_way ways[CUT_WAYS_MAX];
    int way_count;
};

void cut_links_begin(struct cut_links *cuts, struct mu_loop *loop, uint64_t seed, int count);
/* Tells owners of their end. Not inside a turn. */
void cut_links_tell(struct cut_links *cuts);
/* All that it has connected must be closed. */
void cut_links_end(struct cut_links *cuts);
/* Of a task that was killed: nobody will end it. */
void cut_links_forget(struct cut_links *cuts);
uint64_t cut_links_draw(struct cut_links *cuts, uint64_t below);

#endif
