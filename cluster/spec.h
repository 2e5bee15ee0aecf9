/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_SPEC_H
#define MU_CLUSTER_SPEC_H

#include "runtime/base/json.h"
#include "runtime/base/net.h"
#include "runtime/base/text.h"

/*
 * Who is in the cluster and which of them this task is. A task's identity is (role, index), never
 * its position in a list. Documented in docs/CLUSTER_SPEC.md.
 */
#define MU_ROLE_ROWS(ROW)                                                                          \
    ROW(CHIEF, "chief")                                                                            \
    ROW(WORKER, "worker")                                                                          \
    ROW(PS, "ps")                                                                                  \
    ROW(EVALUATOR, "evaluator")

#define MU_ROLE_ENUM(name, text) MU_ROLE_##name,
enum mu_role { MU_ROLE_ROWS(MU_ROLE_ENUM) MU_ROLE_COUNT };
#undef MU_ROLE_ENUM

#define MU_TASKS_MAX 4096
#define MU_TASK_INDEX_MAX 65535

struct mu_task {
    enum mu_role role;
    int index;
    struct mu_address address; /* host "" where none is known: an evaluator outside the cluster */
    int replica;               /* chief 0, then workers in order of index; -1: holds no replica */
};

struct mu_spec {
    struct mu_task *task; /* chief, workers, ps, evaluator; each by ascending index */
    int task_count;
    int self;          /* position of this task in `task` */
    int leader;        /* the chief, or the first worker */
    int replica_count; /* chief + workers */
    int ps_count;
    int evaluator_count; /* 0 or 1 */
    bool local;          /* nothing was given: one process, no network */
    uint64_t hash;       /* over the canonical text: equal specs, equal hash */
    char origin[64];     /* "$TF_CONFIG", "cluster.json", "Slurm" */
};

/* "worker/1" into out[MU_TASK_NAME_MAX]. */
void mu_task_name(const struct mu_task *task, char *out, size_t bytes);
const char *mu_role_name(enum mu_role role);
/* "worker/1" or "worker:1" or "chief" -> role and index; false if it is no such thing. */
bool mu_task_parse(const char *text, enum mu_role *ret_role, int *ret_index);
/* Position of a task in the spec or -1. */
int mu_spec_find(const struct mu_spec *spec, enum mu_role role, int index);
/* Position of replica number `replica`, of ps by its order (0 .. ps_count-1), or -1. */
int mu_spec_replica(const struct mu_spec *spec, int replica);
int mu_spec_ps(const struct mu_spec *spec, int order);
/* The order of the parameter server at this position of the spec, or -1. */
int mu_spec_ps_order(const struct mu_spec *spec, int task);

/* What the command line adds to the environment. */
struct mu_spec_request {
    const char *cluster_path; /* --cluster FILE or NULL */
    const char *task;         /* --task worker/1 or NULL */
    /* --roles: how many of each role a launcher's ranks become, in the order of the roles; all
     * zeros: all are workers. */
    int counts[MU_ROLE_COUNT];
    bool task_optional; /* for tools: where nobody says which task this is, `self` is -1 */
    /* Reads the environment; NULL: getenv. For tests. */
    const char *(*environment)(void *owner, const char *name);
    void *owner;
};

/*
 * Finds the spec: command line, MUSTER_CLUSTER / MUSTER_TASK, TF_CONFIG, CLUSTER_SPEC, SageMaker,
 * torchrun, Slurm, Open MPI or PMIx, local; checks every rule; two sources that disagree about role
 * or rank are an error that names both. Nothing given: `local` is set where `allow_local`, else
 * MU_E0101. Takes under 100 ms whatever the text. Status: CONFIG, NO_INPUT, NO_MEMORY.
 */
enum mu_status mu_spec_load(struct mu_log *log, const struct mu_spec_request *request,
    bool allow_local, struct mu_spec *ret_spec);
/* The same from one text, for tests and tools. Where neither the text nor `task` says which task
 * this is, `self` is -1. */
enum mu_status mu_spec_parse(struct mu_log *log, const char *origin, const char *text, size_t bytes,
    const char *task, struct mu_spec *ret_spec);
/* The same where flags of a tool have the addresses, in the order of the roles. `example` is of
 * such flags, for messages. */
enum mu_status mu_spec_from_flags(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, const char *task, const char *example,
    struct mu_spec *ret_spec);
/* A spec of tasks on 127.0.0.1 (or other names) with the given ports, for launchers and the
 * simulator: counts by role; address i of the task array is base host, ports[i]. */
enum mu_status mu_spec_make(struct mu_log *log, const int counts[MU_ROLE_COUNT], const char *host,
    const int *ports, struct mu_spec *ret_spec);
/* The same where every task has its own address, in the order of the roles. `self` may be -1. */
enum mu_status mu_spec_from_addresses(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, int self, const char *origin, struct mu_spec *ret_spec);
void mu_spec_finish(struct mu_spec *spec); /* takes a zeroed one */

/* A launcher that numbers the processes it starts. */
struct mu_launcher {
    const char *name;          /* "Open MPI" */
    const char *rank_variable; /* "OMPI_COMM_WORLD_RANK" */
    int rank;                  /* -1: it does not say */
    int size;                  /* 0: it does not say */
};
/* True where Open MPI started this process with others, or another launcher that speaks PMIx did,
 * and neither the command line nor the environment has a cluster: the ranks must tell each other
 * their addresses. */
bool mu_spec_needs_exchange(
    const struct mu_spec_request *request, struct mu_launcher *ret_launcher);

/* The spec of tasks that have told each other their addresses, in the order of the roles. The rank
 * says which task this is; --task and MUSTER_TASK must say the same. */
enum mu_status mu_spec_from_exchange(struct mu_log *log, const struct mu_spec_request *request,
    const int counts[MU_ROLE_COUNT], const struct mu_address *addresses, struct mu_spec *ret_spec);
/* True where a launcher started this process as one of several. */
bool mu_spec_launched(const struct mu_spec_request *request, struct mu_launcher *ret_launcher);

/* {"cluster":{...}} without task, canonical: what hash is taken over and what is compared when two
 * tasks disagree. The evaluator is left out: it may be listed or not. */
void mu_spec_write(const struct mu_spec *spec, struct mu_text *out);
/* A whole TF_CONFIG for one task. */
void mu_spec_write_tf_config(const struct mu_spec *spec, int task, struct mu_text *out);
/* Two lines, "- ..." and "+ ...", of the first role whose tasks differ between two canonical
 * texts; "" if they are equal. */
void mu_spec_difference(const char *ours, const char *theirs, struct mu_text *out);

/* "host:port", "[::1]:2222" -> address, lower case; false with the reason in words. A NULL reason
 * is not told. */
bool mu_address_parse(
    const char *text, struct mu_address *ret_address, char *reason, size_t reason_bytes);
void mu_address_format(const struct mu_address *address, char *out, size_t bytes);
bool mu_address_is_loopback(const struct mu_address *address);

/* "chief=1,worker=3,ps=2,evaluator=1", or "3" for three workers -> counts; USAGE (MU_E0001) naming
 * `flag`. */
enum mu_status mu_spec_parse_counts(
    struct mu_log *log, const char *flag, const char *text, int ret_counts[MU_ROLE_COUNT]);

#endif
