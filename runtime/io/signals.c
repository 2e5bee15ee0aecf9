/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/signals.h"
#include "runtime/base/console.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static atomic_int stop_signal;
/* A terminal shows ^C where the cursor is; elsewhere an empty line would be of no use. */
static bool on_terminal;

enum stage { SAVING, LEAVING, BEFORE, BEFORE_QUIET, ENDING };
static atomic_int stage = SAVING;

static void say(const char *text)
{
    int skip = on_terminal ? 0 : 1;
    mu_console_write_now(STDERR_FILENO, text + skip, strlen(text + skip));
}

/* Between any two instructions of others, who may be about to look at errno. */
static void on_stop(int number)
{
    int error = errno;
    if (atomic_exchange(&stop_signal, number) != 0)
        _exit(128 + number);
    int now = atomic_load(&stage);
    if (now == SAVING)
        say("\nasked to stop: finishing the step and saving; once more to end at once\n");
    else if (now == LEAVING)
        say("\nasked to stop: leaving the run; once more to end at once\n");
    else if (now == BEFORE)
        say("\nasked to stop before the run has begun: nothing to save\n");
    errno = error;
}

void mu_signals_before(bool quiet)
{
    atomic_store(&stage, quiet ? BEFORE_QUIET : BEFORE);
}

void mu_signals_begun(bool saves)
{
    atomic_store(&stage, saves ? SAVING : LEAVING);
}

void mu_signals_watch(void)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    on_terminal = isatty(STDERR_FILENO) == 1;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

void mu_signals_ending(void)
{
    atomic_store(&stage, ENDING);
}

int mu_signals_stop(void)
{
    return atomic_load(&stop_signal);
}

_Noreturn void mu_signals_die(void)
{
    int number = mu_signals_stop() ? mu_signals_stop() : SIGTERM;
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}
