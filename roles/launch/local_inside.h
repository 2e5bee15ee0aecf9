/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOCAL_INSIDE_H
#define MU_ROLES_LOCAL_INSIDE_H

#include "roles/launch/local.h"
#include "roles/launch/local_child.h"
#include "roles/launch/local_output.h"
#include <poll.h>
#include <time.h>

/* The inside of the local launcher, shared by local.c, local_again.c and local_linger.c. */

struct mu_local {
    struct mu_log *log;
    const struct mu_local_request *request;
    struct mu_local_child *children;
    struct pollfd *polls; /* one a child, and the signalfd last */
    int count, leader;
    struct mu_local_output output;
    struct mu_spec spec;
    struct mu_local_start start;
    char **environment;
    char program[4096];
    int signal_fd;
    int user_signal; /* the first */
    int64_t user_signal_ns;
    bool insisted; /* there was a second */
    bool stopping, killed, lingering;
    int64_t say_linger_ns; /* for whom one waits when training is over; 0: it is said */
    int64_t started_ns;
};

/* ---- local.c ---- */
int64_t mu_local_clock_ns(clockid_t clock);
/* By one of the two ways that local_child.h has. */
enum mu_status mu_local_start_task(struct mu_local *launcher, int index,
    enum mu_status (*start)(struct mu_log *log, const struct mu_local_start *start,
        const char *tf_config, struct mu_local_child *child));

/* ---- local_linger.c ---- */
/* Training is over, and has a result: how long may each of those be that are still there? */
void mu_local_linger_begin(struct mu_local *launcher, int64_t now_ns);
/* One was stopped, or goes on, after that. */
void mu_local_linger_watch(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns);
/* For whom the launcher waits, when it is time to. */
void mu_local_linger_say(struct mu_local *launcher, int64_t now_ns);

/* ---- local_again.c ---- */

/* The cluster itself decides how long it does without this one. */
bool mu_local_again_awaited(const struct mu_local *launcher, const struct mu_local_child *child);
/* ": ps/1 has what it had and takes over" of a server that has ended and is not started again: what
 * follows from that; "": nothing that is known here. */
void mu_local_again_consequence(
    const struct mu_local *launcher, const struct mu_local_child *child, char *out, size_t bytes);
/* Is this one, which has ended, to be started again? Then that is planned. */
bool mu_local_again_plan(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns);
/* One was stopped, or goes on: when has the cluster given it up? */
void mu_local_again_watch(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns);
/* Kills one that has been stopped so long that the cluster waits for its successor; false: this one
 * is not of that kind. */
bool mu_local_again_replace(struct mu_local *launcher, struct mu_local_child *child);
/* Starts those whose time has come, unless it has become pointless. */
void mu_local_again_check(struct mu_local *launcher);

#endif
