/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * To be preloaded into a task: counts its allocations in the file that COUNT_ALLOCATIONS names (8
 * bytes), which the test reads while the task runs. glibc's own names for its allocator are called,
 * so that nothing has to be looked up.
 */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

static atomic_long before_there_was_a_file;
static atomic_long *allocations = &before_there_was_a_file;

static void count(void)
{
    atomic_fetch_add_explicit(allocations, 1, memory_order_relaxed);
}

void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes)
{
    count();
    return __libc_calloc(number, bytes);
}

void *realloc(void *old, size_t bytes)
{
    count();
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    count();
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **ret_at, size_t align, size_t bytes)
{
    count();
    *ret_at = __libc_memalign(align, bytes);
    return *ret_at ? 0 : 12; /* ENOMEM */
}

__attribute__((constructor)) static void share(void)
{
    const char *path = getenv("COUNT_ALLOCATIONS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0)
        return;
    void *at = MAP_FAILED;
    if (ftruncate(file, sizeof(*allocations)) == 0)
        at = mmap(NULL, sizeof(*allocations), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at != MAP_FAILED)
        allocations = at;
    close(file);
}
