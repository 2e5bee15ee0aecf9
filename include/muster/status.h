/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_STATUS_H
#define MUSTER_STATUS_H

/*
 * What every fallible function returns. The second column is the exit code of a process that ends
 * for this reason; launchers key their restart policies on it (see docs/EXIT_CODES.md).
 */
#define MU_STATUS_ROWS(ROW)                                                                        \
    ROW(OK, 0, "done")                                                                             \
    ROW(BUG, 1, "a bug in muster")                                                                 \
    ROW(USAGE, 64, "wrong usage")                                                                  \
    ROW(BAD_DATA, 65, "bad data or checkpoint")                                                    \
    ROW(NO_INPUT, 66, "an input is missing")                                                       \
    ROW(UNAVAILABLE, 69, "a peer or a service is unavailable")                                     \
    ROW(TIMEOUT, 69, "the deadline passed")                                                        \
    ROW(CLOSED, 69, "the peer closed the connection")                                              \
    ROW(BROKEN, 70, "an invariant is broken")                                                      \
    ROW(NO_MEMORY, 71, "out of memory")                                                            \
    ROW(CANNOT_CREATE, 73, "an output cannot be created")                                          \
    ROW(IO_ERROR, 74, "input or output failed")                                                    \
    ROW(PREEMPTED, 75, "preempted, state saved")                                                   \
    ROW(PROTOCOL, 76, "protocol or version mismatch")                                              \
    ROW(DENIED, 77, "not authenticated or not permitted")                                          \
    ROW(CONFIG, 78, "wrong cluster spec or configuration")

#if defined(__cplusplus) && __cplusplus >= 201703L
#define MU_NODISCARD [[nodiscard]]
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ > 201710L
#define MU_NODISCARD [[nodiscard]]
#else
#define MU_NODISCARD
#endif

#define MU_STATUS_ENUM(name, exit_code, text) MU_##name,
enum MU_NODISCARD mu_status { MU_STATUS_ROWS(MU_STATUS_ENUM) MU_STATUS_COUNT };
#undef MU_STATUS_ENUM

/* Passes a failure on: the first to know has already said why. */
#define MU_TRY(call)                                                                               \
    do {                                                                                           \
        enum mu_status mu_try_status = (call);                                                     \
        if (mu_try_status != MU_OK)                                                                \
            return mu_try_status;                                                                  \
    } while (0)

#endif
