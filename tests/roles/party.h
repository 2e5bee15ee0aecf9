/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_PARTY_H
#define MU_TEST_PARTY_H

#include "loopback.h"
#include "test.h"

#include "roles/library/ps_handle.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* muster/ps.h as its users have it: servers and workers, here threads of one process on loopback;
 * by the transport MUSTER_PARTY_TRANSPORT, if that is set and the party says nothing of it. */
#define COUNT ((size_t)1000)
#define SERVERS 2
#define WORKERS 3
#define PUSHES 40

struct party;

struct actor {
    struct party *party;
    int index;
    pthread_t thread;
    enum mu_status status;
    char error[512];
    float vector[COUNT];
    int64_t version;
    /* Of a server: the rows that it ended with. */
    uint64_t row_id[8];
    float row[8][2];
    int row_count;
};

/* One set of servers and workers. */
struct party {
    struct mu_ps_options options;
    bool only_servers_know_ids;
    /* Somebody who has been told something else; NULL: nobody. */
    const struct actor *odd;
    struct mu_ps_options odd_options;
    int server_count;
    int held[SERVERS]; /* their ports */
    enum mu_status (*work)(struct actor *actor, struct mu_ps *ps);
    char text[SERVERS][32];
    const char *addresses[SERVERS];
    struct actor servers[SERVERS], workers[WORKERS];
};

/* Nobody else is given these ports, and the servers can listen there: who is bound beside them says
 * only afterwards that he shares. */
static inline void party_find_ports(struct party *party)
{
    for (int i = 0; i < party->server_count; i++) {
        struct mu_address address;
        party->held[i] = loopback_bind(&address);
        assert_true(party->held[i] >= 0);
        assert_int_equal(
            setsockopt(party->held[i], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
        snprintf(party->text[i], sizeof(party->text[i]), "127.0.0.1:%d", address.port);
        party->addresses[i] = party->text[i];
    }
}

static inline struct mu_ps_options party_options_of(const struct actor *actor)
{
    const struct party *party = actor->party;
    struct mu_ps_options options = actor == party->odd ? party->odd_options : party->options;
    options.servers = party->addresses;
    options.server_count = party->server_count;
    options.worker_count = party->options.worker_count;
    options.timeout_seconds = party->options.timeout_seconds;
    options.index = actor->index;
    options.row_owner = (void *)(uintptr_t)actor;
    if (!options.transport)
        options.transport = getenv("MUSTER_PARTY_TRANSPORT");
    return options;
}

static inline void *party_serve(void *argument)
{
    struct actor *actor = argument;
    const struct mu_ps_options options = party_options_of(actor);
    for (size_t i = 0; i < COUNT; i++)
        actor->vector[i] = (float)i;
    actor->status = mu_ps_serve(&options, actor->vector);
    snprintf(actor->error, sizeof(actor->error), "%s", mu_ps_error(NULL));
    return NULL;
}

static inline void *party_work(void *argument)
{
    struct actor *actor = argument;
    struct mu_ps_options options = party_options_of(actor);
    struct mu_ps *ps = NULL;
    if (actor->party->only_servers_know_ids)
        options.row_ids = 0;
    actor->status = mu_ps_open(&options, &ps);
    if (actor->status == MU_OK)
        actor->status = actor->party->work(actor, ps);
    snprintf(actor->error, sizeof(actor->error), "%s", mu_ps_error(ps));
    mu_ps_close(ps);
    return NULL;
}

static inline void party_start(
    struct actor *actor, struct party *party, int index, void *(*run)(void *))
{
    actor->party = party;
    actor->index = index;
    assert_int_equal(pthread_create(&actor->thread, NULL, run, actor), 0);
}

static inline void party_prepare(struct party *party)
{
    party->server_count = party->server_count ? party->server_count : SERVERS;
    party->options.worker_count = party->options.worker_count ? party->options.worker_count : 1;
    party->options.count = party->options.count ? party->options.count : COUNT;
    party->options.timeout_seconds = 30;
    party_find_ports(party);
}

static inline void party_start_all(struct party *party)
{
    for (int i = 0; i < party->options.worker_count; i++)
        party_start(&party->workers[i], party, i, party_work);
    for (int i = 0; i < party->server_count; i++)
        party_start(&party->servers[i], party, i, party_serve);
}

static inline void party_join(struct party *party)
{
    for (int i = 0; i < party->options.worker_count; i++)
        pthread_join(party->workers[i].thread, NULL);
    for (int i = 0; i < party->server_count; i++)
        pthread_join(party->servers[i].thread, NULL);
    for (int i = 0; i < party->server_count; i++)
        close(party->held[i]);
}

static inline void party_run(struct party *party)
{
    party_prepare(party);
    party_start_all(party);
    party_join(party);
}

static inline void party_all_ended_well(const struct party *party)
{
    for (int i = 0; i < party->options.worker_count; i++)
        if (party->workers[i].status != MU_OK)
            fail_msg("worker %d: %s", i, party->workers[i].error);
    for (int i = 0; i < party->server_count; i++)
        if (party->servers[i].status != MU_OK)
            fail_msg("server %d: %s", i, party->servers[i].error);
}

/* PUSHES gradients, one at a time. */
static inline enum mu_status party_push_ones(struct actor *actor, struct mu_ps *ps)
{
    float gradients[COUNT];
    struct mu_ps_result result;
    for (size_t i = 0; i < COUNT; i++)
        gradients[i] = 1;
    MU_TRY(mu_ps_pull(ps, actor->vector, &actor->version));
    for (int k = 0; k < PUSHES; k++) {
        MU_TRY(mu_ps_push_pull(ps, gradients, actor->version, actor->vector, &result));
        actor->version = result.version;
    }
    return MU_OK;
}

/* ---- rows ---- */

static inline void party_begin_row(void *row_owner, uint64_t id, float *ret_row)
{
    ret_row[0] = (float)(id % 1000);
    ret_row[1] = -1;
}

static inline void party_end_row(void *row_owner, uint64_t id, const float *row)
{
    struct actor *server = row_owner;
    server->row_id[server->row_count] = id;
    memcpy(server->row[server->row_count++], row, sizeof(server->row[0]));
}

static const struct mu_ps_options party_row_options = {.worker_count = 1,
    .row_width = 2,
    .row_max = 5,
    .optimizer_options = "learning_rate=0.5",
    .row_begin = party_begin_row,
    .row_end = party_end_row};

#endif
