/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_ROUTE_H
#define MU_COLLECTIVES_ROUTE_H

#include "collectives/transport/transport.h"

extern const struct mu_transport_ops mu_route_ops;

#endif
