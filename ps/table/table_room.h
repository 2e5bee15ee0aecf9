/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_ROOM_H
#define MU_PS_TABLE_ROOM_H

#include "runtime/base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows that are all going to be there, which is asked before the first one is: memory that is
 * handed out but not there ends a process long after its start. */
struct mu_table_room {
    uint64_t rows;
    size_t stride; /* floats: width * (1 + slots) */
    bool dense;
    int tables; /* as many of them in this process: 2 with a standby's */
    uint64_t bytes_besides;
    const char *help; /* what would do; NULL: nothing */
};

/* NO_MEMORY: there is none for so many rows, or a table has no numbers for them; said, with `what`
 * that is: "ps/0: 5 rows". */
__attribute__((format(printf, 3, 4))) enum mu_status mu_table_room_check(
    const struct mu_table_room *room, struct mu_log *log, const char *what, ...);

#endif
