/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_CLIENT_INSIDE_H
#define MU_PS_CLIENT_INSIDE_H

#include "ps/client.h"
#include "ps/ps_bodies.h"
#include "ps/seats.h"

/* What the files of the client share: client.c pushes and pulls, client_relink.c does it again
 * after a link was lost, client_standby.c goes on without a server that was lost, client_rows.c has
 * what there is of embedding rows in that, client_share.c the memory that servers see. */

/* One server's part of a push. */
struct mu_client_part {
    struct mu_client_slot *slot;
    struct mu_send send;
    bool replied;
    bool is_dead; /* its server was lost before all had answered: what it said does not count */
    bool quiet;   /* its server does not answer */
    struct mu_ps_fresh_body fresh;
    /* The fresh parameters come without travelling: as it was sent last, or as it was sent first.
     */
    bool in_place, was_in_place;
    uint8_t own_body[MU_PS_BODY_MAX]; /* where it is another than that of all */
    /* Embedding rows: what is sent before the push, and what comes before its FRESH. */
    struct mu_ps_rows_body rows;             /* zeroed: none; without places */
    uint64_t *row_ids;                       /* wanted, then given; */
    const float *row_gradients;              /* of the given: both in the payload, */
    uint8_t *row_payload;                    /* or copied there when it is sent */
    float *row_values, *row_values_in_place; /* where they are wanted, where servers see them */
    bool rows_in_place, rows_were_in_place;  /* as in_place */
    bool row_values_missing;
    uint32_t row_values_bytes;
    struct mu_send row_send;
    uint8_t row_body[MU_PS_ROWS_BODY_MAX];
};

struct mu_client_slot {
    struct mu_ps_client *client;
    bool in_use;
    enum mu_ps_item item;
    struct mu_ps_push_body push; /* of a gradient */
    bool ended;                  /* whole, or the client has failed */
    uint64_t sequence;
    struct mu_frame frame; /* that is sent to all servers, its payload not counted */
    const float *gradients;
    float *fresh;
    /* A push was answered again, without its parameters, and they are pulled now: what became of
     * it. */
    bool is_judged;
    struct mu_ps_fresh_body judged;
    int replies_missing, sends_pending;
    struct mu_client_part *parts; /* (server_count) */
    uint8_t body[MU_PS_BODY_MAX];
    uint8_t *row_memory; /* of what travels; NULL: the model has no embedding table */
    /* What servers see, if they see the vectors. */
    uint64_t *row_ids;
    struct mu_ps_client_row_memory rows;
};

/* What a server and this worker know of each other's memory. */
enum mu_client_share {
    MU_CLIENT_APART,
    MU_CLIENT_ASKED, /* where it runs */
    MU_CLIENT_HOME,  /* on this host, as this user */
    MU_CLIENT_OFFERED,
    MU_CLIENT_SHARES,
};

struct mu_client_server {
    struct mu_ps_client *client;
    int order; /* its seat */
    struct mu_span span;
    struct mu_link *link;
    bool ended, refused;
    bool is_lost;                /* its process is gone */
    int64_t lost_since_ns;       /* while there is no link */
    struct mu_client_part *part; /* that the frame at hand answers */
    enum mu_client_share share;
};

struct mu_ps_client {
    struct mu_ps_client_options options;
    int seat_count;
    int lost; /* the process of a server; -1: none */
    struct mu_client_server servers[MU_PS_SEATS_MAX];
    struct mu_client_slot slots[MU_PS_IN_FLIGHT_MAX];
    struct mu_client_part *parts; /* of all slots */
    uint64_t sequence_next;
    const struct mu_vectors *vectors; /* NULL: none that servers see */
    struct mu_shared_memory_host host;
    int share_missing;                        /* answers */
    bool share_over;                          /* none is missing */
    char share_why[MU_SHARED_MEMORY_WHY_MAX]; /* why not; of server `share_apart` */
    int share_apart;
    int64_t row_count;      /* of all servers */
    int refused_in_row;     /* gradients, as far as servers have answered */
    bool put_out;           /* because of one more */
    enum mu_status failure; /* the first; it stays */
    int culprit;
};

/* ---- client.c ---- */
void mu_client_send_finished(struct mu_send *send); /* of a part */
/* To one server. Nothing happens while it has no link. */
void mu_client_send_part(struct mu_client_slot *slot, struct mu_client_server *server);
/* The body is written; `gradients` NULL: a pull, or the client leaves. */
enum mu_status mu_client_start(struct mu_ps_client *client, struct mu_client_slot *slot,
    size_t body_bytes, const float *gradients, float *fresh);

/* All that is under way ends with it. `order`: the seat whose fault it is. */
void mu_client_fail(struct mu_ps_client *client, int order, enum mu_status why);
/* The same, of a server that did what is not allowed: says what. */
enum mu_link_answer mu_client_refuse(struct mu_client_server *server, const char *what);
/* Of all servers: a link that has ended is a failure from now on. */
enum mu_status mu_client_check_servers(struct mu_ps_client *client);
/* Once nothing of it is missing, and nothing is being sent any more, it has ended. */
void mu_client_end_if_whole(struct mu_client_slot *slot);

/* ---- client_refusal.c ---- */
/* Somebody came to this server after us with other options: nobody begins. */
enum mu_link_answer mu_client_hear_refusal(struct mu_client_server *server, struct mu_link *link,
    const struct mu_frame *frame, const void *body);

/* ---- client_standby.c ---- */
/* A push that is about to be sent: who answers it? */
void mu_client_expect(struct mu_client_slot *slot);
/* Is the answer of this part missing? */
bool mu_client_awaits(const struct mu_client_part *part);
/* The first part that counts: all that count say the same. */
struct mu_client_part *mu_client_first_part(const struct mu_client_slot *slot);
/* Does the head alone say otherwise than all others, so that it must be lost? Then the cluster will
 * say so. */
bool mu_client_awaits_loss(const struct mu_client_slot *slot);
/* All that have answered must have done the same. */
enum mu_status mu_client_check_agreement(const struct mu_client_slot *slot);
/* Did all that have answered bring what is wanted? */
bool mu_client_has_all(const struct mu_client_slot *slot);
/* Embedding rows of all servers, each counted once. */
int64_t mu_client_count_rows(const struct mu_client_slot *slot);

/* ---- client_relink.c ---- */
/* The link is gone, or is to go. */
void mu_client_relink_end(struct mu_client_server *server);
/* A link is there: all that this server has not answered. */
void mu_client_relink_resume(struct mu_client_server *server);
/* All have answered. True: some without what is wanted, which is asked for again. */
bool mu_client_relink_asks(struct mu_client_slot *slot);

/* ---- client_share.c ---- */
/* What of this part need not travel is named in its body instead. */
void mu_client_share_part(struct mu_client_slot *slot, struct mu_client_server *server,
    struct mu_frame *frame, const float **gradient, const uint8_t **body);
/* Are the parameters of this FRESH where they are wanted? */
bool mu_client_share_is_in_place(const struct mu_client_part *part, const struct mu_frame *frame);
enum mu_link_answer mu_client_share_frame(
    struct mu_client_server *server, const struct mu_frame *frame, const void *body);
/* Its link has ended. */
void mu_client_share_ended(struct mu_client_server *server);

/* ---- client_rows.c ---- */
enum mu_status mu_client_rows_init(struct mu_ps_client *client); /* NO_MEMORY */
void mu_client_rows_finish(struct mu_ps_client *client);
/* Memory behind the vectors, of all slots; NULL: there is none any more. */
size_t mu_client_rows_bytes(const struct mu_ps_client *client);
void mu_client_rows_use(struct mu_ps_client *client, void *memory);
/* The rows that were put aside for this server, if any; `frame` is that of the push. */
void mu_client_rows_send(
    struct mu_client_slot *slot, struct mu_client_server *server, struct mu_frame frame);
/* Where the payload of a ROWS of this server goes. False: it is not what was wanted. */
bool mu_client_rows_take(
    const struct mu_client_part *part, const struct mu_frame *frame, void **ret_payload);
void mu_client_rows_arrived(struct mu_client_part *part, const struct mu_frame *frame);

#endif
