/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig.h"
#include "runtime/io/real_world.h"
#include <arpa/inet.h>
#include <math.h>
#include <unistd.h>

/* ---- what is learnt ---- */

static void sgd_step(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    for (size_t i = 0; i < step->count; i++)
        step->parameters[i] -= step->learning_rate * step->gradient_scale * step->gradients[i];
}

static void momentum_step(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    for (size_t i = 0; i < step->count; i++) {
        step->slots[0][i] = 0.9f * step->slots[0][i] + step->gradient_scale * step->gradients[i];
        step->parameters[i] -= step->learning_rate * step->slots[0][i];
    }
}

const struct mu_optimizer_ops rig_sgd = {.name = "sgd", .step = sgd_step};
const struct mu_optimizer_ops rig_momentum = {
    .name = "momentum", .slot_count = 1, .slot_names = {"momentum"}, .step = momentum_step};

static struct mu_judgement judge_async(const void *options, const struct mu_push_facts *push)
{
    (void)options;
    (void)push;
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static struct mu_judgement judge_drop(const void *options, const struct mu_push_facts *push)
{
    const uint64_t *bound = options;
    if (push->staleness > *bound)
        return (struct mu_judgement){MU_VERDICT_DROP, 0};
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

const struct mu_policy_ops rig_async = {.name = "async", .judge = judge_async};
const struct mu_policy_ops rig_drop = {.name = "drop", .judge = judge_drop};

static double rate(void *owner, int64_t version)
{
    (void)owner;
    return version % 2 ? 1.0 : 0.5;
}

float rig_gradient(int worker, int64_t k, size_t i)
{
    uint32_t bits = (uint32_t)worker * 2654435761u + (uint32_t)k * 40503u + (uint32_t)i * 97u;
    return (float)(int32_t)(bits % 2001) / 1000.0f - 1.0f;
}

void rig_fill_gradient(float *gradients, size_t count, int worker, int64_t k)
{
    for (size_t i = 0; i < count; i++)
        gradients[i] = rig_gradient(worker, k, i);
}

/* ---- connecting ---- */

static enum mu_link_answer on_any_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)owner;
    (void)link;
    (void)frame;
    (void)body;
    (void)ret_payload;
    return MU_LINK_HOLD; /* until it is adopted */
}

struct knock {
    bool done;
    enum mu_status status;
};

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    (void)link;
    (void)error;
    struct knock *knock = owner;
    knock->status = status;
    knock->done = true;
}

static void on_knock_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    ((struct knock *)owner)->status = MU_CLOSED;
}

static const struct mu_link_events knock_events = {
    .frame = on_any_frame,
    .ended = on_knock_ended,
    .connected = on_connected,
};

static enum mu_status knock(struct rig_task *task, int seat, struct mu_link **ret_link)
{
    int order = mu_ps_seat_process(seat, task->rig->server_count);
    struct knock knock = {0};
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    MU_TRY(
        mu_link_connect(task->loop, &task->rig->addresses[order], &knock_events, &knock, ret_link));
    enum mu_status status = mu_loop_until(task->loop, &knock.done, deadline);
    if (status == MU_OK && knock.status == MU_OK)
        return MU_OK;
    mu_link_close(*ret_link);
    return status == MU_OK ? knock.status : status;
}

static enum mu_status connect_as(struct rig_task *task, int order, enum rig_kind kind, int index,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link)
{
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    enum mu_status status;
    while ((status = knock(task, order, ret_link)) != MU_OK) {
        if (status != MU_UNAVAILABLE || mu_now(task->world) > deadline)
            return status;
        bool never = false;
        (void)!mu_loop_until(task->loop, &never, mu_now(task->world) + 2 * MU_MS);
    }
    if (events)
        mu_link_adopt(*ret_link, events, owner);
    uint8_t memory[MU_BODY_SMALL];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 3);
    mu_body_put_int(&body, "kind", (int64_t)kind);
    mu_body_put_int(&body, "index", index);
    mu_body_put_int(&body, "seat", order);
    mu_link_post(*ret_link, MU_FRAME_HELLO, 7, 0, &body);
    return MU_OK;
}

enum mu_status rig_connect(struct rig_task *task, int order, enum rig_kind kind,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link)
{
    return connect_as(task, order, kind, task->index, events, owner, ret_link);
}

/* ---- a server ---- */

static void on_control_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    struct rig_task *task = owner;
    task->controls_ended++;
    task->over = task->controls_ended == task->rig->worker_count + (task->rig->leader != NULL);
}

static const struct mu_link_events control_events = {
    .frame = on_any_frame,
    .ended = on_control_ended,
};

static enum mu_link_answer on_hello(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)owner;
    (void)link;
    (void)body;
    (void)ret_payload;
    return frame->type == MU_FRAME_HELLO ? MU_LINK_TAKE : MU_LINK_REFUSE;
}

static void on_hello_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct rig_task *task = owner;
    int64_t kind = -1, index = -1, seat = -1;
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
        mu_link_adopt(link, &control_events, task);
    }
}

static void on_visitor_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    (void)owner;
    mu_link_close(link);
}

static const struct mu_link_events visitor_events = {
    .frame = on_hello,
    .arrived = on_hello_arrived,
    .ended = on_visitor_ended,
};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct rig_task *task = owner;
    struct mu_link *link;
    if (mu_link_accept(task->loop, stream, &visitor_events, task, &link) != MU_OK)
        task->status = MU_NO_MEMORY;
}

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
    MU_TRY(connect_as(task, 0, RIG_SERVER, own->seat, NULL, NULL, &link));
    mu_ps_server_add_head(own->server, link);
    if (task->rig->replicas == 0 || own->seat == deputy)
        return MU_OK;
    MU_TRY(connect_as(task, deputy, RIG_SERVER, own->seat, NULL, NULL, &link));
    mu_ps_server_add_deputy(own->server, link);
    return MU_OK;
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
    struct mu_ps_server *running[2] = {task->seats[0].server, task->seats[1].server};
    enum mu_status status = mu_ps_servers_run(running, task->seat_count, &task->over);
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

static enum mu_status server_main(struct rig_task *task)
{
    enum mu_status status = serve(task);
    for (int i = 0; i < task->seat_count; i++)
        leave_state(&task->seats[i]);
    for (int i = 0; i < task->seat_count; i++)
        mu_ps_server_destroy(task->seats[i].server);
    for (int i = 0; i < task->controls_come; i++)
        mu_link_close(task->controls[i]);
    return task->status == MU_OK ? status : task->status;
}

/* ---- a worker, the leader ---- */

bool rig_shares(void)
{
    return getenv("MUSTER_RIG_SHARES") != NULL;
}

/* The servers serve when this returns: they have answered, if they were asked. */
static enum mu_status make_vectors(struct rig_task *task)
{
    struct rig *rig = task->rig;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    return mu_ps_client_share(task->client, rig_shares() ? MU_PS_SHARE_ALWAYS : MU_PS_SHARE_NEVER,
        2 * (size_t)rig->in_flight, deadline, &task->vectors);
}

enum mu_status rig_make_client(struct rig_task *task, int64_t incarnation)
{
    const struct rig *rig = task->rig;
    struct mu_ps_client_options options = {
        .loop = task->loop,
        .log = &task->log.log,
        .replica = task->index,
        .server_count = rig->server_count,
        .replicas = rig->replicas,
        .in_flight = rig->in_flight,
        .generation = 7,
        .element_count = rig->element_count,
        .row_width = rig->rows.width,
        .row_max = rig->rows.push_max,
        .relinks = rig->relinks,
        .incarnation = incarnation,
    };
    return mu_ps_client_create(&options, &task->client);
}

static enum mu_status worker_main(struct rig_task *task)
{
    struct rig *rig = task->rig;
    MU_TRY(rig_make_client(task, 1));
    for (int i = 0; i < rig->server_count; i++) {
        struct mu_link *link;
        MU_TRY(rig_connect(task, i, RIG_CONTROL, &control_events, task, &task->controls[i]));
        for (int seat = i; seat < rig->server_count * (1 + rig->replicas);
             seat += rig->server_count) {
            MU_TRY(rig_connect(task, seat, RIG_WORKER, NULL, NULL, &link));
            mu_ps_client_add_server(task->client, seat, link);
        }
    }
    MU_TRY(make_vectors(task));
    return rig->worker(task);
}

static enum mu_status leader_main(struct rig_task *task)
{
    struct rig *rig = task->rig;
    struct mu_ps_snapshot_options options = {
        .loop = task->loop,
        .log = &task->log.log,
        .server_count = rig->server_count,
        .replicas = rig->replicas,
        .replica_count = rig->worker_count,
        .slot_count = rig->optimizer->slot_count,
        .generation = 7,
        .element_count = rig->element_count,
        .row_width = rig->rows.width,
    };
    MU_TRY(mu_ps_snapshot_create(&options, &task->snapshot));
    for (int i = 0; i < rig->server_count; i++) {
        struct mu_link *link;
        MU_TRY(rig_connect(task, i, RIG_CONTROL, &control_events, task, &task->controls[i]));
        for (int seat = i; seat < rig->server_count * (1 + rig->replicas);
             seat += rig->server_count) {
            MU_TRY(rig_connect(task, seat, RIG_LEADER, NULL, NULL, &link));
            mu_ps_snapshot_add_server(task->snapshot, seat, link);
        }
    }
    return rig->leader(task);
}

/* ---- all of them ---- */

static void tell_loss(struct rig_task *task, int process)
{
    for (int i = 0; i < task->seat_count; i++)
        mu_ps_server_lose_server(task->seats[i].server, process);
    if (task->client)
        mu_ps_client_lose_server(task->client, process);
    if (task->snapshot)
        mu_ps_snapshot_lose_server(task->snapshot, process);
}

/* In the place of a cluster. */
static void look_for_losses(void *owner)
{
    struct rig_task *task = owner;
    const struct rig *rig = task->rig;
    int self = (int)(task - rig->tasks);
    while (task->losses_told < rig->loss_count &&
           mu_now(task->world) >= rig->losses[task->losses_told].told_ns[self])
        tell_loss(task, rig->losses[task->losses_told++].process);
}

void rig_task_main(void *argument)
{
    struct rig_task *task = argument;
    mu_test_log_init(&task->log);
    enum mu_status status = task->world->ops->loop_create(task->world, &task->loop);
    if (status == MU_OK && task->rig->loss_count > 0)
        status = task->loop->ops->timer_start(
            task->loop, MU_MS / 2, look_for_losses, task, &task->timer);
    if (status == MU_OK) {
        status = task->kind == RIG_SERVER   ? server_main(task)
                 : task->kind == RIG_WORKER ? worker_main(task)
                                            : leader_main(task);
        mu_ps_client_destroy(task->client);
        mu_vectors_finish(&task->vectors);
        mu_ps_snapshot_destroy(task->snapshot);
        for (int i = 0; task->kind != RIG_SERVER && i < task->rig->server_count; i++)
            mu_link_flush(task->controls[i], mu_now(task->world) + MU_SECOND);
        task->loop->ops->timer_stop(task->timer);
        task->loop->ops->destroy(task->loop);
    }
    task->status = status;
}

static void add_task(struct rig *rig, enum rig_kind kind, int index)
{
    assert(rig->task_count < RIG_TASKS_MAX);
    rig->tasks[rig->task_count++] = (struct rig_task){.rig = rig, .kind = kind, .index = index};
}

void rig_init(struct rig *rig)
{
    for (int i = 0; i < rig->server_count; i++)
        add_task(rig, RIG_SERVER, i);
    for (int i = 0; i < rig->worker_count; i++)
        add_task(rig, RIG_WORKER, i);
    if (rig->leader)
        add_task(rig, RIG_LEADER, 0);
    rig->parameters = calloc(rig->element_count, sizeof(float));
    rig->slot = calloc(rig->element_count, sizeof(float));
    rig->standby = calloc(rig->element_count, sizeof(float));
    size_t stride = rig->rows.width * (1 + (size_t)rig->optimizer->slot_count);
    rig->row = calloc(rig->rows.id_count * stride + 1, sizeof(float));
    rig->row_there = calloc(rig->rows.id_count + 1, sizeof(bool));
    assert(rig->parameters && rig->standby && rig->slot && rig->row && rig->row_there);
}

void rig_finish(struct rig *rig)
{
    free(rig->parameters);
    free(rig->slot);
    free(rig->standby);
    free(rig->row);
    free(rig->row_there);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_return_code(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

void rig_run_any(struct rig *rig)
{
    struct mu_real_world real;
    assert_ok(mu_real_world_init(&real));
    for (int i = 0; i < rig->server_count; i++) {
        strcpy(rig->addresses[i].host, "127.0.0.1");
        rig->addresses[i].port = free_port();
    }
    for (int i = 0; i < rig->task_count; i++) {
        struct rig_task *task = &rig->tasks[i];
        task->world = &real.world;
        assert_ok(real.world.ops->spawn(&real.world, "task", rig_task_main, task, &task->thread));
    }
    for (int i = 0; i < rig->task_count; i++)
        real.world.ops->join(&real.world, rig->tasks[i].thread);
    mu_real_world_finish(&real);
}

void rig_run(struct rig *rig)
{
    rig_run_any(rig);
    for (int i = 0; i < rig->task_count; i++)
        if (rig->tasks[i].status != MU_OK)
            fail_msg("task %d of kind %d ended with %d: %s", rig->tasks[i].index,
                (int)rig->tasks[i].kind, (int)rig->tasks[i].status, rig->tasks[i].log.text);
}
