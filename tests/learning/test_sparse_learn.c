/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "models/auc.h"
#include "models/models.h"
#include "muster/dataset.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"
#include <math.h>

/*
 * Models of sparse data learn what a small made-up set hides, as well as whoever knows it, and no
 * more than their kind can. All rows of the table lie beside each batch; AdaGrad makes the steps.
 */
#define FIELDS 3
#define IDS 30 /* of a field */
#define TABLE (FIELDS * IDS)
#define FEATURES 2
#define BATCH 64
#define TRAIN (BATCH * 200)
#define TEST (BATCH * 50)
#define EPOCHS 6

static struct {
    float features[(TRAIN + TEST) * FEATURES];
    int32_t labels[TRAIN + TEST];
    uint32_t id[(TRAIN + TEST) * FIELDS];
    float truth[TRAIN + TEST]; /* the logit from which the label was drawn */
} set;

/* What is hidden: a weight and a factor of every id, a weight of every feature. */
static struct {
    float weight[TABLE], factor[TABLE], of_feature[FEATURES];
} hidden;

struct learner {
    struct mu_test_log log;
    const struct mu_model_ops *ops;
    struct mu_device *device;
    void *options, *model;
    struct mu_layout layout;
    size_t width;
    struct mu_arena parameters, gradients, squares;    /* of the vector */
    struct mu_arena table, row_gradients, row_squares; /* (TABLE, width) */
};

/* ---- data ---- */

/* The logit: a sum of weights, or a product of two factors alone. */
static float truth_of(const uint32_t *id, const float *features, bool product)
{
    if (product)
        return 4 * hidden.factor[id[0]] * hidden.factor[id[1]];
    float sum = 0;
    for (int f = 0; f < FIELDS; f++)
        sum += hidden.weight[id[f]];
    for (int k = 0; k < FEATURES; k++)
        sum += hidden.of_feature[k] * features[k];
    return sum;
}

static void make_set(bool product)
{
    struct mu_random random;
    mu_random_init(&random, 8);
    for (int id = 0; id < TABLE; id++) {
        hidden.weight[id] = (float)mu_random_normal(&random);
        hidden.factor[id] = id % 2 ? 1 : -1; /* balanced: no id by itself says anything */
    }
    for (int k = 0; k < FEATURES; k++)
        hidden.of_feature[k] = (float)(k + 1);
    for (int i = 0; i < TRAIN + TEST; i++) {
        for (int f = 0; f < FIELDS; f++)
            set.id[i * FIELDS + f] = (uint32_t)(f * IDS) + (uint32_t)mu_random_below(&random, IDS);
        for (int k = 0; k < FEATURES; k++)
            set.features[i * FEATURES + k] = (float)mu_random_normal(&random);
        set.truth[i] = truth_of(&set.id[i * FIELDS], &set.features[i * FEATURES], product);
        set.labels[i] = mu_random_unit(&random) < 1 / (1 + exp(-(double)set.truth[i]));
    }
}

/* ---- training ---- */

static void learner_begin(struct learner *learner, const char *model)
{
    memset(learner, 0, sizeof(*learner));
    struct mu_log *log = mu_test_log_init(&learner->log);
    const struct mu_model_ops *ops = learner->ops = mu_model_find(model);
    const struct mu_dataset_facts facts = {
        .feature_count = FEATURES, .class_count = 2, .entry_max = FIELDS, .field_count = FIELDS};
    learner->options = calloc(1, ops->option_bytes + 1);
    assert_non_null(learner->options);
    mu_options_defaults(ops->options, learner->options);
    assert_ok(mu_device_create("cpu", log, &learner->device));
    assert_ok(ops->layout(learner->options, &facts, log, &learner->layout));
    assert_ok(ops->row_width(learner->options, &facts, log, &learner->width));
    struct mu_arena *of_vector[] = {&learner->parameters, &learner->gradients, &learner->squares};
    struct mu_arena *of_table[] = {&learner->table, &learner->row_gradients, &learner->row_squares};
    for (int i = 0; i < 3; i++) {
        assert_ok(mu_arena_init(of_vector[i], learner->layout.element_count));
        assert_ok(mu_arena_init(of_table[i], TABLE * learner->width));
    }
    ops->init(learner->options, &learner->layout, 1, learner->parameters.data);
    for (size_t id = 0; id < TABLE; id++)
        ops->init_row(
            learner->options, 1, id, learner->width, learner->table.data + id * learner->width);
    assert_ok(
        ops->create(learner->options, &learner->layout, learner->device, BATCH, &learner->model));
}

static void learner_end(struct learner *learner)
{
    learner->ops->destroy(learner->model);
    mu_device_destroy(learner->device);
    struct mu_arena *arenas[] = {&learner->parameters, &learner->gradients, &learner->squares,
        &learner->table, &learner->row_gradients, &learner->row_squares};
    for (size_t i = 0; i < MU_COUNT_OF(arenas); i++)
        mu_arena_finish(arenas[i]);
    free(learner->options);
}

static struct mu_batch batch_at(struct learner *learner, size_t at)
{
    static uint32_t first[BATCH + 1];
    static float ones[BATCH * FIELDS];
    for (uint32_t i = 0; i <= BATCH; i++)
        first[i] = i * FIELDS;
    for (int e = 0; e < BATCH * FIELDS; e++)
        ones[e] = 1;
    return (struct mu_batch){.row_count = BATCH,
        .feature_count = FEATURES,
        .features = set.features + at * FEATURES,
        .labels = set.labels + at,
        .entries = {.first = first, .value = ones},
        .rows = {.count = TABLE,
            .width = learner->width,
            .value = learner->table.data,
            .of_entry = set.id + at * FIELDS,
            .gradient = learner->row_gradients.data}};
}

static void adagrad(struct mu_arena *x, struct mu_arena *squares, const struct mu_arena *gradients)
{
    for (size_t i = 0; i < x->count; i++) {
        float gradient = gradients->data[i];
        squares->data[i] += gradient * gradient;
        x->data[i] -= 0.05F * gradient / (sqrtf(squares->data[i]) + 1e-6F);
    }
}

static void train(struct learner *learner)
{
    for (int step = 0; step < EPOCHS * TRAIN / BATCH; step++) {
        struct mu_batch batch = batch_at(learner, (size_t)(step * BATCH % TRAIN));
        struct mu_loss loss;
        learner->ops->forward(learner->model, learner->parameters.data, &batch, &loss);
        learner->ops->backward(learner->model, learner->parameters.data, &batch, 1.0F / BATCH,
            learner->gradients.data, NULL);
        adagrad(&learner->parameters, &learner->squares, &learner->gradients);
        adagrad(&learner->table, &learner->row_squares, &learner->row_gradients);
    }
}

/* ---- what was learnt ---- */

struct result {
    double auc, loss;
};

static struct result result_of(const char *model)
{
    static float scores[TEST];
    struct learner learner;
    struct result result = {0};
    learner_begin(&learner, model);
    train(&learner);
    for (size_t at = 0; at < TEST; at += BATCH) {
        struct mu_batch batch = batch_at(&learner, TRAIN + at);
        struct mu_loss loss;
        learner.ops->forward(learner.model, learner.parameters.data, &batch, &loss);
        memcpy(scores + at, learner.ops->scores(learner.model), BATCH * sizeof(float));
        result.loss += loss.loss_sum / TEST;
    }
    learner_end(&learner);
    assert_ok(mu_auc(scores, set.labels + TRAIN, TEST, &result.auc));
    return result;
}

/* The best that anyone can do: who knows the logits that the labels were drawn from. */
static struct result best(void)
{
    struct result result = {0};
    for (int i = TRAIN; i < TRAIN + TEST; i++) {
        double sign = set.labels[i] ? 1 : -1;
        result.loss += log1p(exp(-sign * (double)set.truth[i])) / TEST;
    }
    assert_ok(mu_auc(set.truth + TRAIN, set.labels + TRAIN, TEST, &result.auc));
    return result;
}

static void assert_learns(const char *model)
{
    struct result got = result_of(model), limit = best();
    if (!(got.auc > limit.auc - 0.01 && got.loss < limit.loss + 0.03))
        fail_msg("%s: auc %.4f where %.4f can be, loss %.4f where %.4f can be", model, got.auc,
            limit.auc, got.loss, limit.loss);
}

static void all_learn_a_sum_of_weights(void **state)
{
    (void)state;
    make_set(false);
    assert_learns("linear");
    assert_learns("factorization");
    assert_learns("wide_deep");
}

static void a_product_is_learnt_by_all_but_the_linear_model(void **state)
{
    (void)state;
    make_set(true);
    assert_learns("factorization");
    assert_learns("wide_deep");
    struct result linear = result_of("linear");
    assert_true(fabs(linear.auc - 0.5) < 0.05);
    assert_true(linear.loss > 0.68);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_learn_a_sum_of_weights),
        cmocka_unit_test(a_product_is_learnt_by_all_but_the_linear_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
