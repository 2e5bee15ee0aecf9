/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_PS_H
#define MUSTER_PS_H

#include "muster/policy.h"
#include "muster/status.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Parameter servers without the trainer: link libmuster, start the processes, call these. One
 * vector of float32 lies on the servers, each of which keeps a span of it; workers push gradients,
 * which the servers' optimizer applies, and get the fresh parameters back.
 *
 *     struct mu_ps_options options = {.count = n, .optimizer = "adam"};
 *     if (mu_ps_is_server())                                    // as TF_CONFIG says
 *         return mu_ps_serve(&options, x) != MU_OK;             // until all workers have closed
 *     mu_ps_open(&options, &ps);
 *     mu_ps_pull(ps, x, &version);
 *     mu_ps_push_pull(ps, g, version, x, &result);              // and again and again
 *     mu_ps_close(ps);
 *
 * Beside it there may be an embedding table: rows of row_width floats, found by ids that are
 * 64-bit numbers (below row_ids, if that is said), spread over the servers by a hash of them. A row
 * begins with the first gradient of it that is applied; a push gives the gradients of those that it
 * touched and brings those that are wanted next:
 *
 *     mu_ps_pull_rows(ps, ids, n, rows);
 *     struct mu_ps_rows both = {ids, row_g, n, next_ids, rows, m};
 *     mu_ps_push_rows(ps, g, version, x, &both, &push);
 *     mu_ps_wait(ps, push, &result);
 *
 * What the modes and policies do is in docs/PARAMETER_SERVERS.md: it is the same server. A handle
 * belongs to one thread at a time; several threads, and a server beside workers, may each have
 * their own in one process. Something travels only inside a call. Vectors are in the caller's
 * memory. What servers of this host give and get is copied from there and to there through memory
 * that both sides see (`transport`), which is found out in the first call that waits for an answer
 * with nothing under way, mu_ps_pull as a rule.
 *
 * OK; TIMEOUT (a server did not answer), CLOSED (a server is gone), PROTOCOL (what must be the same
 * differs: it is said which option, and both values), NO_MEMORY, USAGE (what was asked makes no
 * sense, or a pointer is NULL of which it is not said that it may be; nothing has happened), CONFIG
 * (transport "shm", and a server does not share memory), BROKEN (a call before has failed). The
 * reason is in mu_ps_error. After any but OK, USAGE and a TIMEOUT of mu_ps_wait a handle only
 * serves to be closed: all other calls return BROKEN, and mu_ps_error keeps the reason.
 */
struct mu_ps;

struct mu_ps_options {
    /* Where the servers listen ("10.0.0.1:2222"), how many workers there are, and which of the
     * servers (mu_ps_serve) or workers (mu_ps_open) this is; servers NULL: all as TF_CONFIG says.
     * The same addresses in the same order everywhere. */
    const char *const *servers; /* (server_count) */
    int server_count, worker_count, index;
    size_t count;  /* floats in the vector; the same everywhere */
    int in_flight; /* pushes of a worker under way at once, 1 to 64; 0: 1. On servers: at most */
    /* The same everywhere, too; a worker that does not use the table leaves all four out. */
    size_t row_width; /* floats of a row of the embedding table; 0: there is none */
    size_t row_max;   /* rows that a push may give, and as many that it may want */
    uint64_t row_ids; /* ids are below it; 0: any. Workers may leave it out */
    int row_range; /* 1: each server keeps a range of the ids below row_ids, all of one length, and
                    * workers say row_ids, too; 0: a hash of its id says where a row is kept */
    double timeout_seconds; /* for all to come, for an answer, and to read one; 0: 300 */
    /* Of a worker, which others need not have: how vectors and rows reach the servers. "tcp";
     * "shm": in shared memory; the first call after mu_ps_open, a push too, waits for all servers
     * and ends with CONFIG if one of them does not see it. NULL, "route": in shared memory where a
     * server of this host and user sees it, else by tcp, and a line on stderr says why. It takes
     * 8 * in_flight * (count + row_max * (2 + row_width)) bytes of /dev/shm and a little. */
    const char *transport;

    /* Of the servers, and the same on all of them, which they compare when they meet; workers do
     * not look at what follows. */
    const char *optimizer;         /* NULL: "sgd"; docs/JOB.md has the others */
    const char *optimizer_options; /* "learning_rate=0.1, momentum=0.9"; NULL: defaults */
    const char *mode;              /* NULL: "async"; "softsync", "sync", "bounded" */
    /* Only for the mode or policy named; 0 for any other. */
    int gradients;              /* softsync: of a step; 0: 1 */
    int backups;                /* sync: workers that a step does not wait for */
    int bound;                  /* bounded: steps ahead of the slowest; policy drop: staleness */
    const char *policy;         /* NULL: "apply"; "drop", "scale", "compensate" */
    const char *policy_options; /* "power=0.5"; NULL: defaults */
    size_t row_limit; /* rows that a server keeps: those not used for long leave; 0: all */
    /* What row `id` begins with, at its first gradient and to whoever wants it before: always the
     * same. NULL: zeros. */
    void (*row_begin)(void *row_owner, uint64_t id, float *ret_row);
    /* Given all rows of this server, one by one, when mu_ps_serve ends. NULL: nobody wants them. */
    void (*row_end)(void *row_owner, uint64_t id, const float *row);
    void *row_owner;
    int row_dense; /* 1: all rows below row_ids begin when the server does, not at first touch */
};

/* Rows of a push: what it gives, and what it wants. An id may come more than once in either: its
 * gradients are added up, its row comes to each place. */
struct mu_ps_rows {
    const uint64_t *ids;    /* (count) */
    const float *gradients; /* (count, row_width) */
    size_t count;           /* at most row_max, 0 too */
    const uint64_t *wanted; /* (wanted_count) */
    float *rows;            /* (wanted_count, row_width): as they are after this push */
    size_t wanted_count;    /* at most row_max, 0 too */
};

/* What became of a push. */
struct mu_ps_result {
    enum mu_verdict verdict;
    float scale; /* of the policy: of the learning rate, or of the weight in a mean */
    int64_t staleness;
    int64_t version;     /* of the fresh parameters */
    const char *refused; /* MU_VERDICT_REFUSE: why, as "with NaN or infinity"; else NULL */
};

/* Why the last call failed; never NULL. `ps` NULL: of mu_ps_open or mu_ps_serve on this thread. */
const char *mu_ps_error(const struct mu_ps *ps);
/* 1: TF_CONFIG, or whatever else says who this task is, calls it a parameter server. */
int mu_ps_is_server(void);

/* Serves until every worker has closed. `parameters` (count): what the training begins with, the
 * same on all servers; at the end the span of this server, mu_ps_span, is as it has become. NULL:
 * zeros. CLOSED: a worker went without closing, or another server; the others were served to their
 * end as far as that goes. */
enum mu_status mu_ps_serve(const struct mu_ps_options *options, float *parameters);
/* The elements that server `server` of `server_count` keeps: *ret_first (may be NULL) and so many.
 * 0: there is no such server, or there are fewer elements than servers. */
size_t mu_ps_span(size_t count, int server_count, int server, size_t *ret_first);

/* Waits for all servers, and compares with them what must be the same. A worker that differs and
 * comes later than this one ends the next call here with PROTOCOL. From 2 s on it says on stderr,
 * every 10 s, for whom it waits, at which address, why and since when; so does mu_ps_serve of
 * workers. Also CONFIG (an address, TF_CONFIG or a number that cannot be) and UNAVAILABLE (somebody
 * did not come), as mu_ps_serve. On failure *ret_ps is NULL. */
enum mu_status mu_ps_open(const struct mu_ps_options *options, struct mu_ps **ret_ps);
/* Waits for what is under way, says that no more gradients come, and closes; at once where a call
 * has failed so that the handle only serves for this. Takes NULL. */
void mu_ps_close(struct mu_ps *ps);
int mu_ps_worker(const struct mu_ps *ps); /* this one's number; -1: `ps` is NULL */
int mu_ps_worker_count(const struct mu_ps *ps);

/* The parameters (count) as they are, all at one version; `ret_version` may be NULL. USAGE:
 * in_flight pushes are under way. */
enum mu_status mu_ps_pull(struct mu_ps *ps, float *parameters, int64_t *ret_version);
/* Starts a push of a gradient (count) that was computed with the parameters of `version`. The fresh
 * parameters (count) go to `parameters`, which is another vector; NULL: nobody wants them. Both
 * stay the library's until mu_ps_wait for *ret_push has returned OK, or the handle is closed.
 * USAGE: in_flight pushes are under way. */
enum mu_status mu_ps_push(
    struct mu_ps *ps, const float *gradients, int64_t version, float *parameters, int *ret_push);
/* Waits for the answer; TIMEOUT: it may still come, and be waited for again. `ret_result` may be
 * NULL. */
enum mu_status mu_ps_wait(struct mu_ps *ps, int push, struct mu_ps_result *ret_result);
/* Both at once. After TIMEOUT nobody could wait again: the handle only serves to be closed. */
enum mu_status mu_ps_push_pull(struct mu_ps *ps, const float *gradients, int64_t version,
    float *parameters, struct mu_ps_result *ret_result);

/* Rows (count, row_width) as they are, in the order of the ids, of which some may be equal; at most
 * row_max. Changes nothing. USAGE: in_flight pushes are under way. */
enum mu_status mu_ps_pull_rows(struct mu_ps *ps, const uint64_t *ids, size_t count, float *rows);
/* mu_ps_push with rows (NULL: none), which have its verdict, its version and its place among all
 * pushes. rows->rows is the library's until mu_ps_wait has returned OK or the handle is closed, and
 * holds nothing if the push was refused; the rest is copied. */
enum mu_status mu_ps_push_rows(struct mu_ps *ps, const float *gradients, int64_t version,
    float *parameters, const struct mu_ps_rows *rows, int *ret_push);
/* Rows of all servers together, at the last mu_ps_pull or mu_ps_pull_rows. */
int64_t mu_ps_row_count(const struct mu_ps *ps);

#ifdef __cplusplus
}
#endif

#endif
