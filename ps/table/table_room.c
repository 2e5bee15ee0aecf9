/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_room.h"
#include "ps/table/table.h"
#include "ps/table/table_blocks.h"
#include "runtime/base/free_memory.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define WHAT_BYTES 256

/* In floating point: no number of rows that a job may say is too large for it. */
static double bytes_of(const struct mu_table_room *room)
{
    double row_bytes = (double)mu_table_bytes_of(1, room->stride, room->dense);
    return (double)room->tables * (double)room->rows * row_bytes + (double)room->bytes_besides;
}

enum mu_status mu_table_room_check(
    const struct mu_table_room *room, struct mu_log *log, const char *what, ...)
{
    char text[WHAT_BYTES];
    double bytes = bytes_of(room), free_bytes = (double)mu_free_memory_bytes();
    va_list values;
    assert(room->tables > 0);
    if (room->rows <= MU_TABLE_ROWS_MAX && bytes <= free_bytes)
        return MU_OK;
    va_start(values, what);
    vsnprintf(text, sizeof(text), what, values);
    va_end(values);
    return mu_fail(log, MU_E0801, room->help, "%s take %.1f GB; %.1f GB are free", text,
        bytes / 1e9, free_bytes / 1e9);
}
