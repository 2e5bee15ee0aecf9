/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_store.h"
#include "ps_rig.h"

/*
 * Embedding rows through whole clusters, against one table that is given the same gradients in the
 * head's order: the same bits in the end, whatever the number of servers and workers.
 */
#define WIDTH 5
#define ENTRIES 60 /* of a batch */
#define IDS 400
#define PUSHES 30
#define COUNT 40 /* dense parameters */
#define IN_FLIGHT_MAX 2
#define SEED 11

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)(seed + id % 7) - (float)i;
}

static const struct mu_ps_rows_options table = {
    .width = WIDTH, .push_max = ENTRIES, .id_count = IDS, .seed = SEED, .init_row = init_row};

/* ---- batches: ids that come again within a batch, from batch to batch and between workers ---- */

static void ids_of(int worker, int64_t k, uint64_t *ids)
{
    rig_draw(ids, ENTRIES, worker, k);
    for (size_t i = 0; i < ENTRIES; i++)
        ids[i] %= i % 2 ? 20 : IDS;
}

struct batch {
    struct mu_row_set set;
    float value[ENTRIES * WIDTH], gradient[ENTRIES * WIDTH];
};

static void make_batch(
    struct batch *batch, struct mu_unique *unique, int server_count, int worker, int64_t k)
{
    uint64_t ids[ENTRIES];
    uint32_t of_entry[ENTRIES];
    ids_of(worker, k, ids);
    mu_row_set_find(&batch->set, unique, &(struct mu_row_split){.server_count = server_count}, ids,
        ENTRIES, of_entry);
    rig_fill_row_gradients(batch->gradient, WIDTH, &batch->set, worker, k);
}

/* ---- one place that does the same ---- */

struct mirror {
    struct mu_row_store store;
    struct mu_unique unique;
    struct batch batch;
    int64_t version;
    int gathered;
};

static void mirror_init(struct mirror *mirror, const struct rig *rig)
{
    const struct mu_row_store_options options = {
        .width = WIDTH,
        .push_max = ENTRIES,
        .gather_max = 64,
        .seed = SEED,
        .init_row = init_row,
        .optimizer = rig->optimizer,
    };
    *mirror = (struct mirror){0};
    assert_ok(mu_row_store_init(&mirror->store, &options));
    assert_ok(mu_unique_init(&mirror->unique, ENTRIES));
    assert_ok(mu_row_set_init(&mirror->batch.set, ENTRIES));
}

static void mirror_finish(struct mirror *mirror)
{
    mu_row_set_finish(&mirror->batch.set);
    mu_unique_finish(&mirror->unique);
    mu_row_store_finish(&mirror->store);
}

static struct mu_row_step next_step(struct mirror *mirror, float scale)
{
    float rate = mirror->version % 2 ? 1.0f : 0.5f;
    return (struct mu_row_step){
        .learning_rate = rate, .gradient_scale = scale, .step = ++mirror->version};
}

static void mirror_push(struct mirror *mirror, int worker, int64_t k, const struct rig_order *order)
{
    struct batch *batch = &mirror->batch;
    make_batch(batch, &mirror->unique, 1, worker, k);
    if (order->verdict == MU_VERDICT_APPLY) {
        const struct mu_row_step step = next_step(mirror, (float)order->scale);
        assert_ok(mu_row_store_apply(
            &mirror->store, batch->set.id, batch->set.count, batch->gradient, &step));
    }
    if (order->verdict == MU_VERDICT_GATHER) {
        mu_row_store_gather(
            &mirror->store, batch->set.id, batch->set.count, batch->gradient, (float)order->scale);
        mirror->gathered++;
    }
    if (order->average > 0) {
        assert_int_equal(order->average, mirror->gathered);
        const struct mu_row_step step = next_step(mirror, 1 / (float)mirror->gathered);
        assert_ok(mu_row_store_apply_gathered(&mirror->store, &step));
        mirror->gathered = 0;
    }
}

static void expect_equal_tables(const struct rig *rig, const struct mirror *mirror)
{
    size_t stride = WIDTH * (1 + (size_t)rig->optimizer->slot_count), rows = 0;
    uint64_t on_servers = 0;
    for (uint64_t id = 0; id < IDS; id++) {
        const float *row;
        mu_table_look(mirror->store.table, &id, 1, &row);
        assert_int_equal(row != NULL, rig->row_there[id]);
        if (row)
            assert_memory_equal(row, rig->row + id * stride, stride * sizeof(float));
        rows += row != NULL;
    }
    for (int i = 0; i < rig->server_count; i++)
        on_servers += rig->tasks[i].table.rows;
    assert_int_equal(on_servers, rows);
    assert_true(rows > 100);
}

static void expect_replay(const struct rig *rig)
{
    static struct mirror mirror;
    int64_t pushed[RIG_TASKS_MAX] = {0};
    mirror_init(&mirror, rig);
    for (int i = 0; i < rig->order_count; i++) {
        const struct rig_order *order = &rig->order[i];
        if (order->left && order->average == 0)
            continue;
        if (order->left) {
            const struct mu_row_step step = next_step(&mirror, 1 / (float)order->average);
            assert_ok(mu_row_store_apply_gathered(&mirror.store, &step));
            mirror.gathered = 0;
            continue;
        }
        mirror_push(&mirror, order->worker, pushed[order->worker]++, order);
    }
    assert_int_equal(mirror.version, rig->tasks[0].version);
    expect_equal_tables(rig, &mirror);
    mirror_finish(&mirror);
}

/* ---- a worker as roles/async/async.c has it ---- */

#define HELD (2 * IN_FLIGHT_MAX)

struct hands {
    struct mu_unique unique;
    struct batch batches[HELD];
    float first[COUNT];
    int64_t version;
    struct mirror mirror; /* of a worker that is alone */
};

static struct batch *batch_of(struct hands *hands, int64_t k)
{
    return &hands->batches[k % HELD];
}

static void read_batch(struct rig_task *task, struct hands *hands, int64_t k)
{
    make_batch(batch_of(hands, k), &hands->unique, task->rig->server_count, task->index, k);
}

/* Alone and without gathering, the rows that come are known: those after push `pushed`. */
static bool is_as_expected(struct hands *hands, const struct batch *batch)
{
    float expected[ENTRIES * WIDTH];
    uint32_t where[ENTRIES];
    mu_row_store_read_where(&hands->mirror.store, batch->set.id, batch->set.count, expected, where);
    return memcmp(expected, batch->value, batch->set.count * WIDTH * sizeof(float)) == 0;
}

static enum mu_status await(struct rig_task *task, struct hands *hands, int64_t k, int64_t deadline)
{
    struct rig *rig = task->rig;
    struct mu_ps_result result;
    MU_TRY(mu_ps_client_wait(task->client, (int)(k % rig->in_flight), deadline, &result));
    hands->version = result.version;
    task->acknowledged++;
    task->dropped += result.verdict == MU_VERDICT_DROP;
    if (rig->worker_count > 1 || rig->mode.kind != MU_PS_ASYNC)
        return MU_OK;
    const struct rig_order order = {.verdict = result.verdict, .scale = 1};
    mirror_push(&hands->mirror, task->index, k, &order);
    if (k + rig->in_flight < PUSHES && !is_as_expected(hands, batch_of(hands, k + rig->in_flight)))
        return MU_BROKEN;
    return MU_OK;
}

static enum mu_status push(struct rig_task *task, struct hands *hands, int64_t k)
{
    int in_flight = task->rig->in_flight;
    struct batch *batch = batch_of(hands, k), *next = batch_of(hands, k + in_flight);
    struct mu_ps_client_rows rows = {.given = &batch->set, .gradients = batch->gradient};
    if (k + in_flight < PUSHES) {
        read_batch(task, hands, k + in_flight);
        rows.wanted = &next->set;
        rows.values = next->value;
    }
    return rig_push_rows(task, k, hands->version, &rows);
}

static enum mu_status train(struct rig_task *task, struct hands *hands)
{
    int in_flight = task->rig->in_flight;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    MU_TRY(mu_ps_client_pull(task->client, hands->first, deadline, &hands->version));
    for (int64_t k = 0; k < PUSHES + in_flight; k++) {
        if (k >= in_flight)
            MU_TRY(await(task, hands, k - in_flight, deadline));
        if (k < in_flight) {
            read_batch(task, hands, k);
            MU_TRY(mu_ps_client_look(task->client, (int)k, &batch_of(hands, k)->set,
                batch_of(hands, k)->value, deadline));
        }
        if (k < PUSHES)
            MU_TRY(push(task, hands, k));
    }
    return mu_ps_client_leave(task->client, deadline);
}

/* After its last push: every row there is, as the servers have it. */
static enum mu_status look_at_all(struct rig_task *task, struct hands *hands)
{
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    struct batch *batch = &hands->batches[0];
    uint64_t ids[ENTRIES];
    uint32_t of_entry[ENTRIES];
    for (uint64_t first = 0; first < IDS; first += ENTRIES) {
        size_t count = IDS - first < ENTRIES ? IDS - first : ENTRIES;
        for (size_t i = 0; i < count; i++)
            ids[i] = first + i;
        mu_row_set_find(&batch->set, &hands->unique,
            &(struct mu_row_split){.server_count = task->rig->server_count}, ids, count, of_entry);
        MU_TRY(mu_ps_client_look(task->client, 0, &batch->set, batch->value, deadline));
        if (task->rig->worker_count == 1 && task->rig->mode.kind == MU_PS_ASYNC &&
            !is_as_expected(hands, batch))
            return MU_BROKEN;
    }
    int64_t rows = (int64_t)mu_table_count(hands->mirror.store.table).rows;
    if (rows > 0 && mu_ps_client_row_count(task->client) != rows)
        return MU_BROKEN;
    return MU_OK;
}

static enum mu_status worker(struct rig_task *task)
{
    struct hands *hands = calloc(1, sizeof(*hands));
    assert(hands);
    mirror_init(&hands->mirror, task->rig);
    assert_ok(mu_unique_init(&hands->unique, ENTRIES));
    for (int i = 0; i < HELD; i++)
        assert_ok(mu_row_set_init(&hands->batches[i].set, ENTRIES));
    enum mu_status status = train(task, hands);
    if (status == MU_OK)
        status = look_at_all(task, hands);
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    for (int i = 0; i < HELD; i++)
        mu_row_set_finish(&hands->batches[i].set);
    mu_unique_finish(&hands->unique);
    mirror_finish(&hands->mirror);
    free(hands);
    return status;
}

static struct rig rig_of(int server_count, int worker_count, int in_flight)
{
    return (struct rig){
        .server_count = server_count,
        .worker_count = worker_count,
        .in_flight = in_flight,
        .element_count = COUNT,
        .optimizer = &rig_momentum,
        .policy = &rig_async,
        .rows = table,
        .worker = worker,
        .notes_leaving = true,
    };
}

static struct rig rig;

static void run(void)
{
    rig_init(&rig);
    rig_run(&rig);
    expect_replay(&rig);
}

/* ---- the claims ---- */

static void rows_are_what_one_table_makes_of_the_same_gradients(void **state)
{
    (void)state;
    static const int shapes[][3] = {
        {1, 1, 1}, {3, 1, 1}, {1, 3, 1}, {3, 3, 1}, {1, 1, 2}, {3, 1, 2}, {3, 3, 2}};
    for (size_t i = 0; i < MU_COUNT_OF(shapes); i++) {
        rig = rig_of(shapes[i][0], shapes[i][1], shapes[i][2]);
        run();
        rig_finish(&rig);
    }
}

static void rows_of_a_dropped_gradient_are_not_applied(void **state)
{
    (void)state;
    static const uint64_t bound = 0;
    rig = rig_of(3, 3, 2); /* a worker's second push is late for its own first */
    rig.policy = &rig_drop;
    rig.policy_options = &bound;
    run();
    int64_t dropped = 0;
    for (int i = 0; i < rig.task_count; i++)
        dropped += rig.tasks[i].dropped;
    assert_true(dropped > 0);
    rig_finish(&rig);
}

static void gathered_rows_are_a_step_with_the_dense_part(void **state)
{
    (void)state;
    static const struct mu_ps_mode modes[] = {
        {.kind = MU_PS_SYNC, .workers = 3},
        {.kind = MU_PS_SYNC, .workers = 2},
        {.kind = MU_PS_SYNC, .workers = 3, .warmup_steps = 5},
        {.kind = MU_PS_SOFTSYNC, .gradients = 7},
        {.kind = MU_PS_BOUNDED, .bound = 1},
    };
    for (size_t i = 0; i < MU_COUNT_OF(modes); i++) {
        rig = rig_of(2, 3, 1);
        rig.mode = modes[i];
        run();
        rig_finish(&rig);
    }
}

/* ---- bytes ---- */

#define WIRE_ENTRIES 4096
#define WIRE_WIDTH 16

/* Pushes batches of different ids, and wants as many. */
static enum mu_status push_wide(struct rig_task *task)
{
    static float gradients[WIRE_ENTRIES * WIRE_WIDTH], values[WIRE_ENTRIES * WIRE_WIDTH];
    static uint64_t ids[WIRE_ENTRIES];
    static uint32_t of_entry[WIRE_ENTRIES];
    float dense[COUNT] = {0}, fresh[COUNT];
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    struct mu_unique unique;
    struct mu_row_set set;
    assert_ok(mu_unique_init(&unique, WIRE_ENTRIES));
    assert_ok(mu_row_set_init(&set, WIRE_ENTRIES));
    enum mu_status status = MU_OK;
    for (int k = 0; k < PUSHES && status == MU_OK; k++) {
        struct mu_ps_result result = {0};
        /* Half of the entries have the id of another one. */
        for (uint64_t i = 0; i < WIRE_ENTRIES; i++)
            ids[i] = (i / 2 + (uint64_t)k) * 3;
        mu_row_set_find(&set, &unique,
            &(struct mu_row_split){.server_count = task->rig->server_count}, ids, WIRE_ENTRIES,
            of_entry);
        const struct mu_ps_client_rows rows = {&set, gradients, &set, values};
        mu_ps_client_put_rows(task->client, 0, &rows);
        status = mu_ps_client_push(task->client, 0, dense, 1, k, fresh);
        if (status == MU_OK)
            status = mu_ps_client_wait(task->client, 0, deadline, &result);
        task->acknowledged += (int64_t)set.count;
    }
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    mu_row_set_finish(&set);
    mu_unique_finish(&unique);
    return status;
}

static void little_more_travels_than_ids_and_touched_rows(void **state)
{
    (void)state;
    uint64_t in = 0, out = 0;
    rig = rig_of(2, 1, 1);
    rig.optimizer = &rig_sgd;
    rig.worker = push_wide;
    rig.rows.width = WIRE_WIDTH;
    rig.rows.push_max = WIRE_ENTRIES;
    rig.rows.id_count = UINT64_C(5000) * 3;
    rig_init(&rig);
    rig_run(&rig);
    for (int i = 0; i < rig.server_count; i++) {
        in += rig.tasks[i].load.bytes_in;
        out += rig.tasks[i].load.bytes_out;
    }
    int64_t rows = rig.tasks[rig.server_count].acknowledged;
    uint64_t ids_bytes = (uint64_t)rows * sizeof(uint64_t);
    uint64_t row_bytes = (uint64_t)rows * WIRE_WIDTH * sizeof(float);
    assert_int_equal(rows, PUSHES * WIRE_ENTRIES / 2);
    /* A pull and a push: the ids and the rows each way. */
    assert_in_range(in + out, 2 * (ids_bytes + row_bytes), 2 * (ids_bytes + row_bytes) * 11 / 10);
    print_message("# %.4f times what ids and rows take\n",
        (double)(in + out) / (2 * (double)(ids_bytes + row_bytes)));
    assert_int_equal(rig.tasks[0].load.requests, PUSHES);
    assert_int_equal(rig.tasks[0].load.rows_given + rig.tasks[1].load.rows_given, rows);
    assert_int_equal(rig.tasks[0].load.rows_wanted + rig.tasks[1].load.rows_wanted, rows);
    rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_one_table_makes_of_the_same_gradients),
        cmocka_unit_test(rows_of_a_dropped_gradient_are_not_applied),
        cmocka_unit_test(gathered_rows_are_a_step_with_the_dense_part),
        cmocka_unit_test(little_more_travels_than_ids_and_touched_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
