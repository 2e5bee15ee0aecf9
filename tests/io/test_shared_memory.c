/* SPDX-License-Identifier: Apache-2.0 */
#include "own_shm.h"
#include "runtime/io/real_world.h"
#include "runtime/io/shared_memory.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)64 << 10)
#define PATH_MAX_BYTES 128
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of the kernel's headers, not yet of libc's */
#endif

static char why[MU_SHARED_MEMORY_WHY_MAX];

static bool exists(const char *name)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    return access(path, F_OK) == 0;
}

/* ---- another process ---- */

struct other {
    pid_t process;
    int hear, tell;
};

/* Makes a piece, tells its name, and lives until it is ended. */
static void other_main(int tell, int hear)
{
    struct mu_shared_memory memory;
    char end;
    if (mu_shared_memory_create(&memory, BYTES, NULL, why) == MU_OK &&
        write(tell, memory.name, sizeof(memory.name)) > 0 && read(hear, &end, 1) >= 0)
        _exit(0);
    _exit(1);
}

static void other_start(struct other *other, char name[MU_SHARED_MEMORY_NAME_MAX])
{
    int up[2], down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    other->process = fork();
    assert_true(other->process >= 0);
    if (other->process == 0) {
        close(down[1]);
        other_main(up[1], down[0]);
    }
    close(up[1]);
    close(down[0]);
    other->hear = up[0];
    other->tell = down[1];
    assert_int_equal(read(other->hear, name, MU_SHARED_MEMORY_NAME_MAX), MU_SHARED_MEMORY_NAME_MAX);
}

static void other_kill(struct other *other)
{
    kill(other->process, SIGKILL);
    waitpid(other->process, NULL, 0);
    close(other->hear);
    close(other->tell);
}

/* ---- the cases ---- */

static void what_one_writes_the_other_reads(void **state)
{
    (void)state;
    struct mu_shared_memory made, opened;
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    assert_ok(mu_shared_memory_open(&opened, made.name, BYTES, why));
    const char *there = opened.at;
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal(there[i], 0);
    strcpy((char *)made.at + BYTES - 8, "shared");
    assert_string_equal(there + BYTES - 8, "shared");
    mu_shared_memory_close(&opened);
    mu_shared_memory_close(&made);
}

/* Neither side has to have them: then pages are small. */
static void a_large_piece_lies_where_huge_pages_can(void **state)
{
    (void)state;
    const size_t huge = (size_t)2 << 20, bytes = 2 * huge + 4096;
    struct mu_shared_memory made, opened;
    assert_ok(mu_shared_memory_create(&made, bytes, NULL, why));
    assert_ok(mu_shared_memory_open(&opened, made.name, bytes, why));
    assert_int_equal((uintptr_t)made.at % huge, 0);
    assert_int_equal((uintptr_t)opened.at % huge, 0);
    char *here = made.at;
    const char *there = opened.at;
    for (size_t i = 0; i < bytes; i += 4096) {
        assert_int_equal(there[i], 0);
        here[i] = (char)(1 + i / 4096 % 100);
        assert_int_equal(there[i], here[i]);
    }
    mu_shared_memory_close(&opened);
    assert_int_equal(here[bytes - 4096], (char)(1 + (bytes / 4096 - 1) % 100));
    mu_shared_memory_close(&made);
}

/* Bytes of the mapping that begins here which huge pages hold, as the kernel counts them. */
static size_t huge_bytes(const void *at)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    size_t kib = 0, part;
    bool is_ours = false;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        uintptr_t first, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &end) == 2)
            is_ours = first == (uintptr_t)at;
        else if (is_ours && (sscanf(line, "ShmemPmdMapped: %zu kB", &part) == 1 ||
                                sscanf(line, "AnonHugePages: %zu kB", &part) == 1))
            kib += part;
    }
    fclose(file);
    return kib << 10;
}

/* Where one who asks now gets them, the piece has had them all the time. */
static bool has_what_there_is(const struct mu_shared_memory *memory)
{
    size_t had = huge_bytes(memory->at);
    if (had == memory->bytes)
        return true;
    if (madvise(memory->at, memory->bytes, MADV_COLLAPSE) != 0)
        return false;
    assert_int_equal(had, memory->bytes);
    return true;
}

static void a_large_piece_has_the_huge_pages_that_there_are(void **state)
{
    (void)state;
    const size_t bytes = (size_t)4 << 20;
    struct mu_shared_memory made, opened;
    assert_ok(mu_shared_memory_create(&made, bytes, NULL, why));
    assert_ok(mu_shared_memory_open(&opened, made.name, bytes, why));
    bool there_are = has_what_there_is(&made) && has_what_there_is(&opened);
    int error = errno;
    mu_shared_memory_close(&opened);
    mu_shared_memory_close(&made);
    if (!there_are)
        skip_saying("there are no huge pages for shared memory here: %s", strerror(error));
}

static void it_is_for_this_user_only_and_gone_with_its_maker(void **state)
{
    (void)state;
    struct mu_shared_memory made;
    struct stat about;
    char name[MU_SHARED_MEMORY_NAME_MAX];
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    assert_int_equal(fstat(made.file, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    strcpy(name, made.name);
    assert_true(exists(name));
    mu_shared_memory_close(&made);
    assert_false(exists(name));
    mu_shared_memory_close(&made);
}

static void two_names_are_never_the_same(void **state)
{
    (void)state;
    struct mu_shared_memory made[2];
    for (int i = 0; i < 2; i++)
        assert_ok(mu_shared_memory_create(&made[i], BYTES, NULL, why));
    assert_string_not_equal(made[0].name, made[1].name);
    for (int i = 0; i < 2; i++)
        mu_shared_memory_close(&made[i]);
}

static void what_is_mapped_outlives_its_name(void **state)
{
    (void)state;
    struct mu_shared_memory made, opened;
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    assert_ok(mu_shared_memory_open(&opened, made.name, BYTES, why));
    char name[MU_SHARED_MEMORY_NAME_MAX];
    strcpy(name, made.name);
    mu_shared_memory_unlink(&made);
    assert_false(exists(name));
    *(char *)made.at = 7;
    mu_shared_memory_close(&made);
    assert_int_equal(*(char *)opened.at, 7);
    mu_shared_memory_close(&opened);
}

/* What `piece` has in its first bytes. */
static void expect(const struct mu_shared_memory *piece, const char *text)
{
    assert_string_equal((const char *)piece->at, text);
}

static void what_is_renewed_stays_where_it_is_and_is_not_seen_by_who_had_it(void **state)
{
    (void)state;
    static const size_t bytes[] = {BYTES, (size_t)4 << 20};
    for (size_t i = 0; i < MU_COUNT_OF(bytes); i++) {
        struct mu_shared_memory made, old, opened;
        char name[MU_SHARED_MEMORY_NAME_MAX];
        assert_ok(mu_shared_memory_create(&made, bytes[i], NULL, why));
        memcpy(name, made.name, sizeof(name));
        assert_ok(mu_shared_memory_open(&old, made.name, bytes[i], why));
        const void *at = made.at;
        strcpy(made.at, "before");
        memset((char *)made.at + bytes[i] - 8, 7, 8);
        assert_ok(mu_shared_memory_renew(&made, NULL, why));
        assert_false(exists(name));
        memcpy(name, made.name, sizeof(name));
        assert_ptr_equal(made.at, at);
        strcpy(old.at, "from the past");
        expect(&made, "before");
        assert_int_equal(((const char *)made.at)[bytes[i] - 1], 7);
        assert_ok(mu_shared_memory_open(&opened, made.name, bytes[i], why));
        strcpy(made.at, "anew");
        expect(&opened, "anew");
        expect(&old, "from the past");
        mu_shared_memory_close(&opened);
        mu_shared_memory_close(&old);
        mu_shared_memory_close(&made);
        assert_false(exists(name));
    }
}

static void more_than_there_is_is_an_error_that_says_how_much(void **state)
{
    (void)state;
    struct statvfs about;
    assert_int_equal(statvfs("/dev/shm", &about), 0);
    size_t bytes = (about.f_blocks + 16) * about.f_frsize;
    struct mu_shared_memory made;
    assert_int_equal(mu_shared_memory_create(&made, bytes, NULL, why), MU_NO_MEMORY);
    assert_non_null(strstr(why, "/dev/shm is full (needs "));
    assert_null(made.at);
}

static void full_thread(void *argument)
{
    struct mu_shared_memory made[2] = {{.file = -1}, {.file = -1}};
    enum mu_status *status = argument;
    if (!own_shm("size=1m")) {
        *status = MU_DENIED;
        return;
    }
    *status = mu_shared_memory_create(&made[0], 512 << 10, NULL, why);
    if (*status == MU_OK)
        *status = mu_shared_memory_create(&made[1], 768 << 10, NULL, why);
    for (int i = 0; i < 2; i++)
        mu_shared_memory_close(&made[i]);
}

/* In a thread of its own, for that is whose /dev/shm it is. */
static void in_thread(void (*run)(void *argument), void *argument)
{
    struct mu_real_world real;
    struct mu_thread *thread;
    assert_ok(mu_real_world_init(&real));
    assert_ok(real.world.ops->spawn(&real.world, "test", run, argument, &thread));
    real.world.ops->join(&real.world, thread);
    mu_real_world_finish(&real);
}

static void a_full_place_is_an_error_and_no_signal(void **state)
{
    (void)state;
    enum mu_status status = MU_OK;
    in_thread(full_thread, &status);
    if (status == MU_DENIED)
        skip_saying("a file system cannot be mounted here");
    assert_int_equal(status, MU_NO_MEMORY);
    assert_string_equal(why, "/dev/shm is full (needs 768.0 KiB, has 512.0 KiB)");
}

static void a_limit_on_files_is_an_error_and_no_signal(void **state)
{
    (void)state;
    struct rlimit before, low;
    getrlimit(RLIMIT_FSIZE, &before);
    low = before;
    low.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct mu_shared_memory made;
    enum mu_status status = mu_shared_memory_create(&made, BYTES, NULL, why);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, MU_UNAVAILABLE);
    assert_non_null(strstr(why, "ulimit -f"));
}

static void what_cannot_be_renewed_is_its_makers_alone(void **state)
{
    (void)state;
    struct rlimit before, low;
    struct mu_shared_memory made, old;
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    assert_ok(mu_shared_memory_open(&old, made.name, BYTES, why));
    const void *at = made.at;
    strcpy(made.at, "before");
    getrlimit(RLIMIT_FSIZE, &before);
    low = before;
    low.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    enum mu_status status = mu_shared_memory_renew(&made, NULL, why);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, MU_UNAVAILABLE);
    assert_non_null(strstr(why, "ulimit -f"));
    assert_ptr_equal(made.at, at);
    assert_string_equal(made.name, "");
    strcpy(old.at, "from the past");
    expect(&made, "before");
    mu_shared_memory_close(&old);
    mu_shared_memory_close(&made);
}

static void a_name_that_is_not_there_is_another_container(void **state)
{
    (void)state;
    struct mu_shared_memory opened;
    assert_int_equal(mu_shared_memory_open(&opened, "muster-0-0123", BYTES, why), MU_UNAVAILABLE);
    assert_string_equal(why, "it does not see this /dev/shm (another container?)");
}

static void another_size_is_refused(void **state)
{
    (void)state;
    struct mu_shared_memory made, opened;
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    assert_int_equal(mu_shared_memory_open(&opened, made.name, 2 * BYTES, why), MU_UNAVAILABLE);
    assert_non_null(strstr(why, "not from it"));
    mu_shared_memory_close(&made);
}

static void a_path_is_no_name(void **state)
{
    (void)state;
    struct mu_shared_memory opened;
    assert_int_equal(
        mu_shared_memory_open(&opened, "muster-/../passwd", BYTES, why), MU_UNAVAILABLE);
    assert_int_equal(mu_shared_memory_open(&opened, "passwd", BYTES, why), MU_UNAVAILABLE);
}

struct as_nobody {
    const char *name;
    enum mu_status status;
};

/* The raw call changes this thread only. */
static void nobody_thread(void *argument)
{
    struct as_nobody *as = argument;
    struct mu_shared_memory opened;
    if (syscall(SYS_setresuid, 65534, 65534, 65534) != 0)
        as->status = MU_DENIED;
    else
        as->status = mu_shared_memory_open(&opened, as->name, BYTES, why);
}

static void another_user_is_told_so(void **state)
{
    (void)state;
    struct mu_shared_memory made;
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    struct as_nobody as = {.name = made.name};
    in_thread(nobody_thread, &as);
    mu_shared_memory_close(&made);
    if (as.status == MU_DENIED)
        skip_saying("only root can become another user");
    assert_int_equal(as.status, MU_UNAVAILABLE);
    assert_string_equal(why, "it belongs to another user");
}

static void what_a_dead_process_left_is_swept(void **state)
{
    (void)state;
    struct other other;
    char name[MU_SHARED_MEMORY_NAME_MAX];
    other_start(&other, name);
    other_kill(&other);
    assert_true(exists(name));
    assert_true(mu_shared_memory_sweep() >= 1);
    assert_false(exists(name));
}

static void what_a_living_process_holds_is_kept(void **state)
{
    (void)state;
    struct other other;
    struct mu_shared_memory made;
    char name[MU_SHARED_MEMORY_NAME_MAX];
    other_start(&other, name);
    assert_ok(mu_shared_memory_create(&made, BYTES, NULL, why));
    mu_shared_memory_sweep();
    assert_true(exists(name));
    assert_true(exists(made.name));
    mu_shared_memory_close(&made);
    other_kill(&other);
    mu_shared_memory_sweep();
}

static void a_file_of_another_name_is_not_swept(void **state)
{
    (void)state;
    const char *path = "/dev/shm/mustard-test";
    int file = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(file >= 0);
    close(file);
    mu_shared_memory_sweep();
    assert_int_equal(unlink(path), 0);
}

static void a_killed_maker_is_noticed(void **state)
{
    (void)state;
    struct other other;
    struct mu_shared_memory opened;
    char name[MU_SHARED_MEMORY_NAME_MAX];
    other_start(&other, name);
    assert_ok(mu_shared_memory_open(&opened, name, BYTES, why));
    assert_true(mu_shared_memory_held(&opened));
    other_kill(&other);
    assert_false(mu_shared_memory_held(&opened));
    mu_shared_memory_close(&opened);
    mu_shared_memory_sweep();
}

static void this_host_is_this_host(void **state)
{
    (void)state;
    struct mu_shared_memory_host here, again, elsewhere, unknown = {0};
    mu_shared_memory_host(&here);
    mu_shared_memory_host(&again);
    assert_true(mu_shared_memory_same_host(&here, &again));
    elsewhere = here;
    elsewhere.boot[15] ^= 1;
    assert_false(mu_shared_memory_same_host(&here, &elsewhere));
    assert_false(mu_shared_memory_same_host(&unknown, &unknown));
    assert_int_equal(here.user, geteuid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_writes_the_other_reads),
        cmocka_unit_test(a_large_piece_lies_where_huge_pages_can),
        cmocka_unit_test(a_large_piece_has_the_huge_pages_that_there_are),
        cmocka_unit_test(it_is_for_this_user_only_and_gone_with_its_maker),
        cmocka_unit_test(two_names_are_never_the_same),
        cmocka_unit_test(what_is_mapped_outlives_its_name),
        cmocka_unit_test(what_is_renewed_stays_where_it_is_and_is_not_seen_by_who_had_it),
        cmocka_unit_test(more_than_there_is_is_an_error_that_says_how_much),
        cmocka_unit_test(a_full_place_is_an_error_and_no_signal),
        cmocka_unit_test(a_limit_on_files_is_an_error_and_no_signal),
        cmocka_unit_test(what_cannot_be_renewed_is_its_makers_alone),
        cmocka_unit_test(a_name_that_is_not_there_is_another_container),
        cmocka_unit_test(another_size_is_refused),
        cmocka_unit_test(a_path_is_no_name),
        cmocka_unit_test(another_user_is_told_so),
        cmocka_unit_test(what_a_dead_process_left_is_swept),
        cmocka_unit_test(what_a_living_process_holds_is_kept),
        cmocka_unit_test(a_file_of_another_name_is_not_swept),
        cmocka_unit_test(a_killed_maker_is_noticed),
        cmocka_unit_test(this_host_is_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
