/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_AUDIT_RECORD_H
#define MU_PS_AUDIT_RECORD_H

#include "muster/policy.h"
#include <stddef.h>

/*
 * One record of an audit log: a head of fixed size, little-endian, and its payload. Documented in
 * docs/AUDIT.md.
 */
#define MU_AUDIT_FORMAT 2 /* 1: without choices and embedding rows */
#define MU_AUDIT_HEAD_BYTES 104

#define MU_AUDIT_KIND_ROWS(ROW)                                                                    \
    ROW(HEADER, "header")     /* what the log is of: text */                                       \
    ROW(STATE, "state")       /* a vector that the server began with: floats */                    \
    ROW(GRADIENT, "gradient") /* and what became of it: floats, if it counts */                    \
    ROW(LEAVE, "leave")       /* a worker sends no more gradients */                               \
    ROW(LOSS, "loss")         /* a worker is gone */                                               \
    ROW(END, "end")           /* nothing is missing: CRC-32C of the parameters, and of the rows */ \
    ROW(CHOICE, "choice")     /* of backups or a bound */                                          \
    ROW(ROWS, "rows")         /* of the embedding table that the server began with */

#define MU_AUDIT_KIND_ENUM(name, text) MU_AUDIT_##name,
enum mu_audit_kind { MU_AUDIT_KIND_ROWS(MU_AUDIT_KIND_ENUM) MU_AUDIT_KIND_COUNT };
#undef MU_AUDIT_KIND_ENUM
const char *mu_audit_kind_name(enum mu_audit_kind kind); /* "gradient" */

/* Of a gradient; of other records what is said below, and zeros. */
struct mu_audit_record {
    enum mu_audit_kind kind;
    enum mu_verdict verdict;
    int flaw;           /* enum mu_ps_flaw: why it was refused */
    bool has_seen;      /* the parameters it was computed with were still there */
    bool corrects_rows; /* CORRECT: of its rows on this server, too; else not of them */
    int worker;         /* LEAVE, LOSS too; END: the server that was lost, plus 1; 0: none */
    int average; /* > 0: the mean of so many gradients is a step with this record; LEAVE, LOSS too
                  */
    uint64_t index;         /* of the record in its log, from 0 */
    uint64_t payload_bytes; /* that follow */
    uint64_t sequence;      /* of the worker's pushes and pulls; STATE: number of the vector;
                               HEADER: rows of the embedding table that follow in ROWS */
    int64_t seen;           /* version it was computed with */
    int64_t version;        /* before it; HEADER: the first */
    int64_t staleness;
    int64_t clock; /* of the worker, after it; HEADER: updates that the run plans, 0: unknown;
                      CHOICE: what was chosen */
    double scale;  /* of the policy */
    double weight; /* that multiplied the gradient, the worker's clipping included */
    double learning_rate; /* of the step, if one was made */
};

void mu_audit_record_write(uint8_t out[MU_AUDIT_HEAD_BYTES], const struct mu_audit_record *record);
/* Of the payload, as a head that was written says. */
size_t mu_audit_record_bytes(const uint8_t head[MU_AUDIT_HEAD_BYTES]);
/* Puts in the checksums: of the payload, and of the head with it. */
void mu_audit_record_seal(uint8_t head[MU_AUDIT_HEAD_BYTES], const void *payload, size_t bytes);

/* What is wrong with a head, in words; NULL: nothing, and *ret_record is filled. */
const char *mu_audit_record_read(
    const uint8_t head[MU_AUDIT_HEAD_BYTES], struct mu_audit_record *ret_record);
bool mu_audit_record_fits(
    const uint8_t head[MU_AUDIT_HEAD_BYTES], const void *payload, size_t bytes);

#endif
