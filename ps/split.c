/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/split.h"
#include "runtime/base/random.h"
#include <assert.h>

/* What any two processes must agree on, and what no table's index is drawn from. */
#define ROW_SEED UINT64_C(0x726f7773)

/* Units of so many for a server are shared evenly enough: one more is a tenth. */
#define UNITS_EVEN 10

static size_t unit_of(size_t element_count, size_t server_count)
{
    return element_count / server_count < UNITS_EVEN * MU_VIEW_ALIGN ? 1 : MU_VIEW_ALIGN;
}

/* The first unit of a server. */
static size_t first_unit(size_t unit_count, size_t server_count, size_t order)
{
    size_t larger = unit_count % server_count;
    return unit_count / server_count * order + (order < larger ? order : larger);
}

/* Where a unit begins; the last one may be shorter. */
static size_t begin_of(size_t number, size_t unit, size_t element_count)
{
    return number <= element_count / unit ? number * unit : element_count;
}

struct mu_span mu_split(size_t element_count, int server_count, int order)
{
    assert(server_count > 0 && server_count <= MU_PS_SERVERS_MAX);
    assert(order >= 0 && order < server_count);
    size_t servers = (size_t)server_count, at = (size_t)order;
    size_t unit = unit_of(element_count, servers);
    size_t units = element_count / unit + (element_count % unit != 0);
    size_t first = begin_of(first_unit(units, servers, at), unit, element_count);
    size_t end = begin_of(first_unit(units, servers, at + 1), unit, element_count);
    return (struct mu_span){.first = first, .count = end - first};
}

int mu_split_row(uint64_t id, int server_count)
{
    assert(server_count > 0 && server_count <= MU_PS_SERVERS_MAX);
    uint64_t hash = mu_random_mix(ROW_SEED, id) >> 32;
    return (int)(hash * (uint64_t)server_count >> 32);
}

/* ---- by ranges ---- */

struct mu_id_range mu_row_split_range(const struct mu_row_split *split, int order)
{
    size_t servers = (size_t)split->server_count, at = (size_t)order;
    assert(split->range_ids > 0);
    assert(order >= 0 && order < split->server_count);
    uint64_t first = first_unit(split->range_ids, servers, at);
    uint64_t end = first_unit(split->range_ids, servers, at + 1);
    return (struct mu_id_range){.first = first, .count = end - first};
}

int mu_row_split_server(const struct mu_row_split *split, uint64_t id)
{
    uint64_t servers = (uint64_t)split->server_count;
    if (split->range_ids == 0)
        return mu_split_row(id, split->server_count);
    uint64_t least = split->range_ids / servers, larger = split->range_ids % servers;
    uint64_t in_larger = (least + 1) * larger;
    if (id >= split->range_ids)
        return split->server_count - 1;
    return (int)(id < in_larger ? id / (least + 1) : larger + (id - in_larger) / least);
}
