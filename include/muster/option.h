/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_OPTION_H
#define MUSTER_OPTION_H

#include <stddef.h>
#include <stdint.h>

/*
 * One row an option: name, type, range, default, doc. Help, checking, the man page and completion
 * come from the same rows. Rows end with one whose name is NULL.
 */
enum mu_option_type {
    MU_OPTION_BOOL,     /* field: bool */
    MU_OPTION_INTEGER,  /* field: int64_t, min..max, or -1 by the word that `choices` has */
    MU_OPTION_REAL,     /* field: double, min..max or the same; NaN and infinity are refused */
    MU_OPTION_STRING,   /* field: char[bytes], NUL-terminated; `bytes` says its capacity */
    MU_OPTION_CHOICE,   /* field: int, the index into `choices` */
    MU_OPTION_INTEGERS, /* field: struct mu_integers; min..max hold for every element */
};

#define MU_INTEGERS_MAX 16

struct mu_integers {
    int count;
    int64_t value[MU_INTEGERS_MAX];
};

struct mu_option {
    const char *name;
    enum mu_option_type type;
    size_t offset;        /* of the field in the driver's option struct */
    size_t bytes;         /* capacity of a string, else 0 */
    double min, max;      /* inclusive; both 0: no range */
    const char *fallback; /* the default, as it would be typed; NULL: the option is required */
    const char *choices;  /* for CHOICE: "a|b|c"; for numbers: NULL, or "auto", which is -1 */
    const char *doc;      /* one line, lower case, with the unit */
};

#endif
