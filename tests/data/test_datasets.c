/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every kind of data set, and the samples that they share. */
#include "data/datasets.h"
#include "data/samples.h"
#include "runtime/base/options.h"
#include "test.h"

static void every_kind_describes_itself(void **state)
{
    for (size_t i = 0; mu_datasets[i]; i++) {
        const struct mu_dataset_ops *ops = mu_datasets[i];
        assert_true(ops->name[0] && ops->doc[0]);
        assert_ptr_equal(mu_dataset_find(ops->name), ops);
        assert_true(ops->open && ops->close);
        assert_true(!ops->read != !ops->read_sparse);
        for (const struct mu_option *row = ops->options; row->name; row++) {
            assert_true(row->offset < ops->option_bytes);
            assert_true(row->doc && row->doc[0]);
        }
    }
    assert_null(mu_dataset_find("no such kind"));
}

static void closing_nothing_is_fine(void **state)
{
    for (size_t i = 0; mu_datasets[i]; i++)
        mu_datasets[i]->close(NULL);
}

static void the_glyphs_need_no_options(void **state)
{
    for (const struct mu_option *row = mu_dataset_find("glyphs")->options; row->name; row++)
        assert_non_null(row->fallback);
}

/* Widths around the block that is turned at once. */
static void bytes_become_floats_from_0_to_1(void **state)
{
    for (size_t width = 1; width <= 50; width++) {
        uint8_t bytes[3 * 50], labels[3] = {4, 5, 6};
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(255 - 5 * i);
        const struct mu_samples samples = {
            .count = 3, .feature_count = width, .features = bytes, .labels = labels};
        const uint32_t index[] = {2, 0};
        float features[2 * 50 + 1];
        int32_t got[2];
        features[2 * width] = -1;
        mu_samples_read(&samples, index, 2, features, got);
        for (size_t k = 0; k < width; k++) {
            assert_float_equal(features[k], (float)bytes[2 * width + k] / 255.0F, 0);
            assert_float_equal(features[width + k], (float)bytes[k] / 255.0F, 0);
        }
        assert_float_equal(features[2 * width], -1, 0);
        assert_int_equal(got[0], 6);
        assert_int_equal(got[1], 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_describes_itself),
        cmocka_unit_test(closing_nothing_is_fine),
        cmocka_unit_test(the_glyphs_need_no_options),
        cmocka_unit_test(bytes_become_floats_from_0_to_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
