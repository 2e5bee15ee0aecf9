/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_SPEC_INSIDE_H
#define MU_CLUSTER_SPEC_INSIDE_H

#include "cluster/spec.h"

/*
 * Between the files of the spec: text -> draft -> checked draft -> spec.
 *
 *   spec_load.c    which source has the cluster, which say who this task is, do they agree
 *   sources.c      what each launcher says in its environment variables
 *   spec_slurm.c   Slurm's compressed lists of hosts and counts
 *   spec_parse.c   JSON -> draft
 *   spec_check.c   the rules about a whole draft
 *   spec.c         draft -> spec, and finding tasks in it
 *   spec_write.c   spec -> JSON
 */
#define MU_SPEC_PATH_MAX 48
#define MU_SPEC_PORT_BASE                                                                          \
    29400 /* where launchers name hosts but no ports; torchrun's choice too                        \
           */

/* A task with the place it came from: "cluster.worker[1]", "cluster.worker.1"; "" for none. */
struct mu_spec_entry {
    struct mu_task task;
    char path[MU_SPEC_PATH_MAX];
};

struct mu_spec_draft {
    struct mu_json *json; /* NULL: it was not written as JSON */
    struct mu_spec_entry *entry;
    int count;
    char origin[64];
    const char *example; /* how such a thing is given that is not written as JSON; NULL: as JSON */
    bool has_task;       /* the text says which task this is */
    enum mu_role role;
    int index;
};

void mu_spec_draft_finish(struct mu_spec_draft *draft); /* takes a zeroed one */

/* Everything but the meaning of the whole. */
enum mu_status mu_spec_draft_parse(struct mu_log *log, const char *origin, const char *text,
    size_t bytes, struct mu_spec_draft *ret_draft);
/* `variable`: of the environment, that has the path; NULL: none. */
enum mu_status mu_spec_draft_file(
    struct mu_log *log, const char *variable, const char *path, struct mu_spec_draft *ret_draft);
/* From counts and addresses in the order of the roles. */
enum mu_status mu_spec_draft_make(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, const char *origin, struct mu_spec_draft *ret_draft);

/* The rules about the whole cluster; sorts the entries by role and index. */
enum mu_status mu_spec_check(struct mu_log *log, struct mu_spec_draft *draft);
/* Is (role, index) a task of this cluster? Says under `where` (a path, "--task") if not. An
 * evaluator may stand outside. */
enum mu_status mu_spec_check_task(struct mu_log *log, const struct mu_spec_draft *draft,
    enum mu_role role, int index, const char *where);
/* "chief and worker/0..2"; for messages. */
void mu_spec_describe_tasks(const struct mu_spec_draft *draft, char *out, size_t bytes);
/* Position of a task among the sorted entries, or -1. */
int mu_spec_draft_find(const struct mu_spec_draft *draft, enum mu_role role, int index);

/* The spec of a checked draft; `has_task` false: self is -1. NO_MEMORY. */
enum mu_status mu_spec_assemble(struct mu_log *log, const struct mu_spec_draft *draft,
    bool has_task, enum mu_role role, int index, struct mu_spec *ret_spec);

/* mu_fail_at where the draft is a JSON text, else mu_fail. */
__attribute__((format(printf, 7, 8))) enum mu_status mu_spec_fail(struct mu_log *log,
    enum mu_error error, const struct mu_spec_draft *draft, const char *path, const char *expected,
    const char *help, const char *format, ...);

/* "master" and "workerpool1" are known too. False if it is no role. */
bool mu_spec_role_parse(const char *name, enum mu_role *ret_role);
/* Keys and types that people write, nearest first; NULL if none is near. */
const char *mu_spec_role_nearest(const char *name);

/* What the environment says. */
const char *mu_sources_get(const struct mu_spec_request *request, const char *name);
#define MU_LAUNCHERS_MAX 4
/* The launchers that number this process among others, in order of precedence. CONFIG if what they
 * say is not a number or makes no sense. */
enum mu_status mu_sources_launchers(struct mu_log *log, const struct mu_spec_request *request,
    struct mu_launcher ret_launcher[MU_LAUNCHERS_MAX], int *ret_count);
/* The cluster that SageMaker or Slurm describes; count 0 if they do not. */
enum mu_status mu_sources_sagemaker(
    struct mu_log *log, const struct mu_spec_request *request, struct mu_spec_draft *ret_draft);
enum mu_status mu_sources_slurm(struct mu_log *log, const struct mu_spec_request *request,
    const struct mu_launcher *launcher, struct mu_spec_draft *ret_draft);

/* "n[1-3,5],m7" -> up to `most` names on the heap (free); -1 with the reason in words. */
int mu_spec_slurm_hosts(
    const char *list, int most, char (**ret_hosts)[MU_HOST_MAX], char *reason, size_t reason_bytes);
/* "5,4(x3)" -> 5 4 4 4; -1 if it is no such thing or has more than `most` numbers. */
int mu_spec_slurm_counts(const char *list, int most, int *ret_counts);

#endif
