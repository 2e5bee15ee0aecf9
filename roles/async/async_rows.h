/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_ASYNC_ROWS_H
#define MU_ROLES_ASYNC_ROWS_H

#include "data/prefetch.h"
#include "ps/client.h"
#include "roles/job/job.h"

/*
 * The embedding rows of a replica whose table is on parameter servers. They come with the answers
 * to its pushes, so that a step costs no more round trips than it has without: the push of batch k
 * gives the gradients of that batch's rows and wants the rows of batch k + in_flight, which is the
 * first to be computed with what its answer brings. So the batches up to that one are held:
 *
 *   held   | k: computed, pushed | k + 1 | ... | k + in_flight: its rows are wanted |
 *
 * Rows that did not come that way (of the first batches, after a batch that was not pushed, after a
 * gradient that was refused) are looked up just before they are needed.
 *
 * On the training thread. For models without a table it only hands on the batches.
 */
struct mu_replica;

/* The set of what is given must stay until its push has begun, on the communication thread. When
 * batch k is computed, the push of batch k - in_flight has been answered: so 2 * in_flight places
 * do for what is held and what may still wait for its push, and one more for what is prepared. Its
 * values and gradients lie in the memory of its slot, where the servers of this host see them: the
 * slot is free from when the values have come until the gradients are pushed. */
struct mu_held_batch {
    struct mu_prefetch_batch batch; /* with its rows */
    struct mu_row_set set;
    uint32_t *of_entry; /* (entry_max) */
    bool there;         /* the rows have come */
};

struct mu_async_rows {
    struct mu_replica *replica;
    size_t width; /* 0: the model has no table */
    size_t entry_max;
    struct mu_row_split split;
    int in_flight, held_max;
    struct mu_held_batch *held; /* (held_max): batch n in n % held_max */
    int64_t first, end;         /* the batches that are held */
    /* (in_flight): the client's, of each slot, which the vectors keep when the client has gone. */
    struct mu_ps_client_row_memory *memory;
    struct mu_unique unique;
};

/* CONFIG (the model does not fit the data), NO_MEMORY. */
enum mu_status mu_async_rows_open(struct mu_async_rows *rows, struct mu_replica *replica);
void mu_async_rows_close(struct mu_async_rows *rows); /* takes a zeroed one */
/* Batches that are held besides the one that is worked on: read ahead so much further. */
int mu_async_rows_ahead(const struct mu_async_rows *rows);

/* Notes where the slots' memory is, on the communication thread, whenever a client has begun to
 * share: the training thread may not ask the client, which a push that fails destroys there at any
 * time.
 */
void mu_async_rows_share(struct mu_async_rows *rows);
/* Nothing is held any more: what comes next is the first batch of all. */
void mu_async_rows_drop(struct mu_async_rows *rows);

/* What has come cannot be trusted: it is looked up again. */
void mu_async_rows_forget(struct mu_async_rows *rows);

/* The next batch with its rows. `slot` of the client is free. Fails like reading, or like a pull.
 */
enum mu_status mu_async_rows_next(
    struct mu_async_rows *rows, int slot, const struct mu_prefetch_batch **ret_batch);
/* The rows that go with the push of this batch in `slot`; `wants`: the batch in_flight later will
 * be trained on. Without a table: none. */
enum mu_status mu_async_rows_of_push(
    struct mu_async_rows *rows, int slot, bool wants, struct mu_ps_client_rows *ret_rows);
/* While pushes are under way: which rows the next push wants. */
enum mu_status mu_async_rows_prepare(struct mu_async_rows *rows);
/* The push of `batch` has been answered, and brought what it wanted. */
void mu_async_rows_came(struct mu_async_rows *rows, int64_t batch);
/* The batch is worked. */
void mu_async_rows_done(struct mu_async_rows *rows);
/* Squares of this batch's gradients, for clipping. */
double mu_async_rows_square_sum(const struct mu_async_rows *rows);

/* Rows of a batch of an evaluation, once training has ended. Fits struct mu_row_source. */
enum mu_status mu_async_rows_look(void *rows, struct mu_batch *batch);

#endif
