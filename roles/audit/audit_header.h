/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_HEADER_H
#define MU_ROLES_AUDIT_HEADER_H

#include "ps/audit_read.h"
#include "ps/split.h"
#include "roles/job/job.h"

/* What the log of a parameter server is of: the text of its first record, one JSON object. With it
 * the log needs nothing else to be replayed. Documented in docs/AUDIT.md. */
struct mu_audit_header {
    int order, server_count, replica_count;
    bool standby;         /* written by the standby of this server */
    uint64_t run;         /* 0: of a version that did not say it */
    uint32_t generation;  /* of the run */
    size_t element_count; /* of the whole vector */
    uint32_t layout_crc32c;
    struct mu_dataset_facts facts; /* of the training data: the model's layout follows from them */
    struct mu_job *job;            /* of one that was read: the reader's to destroy */
};

void mu_audit_header_write(
    const struct mu_audit_header *header, const struct mu_job *job, struct mu_text *out);
/* The first record of a log, and what it says. BAD_DATA (MU_E0608), PROTOCOL (MU_E0606): of a newer
 * format; what is wrong with the job in it. */
enum mu_status mu_audit_header_next(struct mu_audit_reader *reader,
    struct mu_audit_record *ret_record, struct mu_audit_header *ret_header);

#endif
