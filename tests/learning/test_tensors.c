/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "numbers.h"
#include "runtime/base/options.h"
#include "runtime/optim/optimizers.h"
#include "runtime/optim/tensors.h"
#include "runtime/tensor/layout.h"
#include <math.h>

/* Optimizers that work tensor by tensor, against oracles in double; how others see a layout. */
#define COUNT 544
#define RATE 0.05
#define DECAY 0.02
#define SCALE 0.5

struct vectors {
    float parameters[COUNT], gradients[COUNT], slots[MU_SLOTS_MAX][COUNT];
} __attribute__((aligned(64)));

static struct mu_layout layout;

/* 0..357 a matrix (to 368 with its gap), 368..384 a bias (to 400), 400..543 another matrix. */
static int make_layout(void **state)
{
    (void)state;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "first/weight", 2, (const int64_t[]){21, 17}));
    assert_true(mu_layout_add(&layout, "first/bias", 1, (const int64_t[]){17}));
    assert_true(mu_layout_add(&layout, "second/weight", 2, (const int64_t[]){12, 12}));
    assert_int_equal(layout.element_count, COUNT);
    return 0;
}

/* Gaps are zero, in gradients too. */
static void fill(float *x, uint64_t seed)
{
    memset(x, 0, COUNT * sizeof(float));
    for (int i = 0; i < layout.view_count; i++)
        numbers_fill(x + layout.view[i].span.first, layout.view[i].span.count, seed + (uint64_t)i);
}

static void take_step(const struct mu_optimizer_ops *ops, const void *options,
    struct vectors *vectors, size_t first, size_t count, int64_t number)
{
    struct mu_optim_step step = {.count = count,
        .parameters = vectors->parameters + first,
        .gradients = vectors->gradients + first,
        .learning_rate = (float)RATE,
        .weight_decay = (float)DECAY,
        .gradient_scale = (float)SCALE,
        .step = number};
    for (int i = 0; i < ops->slot_count; i++)
        step.slots[i] = vectors->slots[i] + first;
    mu_tensors_step(ops, options, &layout, first, &step);
}

struct oracle {
    double parameters[COUNT], slots[2][COUNT], gradients[COUNT];
};

static double norm(const double *x, struct mu_span span)
{
    double sum = 0;
    for (size_t i = span.first; i < span.first + span.count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static void oracle_lars(struct oracle *o, const struct mu_view *view, int64_t step)
{
    (void)step;
    double w = norm(o->parameters, view->span), g = norm(o->gradients, view->span), ratio = 1;
    if (view->rank > 1 && w > 0 && g > 0)
        ratio = 0.001 * w / (g + DECAY * w + 1e-9);
    for (size_t i = view->span.first; i < view->span.first + view->span.count; i++) {
        o->slots[0][i] =
            0.9 * o->slots[0][i] + ratio * (o->gradients[i] + DECAY * o->parameters[i]);
        o->parameters[i] -= RATE * o->slots[0][i];
    }
}

static void oracle_lamb(struct oracle *o, const struct mu_view *view, int64_t step)
{
    static double direction[COUNT];
    for (size_t i = view->span.first; i < view->span.first + view->span.count; i++) {
        double g = o->gradients[i];
        o->slots[0][i] = 0.9 * o->slots[0][i] + 0.1 * g;
        o->slots[1][i] = 0.999 * o->slots[1][i] + 0.001 * g * g;
        double mean = o->slots[0][i] / (1 - pow(0.9, (double)step));
        double square = o->slots[1][i] / (1 - pow(0.999, (double)step));
        direction[i] = mean / (sqrt(square) + 1e-8) + DECAY * o->parameters[i];
    }
    double w = norm(o->parameters, view->span), r = norm(direction, view->span);
    double ratio = view->rank > 1 && w > 0 && r > 0 ? w / r : 1;
    for (size_t i = view->span.first; i < view->span.first + view->span.count; i++)
        o->parameters[i] -= RATE * ratio * direction[i];
}

static void follow(const char *name, bool from_zero,
    void (*oracle)(struct oracle *, const struct mu_view *, int64_t))
{
    static struct vectors vectors;
    static struct oracle expected;
    char options[256] __attribute__((aligned(16)));
    const struct mu_optimizer_ops *ops = mu_optimizer_find(name);
    mu_options_defaults(ops->options, options);
    memset(&vectors, 0, sizeof(vectors));
    memset(&expected, 0, sizeof(expected));
    if (!from_zero)
        fill(vectors.parameters, 1);
    for (size_t i = 0; i < COUNT; i++)
        expected.parameters[i] = (double)vectors.parameters[i];
    for (int64_t step = 1; step <= 20; step++) {
        fill(vectors.gradients, (uint64_t)step * 10);
        for (size_t i = 0; i < COUNT; i++)
            expected.gradients[i] = SCALE * (double)vectors.gradients[i];
        for (int i = 0; i < layout.view_count; i++)
            oracle(&expected, &layout.view[i], step);
        take_step(ops, options, &vectors, 0, COUNT, step);
        for (size_t i = 0; i < COUNT; i++)
            if (!(fabs((double)vectors.parameters[i] - expected.parameters[i]) < 2e-5))
                fail_msg("%s, step %d, element %zu: %g, not %g", name, (int)step, i,
                    (double)vectors.parameters[i], expected.parameters[i]);
    }
}

static void lars_follows_its_formula(void **state)
{
    (void)state;
    follow("lars", false, oracle_lars);
    follow("lars", true, oracle_lars);
}

static void lamb_follows_its_formula(void **state)
{
    (void)state;
    follow("lamb", false, oracle_lamb);
    follow("lamb", true, oracle_lamb);
}

/* Cut between tensors the bits are the whole's for all; within one, for those that work element by
 * element. */
static void parts_of_a_vector_give_the_bits_of_the_whole(void **state)
{
    (void)state;
    static struct vectors whole, parts;
    char options[256] __attribute__((aligned(16)));
    for (int k = 0; mu_optimizers[k]; k++) {
        const struct mu_optimizer_ops *ops = mu_optimizers[k];
        mu_options_defaults(ops->options, options);
        for (size_t cut = 0; cut <= COUNT; cut += MU_VIEW_ALIGN) {
            memset(&whole, 0, sizeof(whole));
            fill(whole.parameters, 1);
            fill(whole.gradients, 2);
            parts = whole;
            take_step(ops, options, &whole, 0, COUNT, 1);
            take_step(ops, options, &parts, cut, COUNT - cut, 1);
            take_step(ops, options, &parts, 0, cut, 1);
            bool between = cut == 0 || cut == COUNT || (cut >= 368 && cut <= 400);
            bool same = memcmp(&whole, &parts, sizeof(whole)) == 0;
            assert_int_equal(same, between || !ops->by_tensor);
        }
    }
}

/* A server that holds a part of a tensor takes it for the whole. */
static void the_part_of_a_tensor_has_a_ratio_of_its_own(void **state)
{
    (void)state;
    static struct vectors cut, alone;
    char options[256] __attribute__((aligned(16)));
    const struct mu_optimizer_ops *lamb = mu_optimizer_find("lamb");
    mu_options_defaults(lamb->options, options);
    memset(&cut, 0, sizeof(cut));
    fill(cut.parameters, 1);
    fill(cut.gradients, 2);
    alone = cut;
    take_step(lamb, options, &cut, 0, 160, 1);
    struct mu_optim_step step = {.count = 160,
        .parameters = alone.parameters,
        .gradients = alone.gradients,
        .slots = {alone.slots[0], alone.slots[1]},
        .learning_rate = (float)RATE,
        .weight_decay = (float)DECAY,
        .gradient_scale = (float)SCALE,
        .step = 1,
        .rank = 2};
    lamb->step(options, &step);
    assert_memory_equal(&cut, &alone, sizeof(cut));
}

static int calls;

static void count_calls(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    (void)step;
    calls++;
}

static void who_needs_no_tensors_is_called_once(void **state)
{
    (void)state;
    static struct vectors vectors;
    struct mu_optimizer_ops counting = {.name = "counting", .step = count_calls};
    calls = 0;
    take_step(&counting, NULL, &vectors, 0, COUNT, 1);
    assert_int_equal(calls, 1);
    counting.by_tensor = true;
    take_step(&counting, NULL, &vectors, 0, COUNT, 1);
    assert_int_equal(calls, 1 + layout.view_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lars_follows_its_formula),
        cmocka_unit_test(lamb_follows_its_formula),
        cmocka_unit_test(parts_of_a_vector_give_the_bits_of_the_whole),
        cmocka_unit_test(the_part_of_a_tensor_has_a_ratio_of_its_own),
        cmocka_unit_test(who_needs_no_tensors_is_called_once),
    };
    return cmocka_run_group_tests(tests, make_layout, NULL);
}
