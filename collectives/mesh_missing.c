/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include <errno.h>
#include <string.h>

#define SAY_EVERY_NS (10 * MU_SECOND)
#define WAITED_TOO_LONG 2 /* "why" of a GOODBYE */
#define MISSING_MAX 8     /* ranks that are named when some do not come */

static const char *reason_of(const struct mu_mesh *mesh, int rank)
{
    const struct mu_mesh_way *way = &mesh->way[rank];
    if (way->gave_up)
        return "it came, and gave up waiting";
    if (way->came)
        return "it came, and is gone";
    if (rank > mesh->request->rank)
        return "it has not called";
    if (way->link)
        return "it is there and does not answer";
    return way->error == ENOENT ? "there is no host of this name"
           : way->error         ? strerror(way->error)
                                : "it closed the connection";
}

static bool is_missing(const struct mu_mesh *mesh, int rank)
{
    return mu_mesh_linked(mesh->request, rank) && !mesh->way[rank].greeted;
}

/* Who gives up does so because of others: the first that is missing for another reason. -1: none
 * is. */
static int find_cause(const struct mu_mesh *mesh)
{
    for (int rank = 0; rank < mesh->request->count; rank++)
        if (is_missing(mesh, rank) && !mesh->way[rank].gave_up)
            return rank;
    return -1;
}

/* "rank 2 (10.0.0.3:2222): it has not called; rank 3 ..." */
static void list_missing(const struct mu_mesh *mesh, struct mu_text *out)
{
    const struct mu_mesh_request *request = mesh->request;
    char name[MU_MESH_NAME_BYTES];
    bool caused = find_cause(mesh) >= 0;
    int named = 0;
    for (int rank = 0; rank < request->count && named < MISSING_MAX; rank++) {
        if (!is_missing(mesh, rank) || (caused && mesh->way[rank].gave_up))
            continue;
        mu_mesh_name_rank(request, rank, name);
        mu_text_add(out, "%s%s: %s", named++ ? "; " : "", name, reason_of(mesh, rank));
    }
}

/* Where not all listen the links are for parameter servers, which know no such farewell. */
static bool says_goodbye(const struct mu_mesh_request *request)
{
    return request->listener_count == 0;
}

enum mu_status mu_mesh_fail_missing(struct mu_mesh *mesh, int64_t now_ns)
{
    const struct mu_mesh_request *request = mesh->request;
    char waited[32];
    struct mu_text text;
    mu_text_init(&text);
    mu_text_duration(waited, sizeof(waited), now_ns - mesh->begin_ns);
    mu_text_add(&text, "not all %d ranks came within %s; missing: ", request->count, waited);
    list_missing(mesh, &text);
    if (says_goodbye(request))
        mu_text_copy(mesh->goodbye, sizeof(mesh->goodbye), text.data);
    enum mu_status status = mu_fail(request->log, MU_E0301,
        "is it started, and does a firewall let it through?", "%s", text.data);
    mu_text_finish(&text);
    return status;
}

/* As tcp_notes.c says it: the other may have all ranks, and its link another owner. */
void mu_mesh_say_goodbye(const struct mu_mesh *mesh)
{
    uint8_t memory[MU_MESH_GOODBYE_MAX + MU_BODY_SMALL];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 3);
    mu_body_put_text(&body, "text", mesh->goodbye);
    mu_body_put_int(&body, "why", WAITED_TOO_LONG);
    mu_body_put_int(&body, "late", find_cause(mesh));
    for (int rank = 0; rank < mesh->request->count; rank++)
        if (mesh->way[rank].greeted)
            mu_link_post(mesh->way[rank].link, MU_FRAME_GOODBYE, 0, 0, &body);
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
