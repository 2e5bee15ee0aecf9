/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_LINK_PAIR_H
#define MU_TEST_LINK_PAIR_H

#include "loopback.h"
#include "runtime/io/link.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <arpa/inet.h>
#include <unistd.h>

/* Both ends of links over loopback, on one loop and one thread. */
#define LINK_PAIR_TIME (20 * MU_SECOND)

struct link_pair {
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_listener *listener;
    struct mu_address address;
    struct mu_stream *accepted;
    bool connected, is_accepted;
};

static void link_pair_accepted(void *owner, struct mu_stream *stream);

/* Ports, or unix names, are tried until one can be listened at. */
static inline void link_pair_begin_at(struct link_pair *pair, const char *host)
{
    memset(pair, 0, sizeof(*pair));
    assert_ok(mu_real_world_init(&pair->real));
    assert_ok(pair->real.world.ops->loop_create(&pair->real.world, &pair->loop));
    enum mu_status status = MU_UNAVAILABLE;
    for (int i = 0; status != MU_OK && i < 100; i++) {
        int error;
        pair->address.port = 20000 + (getpid() * 7 + i * 131) % 12000;
        if (strncmp(host, "unix:", 5) == 0)
            snprintf(pair->address.host, MU_HOST_MAX, "%s-%d-%d", host, getpid(), i);
        else
            snprintf(pair->address.host, MU_HOST_MAX, "%s", host);
        status = pair->loop->ops->listen(
            pair->loop, &pair->address, -1, link_pair_accepted, pair, &pair->listener, &error);
    }
    assert_ok(status);
}

static inline void link_pair_begin(struct link_pair *pair)
{
    link_pair_begin_at(pair, "127.0.0.1");
}

static inline void link_pair_end(struct link_pair *pair)
{
    pair->loop->ops->listener_close(pair->listener);
    pair->loop->ops->destroy(pair->loop);
    mu_real_world_finish(&pair->real);
}

static void link_pair_accepted(void *owner, struct mu_stream *stream)
{
    struct link_pair *pair = owner;
    pair->accepted = stream;
    pair->is_accepted = true;
}

/* From now on an accepted end keeps at most this much that nobody reads; 0: what the system likes.
 */
static inline void link_pair_listen(struct link_pair *pair, int unread_bytes_max)
{
    int door = loopback_bind(&pair->address), error;
    assert_true(door >= 0);
    if (unread_bytes_max)
        assert_int_equal(
            setsockopt(door, SOL_SOCKET, SO_RCVBUF, &unread_bytes_max, sizeof(unread_bytes_max)),
            0);
    pair->loop->ops->listener_close(pair->listener);
    assert_ok(pair->loop->ops->listen(
        pair->loop, &pair->address, door, link_pair_accepted, pair, &pair->listener, &error));
}

static inline void link_pair_until(struct link_pair *pair, const bool *flag)
{
    assert_ok(
        mu_loop_until(pair->loop, flag, mu_deadline(mu_now(pair->loop->world), LINK_PAIR_TIME)));
}

/* A stream to the listener that nobody owns yet, as accepted. */
static inline struct mu_stream *link_pair_stream(struct link_pair *pair)
{
    link_pair_until(pair, &pair->is_accepted);
    pair->is_accepted = false;
    return pair->accepted;
}

static void link_pair_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    (void)link;
    (void)error;
    struct link_pair *pair = owner;
    pair->connected = status == MU_OK;
}

/* Two ends; frames are held until they are adopted. */
static inline void link_pair_connect(
    struct link_pair *pair, struct mu_link **ret_near, struct mu_link **ret_far)
{
    static const struct mu_link_events events = {
        .frame = mu_link_hold, .connected = link_pair_connected};
    pair->connected = false;
    assert_ok(mu_link_connect(pair->loop, &pair->address, &events, pair, ret_near));
    link_pair_until(pair, &pair->connected);
    assert_ok(mu_link_accept(pair->loop, link_pair_stream(pair), &events, pair, ret_far));
}

#endif
