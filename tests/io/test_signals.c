/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/signals.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_leaves_errno_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
