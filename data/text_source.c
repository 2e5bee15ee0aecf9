/* SPDX-License-Identifier: Apache-2.0 */
#include "data/text_source.h"

#include "data/gz.h"
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES (256 << 10) /* unpacked at a time, to be kept or skipped */

struct mu_text_source {
    struct mu_gz *gz; /* of a plain file only for its descriptor; NULL: not begun again */
    int fd;           /* to read at any offset; -1: as a stream from `gz` */
    bool held;        /* `fd` is memory of this process */
    atomic_flag busy; /* the stream has one reader at a time */
    uint64_t at;      /* of the stream */
    uint64_t reached; /* by the stream, ever: its length once it was at the end */
    char *skipped;    /* (CHUNK_BYTES) */
    char name[];
};

static enum mu_status write_all(
    struct mu_log *log, const char *name, int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return mu_fail(log, MU_E0801, NULL, "no memory to unpack %s", name);
        data += written;
        bytes -= (size_t)written;
    }
    return MU_OK;
}

/* Unpacks all into a file in memory; *ret_fits is false when it is larger than held_max. */
static enum mu_status unpack(
    struct mu_text_source *source, struct mu_log *log, int fd, size_t held_max, bool *ret_fits)
{
    size_t held = 0, got;
    for (;;) {
        MU_TRY(mu_gz_read_some(source->gz, log, source->skipped, CHUNK_BYTES, &got));
        held += got;
        *ret_fits = held <= held_max;
        if (got == 0 || !*ret_fits)
            return MU_OK;
        MU_TRY(write_all(log, source->name, fd, source->skipped, got));
    }
}

/* The stream from its beginning. */
static enum mu_status begin_stream(struct mu_text_source *source, struct mu_log *log)
{
    mu_gz_close(source->gz);
    source->gz = NULL;
    source->at = 0;
    return mu_gz_open(log, source->name, &source->gz);
}

static enum mu_status hold(struct mu_text_source *source, struct mu_log *log, size_t held_max)
{
    bool fits = false;
    int fd = memfd_create("muster-text", MFD_CLOEXEC);
    source->skipped = malloc(CHUNK_BYTES);
    enum mu_status status =
        fd >= 0 && source->skipped
            ? unpack(source, log, fd, held_max, &fits)
            : mu_fail(log, MU_E0801, NULL, "no memory to unpack %s", source->name);
    if (status == MU_OK && fits) {
        source->fd = fd;
        source->held = true;
        return MU_OK;
    }
    if (fd >= 0)
        close(fd);
    return status == MU_OK ? begin_stream(source, log) : status;
}

static enum mu_status start(struct mu_text_source *source, struct mu_log *log, size_t held_max)
{
    source->fd = mu_gz_descriptor(source->gz);
    return source->fd >= 0 ? MU_OK : hold(source, log, held_max);
}

static enum mu_status create(struct mu_log *log, const char *name, struct mu_gz *gz,
    size_t held_max, struct mu_text_source **ret_source)
{
    size_t name_bytes = strlen(name) + 1;
    struct mu_text_source *source = calloc(1, sizeof(*source) + name_bytes);
    if (!source) {
        mu_gz_close(gz);
        return mu_fail(log, MU_E0801, NULL, "no memory to read %s", name);
    }
    memcpy(source->name, name, name_bytes);
    source->gz = gz;
    atomic_flag_clear(&source->busy);
    enum mu_status status = start(source, log, held_max);
    if (status != MU_OK) {
        mu_text_source_close(source);
        return status;
    }
    *ret_source = source;
    return MU_OK;
}

enum mu_status mu_text_source_open(
    struct mu_log *log, const char *path, size_t held_max, struct mu_text_source **ret_source)
{
    struct mu_gz *gz;
    MU_TRY(mu_gz_open(log, path, &gz));
    return create(log, path, gz, held_max, ret_source);
}

void mu_text_source_close(struct mu_text_source *source)
{
    if (!source)
        return;
    if (source->held)
        close(source->fd);
    mu_gz_close(source->gz);
    free(source->skipped);
    free(source);
}

const char *mu_text_source_name(const struct mu_text_source *source)
{
    return source->name;
}

/* ---- reading ---- */

static enum mu_status read_at(const struct mu_text_source *source, struct mu_log *log,
    uint64_t offset, char *out, size_t bytes_max, size_t *ret_bytes)
{
    size_t bytes = 0;
    while (bytes < bytes_max) {
        ssize_t got = pread(source->fd, out + bytes, bytes_max - bytes, (off_t)(offset + bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mu_gz_unreadable(log, source->name, strerror(errno));
        if (got == 0)
            break;
        bytes += (size_t)got;
    }
    *ret_bytes = bytes;
    return MU_OK;
}

static enum mu_status read_stream(struct mu_text_source *source, struct mu_log *log, char *out,
    size_t bytes_max, size_t *ret_bytes)
{
    size_t bytes = 0;
    for (size_t got; bytes < bytes_max; bytes += got) {
        MU_TRY(mu_gz_read_some(source->gz, log, out + bytes, bytes_max - bytes, &got));
        if (got == 0)
            break;
    }
    source->at += bytes;
    source->reached = source->at > source->reached ? source->at : source->reached;
    *ret_bytes = bytes;
    return MU_OK;
}

static enum mu_status go_to(struct mu_text_source *source, struct mu_log *log, uint64_t offset)
{
    if (offset > 0 && offset < source->at && source->at < source->reached / 2)
        return mu_fail(log, MU_E0505, "unpack it (gunzip -k), or set data.shuffle to false",
            "%s is packed, too large to be held unpacked, and not read from front to back",
            source->name);
    /* After a failure there is no stream. */
    if (offset < source->at || !source->gz)
        MU_TRY(begin_stream(source, log));
    while (source->at < offset) {
        uint64_t left = offset - source->at;
        size_t got, most = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        MU_TRY(read_stream(source, log, source->skipped, most, &got));
        if (got == 0)
            return MU_OK;
    }
    return MU_OK;
}

enum mu_status mu_text_source_read(struct mu_text_source *source, struct mu_log *log,
    uint64_t offset, void *out, size_t bytes_max, size_t *ret_bytes)
{
    if (source->fd >= 0)
        return read_at(source, log, offset, out, bytes_max, ret_bytes);
    while (atomic_flag_test_and_set_explicit(&source->busy, memory_order_acquire))
        sched_yield(); /* the other one reads a block: less than a millisecond */
    *ret_bytes = 0;
    enum mu_status status = go_to(source, log, offset);
    if (status == MU_OK && source->at == offset)
        status = read_stream(source, log, out, bytes_max, ret_bytes);
    if (status != MU_OK && status != MU_CONFIG) {
        mu_gz_close(source->gz); /* where it stands is not known */
        source->gz = NULL;
        source->at = 0;
    }
    atomic_flag_clear_explicit(&source->busy, memory_order_release);
    return status;
}
