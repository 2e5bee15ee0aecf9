/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig_inside.h"

/* A server of the rig, or two if there are standbys. */

static double rate(void *owner, int64_t version)
{
    (void)owner;
    return version % 2 ? 1.0 : 0.5;
}

/* ---- who comes ---- */

/* `link` NULL: a free place. */
static struct mu_link **find_visitor(struct rig_task *task, const struct mu_link *link)
{
    int i = 0;
    while (i < RIG_VISITORS_MAX && task->visitors[i] != link)
        i++;
    assert(i < RIG_VISITORS_MAX);
    return &task->visitors[i];
}

static void on_hello_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct rig_task *task = owner;
    int64_t kind = -1, index = -1, seat = -1;
    *find_visitor(task, link) = NULL;
    struct mu_decoder *decoder = mu_link_decoder(link);
    if (mu_decoder_read(decoder, body, frame->body_bytes) != MU_OK ||
        !mu_decoder_int(decoder, "kind", 0, RIG_CONTROL, &kind) ||
        !mu_decoder_int(decoder, "index", 0, MU_PS_SEATS_MAX, &index) ||
        !mu_decoder_int(decoder, "seat", 0, MU_PS_SEATS_MAX, &seat))
        task->status = MU_BUG;
    struct mu_ps_server *server = task->seats[seat >= task->rig->server_count].server;
    if (kind == RIG_SERVER)
        mu_ps_server_add_follower(server, (int)index, link);
    else if (kind == RIG_WORKER)
        mu_ps_server_add_worker(server, (int)index, link);
    else if (kind == RIG_LEADER)
        mu_ps_server_add_leader(server, link);
    else {
        task->controls[task->controls_come++] = link;
        mu_link_adopt(link, &rig_control_events, task);
    }
}

static void on_visitor_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    *find_visitor(owner, link) = NULL;
    mu_link_close(link);
}

static const struct mu_link_events visitor_events = {
    .frame = mu_link_take_hello,
    .arrived = on_hello_arrived,
    .ended = on_visitor_ended,
};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct rig_task *task = owner;
    struct mu_link **link = find_visitor(task, NULL);
    if (mu_link_accept(task->loop, stream, &visitor_events, task, link) != MU_OK)
        task->status = MU_NO_MEMORY;
}

/* ---- what is judged ---- */

static void note(struct rig *rig, struct rig_order order)
{
    if (rig->order_count < RIG_ORDER_MAX)
        rig->order[rig->order_count++] = order;
}

/* What the head that was lost has judged last may have got to nobody. */
static void take_over(const struct rig_seat *seat)
{
    struct rig *rig = seat->task->rig;
    int known = 0;
    if (seat->seat == 0 || rig->took_over)
        return;
    for (int w = 0; w < rig->worker_count; w++)
        for (int v = 0; v < MU_VERDICT_COUNT; v++)
            known += (int)mu_ps_server_verdicts(seat->server, w)[v];
    assert(known <= rig->order_count);
    rig->order_count = known;
    rig->took_over = true;
}

static void remember(
    void *owner, const struct mu_push_facts *push, const struct mu_ps_decision *decision)
{
    struct rig_seat *seat = owner;
    take_over(seat);
    note(seat->task->rig, (struct rig_order){.worker = push->worker,
                              .verdict = decision->judgement.verdict,
                              .scale = (double)decision->judgement.scale,
                              .staleness = push->staleness,
                              .clock = push->clock,
                              .average = decision->average});
}

static void remember_left(void *owner, int replica, int average)
{
    struct rig *rig = ((struct rig_seat *)owner)->task->rig;
    if (rig->notes_leaving)
        note(rig, (struct rig_order){.worker = replica, .average = average, .left = true});
}

/* ---- its life ---- */

static enum mu_status make_seat(struct rig_task *task, int seat)
{
    struct rig *rig = task->rig;
    struct rig_seat *own = &task->seats[task->seat_count];
    *own = (struct rig_seat){.task = task, .seat = seat};
    struct mu_ps_server_options options = {
        .loop = task->loop,
        .log = &task->log.log,
        .order = seat,
        .server_count = rig->server_count,
        .replicas = rig->replicas,
        .replica_count = rig->worker_count,
        .in_flight_max = rig->in_flight,
        .generation = 7,
        .element_count = rig->element_count,
        .optimizer = rig->optimizer,
        .optimizer_options = rig->optimizer_options,
        .policy = rig->policy,
        .policy_options = rig->policy_options,
        .mode = rig->mode,
        .later = rig->later,
        .later_count = rig->later_count,
        .rows = rig->rows,
        .relinks = rig->relinks,
        .learning_rate = rig->rate ? rig->rate : rate,
        .judged = remember,
        .left = remember_left,
        .owner = own,
    };
    MU_TRY(mu_ps_server_create(&options, &own->server));
    task->seat_count++;
    MU_TRY(mu_ps_server_lay(own->server));
    if (!rig->leader)
        mu_ps_server_begin(own->server, 0);
    return MU_OK;
}

static enum mu_status link_seat(struct rig_seat *own)
{
    struct rig_task *task = own->task;
    int deputy = task->rig->server_count;
    struct mu_link *link;
    if (own->seat == 0)
        return MU_OK;
    MU_TRY(rig_connect_as(task, 0, RIG_SERVER, own->seat, NULL, NULL, &link));
    mu_ps_server_add_head(own->server, link);
    if (task->rig->replicas == 0 || own->seat == deputy)
        return MU_OK;
    MU_TRY(rig_connect_as(task, deputy, RIG_SERVER, own->seat, NULL, NULL, &link));
    mu_ps_server_add_deputy(own->server, link);
    return MU_OK;
}

static void pause_serving(void *owner)
{
    struct rig_task *task = owner;
    task->pauses = true;
}

/* Until nobody needs it any more; where links break, with pauses to heal them in. */
static enum mu_status run(struct rig_task *task)
{
    struct rig *rig = task->rig;
    struct mu_ps_server *running[2] = {task->seats[0].server, task->seats[1].server};
    enum mu_status status = MU_OK;
    if (!rig->server_hooks.heal)
        return mu_ps_servers_run(running, task->seat_count, &task->over);
    rig->server_hooks.begin(task);
    MU_TRY(task->loop->ops->timer_start(task->loop, MU_MS, pause_serving, task, &task->pause));
    while (status == MU_OK && !task->over) {
        task->pauses = false;
        rig->server_hooks.heal(task);
        status = mu_ps_servers_run(running, task->seat_count, &task->pauses);
    }
    task->loop->ops->timer_stop(task->pause);
    return status;
}

static enum mu_status serve(struct rig_task *task)
{
    struct rig *rig = task->rig;
    int servers = rig->server_count;
    MU_TRY(make_seat(task, task->index));
    if (rig->replicas > 0)
        MU_TRY(make_seat(task, servers + (task->index + servers - 1) % servers));
    struct mu_listener *listener;
    int error;
    MU_TRY(task->loop->ops->listen(
        task->loop, &rig->addresses[task->index], -1, on_accepted, task, &listener, &error));
    for (int i = 0; i < task->seat_count; i++)
        MU_TRY(link_seat(&task->seats[i]));
    enum mu_status status = run(task);
    task->loop->ops->listener_close(listener);
    return status;
}

/* Servers have different ids, so they leave them in different places. */
static void leave_rows(struct rig_seat *own)
{
    struct rig *rig = own->task->rig;
    const struct mu_table *table = mu_ps_server_table(own->server);
    size_t stride = mu_table_stride(table), place = 0;
    const float *row;
    uint64_t id;
    while ((row = mu_table_next(table, &place, &id))) {
        memcpy(rig->row + id * stride, row, stride * sizeof(float));
        rig->row_there[id] = true;
    }
    own->task->table = mu_table_count(table);
}

/* Is there another server that has the same, and leaves it? */
static bool is_second(const struct rig_seat *own)
{
    const struct rig *rig = own->task->rig;
    int twin = mu_ps_seat_twin(own->seat, rig->server_count);
    for (int i = 0; i < rig->loss_count; i++)
        if (rig->losses[i].process == mu_ps_seat_process(twin, rig->server_count))
            return false;
    return own->seat >= rig->server_count;
}

static void leave_state(struct rig_seat *own)
{
    struct rig_task *task = own->task;
    struct rig *rig = task->rig;
    struct mu_span span = mu_ps_server_span(own->server);
    size_t bytes = span.count * sizeof(float);
    bool second = is_second(own);
    if (rig->loss_count > 0 && rig->losses[0].process == 0 && own->seat == rig->server_count)
        take_over(own);
    memcpy((second ? rig->standby : rig->parameters) + span.first,
        mu_ps_server_vector(own->server, 0), bytes);
    if (rig->optimizer->slot_count > 0 && !second)
        memcpy(rig->slot + span.first, mu_ps_server_vector(own->server, 1), bytes);
    task->culprit = mu_ps_server_culprit(own->server);
    task->staleness = *mu_ps_server_staleness(own->server);
    task->version = mu_ps_server_version(own->server);
    task->load = *mu_ps_server_load(own->server);
    if (mu_ps_server_table(own->server) && !second)
        leave_rows(own);
}

enum mu_status rig_server_main(struct rig_task *task)
{
    enum mu_status status = serve(task);
    for (int i = 0; i < task->seat_count; i++)
        leave_state(&task->seats[i]);
    for (int i = 0; i < task->seat_count; i++)
        mu_ps_server_destroy(task->seats[i].server);
    for (int i = 0; i < task->controls_come; i++)
        mu_link_close(task->controls[i]);
    for (int i = 0; i < RIG_VISITORS_MAX; i++)
        mu_link_close(task->visitors[i]);
    if (task->rig->server_hooks.end)
        task->rig->server_hooks.end(task);
    return task->status == MU_OK ? status : task->status;
}
