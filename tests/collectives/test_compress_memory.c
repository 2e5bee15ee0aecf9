/* SPDX-License-Identifier: Apache-2.0 */
/* To open a compressor may fail at each of its allocations; to exchange allocates nothing. */
#include "collectives/compress/compressor.h"
#include "runtime/base/options.h"
#include "runtime/io/real_world.h"
#include "runtime/tensor/layout.h"
#include "test.h"

#define NEVER (-1)

static int allocations_left = NEVER; /* before the one that fails */
static int allocations;

static bool fails(void)
{
    allocations++;
    if (allocations_left == NEVER || allocations_left-- > 0)
        return false;
    allocations_left = NEVER;
    return true;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

#define ELEMENTS (40 * 40)
static float residual[ELEMENTS], data[ELEMENTS];

static enum mu_status open_one(
    const struct mu_compressor_ops *ops, struct mu_group *group, void **ret_state)
{
    _Alignas(16) char options[256];
    struct mu_layout layout;
    mu_options_defaults(ops->options, options);
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "w", 2, (int64_t[]){40, 40}));
    return ops->open(options, &layout, 1, group, ops->has_residual ? residual : NULL, ret_state);
}

static void fail_each(const struct mu_compressor_ops *ops, struct mu_group *group)
{
    for (int run = 0;; run++) {
        void *state = NULL;
        allocations_left = run;
        enum mu_status status = open_one(ops, group, &state);
        bool failed = allocations_left == NEVER;
        allocations_left = NEVER;
        if (!failed) {
            assert_ok(status);
            assert_in_range(run, 1, 10);
            ops->close(state);
            return;
        }
        assert_int_equal(status, MU_NO_MEMORY);
        assert_null(state);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_group group;
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_group_init(&group, &real.world, NULL));
    for (int i = 0; mu_compressors[i]; i++)
        fail_each(mu_compressors[i], &group);
    mu_group_finish(&group);
    mu_real_world_finish(&real);
}

static void an_exchange_allocates_nothing(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_group group;
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_group_init(&group, &real.world, NULL));
    for (int i = 0; mu_compressors[i]; i++) {
        void *opened;
        int culprit;
        for (size_t j = 0; j < ELEMENTS; j++)
            data[j] = (float)(j % 13) - 5;
        assert_ok(open_one(mu_compressors[i], &group, &opened));
        int before = allocations;
        for (int64_t step = 0; step < 3; step++)
            assert_ok(mu_compressors[i]->allreduce(opened, &group, (struct mu_span){0, ELEMENTS},
                data, step, mu_now(&real.world), &culprit));
        assert_int_equal(allocations, before);
        mu_compressors[i]->close(opened);
    }
    mu_group_finish(&group);
    mu_real_world_finish(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(an_exchange_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
