/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithm.h"
#include "collectives/ring.h"

const struct mu_algorithm *const mu_algorithms[] = {&mu_ring, NULL};
