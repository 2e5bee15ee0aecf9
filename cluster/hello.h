/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_HELLO_H
#define MU_CLUSTER_HELLO_H

#include "cluster/spec.h"
#include "runtime/io/link.h"

/*
 * The first frame on every link, both ways: who I am and what I run. Fields that a version does not
 * know are ignored: the place where authentication will go.
 */
#define MU_LINK_KIND_ROWS(ROW)                                                                     \
    ROW(CONTROL) /* member to leader: membership, heartbeats, start and end */                     \
    ROW(PROBE)   /* are you there, and are you you? closed after the hello */                      \
    ROW(RING)    /* replica to replica: collectives */                                             \
    ROW(PUSH)    /* worker to parameter server */                                                  \
    ROW(ORDER)   /* parameter server to head and deputy */                                         \
    ROW(STATE)   /* leader to parameter server: snapshots and restoring */

#define MU_LINK_KIND_ENUM(name) MU_KIND_##name,
enum mu_link_kind { MU_LINK_KIND_ROWS(MU_LINK_KIND_ENUM) MU_KIND_COUNT };
#undef MU_LINK_KIND_ENUM

#define MU_HELLO_SPEC_MAX 8192
#define MU_HELLO_JOB_MAX 4096
#define MU_HELLO_HOST_MAX 64

struct mu_hello {
    enum mu_link_kind kind;
    enum mu_role role;
    int index;
    uint64_t spec_hash;
    uint64_t job_hash;
    uint32_t layout_crc32c;
    uint32_t data_crc32c; /* 0: this task reads no training data */
    uint64_t incarnation; /* drawn at the start of the process */
    uint64_t run;         /* 0 before the start */
    uint32_t lane;        /* which of several links of one kind it is */
    uint32_t generation;  /* in which the link is to be used; 0: in any */
    int process;
    char host[MU_HELLO_HOST_MAX];
    int64_t started_wall_ns;
    /* For the difference; "" if they do not fit. */
    char spec[MU_HELLO_SPEC_MAX]; /* canonical */
    char job[MU_HELLO_JOB_MAX]; /* what must agree, as JSON: {"optimizer":{"kind":"sgd",...},...} */
};

void mu_hello_send(struct mu_link *link, const struct mu_hello *hello);
/* From the frame at hand. PROTOCOL if a field is absent or out of range. */
enum mu_status mu_hello_read(
    struct mu_link *link, const void *body, size_t bytes, struct mu_hello *ret_hello);

/* Why a link is not welcome. */
#define MU_REFUSAL_TEXT_MAX 1024
#define MU_REFUSAL_HELP_MAX 256
struct mu_refusal {
    enum mu_error error;
    char text[MU_REFUSAL_TEXT_MAX];
    char help[MU_REFUSAL_HELP_MAX]; /* what to type, if it is not what the error says; "" */
    bool passes;                    /* call again: who refuses is about to end, or is not sure */
};
void mu_refusal_send(struct mu_link *link, const struct mu_refusal *refusal);
enum mu_status mu_refusal_read(
    struct mu_link *link, const void *body, size_t bytes, struct mu_refusal *ret_refusal);

/* Do the two belong to one run? false: the reason, seen from `ours`. */
bool mu_hello_agrees(
    const struct mu_hello *ours, const struct mu_hello *theirs, struct mu_refusal *ret_refusal);

/* Two jobs as text, and whose they are. `theirs` may be anything. */
struct mu_hello_sides {
    const char *ours, *theirs, *our_name, *their_name;
};
/* "optimizer.learning_rate: 0.05 on chief/0, 0.1 on worker/1": the first key in which the two jobs
 * differ. False: it cannot be told. */
bool mu_hello_job_difference(const struct mu_hello_sides *sides, struct mu_text *out);

#endif
