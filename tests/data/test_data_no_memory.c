/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 1st, 2nd, ... nth allocation of data/ fails, until a run gets through without one that fails.
 * Every run before that must say so, leak nothing (the sanitizers look) and leave what it was
 * given.
 */
#include "data/plan.h"
#include "data/safetensors.h"
#include "idx_rig.h"
#include "runtime/base/options.h"

#define RUNS_MAX 1000

static int allocations_left = -1; /* before the one that fails; -1: none fails */

static bool fails(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_left = -1;
    return true;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* Runs `attempt` with ever later failures; there must be at least `failures_min` of them. */
static void fail_each(enum mu_status (*attempt)(void), int failures_min)
{
    for (int run = 0; run < RUNS_MAX; run++) {
        allocations_left = run;
        enum mu_status status = attempt();
        allocations_left = -1;
        if (status == MU_OK) {
            assert_in_range(run, failures_min, RUNS_MAX);
            return;
        }
        assert_int_equal(status, MU_NO_MEMORY);
    }
    fail_msg("an allocation fails that was not made to");
}

static enum mu_status make_plan(void)
{
    struct mu_plan plan;
    MU_TRY(mu_plan_init(&plan, 1, 100));
    mu_plan_finish(&plan);
    return MU_OK;
}

static void plans_say_that_memory_is_out(void **state)
{
    fail_each(make_plan, 1);
}

static enum mu_status draw_glyphs(void)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("glyphs");
    static struct mu_test_log said;
    int64_t options[3] = {5, 5, 1}; /* samples, test_samples, seed */
    struct mu_dataset_facts facts;
    void *dataset;
    assert_int_equal(ops->option_bytes, sizeof(options));
    MU_TRY(ops->open(options, MU_SPLIT_TEST, mu_test_log_init(&said), &dataset, &facts));
    ops->close(dataset);
    return MU_OK;
}

static void glyphs_say_that_memory_is_out(void **state)
{
    fail_each(draw_glyphs, 3);
}

/* The options are read before anything fails: what the rig allocates is not under test. */
static void fail_open(const char *kind, void *options, enum mu_split split, int failures_min)
{
    const struct mu_dataset_ops *ops = mu_dataset_find(kind);
    struct mu_dataset_facts facts;
    void *dataset;
    int run = 0;
    for (enum mu_status status = MU_NO_MEMORY; status != MU_OK; run++) {
        allocations_left = run;
        status = ops->open(options, split, mu_test_log_init(&idx_rig_said), &dataset, &facts);
        allocations_left = -1;
        assert_true(status == MU_OK || status == MU_NO_MEMORY);
        assert_true(status == MU_OK || strstr(idx_rig_said.text, "error[E0801]"));
    }
    assert_in_range(run, failures_min, RUNS_MAX);
    ops->close(dataset);
    free(options);
}

static struct mu_dataset_facts train_facts;
static void *train, *test;

static enum mu_status match_text(void)
{
    struct mu_dataset_facts facts = train_facts;
    return mu_dataset_find("libsvm")->match(test, train, mu_test_log_init(&idx_rig_said), &facts);
}

static void matching_text_says_that_memory_is_out(void **state)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("libsvm");
    void *options = calloc(1, ops->option_bytes);
    assert_non_null(options);
    idx_rig_write("a.svm", "1 1:1\n0 1:1\n", 12);
    mu_options_defaults(ops->options, options);
    assert_ok(mu_options_set(mu_test_log_init(&idx_rig_said), "path",
        mu_options_find(ops->options, "path"), idx_rig_path("a.svm"), options));
    assert_ok(ops->open(options, MU_SPLIT_TRAIN, &idx_rig_said.log, &train, &train_facts));
    assert_ok(ops->open(options, MU_SPLIT_TRAIN, &idx_rig_said.log, &test, &train_facts));
    fail_each(match_text, 6);
    ops->close(train);
    ops->close(test);
    free(options);
}

static void idx_files_say_that_memory_is_out(void **state)
{
    static const uint32_t image_shape[] = {3, 2, 2}, label_shape[] = {3};
    uint8_t bytes[64];
    void *options = calloc(1, mu_dataset_find("idx")->option_bytes);
    assert_non_null(options);
    idx_rig_write("train-images-idx3-ubyte", bytes, idx_rig_make(bytes, 3, image_shape, 9));
    idx_rig_write_packed("train-labels-idx1-ubyte", bytes, idx_rig_make(bytes, 1, label_shape, 9));
    idx_rig_options(options);
    fail_open("idx", options, MU_SPLIT_TRAIN, 6);
}

static void *options_of(const char *kind)
{
    const struct mu_dataset_ops *ops = mu_dataset_find(kind);
    void *options = calloc(1, ops->option_bytes);
    assert_non_null(options);
    mu_options_defaults(ops->options, options);
    return options;
}

static void text_says_that_memory_is_out(void **state)
{
    static const char *const kinds[] = {"libsvm", "csv"};
    idx_rig_write_packed("a", "1\t5:1\n0\t2:1\n", 12);
    for (size_t i = 0; i < MU_COUNT_OF(kinds); i++) {
        const struct mu_option *rows = mu_dataset_find(kinds[i])->options;
        void *options = options_of(kinds[i]);
        struct mu_log *log = mu_test_log_init(&idx_rig_said);
        assert_ok(
            mu_options_set(log, "path", mu_options_find(rows, "path"), idx_rig_path("a"), options));
        if (i == 1)
            assert_ok(mu_options_set(
                log, "categorical", mu_options_find(rows, "categorical"), "1", options));
        fail_open(kinds[i], options, MU_SPLIT_TRAIN, 8);
    }
}

static void clicks_say_that_memory_is_out(void **state)
{
    fail_open("clicks", options_of("clicks"), MU_SPLIT_TEST, 2);
}

static enum mu_status write_and_parse(void)
{
    static const struct mu_safetensor_source source = {.name = "a", .rank = 1, .shape = {1}};
    static struct mu_test_log said;
    struct mu_safetensors tensors;
    struct mu_text text;
    mu_text_init(&text);
    enum mu_status status = mu_safetensors_header(&source, 1, NULL, &text);
    if (status == MU_OK)
        mu_text_append(&text, "abcd", 4);
    if (status == MU_OK)
        status = text.failed ? MU_NO_MEMORY
                             : mu_safetensors_parse(
                                   mu_test_log_init(&said), "x", text.data, text.bytes, &tensors);
    if (status == MU_OK)
        mu_safetensors_finish(&tensors);
    mu_text_finish(&text);
    return status;
}

static void safetensors_say_that_memory_is_out(void **state)
{
    fail_each(write_and_parse, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_say_that_memory_is_out),
        cmocka_unit_test(glyphs_say_that_memory_is_out),
        cmocka_unit_test_setup_teardown(
            idx_files_say_that_memory_is_out, idx_rig_begin, idx_rig_end),
        cmocka_unit_test_setup_teardown(text_says_that_memory_is_out, idx_rig_begin, idx_rig_end),
        cmocka_unit_test_setup_teardown(
            matching_text_says_that_memory_is_out, idx_rig_begin, idx_rig_end),
        cmocka_unit_test(clicks_say_that_memory_is_out),
        cmocka_unit_test(safetensors_say_that_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
