/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_LABELS_H
#define MU_DATA_LABELS_H

#include "runtime/base/log.h"
#include <stdint.h>

/*
 * Labels as text has them, turned to classes from 0. Files number their classes in three ways; auto
 * finds out which by what there is:
 *
 *   from_0   0, 1, ... k-1     there is a 0, or nothing but 1
 *   from_1   1, 2, ... k       the smallest is 1 or more
 *   signs    -1 and 1          there is a -1
 */
enum mu_labels_style {
    MU_LABELS_AUTO,
    MU_LABELS_FROM_0,
    MU_LABELS_FROM_1,
    MU_LABELS_SIGNS,
    MU_LABELS_STYLES
};
#define MU_LABELS_CHOICES "auto|from_0|from_1|signs" /* in the order of the styles */
#define MU_LABELS_CLASSES_MAX (1 << 20)

struct mu_labels {
    enum mu_labels_style style;
    int64_t class_count;               /* 0: as many as are found, two or more */
    int64_t least, most;               /* seen */
    uint64_t count, least_at, most_at; /* records seen, and which had these */
    uint64_t zero_count, zero_at;      /* those that have a 0, and the first of them */
};

/* A whole number, perhaps with a sign and a fraction of zeros ("1", "-1", "+1", "2.0"): where it
 * ends; NULL: it is none, or is out of every range. Reads MU_DECIMAL_PAD bytes. */
const char *mu_labels_parse(const char *at, int64_t *ret_label);

void mu_labels_see(struct mu_labels *labels, int64_t label);
/* After all were seen: settles style and class_count. MU_E0503 naming `name` and the record. */
enum mu_status mu_labels_decide(struct mu_labels *labels, struct mu_log *log, const char *name);
/* In place of deciding, for test data: they are numbered as the data to train with, which have been
 * decided. The same error. */
enum mu_status mu_labels_adopt(struct mu_labels *labels, const struct mu_labels *trained,
    struct mu_log *log, const char *name);
/* After that: the class; -1: it is none. */
int32_t mu_labels_class(const struct mu_labels *labels, int64_t label);

#endif
