/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/pairwise_index.h"
#include "collectives/halving_index.h"

int mu_pairwise_to(int ranks, int rank, int step)
{
    return mu_halving_fits(ranks) ? rank ^ step : (rank + step) % ranks;
}

int mu_pairwise_from(int ranks, int rank, int step)
{
    return mu_halving_fits(ranks) ? rank ^ step : (rank - step + ranks) % ranks;
}
