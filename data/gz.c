/* SPDX-License-Identifier: Apache-2.0 */
#include "data/gz.h"
#include "runtime/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define INPUT_BYTES (256 << 10)
#define NAME_BYTES 1024
#define DEFLATE_RATIO_MAX 1032 /* 258 bytes out of 2 bits: the most that deflate can pack */
#define GZIP_WINDOW (15 + 16)  /* zlib's way to say: 32 KiB, gzip and nothing else */
#define IN_RECORD_BYTES 40
#define OUTPUT_STEP (1U << 30) /* zlib counts in unsigned int */

struct mu_gz {
    struct mu_log *log;
    FILE *file;
    size_t file_bytes;
    z_stream stream;                /* next_in and avail_in hold for plain files too */
    bool packed;                    /* it is gzip */
    bool inflating;                 /* `stream` must be ended */
    bool member_end;                /* the last member is complete; another one may follow */
    size_t record_bytes, record_at; /* 0: none are counted; bytes since they are */
    char name[NAME_BYTES];
    uint8_t input[INPUT_BYTES];
};

enum mu_status mu_gz_unreadable(struct mu_log *log, const char *name, const char *why)
{
    char help[NAME_BYTES + 96];
    mu_format(help, sizeof(help),
        "`ls -l %.*s` on the host of the task; the job's `data` names the file", NAME_BYTES, name);
    return mu_fail(log, MU_E0501, help, "%s cannot be read: %s", name, why);
}

/* " in record 6", or nothing where none are counted. */
static const char *in_record(const struct mu_gz *gz, char out[IN_RECORD_BYTES])
{
    out[0] = '\0';
    if (gz->record_bytes > 0)
        mu_format(out, IN_RECORD_BYTES, " in record %zu", gz->record_at / gz->record_bytes);
    return out;
}

static enum mu_status damaged(const struct mu_gz *gz, const char *how)
{
    char where[IN_RECORD_BYTES];
    return mu_fail(
        gz->log, MU_E0502, "fetch the file again", "%s %s%s", gz->name, how, in_record(gz, where));
}

enum mu_status mu_gz_open(struct mu_log *log, const char *path, struct mu_gz **ret_gz)
{
    /* Without O_NONBLOCK a FIFO in the place of a file would block here for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mu_gz_unreadable(log, path, strerror(errno));
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        close(fd);
        return mu_gz_unreadable(log, path, "it is not a regular file");
    }
    FILE *file = fdopen(fd, "rb");
    if (!file) {
        close(fd);
        return mu_fail(log, MU_E0801, NULL, "no memory to open %s", path);
    }
    return mu_gz_open_file(log, path, file, ret_gz);
}

static enum mu_status fill(struct mu_gz *gz)
{
    gz->stream.next_in = gz->input;
    gz->stream.avail_in = (uInt)fread(gz->input, 1, INPUT_BYTES, gz->file);
    if (ferror(gz->file))
        return mu_gz_unreadable(gz->log, gz->name, strerror(errno));
    return MU_OK;
}

static enum mu_status start(struct mu_gz *gz)
{
    off_t bytes;
    if (fseeko(gz->file, 0, SEEK_END) != 0 || (bytes = ftello(gz->file)) < 0 ||
        fseeko(gz->file, 0, SEEK_SET) != 0)
        return mu_gz_unreadable(gz->log, gz->name, strerror(errno));
    gz->file_bytes = (size_t)bytes;
    setvbuf(gz->file, NULL, _IONBF, 0); /* `input` is the buffer */
    MU_TRY(fill(gz));
    gz->packed = gz->stream.avail_in >= 2 && gz->input[0] == 0x1f && gz->input[1] == 0x8b;
    if (!gz->packed)
        return MU_OK;
    gz->inflating = inflateInit2(&gz->stream, GZIP_WINDOW) == Z_OK;
    if (!gz->inflating)
        return mu_fail(gz->log, MU_E0801, NULL, "no memory to unpack %s", gz->name);
    return MU_OK;
}

enum mu_status mu_gz_open_file(
    struct mu_log *log, const char *name, FILE *file, struct mu_gz **ret_gz)
{
    struct mu_gz *gz = calloc(1, sizeof(*gz));
    if (!gz) {
        fclose(file);
        return mu_fail(log, MU_E0801, NULL, "no memory to read %s", name);
    }
    gz->log = log;
    gz->file = file;
    snprintf(gz->name, sizeof(gz->name), "%s", name);
    enum mu_status status = start(gz);
    if (status != MU_OK) {
        mu_gz_close(gz);
        return status;
    }
    *ret_gz = gz;
    return MU_OK;
}

void mu_gz_close(struct mu_gz *gz)
{
    if (!gz)
        return;
    if (gz->inflating)
        inflateEnd(&gz->stream);
    fclose(gz->file);
    free(gz);
}

const char *mu_gz_name(const struct mu_gz *gz)
{
    return gz->name;
}

int mu_gz_descriptor(const struct mu_gz *gz)
{
    return gz->packed ? -1 : fileno(gz->file);
}

size_t mu_gz_bytes_max(const struct mu_gz *gz)
{
    size_t ratio = gz->packed ? DEFLATE_RATIO_MAX : 1;
    return gz->file_bytes > SIZE_MAX / ratio ? SIZE_MAX : gz->file_bytes * ratio;
}

/* Makes sure that there is input unless the file is at its end. */
static enum mu_status refill(struct mu_gz *gz)
{
    return gz->stream.avail_in > 0 ? MU_OK : fill(gz);
}

static enum mu_status read_plain(struct mu_gz *gz, uint8_t *out, size_t most, size_t *ret_bytes)
{
    MU_TRY(refill(gz));
    size_t bytes = gz->stream.avail_in < most ? gz->stream.avail_in : most;
    memcpy(out, gz->stream.next_in, bytes);
    gz->stream.next_in += bytes;
    gz->stream.avail_in -= (uInt)bytes;
    *ret_bytes = bytes;
    return MU_OK;
}

/* One call of inflate. What follows a complete member must be another one. */
static enum mu_status inflate_some(struct mu_gz *gz)
{
    if (gz->member_end && inflateReset(&gz->stream) != Z_OK)
        return damaged(gz, "cannot be unpacked");
    bool between = gz->member_end;
    gz->member_end = false;
    int result = inflate(&gz->stream, Z_NO_FLUSH);
    gz->member_end = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR)
        return MU_OK;
    if (result == Z_MEM_ERROR)
        return mu_fail(gz->log, MU_E0801, NULL, "no memory to unpack %s", gz->name);
    if (between)
        return damaged(gz, "has bytes after its end");
    const char *why = gz->stream.msg ? gz->stream.msg : "inflate failed";
    char where[IN_RECORD_BYTES];
    if (strstr(why, "check")) /* of all that was unpacked */
        return mu_fail(
            gz->log, MU_E0502, "fetch the file again", "%s is damaged gzip: %s", gz->name, why);
    return mu_fail(gz->log, MU_E0502, "fetch the file again", "%s is damaged gzip%s: %s", gz->name,
        in_record(gz, where), why);
}

static enum mu_status read_packed(struct mu_gz *gz, uint8_t *out, size_t most, size_t *ret_bytes)
{
    uInt room = most < OUTPUT_STEP ? (uInt)most : OUTPUT_STEP;
    gz->stream.next_out = out;
    gz->stream.avail_out = room;
    while (gz->stream.avail_out == room) {
        MU_TRY(refill(gz));
        if (gz->stream.avail_in == 0 && gz->member_end)
            break;
        if (gz->stream.avail_in == 0)
            return damaged(gz, "ends in the middle: its gzip data is cut off");
        MU_TRY(inflate_some(gz));
    }
    *ret_bytes = room - gz->stream.avail_out;
    return MU_OK;
}

/* Some bytes, at least one unless the file is at its end. */
static enum mu_status read_some(struct mu_gz *gz, uint8_t *out, size_t most, size_t *ret_bytes)
{
    MU_TRY(
        gz->packed ? read_packed(gz, out, most, ret_bytes) : read_plain(gz, out, most, ret_bytes));
    gz->record_at += *ret_bytes;
    return MU_OK;
}

void mu_gz_count_records(struct mu_gz *gz, size_t record_bytes)
{
    gz->record_bytes = record_bytes;
    gz->record_at = 0;
}

enum mu_status mu_gz_read_some(
    struct mu_gz *gz, struct mu_log *log, void *out, size_t bytes_max, size_t *ret_bytes)
{
    gz->log = log;
    return read_some(gz, out, bytes_max, ret_bytes);
}

enum mu_status mu_gz_read(struct mu_gz *gz, void *out, size_t bytes)
{
    uint8_t *at = out;
    for (size_t got = 0; bytes > 0; bytes -= got, at += got) {
        MU_TRY(read_some(gz, at, bytes, &got));
        if (got == 0) {
            char where[IN_RECORD_BYTES];
            return mu_fail(gz->log, MU_E0502, "fetch the file again",
                "%s is cut off%s: it lacks %zu bytes", gz->name, in_record(gz, where), bytes);
        }
    }
    return MU_OK;
}

enum mu_status mu_gz_end(struct mu_gz *gz)
{
    uint8_t extra;
    size_t got = 0;
    gz->record_bytes = 0;
    MU_TRY(read_some(gz, &extra, 1, &got));
    return got == 0 ? MU_OK : damaged(gz, "has bytes after its end");
}
