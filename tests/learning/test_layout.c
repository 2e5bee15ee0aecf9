/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "runtime/tensor/layout.h"

static struct mu_layout two_views(void)
{
    struct mu_layout layout;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "a", 2, (const int64_t[]){3, 5}));
    assert_true(mu_layout_add(&layout, "b", 1, (const int64_t[]){17}));
    return layout;
}

static void views_start_at_multiples_of_the_alignment(void **state)
{
    (void)state;
    struct mu_layout layout = two_views();
    assert_int_equal(layout.view[0].span.first, 0);
    assert_int_equal(layout.view[0].span.count, 15);
    assert_int_equal(layout.view[1].span.first, 16);
    assert_int_equal(layout.view[1].span.count, 17);
    assert_int_equal(layout.element_count, 48);
}

static void views_that_cannot_be_are_refused_and_leave_the_layout_as_it_was(void **state)
{
    (void)state;
    struct mu_layout layout = two_views(), before = layout;
    int64_t huge[] = {INT64_MAX, INT64_MAX}, zero[] = {0}, negative[] = {-4};
    int64_t five[] = {1, 1, 1, 1, 1};
    char name[MU_NAME_MAX + 1];
    memset(name, 'n', MU_NAME_MAX);
    name[MU_NAME_MAX] = '\0';
    assert_false(mu_layout_add(&layout, "huge", 2, huge));
    assert_false(mu_layout_add(&layout, "zero", 1, zero));
    assert_false(mu_layout_add(&layout, "negative", 1, negative));
    assert_false(mu_layout_add(&layout, "rank", 5, five));
    assert_false(mu_layout_add(&layout, name, 1, five));
    assert_memory_equal(&layout, &before, sizeof(layout));
}

static void one_view_too_many_is_refused(void **state)
{
    (void)state;
    struct mu_layout layout;
    mu_layout_init(&layout);
    int64_t one[] = {1};
    for (int i = 0; i < MU_VIEWS_MAX; i++)
        assert_true(mu_layout_add(&layout, "v", 1, one));
    assert_false(mu_layout_add(&layout, "v", 1, one));
}

static void checksums_tell_names_and_shapes_apart(void **state)
{
    (void)state;
    struct mu_layout layout = two_views(), other;
    uint32_t crc = mu_layout_crc32c(&layout);
    assert_int_equal(mu_layout_crc32c(&layout), crc);
    other = layout;
    other.view[1].name[0] = 'c';
    assert_int_not_equal(mu_layout_crc32c(&other), crc);
    other = layout;
    other.view[0].shape[0] = 5;
    other.view[0].shape[1] = 3; /* as many elements */
    assert_int_not_equal(mu_layout_crc32c(&other), crc);
}

static void checksums_of_vectors_leave_the_gaps_out(void **state)
{
    (void)state;
    struct mu_layout layout = two_views();
    float vector[48] = {1, 2, 3};
    uint32_t crc = mu_layout_crc32c_of(&layout, vector);
    vector[15] = 7;
    vector[33] = 7;
    assert_int_equal(mu_layout_crc32c_of(&layout, vector), crc);
    vector[32] = 7;
    assert_int_not_equal(mu_layout_crc32c_of(&layout, vector), crc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_start_at_multiples_of_the_alignment),
        cmocka_unit_test(views_that_cannot_be_are_refused_and_leave_the_layout_as_it_was),
        cmocka_unit_test(one_view_too_many_is_refused),
        cmocka_unit_test(checksums_tell_names_and_shapes_apart),
        cmocka_unit_test(checksums_of_vectors_leave_the_gaps_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
