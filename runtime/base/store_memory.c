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

/* What `make` writes goes behind what is there. */
struct output {
    struct mu_store_output head;
    struct mu_log *log;
    struct kept_file *file;
};

static enum mu_status no_memory(struct mu_log *log, const char *name)
{
    return mu_fail(log, MU_E0801, NULL, "no memory for %s of a checkpoint", name);
}

static enum mu_status output_write(struct mu_store_output *head, const void *data, size_t bytes)
{
    struct output *output = (struct output *)head;
    struct kept_file *file = output->file;
    char *grown = realloc(file->data, file->bytes + bytes + 1);
    if (!grown)
        return no_memory(output->log, file->name);
    file->data = grown;
    if (bytes > 0)
        memcpy(grown + file->bytes, data, bytes);
    file->bytes += bytes;
    return MU_OK;
}

static enum mu_status file_copy(
    struct kept_file *kept, struct mu_log *log, const struct mu_store_file *file)
{
    struct output output = {{output_write}, log, kept};
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < file->piece_count; i++)
        bytes += file->pieces[i].bytes;
    mu_text_copy(kept->name, sizeof(kept->name), file->name);
    kept->data = malloc(bytes + 1);
    if (!kept->data)
        return no_memory(log, file->name);
    kept->bytes = bytes;
    for (size_t i = 0; i < file->piece_count; i++) {
        if (file->pieces[i].bytes > 0)
            memcpy(kept->data + at, file->pieces[i].at, file->pieces[i].bytes);
        at += file->pieces[i].bytes;
    }
    return file->make ? file->make(file->owner, &output.head) : MU_OK;
}

static enum mu_status entry_create(struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count, struct entry **ret_entry)
{
    enum mu_status status = MU_OK;
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return mu_fail(log, MU_E0801, NULL, "no memory for checkpoint %lld", (long long)number);
    entry->number = number;
    for (size_t i = 0; i < file_count && status == MU_OK; i++) {
        entry->file_count++;
        status = file_copy(&entry->file[i], log, &files[i]);
    }
    if (status == MU_OK)
        *ret_entry = entry;
    else
        entry_destroy(entry);
    return status;
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
    struct entry *entry = NULL;
    MU_TRY(entry_create(log, number, files, file_count, &entry));
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

/* ---- open files ---- */

/* Of an entry a copy, as it was; or a scratch file. */
struct open_memory {
    struct mu_store_open head;
    char *data;
    size_t bytes, room;
};

static enum mu_status open_read(
    struct mu_store_open *head, struct mu_log *log, uint64_t at, void *data, size_t bytes)
{
    const struct open_memory *open = (struct open_memory *)head;
    if (at > open->bytes || bytes > open->bytes - at)
        return mu_fail(log, MU_E0605, NULL, "cannot read %zu bytes at %llu of %zu in memory", bytes,
            (unsigned long long)at, open->bytes);
    if (bytes > 0)
        memcpy(data, open->data + at, bytes);
    return MU_OK;
}

static enum mu_status open_append(
    struct mu_store_open *head, struct mu_log *log, const void *data, size_t bytes)
{
    struct open_memory *open = (struct open_memory *)head;
    if (bytes > open->room - open->bytes) {
        size_t room = 2 * (open->bytes + bytes);
        char *grown = realloc(open->data, room);
        if (!grown)
            return mu_fail(log, MU_E0801, NULL, "no memory for %zu bytes aside", room);
        open->data = grown;
        open->room = room;
    }
    if (bytes > 0)
        memcpy(open->data + open->bytes, data, bytes);
    open->bytes += bytes;
    return MU_OK;
}

static void open_close(struct mu_store_open *head)
{
    struct open_memory *open = (struct open_memory *)head;
    free(open->data);
    free(open);
}

static const struct mu_store_open_ops open_ops = {
    .read = open_read, .append = open_append, .close = open_close};

static enum mu_status memory_scratch(
    struct mu_store *store, struct mu_log *log, struct mu_store_open **ret_open)
{
    (void)store;
    struct open_memory *open = calloc(1, sizeof(*open));
    if (!open)
        return mu_fail(log, MU_E0801, NULL, "no memory for a scratch file");
    open->head.ops = &open_ops;
    *ret_open = &open->head;
    return MU_OK;
}

static enum mu_status memory_open(struct mu_store *store, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes)
{
    void *data;
    MU_TRY(memory_get(store, log, number, name, bytes_max, &data, ret_bytes));
    enum mu_status status = memory_scratch(store, log, ret_open);
    if (status != MU_OK) {
        free(data);
        return status;
    }
    struct open_memory *open = (struct open_memory *)*ret_open;
    open->data = data;
    open->bytes = open->room = *ret_bytes;
    return MU_OK;
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
    .open = memory_open,
    .scratch = memory_scratch,
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
