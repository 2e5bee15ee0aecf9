/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_AUC_H
#define MU_MODELS_AUC_H

#include "runtime/base/status.h"
#include <stddef.h>
#include <stdint.h>

/*
 * Area under the ROC curve: the probability that a row of class 1 scores higher than one of class
 * 0, a tie counting half (Mann and Whitney 1947). `labels` are 0 and 1. The scores of a whole test
 * set are gathered by the caller, batch by batch. Not a number where it is not defined: a class is
 * missing, or a score is not a number. Time in proportion to `count`, memory 16 bytes a score.
 * NO_MEMORY.
 */
enum mu_status mu_auc(const float *scores, const int32_t *labels, size_t count, double *ret_auc);

#endif
