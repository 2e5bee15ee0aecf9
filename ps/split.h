/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SPLIT_H
#define MU_PS_SPLIT_H

#include "muster/tensor.h"

#define MU_PS_SERVERS_MAX 64

/* The part of the flat vector that server `order` of `server_count` keeps: the spans of all servers
 * follow each other, cover the vector, are cut at multiples of MU_VIEW_ALIGN elements (of one where
 * a server would have fewer than ten such units), and differ by at most one such unit: the first
 * servers have the larger ones, none over 1.1 times the mean from ten elements a server on. A span
 * may be empty. */
struct mu_span mu_split(size_t element_count, int server_count, int order);

/* The server that keeps the row of an embedding table: by a hash of the id, the same everywhere. */
int mu_split_row(uint64_t id, int server_count);

#endif
