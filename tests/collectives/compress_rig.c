/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

#include "collectives/ring_index.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"

void compress_rig_layout(struct mu_layout *layout)
{
    mu_layout_init(layout);
    assert_true(mu_layout_add(layout, "w0", 2, (int64_t[]){40, 30}));
    assert_true(mu_layout_add(layout, "b0", 1, (int64_t[]){30}));
    assert_true(mu_layout_add(layout, "filters", 4, (int64_t[]){3, 3, 6, 16}));
    assert_true(mu_layout_add(layout, "w1", 2, (int64_t[]){30, 10}));
    assert_true(mu_layout_add(layout, "b1", 1, (int64_t[]){10}));
}

bool compress_rig_in_gap(const struct mu_layout *layout, size_t i)
{
    for (int v = 0; v < layout->view_count; v++)
        if (i - layout->view[v].span.first < layout->view[v].span.count)
            return false;
    return true;
}

float compress_rig_value(const struct mu_layout *layout, int rank, int64_t step, size_t i)
{
    if (compress_rig_in_gap(layout, i))
        return 0;
    uint64_t bits = mu_random_mix(mu_random_mix((uint64_t)rank, (uint64_t)step), i);
    double unit = (double)(bits >> 40) * 0x1p-23 - 1;
    return (float)(unit * unit * unit * (1 + (double)(i % 7)) / 100);
}

void compress_rig_random(struct compress_replica *replica, int64_t step)
{
    const struct mu_layout *layout = &replica->rig->layout;
    for (size_t i = 0; i < layout->element_count; i++)
        replica->data[i] = compress_rig_value(layout, replica->group.rank, step, i);
}

static void read_options(struct compress_rig *rig, const char *const sets[])
{
    struct mu_test_log said;
    struct mu_log *log = mu_test_log_init(&said);
    assert_true(rig->ops->option_bytes <= sizeof(rig->options));
    mu_options_defaults(rig->ops->options, rig->options);
    for (int i = 0; sets && sets[i]; i++) {
        char name[64];
        const char *value = strchr(sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(value - sets[i]), sets[i]);
        const struct mu_option *row = mu_options_find(rig->ops->options, name);
        assert_non_null(row);
        assert_ok(mu_options_set(log, sets[i], row, value + 1, rig->options));
    }
}

static void open_replica(struct compress_replica *replica)
{
    struct compress_rig *rig = replica->rig;
    assert_ok(rig->ops->open(rig->options, &rig->layout, 17, &replica->group,
        rig->ops->has_residual ? replica->residual : NULL, &replica->state));
}

static const struct mu_compressor_ops *find(const char *name)
{
    for (size_t i = 0; mu_compressors[i]; i++)
        if (strcmp(mu_compressors[i]->name, name) == 0)
            return mu_compressors[i];
    return NULL;
}

void compress_rig_begin(struct compress_rig *rig, const char *name, const char *const sets[],
    int ranks, const struct mu_layout *layout)
{
    memset(rig, 0, sizeof(*rig));
    rig->ops = find(name);
    rig->layout = *layout;
    rig->gradient = compress_rig_random;
    rig->patience_ns = RANKS_TIME;
    compress_rig_cut(rig, 1);
    assert_non_null(rig->ops);
    read_options(rig, sets);
    ranks_begin(&rig->ranks, ranks);
    for (int r = 0; r < ranks; r++) {
        struct compress_replica *replica = &rig->replica[r];
        replica->rig = rig;
        replica->residual = calloc(layout->element_count, sizeof(float));
        replica->data = calloc(layout->element_count, sizeof(float));
        replica->total = calloc(layout->element_count, sizeof(double));
        assert_ok(
            mu_group_init(&replica->group, &rig->ranks.real.world, rig->ranks.rank[r].transport));
        open_replica(replica);
    }
}

void compress_rig_cut(struct compress_rig *rig, int buckets)
{
    rig->bucket_count = buckets;
    for (int b = 0; b < buckets; b++)
        rig->bucket[b] = mu_ring_chunk(rig->layout.element_count, buckets, buckets - 1 - b);
}

static enum mu_status run_step(struct compress_replica *replica, int64_t step, int64_t deadline_ns)
{
    struct compress_rig *rig = replica->rig;
    rig->gradient(replica, step);
    for (int b = 0; b < rig->bucket_count; b++)
        MU_TRY(rig->ops->allreduce(replica->state, &replica->group, rig->bucket[b],
            replica->data + rig->bucket[b].first, step, deadline_ns, &replica->culprit));
    for (size_t i = 0; i < rig->layout.element_count; i++)
        replica->total[i] += (double)replica->data[i];
    return MU_OK;
}

static enum mu_status run_replica(struct rank *rank)
{
    struct compress_rig *rig = (struct compress_rig *)rank->ranks; /* its first */
    struct compress_replica *replica = &rig->replica[rank->rank];
    int64_t deadline = mu_deadline(mu_now(&rank->ranks->real.world), rig->patience_ns);
    replica->culprit = -1;
    for (int64_t i = 0; i < rig->steps; i++)
        MU_TRY(run_step(replica, rig->step + i, deadline));
    replica->sent_bytes = rig->ops->sent_bytes(replica->state);
    return MU_OK;
}

void compress_rig_run_any(struct compress_rig *rig, int64_t steps)
{
    rig->steps = steps;
    ranks_run(&rig->ranks, run_replica);
    rig->step += steps;
}

void compress_rig_run(struct compress_rig *rig, int64_t steps)
{
    compress_rig_run_any(rig, steps);
    for (int r = 0; r < rig->ranks.count; r++)
        if (rig->ranks.rank[r].status != MU_OK)
            fail_msg("%s, rank %d of %d: %s: %s", rig->ops->name, r, rig->ranks.count,
                mu_status_name(rig->ranks.rank[r].status), rig->replica[r].group.error);
}

void compress_rig_reopen(struct compress_rig *rig)
{
    for (int r = 0; r < rig->ranks.count; r++) {
        struct compress_replica *replica = &rig->replica[r];
        void *before = replica->state;
        size_t count = 0;
        open_replica(replica);
        if (rig->ops->shared_state) {
            float *from = rig->ops->shared_state(before, &count);
            memcpy(rig->ops->shared_state(replica->state, &count), from, count * sizeof(*from));
        }
        rig->ops->close(before);
    }
}

void compress_rig_end(struct compress_rig *rig)
{
    for (int r = 0; r < rig->ranks.count; r++) {
        struct compress_replica *replica = &rig->replica[r];
        rig->ops->close(replica->state);
        rig->ranks.rank[r].transport = NULL; /* it knows what has failed, and goes first */
        mu_group_finish(&replica->group);
        free(replica->residual);
        free(replica->data);
        free(replica->total);
    }
    ranks_end(&rig->ranks);
}
