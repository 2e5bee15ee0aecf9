/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_seen_rows.h"
#include <stdlib.h>

/* ---- reading ahead ---- */

bool mu_audit_seen_rows_add(
    struct mu_audit_seen_rows *seen, const struct mu_audit_record *record, uint64_t at)
{
    if (seen->count == seen->capacity) {
        size_t capacity = seen->capacity ? 2 * seen->capacity : 1024;
        struct mu_audit_seen_use *grown = realloc(seen->uses, capacity * sizeof(*grown));
        if (!grown)
            return false;
        seen->uses = grown;
        seen->capacity = capacity;
    }
    seen->uses[seen->count++] = (struct mu_audit_seen_use){
        .version = record->seen, .at = at, .payload_bytes = (size_t)record->payload_bytes};
    return true;
}

static int compare_keys(int64_t version, uint64_t at, const struct mu_audit_seen_use *use)
{
    if (version != use->version)
        return version < use->version ? -1 : 1;
    return (at > use->at) - (at < use->at);
}

static int compare(const void *a, const void *b)
{
    const struct mu_audit_seen_use *use = a;
    return compare_keys(use->version, use->at, b);
}

void mu_audit_seen_rows_sort(struct mu_audit_seen_rows *seen)
{
    if (seen->count > 0)
        qsort(seen->uses, seen->count, sizeof(*seen->uses), compare);
}

void mu_audit_seen_rows_finish(struct mu_audit_seen_rows *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        free(seen->uses[i].values);
    free(seen->uses);
    free(seen->spent);
    *seen = (struct mu_audit_seen_rows){0};
}

/* ---- one version ---- */

/* Of a record that says what it has; 0: it does not, which will be said when it is read. */
static size_t rows_of(const struct mu_audit_seen_rows *seen, const struct mu_audit_seen_use *use,
    const struct mu_row_store *store)
{
    size_t row_bytes = sizeof(uint64_t) + store->options.width * sizeof(float);
    if (use->payload_bytes < seen->span_bytes)
        return 0;
    size_t bytes = use->payload_bytes - seen->span_bytes;
    return bytes % row_bytes == 0 && bytes / row_bytes <= store->options.push_max
               ? bytes / row_bytes
               : 0;
}

/* Which ids these are is not proved here: that comes with the record. */
static enum mu_status copy_rows(struct mu_audit_seen_use *use, struct mu_audit_reader *reader,
    struct mu_row_store *store, uint64_t ids_at, size_t count)
{
    size_t width = store->options.width;
    uint64_t *ids = malloc(count * sizeof(*ids));
    uint32_t *where = malloc(count * sizeof(*where));
    enum mu_status status = MU_NO_MEMORY;
    use->values = malloc(count * width * sizeof(*use->values));
    if (ids && where && use->values)
        status = mu_audit_reader_part(reader, ids_at, ids, count * sizeof(*ids));
    if (status == MU_OK)
        mu_row_store_read_where(store, ids, count, use->values, where);
    free(ids);
    free(where);
    return status;
}

enum mu_status mu_audit_seen_rows_keep(struct mu_audit_seen_rows *seen,
    struct mu_audit_reader *reader, struct mu_row_store *store, int64_t version)
{
    for (; seen->next < seen->count && seen->uses[seen->next].version <= version; seen->next++) {
        struct mu_audit_seen_use *use = &seen->uses[seen->next];
        size_t count = rows_of(seen, use, store);
        if (use->version == version && count > 0)
            MU_TRY(copy_rows(
                use, reader, store, use->at + MU_AUDIT_HEAD_BYTES + seen->span_bytes, count));
    }
    return MU_OK;
}

static struct mu_audit_seen_use *find(
    const struct mu_audit_seen_rows *seen, int64_t version, uint64_t at)
{
    size_t from = 0, end = seen->count;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (compare_keys(version, at, &seen->uses[middle]) > 0)
            from = middle + 1;
        else
            end = middle;
    }
    bool there = from < seen->count && compare_keys(version, at, &seen->uses[from]) == 0;
    return there ? &seen->uses[from] : NULL;
}

const float *mu_audit_seen_rows_take(struct mu_audit_seen_rows *seen, int64_t version, uint64_t at)
{
    struct mu_audit_seen_use *use = find(seen, version, at);
    free(seen->spent);
    seen->spent = use ? use->values : NULL;
    if (use)
        use->values = NULL;
    return seen->spent;
}
