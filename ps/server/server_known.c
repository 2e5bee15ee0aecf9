/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_known.h"
#include <assert.h>
#include <stdlib.h>

enum mu_status mu_ps_known_init(struct mu_ps_known *known, size_t capacity)
{
    assert(capacity > 0);
    *known = (struct mu_ps_known){.capacity = capacity};
    known->places = calloc(capacity, sizeof(*known->places));
    return known->places ? MU_OK : MU_NO_MEMORY;
}

void mu_ps_known_finish(struct mu_ps_known *known)
{
    free(known->places);
    *known = (struct mu_ps_known){0};
}

void mu_ps_known_add(
    struct mu_ps_known *known, uint64_t tag, const struct mu_ps_verdict_body *verdict)
{
    if (known->places)
        known->places[known->next % known->capacity] =
            (struct mu_ps_known_place){.tag = tag, .verdict = *verdict};
    known->next++;
}

bool mu_ps_known_since(const struct mu_ps_known *known, uint64_t place)
{
    return place <= known->next && known->next - place <= known->capacity;
}

const struct mu_ps_known_place *mu_ps_known_at(const struct mu_ps_known *known, uint64_t place)
{
    assert(known->places);
    assert(place < known->next);
    assert(mu_ps_known_since(known, place));
    return &known->places[place % known->capacity];
}
