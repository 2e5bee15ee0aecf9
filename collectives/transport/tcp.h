/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TCP_H
#define MU_COLLECTIVES_TCP_H

#include "collectives/transport/transport.h"

extern const struct mu_transport_ops mu_tcp_ops;

#endif
