/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/snapshot_inside.h"
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static enum mu_status init_sources(struct mu_ps_snapshot *snapshot)
{
    const struct mu_ps_snapshot_options *options = &snapshot->options;
    size_t stride = options->row_width * (1 + (size_t)options->slot_count);
    for (int i = 0; i < snapshot->seat_count; i++) {
        struct mu_snapshot_source *source = &snapshot->sources[i];
        *source = (struct mu_snapshot_source){
            .snapshot = snapshot,
            .order = i,
            .span = mu_split(options->element_count, options->server_count,
                mu_ps_seat_span(i, options->server_count)),
        };
        MU_TRY(mu_row_piece_init(&source->piece, stride));
    }
    return MU_OK;
}

enum mu_status mu_ps_snapshot_create(
    const struct mu_ps_snapshot_options *options, struct mu_ps_snapshot **ret_snapshot)
{
    assert(options->server_count > 0 && options->server_count <= MU_PS_SERVERS_MAX);
    assert(options->replica_count > 0 && options->replica_count <= MU_PS_REPLICAS_MAX);
    assert(options->slot_count >= 0 && options->slot_count <= MU_SLOTS_MAX);
    struct mu_ps_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return mu_fail(options->log, MU_E0801, NULL, "no memory for snapshots");
    snapshot->options = *options;
    snapshot->vector_count = 1 + options->slot_count;
    snapshot->seat_count = mu_ps_seat_count(options->server_count, options->replicas);
    snapshot->lost = -1;
    snapshot->culprit = -1;
    enum mu_status status = init_sources(snapshot);
    if (status != MU_OK) {
        mu_ps_snapshot_destroy(snapshot);
        return mu_fail(options->log, MU_E0801, NULL, "no memory for snapshots of embedding rows");
    }
    *ret_snapshot = snapshot;
    return MU_OK;
}

void mu_ps_snapshot_destroy(struct mu_ps_snapshot *snapshot)
{
    if (!snapshot)
        return;
    if (snapshot->again)
        snapshot->options.loop->ops->timer_stop(snapshot->again);
    for (int i = 0; i < snapshot->seat_count; i++) {
        mu_link_close(snapshot->sources[i].link);
        mu_row_piece_finish(&snapshot->sources[i].piece);
    }
    free(snapshot);
}

/* ---- what is under way ---- */

#define BIT(state) (1u << (state))

static void go(struct mu_ps_snapshot *snapshot, enum mu_snapshot_state next)
{
    static const unsigned from[] = {
        [MU_SNAPSHOT_IDLE] = BIT(MU_SNAPSHOT_HERE) | BIT(MU_SNAPSHOT_LEAVING) |
                             BIT(MU_SNAPSHOT_LEFT) | BIT(MU_SNAPSHOT_RESTORED),
        [MU_SNAPSHOT_LINKING] = BIT(MU_SNAPSHOT_IDLE),
        [MU_SNAPSHOT_COMING] = BIT(MU_SNAPSHOT_LINKING),
        [MU_SNAPSHOT_HERE] = BIT(MU_SNAPSHOT_COMING),
        [MU_SNAPSHOT_LEAVING] = BIT(MU_SNAPSHOT_LINKING) | BIT(MU_SNAPSHOT_COMING),
        [MU_SNAPSHOT_LEFT] = BIT(MU_SNAPSHOT_LEAVING),
        [MU_SNAPSHOT_RESTORING] = BIT(MU_SNAPSHOT_IDLE),
        [MU_SNAPSHOT_RESTORED] = BIT(MU_SNAPSHOT_RESTORING),
        [MU_SNAPSHOT_FAILED] = ~0u,
    };
    static const unsigned under_way = BIT(MU_SNAPSHOT_LINKING) | BIT(MU_SNAPSHOT_COMING) |
                                      BIT(MU_SNAPSHOT_LEAVING) | BIT(MU_SNAPSHOT_RESTORING);
    assert(from[next] & BIT(snapshot->state));
    snapshot->state = next;
    snapshot->ended = !(under_way & BIT(next));
}

void mu_snapshot_fail(struct mu_ps_snapshot *snapshot, int order, enum mu_status why)
{
    if (snapshot->failure == MU_OK) {
        snapshot->failure = why;
        snapshot->culprit = mu_ps_seat_process(order, snapshot->options.server_count);
    }
    go(snapshot, MU_SNAPSHOT_FAILED);
    mu_snapshot_forget_waiting(snapshot);
}

void mu_snapshot_blame(struct mu_snapshot_source *source, const char *what)
{
    source->state = MU_SOURCE_REFUSED;
    mu_snapshot_fail(source->snapshot, source->order,
        mu_fail(source->snapshot->options.log, MU_E0404, NULL, "ps/%d %s",
            mu_ps_seat_process(source->order, source->snapshot->options.server_count), what));
}

bool mu_snapshot_is_missing(const struct mu_snapshot_source *source)
{
    const struct mu_ps_snapshot *snapshot = source->snapshot;
    if (source->state == MU_SOURCE_LOST)
        return false;
    if (mu_snapshot_restores(snapshot))
        return !source->ready || source->sends_pending > 0;
    return mu_snapshot_takes(snapshot) && mu_snapshot_gives(source) &&
           (source->here != (1u << snapshot->vector_count) - 1 || !source->rows_ended);
}

enum mu_status mu_snapshot_begin(struct mu_ps_snapshot *snapshot, enum mu_snapshot_state state)
{
    MU_TRY(mu_snapshot_check_alive(snapshot));
    for (int i = 0; i < snapshot->seat_count; i++) {
        snapshot->sources[i].here = 0;
        snapshot->sources[i].ready = false;
        snapshot->sources[i].rows_ended = snapshot->options.row_width == 0;
    }
    go(snapshot, state);
    snapshot->missing = 0;
    for (int i = 0; i < snapshot->seat_count; i++)
        snapshot->missing += mu_snapshot_is_missing(&snapshot->sources[i]);
    return MU_OK;
}

void mu_snapshot_count_down(struct mu_snapshot_source *source)
{
    struct mu_ps_snapshot *snapshot = source->snapshot;
    if (mu_snapshot_is_missing(source))
        return;
    snapshot->missing--;
    if (snapshot->missing > 0)
        return;
    if (snapshot->state == MU_SNAPSHOT_COMING)
        go(snapshot, MU_SNAPSHOT_HERE);
    else if (snapshot->state == MU_SNAPSHOT_RESTORING)
        go(snapshot, MU_SNAPSHOT_RESTORED);
}

void mu_snapshot_leave(struct mu_ps_snapshot *snapshot)
{
    bool lands = false;
    for (int i = 0; i < snapshot->seat_count; i++)
        lands = lands || snapshot->sources[i].lands;
    if (snapshot->state == MU_SNAPSHOT_LEAVING && !lands)
        go(snapshot, MU_SNAPSHOT_LEFT);
}

void mu_snapshot_give_up(struct mu_ps_snapshot *snapshot)
{
    if (snapshot->state != MU_SNAPSHOT_LINKING && snapshot->state != MU_SNAPSHOT_COMING)
        return;
    snapshot->given_up = snapshot->id;
    go(snapshot, MU_SNAPSHOT_LEAVING);
    mu_snapshot_forget_waiting(snapshot);
    mu_snapshot_leave(snapshot);
}

enum mu_status mu_snapshot_finish(struct mu_ps_snapshot *snapshot, int64_t deadline_ns)
{
    enum mu_status status = mu_loop_until(snapshot->options.loop, &snapshot->ended, deadline_ns);
    if (snapshot->state == MU_SNAPSHOT_FAILED)
        return snapshot->failure;
    if (snapshot->state == MU_SNAPSHOT_LEAVING || snapshot->state == MU_SNAPSHOT_LEFT) {
        go(snapshot, MU_SNAPSHOT_IDLE);
        return MU_UNAVAILABLE;
    }
    for (int i = snapshot->seat_count - 1; status == MU_TIMEOUT && i >= 0; i--)
        if (mu_snapshot_is_missing(&snapshot->sources[i]))
            snapshot->culprit = mu_ps_seat_process(i, snapshot->options.server_count);
    if (status == MU_TIMEOUT && mu_ps_snapshot_unlinked(snapshot, 0) >= 0)
        snapshot->culprit = mu_ps_seat_process(
            mu_ps_snapshot_unlinked(snapshot, 0), snapshot->options.server_count);
    MU_TRY(status);
    go(snapshot, MU_SNAPSHOT_IDLE);
    return MU_OK;
}

/* ---- taking ---- */

/* The head, or the deputy after it; as soon as all can give their part. */
void mu_snapshot_ask(struct mu_ps_snapshot *snapshot)
{
    int head = snapshot->lost == 0 ? snapshot->options.server_count : 0;
    const struct mu_ps_snapshot_body asked = {.gives = true, .lost = snapshot->lost};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    if (snapshot->state != MU_SNAPSHOT_LINKING || mu_ps_snapshot_unlinked(snapshot, 0) >= 0)
        return;
    go(snapshot, MU_SNAPSHOT_COMING);
    mu_ps_snapshot_put(&body, memory, &asked);
    mu_link_post(snapshot->sources[head].link, MU_FRAME_SNAPSHOT, snapshot->options.generation,
        snapshot->id, snapshot->options.replicas > 0 ? &body : NULL);
}

enum mu_status mu_ps_snapshot_start(
    struct mu_ps_snapshot *snapshot, float *const vectors[], const struct mu_row_sink *sink)
{
    assert(sink || snapshot->options.row_width == 0);
    MU_TRY(mu_snapshot_begin(snapshot, MU_SNAPSHOT_LINKING));
    for (int i = 0; i < snapshot->vector_count; i++)
        snapshot->vectors[i] = vectors[i];
    snapshot->sink = sink ? *sink : (struct mu_row_sink){0};
    snapshot->version = -1;
    snapshot->id++;
    mu_snapshot_ask(snapshot);
    return snapshot->failure;
}

bool mu_ps_snapshot_done(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->ended;
}

enum mu_status mu_ps_snapshot_wait(
    struct mu_ps_snapshot *snapshot, int64_t deadline_ns, int64_t *ret_version, int64_t *judged)
{
    assert(mu_snapshot_takes(snapshot) || snapshot->state == MU_SNAPSHOT_FAILED);
    MU_TRY(mu_snapshot_finish(snapshot, deadline_ns));
    *ret_version = snapshot->version;
    memcpy(judged, snapshot->judged, (size_t)snapshot->options.replica_count * sizeof(*judged));
    return MU_OK;
}

uint64_t mu_ps_snapshot_rows_come(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->rows_come;
}

bool mu_ps_snapshot_is_held(const struct mu_ps_snapshot *snapshot)
{
    bool waits = false;
    for (int i = 0; i < snapshot->seat_count; i++)
        waits = waits || snapshot->sources[i].waits;
    return waits;
}

int mu_ps_snapshot_culprit(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->culprit;
}
