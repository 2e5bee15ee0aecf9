/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WORLDS_ENDS_H
#define MU_WORLDS_ENDS_H

#include "runtime/base/net.h"

/*
 * What the cases of worlds_conformance.c share. A case sees nothing but the seam: a world, and an
 * address of this host where nobody listens. It returns NULL or what was wrong, for in the
 * simulated world it runs on a fiber, from which cmocka must not jump.
 */
typedef const char *world_case(struct mu_world *world, const struct mu_address *free_address);

#define TEXT_OF(token) #token
#define LINE_TEXT(line) TEXT_OF(line)
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __FILE__ ":" LINE_TEXT(__LINE__) ": " #condition;                               \
    } while (0)

#define PATIENCE (30 * MU_SECOND)

static inline int64_t soon(struct mu_world *world, int64_t ns)
{
    return mu_deadline(mu_now(world), ns);
}

/* One end of a connection, and what it was told. */
#define ROOM_BYTES (32 * 1024)
#define WRITES_MAX 32

struct end {
    struct mu_loop *loop;
    struct mu_stream *stream;
    uint8_t *into;       /* NULL: what comes is dropped */
    size_t got, hold_at; /* bytes; no room is given at hold_at */
    bool hold, called_back, held;
    bool close_when_connected, close_when_got, close_when_ended;
    bool connected, ended, drained; /* drained: no write is under way */
    enum mu_status status;
    int error, ended_count, late_calls;
    size_t wanted; /* `enough` is set when so many bytes have come */
    bool enough;
    uint8_t scratch[ROOM_BYTES];

    struct mu_write writes[WRITES_MAX];
    int started, done, done_ok, done_closed, out_of_order, under_way_at_end;
};

extern const struct mu_stream_events mu_ends_events;

/* Two ends on one loop. */
struct pair {
    struct mu_loop *loop;
    struct mu_listener *listener;
    struct end client, server;
    int accepted_count;
    bool accepted, refuse, close_listener;
};

void mu_ends_shut(struct end *end);
/* One of up to WRITES_MAX writes. */
void mu_ends_send_parts(struct end *end, const struct mu_part *parts, int part_count);
void mu_ends_send_bytes(struct end *end, const void *at, size_t bytes);
/* `enough` will be set when `bytes` more have come. */
void mu_ends_expect(struct end *end, size_t bytes);

/* A listener's callback; its owner is a struct pair. */
void mu_ends_on_accepted(void *owner, struct mu_stream *stream);
enum mu_status mu_ends_wait_flag(struct mu_loop *loop, const bool *flag);
/* These return what was wrong. pair_open is pair_listen, pair_connect, and both ends there. */
const char *mu_ends_pair_listen(
    struct mu_world *world, const struct mu_address *address, struct pair *pair);
const char *mu_ends_pair_connect(const struct mu_address *address, struct pair *pair);
const char *mu_ends_pair_open(
    struct mu_world *world, const struct mu_address *address, struct pair *pair);
const char *mu_ends_pair_close(struct pair *pair);

#define OPEN(pair)                                                                                 \
    do {                                                                                           \
        const char *open_wrong = mu_ends_pair_open(world, free_address, pair);                     \
        if (open_wrong)                                                                            \
            return open_wrong;                                                                     \
    } while (0)

/* Turns for a while although nothing is expected. */
void mu_ends_turn_for(struct mu_loop *loop, int64_t ns);
/* Bytes on the heap in which every place is different from its neighbours. */
uint8_t *mu_ends_pattern(size_t bytes);

#endif
