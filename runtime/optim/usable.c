/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/usable.h"
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 4        /* of a register that every processor has */
#define LOOK_AHEAD 512 /* elements: further than the processor itself looks */
#define MAGNITUDE UINT32_C(0x7fffffff)

typedef uint32_t lanes __attribute__((vector_size(LANES * sizeof(uint32_t))));

float mu_usable_limit(float scale)
{
    assert(isfinite(scale));
    return scale == 0 ? INFINITY : MU_USABLE_LIMIT / fabsf(scale);
}

/* The bits of floats order as their magnitudes do, infinity and NaN last. What lies between the
 * limit and the sign, added: what reaches the limit runs over into the sign. */
static inline uint32_t room_above(float limit)
{
    uint32_t bits;
    memcpy(&bits, &limit, sizeof(bits));
    return MAGNITUDE + 1 - bits;
}

static inline lanes sign_if_too_large(const float *at, uint32_t room)
{
    lanes bits;
    memcpy(&bits, at, sizeof(bits));
    return (bits & MAGNITUDE) + room;
}

/* By their bits, and not by arithmetic, which is slow for denormals. */
bool mu_usable_are(const float *elements, size_t count, float limit)
{
    assert(limit > 0);
    lanes even = {0}, odd = {0};
    uint32_t bits, any = 0, room = room_above(limit);
    size_t i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES) {
        const float *at = elements + i;
        __builtin_prefetch(at + LOOK_AHEAD);
        even |= sign_if_too_large(at, room) | sign_if_too_large(at + LANES, room);
        odd |= sign_if_too_large(at + 2 * LANES, room) | sign_if_too_large(at + 3 * LANES, room);
    }
    for (; i < count; i++) {
        memcpy(&bits, elements + i, sizeof(bits));
        any |= (bits & MAGNITUDE) + room;
    }
    even |= odd;
    for (size_t j = 0; j < LANES; j++)
        any |= even[j];
    return any <= MAGNITUDE;
}
