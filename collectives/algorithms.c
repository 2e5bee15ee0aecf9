/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithm.h"
#include "collectives/direct.h"
#include "collectives/doubling.h"
#include "collectives/halving.h"
#include "collectives/hierarchical.h"
#include "collectives/mpi_collectives.h"
#include "collectives/pairwise.h"
#include "collectives/ring.h"
#include "collectives/tree.h"
#include "collectives/tree_double.h"

const struct mu_algorithm *const mu_algorithms[] = {&mu_direct, &mu_ring, &mu_doubling, &mu_halving,
    &mu_tree, &mu_tree_double, &mu_pairwise, &mu_hierarchical, &mu_mpi_algorithm, NULL};
