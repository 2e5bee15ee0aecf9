/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/halving_index.h"

bool mu_halving_fits(int ranks)
{
    return (ranks & (ranks - 1)) == 0;
}

struct mu_halving_step mu_halving_step(int rank, int distance)
{
    int peer = rank ^ distance;
    return (struct mu_halving_step){
        .peer = peer,
        .sent = {peer & ~(distance - 1), distance},
        .kept = {rank & ~(distance - 1), distance},
    };
}
