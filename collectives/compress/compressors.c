/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"

const struct mu_compressor_ops *const mu_compressors[] = {&mu_compress_none, &mu_compress_bf16,
    &mu_compress_fp16, &mu_compress_topk, &mu_compress_randomk, &mu_compress_onebit,
    &mu_compress_powersgd, NULL};
