/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/signals.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* stderr is no file to write to: what is said when the signal comes fails with another errno. */
static void a_signal_leaves_errno_as_it_is(void **state)
{
    (void)state;
    int kept = dup(STDERR_FILENO), unwritable = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(kept >= 0 && unwritable >= 0);
    mu_signals_watch();
    dup2(unwritable, STDERR_FILENO);
    errno = ERANGE;
    raise(SIGTERM);
    int after = errno;
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(unwritable);
    assert_int_equal(after, ERANGE);
    assert_int_equal(mu_signals_stop(), SIGTERM);
}

/* What a process says that is asked to stop; the answer ends with its stderr. */
static void hear(bool is_ending, char said[256])
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        mu_signals_watch();
        mu_signals_begun(true);
        if (is_ending)
            mu_signals_ending();
        raise(SIGTERM);
        _exit(0);
    }
    close(ends[1]);
    size_t bytes = 0;
    ssize_t more;
    while ((more = read(ends[0], said + bytes, 255 - bytes)) > 0)
        bytes += (size_t)more;
    said[bytes] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void who_ends_already_promises_to_save_nothing(void **state)
{
    (void)state;
    char said[256];
    hear(false, said);
    assert_non_null(strstr(said, "asked to stop: finishing the step and saving"));
    hear(true, said);
    assert_string_equal(said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_ends_already_promises_to_save_nothing),
        cmocka_unit_test(a_signal_leaves_errno_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
