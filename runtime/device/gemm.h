/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_GEMM_H
#define MU_DEVICE_GEMM_H

#include "runtime/device/device.h"

/*
 * Matrix products on one core, in the manner of Goto and van de Geijn (2008) and BLIS (Van Zee and
 * van de Geijn 2015): the result is made tile by tile in registers, b is copied into panels as wide
 * as a tile when enough rows use it, and a is read where it lies.
 *
 * Why not a library: at the sizes of a training step and with AVX-512, OpenBLAS 0.3.21 is slower,
 * oneDNN 2.6 is about as fast but allocates in every call, and both bring start-up time, megabytes
 * and another order of sums with each version.
 *
 * An element of c is one chain of multiply-adds over k, cut every MU_GEMM_DEPTH_MAX: the result
 * does not depend on tile sizes, on the number of rows or on where the rows are cut, and with
 * alpha 1 and beta 0 or 1 it is bit-equal on all processors that have fused multiply-add.
 */
#define MU_GEMM_DEPTH_MAX 256     /* of k worked at once: a panel of b stays in the first caches */
#define MU_GEMM_ROWS_MAX 64       /* of a and c worked at once, panel by panel */
#define MU_GEMM_ROWS_IN_PLACE 128 /* up to so many, copying b costs more than it saves */
#define MU_GEMM_COLUMNS_MAX 768   /* of b packed at once; a multiple of every tile's width */
#define MU_GEMM_DEPTH_IN_PLACE 64 /* up to so deep, a transposed a is read where it lies */
#define MU_GEMM_ROWS_ACROSS 64    /* up to so many, a * b^T is made as the transpose of b * a^T */
#define MU_GEMM_COLUMNS_ACROSS 3072 /* and up to so many columns: that transpose has its place */
#define MU_GEMM_PACKED_FLOATS (MU_GEMM_DEPTH_MAX * (MU_GEMM_COLUMNS_MAX + MU_GEMM_ROWS_MAX))
#define MU_GEMM_VECTORS_MAX 3 /* that the width of a tile has */

/* c (rows, columns) = alpha * a (rows, depth) * b (depth, columns) + beta * c. */
struct mu_gemm_tile {
    size_t rows, columns, depth;
    float alpha, beta; /* beta 0: c is not read */
    const float *a;    /* a[i * a_row + p * a_step] */
    size_t a_row, a_step;
    const float *b; /* b[p * b_row + j], readable up to the next multiple of `lanes` columns */
    size_t b_row;
    float *c; /* c[i * c_row + j] */
    size_t c_row;
};

/* What is compiled once for each instruction set. */
struct mu_gemm_kernel {
    size_t lanes;         /* floats in a vector */
    size_t rows, columns; /* of a whole tile */
    /* tile[v - 1] does tiles of at most `rows` rows and v * lanes columns. */
    void (*tile[MU_GEMM_VECTORS_MAX])(const struct mu_gemm_tile *tile);
    /* Transposed a (depth, rows) into strips one after the other, each (depth, this->rows); what
     * the last strip has too many is left as it is. */
    void (*pack_a)(size_t depth, size_t rows, const float *a, size_t a_stride, float *packed);
    /* op(b) (depth, columns) into panels one after the other, each (depth, width): width is
     * `panel`, a multiple of lanes; in the last panel what is left, rounded up to lanes with zeros.
     */
    void (*pack_b)(bool transpose, size_t depth, size_t columns, size_t panel, const float *b,
        size_t b_row, float *packed);
};

/* As the gemm of struct mu_device_ops; `packed` has MU_GEMM_PACKED_FLOATS and 64-byte alignment. */
void mu_gemm(const struct mu_gemm_kernel *kernel, float *packed, const struct mu_product *product);

#endif
