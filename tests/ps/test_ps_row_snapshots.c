/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_store.h"
#include "ps/table/table_save.h"
#include "ps_rig.h"

/*
 * Snapshots of embedding rows that the leader takes while workers push, against one table that is
 * given the same gradients in the head's order up to the version of the snapshot: the same bits,
 * whatever has changed on the servers while the rows travelled.
 */
#define WIDTH 16
#define STRIDE (2 * WIDTH)
#define BATCH 300
#define IDS 60000 /* several pieces on each server */
#define COUNT 40
#define PUSHES 40
#define SNAPSHOTS 4
#define VERSION 100

struct taken {
    int refuses; /* so many times before each piece is taken, as who writes them to a slow disk */
    int offers;
    int64_t version;
    float *vectors[2];
    float *rows; /* (IDS, STRIDE) */
    bool *there; /* (IDS) */
};

struct run {
    bool is_dense; /* a table that has all rows from the beginning */
    struct taken first;
    struct taken taken[SNAPSHOTS];
};

static void ids_of(int worker, int64_t k, uint64_t *ids)
{
    uint64_t first = (uint64_t)(worker * 7919 + k * 104729) % (IDS / 2);
    for (size_t i = 0; i < BATCH; i++)
        ids[i] = (first + i * 97) % IDS;
}

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    (void)seed;
    for (size_t j = 0; j < width; j++)
        ret_parameters[j] = (float)(id % 977) - (float)j / 32;
}

static void gradients_of(const uint64_t *ids, int worker, int64_t k, float *gradients)
{
    for (size_t i = 0; i < BATCH; i++)
        for (size_t j = 0; j < WIDTH; j++)
            gradients[i * WIDTH + j] = rig_gradient(worker, k, (size_t)ids[i] * WIDTH + j);
}

/* ---- the tasks ---- */

struct hands {
    struct mu_unique unique;
    struct mu_row_set set;
    float dense[COUNT], fresh[COUNT], gradients[BATCH * WIDTH];
};

static enum mu_status push_all(struct rig_task *task, struct hands *hands)
{
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME), version;
    MU_TRY(mu_ps_client_pull(task->client, hands->fresh, deadline, &version));
    for (int64_t k = 0; k < PUSHES; k++) {
        uint64_t ids[BATCH];
        uint32_t of_entry[BATCH];
        struct mu_ps_result result;
        ids_of(task->index, k, ids);
        mu_row_set_find(&hands->set, &hands->unique,
            &(struct mu_row_split){.server_count = task->rig->server_count}, ids, BATCH, of_entry);
        gradients_of(hands->set.id, task->index, k, hands->gradients);
        const struct mu_ps_client_rows rows = {.given = &hands->set, .gradients = hands->gradients};
        rig_fill_gradient(hands->dense, COUNT, task->index, k);
        mu_ps_client_put_rows(task->client, 0, &rows);
        MU_TRY(mu_ps_client_push(task->client, 0, hands->dense, 1, version, hands->fresh));
        MU_TRY(mu_ps_client_wait(task->client, 0, deadline, &result));
        version = result.version;
    }
    return mu_ps_client_leave(task->client, deadline);
}

static enum mu_status worker(struct rig_task *task)
{
    struct hands *hands = calloc(1, sizeof(*hands));
    assert(hands);
    assert_ok(mu_unique_init(&hands->unique, BATCH));
    assert_ok(mu_row_set_init(&hands->set, BATCH));
    enum mu_status status = push_all(task, hands);
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    mu_row_set_finish(&hands->set);
    mu_unique_finish(&hands->unique);
    free(hands);
    return status;
}

static bool put(void *owner, const uint64_t *ids, const float *rows, size_t count)
{
    struct taken *taken = owner;
    if (taken->offers++ % (1 + taken->refuses) < taken->refuses)
        return false;
    for (size_t i = 0; i < count; i++) {
        assert(ids[i] < IDS && !taken->there[ids[i]]);
        taken->there[ids[i]] = true;
        memcpy(taken->rows + ids[i] * STRIDE, rows + i * STRIDE, STRIDE * sizeof(float));
    }
    return true;
}

static enum mu_status give(struct rig_task *task, const struct taken *first, int64_t deadline)
{
    for (uint64_t id = 0; id < IDS; id++)
        if (first->there[id])
            MU_TRY(mu_ps_snapshot_give_rows(
                task->snapshot, &id, first->rows + id * STRIDE, 1, deadline));
    const float *const vectors[] = {first->vectors[0], first->vectors[1]};
    return mu_ps_snapshot_restore(task->snapshot, vectors, 2, first->version, 1000, NULL, deadline);
}

static enum mu_status lead(struct rig_task *task)
{
    struct run *run = task->rig->owner;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    int64_t judged[RIG_TASKS_MAX];
    MU_TRY(give(task, &run->first, deadline));
    for (int i = 0; i < SNAPSHOTS; i++) {
        struct taken *taken = &run->taken[i];
        const struct mu_row_sink sink = {.put = put, .owner = taken};
        MU_TRY(mu_ps_snapshot_start(task->snapshot, taken->vectors, &sink));
        MU_TRY(mu_ps_snapshot_wait(task->snapshot, deadline, &taken->version, judged));
    }
    return MU_OK;
}

/* ---- one table that does the same ---- */

static void replay(
    const struct rig *rig, const struct run *run, int64_t version, struct mu_row_store *store)
{
    int64_t pushed[RIG_TASKS_MAX] = {0}, now = run->first.version;
    static float gradients[BATCH * WIDTH];
    for (uint64_t id = 0; id < IDS; id++)
        if (run->first.there[id])
            assert_ok(mu_table_put(store->table, id, run->first.rows + id * STRIDE));
    for (int i = 0; i < rig->order_count && now < version; i++) {
        int worker_index = rig->order[i].worker;
        int64_t k = pushed[worker_index]++;
        uint64_t ids[BATCH];
        ids_of(worker_index, k, ids);
        gradients_of(ids, worker_index, k, gradients);
        const struct mu_row_step step = {
            .learning_rate = now % 2 ? 1.0f : 0.5f, .gradient_scale = 1, .step = now + 1};
        assert_ok(mu_row_store_apply(store, ids, BATCH, gradients, &step));
        now++;
    }
    assert_int_equal(now, version);
}

static void expect_taken(const struct rig *rig, const struct run *run, const struct taken *taken)
{
    const struct mu_row_store_options options = {
        .width = WIDTH, .push_max = BATCH, .init_row = init_row, .optimizer = rig->optimizer};
    struct mu_row_store store;
    uint64_t rows = 0, begun_count = 0;
    assert_ok(mu_row_store_init(&store, &options));
    replay(rig, run, taken->version, &store);
    for (uint64_t id = 0; id < IDS; id++) {
        const float *row;
        float begun[STRIDE] = {0};
        mu_table_look(store.table, &id, 1, &row);
        begun_count += row != NULL;
        if (!row && run->is_dense) {
            init_row(NULL, 0, id, WIDTH, begun);
            row = begun;
        }
        assert_int_equal(row != NULL, taken->there[id]);
        if (row)
            assert_memory_equal(row, taken->rows + id * STRIDE, STRIDE * sizeof(float));
        rows += taken->there[id];
    }
    assert_int_equal(mu_table_count(store.table).rows, begun_count);
    assert_int_equal(rows, run->is_dense ? IDS : begun_count);
    mu_row_store_finish(&store);
}

static void taken_init(struct taken *taken)
{
    for (int j = 0; j < 2; j++)
        taken->vectors[j] = calloc(COUNT, sizeof(float));
    taken->rows = calloc(IDS * STRIDE, sizeof(float));
    taken->there = calloc(IDS, sizeof(bool));
    assert_true(taken->vectors[0] && taken->vectors[1] && taken->rows && taken->there);
}

static void taken_finish(struct taken *taken)
{
    free(taken->vectors[0]);
    free(taken->vectors[1]);
    free(taken->rows);
    free(taken->there);
}

static struct rig rig;

static void run_rig(int server_count, struct run *run)
{
    rig = (struct rig){
        .server_count = server_count,
        .worker_count = 2,
        .in_flight = 1,
        .element_count = COUNT,
        .optimizer = &rig_momentum,
        .policy = &rig_async,
        .rows = {.width = WIDTH,
            .push_max = BATCH,
            .id_count = IDS,
            .dense = run->is_dense,
            .init_row = init_row},
        .worker = worker,
        .leader = lead,
        .owner = run,
    };
    rig_init(&rig);
    rig_run(&rig);
    for (int i = 0; i < SNAPSHOTS; i++)
        expect_taken(&rig, run, &run->taken[i]);
    rig_finish(&rig);
}

static void run_init(struct run *run)
{
    *run = (struct run){0};
    taken_init(&run->first);
    for (int i = 0; i < SNAPSHOTS; i++)
        taken_init(&run->taken[i]);
}

static void run_finish(struct run *run)
{
    taken_finish(&run->first);
    for (int i = 0; i < SNAPSHOTS; i++)
        taken_finish(&run->taken[i]);
}

/* ---- the claims ---- */

static void rows_of_a_snapshot_are_of_its_version_on_all_servers(void **state)
{
    (void)state;
    struct run run;
    run_init(&run);
    run.first.version = VERSION;
    for (uint64_t id = 0; id < IDS; id++) {
        run.first.there[id] = id % 5 != 0;
        for (size_t j = 0; j < STRIDE; j++)
            run.first.rows[id * STRIDE + j] = (float)(id % 1000) + (float)j / 64;
    }
    for (int i = 0; i < 4; i++) {
        run.is_dense = i >= 2;
        run_rig(i % 2 ? 3 : 1, &run);
        for (int k = 0; k < SNAPSHOTS; k++)
            memset(run.taken[k].there, 0, IDS * sizeof(bool));
    }
    run_finish(&run);
}

/* From two servers to three. */
static void go_on(bool was_dense, bool is_dense)
{
    struct run first, second;
    run_init(&first);
    first.is_dense = was_dense;
    run_rig(2, &first);
    run_init(&second);
    second.is_dense = is_dense;
    taken_finish(&second.first);
    second.first = first.taken[SNAPSHOTS - 1];
    run_rig(3, &second);
    taken_init(&second.first);
    run_finish(&second);
    run_finish(&first);
}

static void rows_of_a_snapshot_may_wait_for_who_takes_them(void **state)
{
    (void)state;
    struct run run;
    run_init(&run);
    for (int i = 0; i < SNAPSHOTS; i++)
        run.taken[i].refuses = 1 + i;
    for (uint64_t id = 0; id < IDS; id++)
        run.first.there[id] = true;
    run_rig(3, &run);
    for (int i = 0; i < SNAPSHOTS; i++)
        assert_in_range(run.taken[i].offers, 9 * (2 + i), 20 * (2 + i));
    run_finish(&run);
}

static void rows_go_on_at_any_number_of_servers(void **state)
{
    (void)state;
    go_on(false, false);
}

static void rows_of_dense_tables_go_on_at_any_number_of_servers(void **state)
{
    (void)state;
    go_on(true, true);
    go_on(true, false);
    go_on(false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_snapshot_are_of_its_version_on_all_servers),
        cmocka_unit_test(rows_of_a_snapshot_may_wait_for_who_takes_them),
        cmocka_unit_test(rows_go_on_at_any_number_of_servers),
        cmocka_unit_test(rows_of_dense_tables_go_on_at_any_number_of_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
