/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_BENCH_ROWS_H
#define MU_CLI_BENCH_ROWS_H

#include "ps/client.h"

/*
 * The embedding rows that a worker of `muster bench ps --rows` pushes and pulls. As in training:
 *
 *   push k     brings the gradients of the rows of batch k, and the ids of batch k + in_flight
 *   answer k   brings the rows of batch k + in_flight, as they are after push k
 *
 * Ids are drawn uniformly; each worker has ids of its own (id mod workers), for then it knows what
 * every row must be at every place in the order: its gradient, as often as this worker has pushed
 * it. So no value is pulled that is not compared.
 */
struct mu_bench_rows_options {
    struct mu_ps_client *client;
    int worker, worker_count, server_count;
    int in_flight_max;
    size_t row_count; /* of all workers */
    size_t width, batch;
};

struct mu_bench_rows;

enum mu_status mu_bench_rows_create(
    const struct mu_bench_rows_options *options, struct mu_bench_rows **ret_rows); /* NO_MEMORY */
void mu_bench_rows_destroy(struct mu_bench_rows *rows);                            /* takes NULL */

/* Pushes that touch each row of one worker once: the same number for every worker. */
static inline int mu_bench_rows_fill_count(int64_t rows, int64_t workers, int64_t batch)
{
    return (int)((rows / workers + batch - 1) / batch);
}
/* Puts the rows of fill push `index` aside for the next push of `slot`. */
void mu_bench_rows_put_fill(struct mu_bench_rows *rows, int slot, int index);

/* So many pushes are under way from now on; none is at the moment. */
void mu_bench_rows_set_in_flight(struct mu_bench_rows *rows, int in_flight);
/* Puts the rows of the next push aside for `slot`. */
void mu_bench_rows_put(struct mu_bench_rows *rows, int slot);
/* What the oldest push has brought. BROKEN: a value is not what it must be; says so in `why`. */
enum mu_status mu_bench_rows_verify(struct mu_bench_rows *rows, char *why, size_t why_bytes);
/* Pulls the rows of fill push `index`, and compares them. Fails like the client, and BROKEN. */
enum mu_status mu_bench_rows_check(
    struct mu_bench_rows *rows, int index, int64_t deadline_ns, char *why, size_t why_bytes);

#endif
