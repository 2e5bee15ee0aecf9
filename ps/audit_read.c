/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/audit_read.h"
#include "runtime/base/shell.h"
#include "runtime/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(sizeof(((struct mu_audit_reader *)NULL)->head) == MU_AUDIT_HEAD_BYTES,
    "a reader has room for one head");

/* A log that is damaged somewhere proves what came before. NULL: nobody asks. */
static const char *how_far(const struct mu_audit_whole *whole, char *out, size_t bytes)
{
    char word[MU_SHELL_WORD_BYTES];
    if (!whole)
        return NULL;
    if (!whole->any) {
        mu_text_copy(out, bytes, "no version is whole in these logs: there is nothing to replay");
        return out;
    }
    mu_format(out, bytes,
        "the log is whole for versions %lld to %lld: `muster audit replay --to %lld %s` makes the "
        "parameters of the last of them",
        (long long)whole->first, (long long)whole->last, (long long)whole->last,
        mu_shell_word(word, whole->directory));
    return out;
}

enum mu_status mu_audit_reader_fail(struct mu_audit_reader *reader, const char *format, ...)
{
    char what[256], help[MU_SHELL_WORD_BYTES + 256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    return mu_fail(reader->log, MU_E0608, how_far(reader->whole, help, sizeof(help)),
        "%s: at byte %llu: %s", reader->path, (unsigned long long)reader->at, what);
}

enum mu_status mu_audit_reader_open(
    struct mu_audit_reader *reader, struct mu_log *log, const char *path)
{
    struct stat stat_;
    *reader = (struct mu_audit_reader){.log = log, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    mu_text_copy(reader->path, sizeof(reader->path), path);
    if (reader->fd >= 0 && fstat(reader->fd, &stat_) == 0 && S_ISREG(stat_.st_mode)) {
        reader->bytes = (uint64_t)stat_.st_size;
        return MU_OK;
    }
    int error = reader->fd >= 0 ? EISDIR : errno;
    mu_audit_reader_close(reader);
    return mu_fail(log, MU_E0002, "a run writes it with --set mode.audit=true",
        "cannot read %s: %s", path, strerror(error));
}

void mu_audit_reader_close(struct mu_audit_reader *reader)
{
    if (reader->log && reader->fd >= 0)
        (void)close(reader->fd);
    *reader = (struct mu_audit_reader){.fd = -1};
}

enum mu_status mu_audit_reader_part(
    struct mu_audit_reader *reader, uint64_t offset, void *out, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got =
            pread(reader->fd, (char *)out + done, bytes - done, (off_t)(offset + (uint64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return mu_fail(reader->log, MU_E0605, NULL, "cannot read %s: %s", reader->path,
                got < 0 ? strerror(errno) : "it became shorter");
        done += (size_t)got;
    }
    return MU_OK;
}

enum mu_status mu_audit_reader_next(
    struct mu_audit_reader *reader, struct mu_audit_record *ret_record)
{
    reader->at = reader->next;
    uint64_t left = reader->bytes - reader->at;
    if (left == 0)
        return mu_audit_reader_fail(reader,
            "the log is cut: it has %llu records and no end record, so the server did not end in "
            "order",
            (unsigned long long)reader->index);
    if (left < MU_AUDIT_HEAD_BYTES)
        return mu_audit_reader_fail(reader, "record %llu is cut: %llu bytes of its head are there",
            (unsigned long long)reader->index, (unsigned long long)left);
    MU_TRY(mu_audit_reader_part(reader, reader->at, reader->head, MU_AUDIT_HEAD_BYTES));
    const char *wrong = mu_audit_record_read(reader->head, ret_record);
    if (wrong)
        return mu_audit_reader_fail(
            reader, "record %llu: %s", (unsigned long long)reader->index, wrong);
    left -= MU_AUDIT_HEAD_BYTES;
    if (ret_record->payload_bytes > left)
        return mu_audit_reader_fail(reader, "record %llu is cut: %llu of its %llu bytes are there",
            (unsigned long long)reader->index, (unsigned long long)left,
            (unsigned long long)ret_record->payload_bytes);
    if (ret_record->index != reader->index)
        return mu_audit_reader_fail(reader, "this is record %llu, and %llu is the next",
            (unsigned long long)ret_record->index, (unsigned long long)reader->index);
    reader->index++;
    reader->next = reader->at + MU_AUDIT_HEAD_BYTES + ret_record->payload_bytes;
    return MU_OK;
}

enum mu_status mu_audit_reader_payload(struct mu_audit_reader *reader, void *out, size_t bytes)
{
    uint64_t there = reader->next - reader->at - MU_AUDIT_HEAD_BYTES;
    if (there != bytes)
        return mu_audit_reader_fail(
            reader, "the record has %llu bytes where %zu belong", (unsigned long long)there, bytes);
    MU_TRY(mu_audit_reader_part(reader, reader->at + MU_AUDIT_HEAD_BYTES, out, bytes));
    if (!mu_audit_record_fits(reader->head, out, bytes))
        return mu_audit_reader_fail(reader, "the checksum of the record's payload does not match");
    return MU_OK;
}
