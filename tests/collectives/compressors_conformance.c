/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

#include <math.h>

/* What every compressor promises, with any number of replicas and any cut into buckets. */
static const struct driver {
    const char *name;
    const char *const sets[3];
    double rounding; /* of a sum of two, relative to the largest */
} drivers[] = {
    {"none", {NULL}, 1e-6},
    {"bf16", {NULL}, 0x1p-8},
    {"fp16", {NULL}, 0x1p-11},
    {"topk", {"density=0.05"}, 1e-6},
    {"randomk", {"density=0.05"}, 1e-6},
    {"onebit", {"block=64"}, 1e-6},
    {"powersgd", {"rank=2"}, 3e-6},
};
static const int rank_counts[] = {1, 2, 3, 5};
#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))
#define RANK_COUNTS (sizeof(rank_counts) / sizeof(rank_counts[0]))

static void begin(struct compress_rig *rig, const struct driver *driver, int ranks)
{
    struct mu_layout layout;
    compress_rig_layout(&layout);
    compress_rig_begin(rig, driver->name, driver->sets, ranks, &layout);
}

/* Each driver, number of ranks and cut in turn. */
static void for_each(void (*check)(struct compress_rig *rig, const struct driver *driver))
{
    static const int cuts[] = {1, 3, 7};
    for (size_t d = 0; d < DRIVERS; d++)
        for (size_t n = 0; n < RANK_COUNTS; n++)
            for (size_t c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
                struct compress_rig rig;
                begin(&rig, &drivers[d], rank_counts[n]);
                compress_rig_cut(&rig, cuts[c]);
                check(&rig, &drivers[d]);
                compress_rig_end(&rig);
            }
}

static void assert_replicas_equal(const struct compress_rig *rig)
{
    size_t bytes = rig->layout.element_count * sizeof(float);
    for (int r = 1; r < rig->ranks.count; r++)
        if (memcmp(rig->replica[r].data, rig->replica[0].data, bytes) != 0)
            fail_msg("%s: rank %d of %d has other bits than rank 0", rig->ops->name, r,
                rig->ranks.count);
}

static void same_bits(struct compress_rig *rig, const struct driver *driver)
{
    (void)driver;
    for (int step = 0; step < 4; step++) {
        compress_rig_run(rig, 1);
        assert_replicas_equal(rig);
    }
}

static void replicas_end_with_the_same_bits(void **state)
{
    (void)state;
    for_each(same_bits);
}

/* Over the replicas: gradients and residuals before, what came out and residuals afterwards. */
static void nothing_lost(struct compress_rig *rig, const struct driver *driver)
{
    size_t count = rig->layout.element_count;
    double *in = calloc(count, sizeof(*in)), largest = 0;
    for (int64_t step = 0; step < 4; step++) {
        memset(in, 0, count * sizeof(*in));
        for (int r = 0; r < rig->ranks.count; r++)
            for (size_t i = 0; i < count; i++)
                in[i] += (double)compress_rig_value(&rig->layout, r, step, i) +
                         (double)rig->replica[r].residual[i];
        compress_rig_run(rig, 1);
        for (size_t i = 0; i < count; i++) {
            double out = (double)rig->replica[0].data[i];
            for (int r = 0; r < rig->ranks.count; r++)
                out += (double)rig->replica[r].residual[i];
            largest = fmax(largest, fabs(in[i]));
            if (!(fabs(in[i] - out) <= driver->rounding * rig->ranks.count * (largest + 0.05)))
                fail_msg("%s, %d ranks, step %d, element %zu: in %g, out %g", driver->name,
                    rig->ranks.count, (int)step, i, in[i], out);
        }
    }
    free(in);
}

static void what_is_not_sent_is_kept(void **state)
{
    (void)state;
    for_each(nothing_lost);
}

static void constant(struct compress_replica *replica, int64_t step)
{
    (void)step;
    compress_rig_random(replica, 0);
}

static double norm_of(const struct compress_rig *rig, double steps, bool of_rest)
{
    double sum = 0;
    for (size_t i = 0; i < rig->layout.element_count; i++) {
        double all = 0;
        for (int r = 0; r < rig->ranks.count; r++)
            all += (double)compress_rig_value(&rig->layout, r, 0, i);
        double rest = rig->replica[0].total[i] / steps - all;
        sum += of_rest ? rest * rest : all * all;
    }
    return sqrt(sum);
}

static void what_is_kept_comes_out_later(void **state)
{
    (void)state;
    for (size_t d = 0; d < DRIVERS; d++) {
        struct compress_rig rig;
        begin(&rig, &drivers[d], 2);
        rig.gradient = constant;
        compress_rig_run(&rig, 500);
        double off = norm_of(&rig, 500, true) / norm_of(&rig, 500, false);
        if (!(off < 0.1))
            fail_msg("%s: after 500 steps the mean is off by %g", drivers[d].name, off);
        compress_rig_end(&rig);
    }
}

static float spoilt_by;

static void spoilt_once(struct compress_replica *replica, int64_t step)
{
    compress_rig_random(replica, step);
    if (step == 1 && replica->group.rank == replica->rig->ranks.count - 1)
        replica->data[100] = spoilt_by;
}

static size_t strangers(const float *x, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += !isfinite(x[i]);
    return found;
}

static void spoilt(struct compress_rig *rig, const struct driver *driver)
{
    size_t count = rig->layout.element_count;
    rig->gradient = spoilt_once;
    compress_rig_run(rig, 2);
    for (int r = 0; r < rig->ranks.count; r++) {
        if (strangers(rig->replica[r].data, count) == 0)
            fail_msg("%s: rank %d did not hear of %g", driver->name, r, (double)spoilt_by);
        assert_int_equal(strangers(rig->replica[r].residual, count), 0);
    }
    compress_rig_run(rig, 1);
    for (int r = 0; r < rig->ranks.count; r++)
        assert_int_equal(strangers(rig->replica[r].data, count), 0);
    assert_replicas_equal(rig);
}

static void no_number_comes_out_as_none_and_is_not_kept(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        spoilt_by = bad[i];
        for_each(spoilt);
    }
}

static void empty_and_tiny_buckets_are_buckets(void **state)
{
    (void)state;
    for (size_t d = 0; d < DRIVERS; d++)
        for (size_t n = 0; n < RANK_COUNTS; n++) {
            struct compress_rig rig;
            begin(&rig, &drivers[d], rank_counts[n]);
            size_t last = rig.layout.element_count - 1;
            const struct mu_span cut[] = {{last, 1}, {last, 0}, {3, 5}, {0, 3}, {0, 0}};
            memcpy(rig.bucket, cut, sizeof(cut));
            rig.bucket_count = 5;
            compress_rig_run(&rig, 3);
            for (int r = 1; r < rig.ranks.count; r++)
                assert_memory_equal(rig.replica[r].data, rig.replica[0].data, 8 * sizeof(float));
            compress_rig_end(&rig);
        }
}

static void gaps_untouched(struct compress_rig *rig, const struct driver *driver)
{
    compress_rig_run(rig, 3);
    for (int r = 0; r < rig->ranks.count; r++)
        for (size_t i = 0; i < rig->layout.element_count; i++)
            if (compress_rig_in_gap(&rig->layout, i) &&
                (rig->replica[r].data[i] != 0 || rig->replica[r].residual[i] != 0))
                fail_msg("%s: element %zu lies in a gap", driver->name, i);
}

static void gaps_stay_zero(void **state)
{
    (void)state;
    for_each(gaps_untouched);
}

/* ---- steps that are undone, runs that are resumed ---- */

struct kept {
    float *residual, *shared;
    size_t shared_count;
};

static struct kept keep(struct compress_rig *rig, int rank)
{
    size_t bytes = rig->layout.element_count * sizeof(float);
    struct kept kept = {.residual = malloc(bytes)};
    memcpy(kept.residual, rig->replica[rank].residual, bytes);
    if (rig->ops->shared_state) {
        float *shared = rig->ops->shared_state(rig->replica[rank].state, &kept.shared_count);
        kept.shared = malloc(kept.shared_count * sizeof(float) + 1);
        memcpy(kept.shared, shared, kept.shared_count * sizeof(float));
    }
    return kept;
}

static void put_back(struct compress_rig *rig, int rank, struct kept *kept)
{
    size_t count = rig->layout.element_count;
    memcpy(rig->replica[rank].residual, kept->residual, count * sizeof(float));
    if (rig->ops->shared_state)
        memcpy(rig->ops->shared_state(rig->replica[rank].state, &count), kept->shared,
            kept->shared_count * sizeof(float));
    free(kept->residual);
    free(kept->shared);
}

static void undone(struct compress_rig *rig, const struct driver *driver)
{
    size_t bytes = rig->layout.element_count * sizeof(float);
    struct kept kept[RANKS_MAX];
    float *first = malloc(bytes);
    compress_rig_run(rig, 2);
    for (int r = 0; r < rig->ranks.count; r++)
        kept[r] = keep(rig, r);
    compress_rig_run(rig, 1);
    memcpy(first, rig->replica[0].data, bytes);
    for (int r = 0; r < rig->ranks.count; r++)
        put_back(rig, r, &kept[r]);
    rig->step--;
    compress_rig_run(rig, 1);
    if (memcmp(first, rig->replica[0].data, bytes) != 0)
        fail_msg("%s: the step came out otherwise", driver->name);
    free(first);
}

static void a_step_that_is_undone_can_be_redone(void **state)
{
    (void)state;
    for_each(undone);
}

static void what_is_kept_is_all_there_is_to_a_state(void **state)
{
    (void)state;
    for (size_t d = 0; d < DRIVERS; d++) {
        struct compress_rig whole, resumed;
        begin(&whole, &drivers[d], 2);
        begin(&resumed, &drivers[d], 2);
        compress_rig_run(&whole, 4);
        compress_rig_run(&resumed, 2);
        compress_rig_reopen(&resumed);
        compress_rig_run(&resumed, 2);
        assert_memory_equal(whole.replica[1].data, resumed.replica[1].data,
            whole.layout.element_count * sizeof(float));
        compress_rig_end(&whole);
        compress_rig_end(&resumed);
    }
}

static void an_absent_rank_is_named(void **state)
{
    (void)state;
    for (size_t d = 0; d < DRIVERS; d++) {
        struct compress_rig rig;
        begin(&rig, &drivers[d], 2);
        rig.patience_ns = 10 * MU_MS;
        rig.ranks.count = 1; /* rank 1 never comes */
        compress_rig_run_any(&rig, 1);
        rig.ranks.count = 2;
        assert_int_equal(rig.ranks.rank[0].status, MU_TIMEOUT);
        assert_int_equal(rig.replica[0].culprit, 1);
        compress_rig_end(&rig);
    }
}

static void drivers_describe_themselves(void **state)
{
    (void)state;
    size_t count = 0;
    for (; mu_compressors[count]; count++) {
        const struct mu_compressor_ops *ops = mu_compressors[count];
        assert_true(ops->name && ops->doc && ops->options && ops->open && ops->close);
        for (size_t before = 0; before < count; before++)
            assert_string_not_equal(mu_compressors[before]->name, ops->name);
        ops->close(NULL);
    }
    assert_int_equal(count, DRIVERS);
    assert_string_equal(mu_compressors[0]->name, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drivers_describe_themselves),
        cmocka_unit_test(replicas_end_with_the_same_bits),
        cmocka_unit_test(what_is_not_sent_is_kept),
        cmocka_unit_test(what_is_kept_comes_out_later),
        cmocka_unit_test(no_number_comes_out_as_none_and_is_not_kept),
        cmocka_unit_test(empty_and_tiny_buckets_are_buckets),
        cmocka_unit_test(gaps_stay_zero),
        cmocka_unit_test(a_step_that_is_undone_can_be_redone),
        cmocka_unit_test(what_is_kept_is_all_there_is_to_a_state),
        cmocka_unit_test(an_absent_rank_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
