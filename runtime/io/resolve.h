/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_RESOLVE_H
#define MU_IO_RESOLVE_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Host names to addresses. The system's resolver may take tens of seconds, and nothing stops it: so
 * it runs on threads that nobody waits for, neither a loop that is destroyed nor the end of the
 * process. A question that is dropped while a thread asks it stays with that thread; whoever asks
 * the same before it is answered takes it up again. At most MU_RESOLVE_THREADS_MAX are asked at
 * once, the others wait their turn.
 */
#define MU_RESOLVE_THREADS_MAX 8

struct mu_question;

/* An address that is written as a number needs nobody to be asked. */
bool mu_resolve_numeric(const char *host, int port, struct sockaddr_storage *ret_address);

/* `answered` is called once, on another thread: all it may do is to wake somebody. The question is
 * the caller's until it takes the answer or drops it. NO_MEMORY; UNAVAILABLE: no thread. */
enum mu_status mu_resolve_ask(const char *host, void (*answered)(void *owner), void *owner,
    struct mu_question **ret_question);
bool mu_resolve_is_answered(const struct mu_question *question);
/* The first address; false: the name has none. Ends an answered question. */
bool mu_resolve_take(struct mu_question *question, int port, struct sockaddr_storage *ret_address);
/* `answered` is not called after this. Takes NULL. */
void mu_resolve_drop(struct mu_question *question);

/* Asks and waits. NO_INPUT: the name has no address; TIMEOUT: not yet, to be asked again. */
enum mu_status mu_resolve_wait(
    const char *host, int port, int64_t patience_ns, struct sockaddr_storage *ret_address);

#endif
