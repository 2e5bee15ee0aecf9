/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table.h"
#include "ps/table/table_dense.h"
#include "ps/table/table_index.h"
#include "ps/table/table_marks.h"
#include "ps/table/table_sweep.h"
#include "runtime/base/random.h"
#include <assert.h>
#include <stdlib.h>

/*
 * Ids are looked for in groups, each step for the whole group before the next one, so that the
 * waits for memory overlap:
 *
 *     hash all ids     the cells come into the cache
 *     find the cells   the records come into the cache
 *     compare the ids  and create what is not there
 */
#define GROUP 256
#define LINE_BYTES ((size_t)64)
/* Keeps the places of ids in the index apart from all else that is drawn from the seed. */
#define INDEX_SEED UINT64_C(0x7461626c65)
/* Of the index: cells of 8 bytes at a load of 3/4, about. */
#define INDEX_ROW_BYTES 11

struct mu_table {
    struct mu_table_options options;
    struct mu_table_blocks blocks;
    struct mu_table_index index; /* empty where the table is dense */
    struct mu_table_dense dense;
    uint64_t next_id; /* dense: ids below have their rows */
    struct mu_table_marks marks;
    struct mu_table_sweep *sweep; /* NULL: nobody reads while rows change */
    uint64_t created, evicted;
};

struct group {
    size_t count;
    uint64_t hash[GROUP];
    uint32_t row[GROUP]; /* a candidate, or MU_TABLE_NO_ROW */
};

/* With what is a policy's own. */
static size_t whole_stride(const struct mu_table *table)
{
    return mu_table_stride(table) + (table->options.has_own ? table->options.width : 0);
}

static enum mu_status init_dense(struct mu_table *table)
{
    const struct mu_table_options *options = &table->options;
    int servers = options->server_count > 0 ? options->server_count : 1;
    const struct mu_row_split split =
        mu_row_split_by(servers, options->by_range, options->dense_ids);
    if (options->dense_ids == 0)
        return MU_OK;
    MU_TRY(mu_table_dense_init(&table->dense, options->dense_ids, options->order, &split));
    table->next_id = table->dense.range.first;
    return MU_OK;
}

enum mu_status mu_table_create(const struct mu_table_options *options, struct mu_table **ret_table)
{
    assert(options->width > 0);
    assert(options->slot_count >= 0);
    assert(options->dense_ids == 0 || options->row_limit == 0);
    struct mu_table *table = calloc(1, sizeof(*table));
    if (!table)
        return MU_NO_MEMORY;
    table->options = *options;
    mu_table_blocks_init(&table->blocks, whole_stride(table), options->row_limit > 0);
    uint64_t index_seed = mu_random_mix(options->seed, INDEX_SEED);
    enum mu_status status = mu_table_index_init(&table->index, index_seed);
    if (status == MU_OK)
        status = init_dense(table);
    if (status != MU_OK) {
        mu_table_destroy(table);
        return status;
    }
    *ret_table = table;
    return MU_OK;
}

void mu_table_destroy(struct mu_table *table)
{
    if (!table)
        return;
    mu_table_index_finish(&table->index);
    mu_table_dense_finish(&table->dense);
    mu_table_blocks_finish(&table->blocks);
    free(table);
}

enum mu_status mu_table_follow(
    struct mu_table *table, struct mu_table_sweep *sweep, size_t aside_max)
{
    assert(!table->sweep);
    MU_TRY(mu_table_sweep_init(sweep, &table->blocks, aside_max));
    table->sweep = sweep;
    return MU_OK;
}

size_t mu_table_stride(const struct mu_table *table)
{
    return table->options.width * (1 + (size_t)table->options.slot_count);
}

size_t mu_table_record_bytes(const struct mu_table *table)
{
    return table->blocks.record_bytes;
}

size_t mu_table_width(const struct mu_table *table)
{
    return table->options.width;
}

static bool is_dense(const struct mu_table *table)
{
    return table->dense.id_count > 0;
}

bool mu_table_takes(const struct mu_table *table, uint64_t id)
{
    return !is_dense(table) || mu_table_dense_row(&table->dense, id) != MU_TABLE_NO_ROW;
}

struct mu_table_counts mu_table_count(const struct mu_table *table)
{
    return (struct mu_table_counts){.rows = is_dense(table) ? table->blocks.end : table->index.rows,
        .created = table->created,
        .evicted = table->evicted,
        .bytes = sizeof(*table) + table->index.bytes + mu_table_dense_bytes(&table->dense) +
                 mu_table_blocks_bytes(&table->blocks)};
}

uint64_t mu_table_bytes_of(uint64_t rows, size_t stride, bool dense)
{
    return rows * (sizeof(uint64_t) + stride * sizeof(float) + (dense ? 0 : INDEX_ROW_BYTES));
}

void mu_table_fresh_row(const struct mu_table *table, uint64_t id, float *ret_parameters)
{
    const struct mu_table_options *options = &table->options;
    if (options->init_row)
        options->init_row(options->owner, options->seed, id, options->width, ret_parameters);
    else
        memset(ret_parameters, 0, options->width * sizeof(float));
}

/* ---- dense tables ---- */

/* Memory of new blocks is zeros, and so is all behind the parameters. */
static enum mu_status lay_row(struct mu_table *table, uint64_t id)
{
    uint32_t row;
    MU_TRY(mu_table_blocks_take(&table->blocks, id, &row));
    assert(row == mu_table_dense_row(&table->dense, id));
    char *record = mu_table_blocks_record(&table->blocks, row);
    mu_table_fresh_row(table, id, mu_table_blocks_floats(record));
    table->created++;
    return MU_OK;
}

enum mu_status mu_table_lay(struct mu_table *table, size_t rows_max, bool *ret_all)
{
    struct mu_table_dense *dense = &table->dense;
    uint64_t end = dense->range.first + dense->range.count;
    for (; rows_max > 0 && table->next_id < end; table->next_id++) {
        if (dense->word && table->next_id % 64 == 0)
            mu_table_dense_mark(dense, table->next_id);
        if (!mu_table_takes(table, table->next_id))
            continue;
        MU_TRY(lay_row(table, table->next_id));
        rows_max--;
    }
    *ret_all = table->next_id == end;
    return MU_OK;
}

/* ---- finding ---- */

/* The id and the parameters: most records are not in one line of the cache. */
static void prefetch_row(const struct mu_table *table, uint32_t row)
{
    const char *record = mu_table_blocks_record(&table->blocks, row);
    size_t bytes = sizeof(uint64_t) + table->options.width * sizeof(float);
    __builtin_prefetch(record);
    if (bytes > LINE_BYTES / 2)
        __builtin_prefetch(record + (bytes < LINE_BYTES ? bytes - 1 : LINE_BYTES));
}

/* The rows of freed records are others', or nobody's; where none is freed a row stays for good. */
static bool may_be_at(const struct mu_table *table, uint32_t row)
{
    return row < table->blocks.end && !table->blocks.marked;
}

static void find_dense(const struct mu_table *table, const uint64_t *ids, struct group *group)
{
    assert(table->next_id == table->dense.range.first + table->dense.range.count);
    for (size_t i = 0; i < group->count; i++)
        if (table->dense.word)
            __builtin_prefetch(&table->dense.word[ids[i] / 64 % (table->dense.id_count / 64 + 1)]);
    for (size_t i = 0; i < group->count; i++) {
        group->row[i] = mu_table_dense_row(&table->dense, ids[i]);
        if (group->row[i] != MU_TABLE_NO_ROW)
            prefetch_row(table, group->row[i]);
    }
}

/* `where` as in mu_table_rows_where, or NULL. */
static void find_group(const struct mu_table *table, const uint64_t *ids, const uint32_t *where,
    size_t count, struct group *ret_group)
{
    ret_group->count = count < GROUP ? count : GROUP;
    if (is_dense(table)) {
        find_dense(table, ids, ret_group);
        return;
    }
    for (size_t i = 0; i < ret_group->count; i++) {
        ret_group->row[i] = where && may_be_at(table, where[i]) ? where[i] : MU_TABLE_NO_ROW;
        ret_group->hash[i] = mu_table_index_hash(&table->index, ids[i]);
        if (ret_group->row[i] != MU_TABLE_NO_ROW)
            prefetch_row(table, ret_group->row[i]);
        else
            mu_table_index_prefetch(&table->index, ret_group->hash[i]);
    }
    for (size_t i = 0; i < ret_group->count; i++) {
        if (ret_group->row[i] != MU_TABLE_NO_ROW)
            continue;
        uint32_t row = mu_table_index_candidate(&table->index, ret_group->hash[i]);
        ret_group->row[i] = row;
        if (row != MU_TABLE_NO_ROW)
            prefetch_row(table, row);
    }
}

/* The row that has the id, or MU_TABLE_NO_ROW. Two ids with one tag are rare. */
static uint32_t verify(
    const struct mu_table *table, const struct group *group, size_t i, uint64_t id)
{
    uint32_t row = group->row[i];
    if (is_dense(table))
        return row;
    if (row != MU_TABLE_NO_ROW &&
        mu_table_blocks_id(mu_table_blocks_record(&table->blocks, row)) == id)
        return row;
    return mu_table_index_find(&table->index, &table->blocks, group->hash[i], id);
}

void mu_table_look(
    const struct mu_table *table, const uint64_t *ids, size_t count, const float **ret_row)
{
    mu_table_look_where(table, ids, count, ret_row, NULL);
}

void mu_table_look_where(const struct mu_table *table, const uint64_t *ids, size_t count,
    const float **ret_row, uint32_t *ret_where)
{
    struct group group;
    for (size_t at = 0; at < count; at += group.count) {
        find_group(table, ids + at, NULL, count - at, &group);
        for (size_t i = 0; i < group.count; i++) {
            uint32_t row = verify(table, &group, i, ids[at + i]);
            if (ret_where)
                ret_where[at + i] = row;
            ret_row[at + i] = NULL;
            if (row != MU_TABLE_NO_ROW)
                ret_row[at + i] =
                    mu_table_blocks_floats(mu_table_blocks_record(&table->blocks, row));
        }
    }
}

/* ---- creating ---- */

/* Until a call has created all its rows, each has the number of the one before where its first
 * parameter will be: what has failed is then undone from the last one to the first. */
static void chain(struct mu_table *table, uint32_t row, uint32_t *newest)
{
    float *floats = mu_table_blocks_floats(mu_table_blocks_record(&table->blocks, row));
    memcpy(floats, newest, sizeof(*newest));
    *newest = row;
}

static uint32_t chained(const float *floats)
{
    uint32_t row;
    memcpy(&row, floats, sizeof(row));
    return row;
}

static enum mu_status create_row(
    struct mu_table *table, uint64_t hash, uint64_t id, uint32_t *newest, uint32_t *ret_row)
{
    uint32_t row;
    MU_TRY(mu_table_blocks_take(&table->blocks, id, &row));
    enum mu_status status = mu_table_index_insert(&table->index, &table->blocks, hash, row);
    if (status != MU_OK) {
        mu_table_blocks_give_back(&table->blocks, row);
        return status;
    }
    if (table->sweep)
        mu_table_sweep_pass_over(table->sweep, row);
    chain(table, row, newest);
    *ret_row = row;
    return MU_OK;
}

static void remove_row(struct mu_table *table, uint32_t row)
{
    uint64_t id = mu_table_blocks_id(mu_table_blocks_record(&table->blocks, row));
    mu_table_index_remove(&table->index, mu_table_index_hash(&table->index, id), row);
    mu_table_blocks_give_back(&table->blocks, row);
}

static void undo_created(struct mu_table *table, uint32_t newest)
{
    while (newest != MU_TABLE_NO_ROW) {
        uint32_t row = newest;
        newest = chained(mu_table_blocks_floats(mu_table_blocks_record(&table->blocks, row)));
        remove_row(table, row);
    }
}

static void begin_created(struct mu_table *table, uint32_t newest)
{
    size_t width = table->options.width, stride = whole_stride(table);
    while (newest != MU_TABLE_NO_ROW) {
        char *record = mu_table_blocks_record(&table->blocks, newest);
        float *floats = mu_table_blocks_floats(record);
        uint32_t older = chained(floats);
        mu_table_fresh_row(table, mu_table_blocks_id(record), floats);
        memset(floats + width, 0, (stride - width) * sizeof(float));
        if (table->blocks.marked)
            *mu_table_blocks_mark(&table->blocks, newest) = MU_TABLE_NOT_USED;
        newest = older;
        table->created++;
    }
}

static enum mu_status rows_of_group(struct mu_table *table, const struct group *group,
    const uint64_t *ids, uint32_t *newest, float **ret_row)
{
    for (size_t i = 0; i < group->count; i++) {
        uint32_t row = verify(table, group, i, ids[i]);
        assert(row != MU_TABLE_NO_ROW || !is_dense(table)); /* the caller asks for ids it takes */
        if (row == MU_TABLE_NO_ROW)
            MU_TRY(create_row(table, group->hash[i], ids[i], newest, &row));
        else if (mu_table_sweep_awaits(table->sweep, row))
            mu_table_sweep_set_aside(table->sweep, row);
        ret_row[i] = mu_table_blocks_floats(mu_table_blocks_record(&table->blocks, row));
        if (table->blocks.marked)
            *mu_table_blocks_mark(&table->blocks, row) = table->marks.call;
    }
    return MU_OK;
}

/* Rows leave only when all new ones are there: until then none that was asked for could. */
static void evict(struct mu_table *table)
{
    while (table->index.rows > table->options.row_limit) {
        uint32_t victim = mu_table_marks_victim(&table->marks, &table->blocks);
        if (table->sweep)
            mu_table_sweep_set_aside(table->sweep, victim);
        remove_row(table, victim);
        table->evicted++;
    }
}

enum mu_status mu_table_rows(
    struct mu_table *table, const uint64_t *ids, size_t count, float **ret_row)
{
    return mu_table_rows_where(table, ids, NULL, count, ret_row);
}

enum mu_status mu_table_rows_where(struct mu_table *table, const uint64_t *ids,
    const uint32_t *where, size_t count, float **ret_row)
{
    bool limited = table->options.row_limit > 0;
    assert(!limited || count <= table->options.row_limit);
    if (limited)
        mu_table_marks_begin_call(&table->marks, &table->blocks);
    uint32_t newest = MU_TABLE_NO_ROW;
    struct group group;
    for (size_t at = 0; at < count; at += group.count) {
        find_group(table, ids + at, where ? where + at : NULL, count - at, &group);
        enum mu_status status = rows_of_group(table, &group, ids + at, &newest, ret_row + at);
        if (status != MU_OK) {
            undo_created(table, newest);
            return status;
        }
    }
    if (limited)
        evict(table);
    begin_created(table, newest);
    return MU_OK;
}

const float *mu_table_next(const struct mu_table *table, size_t *place, uint64_t *ret_id)
{
    const struct mu_table_blocks *blocks = &table->blocks;
    while (*place < blocks->end) {
        uint32_t row = (uint32_t)(*place)++;
        if (blocks->marked && *mu_table_blocks_mark(blocks, row) == MU_TABLE_FREE)
            continue;
        char *record = mu_table_blocks_record(blocks, row);
        *ret_id = mu_table_blocks_id(record);
        return mu_table_blocks_floats(record);
    }
    return NULL;
}
