/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_AUDIT_H
#define MU_PS_AUDIT_H

#include "ps/audit_record.h"
#include "ps/table/table.h"
#include "runtime/base/log.h"
#include "runtime/base/net.h"

/*
 * The log of one server: what made which version, so that a replay comes to the same bits. The
 * server appends records to a buffer in memory; a thread writes full buffers to the file while the
 * server goes on:
 *
 *   server ---- add ----> | filling |   <- swapped ->   | writing | ---- thread ----> file
 *
 * Each buffer holds one record of a whole span, or 4 MiB of small ones. A server that is faster
 * than the disk waits for it (ready): the log has no holes. What cannot be written, as on a full
 * disk, is said, and is the status of the log from then on.
 *
 * All but the thread's own work is on the thread of the loop.
 */
struct mu_audit;

struct mu_audit_options {
    struct mu_world *world;
    struct mu_loop *loop; /* woken when there is room again */
    struct mu_log *log;
    const char *path;    /* of the file; one that is there is kept as PATH.1, PATH.2, ... */
    const char *text;    /* payload of the header, copied */
    size_t record_bytes; /* the longest payload of a record: the span, and rows of a batch */
    size_t row_stride;   /* floats of a row with its slots; 0: there is no embedding table */
};

/* CANNOT_CREATE (MU_E0604), NO_MEMORY (MU_E0801), UNAVAILABLE: no thread. */
enum mu_status mu_audit_open(const struct mu_audit_options *options, struct mu_audit **ret_audit);
/* Before begin, where there is an embedding table: its rows are part of the state, and must not
 * change before ready, either. It must be there until close. */
void mu_audit_begin_rows(struct mu_audit *audit, const struct mu_table *table);
/* The state that the server begins with: `vectors` (vector_count, count) are written as they are,
 * and must not change before ready. Once, first. */
void mu_audit_begin(struct mu_audit *audit, int64_t version, int64_t total,
    const float *const vectors[], int vector_count, size_t count);
/* Is there room for one more record? If not, the loop is woken when there is. */
bool mu_audit_ready(struct mu_audit *audit);
/* OK, or why nothing is written any more; it has been said. */
enum mu_status mu_audit_status(const struct mu_audit *audit);
/* Copies the record and its payload, of which the last `row_bytes` come from `rows`; its index is
 * given here. Only when ready. */
void mu_audit_add_rows(struct mu_audit *audit, const struct mu_audit_record *record,
    const void *payload, const void *rows, size_t row_bytes);
/* The process that was lost, as its END record will say: whatever a log of it says, this server
 * went on without it. */
void mu_audit_note_lost(struct mu_audit *audit, int process);
/* Writes what is there, ends the thread and closes the file; takes NULL. `parameters` (count): as
 * they are now, for the END record, without which a log counts as cut; NULL: none is written.
 * IO_ERROR (MU_E0605). */
enum mu_status mu_audit_close(
    struct mu_audit *audit, int64_t version, const float *parameters, size_t count);

#endif
