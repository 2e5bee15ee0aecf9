/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_POLICY_H
#define MUSTER_POLICY_H

#include "muster/option.h"
#include <stdint.h>

/*
 * What becomes of a gradient. It is judged once, whole: the same verdict holds on all shards, and
 * it goes back to the worker that sent it.
 */
#define MU_VERDICT_ROWS(ROW)                                                                       \
    ROW(APPLY, "apply")     /* as it is */                                                         \
    ROW(SCALE, "scale")     /* with a smaller learning rate */                                     \
    ROW(CORRECT, "correct") /* compensated for the distance moved since it was computed */         \
    ROW(GATHER, "gather")   /* added to others; applied when enough have come */                   \
    ROW(DROP, "drop")       /* not at all */

#define MU_VERDICT_ENUM(name, text) MU_VERDICT_##name,
enum mu_verdict { MU_VERDICT_ROWS(MU_VERDICT_ENUM) MU_VERDICT_COUNT };
#undef MU_VERDICT_ENUM

/* One push as its judge sees it. */
struct mu_push_facts {
    int worker;            /* replica number */
    int replica_count;     /* that push */
    uint64_t version_seen; /* of the parameters the gradient was computed with */
    uint64_t version;      /* now */
    uint64_t staleness;    /* version - version_seen */
};

struct mu_judgement {
    enum mu_verdict verdict;
    float scale; /* multiplies the gradient; 1 for APPLY, 0 for DROP */
};

/* Pure: no clock, no I/O, no allocation. */
struct mu_policy_ops {
    const char *name; /* "drop" */
    const char *doc;
    const struct mu_option *options;
    size_t option_bytes;
    struct mu_judgement (*judge)(const void *options, const struct mu_push_facts *push);
};

#endif
