/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_REFUSAL_RIG_H
#define MU_TEST_REFUSAL_RIG_H

#include "ps/server.h"
#include "runtime/optim/optimizers.h"
#include "tests/io/link_pair.h"

/* A server whose other side sends frames by hand. Both ends are on one loop. */
static struct link_pair pair;
static struct mu_test_log log_of_test;

static inline struct mu_judgement refusal_rig_judge(
    const void *options, const struct mu_push_facts *push)
{
    (void)options;
    (void)push;
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

/* All but the learning rate; one replica, one push under way. */
static inline struct mu_ps_server_options refusal_rig_options(
    int order, int server_count, size_t element_count)
{
    static const struct mu_policy_ops policy = {.name = "async", .judge = refusal_rig_judge};
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
    };
}

static inline int refusal_rig_begin(void **state)
{
    (void)state;
    link_pair_begin(&pair);
    return 0;
}

static inline int refusal_rig_end(void **state)
{
    (void)state;
    link_pair_end(&pair);
    return 0;
}

#endif
