/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include <math.h>
#include <string.h>

const struct mu_algorithm *mu_choose(struct mu_group *group, const struct mu_request *request)
{
    const struct mu_algorithm *best = NULL;
    double least = INFINITY;
    for (int i = 0; mu_algorithms[i]; i++) {
        const struct mu_algorithm *algorithm = mu_algorithms[i];
        const char *why = NULL;
        if (!(algorithm->kinds & 1u << request->kind))
            continue;
        if (group->forced && algorithm != group->forced)
            continue;
        double score = algorithm->score(group, request, &why);
        if (score < least) {
            least = score;
            best = algorithm;
        }
    }
    return best;
}

int mu_choose_place(const struct mu_algorithm *algorithm)
{
    int place = 0;
    while (mu_algorithms[place] != algorithm)
        place++;
    return place;
}

const struct mu_algorithm *mu_choose_find(const char *name)
{
    for (int i = 0; mu_algorithms[i]; i++)
        if (strcmp(mu_algorithms[i]->name, name) == 0)
            return mu_algorithms[i];
    return NULL;
}
