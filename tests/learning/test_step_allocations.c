/* SPDX-License-Identifier: Apache-2.0 */
#include "model_rig.h"

#include "models/models.h"
#include "muster/dataset.h"
#include "numbers.h"
#include "runtime/device/device.h"
#include "runtime/optim/optimizers.h"
#include "runtime/tensor/arena.h"

/* Every allocation of the program is wrapped and counted: a training step makes none. */
static long allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    allocations++;
    return __real_aligned_alloc(align, bytes);
}

static const struct mu_integers widths = {3, {784, 128, 10}};

static void a_training_step_allocates_nothing(void **state)
{
    (void)state;
    enum { ROWS = 64 };
    struct mu_test_log log;
    struct mu_layout layout;
    struct mu_device *device = NULL;
    struct mu_arena parameters, gradients, features;
    int32_t labels[ROWS] = {0};
    void *model = NULL;
    const struct mu_model_ops *ops = mu_model_find("mlp");
    assert_ok(mu_device_create("cpu", mu_test_log_init(&log), &device));
    const struct mu_dataset_facts facts = {.feature_count = 784, .class_count = 10};
    assert_ok(ops->layout(&widths, &facts, &log.log, &layout));
    assert_ok(mu_arena_init(&parameters, layout.element_count));
    assert_ok(mu_arena_init(&gradients, layout.element_count));
    assert_ok(mu_arena_init(&features, ROWS * 784));
    assert_ok(ops->create(&widths, &layout, device, ROWS, &model));
    assert_true(allocations >= 3); /* the wraps count */
    numbers_fill(features.data, features.count, 1);
    ops->init(&widths, &layout, 1, parameters.data);

    long before = allocations;
    struct mu_batch batch = {
        .row_count = ROWS, .feature_count = 784, .features = features.data, .labels = labels};
    struct mu_loss loss;
    ops->forward(model, parameters.data, &batch, &loss);
    ops->backward(model, parameters.data, &batch, 1, gradients.data, NULL);
    struct mu_optim_step step = {.count = layout.element_count,
        .parameters = parameters.data,
        .gradients = gradients.data,
        .learning_rate = 0.1F,
        .gradient_scale = 1,
        .step = 1};
    mu_optimizer_find("sgd")->step(NULL, &step);
    assert_int_equal(allocations, before);

    ops->destroy(model);
    mu_device_destroy(device);
    mu_arena_finish(&parameters);
    mu_arena_finish(&gradients);
    mu_arena_finish(&features);
}

static void a_step_of_a_model_of_sparse_data_allocates_nothing(void **state)
{
    (void)state;
    static const struct rig_shape shapes[] = {
        {.model = "linear", .features = 6, .classes = 2, .entry_max = 3},
        {.model = "factorization", .features = 3, .classes = 2, .entry_max = 5},
        {.model = "wide_deep", .features = 5, .classes = 2, .fields = 3},
    };
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        long before = allocations;
        rig_backward(&rig, 1, NULL);
        assert_int_equal(allocations, before);
        rig_end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_step_allocates_nothing),
        cmocka_unit_test(a_step_of_a_model_of_sparse_data_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
