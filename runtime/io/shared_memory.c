/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/shared_memory.h"
#include "runtime/base/net.h"
#include "runtime/base/text.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER "/dev/shm"
#define PATH_BYTES (sizeof(FOLDER "/") + MU_SHARED_MEMORY_NAME_MAX)
#define CREATE_TRIES 8
#define PAGE_BYTES ((size_t)4096)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define LAID_BYTES ((size_t)16 << 20) /* between two turns of the loop: whole huge pages */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of the kernel's headers, not yet of libc's */
#endif

/* ---- who may share ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void mu_shared_memory_host(struct mu_shared_memory_host *ret_host)
{
    *ret_host = (struct mu_shared_memory_host){.user = (uint32_t)geteuid()};
    char text[64];
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = file >= 0 ? read(file, text, sizeof(text)) : 0;
    int digits = 0;
    for (ssize_t i = 0; i < bytes && digits < 32; i++) {
        int digit = hex_digit(text[i]);
        if (digit >= 0) {
            uint8_t *byte = &ret_host->boot[digits++ / 2];
            *byte = (uint8_t)(*byte << 4 | digit);
        }
    }
    if (file >= 0)
        close(file);
}

bool mu_shared_memory_same_host(
    const struct mu_shared_memory_host *a, const struct mu_shared_memory_host *b)
{
    static const uint8_t unknown[sizeof(a->boot)];
    return memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 &&
           memcmp(a->boot, unknown, sizeof(unknown)) != 0;
}

void mu_shared_memory_random(void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    while (bytes > 0) {
        ssize_t count = getrandom(at, bytes, 0);
        if (count > 0) {
            at += count;
            bytes -= (size_t)count;
        }
    }
}

/* ---- making ---- */

static void draw_name(char name[MU_SHARED_MEMORY_NAME_MAX])
{
    uint64_t random[2];
    mu_shared_memory_random(random, sizeof(random));
    mu_format(name, MU_SHARED_MEMORY_NAME_MAX, "muster-%u-%016" PRIx64 "%016" PRIx64,
        (unsigned)geteuid(), random[0], random[1]);
}

static void path_of(const char *name, char path[PATH_BYTES])
{
    mu_format(path, PATH_BYTES, "%s/%s", FOLDER, name);
}

static void say_full(int file, size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    struct statvfs about;
    struct stat ours; /* pieces of it may be there */
    char needs[32], has[32] = "nothing";
    mu_text_bytes(needs, sizeof(needs), bytes);
    if (fstatvfs(file, &about) == 0 && fstat(file, &ours) == 0)
        mu_text_bytes(has, sizeof(has),
            (uint64_t)about.f_bavail * about.f_frsize + (uint64_t)ours.st_blocks * 512);
    mu_format(why, MU_SHARED_MEMORY_WHY_MAX, "%s is full (needs %s, has %s)", FOLDER, needs, has);
}

/* To grow a file beyond this limit is a signal that kills. */
static bool file_size_allowed(size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        bytes <= limit.rlim_cur)
        return true;
    char needs[32], most[32];
    mu_text_bytes(needs, sizeof(needs), bytes);
    mu_text_bytes(most, sizeof(most), limit.rlim_cur);
    mu_format(why, MU_SHARED_MEMORY_WHY_MAX,
        "files may have %s at the most and %s are needed (ulimit -f)", most, needs);
    return false;
}

/* A new file under the lock of its maker: errno, or 0. A sweep that comes between the making and
 * the locking takes it for a leftover: then another one is made. */
static int create_locked(const char *path, int *ret_file)
{
    for (int i = 0; i < CREATE_TRIES; i++) {
        int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file < 0)
            return errno;
        struct stat about;
        if (flock(file, LOCK_EX) == 0 && fstat(file, &about) == 0 && about.st_nlink > 0) {
            *ret_file = file;
            return 0;
        }
        close(file);
    }
    return EAGAIN;
}

/* Room now, or an error now: a page that is only promised is a signal when it is touched. */
static int fill(int file, size_t from, size_t bytes)
{
    int error;
    do
        error = posix_fallocate(file, (off_t)from, (off_t)bytes);
    while (error == EINTR);
    return error;
}

/* What cannot be is not begun: it would take all that there is from others. */
static bool has_room(int file, size_t bytes)
{
    struct statvfs about;
    bool is_limited = fstatvfs(file, &about) == 0 && about.f_blocks > 0;
    return !is_limited || bytes <= (uint64_t)about.f_bavail * about.f_frsize;
}

/* A place where huge pages can lie: of a larger one the ends are given back. */
static void *reserve_aligned(size_t bytes)
{
    size_t room = bytes + HUGE_PAGE_BYTES;
    char *base = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE_BYTES - (uintptr_t)base % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    size_t whole = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (before > 0)
        munmap(base, before);
    munmap(base + before + whole, room - before - whole);
    return base + before;
}

/* To read is enough, and leaves alone what a peer has written. */
static void touch(const char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += PAGE_BYTES)
        (void)*(const volatile char *)(at + i);
}

static int map(struct mu_shared_memory *memory)
{
    size_t bytes = memory->bytes;
    void *wanted = bytes >= HUGE_PAGE_BYTES ? reserve_aligned(bytes) : NULL;
    int fixed = wanted ? MAP_FIXED : 0;
    void *at = mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, memory->file, 0);
    if (at == MAP_FAILED) {
        int error = errno;
        if (wanted)
            munmap(wanted, bytes);
        return error;
    }
    memory->at = at;
    return 0;
}

/* Loops over what is in no cache are a fifth faster with huge pages. Shared memory gets none by
 * default, but who asks for just these pages does, since Linux 6.1. A wish: without it pages are
 * small. */
static void take_pages(struct mu_shared_memory *memory, size_t from, size_t bytes)
{
    char *at = (char *)memory->at + from;
    if (bytes >= HUGE_PAGE_BYTES)
        (void)madvise(at, bytes, MADV_COLLAPSE);
    touch(at, bytes);
}

/* Piece by piece: who is silent for as long as all of it may take is taken for dead. */
static int lay(struct mu_shared_memory *memory, struct mu_loop *loop)
{
    size_t bytes = memory->bytes;
    for (size_t from = 0; from < bytes; from += LAID_BYTES) {
        size_t piece = bytes - from < LAID_BYTES ? bytes - from : LAID_BYTES;
        int error = fill(memory->file, from, piece);
        if (error != 0)
            return error;
        take_pages(memory, from, piece);
        if (piece < bytes - from)
            mu_loop_poll(loop);
    }
    return 0;
}

static enum mu_status create_failed(
    struct mu_shared_memory *memory, int error, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    bool full = error == ENOSPC || error == ENOMEM;
    if (error == ENOSPC)
        say_full(memory->file, memory->bytes, why);
    else
        mu_format(why, MU_SHARED_MEMORY_WHY_MAX, "%s cannot be used: %s", FOLDER, strerror(error));
    mu_shared_memory_close(memory);
    return full ? MU_NO_MEMORY : MU_UNAVAILABLE;
}

enum mu_status mu_shared_memory_create(struct mu_shared_memory *memory, size_t bytes,
    struct mu_loop *loop, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    *memory = (struct mu_shared_memory){.file = -1};
    if (!file_size_allowed(bytes, why))
        return MU_UNAVAILABLE;
    char name[MU_SHARED_MEMORY_NAME_MAX] = "", path[PATH_BYTES]; /* peers get all of it */
    draw_name(name);
    path_of(name, path);

    int error = create_locked(path, &memory->file);
    if (error != 0)
        return create_failed(memory, error, why);
    memcpy(memory->name, name, sizeof(name));
    memory->bytes = bytes;
    error = has_room(memory->file, bytes) ? map(memory) : ENOSPC;
    if (error == 0)
        error = lay(memory, loop);
    return error == 0 ? MU_OK : create_failed(memory, error, why);
}

/* ---- renewing ---- */

/* The pages of another mapping take the place of this one's. */
static bool replace(struct mu_shared_memory *memory, struct mu_shared_memory *next)
{
    memcpy(next->at, memory->at, memory->bytes);
    void *at =
        mremap(next->at, next->bytes, next->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, memory->at);
    if (at == MAP_FAILED)
        return false;
    next->at = at;
    memory->at = NULL;
    mu_shared_memory_close(memory);
    *memory = *next;
    return true;
}

static bool make_own(struct mu_shared_memory *memory)
{
    void *at =
        mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct mu_shared_memory own = {.at = at, .bytes = memory->bytes, .file = -1};
    if (at == MAP_FAILED)
        return false;
    if (!replace(memory, &own))
        munmap(at, own.bytes);
    return memory->file < 0;
}

enum mu_status mu_shared_memory_renew(
    struct mu_shared_memory *memory, struct mu_loop *loop, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    struct mu_shared_memory next;
    enum mu_status status = mu_shared_memory_create(&next, memory->bytes, loop, why);
    if (status == MU_OK && !replace(memory, &next)) {
        mu_format(why, MU_SHARED_MEMORY_WHY_MAX, "it cannot be mapped: %s", strerror(errno));
        mu_shared_memory_close(&next);
        status = MU_UNAVAILABLE;
    }
    if (status != MU_OK && !make_own(memory))
        return MU_NO_MEMORY;
    return status;
}

/* ---- opening ---- */

static void say_error(int error, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    if (error == ENOENT)
        mu_text_copy(
            why, MU_SHARED_MEMORY_WHY_MAX, "it does not see this " FOLDER " (another container?)");
    else if (error == EACCES || error == EPERM)
        mu_text_copy(why, MU_SHARED_MEMORY_WHY_MAX, "it belongs to another user");
    else if (error == EINVAL)
        mu_text_copy(why, MU_SHARED_MEMORY_WHY_MAX, "what has its name is not from it");
    else
        mu_format(why, MU_SHARED_MEMORY_WHY_MAX, "it cannot be mapped: %s", strerror(error));
}

/* Is it what a peer of ours makes? A file of another size would be a signal when it is touched. */
static int check_ours(int file, size_t bytes)
{
    struct stat about;
    if (fstat(file, &about) != 0)
        return errno;
    if (about.st_uid != geteuid())
        return EACCES;
    return S_ISREG(about.st_mode) && (size_t)about.st_size == bytes ? 0 : EINVAL;
}

static bool is_name(const char *name)
{
    size_t prefix = strlen("muster-");
    return strncmp(name, "muster-", prefix) == 0 && !strchr(name, '/') &&
           strlen(name) < MU_SHARED_MEMORY_NAME_MAX;
}

enum mu_status mu_shared_memory_open(struct mu_shared_memory *memory, const char *name,
    size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX])
{
    *memory = (struct mu_shared_memory){.file = -1};
    char path[PATH_BYTES];
    int error = EINVAL;
    if (is_name(name)) {
        path_of(name, path);
        memory->file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        memory->bytes = bytes;
        error = memory->file < 0 ? errno : check_ours(memory->file, bytes);
    }
    if (error == 0)
        error = map(memory);
    if (error == 0) {
        take_pages(memory, 0, bytes);
        return MU_OK;
    }
    say_error(error, why);
    mu_shared_memory_close(memory);
    return MU_UNAVAILABLE;
}

/* ---- leaving ---- */

void mu_shared_memory_unlink(struct mu_shared_memory *memory)
{
    if (!memory->name[0])
        return;
    char path[PATH_BYTES];
    path_of(memory->name, path);
    unlink(path);
    memory->name[0] = '\0';
}

void mu_shared_memory_close(struct mu_shared_memory *memory)
{
    mu_shared_memory_unlink(memory);
    if (memory->at)
        munmap(memory->at, memory->bytes);
    if (memory->bytes > 0 && memory->file >= 0)
        close(memory->file);
    *memory = (struct mu_shared_memory){.file = -1};
}

bool mu_shared_memory_held(const struct mu_shared_memory *memory)
{
    if (flock(memory->file, LOCK_SH | LOCK_NB) != 0)
        return true;
    flock(memory->file, LOCK_UN);
    return false;
}

/* Nobody holds its lock: whoever made it is dead. */
static bool is_left(const char *name)
{
    struct stat about;
    char path[PATH_BYTES];
    path_of(name, path);
    int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return false;
    bool left = fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
                flock(file, LOCK_EX | LOCK_NB) == 0 && unlink(path) == 0;
    close(file);
    return left;
}

int mu_shared_memory_sweep(void)
{
    char prefix[32];
    mu_format(prefix, sizeof(prefix), "muster-%u-", (unsigned)geteuid());
    DIR *folder = opendir(FOLDER);
    int swept = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            swept += is_left(entry->d_name);
    if (folder)
        closedir(folder);
    return swept;
}
