/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_HAND_RIG_H
#define MU_TEST_HAND_RIG_H

#include "ps/client.h"
#include "ps/server/server.h"
#include "runtime/optim/optimizers.h"
#include "tests/io/link_pair.h"

/* A server whose other side sends frames by hand. Both ends are on one loop. */
static struct link_pair pair;
static struct mu_test_log log_of_test;
static double rate_of_test; /* -1: a gradient is added */

static inline struct mu_judgement hand_rig_judge(
    const void *options, const struct mu_push_facts *push)
{
    (void)options;
    (void)push;
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static inline double hand_rig_rate(void *owner, int64_t version)
{
    (void)owner;
    (void)version;
    return rate_of_test;
}

/* Gradients are applied as they come; one replica, one push under way. The log begins anew. */
static inline struct mu_ps_server_options hand_rig_options(
    int order, int server_count, size_t element_count, double rate)
{
    static const struct mu_policy_ops policy = {.name = "async", .judge = hand_rig_judge};
    rate_of_test = rate;
    return (struct mu_ps_server_options){
        .loop = pair.loop,
        .log = mu_test_log_init(&log_of_test),
        .order = order,
        .server_count = server_count,
        .replica_count = 1,
        .in_flight_max = 1,
        .generation = 7,
        .element_count = element_count,
        .optimizer = mu_optimizer_find("sgd"),
        .policy = &policy,
        .learning_rate = hand_rig_rate,
    };
}

static inline struct mu_ps_server *hand_rig_server(const struct mu_ps_server_options *options)
{
    struct mu_ps_server *server;
    assert_ok(mu_ps_server_create(options, &server));
    return server;
}

/* The client of one server, with one push under way. */
static inline struct mu_ps_client_options hand_rig_client_options(
    struct mu_loop *loop, struct mu_log *log, size_t element_count)
{
    return (struct mu_ps_client_options){.loop = loop,
        .log = log,
        .server_count = 1,
        .in_flight = 1,
        .generation = 7,
        .element_count = element_count};
}

/* Of links whose end nobody asks for. */
static inline void hand_rig_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)owner;
    (void)link;
    (void)why;
    (void)error;
}

/* A link of which one end is played by hand; returns the other one. */
static inline struct mu_link *hand_rig_link(
    struct mu_link **ret_hand, const struct mu_link_events *events, void *owner)
{
    struct mu_link *other;
    link_pair_connect(&pair, ret_hand, &other);
    mu_link_adopt(*ret_hand, events, owner);
    return other;
}

/* The same, and what comes is taken from now on. */
static inline struct mu_link *hand_rig_resumed_link(
    struct mu_link **ret_hand, const struct mu_link_events *events, void *owner)
{
    struct mu_link *other = hand_rig_link(ret_hand, events, owner);
    mu_link_resume(*ret_hand);
    return other;
}

static inline int hand_rig_begin(void **state)
{
    (void)state;
    link_pair_begin(&pair);
    return 0;
}

static inline int hand_rig_end(void **state)
{
    (void)state;
    link_pair_end(&pair);
    return 0;
}

#endif
