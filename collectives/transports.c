/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/inproc.h"
#include "collectives/mpi_transport.h"
#include "collectives/route.h"
#include "collectives/shm.h"
#include "collectives/tcp.h"

const struct mu_transport_ops *const mu_transports[] = {
    &mu_tcp_ops, &mu_shm_ops, &mu_route_ops, &mu_mpi_ops, &mu_inproc_ops, NULL};
