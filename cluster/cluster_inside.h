/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_INSIDE_H
#define MU_CLUSTER_INSIDE_H

#include "cluster/caller.h"
#include "cluster/cluster.h"
#include "cluster/door.h"

/* The inside of struct mu_cluster, which the files of cluster/ share that are about a whole
 * cluster: its life, its control links, and what happens when a task is lost. */

#define MU_CLUSTER_TEXT_MAX 640
/* Heartbeats that a task misses before it is doubted. */
#define MU_SILENT_BEATS 5
#define MU_CLUSTER_ABSENT_MAX 320
#define MU_CLUSTER_SEEN_MAX 256 /* of it, what a task was last seen doing */

/* A task as this one sees it. The leader has one for everybody, a member uses the leader's. */
struct mu_member {
    struct mu_link *link;    /* control link, NULL: none now */
    struct mu_link *parting; /* leader: that of one that was given up; what it was told is there */
    bool joined, left;       /* left: said goodbye in good order */
    bool done;               /* its link has ended, and it had ended well */
    bool told;               /* leader: of the start */
    bool lost;               /* leader: the run waits for it to come back */
    bool beaten;             /* a heartbeat has come from it in this generation */
    int64_t lost_ns;         /* leader: the last time that it was, 0: never */
    int exit;                /* that it said when it left */
    struct mu_hello hello;
    uint64_t asked_again;   /* leader: incarnation of who came while this one seemed to be there */
    int64_t asked_again_ns; /* that it came first */
    int64_t heard_ns;
    int doing;
    int64_t step, since_ns, collective, samples; /* since_ns: of our clock */
    double loss, accuracy;
    bool has_load; /* a parameter server that has said it */
    struct mu_load load;
    int64_t counts[MU_CLUSTER_COUNTS_MAX]; /* (count_count) that it tells of itself */
    size_t count_count;
    int64_t answered;        /* leader: the last number that it was asked with, as it says */
    struct mu_caller caller; /* leader, before the start: why does it not come? */
    int64_t call_again_ns, call_pause_ns;
    int64_t called_ns, mute_since_ns; /* the last call; the first of those that were not answered */
    int call_error; /* of the last call that ended; 0: it reached somebody, or none has ended */
    char absent[MU_CLUSTER_ABSENT_MAX]; /* why the last call failed */
};

/* A link that was greeted and waits to be asked for. */
struct mu_waiting_link {
    struct mu_link *link;
    int task, kind;
    uint32_t lane;
    uint32_t generation; /* of which its caller is; 0: of any */
};

struct mu_cluster {
    struct mu_cluster_options options;
    struct mu_world *world;
    struct mu_loop *loop;
    struct mu_log *log;
    const struct mu_spec *spec;
    struct mu_hello hello; /* ours */
    struct mu_hello probe; /* the same, for asking who is missing */
    struct mu_door door;
    struct mu_timer *timer;
    struct mu_member *member;          /* (spec->task_count) */
    struct mu_caller call;             /* member, before the start: to the leader */
    char missing[MU_CLUSTER_TEXT_MAX]; /* member: for whom the leader waits, as it said last */
    struct mu_waiting_link *waiting;   /* (waiting_count): four for each task, of two generations */
    int waiting_count;

    bool leads;
    bool started;
    uint64_t run;
    uint32_t generation;     /* the newest that has begun */
    uint32_t entered;        /* in which this task acts */
    bool paused;             /* somebody is lost for whom the run waits: none has begun since */
    bool interrupted;        /* the generation that was entered has ended */
    int64_t paused_until_ns; /* leader */
    int64_t version_seen;    /* leader: of all since the one that was entered */
    int64_t updates_lost;    /* leader: as said last, with a server that does not come back */
    char back[MU_CLUSTER_TEXT_MAX]; /* leader: who, the last time */
    /* Leader: the same two as they were when it entered. The thread that trains reads these, when
     * the loop's may change again already: only mu_cluster_begin_again, which that thread awaits,
     * writes them. */
    int64_t version_left;
    char came_back[MU_CLUSTER_TEXT_MAX];
    char lost_text[MU_CLUSTER_TEXT_MAX]; /* leader: how the last one was lost */
    bool stands_by; /* leader: the run can do without one of the parameter servers */
    int gone;       /* the one that it does without, -1: none */
    char gone_text[MU_CLUSTER_TEXT_MAX]; /* leader: how that one was lost */
    void (*on_gone)(void *owner, int task);
    void *gone_owner;
    int needed;      /* tasks the run needs */
    bool start_said; /* how to start one that is missing */
    int64_t join_ns, said_ns, ticked_ns;
    int64_t slept_ns, woke_ns; /* leader: how long it did nothing, the last time that it noticed */

    /* Of this task, if it is a parameter server; NULL: none. */
    void (*load)(void *owner, struct mu_load *ret_load);
    void *load_owner;
    /* Of this task, if it is a replica that has some; NULL: none. */
    size_t (*counts)(void *owner, int64_t out[MU_CLUSTER_COUNTS_MAX]);
    void *counts_owner;
    int64_t asked, answered; /* leader: how often it has asked; member: which it has answered */

    int named;             /* member: whom the leader names as lost, -1: nobody */
    enum mu_status failed; /* not OK: somebody is lost or something does not fit; said already */
    bool late;             /* in mu_cluster_lose: a step has taken longer than it is given */
    bool over;
    enum mu_status over_status;
    atomic_bool stop_wanted;
    bool stop_told;

    int suspect; /* whom somebody misses, -1: nobody */
    int64_t suspect_since_ns;
    char suspect_text[MU_CLUSTER_TEXT_MAX];

    int64_t *accused_with; /* leader: (MU_CLUSTER_NUMBERS_MAX), made when some come */
    size_t accused_with_count;
};

/* ---- opening.c: the door, and for how long one waits before it ---- */
int64_t mu_cluster_start_deadline(const struct mu_cluster *cluster);
bool mu_cluster_time_to_say(struct mu_cluster *cluster); /* for whom one waits */
void mu_cluster_add_left(const struct mu_cluster *cluster, struct mu_text *text); /* how long */

/* ---- control.c: frames on control links ---- */
extern const struct mu_link_events mu_control_events;
void mu_control_tick(void *owner);                             /* every heartbeat_ns */
void mu_control_beat(struct mu_cluster *cluster, int64_t now); /* a heartbeat to all, now */
/* This task's own activity, into its own member. */
void mu_control_note_self(struct mu_cluster *cluster, int64_t now);
void mu_control_adopt(struct mu_cluster *cluster, int task, struct mu_link *link);
void mu_control_broadcast(struct mu_cluster *cluster, uint8_t type, const struct mu_body *body);
void mu_control_tell_start(struct mu_cluster *cluster);            /* whoever has not been told */
bool mu_cluster_needs(const struct mu_cluster *cluster, int task); /* evaluators are not needed */

/* Keeps a greeted link until mu_cluster_answer asks for it; false: too many wait. */
bool mu_cluster_keep(
    struct mu_cluster *cluster, struct mu_link *link, int task, const struct mu_hello *hello);

/* ---- recover.c: waiting for a parameter server to come back ---- */
/* Will the run wait for this task, which is lost for that reason? */
bool mu_recover_can(const struct mu_cluster *cluster, enum mu_error error, int task);
bool mu_recover_is_server(const struct mu_cluster *cluster, int task); /* a parameter server */
/* Leader: "; updates lost: 31, since version 1500, the last checkpoint" after `text`, which says
 * why the run ends; nothing before there was an update. */
void mu_recover_add_cost(struct mu_cluster *cluster, char text[MU_CLUSTER_TEXT_MAX]);
/* Says that it does, and tells the members; false: it has waited for it before. */
bool mu_recover_await(struct mu_cluster *cluster, int task, const char *text);
/* Every wait of this task ends. */
void mu_recover_interrupt(struct mu_cluster *cluster);
void mu_recover_tick(struct mu_cluster *cluster, int64_t now);
/* Leader: the next generation begins, for all. */
void mu_recover_begin(struct mu_cluster *cluster);
void mu_recover_read_back(struct mu_cluster *cluster, struct mu_decoder *decoder);

/* ---- gone.c: doing without a parameter server ---- */
/* Can the run go on without this task, which is lost? */
bool mu_gone_can(const struct mu_cluster *cluster, int task);
/* Says that it does, and tells the members. */
void mu_gone_tell(struct mu_cluster *cluster, int task, const char *text);
void mu_gone_read(struct mu_cluster *cluster, struct mu_decoder *decoder);
/* Tells a parameter server that it is given up, and has no link to it any more. */
void mu_gone_part(struct mu_cluster *cluster, int task, const char *text);
/* Since when the leader has heard nothing from a task that it gives up for that: what the task is
 * told when it goes on. */
#define MU_GONE_SILENCE_FIELDS 2
void mu_gone_put_silence(const struct mu_cluster *cluster, int task, struct mu_body *body);
/* Why a server that is gone is not taken, and what to do about it. */
void mu_gone_refuse(const struct mu_cluster *cluster, struct mu_refusal *refusal);
/* The name of the server that has the part of this one, too. */
void mu_gone_name_standby(const struct mu_cluster *cluster, int task, char out[MU_TASK_NAME_MAX]);

/* ---- given_up.c: this task is the one ---- */
/* Is it this task that was given up for its silence, as LOST says? Then it ends, said. */
bool mu_given_up_ends(struct mu_cluster *cluster, struct mu_decoder *decoder, int64_t task);
/* The run goes on without this task, or waits for its successor, as GONE says: it ends, said. */
void mu_given_up_read(struct mu_cluster *cluster, struct mu_decoder *decoder, const char *text);
/* Before the tick of now. */
void mu_given_up_note_sleep(struct mu_cluster *cluster, int64_t now);
/* It has just slept for so long that the others have given it up, if nobody has said so yet. */
bool mu_given_up_is_likely(struct mu_cluster *cluster);
/* Leader: has it done nothing itself for so long that the others have given it up? Then it ends,
 * said, and `text`, which it found when it went on, is what that did to them. */
bool mu_given_up_slept(struct mu_cluster *cluster, const char *text);
/* What to do if the leader of a parameter server seems lost whose part others have, too. */
void mu_given_up_add_help(const struct mu_cluster *cluster, int task, struct mu_text *help);

/* ---- join.c ---- */
/* Those that the run needs and that are not there; and their names, at most so many. */
int mu_cluster_missing_count(const struct mu_cluster *cluster);
void mu_cluster_list_missing(const struct mu_cluster *cluster, int most, struct mu_text *text);
void mu_cluster_say_how_to_start(struct mu_cluster *cluster, int task); /* if that is known */

/* ---- view.c: what else heartbeats carry ---- */
/* At most; the keys of all fields beside MU_BODY_SMALL. */
#define MU_VIEW_BYTES_MAX ((MU_LOAD_COUNT + MU_CLUSTER_COUNTS_MAX) * 9)
int mu_view_field_count(const struct mu_cluster *cluster);
void mu_view_put(struct mu_cluster *cluster, struct mu_body *body);
void mu_view_read(struct mu_cluster *cluster, int from, struct mu_decoder *decoder);

/* ---- blame.c: who is lost ---- */
/* The leader tells the members why they end. */
void mu_cluster_tell(struct mu_cluster *cluster, enum mu_error error, int task, const char *text);
/* Says it (`error`, `text`), tells the members if we lead, and cancels every wait. The first
 * counts. */
void mu_cluster_lose(struct mu_cluster *cluster, enum mu_error error, int task, const char *text);
void mu_cluster_lose_laggard(
    struct mu_cluster *cluster, int task, const char *what, int64_t since_ns);
/* Hangs (402), because a step has taken longer than it is given: what helps is said, too. */
void mu_cluster_lose_late(struct mu_cluster *cluster, int task, const char *text);
void mu_cluster_lose_silent(struct mu_cluster *cluster, int task, int64_t silence_ns);
/* For help lines; NULL: nobody knows how to go on. */
const char *mu_cluster_how_to_go_on(
    const struct mu_cluster *cluster, char out[MU_CLUSTER_GO_ON_MAX]);
/* The command that starts a task; false: that is not known. */
bool mu_cluster_how_to_start(
    const struct mu_cluster *cluster, int task, char out[MU_CLUSTER_GO_ON_MAX]);
/* "worker/2 (10.0.0.3:2222)" */
void mu_cluster_who(const struct mu_cluster *cluster, int task, char *out, size_t bytes);
/* "; last seen computing step 812, since 0.1 s" or "". Of a task that has not got beyond its start,
 * or has not told yet that it has, also what this one is doing. */
void mu_cluster_last_seen(
    const struct mu_cluster *cluster, int task, char out[MU_CLUSTER_SEEN_MAX]);
/* Ends this task without a culprit: what does not fit has been said. */
void mu_cluster_fail(struct mu_cluster *cluster, enum mu_status status);

#endif
