/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_POLICY_H
#define MUSTER_POLICY_H

#include "muster/option.h"
#include <stdbool.h>
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
    ROW(DROP, "drop")       /* not at all: it is too late */                                       \
    ROW(REFUSE, "refuse")   /* it is no gradient: NaN, another length, out of turn */

#define MU_VERDICT_ENUM(name, text) MU_VERDICT_##name,
enum mu_verdict { MU_VERDICT_ROWS(MU_VERDICT_ENUM) MU_VERDICT_COUNT };
#undef MU_VERDICT_ENUM

/* One push as its judges see it. */
struct mu_push_facts {
    int worker;            /* replica number */
    int replica_count;     /* that push */
    uint64_t version_seen; /* of the parameters the gradient was computed with */
    uint64_t version;      /* now */
    uint64_t staleness;    /* version - version_seen */
    uint64_t bound;        /* mode.bound of the job */
    bool has_seen;         /* the servers still have the parameters of version_seen */
    /* For the mode, which gathers gradients and lets workers wait. */
    bool is_flawed;   /* it is refused whatever else is true */
    bool warming_up;  /* one worker trains, the others wait */
    int gathered;     /* gradients in the step that is being gathered, without this one */
    int active_count; /* replicas that go on: all but those that have left */
    uint64_t clock;   /* gradients of this worker, with this one, since all workers train */
};

struct mu_judgement {
    enum mu_verdict verdict;
    float scale; /* SCALE: multiplies the learning rate; else the gradient; 0 for DROP */
};

/* A block of a span, or an embedding row, whose gradient is to be corrected before the optimizer
 * sees it. */
struct mu_correct_block {
    size_t count;
    float *gradients;        /* in: as the worker sent them; out: corrected, and scaled */
    float scale;             /* multiplies the gradients first: clipping */
    const float *parameters; /* now */
    const float *seen;       /* that the gradients were computed with */
    /* Of the policy's own, zeros at the start; one for all workers. Of a row: NULL unless the
     * policy `adapts`. */
    float *mean_square;
};

/* Pure: no clock, no I/O, no allocation. */
struct mu_policy_ops {
    const char *name; /* "drop" */
    const char *doc;
    const struct mu_option *options;
    size_t option_bytes;
    struct mu_judgement (*judge)(const void *options, const struct mu_push_facts *push);
    /* What CORRECT does, element by element. NULL: the policy never gives it. If it is there, the
     * servers keep the parameters that each worker computes with. */
    void (*correct)(const void *options, const struct mu_correct_block *block);
    /* Does `correct` use mean_square with these options? Then each embedding row has one. NULL: no.
     */
    bool (*adapts)(const void *options);
};

#endif
