/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "models/models.h"
#include "muster/dataset.h"
#include "numbers.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"
#include "runtime/tensor/layout.h"
#include <math.h>

/* Conformance: every model of the registry, in the shapes below. */
#define ROWS_MAX 12

struct widths {
    struct mu_integers widths; /* the options of "mlp"; "softmax" has none */
};
static const struct shape {
    const char *model;
    struct widths options;
    size_t features, classes;
} shapes[] = {
    {"softmax", {{0, {0}}}, 6, 5},
    {"mlp", {{2, {7, 3}}}, 7, 3},
    {"mlp", {{3, {6, 9, 4}}}, 6, 4},
    {"mlp", {{5, {5, 17, 16, 3, 2}}}, 5, 2},
};

struct rig {
    struct mu_test_log log;
    struct mu_device *device;
    const struct mu_model_ops *ops;
    const struct shape *shape;
    struct mu_layout layout;
    struct mu_arena parameters, gradients;
    void *model;
    float features[ROWS_MAX * 784];
    int32_t labels[ROWS_MAX];
    struct mu_batch batch;
};

static void rig_begin(struct rig *rig, const struct shape *shape, const char *device)
{
    memset(rig, 0, sizeof(*rig));
    rig->shape = shape;
    rig->ops = mu_model_find(shape->model);
    struct mu_log *log = mu_test_log_init(&rig->log);
    assert_ok(mu_device_create(device, log, &rig->device));
    const struct mu_dataset_facts facts = {
        .feature_count = shape->features, .class_count = shape->classes};
    assert_ok(rig->ops->layout(&shape->options, &facts, log, &rig->layout));
    assert_ok(mu_arena_init(&rig->parameters, rig->layout.element_count));
    assert_ok(mu_arena_init(&rig->gradients, rig->layout.element_count));
    assert_ok(rig->ops->create(&shape->options, &rig->layout, rig->device, ROWS_MAX, &rig->model));
    for (int i = 0; i < rig->layout.view_count; i++) {
        struct mu_span span = rig->layout.view[i].span;
        numbers_fill(rig->parameters.data + span.first, span.count, (uint64_t)i + 77);
    }
    numbers_fill(rig->features, ROWS_MAX * shape->features, 5);
    for (int i = 0; i < ROWS_MAX; i++)
        rig->labels[i] = (int32_t)((size_t)i % shape->classes);
    rig->batch = (struct mu_batch){.row_count = ROWS_MAX,
        .feature_count = shape->features,
        .features = rig->features,
        .labels = rig->labels};
}

static void rig_end(struct rig *rig)
{
    rig->ops->destroy(rig->model);
    mu_device_destroy(rig->device);
    mu_arena_finish(&rig->parameters);
    mu_arena_finish(&rig->gradients);
}

static double loss_at(struct rig *rig)
{
    struct mu_loss loss;
    rig->ops->forward(rig->model, rig->parameters.data, &rig->batch, &loss);
    return loss.loss_sum;
}

static void backward(struct rig *rig, float scale, const struct mu_slice_listener *listener)
{
    (void)loss_at(rig);
    for (size_t i = 0; i < rig->gradients.count; i++)
        rig->gradients.data[i] = NAN; /* all must be written */
    rig->ops->backward(
        rig->model, rig->parameters.data, &rig->batch, scale, rig->gradients.data, listener);
}

static double difference_at(struct rig *rig, size_t at, float epsilon)
{
    float before = rig->parameters.data[at];
    float above = before + epsilon, below = before - epsilon;
    rig->parameters.data[at] = above;
    double loss_above = loss_at(rig);
    rig->parameters.data[at] = below;
    double loss_below = loss_at(rig);
    rig->parameters.data[at] = before;
    return (loss_above - loss_below) / ((double)above - (double)below);
}

/* A ReLU that turns inside the difference spoils it: then a smaller one, on either side of the
 * turn, is right. The gradient agrees if one of the two does. */
static void gradients_agree_with_differences_of_the_loss(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "reference");
        backward(&rig, 0.5F, NULL);
        for (int v = 0; v < rig.layout.view_count; v++)
            for (size_t i = 0; i < rig.layout.view[v].span.count; i++) {
                size_t at = rig.layout.view[v].span.first + i;
                double got = (double)rig.gradients.data[at];
                double wide = fabs(0.5 * difference_at(&rig, at, 4e-3F) - got);
                double narrow = fabs(0.5 * difference_at(&rig, at, 5e-4F) - got);
                if (!(fmin(wide, narrow) < 2e-3 * (1 + fabs(got))))
                    fail_msg("%s %zu, %s[%zu]: gradient %g is off by %g", shapes[s].model, s,
                        rig.layout.view[v].name, i, got, fmin(wide, narrow));
            }
        rig_end(&rig);
    }
}

static void cpu_gradients_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig cpu, reference;
        rig_begin(&cpu, &shapes[s], "cpu");
        rig_begin(&reference, &shapes[s], "reference");
        assert_true(fabs(loss_at(&cpu) - loss_at(&reference)) < 1e-4);
        backward(&cpu, 1, NULL);
        backward(&reference, 1, NULL);
        for (size_t i = 0; i < cpu.gradients.count; i++)
            assert_true(fabsf(cpu.gradients.data[i] - reference.gradients.data[i]) < 1e-3F);
        rig_end(&cpu);
        rig_end(&reference);
    }
}

struct heard {
    size_t begin; /* of the last slice */
    int count;
    const float *gradients;
};

static void hear(void *owner, struct mu_span slice)
{
    struct heard *heard = owner;
    assert_int_equal(slice.first + slice.count, heard->begin);
    assert_true(slice.count > 0);
    for (size_t i = slice.first; i < heard->begin; i++)
        assert_false(isnan(heard->gradients[i])); /* it is final, gaps included */
    heard->begin = slice.first;
    heard->count++;
}

static int slices_of(struct rig *rig)
{
    struct heard heard = {rig->layout.element_count, 0, rig->gradients.data};
    backward(rig, 1, &(struct mu_slice_listener){hear, &heard});
    assert_int_equal(heard.begin, 0);
    return heard.count;
}

static void slices_are_announced_from_the_end_and_cover_the_vector(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        assert_int_equal(slices_of(&rig), rig.layout.view_count / 2);
        rig_end(&rig);
    }
}

static const struct shape large = {"mlp", {{3, {784, 512, 10}}}, 784, 10};

static void large_layers_are_announced_in_pieces(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &large, "cpu");
    assert_int_equal(slices_of(&rig), 1 + 2);
    rig_end(&rig);
}

static void gaps_of_gradients_are_zero(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        backward(&rig, 1, NULL);
        for (int v = 0; v < rig.layout.view_count; v++) {
            struct mu_span span = rig.layout.view[v].span;
            memset(rig.gradients.data + span.first, 0, span.count * sizeof(float));
        }
        for (size_t i = 0; i < rig.gradients.count; i++)
            assert_true(rig.gradients.data[i] == 0);
        rig_end(&rig);
    }
}

static void zero_rows_have_no_loss_and_a_gradient_of_zeros(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        rig.batch.row_count = 0;
        struct mu_loss loss = {1, 1};
        rig.ops->forward(rig.model, rig.parameters.data, &rig.batch, &loss);
        assert_true(loss.loss_sum == 0 && loss.correct_count == 0);
        assert_true(slices_of(&rig) >= 1);
        for (size_t i = 0; i < rig.gradients.count; i++)
            assert_true(rig.gradients.data[i] == 0);
        rig_end(&rig);
    }
}

static void the_same_step_twice_gives_the_same_bits(void **state)
{
    (void)state;
    struct rig one, two;
    rig_begin(&one, &large, "cpu");
    rig_begin(&two, &large, "cpu");
    backward(&one, 0.1F, NULL);
    backward(&one, 0.1F, NULL); /* also on a used model */
    backward(&two, 0.1F, NULL);
    assert_memory_equal(
        one.gradients.data, two.gradients.data, one.gradients.count * sizeof(float));
    rig_end(&one);
    rig_end(&two);
}

static void scale_is_a_factor_on_every_gradient(void **state)
{
    (void)state;
    struct rig one, half;
    rig_begin(&one, &shapes[2], "cpu");
    rig_begin(&half, &shapes[2], "cpu");
    backward(&one, 1, NULL);
    backward(&half, 0.5F, NULL);
    for (size_t i = 0; i < one.gradients.count; i++)
        assert_true(half.gradients.data[i] == 0.5F * one.gradients.data[i]);
    rig_end(&one);
    rig_end(&half);
}

static void initial_values_depend_on_the_seed_alone(void **state)
{
    (void)state;
    struct rig one, two;
    rig_begin(&one, &large, "cpu");
    rig_begin(&two, &large, "cpu");
    size_t bytes = one.parameters.count * sizeof(float);
    one.ops->init(&large.options, &one.layout, 3, one.parameters.data);
    two.ops->init(&large.options, &two.layout, 3, two.parameters.data);
    assert_memory_equal(one.parameters.data, two.parameters.data, bytes);
    two.ops->init(&large.options, &two.layout, 4, two.parameters.data);
    assert_memory_not_equal(one.parameters.data, two.parameters.data, bytes);
    rig_end(&one);
    rig_end(&two);
}

static void initial_weights_have_the_variance_of_he(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &large, "cpu");
    rig.ops->init(&large.options, &rig.layout, 1, rig.parameters.data);
    const struct mu_view *weight = &rig.layout.view[0];
    double sum = 0, squares = 0, count = (double)weight->span.count;
    for (size_t i = 0; i < weight->span.count; i++) {
        double x = (double)rig.parameters.data[weight->span.first + i];
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum / count) < 5e-4);
    assert_true(fabs(squares / count / (2.0 / 784) - 1) < 0.02);
    const struct mu_view *bias = &rig.layout.view[1];
    for (size_t i = 0; i < bias->span.count; i++)
        assert_true(rig.parameters.data[bias->span.first + i] == 0);
    rig_end(&rig);
}

static void layers_are_named_and_shaped_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &shapes[2], "cpu");
    static const char *const names[] = {
        "layer0/weight", "layer0/bias", "layer1/weight", "layer1/bias"};
    assert_int_equal(rig.layout.view_count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(rig.layout.view[i].name, names[i]);
    assert_int_equal(rig.layout.view[2].shape[0], 9);
    assert_int_equal(rig.layout.view[2].shape[1], 4);
    assert_int_equal(rig.layout.view[3].rank, 1);
    rig_end(&rig);
}

static void widths_that_do_not_fit_the_data_are_refused(void **state)
{
    (void)state;
    static const struct widths wrong[] = {
        {{3, {6, 9, 4}}}, {{1, {5}}}, {{0, {0}}}, {{2, {5, 9}}}, {{2, {9, 2}}}};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        struct mu_test_log log;
        struct mu_layout layout;
        const struct mu_dataset_facts facts = {.feature_count = 5, .class_count = 2};
        assert_int_equal(
            mu_model_find("mlp")->layout(&wrong[i], &facts, mu_test_log_init(&log), &layout),
            MU_CONFIG);
        assert_said(&log, "model.widths");
    }
}

static double train(struct rig *rig, int steps)
{
    double loss = loss_at(rig);
    for (int step = 0; step < steps; step++) {
        backward(rig, 1.0F / ROWS_MAX, NULL);
        for (size_t i = 0; i < rig->parameters.count; i++)
            rig->parameters.data[i] -= 0.1F * rig->gradients.data[i];
    }
    return loss;
}

static void training_fits_a_tiny_set(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        rig.ops->init(&shapes[s].options, &rig.layout, 9, rig.parameters.data);
        double before = train(&rig, 400);
        struct mu_loss loss;
        rig.ops->forward(rig.model, rig.parameters.data, &rig.batch, &loss);
        assert_true(loss.loss_sum < 0.5 * before);
        assert_true(loss.correct_count >= ROWS_MAX * 3 / 4);
        rig_end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences_of_the_loss),
        cmocka_unit_test(cpu_gradients_agree_with_the_reference),
        cmocka_unit_test(slices_are_announced_from_the_end_and_cover_the_vector),
        cmocka_unit_test(large_layers_are_announced_in_pieces),
        cmocka_unit_test(gaps_of_gradients_are_zero),
        cmocka_unit_test(zero_rows_have_no_loss_and_a_gradient_of_zeros),
        cmocka_unit_test(the_same_step_twice_gives_the_same_bits),
        cmocka_unit_test(scale_is_a_factor_on_every_gradient),
        cmocka_unit_test(initial_values_depend_on_the_seed_alone),
        cmocka_unit_test(initial_weights_have_the_variance_of_he),
        cmocka_unit_test(layers_are_named_and_shaped_in_order),
        cmocka_unit_test(widths_that_do_not_fit_the_data_are_refused),
        cmocka_unit_test(training_fits_a_tiny_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
