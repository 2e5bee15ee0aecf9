/* SPDX-License-Identifier: Apache-2.0 */
#include "store_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is left of the store when the process dies at any of its system calls, or one fails. */

/* What the cut tests do: entries 1 and 2 are there, 2 is replaced and 3 is new. */
static void work(struct mu_store *store, enum mu_status ret[2])
{
    ret[0] = store_rig_put(store, 2, "second again");
    ret[1] = store_rig_put(store, 3, "third");
}

static void dies_or_not(int cut_at, bool no_exchange, int *ret_exit)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        store_rig_disk.kind = STORE_RIG_DIE;
        store_rig_disk.calls_left = cut_at;
        store_rig_disk.no_exchange = no_exchange;
        struct mu_store *store = NULL;
        enum mu_status status[2] = {MU_BUG, MU_BUG};
        if (mu_store_directory_open(store_rig_said, store_rig_checkpoints, &store) == MU_OK)
            work(store, status);
        _exit(status[0] == MU_OK && status[1] == MU_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    *ret_exit = WEXITSTATUS(status);
}

static void all_listed_entries_are_whole(struct mu_store *store)
{
    int64_t numbers[8];
    size_t count = store->ops->list(store, numbers, 8);
    assert_in_range(count, 2, 3);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 2);
    assert_true(store_rig_entry_says(store, 1, "first"));
    assert_true(
        store_rig_entry_says(store, 2, "second") || store_rig_entry_says(store, 2, "second again"));
    if (count == 3) {
        assert_int_equal(numbers[2], 3);
        assert_true(store_rig_entry_says(store, 3, "third"));
    }
}

static void death_at_every_call(bool no_exchange)
{
    int cut_at = 0, code = 42;
    for (; code == 42; cut_at++) {
        struct mu_store *store = store_rig_open();
        assert_ok(store_rig_put(store, 1, "first"));
        assert_ok(store_rig_put(store, 2, "second"));
        dies_or_not(cut_at, no_exchange, &code);
        all_listed_entries_are_whole(store);
        assert_ok(store_rig_put(store, 1, "first")); /* the next put cleans up */
        assert_int_equal(store_rig_count_hidden(), 0);
        all_listed_entries_are_whole(store);
        store->ops->close(store);
        store_rig_end(NULL);
        store_rig_begin(NULL);
    }
    assert_int_equal(code, 0);
    assert_in_range(cut_at, 20, 200); /* the countdown did reach the calls */
}

static void death_at_any_call_leaves_whole_entries(void **state)
{
    death_at_every_call(false);
}

static void death_at_any_call_leaves_whole_entries_without_exchange(void **state)
{
    death_at_every_call(true);
}

static void failure_at_every_call(int error)
{
    int cut_at = 0, failed = 1;
    for (; failed; cut_at++) {
        struct mu_store *store = store_rig_open();
        assert_ok(store_rig_put(store, 1, "first"));
        assert_ok(store_rig_put(store, 2, "second"));
        store_rig_disk.kind = STORE_RIG_FAIL;
        store_rig_disk.calls_left = cut_at;
        store_rig_disk.error = error;
        enum mu_status status[2];
        work(store, status);
        failed = store_rig_disk.calls_left < 0;
        store_rig_disk.kind = STORE_RIG_NO_CUT;
        all_listed_entries_are_whole(store);
        assert_true(status[0] == MU_OK || store_rig_entry_says(store, 2, "second"));
        assert_true(status[0] != MU_OK || store_rig_entry_says(store, 2, "second again"));
        int64_t numbers[4];
        assert_int_equal(store->ops->list(store, numbers, 4), status[1] == MU_OK ? 3 : 2);
        if (status[0] != MU_OK || status[1] != MU_OK)
            assert_said(&store_rig_log, strerror(error));
        store->ops->close(store);
        store_rig_end(NULL);
        store_rig_begin(NULL);
    }
    assert_in_range(cut_at, 20, 200);
}

static void a_failing_call_leaves_nothing_of_the_entry(void **state)
{
    failure_at_every_call(EIO);
}

/* ---- scratch files ---- */

static enum mu_status scratch_work(struct mu_store *store)
{
    struct mu_store_open *scratch;
    MU_TRY(store->ops->scratch(store, store_rig_said, &scratch));
    enum mu_status status = scratch->ops->append(scratch, store_rig_said, "aside", 5);
    if (status == MU_OK)
        status = scratch->ops->append(scratch, store_rig_said, " more", 5);
    scratch->ops->close(scratch);
    return status;
}

static int scratch_dies(int cut_at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct mu_store *store = NULL;
        store_rig_disk.kind = STORE_RIG_DIE;
        store_rig_disk.calls_left = cut_at;
        if (mu_store_directory_open(store_rig_said, store_rig_checkpoints, &store) != MU_OK)
            _exit(2);
        _exit(scratch_work(store) == MU_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void death_leaves_no_scratch_file_that_the_next_put_does_not_remove(void **state)
{
    (void)state;
    int cut_at = 0, code = 42, hidden = 0;
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "first"));
    for (; code == 42; cut_at++) {
        code = scratch_dies(cut_at);
        hidden += store_rig_count_hidden();
        assert_ok(store_rig_put(store, 1, "first"));
        assert_int_equal(store_rig_count_hidden(), 0);
        assert_true(store_rig_entry_says(store, 1, "first"));
    }
    assert_int_equal(code, 0);
    assert_int_equal(cut_at, 5); /* created, unlinked, written twice; and none */
    assert_int_equal(hidden, 1); /* between the first two */
    store->ops->close(store);
}

static void a_failing_call_leaves_no_scratch_file(void **state)
{
    (void)state;
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "first"));
    for (int cut_at = 0; cut_at < 4; cut_at++) {
        store_rig_said = mu_test_log_init(&store_rig_log);
        store_rig_disk.kind = STORE_RIG_FAIL;
        store_rig_disk.error = ENOSPC;
        store_rig_disk.calls_left = cut_at;
        assert_int_equal(scratch_work(store), cut_at < 2 ? MU_CANNOT_CREATE : MU_IO_ERROR);
        store_rig_disk.kind = STORE_RIG_NO_CUT;
        assert_said(&store_rig_log, "/.scratch: No space left on device (needs ");
        assert_said(&store_rig_log, "help: `df -h /");
        /* What cannot be unlinked stays until the next put, as after a death. */
        assert_int_equal(store_rig_count_hidden(), cut_at == 1);
        assert_ok(store_rig_put(store, 1, "first"));
        assert_int_equal(store_rig_count_hidden(), 0);
    }
    store->ops->close(store);
}

static void a_full_disk_is_named_with_what_was_needed(void **state)
{
    failure_at_every_call(ENOSPC);
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "first"));
    store_rig_disk.kind = STORE_RIG_FAIL;
    store_rig_disk.error = ENOSPC;
    store_rig_disk.calls_left = 2; /* the folder, the file, then its bytes */
    assert_int_equal(store_rig_put(store, 2, "second"), MU_IO_ERROR);
    store_rig_disk.kind = STORE_RIG_NO_CUT;
    assert_said(&store_rig_log, "E0605");
    assert_said(&store_rig_log, "a.bin: No space left on device (needs 6 B, ");
    assert_said(&store_rig_log, "help: `df -h /");
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_RIG_CASE(death_at_any_call_leaves_whole_entries),
        STORE_RIG_CASE(death_at_any_call_leaves_whole_entries_without_exchange),
        STORE_RIG_CASE(a_failing_call_leaves_nothing_of_the_entry),
        STORE_RIG_CASE(death_leaves_no_scratch_file_that_the_next_put_does_not_remove),
        STORE_RIG_CASE(a_failing_call_leaves_no_scratch_file),
        STORE_RIG_CASE(a_full_disk_is_named_with_what_was_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
