/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/evaluate.h"
#include "models/auc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One batch at a time, and the scores of all. */
struct pass {
    const struct mu_evaluated *what;
    float *features;
    int32_t *labels; /* (sample_count) */
    float *scores;   /* (sample_count) */
    uint32_t *index;
    struct mu_entries entries;
};

static enum mu_status allocate(struct pass *pass)
{
    const struct mu_dataset_facts *facts = &pass->what->data->test_facts;
    size_t rows = pass->what->row_max, entries = rows * facts->entry_max;
    size_t bytes = rows * facts->feature_count * sizeof(float);
    /* Aligned like every vector that a kernel meets. */
    pass->features = aligned_alloc(64, (bytes + 64) / 64 * 64);
    pass->labels = malloc(facts->sample_count * sizeof(*pass->labels) + 1);
    pass->scores = malloc(facts->sample_count * sizeof(*pass->scores) + 1);
    pass->index = malloc(rows * sizeof(*pass->index));
    pass->entries.first = calloc(rows + 1, sizeof(*pass->entries.first));
    pass->entries.id = calloc(entries + 1, sizeof(*pass->entries.id));
    pass->entries.value = calloc(entries + 1, sizeof(*pass->entries.value));
    bool there = pass->features && pass->labels && pass->scores && pass->index &&
                 pass->entries.first && pass->entries.id && pass->entries.value;
    return there ? MU_OK : mu_fail(pass->what->log, MU_E0801, NULL, "no memory to evaluate");
}

static void finish(struct pass *pass)
{
    free(pass->features);
    free(pass->labels);
    free(pass->scores);
    free(pass->index);
    free(pass->entries.first);
    free(pass->entries.id);
    free(pass->entries.value);
}

static enum mu_status read(struct pass *pass, size_t first, size_t count, struct mu_batch *batch)
{
    const struct mu_evaluated *what = pass->what;
    const struct mu_dataset_ops *dataset = what->job->dataset;
    int32_t *labels = pass->labels + first;
    for (size_t i = 0; i < count; i++)
        pass->index[i] = (uint32_t)(first + i);
    *batch = (struct mu_batch){.row_count = count,
        .feature_count = what->data->test_facts.feature_count,
        .features = pass->features,
        .labels = labels};
    if (!dataset->read_sparse) {
        dataset->read(what->data->test, pass->index, count, pass->features, labels);
        return MU_OK;
    }
    batch->entries = pass->entries;
    return dataset->read_sparse(
        what->data->test, pass->index, count, pass->features, labels, &batch->entries, what->log);
}

static enum mu_status measure(
    struct pass *pass, size_t first, size_t count, struct mu_loss *ret_loss)
{
    const struct mu_evaluated *what = pass->what;
    const struct mu_model_ops *model = what->job->model;
    struct mu_batch batch;
    MU_TRY(read(pass, first, count, &batch));
    if (model->row_width)
        MU_TRY(what->rows.look(what->rows.owner, &batch));
    model->forward(what->model, what->parameters, &batch, ret_loss);
    if (model->scores)
        memcpy(pass->scores + first, model->scores(what->model), count * sizeof(float));
    return MU_OK;
}

static enum mu_status measure_all(struct pass *pass, struct mu_evaluation *ret_evaluation)
{
    const struct mu_evaluated *what = pass->what;
    size_t count = what->data->test_facts.sample_count;
    double loss = 0, correct = 0;
    for (size_t first = 0; first < count; first += what->row_max) {
        size_t left = count - first;
        struct mu_loss measured;
        MU_TRY(measure(pass, first, left < what->row_max ? left : what->row_max, &measured));
        loss += measured.loss_sum;
        correct += (double)measured.correct_count;
    }
    ret_evaluation->loss = loss / (double)count;
    ret_evaluation->accuracy = correct / (double)count;
    ret_evaluation->auc = (double)NAN;
    if (!what->job->model->scores)
        return MU_OK;
    return mu_auc(pass->scores, pass->labels, count, &ret_evaluation->auc);
}

enum mu_status mu_evaluate(
    const struct mu_evaluated *evaluated, struct mu_evaluation *ret_evaluation)
{
    struct pass pass = {.what = evaluated};
    enum mu_status status = allocate(&pass);
    if (status == MU_OK)
        status = measure_all(&pass, ret_evaluation);
    finish(&pass);
    return status;
}
