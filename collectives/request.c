/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/request.h"
#include "collectives/algorithm.h"
#include "collectives/ring_index.h"
#include "runtime/base/text.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[MU_DTYPE_COUNT] = {
    [MU_FLOAT32] = {"float32", 4},
    [MU_FLOAT64] = {"float64", 8},
    [MU_FLOAT16] = {"float16", 2},
    [MU_BFLOAT16] = {"bfloat16", 2},
    [MU_INT32] = {"int32", 4},
    [MU_INT64] = {"int64", 8},
    [MU_UINT8] = {"uint8", 1},
};

static const char *const reductions[MU_REDUCTION_COUNT] = {
    [MU_SUM] = "sum", [MU_MEAN] = "mean", [MU_MIN] = "min", [MU_MAX] = "max"};

static const char *const kinds[MU_REQUEST_KIND_COUNT] = {
    [MU_ALLREDUCE] = "all-reduce",
    [MU_REDUCE_SCATTER] = "reduce-scatter",
    [MU_ALLGATHER] = "all-gather",
    [MU_BROADCAST] = "broadcast",
    [MU_ALLTOALL] = "all-to-all",
    [MU_BARRIER] = "barrier",
};

size_t mu_dtype_bytes(enum mu_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *mu_dtype_name(enum mu_dtype dtype)
{
    return (unsigned)dtype < MU_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

const char *mu_reduction_name(enum mu_reduction reduction)
{
    return (unsigned)reduction < MU_REDUCTION_COUNT ? reductions[reduction] : "?";
}

const char *mu_request_kind_name(enum mu_request_kind kind)
{
    return (unsigned)kind < MU_REQUEST_KIND_COUNT ? kinds[kind] : "?";
}

static const char *algorithm_name(uint8_t place)
{
    for (uint8_t i = 0; mu_algorithms[i]; i++)
        if (i == place)
            return mu_algorithms[i]->name;
    return "?";
}

/* What differs from request to request: the types, the reduction, the root. */
static void describe_details(const struct mu_signature *signature, char *out, size_t bytes)
{
    bool reduces = mu_request_reduces((enum mu_request_kind)signature->kind);
    int used = snprintf(out, bytes, " of %llu %s", (unsigned long long)signature->count,
        mu_dtype_name((enum mu_dtype)signature->dtype));
    if (signature->wire != signature->dtype)
        used += snprintf(out + used, bytes - (size_t)used, " as %s",
            mu_dtype_name((enum mu_dtype)signature->wire));
    if (reduces)
        snprintf(out + used, bytes - (size_t)used, ", %s",
            mu_reduction_name((enum mu_reduction)signature->reduction));
    if (signature->kind == MU_BROADCAST)
        snprintf(out + used, bytes - (size_t)used, ", from rank %d", signature->root);
}

void mu_signature_name(const struct mu_signature *signature, char *out, size_t bytes)
{
    bool opening = signature->sequence > MU_OPENING_SEQUENCE;
    snprintf(out, bytes, "%s%s %u", opening ? "opening " : "",
        mu_request_kind_name((enum mu_request_kind)signature->kind),
        opening ? signature->sequence - MU_OPENING_SEQUENCE : signature->sequence);
}

void mu_signature_describe(const struct mu_signature *signature, char *out, size_t bytes)
{
    char name[32], details[MU_SIGNATURE_TEXT_MAX] = "";
    if (signature->kind == MU_BARRIER && signature->count)
        mu_format(details, sizeof(details), " for %llu bytes of memory",
            (unsigned long long)signature->count);
    else if (signature->kind != MU_BARRIER)
        describe_details(signature, details, sizeof(details));
    mu_signature_name(signature, name, sizeof(name));
    snprintf(out, bytes, "%s%s, by %s", name, details, algorithm_name(signature->algorithm));
}

struct mu_span mu_request_part(const struct mu_request *request, int ranks, int rank)
{
    if (!request->counts)
        return mu_ring_chunk(request->count, ranks, rank);
    struct mu_span part = {0, request->counts[rank]};
    for (int r = 0; r < rank; r++)
        part.first += request->counts[r];
    return part;
}

bool mu_request_hears_all(const struct mu_request *request, int ranks)
{
    if (request->kind == MU_BROADCAST)
        return false;
    if (request->kind != MU_REDUCE_SCATTER && request->kind != MU_ALLGATHER)
        return true;
    if (!request->counts)
        return request->count >= (size_t)ranks;
    int given = 0;
    while (given < ranks && request->counts[given] > 0)
        given++;
    return given == ranks;
}
