/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_AUDIT_READ_H
#define MU_PS_AUDIT_READ_H

#include "ps/audit_record.h"
#include "runtime/base/log.h"

/* What a replay has found whole so far, for what it offers when it finds a flaw. */
struct mu_audit_whole {
    const char *directory; /* as it was named; borrowed */
    bool any;
    int64_t first, last; /* versions */
};

/* Reads the log of one server, record by record, and trusts none of it: what does not fit is
 * BAD_DATA (MU_E0608), and the message has the file, the offset and what is wrong there. */
struct mu_audit_reader {
    struct mu_log *log;
    const struct mu_audit_whole *whole; /* borrowed; NULL: nobody replays it */
    char path[4096];
    int fd;
    uint64_t bytes; /* of the file */
    uint64_t at;    /* of the record at hand */
    uint64_t next;  /* of the one after it */
    uint64_t index; /* of the next record */
    uint8_t head[104];
};

/* NO_INPUT (MU_E0002): there is no such file, or it cannot be read. */
enum mu_status mu_audit_reader_open(
    struct mu_audit_reader *reader, struct mu_log *log, const char *path);
void mu_audit_reader_close(struct mu_audit_reader *reader); /* takes a zeroed one that was closed */

/* The head of the next record. BAD_DATA: it is damaged, or the file ends without an END record. */
enum mu_status mu_audit_reader_next(
    struct mu_audit_reader *reader, struct mu_audit_record *ret_record);
/* The payload of the record at hand, all `bytes` of it: BAD_DATA if it has another length or is
 * damaged. IO_ERROR (MU_E0605). */
enum mu_status mu_audit_reader_payload(struct mu_audit_reader *reader, void *out, size_t bytes);
static inline size_t mu_audit_reader_bytes(const struct mu_audit_reader *reader)
{
    return (size_t)(reader->next - reader->at - MU_AUDIT_HEAD_BYTES);
}
/* Bytes from anywhere in the file, which prove nothing. IO_ERROR (MU_E0605). */
enum mu_status mu_audit_reader_part(
    struct mu_audit_reader *reader, uint64_t offset, void *out, size_t bytes);
/* What is wrong with the record at hand. BAD_DATA. */
__attribute__((format(printf, 2, 3))) enum mu_status mu_audit_reader_fail(
    struct mu_audit_reader *reader, const char *format, ...);

#endif
