/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_TAKEOVER_H
#define MU_PS_SERVER_TAKEOVER_H

#include "ps/server/server_known.h"
#include "runtime/io/link.h"

/* What servers do when one of them is lost, and what they keep for it: another one becomes the
 * head. */
struct mu_ps_server;
struct mu_ps_peer;

/* What a server knows of the others when one of them is lost. */
struct mu_ps_standby {
    int seat_count, live_count; /* of all seats; of those not lost */
    int head;                   /* seat */
    int lost;                   /* process; -1: none */
    enum mu_ps_takeover {
        MU_PS_TAKEOVER_NONE,
        MU_PS_TAKEOVER_ENDING,     /* what the old head has said is served to its end */
        MU_PS_TAKEOVER_COLLECTING, /* deputy: how far are the others? */
        MU_PS_TAKEOVER_ASKING,     /* deputy: what the furthest one knows */
        MU_PS_TAKEOVER_TELLING,    /* deputy: the same to the others */
        MU_PS_TAKEOVER_FOLLOWING,  /* others: until the deputy says that it is the head */
    } takeover;
    struct mu_ps_known known;             /* the places served so far, snapshots not counted */
    uint64_t wanted;                      /* ASKING: the place of the furthest */
    uint64_t heard;                       /* places that the head has told of */
    uint64_t snapshot_id, snapshot_place; /* head: the last one, and what was served before it */
    bool tells;                           /* FOLLOWING: the deputy wants what follows `told` */
    uint64_t told;
};

enum mu_status mu_ps_standby_init(struct mu_ps_server *server); /* NO_MEMORY */
void mu_ps_standby_finish(struct mu_ps_server *server);
/* All that the lost head has said is served. */
enum mu_status mu_ps_takeover_begin(struct mu_ps_server *server);
/* Goes on with it, if one is under way. */
enum mu_status mu_ps_takeover_step(struct mu_ps_server *server);
enum mu_link_answer mu_ps_takeover_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
void mu_ps_takeover_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* What is known of the order is sent verdict by verdict, if there is room. */
bool mu_ps_standby_has_room(const struct mu_ps_peer *peer);
void mu_ps_standby_post(struct mu_ps_server *server, struct mu_ps_peer *peer, uint64_t place);
/* To the next head: how far this one is. */
void mu_ps_takeover_follow(struct mu_ps_server *server);

#endif
