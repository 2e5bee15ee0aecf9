/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_seen.h"
#include "runtime/base/log_quiet.h"
#include <stdlib.h>
#include <string.h>

/* ---- reading ahead ---- */

struct list {
    int64_t *version;
    size_t count, capacity;
};

static bool add(struct list *list, int64_t version)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 1024;
        int64_t *grown = realloc(list->version, capacity * sizeof(*grown));
        if (!grown)
            return false;
        list->version = grown;
        list->capacity = capacity;
    }
    list->version[list->count++] = version;
    return true;
}

/* False: no memory. */
static bool take_note(struct list *list, struct mu_audit_seen_rows *rows,
    const struct mu_audit_record *record, uint64_t at)
{
    if (record->kind != MU_AUDIT_GRADIENT || record->verdict != MU_VERDICT_CORRECT)
        return true;
    return add(list, record->seen) &&
           (!record->corrects_rows || mu_audit_seen_rows_add(rows, record, at));
}

static bool read_ahead(
    const struct mu_audit_reader *reader, struct list *list, struct mu_audit_seen_rows *rows)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_audit_reader ahead = *reader;
    struct mu_audit_record record;
    ahead.log = &quiet;
    while (mu_audit_reader_next(&ahead, &record) == MU_OK && record.kind != MU_AUDIT_END)
        if (!take_note(list, rows, &record, ahead.at))
            return false;
    return true;
}

static int compare(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static void count_uses(struct mu_audit_seen *seen, const struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t last = seen->version_count;
        if (last == 0 || seen->versions[last - 1].version != list->version[i])
            seen->versions[seen->version_count++].version = list->version[i];
        seen->versions[seen->version_count - 1].uses++;
    }
}

enum mu_status mu_audit_seen_init(struct mu_audit_seen *seen, struct mu_audit_reader *reader,
    size_t span_count, struct mu_audit_seen_rows *rows)
{
    struct list list = {0};
    *seen = (struct mu_audit_seen){.span_count = span_count};
    rows->span_bytes = span_count * sizeof(float);
    bool good = read_ahead(reader, &list, rows);
    mu_audit_seen_rows_sort(rows);
    if (good && list.count > 0) {
        qsort(list.version, list.count, sizeof(*list.version), compare);
        seen->versions = calloc(list.count, sizeof(*seen->versions));
        good = seen->versions != NULL;
    }
    if (good)
        count_uses(seen, &list);
    free(list.version);
    return good ? MU_OK
                : mu_fail(reader->log, MU_E0801, NULL, "no memory for the versions of %s",
                      reader->path);
}

void mu_audit_seen_finish(struct mu_audit_seen *seen)
{
    for (size_t i = 0; i < seen->version_count; i++)
        free(seen->versions[i].parameters);
    free(seen->versions);
    free(seen->spent);
    *seen = (struct mu_audit_seen){0};
}

/* ---- one version ---- */

static struct mu_audit_seen_version *find(const struct mu_audit_seen *seen, int64_t version)
{
    size_t from = 0, end = seen->version_count;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (seen->versions[middle].version < version)
            from = middle + 1;
        else
            end = middle;
    }
    bool there = from < seen->version_count && seen->versions[from].version == version;
    return there ? &seen->versions[from] : NULL;
}

enum mu_status mu_audit_seen_keep(
    struct mu_audit_seen *seen, int64_t version, const float *parameters)
{
    struct mu_audit_seen_version *own = find(seen, version);
    if (!own || own->parameters || own->uses == 0)
        return MU_OK;
    size_t bytes = seen->span_count * sizeof(float);
    own->parameters = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!own->parameters)
        return MU_NO_MEMORY;
    memcpy(own->parameters, parameters, bytes);
    return MU_OK;
}

const float *mu_audit_seen_take(struct mu_audit_seen *seen, int64_t version)
{
    struct mu_audit_seen_version *own = find(seen, version);
    free(seen->spent);
    seen->spent = NULL;
    if (!own || !own->parameters || own->uses == 0)
        return NULL;
    own->uses--;
    const float *parameters = own->parameters;
    if (own->uses == 0) {
        seen->spent = own->parameters;
        own->parameters = NULL;
    }
    return parameters;
}
