/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig_inside.h"
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

void rig_fill_row_gradients(
    float *gradients, size_t width, const struct mu_row_set *set, int worker, int64_t k)
{
    for (size_t i = 0; i < set->count; i++)
        for (size_t j = 0; j < width; j++)
            gradients[i * width + j] = rig_gradient(worker, k, (size_t)set->id[i] * width + j);
}

void rig_draw(uint64_t *draws, size_t count, int worker, int64_t k)
{
    uint64_t state = (uint64_t)worker * 1000003 + (uint64_t)k * 8191 + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        draws[i] = state >> 40;
    }
}

enum mu_status rig_push_rows(
    struct rig_task *task, int64_t k, int64_t version, const struct mu_ps_client_rows *rows)
{
    int in_flight = task->rig->in_flight, slot = (int)(k % in_flight);
    float *dense = rig_vector(task, (size_t)slot);
    rig_fill_gradient(dense, task->rig->element_count, task->index, k);
    mu_ps_client_put_rows(task->client, slot, rows);
    return mu_ps_client_push(
        task->client, slot, dense, 1, version, rig_vector(task, (size_t)(in_flight + slot)));
}

/* ---- gradients that leave a mark ---- */

void rig_marks_init(struct rig_marks *marks)
{
    assert_ok(mu_unique_init(&marks->unique, 1));
    for (int i = 0; i < RIG_HANDS_MAX; i++)
        assert_ok(mu_row_set_init(&marks->hands[i].rows, 1));
}

void rig_marks_finish(struct rig_marks *marks)
{
    mu_unique_finish(&marks->unique);
    for (int i = 0; i < RIG_HANDS_MAX; i++)
        mu_row_set_finish(&marks->hands[i].rows);
}

static void put_row(
    struct rig_marks *marks, const struct rig_task *task, struct rig_hands *hands, uint64_t id)
{
    uint32_t of_entry;
    mu_row_set_find(&hands->rows, &marks->unique,
        &(struct mu_row_split){.server_count = task->rig->server_count}, &id, 1, &of_entry);
    hands->row_gradient[0] = 1;
    hands->row_value[0] = -1;
    const struct mu_ps_client_rows rows = {.given = &hands->rows,
        .gradients = hands->row_gradient,
        .wanted = &hands->rows,
        .values = hands->row_value};
    mu_ps_client_put_rows(task->client, (int)(hands - marks->hands), &rows);
}

void rig_marks_begin(struct rig_marks *marks, const struct rig_task *task, struct rig_hands *hands,
    int k, size_t mark)
{
    const struct rig *rig = task->rig;
    memset(hands->gradients, 0, sizeof(hands->gradients));
    for (int i = 0; i < rig->server_count; i++)
        hands->gradients[mu_split(rig->element_count, rig->server_count, i).first + mark] = 1;
    hands->k = k;
    hands->under_way = true;
    if (rig->rows.width > 0)
        put_row(marks, task, hands, mark);
}

static void zero_row(const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_row)
{
    (void)owner;
    (void)seed;
    (void)id;
    memset(ret_row, 0, width * sizeof(*ret_row));
}

struct mu_ps_rows_options rig_mark_rows(uint64_t id_count)
{
    return (struct mu_ps_rows_options){
        .width = 1, .push_max = 1, .id_count = id_count, .init_row = zero_row};
}

double rig_add(void *owner, int64_t version)
{
    (void)owner;
    (void)version;
    return -1;
}

/* ---- connecting ---- */

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
    .frame = mu_link_hold,
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

/* Who dies while it is being called listens no more. */
static bool is_lost(const struct rig_task *task, int seat)
{
    const struct rig *rig = task->rig;
    bool lost = false;
    for (int i = 0; i < rig->loss_count; i++)
        lost = lost || (rig->losses[i].process == mu_ps_seat_process(seat, rig->server_count) &&
                           mu_now(task->world) >= rig->losses[i].at_ns);
    return lost;
}

enum mu_status rig_connect_as(struct rig_task *task, int order, enum rig_kind kind, int index,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link)
{
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    enum mu_status status;
    while ((status = knock(task, order, ret_link)) != MU_OK) {
        if (status != MU_UNAVAILABLE || mu_now(task->world) > deadline)
            return status;
        if (is_lost(task, order))
            return MU_CLOSED;
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
    return rig_connect_as(task, order, kind, task->index, events, owner, ret_link);
}

static void on_control_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    struct rig_task *task = owner;
    task->controls_ended++;
    task->over = task->controls_ended == task->rig->worker_count + (task->rig->leader != NULL);
}

const struct mu_link_events rig_control_events = {
    .frame = mu_link_hold,
    .ended = on_control_ended,
};

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
        MU_TRY(rig_connect(task, i, RIG_CONTROL, &rig_control_events, task, &task->controls[i]));
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
        .relinks = rig->relinks,
        .replica_count = rig->worker_count,
        .slot_count = rig->optimizer->slot_count,
        .generation = 7,
        .element_count = rig->element_count,
        .row_width = rig->rows.width,
    };
    MU_TRY(mu_ps_snapshot_create(&options, &task->snapshot));
    for (int i = 0; i < rig->server_count; i++) {
        struct mu_link *link;
        MU_TRY(rig_connect(task, i, RIG_CONTROL, &rig_control_events, task, &task->controls[i]));
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
        status = task->kind == RIG_SERVER   ? rig_server_main(task)
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

/* An address of this process alone, and there one port after the other: a port that was only free a
 * moment ago may by then be somebody else's, also of the server before. */
static void choose_address(struct mu_address *address)
{
    static int ports;
    const struct in_addr ip = {htonl(UINT32_C(0x7f400000) | ((uint32_t)getpid() & 0x3fffff))};
    assert_non_null(inet_ntop(AF_INET, &ip, address->host, sizeof(address->host)));
    address->port = 10000 + ports++ % 20000;
}

void rig_run_any(struct rig *rig)
{
    struct mu_real_world real;
    assert_ok(mu_real_world_init(&real));
    for (int i = 0; i < rig->server_count; i++)
        choose_address(&rig->addresses[i]);
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
