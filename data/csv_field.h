/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_CSV_FIELD_H
#define MU_DATA_CSV_FIELD_H

#include <stdbool.h>
#include <stddef.h>

/* The fields of one record of separated values, as RFC 4180 (Shafranovich 2005) has them: a field
 * may be in double quotes, and holds separators, newlines and doubled quotes then. */
struct mu_csv_field {
    const char *text; /* between the quotes */
    size_t bytes;
    bool doubled; /* it has doubled quotes */
};

struct mu_csv_record {
    const char *at, *end; /* what is left */
    char separator;
    bool quotes; /* a double quote is one; else it is text like any other */
    bool more;   /* there is another field */
};

/* The next field; false: it is malformed, at record->at. */
bool mu_csv_field_next(struct mu_csv_record *record, struct mu_csv_field *ret_field);

#endif
