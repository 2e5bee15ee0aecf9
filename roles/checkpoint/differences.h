/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_DIFFERENCES_H
#define MU_ROLES_DIFFERENCES_H

#include "data/safetensors.h"
#include "runtime/base/text.h"

/* The table that says how the tensors of a checkpoint differ from those that a job expects. */
#define MU_DIFFERENCES_SHAPE_BYTES 96

struct mu_differences {
    struct mu_text table;
    int count;
    char first[2 * MU_NAME_MAX];
    char kind[2 * MU_NAME_MAX + 96]; /* " is of another optimizer: ..."; "": it is not */
};

void mu_differences_init(struct mu_differences *differences);
/* `what`, the model or the optimizer, is to be of this kind. */
void mu_differences_kind(
    struct mu_differences *differences, const char *what, const char *expected, const char *found);
/* One more row; of very many only the first are in the table. */
void mu_differences_add(
    struct mu_differences *differences, const char *name, const char *expected, const char *found);
/* The end: OK if there are none, BAD_DATA (MU_E0602) with the table if there are. */
enum mu_status mu_differences_finish(
    struct mu_differences *differences, struct mu_log *log, const char *where);

/* "784x128 F32" */
void mu_differences_shape(
    char out[MU_DIFFERENCES_SHAPE_BYTES], int rank, const int64_t *shape, const char *dtype);
/* The same of what was found; NULL: "nothing". */
void mu_differences_found(char out[MU_DIFFERENCES_SHAPE_BYTES], const struct mu_safetensor *tensor);

#endif
