/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/gemm.h"

#include <assert.h>

/*
 * for columns of c, MU_GEMM_COLUMNS_MAX at a time
 *   for depths of k, MU_GEMM_DEPTH_MAX at a time      pack b, or read it where it lies
 *     for rows of c, MU_GEMM_ROWS_MAX at a time
 *       for panels of b                               columns that fit in the registers
 *         for tiles of c                              kernel->tile
 */
struct plan {
    const struct mu_gemm_kernel *kernel;
    const struct mu_product *product;
    float *packed_a, *packed_b; /* workspace */
    size_t panel;               /* columns of b that fit in the registers */
    size_t a_row, a_step;       /* op(a)[i, p] is a[i * a_row + p * a_step] */
    size_t b_stride, c_stride;
    bool in_place_a, in_place_b; /* read where they lie */
};

/* b of one block: packed panels or the caller's matrix. */
struct panels {
    const float *b;
    size_t b_row;  /* 0: packed, the row of a panel is its width */
    size_t stride; /* from one whole panel to the next */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Equal parts of at most `most` are better than a short last one. */
static size_t part_of(size_t count, size_t most)
{
    size_t parts = (count + most - 1) / most;
    return parts ? (count + parts - 1) / parts : 0;
}

/* `strip`: from the rows of one tile to those of the next in a. */
static void multiply_panel(
    const struct mu_gemm_kernel *kernel, struct mu_gemm_tile tile, size_t rows, size_t strip)
{
    size_t vectors = (tile.columns + kernel->lanes - 1) / kernel->lanes;
    for (size_t i = 0; i < rows; i += kernel->rows) {
        tile.rows = smaller(rows - i, kernel->rows);
        kernel->tile[vectors - 1](&tile);
        tile.a += strip;
        tile.c += kernel->rows * tile.c_row;
    }
}

/* What k in [p, p + depth) adds to `rows` rows of c from i and `columns` columns from j. */
struct block {
    size_t i, rows, j, columns, p, depth;
};

static void multiply_block(
    const struct plan *plan, const struct panels *panels, const struct block *block)
{
    const struct mu_gemm_kernel *kernel = plan->kernel;
    const struct mu_product *product = plan->product;
    struct mu_gemm_tile tile = {.depth = block->depth,
        .alpha = product->alpha,
        .beta = block->p == 0 ? product->beta : 1,
        .a_row = plan->a_row,
        .a_step = plan->a_step,
        .c_row = plan->c_stride};
    tile.a = product->a + block->i * tile.a_row + block->p * tile.a_step;
    size_t strip = kernel->rows * tile.a_row;
    if (!plan->in_place_a) {
        kernel->pack_a(block->depth, block->rows, tile.a, tile.a_step, plan->packed_a);
        tile.a = plan->packed_a;
        tile.a_row = 1;
        tile.a_step = kernel->rows;
        strip = kernel->rows * block->depth;
    }
    for (size_t at = 0; at < block->columns; at += plan->panel) {
        tile.columns = smaller(block->columns - at, plan->panel);
        tile.b = panels->b + at / plan->panel * panels->stride;
        size_t lanes = kernel->lanes;
        tile.b_row = panels->b_row ? panels->b_row : (tile.columns + lanes - 1) / lanes * lanes;
        tile.c = product->c + block->i * tile.c_row + block->j + at;
        multiply_panel(kernel, tile, block->rows, strip);
    }
}

static struct panels panels_of(const struct plan *plan, const struct block *block)
{
    const struct mu_product *product = plan->product;
    size_t stride = plan->b_stride;
    const float *b = product->transpose_b ? product->b + block->j * stride + block->p
                                          : product->b + block->p * stride + block->j;
    if (plan->in_place_b)
        return (struct panels){b, stride, plan->panel};
    plan->kernel->pack_b(
        product->transpose_b, block->depth, block->columns, plan->panel, b, stride, plan->packed_b);
    return (struct panels){plan->packed_b, 0, plan->panel * block->depth};
}

/* The narrowest panels that are no more than the widest would be: 64 columns of 16 lanes are two of
 * 32, not one of 48 and a 16 that leaves most registers idle. */
static size_t panel_of(const struct mu_gemm_kernel *kernel, size_t columns)
{
    size_t vectors = (columns + kernel->lanes - 1) / kernel->lanes;
    size_t widest = kernel->columns / kernel->lanes;
    size_t panels = (vectors + widest - 1) / widest;
    return panels ? (vectors + panels - 1) / panels * kernel->lanes : kernel->columns;
}

static struct plan plan_of(
    const struct mu_gemm_kernel *kernel, float *packed, const struct mu_product *product)
{
    size_t a_columns = product->transpose_a ? product->m : product->k;
    size_t b_columns = product->transpose_b ? product->k : product->n;
    size_t a_stride = product->a_stride ? product->a_stride : a_columns;
    return (struct plan){
        .kernel = kernel,
        .product = product,
        .packed_a = packed + MU_GEMM_DEPTH_MAX * MU_GEMM_COLUMNS_MAX,
        .packed_b = packed,
        .panel = panel_of(kernel, product->n),
        .a_row = product->transpose_a ? 1 : a_stride,
        .a_step = product->transpose_a ? a_stride : 1,
        .b_stride = product->b_stride ? product->b_stride : b_columns,
        .c_stride = product->c_stride ? product->c_stride : product->n,
        .in_place_a = !product->transpose_a || product->k <= MU_GEMM_DEPTH_IN_PLACE,
        /* Packing pays when many rows use the panel, and it pads the last vector of a row. */
        .in_place_b = !product->transpose_b && product->m <= MU_GEMM_ROWS_IN_PLACE &&
                      product->n % kernel->lanes == 0,
    };
}

static void multiply(
    const struct mu_gemm_kernel *kernel, float *packed, const struct mu_product *product)
{
    struct plan plan = plan_of(kernel, packed, product);
    struct block block = {0};
    size_t depth_part = part_of(product->k, MU_GEMM_DEPTH_MAX);
    size_t columns_part = MU_GEMM_COLUMNS_MAX / plan.panel * plan.panel;
    for (block.j = 0; block.j < product->n; block.j += columns_part) {
        block.columns = smaller(product->n - block.j, columns_part);
        block.p = 0;
        do { /* once also for k = 0: c = beta * c */
            block.depth = smaller(product->k - block.p, depth_part);
            struct panels panels = panels_of(&plan, &block);
            for (block.i = 0; block.i < product->m; block.i += MU_GEMM_ROWS_MAX) {
                block.rows = smaller(product->m - block.i, MU_GEMM_ROWS_MAX);
                multiply_block(&plan, &panels, &block);
            }
            block.p += block.depth;
        } while (block.p < product->k);
    }
}

_Static_assert(
    MU_GEMM_ROWS_ACROSS *(MU_GEMM_DEPTH_MAX + MU_GEMM_COLUMNS_ACROSS) <= MU_GEMM_PACKED_FLOATS,
    "the workspace holds what is packed of a, and c^T");

/* Of c^T only a is packed, which has fewer rows than b. */
static bool is_quicker_across(const struct mu_gemm_kernel *kernel, const struct mu_product *product)
{
    return product->transpose_b && !product->transpose_a && product->beta == 0 &&
           product->m <= MU_GEMM_ROWS_ACROSS && product->n >= 2 * product->m &&
           product->n <= MU_GEMM_COLUMNS_ACROSS && product->n % kernel->lanes == 0 &&
           (product->c_stride == 0 || product->c_stride == product->n);
}

/* c^T = alpha * b * a^T, and c is its transpose: the same chain of multiply-adds each. */
static void multiply_across(
    const struct mu_gemm_kernel *kernel, float *packed, const struct mu_product *product)
{
    float *across = packed + MU_GEMM_DEPTH_MAX * MU_GEMM_ROWS_ACROSS; /* behind what is packed */
    const struct mu_product swapped = {.transpose_b = true,
        .m = product->n,
        .n = product->m,
        .k = product->k,
        .alpha = product->alpha,
        .a = product->b,
        .b = product->a,
        .c = across,
        .a_stride = product->b_stride,
        .b_stride = product->a_stride};
    multiply(kernel, packed, &swapped);
    kernel->pack_b(true, product->m, product->n, product->n, across, product->m, product->c);
}

void mu_gemm(const struct mu_gemm_kernel *kernel, float *packed, const struct mu_product *product)
{
    assert(MU_GEMM_COLUMNS_MAX % kernel->columns == 0);
    if (is_quicker_across(kernel, product))
        multiply_across(kernel, packed, product);
    else
        multiply(kernel, packed, product);
}
