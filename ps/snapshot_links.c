/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot_inside.h"

/* The links to the servers. With `relinks` one that ends is made anew, and the snapshot that was
 * under way begins anew, too; what servers begin with must come to them whole, and by one link. */

bool mu_snapshot_gives(const struct mu_snapshot_source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    int servers = snapshot->options.server_count;
    int twin = mu_ps_seat_twin(source->order, servers);
    return source->state != MU_SOURCE_LOST &&
           (source->order < servers || snapshot->sources[twin].state == MU_SOURCE_LOST);
}

bool mu_snapshot_may_be_lost(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->options.replicas > 0 && snapshot->lost < 0;
}

enum mu_status mu_snapshot_check_alive(struct mu_ps_snapshot *snapshot)
{
    for (int i = 0; i < snapshot->seat_count; i++) {
        enum mu_source_state state = snapshot->sources[i].state;
        assert(state != MU_SOURCE_UNLINKED || snapshot->has_begun);
        if ((state == MU_SOURCE_ENDED || state == MU_SOURCE_REFUSED) &&
            !mu_snapshot_may_be_lost(snapshot))
            mu_snapshot_fail(snapshot, i, MU_CLOSED);
    }
    return snapshot->failure;
}

/* ---- links that end ---- */

/* May another one come? */
static bool heals(const struct mu_snapshot_source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    return snapshot->options.relinks && snapshot->has_begun && !mu_snapshot_restores(snapshot) &&
           source->state != MU_SOURCE_REFUSED;
}

/* The head may not have heard of the snapshot, or this one not sent all of its part. */
static void drop_link(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    struct mu_link *link = source->link;
    source->state = MU_SOURCE_UNLINKED;
    source->link = NULL;
    source->lost_since_ns = mu_now(snapshot->options.loop->world);
    mu_link_close(link);
    if (snapshot->state == MU_SNAPSHOT_COMING && mu_snapshot_is_missing(source))
        mu_snapshot_give_up(snapshot);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct mu_snapshot_source *source = owner;
    bool was_refused = source->state == MU_SOURCE_REFUSED;
    if (!was_refused)
        source->state = MU_SOURCE_ENDED;
    source->lands = false;
    mu_snapshot_leave(source->snapshot);
    if (why == MU_PROTOCOL && !was_refused)
        mu_snapshot_blame(source, "sent what is not a frame");
    else if (why != MU_PROTOCOL && heals(source))
        drop_link(source);
    else if (mu_snapshot_is_missing(source) && !mu_snapshot_may_be_lost(source->snapshot))
        mu_snapshot_fail(source->snapshot, source->order, MU_CLOSED);
}

/* ---- links that come ---- */

static const struct mu_link_events source_events = {
    .frame = mu_snapshot_frame,
    .arrived = mu_snapshot_arrived,
    .ended = on_ended,
};

/* It may have ended before it was adopted: nobody tells us. */
static void take_link(struct mu_snapshot_source *source, struct mu_link *link)
{
    bool is_alive = mu_link_alive(link);
    assert(!source->link);
    source->link = link;
    source->state = is_alive ? MU_SOURCE_LINKED : MU_SOURCE_ENDED;
    mu_link_adopt(link, &source_events, source);
    if (!is_alive && heals(source))
        drop_link(source);
    else
        mu_link_resume(link);
}

void mu_ps_snapshot_add_server(struct mu_ps_snapshot *snapshot, int order, struct mu_link *link)
{
    assert(order >= 0 && order < snapshot->seat_count);
    struct mu_snapshot_source *source = &snapshot->sources[order];
    if (source->state == MU_SOURCE_LOST) {
        mu_link_close(link);
        return;
    }
    if (source->link && heals(source))
        drop_link(source); /* the leader calls again, and this side has not seen the end yet */
    take_link(source, link);
    mu_snapshot_ask(snapshot);
}

int mu_ps_snapshot_unlinked(const struct mu_ps_snapshot *snapshot, int order)
{
    for (int i = order; i < snapshot->seat_count; i++)
        if (snapshot->sources[i].state == MU_SOURCE_UNLINKED)
            return i;
    return -1;
}

int64_t mu_ps_snapshot_lost_since_ns(const struct mu_ps_snapshot *snapshot, int order)
{
    assert(order >= 0 && order < snapshot->seat_count);
    return snapshot->sources[order].lost_since_ns;
}

/* ---- a server that is lost ---- */

static void lose_seat(struct mu_snapshot_source *source)
{
    source->state = MU_SOURCE_LOST;
    source->lands = false;
    mu_link_close(source->link);
    source->link = NULL;
}

void mu_ps_snapshot_lose_server(struct mu_ps_snapshot *snapshot, int process)
{
    int servers = snapshot->options.server_count;
    assert(snapshot->options.replicas > 0);
    assert(process >= 0 && process < servers);
    if (snapshot->lost == process)
        return;
    if (snapshot->lost >= 0 || mu_snapshot_restores(snapshot)) {
        mu_snapshot_fail(snapshot, process, MU_CLOSED);
        return;
    }
    snapshot->lost = process;
    lose_seat(&snapshot->sources[process]);
    lose_seat(&snapshot->sources[mu_ps_seat_standby_in(process, servers)]);
    mu_snapshot_give_up(snapshot);
}
