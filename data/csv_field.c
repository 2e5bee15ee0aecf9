/* SPDX-License-Identifier: Apache-2.0 */
#include "data/csv_field.h"

#include <string.h>

/* What follows a field: a separator, or the end. */
static bool leave(struct mu_csv_record *record, const char *after)
{
    record->at = after;
    record->more = after < record->end;
    if (!record->more)
        return true;
    if (*after != record->separator)
        return false;
    record->at++;
    return true;
}

static bool next_quoted(struct mu_csv_record *record, struct mu_csv_field *ret_field)
{
    const char *text = record->at + 1, *at = text;
    ret_field->doubled = false;
    while ((at = memchr(at, '"', (size_t)(record->end - at)))) {
        if (at + 1 == record->end || at[1] != '"') {
            ret_field->text = text;
            ret_field->bytes = (size_t)(at - text);
            return leave(record, at + 1);
        }
        ret_field->doubled = true;
        at += 2;
    }
    return false; /* not closed */
}

bool mu_csv_field_next(struct mu_csv_record *record, struct mu_csv_field *ret_field)
{
    const char *at = record->at;
    if (record->quotes && at < record->end && *at == '"')
        return next_quoted(record, ret_field);
    while (at < record->end && *at != record->separator && !(record->quotes && *at == '"'))
        at++;
    *ret_field = (struct mu_csv_field){.text = record->at, .bytes = (size_t)(at - record->at)};
    return leave(record, at);
}
