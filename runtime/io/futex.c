/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/futex.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void mu_futex_wait(const _Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    if (timeout_ns > 0)
        syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

void mu_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void mu_futex_yield(void)
{
    sched_yield();
}
