/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"
#include "data/glyph.h"
#include "runtime/base/options.h"
#include "test.h"

static struct mu_test_log said;

/* The set with one option set. */
static void *glyphs_of(
    const char *name, const char *value, enum mu_split split, struct mu_dataset_facts *ret_facts)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("glyphs");
    struct mu_log *log = mu_test_log_init(&said);
    void *options = calloc(1, ops->option_bytes), *dataset;
    assert_non_null(options);
    mu_options_defaults(ops->options, options);
    if (name)
        assert_ok(mu_options_set(log, name, mu_options_find(ops->options, name), value, options));
    assert_ok(ops->open(options, split, log, &dataset, ret_facts));
    free(options);
    return dataset;
}

static uint32_t crc_of(const char *name, const char *value, enum mu_split split)
{
    struct mu_dataset_facts facts;
    mu_dataset_find("glyphs")->close(glyphs_of(name, value, split, &facts));
    return facts.crc32c;
}

/* Another number here means that clusters of mixed builds refuse each other, and that every
 * accuracy in the documents is of another set: draw differently under another name instead. */
static void every_compiler_draws_the_same_bytes(void **state)
{
    struct mu_dataset_facts facts;
    mu_dataset_find("glyphs")->close(glyphs_of(NULL, NULL, MU_SPLIT_TRAIN, &facts));
    assert_int_equal(facts.sample_count, 12000);
    assert_int_equal(facts.feature_count, 784);
    assert_int_equal(facts.class_count, 10);
    assert_int_equal(facts.crc32c, 0x1db0e554);
    mu_dataset_find("glyphs")->close(glyphs_of(NULL, NULL, MU_SPLIT_TEST, &facts));
    assert_int_equal(facts.sample_count, 2000);
    assert_int_equal(facts.crc32c, 0x0df22bc5);
}

static void seeds_and_splits_draw_other_samples(void **state)
{
    uint32_t first = crc_of("samples", "2000", MU_SPLIT_TRAIN);
    assert_int_equal(crc_of("samples", "2000", MU_SPLIT_TRAIN), first);
    assert_int_not_equal(crc_of("test_samples", "2000", MU_SPLIT_TEST), first);
    assert_int_not_equal(crc_of("seed", "2", MU_SPLIT_TEST), crc_of("seed", "1", MU_SPLIT_TEST));
}

static void fewer_samples_are_the_first_ones(void **state)
{
    struct mu_dataset_facts few_facts, many_facts;
    void *few = glyphs_of("samples", "20", MU_SPLIT_TRAIN, &few_facts);
    void *many = glyphs_of("samples", "200", MU_SPLIT_TRAIN, &many_facts);
    const struct mu_dataset_ops *ops = mu_dataset_find("glyphs");
    for (uint32_t i = 0; i < 20; i++) {
        static float a[784], b[784];
        int32_t label_a, label_b;
        ops->read(few, &i, 1, a, &label_a);
        ops->read(many, &i, 1, b, &label_b);
        assert_memory_equal(a, b, sizeof(a));
        assert_int_equal(label_a, label_b);
    }
    ops->close(few);
    ops->close(many);
}

static void all_digits_come_about_as_often(void **state)
{
    int counts[MU_GLYPH_CLASSES] = {0};
    uint8_t pixels[MU_GLYPH_PIXELS];
    for (uint64_t seed = 0; seed < 2000; seed++)
        counts[mu_glyph_draw(seed, pixels)]++;
    for (int digit = 0; digit < MU_GLYPH_CLASSES; digit++)
        assert_in_range(counts[digit], 150, 250);
}

/* Ink there is, and most of the square is paper. */
static void glyphs_have_ink_and_paper(void **state)
{
    for (uint64_t seed = 0; seed < 2000; seed++) {
        uint8_t pixels[MU_GLYPH_PIXELS];
        int dark = 0;
        (void)mu_glyph_draw(seed, pixels);
        for (int i = 0; i < MU_GLYPH_PIXELS; i++)
            dark += pixels[i] > 100;
        assert_in_range(dark, 15, 350);
    }
}

static double distance2(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < MU_GLYPH_PIXELS; i++)
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    return sum;
}

/* Which of the class means is nearest: a poor classifier, but far better than a guess. */
static void a_glyph_looks_like_its_label(void **state)
{
    static float means[MU_GLYPH_CLASSES][MU_GLYPH_PIXELS], glyph[MU_GLYPH_PIXELS];
    const struct mu_dataset_ops *ops = mu_dataset_find("glyphs");
    struct mu_dataset_facts facts;
    void *dataset = glyphs_of("samples", "4000", MU_SPLIT_TRAIN, &facts);
    int counts[MU_GLYPH_CLASSES] = {0}, right = 0;
    int32_t label;
    for (uint32_t i = 0; i < 3000; i++) {
        ops->read(dataset, &i, 1, glyph, &label);
        counts[label]++;
        for (int k = 0; k < MU_GLYPH_PIXELS; k++)
            means[label][k] += (glyph[k] - means[label][k]) / (float)counts[label];
    }
    for (uint32_t i = 3000; i < 4000; i++) {
        int nearest = 0;
        ops->read(dataset, &i, 1, glyph, &label);
        for (int digit = 1; digit < MU_GLYPH_CLASSES; digit++)
            if (distance2(glyph, means[digit]) < distance2(glyph, means[nearest]))
                nearest = digit;
        right += nearest == label;
    }
    assert_in_range(right, 600, 900);
    ops->close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_compiler_draws_the_same_bytes),
        cmocka_unit_test(seeds_and_splits_draw_other_samples),
        cmocka_unit_test(fewer_samples_are_the_first_ones),
        cmocka_unit_test(all_digits_come_about_as_often),
        cmocka_unit_test(glyphs_have_ink_and_paper),
        cmocka_unit_test(a_glyph_looks_like_its_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
