/* SPDX-License-Identifier: Apache-2.0 */
#include "model_rig.h"

#include <math.h>

/* What only models of sparse data have; test_models.c runs the conformance of all models over them
 * too. */
static const struct rig_shape shapes[] = {
    {.model = "linear", .features = 6, .classes = 2, .entry_max = 3},
    {.model = "factorization", .features = 3, .classes = 2, .entry_max = 5},
    {.model = "wide_deep", .widths = "6,4", .features = 5, .classes = 2, .fields = 3},
};

/* ---- entries ---- */

static void assert_row_is(const struct rig *rig, size_t row, bool zero)
{
    size_t width = rig->batch.rows.width;
    bool all_zero = true;
    for (size_t k = 0; k < width; k++)
        all_zero = all_zero && rig->table_gradients.data[row * width + k] == 0;
    assert_int_equal(all_zero, zero);
}

static void rows_that_no_entry_has_get_a_gradient_of_zeros(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        rig_backward(&rig, 1, NULL);
        for (size_t row = 0; row < RIG_TABLE_ROWS; row++)
            assert_row_is(&rig, row, row == RIG_UNUSED);
        rig_end(&rig);
    }
}

static void entries_of_value_zero_change_nothing_and_learn_nothing(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        uint32_t entries = rig.first[RIG_ROWS];
        for (uint32_t e = 0; e < entries; e += 2)
            rig.value[e] = 0;
        double loss = rig_loss(&rig);
        for (uint32_t e = 0; e < entries; e += 2)
            rig.of_entry[e] = RIG_UNUSED;
        assert_true(rig_loss(&rig) == loss);
        rig_backward(&rig, 1, NULL);
        assert_row_is(&rig, RIG_UNUSED, true);
        rig_end(&rig);
    }
}

/* The same id twice in a sample: its row is one, and so is its gradient. */
static void equal_ids_add_up_in_one_row(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "reference");
        for (uint32_t e = 0; e < rig.first[RIG_ROWS]; e++)
            rig.of_entry[e] = 2;
        rig_check_gradients(&rig);
        rig_end(&rig);
    }
}

/* A part of a larger batch: its entries begin where the part before ends. */
static void parts_of_a_batch_add_up_to_the_whole(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        double whole = rig_loss(&rig), sum = 0;
        size_t part = RIG_ROWS / 3;
        for (size_t at = 0; at < RIG_ROWS; at += part) {
            rig.batch.row_count = part;
            rig.batch.features = rig.features + at * shapes[s].features;
            rig.batch.labels = rig.labels + at;
            rig.batch.entries.first = rig.first + at;
            sum += rig_loss(&rig);
        }
        assert_true(fabs(whole - sum) < 1e-5);
        rig_end(&rig);
    }
}

/* ---- logits and loss ---- */

static void scores_are_logits_and_the_loss_follows_from_them(void **state)
{
    (void)state;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        struct rig rig;
        rig_begin(&rig, &shapes[s], "cpu");
        struct mu_loss loss;
        rig.ops->forward(rig.model, rig.parameters.data, &rig.batch, &loss);
        const float *scores = rig.ops->scores(rig.model);
        double sum = 0;
        size_t correct = 0;
        for (size_t i = 0; i < RIG_ROWS; i++) {
            double sign = rig.labels[i] ? 1 : -1;
            sum += log(1 + exp(-sign * (double)scores[i]));
            correct += scores[i] > 0 ? rig.labels[i] == 1 : rig.labels[i] == 0;
        }
        assert_true(fabs(sum - loss.loss_sum) < 1e-5 * (1 + sum));
        assert_int_equal(loss.correct_count, correct);
        rig_end(&rig);
    }
}

static void logits_far_out_give_finite_losses_and_gradients(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &shapes[0], "cpu");
    memset(rig.parameters.data, 0, rig.parameters.count * sizeof(float));
    memset(rig.table.data, 0, rig.table.count * sizeof(float));
    for (int sign = -1; sign <= 1; sign += 2) {
        size_t bias = rig.layout.view[1].span.first;
        rig.parameters.data[bias] = (float)sign * 1e6F;
        assert_true(fabs(rig_loss(&rig) - 1e6 * RIG_ROWS / 2) < 1); /* half of the rows are wrong */
        rig_backward(&rig, 1, NULL);
        assert_true(fabsf(rig.gradients.data[bias] - (float)sign * RIG_ROWS / 2) < 1e-4F);
    }
    rig_end(&rig);
}

/* ---- what comes out of two entries ---- */

static void two_entries_of_one_are_the_product_of_their_factors(void **state)
{
    (void)state;
    static const struct rig_shape pair = {
        .model = "factorization", .dimension = "3", .classes = 2, .fields = 2};
    struct rig rig;
    rig_begin(&rig, &pair, "cpu");
    for (int e = 0; e < 2 * RIG_ROWS; e++)
        rig.value[e] = 1;
    (void)rig_loss(&rig);
    const float *scores = rig.ops->scores(rig.model);
    for (size_t i = 0; i < RIG_ROWS; i++) {
        const float *a = rig.table.data + rig.of_entry[2 * i] * 4;
        const float *b = rig.table.data + rig.of_entry[2 * i + 1] * 4;
        float product = a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
        float bias = rig.parameters.data[rig.layout.view[0].span.first];
        assert_true(fabsf(scores[i] - (bias + a[0] + b[0] + product)) < 1e-5F);
    }
    rig_end(&rig);
}

/* ---- layout and rows ---- */

static void layouts_name_the_linear_term_and_the_layers(void **state)
{
    (void)state;
    static const char *const names[] = {
        "linear/weight", "layer0/weight", "layer0/bias", "layer1/weight", "layer1/bias"};
    static const struct rig_shape shape = {.model = "wide_deep",
        .dimension = "4",
        .widths = "9",
        .features = 5,
        .classes = 2,
        .fields = 3};
    struct rig rig;
    rig_begin(&rig, &shape, "cpu");
    assert_int_equal(rig.layout.view_count, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(rig.layout.view[i].name, names[i]);
    assert_int_equal(rig.layout.view[1].shape[0], 3 * 4 + 5);
    assert_int_equal(rig.layout.view[3].shape[1], 1);
    assert_int_equal(rig.batch.rows.width, 1 + 4);
    rig_end(&rig);
}

static void assert_refused(
    const struct rig *rig, const struct mu_dataset_facts *facts, const char *why)
{
    struct mu_test_log log;
    struct mu_layout layout;
    assert_int_equal(
        rig->ops->layout(rig->options, facts, mu_test_log_init(&log), &layout), MU_CONFIG);
    assert_said(&log, why);
}

static void data_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    for (size_t s = 0; s < MU_COUNT_OF(shapes); s++) {
        rig_begin(&rig, &shapes[s], "cpu");
        struct mu_dataset_facts facts = rig.facts;
        facts.class_count = 3;
        assert_refused(&rig, &facts, "has 3");
        facts = rig.facts;
        facts.field_count = 0;
        if (strcmp(shapes[s].model, "wide_deep") == 0)
            assert_refused(&rig, &facts, "one entry a field");
        rig_end(&rig);
    }
    static const struct rig_shape dense = {.model = "softmax", .features = 6, .classes = 2};
    rig_begin(&rig, &dense, "cpu");
    struct mu_dataset_facts facts = rig.facts;
    facts.entry_max = 9;
    assert_refused(&rig, &facts, "up to 9 entries");
    rig_end(&rig);
}

static void new_rows_depend_on_seed_and_id_alone(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &shapes[2], "cpu");
    float one[17], two[17];
    rig.ops->init_row(rig.options, 5, 99, 17, one);
    rig.ops->init_row(rig.options, 5, 98, 17, two);
    assert_memory_not_equal(one + 1, two + 1, 16 * sizeof(float));
    rig.ops->init_row(rig.options, 6, 99, 17, two);
    assert_memory_not_equal(one + 1, two + 1, 16 * sizeof(float));
    rig.ops->init_row(rig.options, 5, 99, 17, two);
    assert_memory_equal(one, two, sizeof(one));
    rig_end(&rig);
}

static void new_rows_are_normal_but_for_a_linear_weight_of_zero(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, &shapes[2], "cpu"); /* init_scale is 0.01 */
    double sum = 0, squares = 0, fourths = 0, count = 0;
    for (uint64_t id = 0; id < 4000; id++) {
        float row[17];
        rig.ops->init_row(rig.options, 1, id, 17, row);
        assert_true(row[0] == 0);
        for (int k = 1; k < 17; k++, count++) {
            double x = (double)row[k] / 0.01;
            sum += x;
            squares += x * x;
            fourths += x * x * x * x;
        }
    }
    assert_true(fabs(sum / count) < 0.02);
    assert_true(fabs(squares / count - 1) < 0.02);
    assert_true(fabs(fourths / count - 3) < 0.2);
    rig_end(&rig);
}

static void linear_rows_begin_as_zeros(void **state)
{
    (void)state;
    float row = 1;
    mu_model_find("linear")->init_row(NULL, 1, 2, 1, &row);
    assert_true(row == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_no_entry_has_get_a_gradient_of_zeros),
        cmocka_unit_test(entries_of_value_zero_change_nothing_and_learn_nothing),
        cmocka_unit_test(equal_ids_add_up_in_one_row),
        cmocka_unit_test(parts_of_a_batch_add_up_to_the_whole),
        cmocka_unit_test(scores_are_logits_and_the_loss_follows_from_them),
        cmocka_unit_test(logits_far_out_give_finite_losses_and_gradients),
        cmocka_unit_test(two_entries_of_one_are_the_product_of_their_factors),
        cmocka_unit_test(layouts_name_the_linear_term_and_the_layers),
        cmocka_unit_test(data_that_does_not_fit_is_refused),
        cmocka_unit_test(new_rows_depend_on_seed_and_id_alone),
        cmocka_unit_test(new_rows_are_normal_but_for_a_linear_weight_of_zero),
        cmocka_unit_test(linear_rows_begin_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
