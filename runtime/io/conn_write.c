/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/conn_inside.h"
#include <stdlib.h>
#include <string.h>

/*
 *   write -> gathered (if the loop gathers) -> the socket, as far as it takes them at once
 *                                           -> libuv, which goes on when it takes more
 *
 * One writev for all that is gathered: a small message costs the network more to be sent alone than
 * to be sent with others.
 */
#define WRITES_RESERVED 32 /* of a loop, before it makes more */

/* libuv's part of a write. It is ours and not the caller's: after a close libuv still looks at it,
 * when the caller's memory may be gone. */
struct mu_uv_write {
    uv_write_t uv;
    struct mu_stream *stream;
    struct mu_write *write; /* NULL: its owner knows already */
    struct mu_uv_write *next, **link;
};

static void unlink_write(struct mu_uv_write *write)
{
    *write->link = write->next;
    if (write->next)
        write->next->link = write->link;
}

static void finish_write(struct mu_uv_write *write)
{
    struct mu_uv_loop *loop = write->stream->loop;
    unlink_write(write);
    write->next = loop->free_writes;
    loop->free_writes = write;
}

static void on_written(uv_write_t *request, int status)
{
    struct mu_uv_write *write = request->data;
    struct mu_write *told = write->write;
    struct mu_stream *stream = write->stream;
    stream->loop->happened++;
    finish_write(write);
    if (told)
        told->done(told, status == 0 ? MU_OK : MU_CLOSED);
    if (status == 0) /* the stream is there until its handle is, even if it was closed just now */
        mu_uv_flush(stream);
}

/* What the socket takes at once needs no libuv and no second look. Advances the buffers by it;
 * returns how many are left. */
static unsigned write_now(struct mu_stream *stream, uv_buf_t **buffers, unsigned count)
{
    int written = stream->writes ? UV_EAGAIN : uv_try_write(&stream->uv.stream, *buffers, count);
    size_t left = written > 0 ? (size_t)written : 0;
    for (; count > 0 && left >= (*buffers)->len; count--)
        left -= (*buffers)++->len;
    if (count > 0) {
        (*buffers)->base += left;
        (*buffers)->len -= left;
    }
    return count;
}

static struct mu_uv_write *write_take(struct mu_uv_loop *loop)
{
    struct mu_uv_write *write = loop->free_writes;
    if (!write)
        return calloc(1, sizeof(*write));
    loop->free_writes = write->next;
    return write;
}

/* The rest waits in libuv, in its order. False: it cannot. */
static bool write_later(
    struct mu_stream *stream, struct mu_write *caller, uv_buf_t *buffers, unsigned count)
{
    struct mu_uv_write *write = write_take(stream->loop);
    if (!write)
        return false;
    *write = (struct mu_uv_write){
        .stream = stream, .write = caller, .next = stream->writes, .link = &stream->writes};
    write->uv.data = write;
    if (stream->writes)
        stream->writes->link = &write->next;
    stream->writes = write;
    if (uv_write(&write->uv, &stream->uv.stream, buffers, count, on_written) == 0)
        return true;
    finish_write(write);
    return false;
}

/* ---- gathering ---- */

static void unlink_gathered(struct mu_uv_gathered *gathered)
{
    if (!gathered->link)
        return;
    *gathered->link = gathered->next;
    if (gathered->next)
        gathered->next->gathered.link = gathered->link;
    gathered->link = NULL;
}

static void link_gathered(struct mu_stream *stream)
{
    struct mu_uv_gathered *gathered = &stream->gathered;
    struct mu_stream **list = &stream->loop->gathering;
    if (gathered->link)
        return;
    gathered->next = *list;
    gathered->link = list;
    if (*list)
        (*list)->gathered.link = &gathered->next;
    *list = stream;
}

static void gather(
    struct mu_stream *stream, struct mu_write *caller, const uv_buf_t *buffers, unsigned count)
{
    struct mu_uv_gathered *gathered = &stream->gathered;
    gathered->writes[gathered->write_count] = caller;
    gathered->parts[gathered->write_count++] = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        gathered->buffers[gathered->buffer_count++] = buffers[i];
        gathered->bytes += buffers[i].len;
    }
    link_gathered(stream);
}

/* Those that have ended, for their owners to be told when the stream is not looked at any more. */
struct ended {
    int count;
    struct mu_write *writes[MU_UV_GATHERED_MAX];
    enum mu_status status[MU_UV_GATHERED_MAX];
};

static void add_ended(struct ended *ended, struct mu_write *write, enum mu_status status)
{
    ended->writes[ended->count] = write;
    ended->status[ended->count++] = status;
}

static void tell_ended(const struct ended *ended)
{
    for (int i = 0; i < ended->count; i++)
        ended->writes[i]->done(ended->writes[i], ended->status[i]);
}

/* The first `count` writes have left, or are libuv's now. */
static void drop_first(struct mu_uv_gathered *gathered, int count, unsigned buffers)
{
    gathered->write_count -= count;
    gathered->buffer_count -= buffers;
    memmove(gathered->writes, gathered->writes + count,
        (size_t)gathered->write_count * sizeof(gathered->writes[0]));
    memmove(gathered->parts, gathered->parts + count, (size_t)gathered->write_count);
    memmove(gathered->buffers, gathered->buffers + buffers,
        gathered->buffer_count * sizeof(gathered->buffers[0]));
    gathered->bytes = 0;
    for (unsigned i = 0; i < gathered->buffer_count; i++)
        gathered->bytes += gathered->buffers[i].len;
}

/* A write that the socket took a part of, or none, goes to libuv, which says when there is room;
 * those after it stay gathered until then. */
void mu_uv_flush(struct mu_stream *stream)
{
    struct mu_uv_gathered *gathered = &stream->gathered;
    struct ended ended = {.count = 0};
    uv_buf_t *at = gathered->buffers;
    unlink_gathered(gathered);
    if (gathered->write_count == 0 || stream->writes || stream->closing)
        return;
    unsigned left = write_now(stream, &at, gathered->buffer_count);
    int done = 0;
    unsigned after = gathered->buffer_count; /* buffers behind the write at hand */
    for (; done < gathered->write_count && after - gathered->parts[done] >= left; done++) {
        after -= gathered->parts[done];
        add_ended(&ended, gathered->writes[done], MU_OK);
    }
    if (done < gathered->write_count) {
        after -= gathered->parts[done];
        if (!write_later(stream, gathered->writes[done], at, left - after))
            add_ended(&ended, gathered->writes[done], MU_CLOSED);
        done++;
    }
    drop_first(gathered, done, gathered->buffer_count - after);
    tell_ended(&ended);
}

bool mu_uv_flush_all(struct mu_uv_loop *loop)
{
    bool any = loop->gathering != NULL;
    while (loop->gathering)
        mu_uv_flush(loop->gathering);
    return any;
}

void mu_uv_writes_abandon(struct mu_stream *stream)
{
    struct mu_uv_gathered *gathered = &stream->gathered;
    struct ended ended = {.count = 0};
    unlink_gathered(gathered);
    for (int i = 0; i < gathered->write_count; i++)
        add_ended(&ended, gathered->writes[i], MU_CLOSED);
    gathered->write_count = 0;
    for (struct mu_uv_write *write = stream->writes; write; write = write->next) {
        struct mu_write *told = write->write;
        write->write = NULL;
        if (told)
            told->done(told, MU_CLOSED);
    }
    tell_ended(&ended);
}

/* ---- one write ---- */

static bool has_room(const struct mu_uv_gathered *gathered)
{
    return gathered->write_count < MU_UV_GATHERED_MAX && gathered->bytes < MU_UV_GATHERED_BYTES_MAX;
}

static void write_alone(
    struct mu_stream *stream, struct mu_write *caller, uv_buf_t *buffers, unsigned count)
{
    unsigned left = write_now(stream, &buffers, count);
    if (left == 0)
        caller->done(caller, MU_OK);
    else if (!write_later(stream, caller, buffers, left))
        caller->done(caller, MU_CLOSED);
}

/* Hands over what is gathered although libuv has writes already: it keeps their order. */
static void make_room(struct mu_stream *stream)
{
    struct mu_uv_gathered *gathered = &stream->gathered;
    struct ended ended = {.count = 0};
    uv_buf_t *at = gathered->buffers;
    unlink_gathered(gathered);
    for (int i = 0; i < gathered->write_count; at += gathered->parts[i++])
        if (!write_later(stream, gathered->writes[i], at, gathered->parts[i]))
            add_ended(&ended, gathered->writes[i], MU_CLOSED);
    drop_first(gathered, gathered->write_count, gathered->buffer_count);
    tell_ended(&ended);
}

void mu_uv_write(
    struct mu_stream *stream, struct mu_write *caller, const struct mu_part *parts, int part_count)
{
    assert(part_count <= MU_PARTS_MAX);
    uv_buf_t buffers[MU_PARTS_MAX] = {0};
    size_t bytes = 0;
    for (int i = 0; i < part_count; i++) {
        buffers[i] = (uv_buf_t){.base = (char *)(uintptr_t)parts[i].at, .len = parts[i].bytes};
        bytes += parts[i].bytes;
    }
    if (!stream->closing && !has_room(&stream->gathered))
        mu_uv_flush(stream);
    if (!stream->closing && !has_room(&stream->gathered))
        make_room(stream);
    if (stream->closing) {
        caller->done(caller, MU_CLOSED);
        return;
    }
    bool is_first = stream->gathered.write_count == 0;
    if (!stream->loop->base.gathers && is_first) {
        write_alone(stream, caller, buffers, (unsigned)part_count);
        return;
    }
    gather(stream, caller, buffers, (unsigned)part_count);
    if (!stream->loop->base.gathers || bytes >= MU_UV_GATHERED_BYTES_MAX)
        mu_uv_flush(stream);
}

/* ---- records ---- */

bool mu_uv_writes_reserve(struct mu_uv_loop *loop)
{
    for (int i = 0; i < WRITES_RESERVED; i++) {
        struct mu_uv_write *write = calloc(1, sizeof(*write));
        if (!write)
            return false;
        write->next = loop->free_writes;
        loop->free_writes = write;
    }
    return true;
}

void mu_uv_writes_free(struct mu_uv_loop *loop)
{
    while (loop->free_writes) {
        struct mu_uv_write *write = loop->free_writes;
        loop->free_writes = write->next;
        free(write);
    }
}
