/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_FUTEX_H
#define MU_IO_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleep and wake on a word, of the real world: no call knows of struct mu_world. */

/* Sleeps while *word == value, for `timeout_ns` at the most; also ends early, for no reason: look
 * again. The word may lie in memory that processes share. */
void mu_futex_wait(const _Atomic uint32_t *word, uint32_t value, int64_t timeout_ns);
/* Wakes all that sleep on the word; a system call even if nobody does. */
void mu_futex_wake(_Atomic uint32_t *word);
/* Lets others run: for waits that have spun for long enough. */
void mu_futex_yield(void);
/* Tells the processor that this is a loop that spins. */
static inline void mu_futex_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__("yield");
#endif
}

#endif
