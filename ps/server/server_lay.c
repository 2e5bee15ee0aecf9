/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include <assert.h>

/*
 * What a server has from its start on, and every step may need: its pages are there before the
 * first one. That takes long where it is much, and who is silent for long is taken for dead, so it
 * goes piece by piece and the loop turns in between.
 */
#define LAID_BYTES ((size_t)4 << 20) /* between two turns of the loop */
#define LAID_ROWS ((size_t)1 << 16)

static void lay_vector(struct mu_ps_server *server, struct mu_arena *vector)
{
    while (!mu_arena_touch(vector, LAID_BYTES))
        mu_loop_poll(server->options.loop);
}

/* The vectors of the buffers are left out: how many of them will be in use at once, nobody knows.
 */
static void lay_vectors(struct mu_ps_server *server)
{
    for (int i = 0; i < server->shard.vector_count; i++) {
        lay_vector(server, &server->shard.vectors[i]);
        lay_vector(server, &server->state.stream.copies[i]);
    }
    lay_vector(server, &server->shard.gather);
    lay_vector(server, &server->seen.memory);
    lay_vector(server, &server->seen.mean_square);
    lay_vector(server, &server->rows.seen.memory);
}

static enum mu_status lay_rows(struct mu_ps_server *server)
{
    struct mu_table *table = server->rows.store.table;
    bool all = !table;
    while (!all) {
        if (mu_table_lay(table, LAID_ROWS, &all) != MU_OK)
            return mu_fail(server->options.log, MU_E0801, "add parameter servers",
                "ps/%d has no memory for more dense embedding rows than its %llu",
                mu_ps_process(server), (unsigned long long)mu_table_count(table).rows);
        if (!all)
            mu_loop_poll(server->options.loop);
    }
    return MU_OK;
}

enum mu_status mu_ps_server_lay(struct mu_ps_server *server)
{
    assert(!server->begun);
    assert(!server->leader.link);
    lay_vectors(server);
    return lay_rows(server);
}
