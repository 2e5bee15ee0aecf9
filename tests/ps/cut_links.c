/* SPDX-License-Identifier: Apache-2.0 */
#include "cut_links.h"
#include "runtime/base/random.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

uint64_t cut_links_draw(struct cut_links *cuts, uint64_t below)
{
    cuts->seed = mu_random_mix(cuts->seed, 0x6375);
    return (cuts->seed >> 20) % below;
}

static struct cut_way *way_of(struct cut_links *cuts, const struct mu_stream *stream)
{
    for (int i = 0; i < cuts->way_count; i++)
        if (cuts->ways[i].stream == stream && !cuts->ways[i].is_closed)
            return &cuts->ways[i];
    return NULL;
}

/* ---- what comes ---- */

static void on_connected(void *owner, enum mu_status status, int error)
{
    struct cut_way *way = owner;
    if (status != MU_OK)
        way->is_closed = true;
    way->events->connected(way->owner, status, error);
}

static void on_room(void *owner, void **ret_at, size_t *ret_bytes)
{
    struct cut_way *way = owner;
    *ret_bytes = 0;
    if (way->is_cut)
        return;
    way->events->room(way->owner, ret_at, ret_bytes);
    if (way->bytes_left >= 0 && *ret_bytes > (size_t)way->bytes_left)
        *ret_bytes = (size_t)way->bytes_left;
    way->is_cut = way->bytes_left == 0;
}

static void on_got(void *owner, size_t bytes)
{
    struct cut_way *way = owner;
    if (way->bytes_left > 0)
        way->bytes_left -= (int64_t)bytes;
    way->events->got(way->owner, bytes);
}

static void on_ended(void *owner, int error)
{
    struct cut_way *way = owner;
    way->is_told = true;
    way->events->ended(way->owner, error);
}

static const struct mu_stream_events way_events = {
    .connected = on_connected, .room = on_room, .got = on_got, .ended = on_ended};

/* ---- what goes ---- */

/* Of the caller, or of nobody: a connection that lingers may outlive who wrote. */
struct cut_write {
    struct mu_write own;
    struct mu_write *caller;
    struct cut_way *way;
    struct cut_write *next;
};

static void forget(struct cut_write *write)
{
    struct cut_write **at = &write->way->writes;
    while (*at != write)
        at = &(*at)->next;
    *at = write->next;
    free(write);
}

static void write_done(struct mu_write *own, enum mu_status status)
{
    struct cut_write *write = own->owner;
    struct mu_write *caller = write->caller;
    forget(write);
    if (caller)
        caller->done(caller, status);
}

/* The beginning of it, as much as still goes. */
static int cut_parts(
    double part, const struct mu_part *parts, int part_count, struct mu_part out[MU_PARTS_MAX])
{
    size_t total = 0, count = 0;
    int used = 0;
    for (int i = 0; i < part_count; i++)
        total += parts[i].bytes;
    size_t goes = (size_t)(part * (double)total);
    for (int i = 0; i < part_count && count < goes; i++) {
        out[used] = parts[i];
        if (out[used].bytes > goes - count)
            out[used].bytes = goes - count;
        count += out[used++].bytes;
    }
    return used;
}

static void way_write(
    struct cut_way *way, struct mu_write *caller, const struct mu_part *parts, int part_count)
{
    struct cut_write *write = calloc(1, sizeof(*write));
    struct mu_part cut[MU_PARTS_MAX];
    assert(write);
    *write = (struct cut_write){.caller = caller, .way = way, .next = way->writes};
    write->own = (struct mu_write){.done = write_done, .owner = write};
    way->writes = write;
    if (way->is_cut)
        return; /* it ends with its connection */
    if (way->writes_left == 0) {
        way->is_cut = true;
        part_count = cut_parts(way->part, parts, part_count, cut);
        parts = cut;
        write->caller = NULL;
        if (part_count > 0)
            way->cuts->real->write(way->stream, &write->own, parts, part_count);
        else
            forget(write);
        way_write(way, caller, NULL, 0);
        return;
    }
    way->writes_left -= way->writes_left > 0;
    way->cuts->real->write(way->stream, &write->own, parts, part_count);
}

/* A stream does not say whose loop it is on. */
static struct cut_links *all[16];

static struct cut_way *find(const struct mu_stream *stream)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct cut_way *way = all[i] ? way_of(all[i], stream) : NULL;
        if (way)
            return way;
    }
    return NULL;
}

static const struct mu_net_ops *real_ops;

static void on_write(
    struct mu_stream *stream, struct mu_write *write, const struct mu_part *parts, int part_count)
{
    struct cut_way *way = find(stream);
    if (way)
        way_write(way, write, parts, part_count);
    else
        real_ops->write(stream, write, parts, part_count);
}

/* Their callers hear of the end; what the driver holds on to is freed by it. */
static void finish_writes(struct cut_way *way)
{
    bool any = true;
    while (any) {
        any = false;
        for (struct cut_write *write = way->writes; write && !any; write = write->next) {
            struct mu_write *caller = write->caller;
            write->caller = NULL;
            any = caller != NULL;
            if (any)
                caller->done(caller, MU_CLOSED);
        }
    }
}

static void close_way(struct cut_way *way)
{
    way->cuts->real->close(way->stream);
    while (way->writes) /* that the driver never saw */
        forget(way->writes);
}

static void on_close(struct mu_stream *stream)
{
    struct cut_way *way = stream ? find(stream) : NULL;
    if (!way) {
        real_ops->close(stream);
        return;
    }
    way->is_closed = true;
    finish_writes(way);
    if (!way->lingers || !way->is_cut)
        close_way(way);
}

static void on_resume(struct mu_stream *stream)
{
    const struct cut_way *way = find(stream);
    if (!way || !way->is_cut)
        real_ops->resume(stream);
}

/* ---- connections ---- */

static void draw_place(struct cut_way *way)
{
    static const double parts[] = {0, 0.001, 0.2, 0.5, 0.9, 1};
    struct cut_links *cuts = way->cuts;
    way->writes_left = -1;
    way->bytes_left = -1;
    if (cuts->cuts_left == 0)
        return;
    cuts->cuts_left--;
    cuts->cut_count++;
    if (cut_links_draw(cuts, 3) == 0) {
        way->bytes_left = (int64_t)cut_links_draw(cuts, 1200);
    } else {
        way->writes_left = (int)cut_links_draw(cuts, 7);
        way->part = parts[cut_links_draw(cuts, sizeof(parts) / sizeof(parts[0]))];
    }
    way->lingers = cut_links_draw(cuts, 3) == 0;
}

/* The place of one that is over may be used again. */
static struct cut_way *free_way(struct cut_links *cuts)
{
    for (int i = 0; i < cuts->way_count; i++) {
        struct cut_way *way = &cuts->ways[i];
        if (way->is_closed && !way->writes && !(way->lingers && way->is_cut))
            return way;
    }
    assert(cuts->way_count < CUT_WAYS_MAX);
    return &cuts->ways[cuts->way_count++];
}

static enum mu_status on_connect(struct mu_loop *loop, const struct mu_address *address,
    const struct mu_stream_events *events, void *owner, struct mu_stream **ret_stream)
{
    struct cut_links *cuts = NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] && all[i]->loop == loop)
            cuts = all[i];
    assert(cuts);
    struct cut_way *way = free_way(cuts);
    *way = (struct cut_way){.cuts = cuts, .events = events, .owner = owner};
    draw_place(way);
    enum mu_status status = cuts->real->connect(loop, address, &way_events, way, ret_stream);
    if (status == MU_OK)
        way->stream = *ret_stream;
    return status;
}

void cut_links_begin(struct cut_links *cuts, struct mu_loop *loop, uint64_t seed, int count)
{
    *cuts = (struct cut_links){
        .real = loop->ops, .loop = loop, .seed = seed, .cuts_left = count, .ops = *loop->ops};
    real_ops = loop->ops;
    cuts->ops.connect = on_connect;
    cuts->ops.write = on_write;
    cuts->ops.close = on_close;
    cuts->ops.resume = on_resume;
    loop->ops = &cuts->ops;
    size_t place = 0;
    while (all[place])
        place++;
    all[place] = cuts;
}

void cut_links_tell(struct cut_links *cuts)
{
    for (int i = 0; i < cuts->way_count; i++) {
        struct cut_way *way = &cuts->ways[i];
        if (!way->is_cut || way->is_told || way->is_closed)
            continue;
        way->is_told = true;
        finish_writes(way);
        way->events->ended(way->owner, ECONNRESET);
    }
}

void cut_links_forget(struct cut_links *cuts)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] == cuts)
            all[i] = NULL;
}

void cut_links_end(struct cut_links *cuts)
{
    for (int i = 0; i < cuts->way_count; i++) {
        struct cut_way *way = &cuts->ways[i];
        assert(!way->stream || way->is_closed);
        if (way->stream && way->lingers && way->is_cut)
            close_way(way);
    }
    cuts->loop->ops = cuts->real;
    cut_links_forget(cuts);
}
