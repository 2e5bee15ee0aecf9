/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHM_H
#define MU_COLLECTIVES_SHM_H

#include "collectives/transport/transport.h"

extern const struct mu_transport_ops mu_shm_ops;

#endif
