/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress.h"
#include <string.h>

const struct mu_compressor_ops *const mu_compressors[] = {&mu_compress_none, &mu_compress_bf16,
    &mu_compress_fp16, &mu_compress_topk, &mu_compress_randomk, &mu_compress_onebit,
    &mu_compress_powersgd, NULL};

const struct mu_compressor_ops *mu_compressor_find(const char *name)
{
    for (size_t i = 0; mu_compressors[i]; i++)
        if (strcmp(mu_compressors[i]->name, name) == 0)
            return mu_compressors[i];
    return NULL;
}
