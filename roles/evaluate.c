/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/evaluate.h"
#include <stdlib.h>

enum mu_status mu_evaluate(const struct mu_job *job, const struct mu_task_data *data, void *model,
    size_t rows_max, const float *parameters, struct mu_evaluation *ret_evaluation)
{
    size_t features = data->test_facts.feature_count, count = data->test_facts.sample_count;
    /* Aligned like every vector that a kernel meets. */
    float *rows = aligned_alloc(64, (rows_max * features * sizeof(float) + 63) / 64 * 64);
    int32_t *labels = malloc(rows_max * sizeof(*labels));
    uint32_t *index = malloc(rows_max * sizeof(*index));
    double loss = 0, correct = 0;
    enum mu_status status = rows && labels && index ? MU_OK : MU_NO_MEMORY;
    for (size_t first = 0; status == MU_OK && first < count; first += rows_max) {
        size_t part = count - first < rows_max ? count - first : rows_max;
        for (size_t i = 0; i < part; i++)
            index[i] = (uint32_t)(first + i);
        job->dataset->read(data->test, index, part, rows, labels);
        const struct mu_batch batch = {
            .row_count = part, .feature_count = features, .features = rows, .labels = labels};
        struct mu_loss measured;
        job->model->forward(model, parameters, &batch, &measured);
        loss += measured.loss_sum;
        correct += (double)measured.correct_count;
    }
    free(rows);
    free(labels);
    free(index);
    *ret_evaluation =
        (struct mu_evaluation){.loss = loss / (double)count, .accuracy = correct / (double)count};
    return status;
}
