/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/audit.h"
#include "ps/shard.h"
#include "ps/table/row_piece.h"
#include "ps/table/table_save.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES_MIN ((size_t)4 << 20)
#define KEPT_MAX 10000 /* earlier logs of one server */

struct buffer {
    uint8_t *data;
    size_t bytes;
};

/* What the thread writes before any record. */
struct beginning {
    bool given, written;
    int64_t version, total;
    const float *vectors[MU_SHARD_VECTORS_MAX];
    int vector_count;
    size_t count;
    const struct mu_table *table; /* NULL: there is none */
};

struct mu_audit {
    struct mu_world *world;
    struct mu_loop *loop;
    struct mu_log *log;
    char path[PATH_MAX];
    char *text;
    int fd;
    size_t record_bytes, capacity; /* a record with its head at most; of a buffer */
    struct mu_thread *thread;
    struct mu_monitor *monitor; /* over all that follows */
    struct mu_row_piece piece;  /* the thread's */
    struct buffer filling, writing;
    uint64_t index_next;
    struct beginning beginning;
    bool starved; /* the server waits for room */
    bool has_lost;
    int lost; /* process */
    bool closing;
    _Atomic enum mu_status status;
};

/* ---- the thread ---- */

static void write_bytes(struct mu_audit *audit, const void *data, size_t bytes)
{
    if (audit->status != MU_OK || mu_folder_write_all(audit->fd, data, bytes))
        return;
    audit->status =
        mu_fail(audit->log, MU_E0605, "make room on the disk and resume, or leave out mode.audit",
            "cannot write the audit log %s: %s; the run ends with the last version in it",
            audit->path, strerror(errno));
}

/* A record that is in no buffer. */
static void write_record(
    struct mu_audit *audit, struct mu_audit_record record, const void *payload, size_t bytes)
{
    uint8_t head[MU_AUDIT_HEAD_BYTES];
    record.payload_bytes = bytes;
    mu_audit_record_write(head, &record);
    mu_audit_record_seal(head, payload, bytes);
    write_bytes(audit, head, sizeof(head));
    write_bytes(audit, payload, bytes);
}

static uint64_t row_count(const struct mu_audit *audit)
{
    return audit->beginning.table ? mu_table_count(audit->beginning.table).rows : 0;
}

static void write_piece(struct mu_audit *audit, struct mu_audit_record *record)
{
    size_t bytes = mu_row_piece_close(&audit->piece);
    write_record(audit, *record, audit->piece.data, bytes);
    audit->piece.count = 0;
    record->index++;
}

/* The rows in the order of the table: put in this order they have the same places. */
static void write_rows(struct mu_audit *audit, struct mu_audit_record record)
{
    struct mu_row_piece *piece = &audit->piece;
    size_t place = 0;
    uint64_t id;
    const float *row;
    record.kind = MU_AUDIT_ROWS;
    while ((row = mu_table_next(audit->beginning.table, &place, &id))) {
        mu_row_piece_add(piece, id, row);
        if (piece->count == piece->row_max)
            write_piece(audit, &record);
    }
    if (piece->count > 0)
        write_piece(audit, &record);
}

static void write_beginning(struct mu_audit *audit)
{
    const struct beginning *begin = &audit->beginning;
    struct mu_audit_record record = {.kind = MU_AUDIT_HEADER,
        .sequence = row_count(audit),
        .version = begin->version,
        .clock = begin->total};
    write_record(audit, record, audit->text, strlen(audit->text));
    record = (struct mu_audit_record){.kind = MU_AUDIT_STATE, .version = begin->version};
    for (int i = 0; i < begin->vector_count; i++) {
        record.index = (uint64_t)i + 1;
        record.sequence = (uint64_t)i;
        write_record(audit, record, begin->vectors[i], begin->count * sizeof(float));
    }
    record.sequence = 0;
    record.index = (uint64_t)begin->vector_count + 1;
    if (begin->table)
        write_rows(audit, record);
}

/* The checksums are the thread's work. */
static void write_buffer(struct mu_audit *audit)
{
    struct buffer *buffer = &audit->writing;
    for (size_t at = 0; at < buffer->bytes;) {
        uint8_t *head = buffer->data + at, *payload = head + MU_AUDIT_HEAD_BYTES;
        size_t bytes = mu_audit_record_bytes(head);
        mu_audit_record_seal(head, payload, bytes);
        at += MU_AUDIT_HEAD_BYTES + bytes;
    }
    write_bytes(audit, buffer->data, buffer->bytes);
    buffer->bytes = 0;
}

/* Inside the monitor. */
static bool has_work(const struct mu_audit *audit)
{
    const struct beginning *begin = &audit->beginning;
    return (begin->given && !begin->written) || audit->filling.bytes > 0;
}

static void do_work(struct mu_audit *audit)
{
    const struct mu_world_ops *ops = audit->world->ops;
    bool begins = !audit->beginning.written;
    struct buffer full = audit->filling;
    if (!begins) {
        audit->filling = audit->writing;
        audit->writing = full;
    }
    ops->leave(audit->world, audit->monitor);
    if (begins)
        write_beginning(audit);
    else
        write_buffer(audit);
    ops->enter(audit->world, audit->monitor);
    audit->beginning.written = true;
    if (audit->starved || audit->status != MU_OK)
        audit->loop->ops->wake(audit->loop);
    audit->starved = false;
}

static void run_thread(void *argument)
{
    struct mu_audit *audit = argument;
    const struct mu_world_ops *ops = audit->world->ops;
    ops->enter(audit->world, audit->monitor);
    for (;;) {
        if (has_work(audit))
            do_work(audit);
        else if (audit->closing)
            break;
        else
            (void)!ops->wait(audit->world, audit->monitor, MU_FOREVER);
    }
    ops->leave(audit->world, audit->monitor);
}

/* ---- the server ---- */

void mu_audit_begin_rows(struct mu_audit *audit, const struct mu_table *table)
{
    assert(!audit->beginning.given);
    assert(mu_table_stride(table) == audit->piece.stride);
    audit->beginning.table = table;
}

static uint64_t pieces_of_rows(const struct mu_audit *audit)
{
    uint64_t most = audit->piece.row_max;
    return most > 0 ? (row_count(audit) + most - 1) / most : 0;
}

void mu_audit_begin(struct mu_audit *audit, int64_t version, int64_t total,
    const float *const vectors[], int vector_count, size_t count)
{
    const struct mu_world_ops *ops = audit->world->ops;
    struct beginning *begin = &audit->beginning;
    assert(!begin->given);
    assert(vector_count <= MU_SHARD_VECTORS_MAX);
    ops->enter(audit->world, audit->monitor);
    *begin = (struct beginning){.given = true,
        .version = version,
        .total = total,
        .vector_count = vector_count,
        .count = count,
        .table = begin->table};
    memcpy(begin->vectors, vectors, (size_t)vector_count * sizeof(*vectors));
    audit->index_next = (uint64_t)vector_count + 1 + pieces_of_rows(audit);
    ops->notify(audit->world, audit->monitor);
    ops->leave(audit->world, audit->monitor);
}

bool mu_audit_ready(struct mu_audit *audit)
{
    const struct mu_world_ops *ops = audit->world->ops;
    ops->enter(audit->world, audit->monitor);
    bool has_room = audit->filling.bytes + audit->record_bytes <= audit->capacity;
    bool ready = audit->beginning.written && has_room;
    audit->starved = !ready;
    ops->leave(audit->world, audit->monitor);
    return ready;
}

enum mu_status mu_audit_status(const struct mu_audit *audit)
{
    return audit->status;
}

static void append(struct buffer *buffer, const void *data, size_t bytes)
{
    if (bytes > 0)
        memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
}

void mu_audit_add_rows(struct mu_audit *audit, const struct mu_audit_record *record,
    const void *payload, const void *rows, size_t row_bytes)
{
    const struct mu_world_ops *ops = audit->world->ops;
    struct mu_audit_record numbered = *record;
    ops->enter(audit->world, audit->monitor);
    struct buffer *buffer = &audit->filling;
    size_t bytes = (size_t)record->payload_bytes;
    assert(row_bytes <= bytes);
    assert(buffer->bytes + MU_AUDIT_HEAD_BYTES + bytes <= audit->capacity);
    numbered.index = audit->index_next++;
    mu_audit_record_write(buffer->data + buffer->bytes, &numbered);
    buffer->bytes += MU_AUDIT_HEAD_BYTES;
    append(buffer, payload, bytes - row_bytes);
    append(buffer, rows, row_bytes);
    ops->notify(audit->world, audit->monitor);
    ops->leave(audit->world, audit->monitor);
}

/* ---- life ---- */

/* The log of a process before this one is kept beside it. */
static void keep_earlier(const struct mu_audit *audit)
{
    char kept[PATH_MAX + 16];
    if (access(audit->path, F_OK) != 0)
        return;
    for (int i = 1; i < KEPT_MAX; i++) {
        mu_format(kept, sizeof(kept), "%s.%d", audit->path, i);
        if (access(kept, F_OK) != 0) {
            (void)rename(audit->path, kept);
            return;
        }
    }
}

static enum mu_status make_folder_of(struct mu_audit *audit)
{
    char folder[PATH_MAX];
    mu_text_copy(folder, sizeof(folder), audit->path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return MU_OK;
    *slash = '\0';
    return mu_folder_make(audit->log, folder);
}

static enum mu_status open_file(struct mu_audit *audit)
{
    MU_TRY(make_folder_of(audit));
    keep_earlier(audit);
    audit->fd = open(audit->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (audit->fd >= 0)
        return MU_OK;
    return mu_fail(audit->log, MU_E0604, "choose another directory or change its permissions",
        "cannot create %s: %s", audit->path, strerror(errno));
}

static void release(struct mu_audit *audit)
{
    if (audit->fd >= 0)
        (void)close(audit->fd);
    audit->world->ops->monitor_destroy(audit->world, audit->monitor);
    mu_row_piece_finish(&audit->piece);
    free(audit->filling.data);
    free(audit->writing.data);
    free(audit->text);
    free(audit);
}

static enum mu_status prepare(struct mu_audit *audit, const struct mu_audit_options *options)
{
    struct mu_world *world = audit->world;
    audit->text = strdup(options->text);
    audit->filling.data = malloc(audit->capacity);
    audit->writing.data = malloc(audit->capacity);
    enum mu_status piece = mu_row_piece_init(&audit->piece, options->row_stride);
    if (!audit->text || !audit->filling.data || !audit->writing.data || piece != MU_OK)
        return mu_fail(audit->log, MU_E0801, "leave out mode.audit, or use more parameter servers",
            "the audit log needs two buffers of %zu bytes", audit->capacity);
    MU_TRY(world->ops->monitor_create(world, &audit->monitor));
    MU_TRY(open_file(audit));
    return world->ops->spawn(world, "audit", run_thread, audit, &audit->thread);
}

enum mu_status mu_audit_open(const struct mu_audit_options *options, struct mu_audit **ret_audit)
{
    struct mu_audit *audit = calloc(1, sizeof(*audit));
    if (!audit || strlen(options->path) >= sizeof(audit->path)) {
        free(audit);
        return mu_fail(
            options->log, MU_E0604, NULL, "no room for an audit log at %s", options->path);
    }
    audit->world = options->world;
    audit->loop = options->loop;
    audit->log = options->log;
    audit->fd = -1;
    audit->record_bytes = options->record_bytes + MU_AUDIT_HEAD_BYTES;
    audit->capacity =
        audit->record_bytes > BUFFER_BYTES_MIN ? audit->record_bytes : BUFFER_BYTES_MIN;
    mu_text_copy(audit->path, sizeof(audit->path), options->path);
    enum mu_status status = prepare(audit, options);
    if (status != MU_OK) {
        release(audit);
        return status;
    }
    *ret_audit = audit;
    return MU_OK;
}

static void put_u32(uint8_t out[4], uint32_t number)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(number >> 8 * i);
}

static void write_end(
    struct mu_audit *audit, int64_t version, const float *parameters, size_t count)
{
    const struct mu_table *table = audit->beginning.table;
    uint8_t crcs[8];
    uint32_t row_crc = 0;
    put_u32(crcs, mu_crc32c(0, parameters, count * sizeof(float)));
    if (table && mu_table_crc32c(table, &row_crc) != MU_OK) {
        mu_say(audit->log, MU_LEVEL_WARN,
            "no memory for the checksum of the embedding rows: %s has no end record", audit->path);
        return;
    }
    put_u32(crcs + 4, row_crc);
    struct mu_audit_record record = {
        .kind = MU_AUDIT_END,
        .version = version,
        .index = audit->index_next,
        .worker = audit->has_lost ? audit->lost + 1 : 0,
    };
    write_record(audit, record, crcs, table ? 8 : 4);
}

void mu_audit_note_lost(struct mu_audit *audit, int process)
{
    assert(process >= 0);
    audit->has_lost = true;
    audit->lost = process;
}

enum mu_status mu_audit_close(
    struct mu_audit *audit, int64_t version, const float *parameters, size_t count)
{
    if (!audit)
        return MU_OK;
    const struct mu_world_ops *ops = audit->world->ops;
    ops->enter(audit->world, audit->monitor);
    audit->closing = true;
    ops->notify(audit->world, audit->monitor);
    ops->leave(audit->world, audit->monitor);
    ops->join(audit->world, audit->thread);
    if (parameters && audit->beginning.written)
        write_end(audit, version, parameters, count);
    enum mu_status status = audit->status;
    release(audit);
    return status;
}
