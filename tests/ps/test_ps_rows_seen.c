/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps_rig.h"
#include "runtime/base/options.h"
#include "runtime/optim/optimizers.h"
#include <math.h>

/*
 * Embedding rows whose gradients are late, corrected through whole clusters, against DC-ASGD
 * written down here once more: it is given the order in which the head took the gradients, and must
 * come to the same bits, row by row.
 */
#define WIDTH 3
#define ENTRIES 24 /* of a batch */
#define STRANGERS 8
#define WANTED_IDS 90 /* ids from here on are in no reply */
#define IDS (WANTED_IDS + STRANGERS)
#define PUSHES 40
#define WORKERS 3
#define COUNT 40 /* dense parameters */
#define IN_FLIGHT_MAX 3
#define VERSIONS_MAX (WORKERS * PUSHES + 1)
#define SEED 11

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)(seed + id % 7) / 4 - (float)i;
}

static const struct mu_ps_rows_options table = {
    .width = WIDTH, .push_max = ENTRIES + 1, .id_count = IDS, .seed = SEED, .init_row = init_row};

/* ---- batches ---- */

static bool has_stranger(int64_t k)
{
    return k % 5 == 4;
}

/* Every few pushes only some of the rows that came have a gradient, or one more that did not. */
static size_t ids_of(int worker, int64_t k, bool given, uint64_t *ids)
{
    uint64_t draws[ENTRIES];
    size_t first = given && k % 5 == 1 ? ENTRIES / 2 : 0, count = 0;
    rig_draw(draws, ENTRIES, worker, k);
    for (size_t i = first; i < ENTRIES; i++)
        ids[count++] = draws[i] % (i % 2 ? 10 : WANTED_IDS);
    if (given && has_stranger(k))
        ids[count++] = WANTED_IDS + (uint64_t)k % STRANGERS;
    return count;
}

struct batch {
    struct mu_row_set given, wanted; /* of one batch */
    float value[(ENTRIES + 1) * WIDTH], gradient[(ENTRIES + 1) * WIDTH];
};

static void make_batch(
    struct batch *batch, struct mu_unique *unique, int server_count, int worker, int64_t k)
{
    uint64_t ids[ENTRIES + 1];
    uint32_t of_entry[ENTRIES + 1];
    size_t count = ids_of(worker, k, false, ids);
    mu_row_set_find(&batch->wanted, unique, &(struct mu_row_split){.server_count = server_count},
        ids, count, of_entry);
    count = ids_of(worker, k, true, ids);
    mu_row_set_find(&batch->given, unique, &(struct mu_row_split){.server_count = server_count},
        ids, count, of_entry);
    rig_fill_row_gradients(batch->gradient, WIDTH, &batch->given, worker, k);
}

static void batch_init(struct batch *batch)
{
    assert_ok(mu_row_set_init(&batch->given, ENTRIES + 1));
    assert_ok(mu_row_set_init(&batch->wanted, ENTRIES + 1));
}

static void batch_finish(struct batch *batch)
{
    mu_row_set_finish(&batch->given);
    mu_row_set_finish(&batch->wanted);
}

/* ---- workers ---- */

struct hands {
    struct mu_unique unique;
    struct batch batches[2 * IN_FLIGHT_MAX];
    float first[COUNT];
    int64_t version;
};

static struct batch *batch_of(struct hands *hands, int64_t k)
{
    return &hands->batches[k % (2 * IN_FLIGHT_MAX)];
}

static enum mu_status push(struct rig_task *task, struct hands *hands, int64_t k)
{
    int in_flight = task->rig->in_flight;
    struct batch *batch = batch_of(hands, k), *next = batch_of(hands, k + in_flight);
    make_batch(next, &hands->unique, task->rig->server_count, task->index, k + in_flight);
    const struct mu_ps_client_rows rows = {.given = &batch->given,
        .gradients = batch->gradient,
        .wanted = &next->wanted,
        .values = next->value};
    return rig_push_rows(task, k, hands->version, &rows);
}

static enum mu_status train(struct rig_task *task, struct hands *hands)
{
    int in_flight = task->rig->in_flight;
    int64_t deadline = mu_deadline(mu_now(task->world), RIG_TIME);
    MU_TRY(mu_ps_client_pull(task->client, hands->first, deadline, &hands->version));
    for (int64_t k = 0; k < PUSHES + in_flight; k++) {
        struct mu_ps_result result;
        if (k < in_flight) {
            make_batch(batch_of(hands, k), &hands->unique, task->rig->server_count, task->index, k);
        } else {
            MU_TRY(mu_ps_client_wait(
                task->client, (int)((k - in_flight) % in_flight), deadline, &result));
            hands->version = result.version;
        }
        if (k < PUSHES)
            MU_TRY(push(task, hands, k));
    }
    return mu_ps_client_leave(task->client, deadline);
}

static enum mu_status worker(struct rig_task *task)
{
    struct hands *hands = calloc(1, sizeof(*hands));
    assert(hands);
    assert_ok(mu_unique_init(&hands->unique, ENTRIES + 1));
    for (int i = 0; i < 2 * IN_FLIGHT_MAX; i++)
        batch_init(&hands->batches[i]);
    enum mu_status status = train(task, hands);
    mu_ps_client_destroy(task->client);
    task->client = NULL;
    for (int i = 0; i < 2 * IN_FLIGHT_MAX; i++)
        batch_finish(&hands->batches[i]);
    mu_unique_finish(&hands->unique);
    free(hands);
    return status;
}

/* ---- the algorithm once more ---- */

struct row {
    float w[WIDTH], slot[WIDTH], mean_square[WIDTH];
    bool there;
};

struct reference {
    struct row row[IDS];
    float at[VERSIONS_MAX][IDS][WIDTH]; /* the rows of each version */
    int64_t version, pushed[WORKERS];
    int64_t corrected, left; /* rows of late gradients */
    struct mu_unique unique;
    struct batch batch;
};

static bool adapts;

static void correct(struct row *row, const float *seen, float *gradient)
{
    for (size_t i = 0; i < WIDTH; i++) {
        float g = gradient[i];
        if (adapts)
            row->mean_square[i] = 0.95f * row->mean_square[i] + (1 - 0.95f) * g * g;
        float lambda = adapts ? 2.0f / sqrtf(row->mean_square[i] + 1e-7f) : 0.25f;
        gradient[i] = g + lambda * g * g * (row->w[i] - seen[i]);
    }
}

static void step_row(
    const struct rig *rig, struct row *row, const float *gradient, float rate, int64_t step)
{
    float w[16] __attribute__((aligned(64))), g[16] __attribute__((aligned(64))),
        slot[16] __attribute__((aligned(64)));
    memcpy(w, row->w, sizeof(row->w));
    memcpy(g, gradient, sizeof(row->w));
    memcpy(slot, row->slot, sizeof(row->slot));
    struct mu_optim_step numbers = {.count = WIDTH,
        .parameters = w,
        .gradients = g,
        .slots = {slot},
        .learning_rate = rate,
        .gradient_scale = 1,
        .step = step};
    rig->optimizer->step(rig->optimizer_options, &numbers);
    memcpy(row->w, w, sizeof(row->w));
    memcpy(row->slot, slot, sizeof(row->slot));
    row->there = true;
}

/* Did all rows of this gradient that are on the server of `id` come with a reply? */
static bool came(const struct rig *rig, const struct rig_order *order, int64_t k, uint64_t id)
{
    uint64_t stranger = WANTED_IDS + (uint64_t)k % STRANGERS;
    bool strange = has_stranger(k) &&
                   mu_split_row(id, rig->server_count) == mu_split_row(stranger, rig->server_count);
    return order->verdict == MU_VERDICT_CORRECT && k >= rig->in_flight && !strange;
}

static void take(struct reference *ref, const struct rig *rig, const struct rig_order *order)
{
    int64_t k = ref->pushed[order->worker]++, seen = ref->version - (int64_t)order->staleness;
    float rate = ref->version % 2 ? 1.0f : 0.5f;
    make_batch(&ref->batch, &ref->unique, 1, order->worker, k);
    assert_int_equal(
        order->verdict, adapts || order->staleness > 0 ? MU_VERDICT_CORRECT : MU_VERDICT_APPLY);
    for (size_t i = 0; i < ref->batch.given.count; i++) {
        uint64_t id = ref->batch.given.id[i];
        float *gradient = ref->batch.gradient + i * WIDTH;
        bool corrects = came(rig, order, k, id);
        if (corrects)
            correct(&ref->row[id], ref->at[seen][id], gradient);
        ref->corrected += corrects && order->staleness > 0;
        ref->left += !corrects && order->staleness > 0;
        step_row(rig, &ref->row[id], gradient, rate, ref->version + 1);
    }
    ref->version++;
    for (size_t id = 0; id < IDS; id++)
        memcpy(ref->at[ref->version][id], ref->row[id].w, sizeof(ref->row[id].w));
}

static void expect_the_same(const struct rig *rig)
{
    static struct reference ref;
    size_t stride = WIDTH * (1 + (size_t)rig->optimizer->slot_count);
    ref = (struct reference){0};
    batch_init(&ref.batch);
    assert_ok(mu_unique_init(&ref.unique, ENTRIES + 1));
    for (uint64_t id = 0; id < IDS; id++) {
        init_row(NULL, SEED, id, WIDTH, ref.row[id].w);
        memcpy(ref.at[0][id], ref.row[id].w, sizeof(ref.row[id].w));
    }
    for (int i = 0; i < rig->order_count; i++)
        take(&ref, rig, &rig->order[i]);
    assert_int_equal(ref.version, WORKERS * PUSHES);
    for (uint64_t id = 0; id < IDS; id++) {
        const float *row = rig->row + id * stride;
        assert_int_equal(rig->row_there[id], ref.row[id].there || rig->rows.dense);
        if (!rig->row_there[id])
            continue;
        assert_memory_equal(row, ref.row[id].w, sizeof(ref.row[id].w));
        if (rig->optimizer->slot_count > 0)
            assert_memory_equal(row + WIDTH, ref.row[id].slot, sizeof(ref.row[id].slot));
    }
    /* With more than one in flight a worker is late for its own gradients, whoever runs when. */
    if (rig->in_flight > 1) {
        assert_true(ref.corrected > WORKERS * PUSHES);
        assert_true(ref.left > WORKERS);
    }
    mu_unique_finish(&ref.unique);
    batch_finish(&ref.batch);
}

/* ---- the claims ---- */

static const struct mu_policy_ops *compensate(void)
{
    size_t i = 0;
    while (strcmp(mu_policies[i]->name, "compensate") != 0)
        i++;
    return mu_policies[i];
}

static void *options_of(const struct mu_option *rows, size_t bytes)
{
    void *options = calloc(1, bytes + 1);
    assert_non_null(options);
    mu_options_defaults(rows, options);
    return options;
}

static void run(const char *optimizer, bool dense, int servers, int in_flight)
{
    static struct rig rig;
    static struct mu_test_log log;
    const struct mu_policy_ops *policy = compensate();
    const struct mu_optimizer_ops *ops = mu_optimizer_find(optimizer);
    void *policy_options = options_of(policy->options, policy->option_bytes);
    void *optimizer_options = options_of(ops->options, ops->option_bytes);
    static const char *const sets[][2] = {{"adaptive", "false"}, {"lambda", "0.25"}};
    for (size_t i = 0; i < MU_COUNT_OF(sets) && !adapts; i++)
        assert_ok(mu_options_set(mu_test_log_init(&log), sets[i][0],
            mu_options_find(policy->options, sets[i][0]), sets[i][1], policy_options));
    rig = (struct rig){
        .server_count = servers,
        .worker_count = WORKERS,
        .in_flight = in_flight,
        .element_count = COUNT,
        .optimizer = ops,
        .optimizer_options = optimizer_options,
        .policy = policy,
        .policy_options = policy_options,
        .rows = table,
        .worker = worker,
    };
    rig.rows.dense = dense;
    rig_init(&rig);
    rig_run(&rig);
    expect_the_same(&rig);
    rig_finish(&rig);
    free(policy_options);
    free(optimizer_options);
}

static void run_all(void)
{
    static const int shapes[][2] = {{1, 1}, {2, 2}, {1, 3}, {3, 2}};
    for (size_t i = 0; i < MU_COUNT_OF(shapes); i++)
        for (int dense = 0; dense < 2; dense++) {
            run("sgd", dense, shapes[i][0], shapes[i][1]);
            run("adagrad", dense, shapes[i][0], shapes[i][1]);
        }
}

static void late_rows_are_corrected_by_a_constant(void **state)
{
    (void)state;
    adapts = false;
    run_all();
}

static void late_rows_are_corrected_by_the_mean_square_of_each(void **state)
{
    (void)state;
    adapts = true;
    run_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_rows_are_corrected_by_a_constant),
        cmocka_unit_test(late_rows_are_corrected_by_the_mean_square_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
