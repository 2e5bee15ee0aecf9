/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_CALLER_H
#define MU_CLUSTER_CALLER_H

#include "cluster/hello.h"

/*
 * One attempt to reach a task: connect, say hello, hear hello. Starts here, ends in a callback;
 * the owner looks at `done`. Every attempt has a deadline, kept by whoever waits.
 */
struct mu_caller {
    struct mu_link *link; /* after OK: the owner's to adopt and resume */
    bool connected, done;
    enum mu_status status; /* OK, UNAVAILABLE (see error), CLOSED, PROTOCOL (see refusal, stray) */
    int error;             /* errno, ENOENT for a name that cannot be resolved */
    bool refused;
    bool echoed; /* our own hello came back */
    struct mu_refusal refusal;
    char stray[64];   /* what another service sent instead of a hello */
    char reason[192]; /* that mu_caller_reason says */
    int peer_version; /* of the protocol, if it is not ours */
    const struct mu_hello *ours;
    struct mu_hello *theirs;
};

/* `ours` is borrowed until done. Allocates `theirs`. */
void mu_caller_start(struct mu_caller *caller, struct mu_loop *loop,
    const struct mu_address *address, const struct mu_hello *ours);
/* Closes what is left of it; takes a zeroed one. A link that was taken must be NULL here. */
void mu_caller_finish(struct mu_caller *caller);
/* It is connected, and nothing has come. */
bool mu_caller_is_mute(const struct mu_caller *caller);
/* "connection refused", "the name cannot be resolved", ...; of the caller, until the next one. */
const char *mu_caller_reason(struct mu_caller *caller);
const char *mu_caller_error_text(int error); /* of caller->error, not 0 */

#endif
