/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PS_LIBRARY_H
#define MU_ROLES_PS_LIBRARY_H

#include "muster/ps.h"
#include "ps/client.h"
#include "ps/server/server.h"
#include "roles/library/ground.h"
#include "runtime/base/text.h"

/*
 * What both sides of muster/ps.h have: where the servers are and who this is, and links to the
 * others. Servers are the first ranks of a mesh (collectives/mesh.h), workers the others, which
 * listen nowhere.
 */
struct mu_ps_place {
    struct mu_ground *ground;
    int server_count, worker_count, index;
    bool serves;
    int64_t timeout_ns;
    struct mu_address *address;     /* (server_count) */
    char (*name)[MU_TASK_NAME_MAX]; /* (servers and workers) "ps/0", "worker/1" */
    const char **names;             /* the same */
    struct mu_link **link;          /* (servers and workers) NULL: none, or taken */
};

/* Finds out where this process stands. CONFIG, NO_MEMORY. On failure the place is finished. */
enum mu_status mu_ps_place_open(struct mu_log *log, const struct mu_ps_options *options,
    bool serves, struct mu_ps_place *ret_place);
/* Waits for all that it has links to, which agree with these terms. Fails like mu_mesh_open. */
enum mu_status mu_ps_place_meet(struct mu_log *log, struct mu_ps_place *place, const char *terms);
/* Links that nobody has taken are closed, and then the loop that all of them are on. */
void mu_ps_place_finish(struct mu_ps_place *place);
struct mu_link *mu_ps_place_take(
    struct mu_ps_place *place, int rank); /* the caller's from now on */

/* A log whose errors go to `out`, of MU_LOG_TEXT_MAX bytes, without "error[E0301]: "; the rest goes
 * to stderr. */
void mu_ps_library_log(struct mu_log *log, char *out);
/* Of mu_ps_open and mu_ps_serve, on this thread. */
char *mu_ps_library_error(void);

/* What a server is told by names and texts. */
struct mu_ps_told {
    const struct mu_optimizer_ops *optimizer;
    void *optimizer_options;
    double learning_rate, weight_decay;
    const struct mu_policy_ops *policy;
    void *policy_options;
    struct mu_ps_mode mode;
};

/* USAGE (MU_E0001), NO_MEMORY. */
enum mu_status mu_ps_told_read(struct mu_log *log, const struct mu_ps_options *options,
    int worker_count, struct mu_ps_told *ret_told);
void mu_ps_told_finish(struct mu_ps_told *told);
/* What must agree, as mu_mesh_request has it. Of a worker (`told` NULL) only what it says itself.
 * NO_MEMORY. */
enum mu_status mu_ps_terms_write(struct mu_log *log, const struct mu_ps_options *options,
    const struct mu_ps_told *told, struct mu_text *ret_terms);
/* USAGE (MU_E0001). */
enum mu_status mu_ps_told_transport(
    struct mu_log *log, const struct mu_ps_options *options, enum mu_ps_sharing *ret_sharing);
/* Pushes in flight, 1 if nothing is said. USAGE (MU_E0001): something that both sides say cannot
 * be. */
enum mu_status mu_ps_told_check(
    struct mu_log *log, const struct mu_ps_options *options, int *ret_in_flight);

#endif
