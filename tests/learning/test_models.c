/* SPDX-License-Identifier: Apache-2.0 */
#include "model_rig.h"

#include "runtime/tensor/layout.h"
#include <float.h>
#include <math.h>

/* Conformance: every model of the registry, in the shapes below. */
static const struct rig_shape shapes[] = {
    {.model = "softmax", .features = 6, .classes = 5, .slices = 1},
    {.model = "mlp", .widths = "7,3", .features = 7, .classes = 3, .slices = 1},
    {.model = "mlp", .widths = "6,9,4", .features = 6, .classes = 4, .slices = 2},
    {.model = "mlp", .widths = "5,17,16,3,2", .features = 5, .classes = 2, .slices = 4},
    {.model = "linear", .features = 6, .classes = 2, .entry_max = 3, .slices = 1},
    {.model = "linear", .classes = 2, .entry_max = 4, .slices = 1},
    {.model = "linear", .features = 20, .classes = 2, .slices = 1},
    {.model = "factorization", .features = 3, .classes = 2, .entry_max = 5, .slices = 1},
    {.model = "factorization", .dimension = "3", .classes = 2, .fields = 2, .slices = 1},
    {.model = "factorization", .features = 4, .classes = 2, .slices = 1},
    {.model = "wide_deep", .features = 5, .classes = 2, .fields = 3, .slices = 4},
    {.model = "wide_deep",
        .dimension = "5",
        .widths = "17",
        .classes = 2,
        .fields = 4,
        .slices = 2},
    {.model = "wide_deep",
        .dimension = "1",
        .widths = "",
        .features = 1,
        .classes = 2,
        .fields = 1,
        .slices = 2},
};

static void every_model_has_a_shape_here(void **state)
{
    (void)state;
    for (size_t m = 0; mu_models[m]; m++) {
        size_t s = 0;
        while (s < MU_COUNT_OF(shapes) && strcmp(shapes[s].model, mu_models[m]->name) != 0)
            s++;
        assert_true(s < MU_COUNT_OF(shapes));
    }
}

static void gradients_agree_with_differences_of_the_loss(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "reference");
        rig_check_gradients(&rig);
        rig_end(&rig);
    }
}

static void assert_close(const struct mu_arena *a, const struct mu_arena *b)
{
    for (size_t i = 0; i < a->count; i++)
        assert_true(fabsf(a->data[i] - b->data[i]) < 1e-3F);
}

static void cpu_gradients_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig cpu, reference;
        rig_begin(&cpu, &shapes[s], "cpu");
        rig_begin(&reference, &shapes[s], "reference");
        assert_true(fabs(rig_loss(&cpu) - rig_loss(&reference)) < 1e-4);
        rig_backward(&cpu, 1, NULL);
        rig_backward(&reference, 1, NULL);
        assert_close(&cpu.gradients, &reference.gradients);
        assert_close(&cpu.table_gradients, &reference.table_gradients);
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
    rig_backward(rig, 1, &(struct mu_slice_listener){hear, &heard});
    assert_int_equal(heard.begin, 0);
    return heard.count;
}

static void slices_are_announced_from_the_end_and_cover_the_vector(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        assert_int_equal(slices_of(&rig), shapes[s].slices);
        rig_end(&rig);
    }
}

static const struct rig_shape large = {
    .model = "mlp", .widths = "784,512,10", .features = 784, .classes = 10};

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
        rig_backward(&rig, 1, NULL);
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
        assert_int_equal(slices_of(&rig), shapes[s].slices);
        for (size_t i = 0; i < rig.gradients.count; i++)
            assert_true(rig.gradients.data[i] == 0);
        for (size_t i = 0; i < rig.table_gradients.count; i++)
            assert_true(rig.table_gradients.data[i] == 0);
        rig_end(&rig);
    }
}

static const struct rig_shape *const some[] = {&large, &shapes[4], &shapes[7], &shapes[10]};

static void assert_same(const struct mu_arena *a, const struct mu_arena *b)
{
    assert_int_equal(a->count, b->count);
    if (a->count > 0)
        assert_memory_equal(a->data, b->data, a->count * sizeof(float));
}

static void the_same_step_twice_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(some); s++) {
        struct rig one, two;
        rig_begin(&one, some[s], "cpu");
        rig_begin(&two, some[s], "cpu");
        rig_backward(&one, 0.1F, NULL);
        rig_backward(&one, 0.1F, NULL); /* also on a used model */
        rig_backward(&two, 0.1F, NULL);
        assert_same(&one.gradients, &two.gradients);
        assert_same(&one.table_gradients, &two.table_gradients);
        rig_end(&one);
        rig_end(&two);
    }
}

/* But for numbers so small that halving them rounds. */
static void assert_halves(const struct mu_arena *halves, const struct mu_arena *wholes)
{
    for (size_t i = 0; i < wholes->count; i++)
        assert_true(fabsf(halves->data[i] - 0.5F * wholes->data[i]) <= FLT_MIN);
}

static void scale_is_a_factor_on_every_gradient(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig one, half;
        rig_begin(&one, &shapes[s], "cpu");
        rig_begin(&half, &shapes[s], "cpu");
        rig_backward(&one, 1, NULL);
        rig_backward(&half, 0.5F, NULL);
        assert_halves(&half.gradients, &one.gradients);
        assert_halves(&half.table_gradients, &one.table_gradients);
        rig_end(&one);
        rig_end(&half);
    }
}

/* Parameters that come while forward is under way: until a slice is asked for, it is not there. */
struct supply {
    struct mu_arena arrived;
    const float *parameters;
    size_t end; /* of what has been asked for */
};

static void bring(void *owner, struct mu_span slice)
{
    struct supply *supply = owner;
    assert_int_equal(slice.first, supply->end);
    assert_true(slice.count > 0);
    memcpy(supply->arrived.data + slice.first, supply->parameters + slice.first,
        slice.count * sizeof(float));
    supply->end = slice.first + slice.count;
}

static double loss_of_supplied(struct rig *rig)
{
    struct supply supply = {.parameters = rig->parameters.data};
    assert_ok(mu_arena_init(&supply.arrived, rig->parameters.count));
    for (size_t i = 0; i < supply.arrived.count; i++)
        supply.arrived.data[i] = NAN;
    rig->ops->watch(rig->model, &(struct mu_slice_listener){bring, &supply});
    struct mu_loss loss;
    rig->ops->forward(rig->model, supply.arrived.data, &rig->batch, &loss);
    rig->ops->watch(rig->model, NULL);
    assert_int_equal(supply.end, rig->parameters.count);
    mu_arena_finish(&supply.arrived);
    return loss.loss_sum;
}

static void forward_asks_for_each_slice_before_it_reads_it(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        double loss = rig_loss(&rig);
        assert_true(loss_of_supplied(&rig) == loss);
        rig.batch.row_count = 0;
        assert_true(loss_of_supplied(&rig) == 0);
        rig_end(&rig);
    }
}

static void initial_values_depend_on_the_seed_alone(void **state)
{
    (void)state;
    struct rig one, two;
    rig_begin(&one, &large, "cpu");
    rig_begin(&two, &large, "cpu");
    size_t bytes = one.parameters.count * sizeof(float);
    one.ops->init(one.options, &one.layout, 3, one.parameters.data);
    two.ops->init(two.options, &two.layout, 3, two.parameters.data);
    assert_memory_equal(one.parameters.data, two.parameters.data, bytes);
    two.ops->init(two.options, &two.layout, 4, two.parameters.data);
    assert_memory_not_equal(one.parameters.data, two.parameters.data, bytes);
    rig_end(&one);
    rig_end(&two);
}

static void initial_weights_have_the_variance_of_he(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &large, "cpu");
    rig.ops->init(rig.options, &rig.layout, 1, rig.parameters.data);
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
    static const struct mu_integers wrong[] = {
        {3, {6, 9, 4}}, {1, {5}}, {0, {0}}, {2, {5, 9}}, {2, {9, 2}}};
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

static void step(struct mu_arena *parameters, const struct mu_arena *gradients)
{
    for (size_t i = 0; i < parameters->count; i++)
        parameters->data[i] -= 0.1F * gradients->data[i];
}

static double train(struct rig *rig, int steps)
{
    rig->ops->init(rig->options, &rig->layout, 9, rig->parameters.data);
    for (size_t i = 0; i < rig->batch.rows.count; i++)
        rig->ops->init_row(
            rig->options, 9, i, rig->batch.rows.width, rig->table.data + i * rig->batch.rows.width);
    double loss = rig_loss(rig);
    for (int i = 0; i < steps; i++) {
        rig_backward(rig, 1.0F / RIG_ROWS, NULL);
        step(&rig->parameters, &rig->gradients);
        step(&rig->table, &rig->table_gradients);
    }
    return loss;
}

static void training_fits_a_tiny_set(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        double before = train(&rig, 400);
        struct mu_loss loss;
        rig.ops->forward(rig.model, rig.parameters.data, &rig.batch, &loss);
        assert_true(loss.loss_sum < 0.7 * before);
        assert_true(loss.correct_count >= RIG_ROWS * 3 / 4);
        rig_end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_has_a_shape_here),
        cmocka_unit_test(gradients_agree_with_differences_of_the_loss),
        cmocka_unit_test(cpu_gradients_agree_with_the_reference),
        cmocka_unit_test(slices_are_announced_from_the_end_and_cover_the_vector),
        cmocka_unit_test(large_layers_are_announced_in_pieces),
        cmocka_unit_test(gaps_of_gradients_are_zero),
        cmocka_unit_test(zero_rows_have_no_loss_and_a_gradient_of_zeros),
        cmocka_unit_test(the_same_step_twice_gives_the_same_bits),
        cmocka_unit_test(scale_is_a_factor_on_every_gradient),
        cmocka_unit_test(forward_asks_for_each_slice_before_it_reads_it),
        cmocka_unit_test(initial_values_depend_on_the_seed_alone),
        cmocka_unit_test(initial_weights_have_the_variance_of_he),
        cmocka_unit_test(layers_are_named_and_shaped_in_order),
        cmocka_unit_test(widths_that_do_not_fit_the_data_are_refused),
        cmocka_unit_test(training_fits_a_tiny_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
