/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_index.h"
#include "runtime/base/random.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A segment splits when it would have more rows: 1 MiB of cells, which are copied in about a
 * millisecond. */
#define SEGMENT_ROWS_MAX 114688
/* A directory of more entries than rows / this would be the work of someone who found many ids
 * whose hashes begin alike; segments then grow instead. */
#define ROWS_PER_ENTRY_MIN 4096
#define DEPTH_MAX 32
#define SMALL_ROWS 4096
#define LOAD_PARTS 1024
#define HOMES_MIN 64
/* Cells behind the last home; at a load of 7/8, one segment in 10^7 would need more. */
#define TAIL_MIN 64
#define PAGE_BYTES 4096
/* Rows whose ids are on their way into the cache while a segment is split. */
#define AHEAD 16

/* ---- segments ---- */

static size_t segment_bytes(const struct mu_table_segment *segment)
{
    return segment->cell_count * sizeof(uint64_t);
}

/* Room for `rows` at a load of 3/4 to 13/16 (1/2 where that costs nothing), and `tail` cells
 * behind. The load is drawn: hashes fill all segments alike, which would else grow and split all in
 * the same few calls. */
static enum mu_status segment_map(
    struct mu_table_index *index, struct mu_table_segment *segment, uint64_t rows, size_t tail)
{
    uint64_t draw = mu_random_mix(index->seed, index->draws++);
    uint64_t homes = 2 * rows;
    if (rows >= SMALL_ROWS)
        homes = rows * LOAD_PARTS / (LOAD_PARTS * 3 / 4 + draw % (LOAD_PARTS / 16));
    if (homes < HOMES_MIN)
        homes = HOMES_MIN;
    if (homes > UINT32_MAX)
        return MU_NO_MEMORY;
    size_t bytes = (homes + tail + 1) * sizeof(uint64_t);
    bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return MU_NO_MEMORY;
    segment->cell = memory;
    segment->cell_count = bytes / sizeof(uint64_t);
    segment->home_count = (uint32_t)homes;
    segment->rows = 0;
    return MU_OK;
}

static void segment_unmap(struct mu_table_segment *segment)
{
    if (segment->cell)
        munmap(segment->cell, segment_bytes(segment));
    segment->cell = NULL;
}

static bool segment_is_full(const struct mu_table_segment *segment)
{
    return segment->rows >= segment->home_count / 8 * 7;
}

/* A segment being filled with values in their order. */
struct filling {
    struct mu_table_segment segment;
    uint64_t *next;
};

static enum mu_status filling_begin(
    struct mu_table_index *index, struct filling *filling, uint64_t rows, size_t tail)
{
    MU_TRY(segment_map(index, &filling->segment, rows, tail));
    filling->next = filling->segment.cell;
    return MU_OK;
}

/* False: it does not fit before the last cell. */
static bool filling_append(struct filling *filling, uint64_t value)
{
    struct mu_table_segment *segment = &filling->segment;
    uint64_t *home = mu_table_index_home(segment, value >> 32);
    uint64_t *cell = home > filling->next ? home : filling->next;
    if (cell >= segment->cell + segment->cell_count - 1)
        return false;
    *cell = value;
    filling->next = cell + 1;
    segment->rows++;
    return true;
}

static bool copy_all(const struct mu_table_segment *from, struct filling *to)
{
    for (size_t i = 0; i + 1 < from->cell_count; i++)
        if (from->cell[i] != 0 && !filling_append(to, from->cell[i]))
            return false;
    return true;
}

static uint32_t row_of(uint64_t cell)
{
    return (uint32_t)cell - 1;
}

/* To the half that the next bit of a row's hash names, for which its id is asked. */
static bool copy_halves(const struct mu_table_index *index, const struct mu_table_blocks *blocks,
    const struct mu_table_segment *from, struct filling to[2])
{
    for (size_t i = 0; i + 1 < from->cell_count; i++) {
        size_t later = i + AHEAD < from->cell_count ? i + AHEAD : i;
        if (from->cell[later] != 0)
            __builtin_prefetch(mu_table_blocks_record(blocks, row_of(from->cell[later])));
        if (from->cell[i] == 0)
            continue;
        const char *record = mu_table_blocks_record(blocks, row_of(from->cell[i]));
        uint64_t hash = mu_table_index_hash(index, mu_table_blocks_id(record));
        if (!filling_append(&to[mu_table_index_place(hash, from->depth + 1) & 1], from->cell[i]))
            return false;
    }
    return true;
}

/* The same cells in more room: for more rows if it is full, or else behind the last home. */
static enum mu_status segment_grow(struct mu_table_index *index, struct mu_table_segment *segment)
{
    size_t tail = TAIL_MIN;
    if (!segment_is_full(segment))
        tail = 2 * (segment->cell_count - segment->home_count);
    for (;; tail *= 2) {
        struct filling filling;
        MU_TRY(filling_begin(index, &filling, (uint64_t)segment->rows + 1, tail));
        if (!copy_all(segment, &filling)) {
            segment_unmap(&filling.segment);
            continue;
        }
        filling.segment.depth = segment->depth;
        index->bytes += segment_bytes(&filling.segment) - segment_bytes(segment);
        segment_unmap(segment);
        *segment = filling.segment;
        return MU_OK;
    }
}

static enum mu_status fill_halves(struct mu_table_index *index,
    const struct mu_table_blocks *blocks, const struct mu_table_segment *from, struct filling to[2])
{
    for (size_t tail = TAIL_MIN;; tail *= 2) {
        to[0].segment.cell = to[1].segment.cell = NULL;
        enum mu_status status = filling_begin(index, &to[0], from->rows / 2, tail);
        if (status == MU_OK)
            status = filling_begin(index, &to[1], from->rows / 2, tail);
        if (status == MU_OK && copy_halves(index, blocks, from, to))
            return MU_OK;
        segment_unmap(&to[0].segment);
        segment_unmap(&to[1].segment);
        MU_TRY(status);
    }
}

/* ---- the directory ---- */

static size_t directory_bytes(const struct mu_table_index *index)
{
    return sizeof(index->directory[0]) << index->depth;
}

static enum mu_status directory_double(struct mu_table_index *index)
{
    size_t count = (size_t)1 << index->depth;
    struct mu_table_segment **directory = malloc(2 * count * sizeof(*directory));
    if (!directory)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        directory[2 * i] = directory[2 * i + 1] = index->directory[i];
    index->bytes += directory_bytes(index);
    free(index->directory);
    index->directory = directory;
    index->depth++;
    return MU_OK;
}

static bool may_split(const struct mu_table_index *index, const struct mu_table_segment *segment)
{
    if (segment->rows < SEGMENT_ROWS_MAX || segment->depth == DEPTH_MAX)
        return false;
    return segment->depth < index->depth ||
           (UINT64_C(2) << index->depth) * ROWS_PER_ENTRY_MIN <= index->rows;
}

/* The entries of the segment from now on lead to its two halves. */
static void directory_set(struct mu_table_index *index, uint64_t hash,
    struct mu_table_segment *lower, struct mu_table_segment *upper)
{
    size_t half = (size_t)1 << (index->depth - lower->depth);
    size_t first = mu_table_index_place(hash, index->depth) & ~(2 * half - 1);
    for (size_t i = 0; i < half; i++) {
        index->directory[first + i] = lower;
        index->directory[first + half + i] = upper;
    }
}

static enum mu_status segment_split(struct mu_table_index *index,
    const struct mu_table_blocks *blocks, uint64_t hash, struct mu_table_segment *segment)
{
    if (segment->depth == index->depth)
        MU_TRY(directory_double(index));
    struct mu_table_segment *upper = malloc(sizeof(*upper));
    if (!upper)
        return MU_NO_MEMORY;
    struct filling half[2];
    enum mu_status status = fill_halves(index, blocks, segment, half);
    if (status != MU_OK) {
        free(upper);
        return status;
    }
    half[0].segment.depth = half[1].segment.depth = segment->depth + 1;
    index->bytes += sizeof(*upper) + segment_bytes(&half[0].segment) +
                    segment_bytes(&half[1].segment) - segment_bytes(segment);
    segment_unmap(segment);
    *segment = half[0].segment;
    *upper = half[1].segment;
    directory_set(index, hash, segment, upper);
    return MU_OK;
}

/* ---- the index ---- */

enum mu_status mu_table_index_init(struct mu_table_index *index, uint64_t seed)
{
    *index = (struct mu_table_index){.seed = seed};
    index->directory = malloc(sizeof(index->directory[0]));
    struct mu_table_segment *segment = calloc(1, sizeof(*segment));
    if (!index->directory || !segment || segment_map(index, segment, 0, TAIL_MIN) != MU_OK) {
        free(segment);
        free(index->directory);
        index->directory = NULL;
        return MU_NO_MEMORY;
    }
    index->directory[0] = segment;
    index->bytes = directory_bytes(index) + sizeof(*segment) + segment_bytes(segment);
    return MU_OK;
}

void mu_table_index_finish(struct mu_table_index *index)
{
    if (!index->directory)
        return;
    for (size_t i = 0, next; i < (size_t)1 << index->depth; i = next) {
        struct mu_table_segment *segment = index->directory[i];
        next = i + ((size_t)1 << (index->depth - segment->depth));
        segment_unmap(segment);
        free(segment);
    }
    free(index->directory);
    *index = (struct mu_table_index){0};
}

uint64_t mu_table_index_hash(const struct mu_table_index *index, uint64_t id)
{
    return mu_random_mix(index->seed, id);
}

static struct mu_table_segment *segment_of(const struct mu_table_index *index, uint64_t hash)
{
    return index->directory[mu_table_index_place(hash, index->depth)];
}

static uint64_t cell_value(uint64_t hash, uint32_t row)
{
    return hash << 32 | (row + 1);
}

uint32_t mu_table_index_find(const struct mu_table_index *index,
    const struct mu_table_blocks *blocks, uint64_t hash, uint64_t id)
{
    const uint64_t *cell = mu_table_index_seek(segment_of(index, hash), hash, cell_value(hash, 0));
    for (; *cell != 0 && *cell >> 32 == (hash & UINT32_MAX); cell++)
        if (mu_table_blocks_id(mu_table_blocks_record(blocks, row_of(*cell))) == id)
            return row_of(*cell);
    return MU_TABLE_NO_ROW;
}

/* Moves the cells from `cell` to the next empty one by one place. False: there is none. */
static bool shift_right(const struct mu_table_segment *segment, uint64_t *cell)
{
    const uint64_t *last = segment->cell + segment->cell_count - 1;
    uint64_t *end = cell;
    while (*end != 0)
        end++;
    if (end == last)
        return false;
    memmove(cell + 1, cell, (size_t)((char *)end - (char *)cell));
    return true;
}

enum mu_status mu_table_index_insert(
    struct mu_table_index *index, const struct mu_table_blocks *blocks, uint64_t hash, uint32_t row)
{
    assert(row < MU_TABLE_ROWS_MAX);
    for (;;) {
        struct mu_table_segment *segment = segment_of(index, hash);
        uint64_t *cell = mu_table_index_seek(segment, hash, cell_value(hash, row));
        if (!segment_is_full(segment) && shift_right(segment, cell)) {
            *cell = cell_value(hash, row);
            segment->rows++;
            index->rows++;
            return MU_OK;
        }
        if (may_split(index, segment))
            MU_TRY(segment_split(index, blocks, hash, segment));
        else
            MU_TRY(segment_grow(index, segment));
    }
}

void mu_table_index_remove(struct mu_table_index *index, uint64_t hash, uint32_t row)
{
    struct mu_table_segment *segment = segment_of(index, hash);
    uint64_t *cell = mu_table_index_seek(segment, hash, cell_value(hash, row));
    assert(*cell == cell_value(hash, row));
    uint64_t *next = cell + 1; /* those that are not at home move up by one place */
    while (*next != 0 && mu_table_index_home(segment, *next >> 32) < next)
        next++;
    memmove(cell, cell + 1, (size_t)((char *)next - (char *)(cell + 1)));
    next[-1] = 0;
    segment->rows--;
    index->rows--;
}
