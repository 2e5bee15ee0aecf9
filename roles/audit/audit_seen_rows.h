/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_SEEN_ROWS_H
#define MU_ROLES_AUDIT_SEEN_ROWS_H

#include "ps/audit_read.h"
#include "ps/table/row_store.h"

/*
 * The embedding rows that corrected gradients were computed with, as audit_seen.h has the dense
 * parameters: when the replay is at the version that a later record was computed with, it looks
 * into that record for its ids and copies these rows as they are then. So it keeps the rows of
 * those gradients alone that were under way.
 */
struct mu_audit_seen_use {
    int64_t version; /* that the gradient was computed with */
    uint64_t at;     /* of its record */
    size_t payload_bytes;
    float *values; /* (rows of the record, width); NULL: not yet there, or spent */
};

struct mu_audit_seen_rows {
    struct mu_audit_seen_use *uses; /* (count), by version and place in the log */
    size_t count, capacity, next;   /* next: the first whose version is still to come */
    size_t span_bytes;              /* of a record, before its ids */
    float *spent;                   /* last taken: stays until the next call */
};

/* While the log is read ahead: a record whose rows were corrected. False: no memory. */
bool mu_audit_seen_rows_add(
    struct mu_audit_seen_rows *seen, const struct mu_audit_record *record, uint64_t at);
/* All have been added. */
void mu_audit_seen_rows_sort(struct mu_audit_seen_rows *seen);
void mu_audit_seen_rows_finish(struct mu_audit_seen_rows *seen); /* takes a zeroed one */
/* The rows are now those of this version: copies those that are needed. NO_MEMORY; IO_ERROR
 * (MU_E0605). */
enum mu_status mu_audit_seen_rows_keep(struct mu_audit_seen_rows *seen,
    struct mu_audit_reader *reader, struct mu_row_store *store, int64_t version);
/* Of the rows of the record at `at`, one after the other. NULL: they were never kept. */
const float *mu_audit_seen_rows_take(struct mu_audit_seen_rows *seen, int64_t version, uint64_t at);

#endif
