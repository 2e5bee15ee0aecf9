/* SPDX-License-Identifier: Apache-2.0 */
/* How hard the glyphs are: a linear model stays clearly behind one with a hidden layer, so that a
 * learner that does not learn all it should is seen. */
#include "data/datasets.h"
#include "data/plan.h"
#include "models/models.h"
#include "runtime/base/options.h"
#include "runtime/device/device.h"
#include "runtime/optim/optimizers.h"
#include "runtime/tensor/arena.h"
#include "test.h"

#define BATCH 64
#define FEATURES 784
#define EPOCHS 5

struct learner {
    const struct mu_model_ops *model_ops;
    const struct mu_optimizer_ops *optimizer;
    void *model_options, *optimizer_options, *model;
    struct mu_layout layout;
    struct mu_device *device;
    struct mu_arena parameters, gradients, slots[MU_SLOTS_MAX];
    float features[BATCH * FEATURES];
    int32_t labels[BATCH];
};

static struct mu_test_log said;
static struct learner learner;

static void *defaults_of(const struct mu_option *rows, size_t bytes)
{
    void *options = calloc(1, bytes > 0 ? bytes : 1);
    assert_non_null(options);
    mu_options_defaults(rows, options);
    return options;
}

static void learner_init(const char *model, const char *key, const char *value)
{
    struct mu_log *log = mu_test_log_init(&said);
    const struct mu_model_ops *ops = learner.model_ops = mu_model_find(model);
    learner.optimizer = mu_optimizer_find("momentum");
    learner.model_options = defaults_of(ops->options, ops->option_bytes);
    learner.optimizer_options =
        defaults_of(learner.optimizer->options, learner.optimizer->option_bytes);
    if (key)
        assert_ok(mu_options_set(
            log, key, mu_options_find(ops->options, key), value, learner.model_options));
    assert_ok(mu_device_create("cpu", log, &learner.device));
    const struct mu_dataset_facts facts = {.feature_count = FEATURES, .class_count = 10};
    assert_ok(ops->layout(learner.model_options, &facts, log, &learner.layout));
    size_t count = learner.layout.element_count;
    assert_ok(mu_arena_init(&learner.parameters, count));
    assert_ok(mu_arena_init(&learner.gradients, count));
    for (int i = 0; i < learner.optimizer->slot_count; i++)
        assert_ok(mu_arena_init(&learner.slots[i], count));
    ops->init(learner.model_options, &learner.layout, 1, learner.parameters.data);
    assert_ok(
        ops->create(learner.model_options, &learner.layout, learner.device, BATCH, &learner.model));
}

static void learner_finish(void)
{
    learner.model_ops->destroy(learner.model);
    for (int i = 0; i < MU_SLOTS_MAX; i++)
        mu_arena_finish(&learner.slots[i]);
    mu_arena_finish(&learner.gradients);
    mu_arena_finish(&learner.parameters);
    mu_device_destroy(learner.device);
    free(learner.model_options);
    free(learner.optimizer_options);
    learner = (struct learner){0};
}

static struct mu_loss forward(void *dataset, const uint32_t *index, size_t count)
{
    struct mu_loss loss;
    mu_dataset_find("glyphs")->read(dataset, index, count, learner.features, learner.labels);
    const struct mu_batch batch = {.row_count = count,
        .feature_count = FEATURES,
        .features = learner.features,
        .labels = learner.labels};
    learner.model_ops->forward(learner.model, learner.parameters.data, &batch, &loss);
    return loss;
}

static void train_step(void *dataset, const uint32_t *index, size_t count, int64_t number)
{
    (void)forward(dataset, index, count);
    const struct mu_batch batch = {.row_count = count,
        .feature_count = FEATURES,
        .features = learner.features,
        .labels = learner.labels};
    learner.model_ops->backward(learner.model, learner.parameters.data, &batch, 1.0F / (float)count,
        learner.gradients.data, NULL);
    struct mu_optim_step step = {.count = learner.layout.element_count,
        .parameters = learner.parameters.data,
        .gradients = learner.gradients.data,
        .learning_rate = 0.05F,
        .gradient_scale = 1,
        .step = number};
    for (int i = 0; i < learner.optimizer->slot_count; i++)
        step.slots[i] = learner.slots[i].data;
    learner.optimizer->step(learner.optimizer_options, &step);
}

static void train(void *dataset, size_t sample_count)
{
    struct mu_plan plan;
    int64_t number = 0;
    assert_ok(mu_plan_init(&plan, 1, sample_count));
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        mu_plan_begin(&plan, epoch, NULL, 0, 1, BATCH);
        for (int64_t step = 0; step < plan.step_count; step++) {
            size_t count, global_count;
            const uint32_t *index = mu_plan_samples(&plan, step, 0, &count, &global_count);
            train_step(dataset, index, count, ++number);
        }
    }
    mu_plan_finish(&plan);
}

/* Percent of the test set that is told right. */
static double measure(void *dataset, uint32_t sample_count)
{
    size_t right = 0;
    for (uint32_t first = 0; first < sample_count; first += BATCH) {
        uint32_t index[BATCH], count = 0;
        while (count < BATCH && first + count < sample_count) {
            index[count] = first + count;
            count++;
        }
        right += forward(dataset, index, count).correct_count;
    }
    return 100.0 * (double)right / sample_count;
}

static double learn(const char *model, const char *key, const char *value)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("glyphs");
    void *options = defaults_of(ops->options, ops->option_bytes), *train_set, *test_set;
    struct mu_dataset_facts train_facts, test_facts;
    struct mu_log *log = mu_test_log_init(&said);
    assert_ok(ops->open(options, MU_SPLIT_TRAIN, log, &train_set, &train_facts));
    assert_ok(ops->open(options, MU_SPLIT_TEST, log, &test_set, &test_facts));
    learner_init(model, key, value);
    train(train_set, train_facts.sample_count);
    double percent = measure(test_set, (uint32_t)test_facts.sample_count);
    learner_finish();
    ops->close(train_set);
    ops->close(test_set);
    free(options);
    print_message("# %s: %.2f %% after %d epochs\n", model, percent, EPOCHS);
    return percent;
}

static void a_linear_model_learns_most_of_it(void **state)
{
    double percent = learn("softmax", NULL, NULL);
    assert_true(percent > 80 && percent < 92);
}

static void a_hidden_layer_learns_nearly_all(void **state)
{
    double percent = learn("mlp", "widths", "784,128,10");
    assert_true(percent > 94);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_model_learns_most_of_it),
        cmocka_unit_test(a_hidden_layer_learns_nearly_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
