/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "numbers.h"
#include "runtime/base/options.h"
#include "runtime/optim/optimizers.h"
#include <math.h>

/* Conformance: every optimizer against a scalar oracle in double, written here from the papers'
 * formulas; how it may be cut; what it does to its slots. */
#define COUNT 1000
#define STEPS 25
#define RATE 0.05
#define DECAY 0.02
#define SCALE 0.5

struct vectors {
    float parameters[COUNT], gradients[COUNT], slots[MU_SLOTS_MAX][COUNT];
} __attribute__((aligned(64)));

/* One element of the vector. */
struct scalar {
    double parameter, slot[2];
};

static void oracle_sgd(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    s->parameter -= RATE * (gradient + DECAY * s->parameter);
}

static void oracle_momentum(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    s->slot[0] = 0.9 * s->slot[0] + gradient + DECAY * s->parameter;
    s->parameter -= RATE * s->slot[0];
}

static void oracle_nesterov(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    gradient += DECAY * s->parameter;
    s->slot[0] = 0.9 * s->slot[0] + gradient;
    s->parameter -= RATE * (gradient + 0.9 * s->slot[0]);
}

static void oracle_adam(struct scalar *s, double gradient, int64_t step)
{
    gradient += DECAY * s->parameter;
    s->slot[0] = 0.9 * s->slot[0] + 0.1 * gradient;
    s->slot[1] = 0.999 * s->slot[1] + 0.001 * gradient * gradient;
    double mean = s->slot[0] / (1 - pow(0.9, (double)step));
    double square = s->slot[1] / (1 - pow(0.999, (double)step));
    s->parameter -= RATE * mean / (sqrt(square) + 1e-8);
}

static void oracle_adamw(struct scalar *s, double gradient, int64_t step)
{
    double decayed = s->parameter - RATE * DECAY * s->parameter;
    s->slot[0] = 0.9 * s->slot[0] + 0.1 * gradient;
    s->slot[1] = 0.999 * s->slot[1] + 0.001 * gradient * gradient;
    double mean = s->slot[0] / (1 - pow(0.9, (double)step));
    double square = s->slot[1] / (1 - pow(0.999, (double)step));
    s->parameter = decayed - RATE * mean / (sqrt(square) + 1e-8);
}

static void oracle_adagrad(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    gradient += DECAY * s->parameter;
    s->slot[0] += gradient * gradient;
    s->parameter -= RATE * gradient / (sqrt(0.1 + s->slot[0]) + 1e-7);
}

static void rmsprop(struct scalar *s, double gradient, double factor)
{
    gradient += DECAY * s->parameter;
    s->slot[0] = 0.9 * s->slot[0] + 0.1 * gradient * gradient;
    s->slot[1] = factor * s->slot[1] + gradient / (sqrt(s->slot[0]) + 1e-3);
    s->parameter -= RATE * s->slot[1];
}

static void oracle_rmsprop(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    rmsprop(s, gradient, 0);
}

static void oracle_rmsprop_momentum(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    rmsprop(s, gradient, 0.5);
}

/* Algorithm 1 of the paper, with a z that gives the first weight. */
static void ftrl(struct scalar *s, double gradient, double l1, double l2)
{
    double w = s->parameter, sign = w > 0 ? 1 : w < 0 ? -1 : 0;
    gradient += DECAY * w;
    if (s->slot[1] == 0)
        s->slot[0] = -w * (1 / RATE + l2) - sign * l1;
    double n = s->slot[1] + gradient * gradient;
    s->slot[0] += gradient - (sqrt(n) - sqrt(s->slot[1])) / RATE * w;
    s->slot[1] = n;
    double z = s->slot[0];
    s->parameter = fabs(z) <= l1 ? 0 : -(z - copysign(l1, z)) / ((1 + sqrt(n)) / RATE + l2);
}

static void oracle_ftrl(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    ftrl(s, gradient, 0, 0);
}

static void oracle_ftrl_penalties(struct scalar *s, double gradient, int64_t step)
{
    (void)step;
    ftrl(s, gradient, 3, 0.5);
}

/* Of no tensor: without a ratio. */
static void oracle_lamb(struct scalar *s, double gradient, int64_t step)
{
    s->slot[0] = 0.9 * s->slot[0] + 0.1 * gradient;
    s->slot[1] = 0.999 * s->slot[1] + 0.001 * gradient * gradient;
    double mean = s->slot[0] / (1 - pow(0.9, (double)step));
    double square = s->slot[1] / (1 - pow(0.999, (double)step));
    s->parameter -= RATE * (mean / (sqrt(square) + 1e-8) + DECAY * s->parameter);
}

static const struct kind {
    const char *name;
    struct {
        const char *key, *value;
    } set[2];
    void (*oracle)(struct scalar *, double, int64_t);
} kinds[] = {
    {"sgd", {{0}}, oracle_sgd},
    {"momentum", {{0}}, oracle_momentum},
    {"momentum", {{"nesterov", "true"}}, oracle_nesterov},
    {"adagrad", {{0}}, oracle_adagrad},
    {"rmsprop", {{"epsilon", "1e-3"}}, oracle_rmsprop},
    {"rmsprop", {{"epsilon", "1e-3"}, {"momentum", "0.5"}}, oracle_rmsprop_momentum},
    {"adam", {{0}}, oracle_adam},
    {"adamw", {{0}}, oracle_adamw},
    {"ftrl", {{0}}, oracle_ftrl},
    {"ftrl", {{"l1", "3"}, {"l2", "0.5"}}, oracle_ftrl_penalties},
    {"lars", {{0}}, oracle_momentum},
    {"lamb", {{0}}, oracle_lamb},
};

static void options_of(const struct kind *kind, void *options)
{
    struct mu_test_log log;
    const struct mu_option *rows = mu_optimizer_find(kind->name)->options;
    mu_options_defaults(rows, options);
    for (size_t i = 0; i < MU_COUNT_OF(kind->set) && kind->set[i].key; i++)
        assert_ok(mu_options_set(mu_test_log_init(&log), kind->set[i].key,
            mu_options_find(rows, kind->set[i].key), kind->set[i].value, options));
}

/* Elements [first, first + count) at step `number`, with gradients drawn for it. */
static void take_step(const struct kind *kind, const void *options, struct vectors *vectors,
    size_t first, size_t count, int64_t number)
{
    const struct mu_optimizer_ops *ops = mu_optimizer_find(kind->name);
    struct mu_optim_step step = {.count = count,
        .parameters = vectors->parameters + first,
        .gradients = vectors->gradients + first,
        .learning_rate = (float)RATE,
        .weight_decay = (float)DECAY,
        .gradient_scale = (float)SCALE,
        .step = number};
    for (int i = 0; i < ops->slot_count; i++)
        step.slots[i] = vectors->slots[i] + first;
    ops->step(options, &step);
}

static void begin(struct vectors *vectors)
{
    memset(vectors, 0, sizeof(*vectors));
    numbers_fill(vectors->parameters, COUNT, 1);
}

static void every_optimizer_follows_its_formula(void **state)
{
    (void)state;
    for (size_t k = 0; k < MU_COUNT_OF(kinds); k++) {
        static struct vectors vectors;
        static struct scalar expected[COUNT];
        char options[256] __attribute__((aligned(16)));
        begin(&vectors);
        options_of(&kinds[k], options);
        for (size_t i = 0; i < COUNT; i++)
            expected[i] = (struct scalar){.parameter = (double)vectors.parameters[i]};
        for (int64_t step = 1; step <= STEPS; step++) {
            numbers_fill(vectors.gradients, COUNT, (uint64_t)step + 10);
            take_step(&kinds[k], options, &vectors, 0, COUNT, step);
            for (size_t i = 0; i < COUNT; i++) {
                kinds[k].oracle(&expected[i], SCALE * (double)vectors.gradients[i], step);
                double error = (double)vectors.parameters[i] - expected[i].parameter;
                if (!(fabs(error) < 2e-5))
                    fail_msg("%s, step %d, element %zu is off by %g", kinds[k].name, (int)step, i,
                        error);
            }
        }
    }
}

static void parts_of_a_span_give_the_bits_of_the_whole(void **state)
{
    (void)state;
    static const size_t cuts[] = {0, 16, 48, 512, 528, COUNT};
    for (size_t k = 0; k < MU_COUNT_OF(kinds); k++) {
        static struct vectors whole, parts;
        char options[256] __attribute__((aligned(16)));
        options_of(&kinds[k], options);
        begin(&whole);
        begin(&parts);
        for (int64_t step = 1; step <= 3; step++) {
            numbers_fill(whole.gradients, COUNT, (uint64_t)step);
            numbers_fill(parts.gradients, COUNT, (uint64_t)step);
            take_step(&kinds[k], options, &whole, 0, COUNT, step);
            for (size_t i = MU_COUNT_OF(cuts) - 1; i > 0; i--)
                take_step(&kinds[k], options, &parts, cuts[i - 1], cuts[i] - cuts[i - 1], step);
        }
        assert_memory_equal(&whole, &parts, sizeof(whole));
    }
}

static void gaps_stay_zero(void **state)
{
    (void)state;
    for (size_t k = 0; k < MU_COUNT_OF(kinds); k++) {
        static struct vectors vectors;
        char options[256] __attribute__((aligned(16)));
        options_of(&kinds[k], options);
        memset(&vectors, 0, sizeof(vectors));
        take_step(&kinds[k], options, &vectors, 0, COUNT, 1);
        for (size_t i = 0; i < COUNT; i++) /* not the bits: -0 is zero */
            assert_true(vectors.parameters[i] == 0 && vectors.slots[0][i] == 0);
    }
}

static void every_slot_that_is_declared_is_used_and_no_other(void **state)
{
    (void)state;
    for (size_t k = 0; k < MU_COUNT_OF(kinds); k++) {
        static struct vectors vectors;
        const struct mu_optimizer_ops *ops = mu_optimizer_find(kinds[k].name);
        char options[256] __attribute__((aligned(16)));
        assert_true(ops->option_bytes <= sizeof(options));
        options_of(&kinds[k], options);
        begin(&vectors);
        numbers_fill(vectors.gradients, COUNT, 3);
        take_step(&kinds[k], options, &vectors, 0, COUNT, 1);
        for (int i = 0; i < MU_SLOTS_MAX; i++) {
            assert_int_equal(ops->slot_names[i] != NULL, i < ops->slot_count);
            assert_int_equal(vectors.slots[i][0] != 0, i < ops->slot_count);
        }
    }
}

static void every_optimizer_of_the_registry_has_an_oracle(void **state)
{
    (void)state;
    for (int i = 0; mu_optimizers[i]; i++) {
        size_t k = 0;
        while (k < MU_COUNT_OF(kinds) && strcmp(kinds[k].name, mu_optimizers[i]->name) != 0)
            k++;
        assert_true(k < MU_COUNT_OF(kinds));
    }
}

/* What FTRL is for: with gradients that are noise, an L1 penalty leaves hardly any weight, and what
 * is left out is zero, not small. */
static void l1_makes_weights_of_noise_exactly_zero(void **state)
{
    (void)state;
    const struct kind ftrl_l1 = {"ftrl", {{"l1", "8"}}, NULL};
    static struct vectors vectors;
    char options[256] __attribute__((aligned(16)));
    options_of(&ftrl_l1, options);
    memset(&vectors, 0, sizeof(vectors));
    size_t zeros = 0;
    for (int64_t step = 1; step <= STEPS; step++) {
        numbers_fill(vectors.gradients, COUNT, (uint64_t)step);
        for (size_t i = 0; i < COUNT; i += 10)
            vectors.gradients[i] = 1; /* not noise */
        take_step(&ftrl_l1, options, &vectors, 0, COUNT, step);
    }
    for (size_t i = 0; i < COUNT; i++) {
        zeros += vectors.parameters[i] == 0;
        assert_true(i % 10 != 0 || vectors.parameters[i] < 0);
    }
    assert_true(zeros > COUNT * 8 / 10);
}

/* Not so with the paper's z, which has no schedule: at a rate near 0 it gives weights near 0. */
static void a_lower_rate_leaves_the_weights_of_ftrl_where_they_are(void **state)
{
    (void)state;
    const struct kind plain = {"ftrl", {{0}}, NULL};
    static struct vectors vectors, before;
    char options[256] __attribute__((aligned(16)));
    options_of(&plain, options);
    begin(&vectors);
    numbers_fill(vectors.gradients, COUNT, 7);
    take_step(&plain, options, &vectors, 0, COUNT, 1);
    before = vectors;
    struct mu_optim_step step = {.count = COUNT,
        .parameters = vectors.parameters,
        .gradients = vectors.gradients,
        .slots = {vectors.slots[0], vectors.slots[1]},
        .gradient_scale = 1,
        .step = 2};
    mu_optimizer_find("ftrl")->step(options, &step);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(fabsf(vectors.parameters[i] - before.parameters[i]) < 1e-5F);
}

static void the_registry_finds_what_it_lists(void **state)
{
    (void)state;
    assert_non_null(mu_optimizers[0]);
    for (int i = 0; mu_optimizers[i]; i++)
        assert_ptr_equal(mu_optimizer_find(mu_optimizers[i]->name), mu_optimizers[i]);
    assert_null(mu_optimizer_find("newton"));
}

static void common_rows_have_defaults_in_their_range(void **state)
{
    (void)state;
    struct mu_optim_common common;
    mu_options_defaults(mu_optim_common_rows, &common);
    assert_true(common.learning_rate > 0);
    assert_true(common.weight_decay == 0 && common.clip_norm == 0);
}

static void clipping_brings_the_norm_down_and_never_up(void **state)
{
    (void)state;
    assert_true(mu_optim_clip_scale(0, 100) == 1);
    assert_true(mu_optim_clip_scale(5, 4) == 1);
    assert_true(mu_optim_clip_scale(5, 5) == 1);
    assert_true(mu_optim_clip_scale(5, 10) == 0.5F);
    assert_true(mu_optim_clip_scale(5, 0) == 1);
    assert_true(mu_optim_clip_scale(5, (double)NAN) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_follows_its_formula),
        cmocka_unit_test(parts_of_a_span_give_the_bits_of_the_whole),
        cmocka_unit_test(gaps_stay_zero),
        cmocka_unit_test(every_slot_that_is_declared_is_used_and_no_other),
        cmocka_unit_test(every_optimizer_of_the_registry_has_an_oracle),
        cmocka_unit_test(l1_makes_weights_of_noise_exactly_zero),
        cmocka_unit_test(a_lower_rate_leaves_the_weights_of_ftrl_where_they_are),
        cmocka_unit_test(the_registry_finds_what_it_lists),
        cmocka_unit_test(common_rows_have_defaults_in_their_range),
        cmocka_unit_test(clipping_brings_the_norm_down_and_never_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
