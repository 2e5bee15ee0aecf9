/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/gemm.h"

#include "runtime/device/levels.h"
#include <string.h>

/*
 * The inner loops of gemm. Compiled once for each instruction set, with contraction allowed, so
 * that acc += a * b is one fused multiply-add where the processor has it. MU_GEMM_KERNEL is the
 * name of the table (see meson.build). The tile fills the vector registers: rows * vectors sums,
 * `vectors` of b, one element of a in all lanes.
 */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 8, VECTORS = 3 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 4, VECTORS = 3 };
#else
enum { LANES = 4, ROWS = 4, VECTORS = 2 };
#endif
enum { COLUMNS = LANES * VECTORS };

_Static_assert(VECTORS <= MU_GEMM_VECTORS_MAX, "the table has a place for every width");
_Static_assert(MU_GEMM_COLUMNS_MAX % COLUMNS == 0, "a block is a whole number of panels");

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose_vector
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
#define ALWAYS_INLINE __attribute__((always_inline))
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

static inline vector load(const float *at)
{
    return *(const loose_vector *)at;
}

static inline void store(float *at, vector value)
{
    *(loose_vector *)at = value;
}

/* The part of a tile that is not whole goes through a buffer. */
static void finish_part(const struct mu_gemm_tile *tile, const float *sums)
{
    for (size_t i = 0; i < tile->rows; i++) {
        float *c = tile->c + i * tile->c_row;
        for (size_t j = 0; j < tile->columns; j++) {
            float sum = tile->alpha * sums[i * 3 * LANES + j];
            c[j] = tile->beta == 0 ? sum : sum + tile->beta * c[j];
        }
    }
}

/*
 * The sums live in registers only if every index into them is a constant when the compiler first
 * looks, so rows and vectors are written out instead of looped over; `vectors` is a constant in
 * every copy, and the lines that a tile does not have go away.
 */
struct sums {
    vector row[8][3];
};
_Static_assert(ROWS == 4 || ROWS == 8, "rows are written out in fours");

static inline ALWAYS_INLINE void add_row(
    vector sums[3], const int vectors, const float *a, const vector b[3])
{
    vector of_a = *a - (vector){0};
    sums[0] += of_a * b[0];
    if (vectors > 1)
        sums[1] += of_a * b[1];
    if (vectors > 2)
        sums[2] += of_a * b[2];
}

static inline ALWAYS_INLINE void add_four_rows(
    vector sums[4][3], const int vectors, const float *const row[4], size_t step, const vector b[3])
{
    add_row(sums[0], vectors, row[0] + step, b);
    add_row(sums[1], vectors, row[1] + step, b);
    add_row(sums[2], vectors, row[2] + step, b);
    add_row(sums[3], vectors, row[3] + step, b);
}

static inline ALWAYS_INLINE void finish_vector(
    const struct mu_gemm_tile *tile, vector sum, float *c)
{
    sum *= tile->alpha;
    if (tile->beta != 0)
        sum += tile->beta * load(c);
    store(c, sum);
}

static inline ALWAYS_INLINE void finish_row(
    const struct mu_gemm_tile *tile, const int vectors, const vector sums[3], float *c)
{
    finish_vector(tile, sums[0], c);
    if (vectors > 1)
        finish_vector(tile, sums[1], c + LANES);
    if (vectors > 2)
        finish_vector(tile, sums[2], c + 2 * LANES);
}

static inline ALWAYS_INLINE void finish_four_rows(
    const struct mu_gemm_tile *tile, const int vectors, const vector sums[4][3], float *c)
{
    finish_row(tile, vectors, sums[0], c);
    finish_row(tile, vectors, sums[1], c + tile->c_row);
    finish_row(tile, vectors, sums[2], c + 2 * tile->c_row);
    finish_row(tile, vectors, sums[3], c + 3 * tile->c_row);
}

/* Rows that are not there are computed from the first and thrown away. */
static void find_rows(const struct mu_gemm_tile *tile, const float *row[8])
{
    for (size_t i = 0; i < 8; i++)
        row[i] = tile->a + (i < tile->rows ? i * tile->a_row : 0);
}

static inline ALWAYS_INLINE void multiply(const struct mu_gemm_tile *tile, const int vectors)
{
    const float *row[8];
    find_rows(tile, row);
    struct sums sums = {0};
    const float *b = tile->b;
    size_t step = 0, a_step = tile->a_step, b_row = tile->b_row;
    for (size_t p = 0; p < tile->depth; p++) {
        vector of_b[3] = {load(b)};
        if (vectors > 1)
            of_b[1] = load(b + LANES);
        if (vectors > 2)
            of_b[2] = load(b + 2 * LANES);
        add_four_rows(sums.row, vectors, row, step, of_b);
        if (ROWS == 8)
            add_four_rows(sums.row + 4, vectors, row + 4, step, of_b);
        step += a_step;
        b += b_row;
    }
    if (tile->rows == ROWS && tile->columns == (size_t)vectors * LANES) {
        finish_four_rows(tile, vectors, sums.row, tile->c);
        if (ROWS == 8)
            finish_four_rows(tile, vectors, sums.row + 4, tile->c + 4 * tile->c_row);
    } else {
        struct sums copy = sums; /* so that only the copy's address is taken */
        finish_part(tile, (const float *)&copy);
    }
}

static void tile_of_one(const struct mu_gemm_tile *tile)
{
    multiply(tile, 1);
}

static void tile_of_two(const struct mu_gemm_tile *tile)
{
    multiply(tile, 2);
}

#if defined(__AVX2__)
static void tile_of_three(const struct mu_gemm_tile *tile)
{
    multiply(tile, 3);
}
#endif

static void pack_a(size_t depth, size_t rows, const float *a, size_t a_stride, float *packed)
{
    for (size_t i = 0; i < rows; i += ROWS) {
        size_t here = rows - i < ROWS ? rows - i : ROWS;
        for (size_t p = 0; p < depth; p++, packed += ROWS) {
            const float *from = a + p * a_stride + i;
            if (here == ROWS)
                memcpy(packed, from, ROWS * sizeof(float));
            else
                memcpy(packed, from, here * sizeof(float));
        }
    }
}

/* Four rows of `from` become four columns of `to`. */
static inline void transpose_quads(const float *from, size_t from_row, float *to, size_t to_row)
{
    quad a = *(const quad *)from, b = *(const quad *)(from + from_row);
    quad c = *(const quad *)(from + 2 * from_row), d = *(const quad *)(from + 3 * from_row);
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(quad *)(to + to_row) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(quad *)(to + 2 * to_row) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(quad *)(to + 3 * to_row) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

/* Along the rows of `to`, whose lines are so filled while they are in the first cache. */
static void pack_transposed(
    size_t depth, size_t columns, size_t width, const float *b, size_t b_row, float *to)
{
    size_t quads_deep = depth / 4 * 4, quads_wide = columns / 4 * 4;
    for (size_t p = 0; p < quads_deep; p += 4)
        for (size_t j = 0; j < quads_wide; j += 4)
            transpose_quads(b + j * b_row + p, b_row, to + p * width + j, width);
    for (size_t p = 0; p < depth; p++)
        for (size_t j = p < quads_deep ? quads_wide : 0; j < width; j++)
            to[p * width + j] = j < columns ? b[j * b_row + p] : 0;
}

static void pack_rows(
    size_t depth, size_t columns, size_t width, const float *b, size_t b_row, float *to)
{
    for (size_t p = 0; p < depth; p++) {
        for (size_t j = 0; j < width; j++)
            to[p * width + j] = j < columns ? b[p * b_row + j] : 0;
    }
}

static void pack_whole_rows(size_t depth, const float *b, size_t b_row, float *to)
{
    for (size_t p = 0; p < depth; p++) {
        store(to + p * COLUMNS, load(b + p * b_row));
        if (VECTORS > 1)
            store(to + p * COLUMNS + LANES, load(b + p * b_row + LANES));
        if (VECTORS > 2)
            store(to + p * COLUMNS + 2 * LANES, load(b + p * b_row + 2 * LANES));
    }
}

static void pack_b(bool transpose, size_t depth, size_t columns, size_t panel, const float *b,
    size_t b_row, float *packed)
{
    for (size_t j = 0; j < columns; j += panel) {
        size_t here = columns - j < panel ? columns - j : panel;
        size_t width = (here + LANES - 1) / LANES * LANES;
        const float *from = transpose ? b + j * b_row : b + j;
        if (transpose)
            pack_transposed(depth, here, width, from, b_row, packed);
        else if (here == COLUMNS)
            pack_whole_rows(depth, from, b_row, packed);
        else
            pack_rows(depth, here, width, from, b_row, packed);
        packed += width * depth;
    }
}

const struct mu_gemm_kernel MU_GEMM_KERNEL = {
    .lanes = LANES,
    .rows = ROWS,
    .columns = COLUMNS,
#if defined(__AVX2__)
    .tile = {tile_of_one, tile_of_two, tile_of_three},
#else
    .tile = {tile_of_one, tile_of_two},
#endif
    .pack_a = pack_a,
    .pack_b = pack_b,
};
