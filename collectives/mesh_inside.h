/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_MESH_INSIDE_H
#define MU_COLLECTIVES_MESH_INSIDE_H

#include "collectives/mesh.h"
#include "runtime/base/text.h"

/* What the files of the mesh share: mesh.c calls and is called until all ranks are linked,
 * mesh_hello.c says who one is, mesh_terms.c whether two agree, mesh_missing.c says who has not
 * come. */
#define MU_MESH_WHY_MAX 256     /* bytes of a reason that is told to others */
#define MU_MESH_GOODBYE_MAX 640 /* as much as tcp_notes.c reads */

struct mu_mesh;

/* The way to one rank. */
struct mu_mesh_way {
    struct mu_mesh *mesh;
    struct mu_link *link; /* called, or greeted */
    bool greeted;
    bool came;       /* it has been greeted, now or before */
    bool gave_up;    /* it came, and has said that it waits no longer */
    bool told;       /* it knows that this group cannot come together */
    int64_t call_ns; /* when to call next */
    int error;       /* errno of the last call */
};

struct mu_mesh_stranger {
    struct mu_mesh *mesh;
    struct mu_link *link; /* NULL: this place is free */
    int64_t deadline_ns;
};

struct mu_mesh {
    const struct mu_mesh_request *request;
    struct mu_listener *listener;
    struct mu_mesh_way *way; /* (count) */
    int greeted;             /* of `way` */
    int64_t begin_ns, say_ns;
    struct mu_mesh_stranger stranger[MU_MESH_STRANGERS_MAX];
    enum mu_status failed;             /* said already */
    enum mu_error reason;              /* of `why` */
    char why[MU_MESH_WHY_MAX];         /* for the others; "": they are not concerned */
    char goodbye[MU_MESH_GOODBYE_MAX]; /* why this rank waits no longer; "": it does, or failed */
};

/* Ranks that listen. */
static inline int mu_mesh_listeners(const struct mu_mesh_request *request)
{
    return request->listener_count > 0 ? request->listener_count : request->count;
}

/* Is there a link between this rank and that one? */
static inline bool mu_mesh_linked(const struct mu_mesh_request *request, int rank)
{
    int listeners = mu_mesh_listeners(request);
    return rank != request->rank && (rank < listeners || request->rank < listeners);
}

/* Links that this rank has. */
static inline int mu_mesh_degree(const struct mu_mesh_request *request)
{
    int listeners = mu_mesh_listeners(request);
    return request->rank < listeners ? request->count - 1 : listeners;
}

/* ---- mesh_hello.c ---- */

struct mu_mesh_hello {
    uint64_t group;
    int64_t from, to, count;
    char terms[MU_MESH_TERMS_MAX];
};

void mu_mesh_send_hello(struct mu_link *link, const struct mu_mesh_request *request, int to);
bool mu_mesh_read_hello(struct mu_link *link, const struct mu_frame *frame, const void *body,
    struct mu_mesh_hello *ret_hello);
bool mu_mesh_same_group(const struct mu_mesh_request *request, const struct mu_mesh_hello *hello);

/* ---- mesh_terms.c ---- */

/* The first key of both that has two values. False: there is none. */
struct mu_mesh_term {
    int key_bytes, our_bytes, their_bytes;
    const char *key, *ours, *theirs;
};
bool mu_mesh_terms_differ(const char *ours, const char *theirs, struct mu_mesh_term *ret_term);
/* Somebody who has our address, or whose address we have, is of another group or has other terms:
 * neither his group nor ours can come together. `from`: who it is by his own word, or by our
 * addresses; `expected`: it can be that rank. False: all agrees. */
bool mu_mesh_disagrees(
    struct mu_mesh *mesh, int from, bool expected, const struct mu_mesh_hello *hello);
/* What helps against it. */
const char *mu_mesh_help(enum mu_error reason);

/* ---- mesh_missing.c ---- */

enum mu_status mu_mesh_fail_missing(struct mu_mesh *mesh, int64_t now_ns);
/* Whoever is greeted learns that this rank gives up: it is there, and not who is missing. */
void mu_mesh_say_goodbye(const struct mu_mesh *mesh);
/* Now and then: whom we wait for. */
void mu_mesh_say_missing(struct mu_mesh *mesh, int64_t now_ns, int64_t deadline_ns);

#endif
