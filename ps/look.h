/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_LOOK_H
#define MU_PS_LOOK_H

#include "ps/ps_bodies.h"

/* What is wrong with these elements of a gradient, whose scale is finite: NONE, NOT_FINITE or
 * LARGE. Where nothing is, it costs one look (runtime/optim/usable.h). */
enum mu_ps_flaw mu_look_at(const float *elements, size_t count, float scale);

#endif
