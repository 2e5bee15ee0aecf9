/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_ROW_PART_H
#define MU_ROLES_ROW_PART_H

#include "runtime/base/status.h"
#include <stddef.h>

/*
 * Bytes that come in many small pieces and go on in long stretches, in the same order: of 1 MiB, or
 * of one piece where that is longer.
 */
#define MU_ROW_PART_BYTES ((size_t)1 << 20)

/* Takes the next bytes. */
typedef enum mu_status mu_row_part_take(void *owner, const void *data, size_t bytes);

struct mu_row_part {
    mu_row_part_take *take;
    void *owner;
    char *data; /* (room) */
    size_t room, filled;
};

/* No piece is longer than `piece_max` bytes, or MU_ROW_PART_BYTES if that is more. NO_MEMORY. */
enum mu_status mu_row_part_init(
    struct mu_row_part *part, size_t piece_max, mu_row_part_take *take, void *owner);
void mu_row_part_finish(struct mu_row_part *part); /* takes a zeroed one; what is in it is lost */
/* Both fail with what `take` returns. */
enum mu_status mu_row_part_add(struct mu_row_part *part, const void *data, size_t bytes);
enum mu_status mu_row_part_flush(struct mu_row_part *part); /* nothing is left in it */

#endif
