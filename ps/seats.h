/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SEATS_H
#define MU_PS_SEATS_H

#include "ps/split.h"
#include <stdbool.h>

/*
 * Who keeps what, if each span is kept twice: seat i < n is the server of span i, in the process of
 * ps/i; seat n + i is its standby, in the process of the next one. Without standbys there are only
 * the first n.
 *
 *   ps/0       ps/1       ps/2
 *   seat 0     seat 1     seat 2        spans 0, 1, 2
 *   seat 5     seat 3     seat 4        spans 2, 0, 1 once more
 */
#define MU_PS_SEATS_MAX (2 * MU_PS_SERVERS_MAX)

static inline int mu_ps_seat_count(int server_count, int replicas)
{
    return server_count * (1 + replicas);
}

static inline int mu_ps_seat_span(int seat, int server_count)
{
    return seat % server_count;
}

/* The process that has the standby of the server in this one. */
static inline int mu_ps_seat_standby_of(int process, int server_count)
{
    return (process + 1) % server_count;
}

static inline int mu_ps_seat_process(int seat, int server_count)
{
    return seat < server_count ? seat : mu_ps_seat_standby_of(seat - server_count, server_count);
}

/* The other seat of this process. */
static inline int mu_ps_seat_standby_in(int process, int server_count)
{
    return server_count + (process + server_count - 1) % server_count;
}

/* The head is at seat 0, and after it the deputy at that of its standby. */
static inline bool mu_ps_seat_may_judge(int seat, int server_count)
{
    return seat == 0 || seat == server_count;
}

/* The other seat of the same span. */
static inline int mu_ps_seat_twin(int seat, int server_count)
{
    return seat < server_count ? seat + server_count : seat - server_count;
}

#endif
