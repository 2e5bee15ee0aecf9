/* SPDX-License-Identifier: Apache-2.0 */
#include "data/click_truth.h"
#include "runtime/base/text.h"
#include "text_rig.h"
#include <math.h>

static struct text_rig rig;

static int end(void **state)
{
    text_rig_close(&rig);
    return 0;
}

static void ranks_follow_their_law(void **state)
{
    static const double exponents[] = {0, 0.5, 1, 1.05, 2};
    for (size_t e = 0; e < MU_COUNT_OF(exponents); e++) {
        enum { RANKS = 50, DRAWS = 200000 };
        struct mu_zipf zipf;
        struct mu_random random;
        double total = 0;
        int seen[RANKS] = {0};
        mu_random_init(&random, 1);
        mu_zipf_init(&zipf, exponents[e], RANKS);
        for (int i = 0; i < DRAWS; i++)
            seen[mu_zipf_draw(&zipf, &random)]++;
        for (int r = 0; r < RANKS; r++)
            total += pow(r + 1, -exponents[e]);
        for (int r = 0; r < RANKS; r++) {
            double want = DRAWS * pow(r + 1, -exponents[e]) / total;
            assert_true(fabs(seen[r] - want) < 5 * sqrt(want) + 1);
        }
    }
}

static void a_vocabulary_of_one_or_very_many_is_fine(void **state)
{
    struct mu_zipf zipf;
    struct mu_random random;
    mu_random_init(&random, 1);
    mu_zipf_init(&zipf, 1.1, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(mu_zipf_draw(&zipf, &random), 0);
    mu_zipf_init(&zipf, 0, MU_CLICK_VOCABULARY_MAX);
    uint64_t most = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t rank = mu_zipf_draw(&zipf, &random);
        assert_true(rank < MU_CLICK_VOCABULARY_MAX);
        most = rank > most ? rank : most;
    }
    assert_true(most > MU_CLICK_VOCABULARY_MAX / 2);
}

static void samples_have_one_id_of_each_field(void **state)
{
    text_rig_opened(&rig, "clicks", "fields=3,10x2,1 numbers=2 samples=5000", MU_SPLIT_TRAIN);
    assert_int_equal(rig.facts.sample_count, 5000);
    assert_int_equal(rig.facts.feature_count, 2);
    assert_int_equal(rig.facts.class_count, 2);
    assert_int_equal(rig.facts.field_count, 4);
    assert_int_equal(rig.facts.entry_max, 4);
    assert_int_equal(rig.facts.id_count, 24);
    text_rig_read_all(&rig);
    static const uint64_t first[] = {0, 3, 13, 23, 24};
    int seen[24] = {0};
    for (size_t row = 0; row < rig.count; row++) {
        assert_int_equal(rig.entries.first[row + 1], 4 * (row + 1));
        for (size_t i = 0; i < 4; i++) {
            uint64_t id = rig.entries.id[4 * row + i];
            assert_in_range(id, first[i], first[i + 1] - 1);
            assert_float_equal(rig.entries.value[4 * row + i], 1, 0);
            seen[id]++;
        }
    }
    for (size_t i = 0; i < 24; i++)
        assert_true(seen[i] > 0);
}

/* Whatever is read beside it, and however many there are. */
static void a_sample_depends_on_its_number_only(void **state)
{
    struct text_rig other;
    text_rig_opened(&rig, "clicks", "samples=100", MU_SPLIT_TRAIN);
    text_rig_opened(&other, "clicks", "samples=1000", MU_SPLIT_TRAIN);
    text_rig_read_all(&rig);
    const uint32_t index[] = {99, 7, 7};
    assert_ok(text_rig_read(&other, index, 3));
    for (size_t i = 0; i < 3; i++) {
        char row[4096];
        mu_format(row, sizeof(row), "%s", text_rig_row(&other, i));
        assert_string_equal(text_rig_row(&rig, index[i]), row);
    }
    text_rig_close(&other);
    text_rig_opened(&other, "clicks", "samples=100 test_samples=100", MU_SPLIT_TEST);
    text_rig_read_all(&other);
    assert_memory_not_equal(rig.entries.id, other.entries.id, 100 * sizeof(uint64_t));
    assert_int_not_equal(rig.facts.crc32c, other.facts.crc32c);
    text_rig_close(&other);
    text_rig_opened(&other, "clicks", "samples=100 seed=2", MU_SPLIT_TRAIN);
    assert_int_not_equal(rig.facts.crc32c, other.facts.crc32c);
    text_rig_close(&other);
}

/* As many clicks as the logits promise, in every range of them. */
static void clicks_come_as_often_as_the_truth_says(void **state)
{
    enum { SAMPLES = 40000, BINS = 4 };
    static struct mu_click_truth truth;
    struct mu_click_law law = {
        .seed = 3, .zipf = 1.05, .density = 0.5, .strength = 0.5, .bias = -1};
    struct mu_test_log said;
    double sum = 0, want[BINS] = {0}, got[BINS] = {0};
    assert_ok(mu_click_truth_fields(mu_test_log_init(&said), "100x4,1000", &law));
    mu_click_truth_init(&truth, &law);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        int32_t label;
        double logit = mu_click_truth_sample(&truth, 0, i, NULL, NULL, &label);
        int bin = logit < -2 ? 0 : logit < -1 ? 1 : logit < 0 ? 2 : 3;
        sum += logit;
        want[bin] += 1 / (1 + exp(-logit));
        got[bin] += label;
    }
    assert_true(fabs(sum / SAMPLES - law.bias) < 0.05);
    for (int bin = 0; bin < BINS; bin++) {
        assert_true(want[bin] > 100);
        assert_true(fabs(want[bin] - got[bin]) < 5 * sqrt(want[bin]));
    }
}

static double best_area(const char *options)
{
    text_rig_opened(&rig, "clicks", options, MU_SPLIT_TEST);
    const char *at = strstr(rig.said.text, "AUC ");
    assert_non_null(at);
    double area = strtod(at + 4, NULL);
    text_rig_close(&rig);
    return area;
}

static void the_best_possible_auc_is_told(void **state)
{
    assert_float_equal(best_area("density=0"), 0.5, 0.02);
    double clear = best_area("strength=1"), noisy = best_area("strength=1 noise=3");
    assert_true(clear > 0.8 && clear < 1);
    assert_true(noisy > 0.55 && noisy < clear - 0.05);
    assert_true(best_area("strength=100 bias=0") > 0.99);
}

static void wrong_fields_are_refused(void **state)
{
    static const char *const wrong[] = {"fields=0", "fields=", "fields=1,", "fields=1x",
        "fields=x3", "fields=10x257", "fields=4294967297", "fields=1;2", "fields=-1", "fields=1x0",
        "fields=99999999999999999999999"};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        assert_int_equal(text_rig_open(&rig, "clicks", wrong[i], MU_SPLIT_TRAIN), MU_CONFIG);
        assert_said(&rig.said, "error[E0203]");
        assert_said(&rig.said, "data.fields");
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ranks_follow_their_law),
        TEST(a_vocabulary_of_one_or_very_many_is_fine),
        TEST(samples_have_one_id_of_each_field),
        TEST(a_sample_depends_on_its_number_only),
        TEST(clicks_come_as_often_as_the_truth_says),
        TEST(the_best_possible_auc_is_told),
        TEST(wrong_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
