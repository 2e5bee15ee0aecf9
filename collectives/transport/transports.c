/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi_transport.h"
#include "collectives/transport/inproc.h"
#include "collectives/transport/route.h"
#include "collectives/transport/shm.h"
#include "collectives/transport/tcp.h"

const struct mu_transport_ops *const mu_transports[] = {
    &mu_tcp_ops, &mu_shm_ops, &mu_route_ops, &mu_mpi_ops, &mu_inproc_ops, NULL};
