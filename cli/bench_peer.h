/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_BENCH_PEER_H
#define MU_CLI_BENCH_PEER_H

#include "cli/bench_crew.h"

/* The name that --peer gives; NULL: none. */
const char *mu_bench_peer_name(const struct mu_cmd_bench_allreduce_options *options);
/* Starts the peer that --peer names, over what --transport names: bench/peer_mpi.c under mpirun, or
 * bench/peer_gloo.py. UNAVAILABLE (MU_E0802) if this machine or this build does not have it. */
enum mu_status mu_bench_peer_start(
    struct mu_bench_crew *crew, const struct mu_cmd_bench_allreduce_options *options);
/* Our own ranks under mpirun, for --transport mpi: they call crew->socket. */
enum mu_status mu_bench_peer_start_ours(struct mu_bench_crew *crew, char *const *arguments);

#endif
