/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank under mpirun that uses the public collectives over one transport: group_rank TRANSPORT
 * [WHAT [ALGORITHM]]. Without WHAT every operation is tried; with "differ" rank 0 asks for another
 * count than the others, all must be told, and their vectors stay as they were. Prints one line a
 * rank; exit 0 if all is as it should be.
 */
#include "muster/collectives.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 100003
#define RANKS_MAX 16

static struct mu_group *group;
static int rank, ranks;

static void check(const char *what, enum mu_status status, bool right)
{
    if (status == MU_OK && right)
        return;
    printf("rank %d: %s: %s\n", rank, what,
        status == MU_OK ? "a wrong result" : mu_group_error(group));
    exit(1);
}

static int sum_of_ranks(void)
{
    return ranks * (ranks - 1) / 2;
}

static void try_floats(void)
{
    static float x[COUNT];
    bool right = true;
    for (size_t count = 1; count <= COUNT; count = count * 7 + 3) {
        for (size_t i = 0; i < count; i++)
            x[i] = (float)((int)(i % 100) + rank);
        enum mu_status status = mu_group_allreduce(group, x, count, MU_FLOAT32, MU_SUM);
        for (size_t i = 0; i < count; i++)
            right &= x[i] == (float)((int)(i % 100) * ranks + sum_of_ranks());
        check("all-reduce of float32", status, right);
    }
}

static void try_other_types(void)
{
    int64_t whole[3] = {rank, -rank, 7};
    double real[2] = {rank, 1};
    uint16_t half[2] = {0x3f80, 0x4000}; /* bfloat16: 1 and 2 */
    check("int64, max", mu_group_allreduce(group, whole, 3, MU_INT64, MU_MAX), true);
    check("int64, max", MU_OK, whole[0] == ranks - 1 && whole[1] == 0 && whole[2] == 7);
    check("float64, mean", mu_group_allreduce(group, real, 2, MU_FLOAT64, MU_MEAN), true);
    check("float64, mean", MU_OK, real[0] * ranks == sum_of_ranks() && real[1] == 1);
    check("bfloat16, min", mu_group_allreduce(group, half, 2, MU_BFLOAT16, MU_MIN), true);
    check("bfloat16, min", MU_OK, half[0] == 0x3f80 && half[1] == 0x4000);
}

static void try_parts(void)
{
    int32_t x[2 * RANKS_MAX] = {0};
    size_t counts[RANKS_MAX];
    bool right = true;
    for (int r = 0; r < ranks; r++)
        counts[r] = 2;
    x[2 * rank] = rank;
    x[2 * rank + 1] = -rank;
    check("all-gather", mu_group_allgather(group, x, counts, MU_INT32), true);
    for (int r = 0; r < ranks; r++)
        right &= x[2 * r] == r && x[2 * r + 1] == -r;
    check("all-gather", MU_OK, right);
    check("reduce-scatter", mu_group_reduce_scatter(group, x, counts, MU_INT32, MU_SUM), true);
    check("reduce-scatter", MU_OK, x[2 * rank] == rank * ranks && x[2 * rank + 1] == -rank * ranks);
}

static void try_the_rest(void)
{
    int32_t x[RANKS_MAX], to[RANKS_MAX], root = ranks - 1;
    bool right = true;
    int32_t told = rank == root ? 42 : 0;
    check("broadcast", mu_group_broadcast(group, &told, 1, MU_INT32, root), true);
    check("broadcast", MU_OK, told == 42);
    for (int r = 0; r < ranks; r++)
        x[r] = 100 * rank + r;
    check("all-to-all", mu_group_alltoall(group, x, to, 1, MU_INT32), true);
    for (int r = 0; r < ranks; r++)
        right &= to[r] == 100 * r + rank;
    check("all-to-all", MU_OK, right);
    check("barrier", mu_group_barrier(group), true);
}

static void try_halves_of_the_group(void)
{
    struct mu_group *part = NULL;
    int32_t x = 1;
    check("split", mu_group_split(group, rank % 2, 0, &part), true);
    check("split", MU_OK, part != NULL);
    check("all-reduce of a part", mu_group_allreduce(part, &x, 1, MU_INT32, MU_SUM), true);
    check("all-reduce of a part", MU_OK, x == mu_group_size(part));
    mu_group_close(part);
}

static void differ(void)
{
    float x[2] = {1, 2};
    enum mu_status status = mu_group_allreduce(group, x, rank == 0 ? 1 : 2, MU_FLOAT32, MU_SUM);
    printf("rank %d, pid %d: %d: %s\n", rank, (int)getpid(), (int)status, mu_group_error(group));
    check("ranks that differ", MU_OK, status == MU_PROTOCOL);
    check("the vector of ranks that differ", MU_OK, x[0] == 1 && x[1] == 2);
}

int main(int argc, char **argv)
{
    const struct mu_group_options options = {.transport = argc > 1 ? argv[1] : NULL,
        .timeout_seconds = 20,
        .algorithm = argc > 3 ? argv[3] : NULL};
    if (mu_group_open(&options, &group) != MU_OK) {
        printf("%s\n", mu_group_error(NULL));
        return 1;
    }
    rank = mu_group_rank(group);
    ranks = mu_group_size(group);
    if (argc > 2 && strcmp(argv[2], "differ") == 0) {
        differ();
    } else {
        try_floats();
        try_other_types();
        try_parts();
        try_the_rest();
        try_halves_of_the_group();
        printf("rank %d of %d: all is right\n", rank, ranks);
    }
    mu_group_close(group);
    return 0;
}
