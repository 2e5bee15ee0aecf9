/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_RANKS_H
#define MU_TEST_RANKS_H

#include "collectives/group.h"

/* One operation by one algorithm, every rank a thread; they meet over the inproc transport. */
#define MU_TEST_RANKS_MAX 20

struct mu_test_operation {
    const struct mu_algorithm *algorithm;
    /* data and from are filled in; all-to-all: `count` of one part. */
    struct mu_request request;
    int ranks;
    bool deterministic;
    int rounds; /* 0: 1 */
    int64_t patience_ns;
    int leaver;     /* rank + 1 of one that closes instead of taking part */
    int sleeper;    /* rank + 1 of one that never comes */
    int mistaken;   /* rank + 1 of one with a vector that is one shorter */
    int host_ranks; /* on each host, for group->home and abroad; 0: nothing is said of hosts */
};

struct mu_test_rank {
    char *data, *from; /* data_bytes each, aligned; `from` for an all-to-all only */
    size_t data_bytes;
    enum mu_status status;
    int culprit;
    int early; /* times it was through while others had not come */
};

/* Makes group->home and abroad: neighbours are on one host, `host_ranks` on each, fewer on the
 * last; nothing where that is all of them. */
enum mu_status mu_test_make_hosts(struct mu_group *group, int host_ranks);

/* Elements of the whole vector on each rank. */
size_t mu_test_elements(const struct mu_test_operation *operation);
/* Value of an element of the input: whole numbers so small that 20 of them add up exactly in every
 * type. */
double mu_test_small(int rank, size_t i);
/* Any number; sums depend on the order. */
float mu_test_rough(int rank, size_t i);
void mu_test_store(enum mu_dtype dtype, void *data, size_t i, double value);
double mu_test_load(enum mu_dtype dtype, const void *data, size_t i);

/* Runs it; `value` fills `data` (`from` for an all-to-all). Free with mu_test_ranks_free. */
void mu_test_ranks_run(const struct mu_test_operation *operation,
    double (*value)(int rank, size_t i), struct mu_test_rank *ranks);
void mu_test_ranks_free(const struct mu_test_operation *operation, struct mu_test_rank *ranks);

/* Runs it on small numbers and fails the test unless every rank ends with what it should. */
void mu_test_operation_check(const struct mu_test_operation *operation);
/* The same for sums of float32 in the canonical order: bit by bit. */
void mu_test_canonical_check(const struct mu_test_operation *operation);
/* Fails the test if a rank comes through before all have come. */
void mu_test_barrier_check(const struct mu_test_operation *operation);

#endif
