/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_H
#define MU_PS_SERVER_H

#include "muster/optimizer.h"
#include "muster/policy.h"
#include "ps/audit.h"
#include "ps/ps_limits.h"
#include "ps/ps_plan.h"
#include "ps/seats.h"
#include "ps/split.h"
#include "ps/staleness.h"
#include "ps/table/table.h"
#include "runtime/base/log.h"
#include "runtime/io/link.h"

/*
 * A parameter server: keeps one span of the model and applies gradients to it in one order, one at
 * a time, on one thread, as its mode says (ps_mode.h). Server 0 is the head: it judges each
 * gradient once for all servers.
 *
 *   worker ----- PUSH (its span of the gradient) ----> every server
 *   follower --- PUSH (no payload: "it is here") ----> head
 *   head: has come whole, to all servers: it is judged and gets the next place in the order
 *   head ------- VERDICT ----------------------------> followers, which apply in exactly this order
 *   server ----- FRESH (verdict, version, its span) -> worker
 *
 * So one version number holds for the whole model, every version is a consistent cut through all
 * spans, and a gradient of which a part got lost is applied nowhere. A PULL takes the same way
 * without a gradient, and so does a snapshot: the whole state at one place in the order. It is
 * taken between two steps, when no gradients are gathered.
 *
 * Every (worker, push in flight) has one buffer on each server, which goes round:
 *
 *   free -> receiving -> waiting for its verdict -> applied or gathered
 *        -> held, if the mode lets its worker wait -> refilled with the fresh parameters
 *        -> being sent as the reply -> free
 *
 * A worker that pushes when its next buffer is not free is left waiting in the network; one that
 * does not read its answers keeps its own buffers busy and nobody else's, until its patience is
 * over (server_readers.c). After create a server allocates nothing, and needs at the most, whatever
 * the workers do,
 *
 *   span bytes * (replica_count * in_flight_max + 2 * (1 + slots))
 *
 * (2: the state and its copy for snapshots) and some 1,100 bytes a buffer, and 104 more for each
 * server that the head tells of it; one span more if the mode gathers, and replica_count *
 * in_flight_max + 1 more if the policy corrects: the parameters that workers compute with (seen.h).
 * For an embedding table, whose rows alone are allocated as they come,
 *
 *   push_max * (28 + 4 * width) * replica_count * in_flight_max
 *
 * and if the policy corrects, push_max * (8 + 4 * width) * replica_count * in_flight_max for the
 * rows that workers compute with (seen_rows.h), and 4 * width more for each row of the table where
 * it adapts; if the mode gathers, about push_max * (48 + 4 * width) times the gradients of a step;
 * while a snapshot is sent, 34 MiB and a bit a row (server_pieces.h). Where workers may come back,
 * some 80 bytes * 2 * replica_count * in_flight_max. With standbys a process has two such servers,
 * each with 130 bytes * replica_count * (in_flight_max + 2) more, and so has the head where workers
 * may come back.
 *
 * What is no gradient (NaN, another length, a version that is not there, a number out of turn) is
 * refused whole, counted, and answered; the third of a worker in a row ends its link, and run says
 * why.
 *
 * All on the thread of the loop. Links come greeted: their first PUSH, PULL, ROWS, VERDICT,
 * SNAPSHOT or RESTORE is the next frame. A link given to the server is the server's; it closes it
 * in destroy.
 */
struct mu_ps_server;

/* The embedding table of the model. A server keeps the rows that its split gives it
 * (ps/split.h). */
struct mu_ps_rows_options {
    size_t width;      /* of a row; 0: the model has no table */
    size_t push_max;   /* rows that a gradient may have, and as many that may be wanted with it */
    uint64_t id_count; /* ids are below it; 0: any */
    bool by_range;     /* id_count is said, and each server keeps a range of ids; else by hash */
    size_t row_limit;  /* of this server: rows not used for long leave; 0: memory is the limit */
    bool dense;        /* all rows are there from the beginning: id_count is said, row_limit not */
    uint64_t seed;
    /* As in ps/table/table.h. */
    void (*init_row)(const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_row);
    const void *owner;
};

struct mu_ps_server_options {
    struct mu_loop *loop;
    struct mu_log *log;
    int order; /* this server's, 0: the head; with standbys: its seat (seats.h) */
    int server_count, replica_count, in_flight_max;
    /* 1: each span has a standby, and server_count is 2 or more: then `relinks` is set, too. */
    int replicas;
    uint32_t generation;
    size_t element_count;           /* of the whole vector */
    const struct mu_layout *layout; /* of the whole vector; NULL: see struct mu_shard */
    const struct mu_optimizer_ops *optimizer;
    const void *optimizer_options;
    double weight_decay;
    const struct mu_policy_ops *policy;
    const void *policy_options;
    struct mu_ps_mode mode; /* zeroed: each gradient is a step, nobody waits */
    /* Modes and policies from later versions on, ascending, borrowed; up to MU_PS_PHASES_MAX - 1,
     * with the warm-up of `mode`. */
    const struct mu_ps_phase *later;
    int later_count;
    struct mu_ps_rows_options rows;
    /* The rate of the update that makes `version` + 1. Asked on the head only. */
    double (*learning_rate)(void *owner, int64_t version);
    /* Told of every judgement, in order, on the head only. May be NULL. */
    void (*judged)(
        void *owner, const struct mu_push_facts *push, const struct mu_ps_decision *decision);
    /* Told of every replica that leaves or is lost, in the same order, on the head only; average >
     * 0: what was gathered, so many gradients, was a step without it. May be NULL. */
    void (*left)(void *owner, int replica, int average);
    void *owner;
    /* (replica_count) names for messages, borrowed: "worker/1". NULL: "replica 1". */
    const char *const *replica_names;
    /* The end of a worker's link is no loss: it may come back with another one. Its clients say the
     * same in their options. */
    bool relinks;
    /* A worker that has not taken the oldest of its answers for so long is cut off; 0: none is. */
    int64_t patience_ns;
    /* Gets what makes which version, from the begin on; borrowed, the caller closes it after the
     * last run. NULL: none. */
    struct mu_audit *audit;
};

/* CONFIG (MU_E0204): a span, or the rows of a batch, does not fit in a frame. NO_MEMORY (MU_E0801).
 * The options' contents are borrowed. */
enum mu_status mu_ps_server_create(
    const struct mu_ps_server_options *options, struct mu_ps_server **ret_server);
void mu_ps_server_destroy(struct mu_ps_server *server); /* takes NULL */

/* Links that the cluster has made. Also later, while run turns the loop; each once. */
void mu_ps_server_add_worker(struct mu_ps_server *server, int replica, struct mu_link *link);
/* With `relinks` a worker may be added again: what of it is here whole, or judged, is not taken
 * twice (server_relink.c). Only this says that it is dead; on all servers: on the head its loss
 * gets its place in the order. A later client of this replica has a higher incarnation. */
void mu_ps_server_lose_worker(struct mu_ps_server *server, int replica);
void mu_ps_server_add_leader(struct mu_ps_server *server, struct mu_link *link);
void mu_ps_server_add_head(struct mu_ps_server *server, struct mu_link *link);
void mu_ps_server_add_follower(struct mu_ps_server *server, int order, struct mu_link *link);
/* With standbys seat server_count is the deputy, which becomes the head if the head is lost. Its
 * followers are all but itself and seat 0; to these its link is that of the deputy. */
void mu_ps_server_add_deputy(struct mu_ps_server *server, struct mu_link *link);
/* With `relinks` the link of another server may be added again, by the same calls: nothing that it
 * told is taken twice or left out (server_heal.c). Of those that this one calls, the head and the
 * deputy: the first seat from `seat` on whose link has ended, and since when; -1: there is none. */
int mu_ps_server_unlinked(const struct mu_ps_server *server, int seat);
int64_t mu_ps_server_unlinked_since_ns(const struct mu_ps_server *server, int seat);
/* The process of this server, 0 to server_count - 1, is gone with both its seats: as the cluster
 * says, to all that are left. The standbys take over; for a second one run fails with CLOSED. */
void mu_ps_server_lose_server(struct mu_ps_server *server, int process);
/* Which one it was; -1: none is lost. */
int mu_ps_server_without(const struct mu_ps_server *server);
/* Does it judge, now? */
bool mu_ps_server_is_head(const struct mu_ps_server *server);

/* A server begins with zeros and serves nobody until it has its state: either the leader restores
 * it (snapshot.h), or the caller fills these (span.count floats each; vector 0 the parameters,
 * 1 + i slot i) and says so. Later they may be looked at whenever run is not running. */
struct mu_span mu_ps_server_span(const struct mu_ps_server *server);
float *mu_ps_server_vector(struct mu_ps_server *server, int vector);
void mu_ps_server_begin(struct mu_ps_server *server, int64_t version);
/* Before either, and before the leader's link: sees to it that no page of what every step may need
 * is still missing, begins the rows of a dense table, and turns the loop now and then. Create takes
 * no time to speak of, this does. NO_MEMORY, said: before any row is begun if they cannot fit. */
enum mu_status mu_ps_server_lay(struct mu_ps_server *server);

/* Serves until *over (another thread may set it, atomically, and wake the loop), or the loop is
 * cancelled (then that status). PROTOCOL (MU_E0404): a peer sent what is not allowed; it is cut
 * off, and run may be called again to go on without it. UNAVAILABLE (MU_E0402): the same of a
 * worker that does not read its answers; with it the culprit. IO_ERROR (MU_E0605): the audit log
 * cannot be written. CLOSED: the head or a follower is gone that is needed to go on. The end of a
 * worker's or the leader's link is no failure here: the cluster knows more about it. */
enum mu_status mu_ps_server_run(struct mu_ps_server *server, const bool *over);
/* The same for several, on one loop and thread: the first failure of any. Whose fault it was says
 * the culprit of each of them. */
enum mu_status mu_ps_servers_run(struct mu_ps_server *const servers[], int count, const bool *over);

/* Have all workers left and gone? Or gone, and with them the head, which alone could say that they
 * left. */
bool mu_ps_server_deserted(const struct mu_ps_server *server);

/* Did this worker go without leaving? Known on the head. */
bool mu_ps_server_lost(const struct mu_ps_server *server, int replica);

/* Whose fault the last failure of run was, and what it did. */
#define MU_PS_DID_MAX 224
enum mu_ps_peer_kind { MU_PS_PEER_WORKER, MU_PS_PEER_LEADER, MU_PS_PEER_SERVER };
struct mu_ps_culprit {
    enum mu_ps_peer_kind kind;
    int index; /* replica, or the process of a server: its order, if there are no standbys */
    char did[MU_PS_DID_MAX]; /* "worker/1 sent ...", of PROTOCOL and UNAVAILABLE; else empty */
};
struct mu_ps_culprit mu_ps_server_culprit(const struct mu_ps_server *server);

/* Updates that the run plans, as the leader said when it gave the state; 0: not said. */
int64_t mu_ps_server_total(const struct mu_ps_server *server);
int64_t mu_ps_server_version(const struct mu_ps_server *server);
/* Of all gradients since the start of this process; followers count what the head told them. */
const struct mu_staleness *mu_ps_server_staleness(const struct mu_ps_server *server);
/* The same, how many of each verdict a replica got: MU_VERDICT_COUNT numbers. */
const uint64_t *mu_ps_server_verdicts(const struct mu_ps_server *server, int replica);
/* Bytes that this server keeps for the policy to correct gradients with, whatever rows there are;
 * 0: it does not. */
size_t mu_ps_server_seen_bytes(const struct mu_ps_server *server);
/* What was chosen last for a mode whose backups or bound are chosen, on the head. */
struct mu_ps_chosen {
    struct mu_ps_mode mode; /* with it */
    double predicted,
        measured; /* gradients that count in a second, by those before it; 0: not yet */
};
struct mu_ps_chosen mu_ps_server_chosen(const struct mu_ps_server *server);
/* What came from workers and went to them. */
struct mu_ps_load {
    uint64_t requests; /* pushes and pulls */
    uint64_t bytes_in, bytes_out;
    uint64_t rows_given, rows_wanted;
    uint64_t cut_off; /* workers whose link this server has ended */
};
const struct mu_ps_load *mu_ps_server_load(const struct mu_ps_server *server);
/* What a server keeps at this moment. */
struct mu_ps_kept {
    uint64_t dense_bytes;                   /* parameters and slots of its span */
    uint64_t rows, row_bytes, rows_evicted; /* of its embedding table, the index included */
    /* All that the formula above says: of what it has allocated, this struct of a fixed size and
     * what belongs to links is left out. */
    uint64_t memory;
    uint64_t unread_bytes;        /* of answers that the network has not taken yet */
    int unread_count, held_count; /* such answers; those that the mode holds back */
};
struct mu_ps_kept mu_ps_server_kept(const struct mu_ps_server *server);
/* Of the embedding rows that this server keeps; NULL: the model has none. To be looked at whenever
 * run is not running; at one place in the order in mu_ps_state_take (server_state.c). */
const struct mu_table *mu_ps_server_table(const struct mu_ps_server *server);
/* Gradients of a replica judged so far, those of the restored state included. */
int64_t mu_ps_server_judged(const struct mu_ps_server *server, int replica);

#endif
