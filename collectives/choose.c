/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/doubling_index.h"
#include "collectives/group_agree.h"
#include "collectives/transport/tcp.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALGORITHMS_MAX 16

/* ---- one algorithm ---- */

/* Sums of rounded numbers; everything else comes out the same in any order. */
static bool order_counts(const struct mu_request *request)
{
    bool reduces = mu_request_reduces(request->kind);
    bool rounds = request->dtype == MU_FLOAT32 || request->dtype == MU_FLOAT64 ||
                  request->dtype == MU_FLOAT16 || request->dtype == MU_BFLOAT16;
    return reduces && rounds && (request->reduction == MU_SUM || request->reduction == MU_MEAN);
}

/* Seconds, or INFINITY and why not. */
static double rate(const struct mu_group *group, const struct mu_request *request,
    const struct mu_algorithm *algorithm, const char **ret_why)
{
    *ret_why = "cannot";
    if (!(algorithm->kinds & 1u << request->kind)) {
        *ret_why = "does other operations";
        return INFINITY;
    }
    if (group->deterministic && !algorithm->keeps_order && order_counts(request)) {
        *ret_why = "does not keep the order of rounding";
        return INFINITY;
    }
    double score = algorithm->score(group, request, ret_why);
    if (!algorithm->any_thread && mu_group_meets_first(group, algorithm, request))
        score += mu_doubling_rounds(group->count) * group->costs.message;
    return isnan(score) ? INFINITY : score;
}

/* A forced algorithm is for the kinds that it does; the rest are done as well as can be. */
static const struct mu_algorithm *forced_for(
    const struct mu_group *group, const struct mu_request *request)
{
    bool does = group->forced && group->forced->kinds & 1u << request->kind;
    return does ? group->forced : NULL;
}

static const struct mu_algorithm *find_best(
    const struct mu_group *group, const struct mu_request *request)
{
    const struct mu_algorithm *best = NULL;
    double least = INFINITY;
    const char *why;
    for (int i = 0; mu_algorithms[i]; i++) {
        double score = rate(group, request, mu_algorithms[i], &why);
        if (score < least) {
            least = score;
            best = mu_algorithms[i];
        }
    }
    return best;
}

/* ---- why not ---- */

/* "; ring, direct can" */
static void add_able(struct mu_group *group, const struct mu_request *request)
{
    const char *why;
    int able = 0;
    for (int i = 0; mu_algorithms[i]; i++)
        if (isfinite(rate(group, request, mu_algorithms[i], &why)))
            mu_group_add_error(group, "%s%s", able++ ? ", " : "; ", mu_algorithms[i]->name);
    mu_group_add_error(group, able ? " can" : "; no other can either");
}

static void add_reasons(struct mu_group *group, const struct mu_request *request)
{
    const char *why;
    for (int i = 0; mu_algorithms[i]; i++) {
        (void)rate(group, request, mu_algorithms[i], &why);
        mu_group_add_error(group, "%s%s %s", i ? "; " : ": ", mu_algorithms[i]->name, why);
    }
}

static void explain_failure(struct mu_group *group, const struct mu_request *request)
{
    const char *why = NULL;
    group->error[0] = '\0';
    if (forced_for(group, request)) {
        (void)rate(group, request, group->forced, &why);
        mu_group_add_error(group, "%s cannot do %s of %zu %s: it %s", group->forced->name,
            mu_request_kind_name(request->kind), request->count, mu_dtype_name(request->dtype),
            why);
        add_able(group, request);
    } else {
        mu_group_add_error(group, "no algorithm can do %s of %zu %s",
            mu_request_kind_name(request->kind), request->count, mu_dtype_name(request->dtype));
        add_reasons(group, request);
    }
}

/* ---- the choice ---- */

const struct mu_algorithm *mu_choose(struct mu_group *group, const struct mu_request *request)
{
    const char *why;
    const struct mu_algorithm *algorithm = forced_for(group, request);
    if (!algorithm)
        algorithm = find_best(group, request);
    else if (isinf(rate(group, request, algorithm, &why)))
        algorithm = NULL;
    if (!algorithm)
        explain_failure(group, request);
    return algorithm;
}

int mu_choose_place(const struct mu_algorithm *algorithm)
{
    int place = 0;
    while (mu_algorithms[place] && mu_algorithms[place] != algorithm)
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

bool mu_choose_adds(const char *name, struct mu_text *why)
{
    const struct mu_algorithm *algorithm = mu_choose_find(name);
    assert(algorithm);
    if (algorithm->kinds & 1u << MU_ALLREDUCE)
        return true;
    mu_text_add(why, "it does other operations; ");
    int able = 0;
    for (int i = 0; mu_algorithms[i]; i++)
        if (mu_algorithms[i]->kinds & 1u << MU_ALLREDUCE)
            mu_text_add(why, "%s%s", able++ ? ", " : "", mu_algorithms[i]->name);
    mu_text_add(why, " add");
    return false;
}

bool mu_choose_foresee(
    const char *name, int count, bool deterministic, bool shares_memory, struct mu_text *why)
{
    /* Only that the memory is there is looked at: an algorithm reads it when it runs. */
    static char memory;
    struct mu_transport transport = {.ops = &mu_tcp_ops, .count = count};
    struct mu_group group = {.transport = &transport,
        .count = count,
        .deterministic = deterministic,
        .shared = shares_memory ? (struct mu_shared *)(void *)&memory : NULL};
    const struct mu_request gradient = {.kind = MU_ALLREDUCE, .count = (size_t)count};
    const struct mu_algorithm *algorithm = mu_choose_find(name);
    const char *lacks = NULL, *other = NULL;
    assert(algorithm);
    if (isfinite(rate(&group, &gradient, algorithm, &lacks)))
        return true;
    mu_text_add(why, "it %s; ", lacks);
    int able = 0;
    for (int i = 0; mu_algorithms[i]; i++)
        if (isfinite(rate(&group, &gradient, mu_algorithms[i], &other)))
            mu_text_add(why, "%s%s", able++ ? ", " : "", mu_algorithms[i]->name);
    mu_text_add(why, able ? " can" : "no other can either");
    return false;
}

void mu_choose_forget(struct mu_group *group)
{
    group->choices = group->choice_next = 0;
}

/* ---- the table ---- */

static const char *time_text(char out[32], double seconds)
{
    if (seconds < 1e-3)
        mu_format(out, 32, "%.1f us", seconds * 1e6);
    else if (seconds < 1)
        mu_format(out, 32, "%.1f ms", seconds * 1e3);
    else
        mu_format(out, 32, "%.2f s", seconds);
    return out;
}

/* Columns of the table: those that can do one of the requests at least. "*" before a time: chosen.
 */
#define BYTES_COLUMNS 12
#define TIME_COLUMNS 8

static bool is_able(struct mu_group *group, const struct mu_request *requests, size_t request_count,
    const struct mu_algorithm *algorithm)
{
    const char *why;
    for (size_t i = 0; i < request_count; i++)
        if (isfinite(rate(group, &requests[i], algorithm, &why)))
            return true;
    return false;
}

static int width_of(const struct mu_algorithm *algorithm)
{
    int width = (int)strlen(algorithm->name);
    return width > TIME_COLUMNS ? width : TIME_COLUMNS;
}

static void add_time(struct mu_group *group, const struct mu_request *request,
    const struct mu_algorithm *algorithm, bool is_chosen, struct mu_text *out)
{
    const char *why;
    char text[32], cell[40];
    double seconds = rate(group, request, algorithm, &why);
    mu_format(cell, sizeof(cell), "%s%s", is_chosen ? "*" : "",
        isfinite(seconds) ? time_text(text, seconds) : "-");
    mu_text_add(out, " %*s", width_of(algorithm) + 1, cell);
}

static void add_row(struct mu_group *group, const struct mu_request *request,
    const struct mu_algorithm *const able[], struct mu_text *out)
{
    const struct mu_algorithm *forced = forced_for(group, request);
    const struct mu_algorithm *chosen = forced ? forced : find_best(group, request);
    mu_text_add(out, "%*zu", BYTES_COLUMNS, request->count * mu_dtype_bytes(request->dtype));
    for (int i = 0; able[i]; i++)
        add_time(group, request, able[i], able[i] == chosen, out);
    mu_text_add(out, "\n");
}

/* Of those that cannot do some of the requests. */
static void add_why_not(struct mu_group *group, const struct mu_request *requests,
    size_t request_count, const struct mu_algorithm *algorithm, struct mu_text *out)
{
    const char *why;
    for (size_t i = 0; i < request_count; i++)
        if (isinf(rate(group, &requests[i], algorithm, &why))) {
            mu_text_add(out, "%s%s: %s\n", algorithm->name,
                algorithm == group->forced ? ", which is forced" : "", why);
            return;
        }
}

void mu_choose_explain(struct mu_group *group, const struct mu_request *requests,
    size_t request_count, struct mu_text *out)
{
    const struct mu_algorithm *able[ALGORITHMS_MAX + 1] = {0};
    int count = 0;
    mu_text_add(out, "%*s", BYTES_COLUMNS, "bytes");
    for (int i = 0; mu_algorithms[i]; i++)
        if (count < ALGORITHMS_MAX && is_able(group, requests, request_count, mu_algorithms[i])) {
            able[count++] = mu_algorithms[i];
            mu_text_add(out, " %*s", width_of(mu_algorithms[i]) + 1, mu_algorithms[i]->name);
        }
    mu_text_add(out, "\n");
    for (size_t i = 0; i < request_count; i++)
        add_row(group, &requests[i], able, out);
    mu_text_add(out, "* is chosen; times are predicted\n");
    for (int i = 0; mu_algorithms[i]; i++)
        add_why_not(group, requests, request_count, mu_algorithms[i], out);
}
