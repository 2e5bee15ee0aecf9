/* SPDX-License-Identifier: Apache-2.0 */
/* Every rank brings a vector, and all end with the sum. Start it with TF_CONFIG, or under mpirun:
 *     cc -o allreduce allreduce.c $(pkg-config --cflags --libs --static muster)
 *     mpirun -n 4 ./allreduce */
#include <muster/collectives.h>
#include <stdio.h>
#include <stdlib.h>

static void check(enum mu_status status, const struct mu_group *group)
{
    if (status != MU_OK) {
        fprintf(stderr, "%s\n", mu_group_error(group));
        exit(1);
    }
}

int main(void)
{
    enum { COUNT = 1 << 20 };
    struct mu_group *group;
    check(mu_group_open(NULL, &group), NULL);
    int rank = mu_group_rank(group), ranks = mu_group_size(group);

    float *x = mu_group_alloc(group, COUNT * sizeof(*x)); /* malloc would do */
    check(x ? MU_OK : MU_NO_MEMORY, group);
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(rank + i % 100);
    check(mu_group_allreduce(group, x, COUNT, MU_FLOAT32, MU_SUM), group);

    int wrong = 0;
    for (int i = 0; i < COUNT; i++)
        wrong += x[i] != (float)(ranks * (ranks - 1) / 2 + ranks * (i % 100));
    printf("rank %d of %d: %d of %d sums are right\n", rank, ranks, COUNT - wrong, COUNT);

    mu_group_free(group, x);
    mu_group_close(group);
    return wrong != 0;
}
