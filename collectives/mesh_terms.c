/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include <string.h>

/* Do two ranks belong together, and if they do, have they been told the same? */

#define KEY_SHOWN_MAX 48
#define VALUE_SHOWN_MAX 40
#define NAME_SHOWN_MAX 20

/* The value of a key, and how long it is; NULL: nothing is said of it. */
static const char *find_value(const char *terms, const char *key, int key_bytes, int *ret_bytes)
{
    for (const char *line = terms; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, (size_t)key_bytes) != 0 || line[key_bytes] != ' ')
            continue;
        const char *value = line + key_bytes + 1;
        *ret_bytes = (int)strcspn(value, "\n");
        return value;
    }
    return NULL;
}

bool mu_mesh_terms_differ(const char *ours, const char *theirs, struct mu_mesh_term *ret_term)
{
    for (const char *line = ours; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        struct mu_mesh_term term = {.key = line, .key_bytes = (int)strcspn(line, " \n")};
        term.ours = find_value(line, line, term.key_bytes, &term.our_bytes);
        term.theirs = find_value(theirs, line, term.key_bytes, &term.their_bytes);
        if (!term.ours || !term.theirs)
            continue;
        *ret_term = term;
        if (term.our_bytes != term.their_bytes ||
            memcmp(term.ours, term.theirs, (size_t)term.our_bytes) != 0)
            return true;
    }
    return false;
}

const char *mu_mesh_help(enum mu_error reason)
{
    return reason == MU_E0305 ? "give all of them the same options"
                              : "give all ranks the same addresses in the same order";
}

static void fail(struct mu_mesh *mesh, enum mu_error reason)
{
    mesh->reason = reason;
    mesh->failed = mu_fail(mesh->request->log, reason, mu_mesh_help(reason), "%s", mesh->why);
}

static void name_briefly(const struct mu_mesh_request *request, int rank, char *out, size_t bytes)
{
    if (request->names)
        mu_text_copy(out, bytes, request->names[rank]);
    else
        mu_format(out, bytes, "rank %d", rank);
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* "count is 100 on ps/0 and 90 on worker/0": whoever reads it, the lower rank comes first. */
static void say_term(struct mu_mesh *mesh, int from, const struct mu_mesh_term *term)
{
    int own = mesh->request->rank;
    bool first = own < from;
    int our_bytes = least(term->our_bytes, VALUE_SHOWN_MAX);
    int their_bytes = least(term->their_bytes, VALUE_SHOWN_MAX);
    char lower[NAME_SHOWN_MAX], higher[NAME_SHOWN_MAX];
    name_briefly(mesh->request, first ? own : from, lower, sizeof(lower));
    name_briefly(mesh->request, first ? from : own, higher, sizeof(higher));
    mu_format(mesh->why, sizeof(mesh->why), "%.*s is %.*s on %s and %.*s on %s",
        least(term->key_bytes, KEY_SHOWN_MAX), term->key, first ? our_bytes : their_bytes,
        first ? term->ours : term->theirs, lower, first ? their_bytes : our_bytes,
        first ? term->theirs : term->ours, higher);
}

static void say_group(struct mu_mesh *mesh, int from, const struct mu_mesh_hello *hello)
{
    const struct mu_mesh_request *request = mesh->request;
    char name[MU_MESH_NAME_BYTES];
    mu_mesh_name_rank(request, request->rank, name);
    const char *what = hello->count != request->count   ? ""
                       : hello->group != request->group ? ", of other addresses"
                                                        : ", and takes it for another rank";
    mu_format(mesh->why, sizeof(mesh->why),
        "rank %d of a group of %lld has met %.100s of a group of %d%s", from,
        (long long)hello->count, name, request->count, what);
}

bool mu_mesh_disagrees(
    struct mu_mesh *mesh, int from, bool expected, const struct mu_mesh_hello *hello)
{
    const struct mu_mesh_request *request = mesh->request;
    struct mu_mesh_term term;
    bool is_ours = expected && mu_mesh_same_group(request, hello);
    if (is_ours && !(request->terms && mu_mesh_terms_differ(request->terms, hello->terms, &term)))
        return false;
    if (mesh->failed != MU_OK)
        return true;
    if (is_ours)
        say_term(mesh, from, &term);
    else
        say_group(mesh, from, hello);
    fail(mesh, is_ours ? MU_E0305 : MU_E0309);
    return true;
}
