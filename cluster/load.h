/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_LOAD_H
#define MU_CLUSTER_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a parameter server has to do and what it keeps, as numbers with names: what heartbeats carry
 * to the leader, and what status.json, metrics.jsonl, event files and summary.json call them. A new
 * number is a row here, at the end, and a line where the server fills it in
 * (roles/server/ps_load.c).
 */
#define MU_LOAD_ROWS(ROW)                                                                          \
    ROW(REQUESTS, "requests", true)            /* pushes and pulls */                              \
    ROW(BYTES_IN, "bytes_in", true)            /* from workers, frames and all */                  \
    ROW(BYTES_OUT, "bytes_out", true)          /* to them */                                       \
    ROW(ROWS_GIVEN, "rows_given", true)        /* embedding rows with a gradient */                \
    ROW(ROWS_WANTED, "rows_wanted", true)      /* and those that were answered */                  \
    ROW(DENSE_BYTES, "dense_bytes", false)     /* parameters and slots of its span */              \
    ROW(ROWS, "rows", false)                   /* in its embedding table */                        \
    ROW(ROW_BYTES, "row_bytes", false)         /* of memory for them */                            \
    ROW(ROWS_EVICTED, "rows_evicted", false)   /* that have left for others */                     \
    ROW(MEMORY_BYTES, "memory_bytes", false)   /* all that it has allocated, links left out */     \
    ROW(GRADIENTS, "gradients", true)          /* judged, not refused */                           \
    ROW(STALENESS_SUM, "staleness_sum", false) /* of these */                                      \
    ROW(STALENESS_MAX, "staleness_max", false)                                                     \
    ROW(HELD, "held", false)     /* answers that the mode holds back */                            \
    ROW(UNREAD, "unread", false) /* answers that their workers have not read */                    \
    ROW(UNREAD_BYTES, "unread_bytes", false)                                                       \
    ROW(CUT_OFF, "cut_off", false) /* workers whose link it has ended */                           \
    /* What `auto` has chosen, on the head; gains in thousandths, 0: there is none yet. */         \
    ROW(AUTO_WORKERS, "auto_workers", false) /* of `sync`; else 0 */                               \
    ROW(AUTO_BOUND, "auto_bound", false)     /* of `bounded` */                                    \
    ROW(AUTO_PREDICTED, "auto_predicted_permille", false)                                          \
    ROW(AUTO_MEASURED, "auto_measured_permille", false)                                            \
    ROW(REFUSED, "refused", true) /* not among `gradients` */

#define MU_LOAD_ENUM(name, text, has_rate) MU_LOAD_##name,
enum mu_load_row { MU_LOAD_ROWS(MU_LOAD_ENUM) MU_LOAD_COUNT };
#undef MU_LOAD_ENUM

struct mu_load {
    int64_t value[MU_LOAD_COUNT];
};

const char *mu_load_name(enum mu_load_row row); /* "bytes_in" */
/* Does it only grow, and is its difference over a time worth a look? */
bool mu_load_has_rate(enum mu_load_row row);
/* The most of `count` values by their mean: 1 is even; NaN: there is nothing. */
double mu_load_balance(const int64_t *values, int count);

#endif
