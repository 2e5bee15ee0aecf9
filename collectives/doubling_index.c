/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/doubling_index.h"

int mu_doubling_rounds(int ranks)
{
    int rounds = 0;
    while (1 << rounds < ranks)
        rounds++;
    return rounds;
}

int mu_doubling_core(int ranks)
{
    int core = 1;
    while (2 * core <= ranks)
        core *= 2;
    return core;
}

struct mu_doubling_round mu_doubling_round(int ranks, int rank, int round)
{
    int has = 1 << round, missing = ranks - has;
    return (struct mu_doubling_round){
        .to = (rank - has + ranks) % ranks,
        .from = (rank + has) % ranks,
        .has = has,
        .moves = has < missing ? has : missing,
    };
}
