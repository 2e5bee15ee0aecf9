/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/store.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept_file {
    char name[MU_STORE_NAME_MAX];
    size_t bytes;
    char *data;
};

struct entry {
    struct entry *next; /* of a greater number */
    int64_t number;
    size_t file_count;
    struct kept_file file[MU_STORE_FILES_MAX];
};

/* The lock is held only to copy or to relink: an entry is made before it is linked. */
struct store_memory {
    struct mu_store head;
    pthread_mutex_t lock;
    struct entry *first;
};

static struct store_memory *memory_of(struct mu_store *store)
{
    return (struct store_memory *)store;
}

static void entry_destroy(struct entry *entry)
{
    if (!entry)
        return;
    for (size_t i = 0; i < entry->file_count; i++)
        free(entry->file[i].data);
    free(entry);
}

static bool file_copy(struct kept_file *kept, const struct mu_store_file *file)
{
    mu_text_copy(kept->name, sizeof(kept->name), file->name);
    kept->bytes = 0;
    for (size_t i = 0; i < file->piece_count; i++)
        kept->bytes += file->pieces[i].bytes;
    kept->data = malloc(kept->bytes + 1);
    if (!kept->data)
        return false;
    size_t at = 0;
    for (size_t i = 0; i < file->piece_count; i++) {
        if (file->pieces[i].bytes > 0)
            memcpy(kept->data + at, file->pieces[i].at, file->pieces[i].bytes);
        at += file->pieces[i].bytes;
    }
    return true;
}

static struct entry *entry_create(
    int64_t number, const struct mu_store_file *files, size_t file_count)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->number = number;
    for (size_t i = 0; i < file_count; i++) {
        if (!file_copy(&entry->file[i], &files[i])) {
            entry_destroy(entry);
            return NULL;
        }
        entry->file_count++;
    }
    return entry;
}

/* The link that points to the entry of that number, or to where it would be. */
static struct entry **entry_link(struct store_memory *memory, int64_t number)
{
    struct entry **link = &memory->first;
    while (*link && (*link)->number < number)
        link = &(*link)->next;
    return link;
}

/* Takes the entry of that number out and puts `entry` in its place, either may be NULL. */
static void entry_replace(struct store_memory *memory, int64_t number, struct entry *entry)
{
    pthread_mutex_lock(&memory->lock);
    struct entry **link = entry_link(memory, number);
    struct entry *old = *link && (*link)->number == number ? *link : NULL;
    if (old)
        *link = old->next;
    if (entry) {
        entry->next = *link;
        *link = entry;
    }
    pthread_mutex_unlock(&memory->lock);
    entry_destroy(old);
}

static enum mu_status memory_put(struct mu_store *store, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    assert(number >= 0);
    assert(file_count <= MU_STORE_FILES_MAX);
    struct entry *entry = entry_create(number, files, file_count);
    if (!entry)
        return mu_fail(log, MU_E0801, NULL, "no memory for checkpoint %lld", (long long)number);
    entry_replace(memory_of(store), number, entry);
    return MU_OK;
}

static size_t memory_list(struct mu_store *store, int64_t *ret_numbers, size_t most)
{
    struct store_memory *memory = memory_of(store);
    size_t count = 0, at = 0;
    pthread_mutex_lock(&memory->lock);
    for (struct entry *entry = memory->first; entry; entry = entry->next)
        count++;
    size_t skipped = count > most ? count - most : 0;
    for (struct entry *entry = memory->first; entry; entry = entry->next, at++) {
        if (at >= skipped)
            ret_numbers[at - skipped] = entry->number;
    }
    pthread_mutex_unlock(&memory->lock);
    return count;
}

static const struct kept_file *file_find(const struct entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->file_count; i++) {
        if (strcmp(entry->file[i].name, name) == 0)
            return &entry->file[i];
    }
    return NULL;
}

/* Under the lock; says nothing. */
static enum mu_status file_read(const struct entry *entry, const char *name, size_t bytes_max,
    void **ret_data, size_t *ret_bytes)
{
    const struct kept_file *file = entry ? file_find(entry, name) : NULL;
    if (!file)
        return MU_NO_INPUT;
    if (file->bytes > bytes_max)
        return MU_BAD_DATA;
    char *data = malloc(file->bytes + 1);
    if (!data)
        return MU_NO_MEMORY;
    memcpy(data, file->data, file->bytes);
    *ret_data = data;
    *ret_bytes = file->bytes;
    return MU_OK;
}

static enum mu_status memory_get(struct mu_store *store, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    struct store_memory *memory = memory_of(store);
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = *entry_link(memory, number);
    if (entry && entry->number != number)
        entry = NULL;
    enum mu_status status = file_read(entry, name, bytes_max, ret_data, ret_bytes);
    pthread_mutex_unlock(&memory->lock);
    if (status == MU_BAD_DATA)
        return mu_fail(log, MU_E0601, NULL, "%s of checkpoint %lld has more than %zu bytes", name,
            (long long)number, bytes_max);
    if (status == MU_NO_MEMORY)
        return mu_fail(log, MU_E0801, NULL, "no memory to read %s of checkpoint %lld", name,
            (long long)number);
    return status;
}

static enum mu_status memory_drop(struct mu_store *store, struct mu_log *log, int64_t number)
{
    (void)log;
    entry_replace(memory_of(store), number, NULL);
    return MU_OK;
}

static void memory_describe(struct mu_store *store, int64_t number, char *out, size_t bytes)
{
    (void)store;
    mu_format(out, bytes, "memory:%lld", (long long)number);
}

static void memory_close(struct mu_store *store)
{
    if (!store)
        return;
    struct store_memory *memory = memory_of(store);
    while (memory->first)
        entry_replace(memory, memory->first->number, NULL);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static const struct mu_store_ops memory_ops = {
    .name = "memory",
    .put = memory_put,
    .list = memory_list,
    .get = memory_get,
    .drop = memory_drop,
    .describe = memory_describe,
    .close = memory_close,
};

enum mu_status mu_store_memory_open(struct mu_store **ret_store)
{
    struct store_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return MU_NO_MEMORY;
    memory->head.ops = &memory_ops;
    pthread_mutex_init(&memory->lock, NULL);
    *ret_store = &memory->head;
    return MU_OK;
}
