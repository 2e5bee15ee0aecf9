/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/signals.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static atomic_int stop_signal;
/* A terminal shows ^C where the cursor is; elsewhere an empty line would be of no use. */
static bool on_terminal;

static void on_stop(int number)
{
    static const char said[] =
        "\nasked to stop: finishing the step and saving; once more to end at once\n";
    if (atomic_exchange(&stop_signal, number) != 0)
        _exit(128 + number);
    int skip = on_terminal ? 0 : 1;
    ssize_t written = write(STDERR_FILENO, said + skip, sizeof(said) - 1 - (size_t)skip);
    (void)written;
}

void mu_signals_watch(void)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    on_terminal = isatty(STDERR_FILENO) == 1;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
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
