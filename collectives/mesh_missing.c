/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include <errno.h>
#include <string.h>

#define SAY_EVERY_NS (10 * MU_SECOND)
#define MISSING_MAX 8 /* ranks that are named when some do not come */

static const char *reason_of(const struct mu_mesh *mesh, int rank)
{
    const struct mu_mesh_way *way = &mesh->way[rank];
    if (rank > mesh->request->rank)
        return "it has not called";
    if (way->link)
        return "it is there and does not answer";
    return way->error == ENOENT ? "there is no host of this name"
           : way->error         ? strerror(way->error)
                                : "it closed the connection";
}

/* "rank 2 (10.0.0.3:2222): it has not called; rank 3 ..." */
static void list_missing(const struct mu_mesh *mesh, struct mu_text *out)
{
    const struct mu_mesh_request *request = mesh->request;
    char name[MU_MESH_NAME_BYTES];
    int named = 0;
    for (int rank = 0; rank < request->count && named < MISSING_MAX; rank++) {
        if (!mu_mesh_linked(request, rank) || mesh->way[rank].greeted)
            continue;
        mu_mesh_name_rank(request, rank, name);
        mu_text_add(out, "%s%s: %s", named++ ? "; " : "", name, reason_of(mesh, rank));
    }
}

enum mu_status mu_mesh_fail_missing(const struct mu_mesh *mesh, int64_t now_ns)
{
    const struct mu_mesh_request *request = mesh->request;
    char waited[32];
    struct mu_text missing;
    mu_text_init(&missing);
    list_missing(mesh, &missing);
    mu_text_duration(waited, sizeof(waited), now_ns - mesh->begin_ns);
    enum mu_status status =
        mu_fail(request->log, MU_E0301, "is it started, and does a firewall let it through?",
            "not all %d ranks came within %s; missing: %s", request->count, waited, missing.data);
    mu_text_finish(&missing);
    return status;
}

void mu_mesh_say_missing(struct mu_mesh *mesh, int64_t now_ns, int64_t deadline_ns)
{
    char waited[32], left[32];
    struct mu_text missing;
    if (now_ns < mesh->say_ns)
        return;
    mesh->say_ns = now_ns + SAY_EVERY_NS;
    mu_text_init(&missing);
    list_missing(mesh, &missing);
    mu_text_duration(waited, sizeof(waited), now_ns - mesh->begin_ns);
    mu_text_duration(left, sizeof(left), deadline_ns - now_ns);
    mu_say(mesh->request->log, MU_LEVEL_WARN, "waiting since %s for %s (%s left)", waited,
        missing.data, left);
    mu_text_finish(&missing);
}
