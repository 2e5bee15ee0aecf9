/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_REQUEST_H
#define MU_COLLECTIVES_REQUEST_H

#include "muster/collectives.h"
#include "muster/tensor.h"
#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* What one rank asks of its group: one call of include/muster/collectives.h. */
enum mu_request_kind {
    MU_ALLREDUCE,
    MU_REDUCE_SCATTER,
    MU_ALLGATHER,
    MU_BROADCAST,
    MU_ALLTOALL,
    MU_BARRIER,
    MU_REQUEST_KIND_COUNT
};

static inline bool mu_request_reduces(enum mu_request_kind kind)
{
    return kind == MU_ALLREDUCE || kind == MU_REDUCE_SCATTER;
}

struct mu_request {
    enum mu_request_kind kind;
    enum mu_dtype dtype;
    enum mu_dtype wire; /* what travels: dtype; or, all-reduce by sum of float32, a half type */
    enum mu_reduction reduction; /* SUM, MIN, MAX: a mean is a sum that the group divides */
    void *data;                  /* in place; all-to-all: to */
    const void *from;            /* all-to-all only */
    /* Of elements of `data`; all-to-all: of one part; barrier: of bytes that each rank is about to
     * take, only to be compared. */
    size_t count;
    const size_t *counts; /* (ranks) reduce-scatter, all-gather: of each part; otherwise NULL */
    int root;
};

/* Sequences that a group uses while it is made, before the first operation of its user, which is
 * number 1: sequences go around. */
#define MU_OPENING_OPERATIONS ((uint32_t)1 << 16)
#define MU_OPENING_SEQUENCE (UINT32_MAX - MU_OPENING_OPERATIONS) /* before the first of them */

/*
 * What is said to the others about a request, to be compared before any of their bytes are used.
 * Fixed size, no padding, little-endian as it lies. Two ranks agree if all of it is equal.
 */
struct mu_signature {
    uint32_t group;    /* which group; 0: the whole */
    uint32_t sequence; /* of the group's operations */
    uint8_t kind, dtype, wire, reduction;
    uint8_t algorithm; /* place in mu_algorithms */
    uint8_t reserved[3];
    int32_t root;
    uint32_t counts_crc; /* of `counts`, 0 without */
    uint64_t count;
};
static_assert(sizeof(struct mu_signature) == 32, "no padding");

size_t mu_dtype_bytes(enum mu_dtype dtype);
const char *mu_dtype_name(enum mu_dtype dtype);              /* "float32" */
const char *mu_reduction_name(enum mu_reduction reduction);  /* "sum" */
const char *mu_request_kind_name(enum mu_request_kind kind); /* "all-reduce" */
/* "all-reduce 813 of 4096 float32, sum, by ring". What another process sent may be described. */
#define MU_SIGNATURE_TEXT_MAX 128
void mu_signature_describe(const struct mu_signature *signature, char *out, size_t bytes);
/* "all-reduce 813"; "opening barrier 2". */
void mu_signature_name(const struct mu_signature *signature, char *out, size_t bytes);
static inline bool mu_signature_equal(const struct mu_signature *a, const struct mu_signature *b)
{
    return !memcmp(a, b, sizeof(*a));
}

/* Part `rank` of a request: of `counts`, or of equal parts that differ by at most one element
 * (mu_ring_chunk) where there are none. */
struct mu_span mu_request_part(const struct mu_request *request, int ranks, int rank);

/* Does what every rank gets depend on what each of the others gives? Then who has it has heard, at
 * first or second hand, that all do the same. It does not where a rank may only send: in a
 * broadcast, and where parts are empty. */
bool mu_request_hears_all(const struct mu_request *request, int ranks);

#endif
