/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_ROWS_H
#define MU_ROLES_AUDIT_ROWS_H

#include "ps/audit_read.h"
#include "ps/ps_plan.h"
#include "ps/table/row_store.h"
#include "roles/audit/audit_header.h"
#include "roles/audit/audit_seen_rows.h"

/* The embedding rows of one server in a replay: those it began with, and what its records make of
 * them, by the same code. For a model without a table all of it does nothing. */
struct mu_audit_rows {
    struct mu_row_store store;
    struct mu_unique unique;
    struct mu_audit_seen_rows seen;
    uint8_t *given; /* of the record at hand: ids, gradients */
    size_t given_count, given_bytes_max;
    bool corrects;         /* the record at hand: each server says this of its own rows */
    const float **seen_of; /* (push_max): of the given, where they were corrected */
    int order;
    struct mu_row_split split;
};

/* NO_MEMORY (MU_E0801); what the model says of data that it does not fit. */
enum mu_status mu_audit_rows_init(struct mu_audit_rows *rows, const struct mu_audit_header *header,
    const struct mu_ps_plan *modes, struct mu_log *log);
void mu_audit_rows_finish(struct mu_audit_rows *rows); /* takes a zeroed one */

/* The `count` rows that the log begins with. BAD_DATA. */
enum mu_status mu_audit_rows_restore(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, uint64_t count, int64_t version);
/* The end of a record's payload. BAD_DATA: it is not the rows of a gradient. */
enum mu_status mu_audit_rows_given(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, const void *payload, size_t bytes);
/* What they do; before the same of the shard, whose version and gathered gradients are said.
 * `phase`: in which the record was judged. NO_MEMORY; BAD_DATA: it says that rows were corrected
 * that cannot have been. */
enum mu_status mu_audit_rows_apply(struct mu_audit_rows *rows, struct mu_audit_reader *reader,
    const struct mu_audit_record *record, const struct mu_ps_phase *phase, int64_t version);
void mu_audit_rows_gather(struct mu_audit_rows *rows, const struct mu_audit_record *record);
enum mu_status mu_audit_rows_apply_gathered(struct mu_audit_rows *rows,
    const struct mu_audit_record *record, int64_t version, int gathered);

/* The rows are now those of this version: what later records need of them is copied. NO_MEMORY,
 * IO_ERROR. */
enum mu_status mu_audit_rows_keep(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, int64_t version);

#endif
