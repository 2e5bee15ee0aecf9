/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_PS_RIG_H
#define MU_TEST_PS_RIG_H

#include "ps/client.h"
#include "ps/server/server.h"
#include "ps/snapshot.h"
#include "test.h"

/*
 * A whole set of parameter servers and workers, one thread (or fiber) each, in whatever world they
 * are given. The servers listen; workers, the leader and followers connect and say with a HELLO who
 * they are. Workers keep one more link to each server: when the last of these has ended, the server
 * ends.
 */
#define RIG_TASKS_MAX 12
#define RIG_ORDER_MAX 4096
#define RIG_VISITORS_MAX 64
#define RIG_TIME (30 * MU_SECOND)

enum rig_kind { RIG_SERVER, RIG_WORKER, RIG_LEADER, RIG_CONTROL };

struct rig;

/* One server of a task; with standbys there are two. */
struct rig_seat {
    struct rig_task *task;
    int seat;
    struct mu_ps_server *server;
};

struct rig_task {
    struct rig *rig;
    enum rig_kind kind;
    int index;
    struct mu_world *world;
    struct mu_thread *thread;
    struct mu_timer *timer;
    int losses_told;
    struct mu_test_log log;
    struct mu_loop *loop;
    enum mu_status status; /* how it ended */

    /* server */
    struct rig_seat seats[2];
    int seat_count;
    struct mu_link *controls[RIG_TASKS_MAX];
    int controls_come, controls_ended;
    struct mu_link *visitors[RIG_VISITORS_MAX]; /* that have not said who they are */
    bool over, pauses;
    struct mu_timer *pause;
    struct mu_ps_culprit culprit;
    struct mu_staleness staleness;
    int64_t version;
    struct mu_ps_load load;
    struct mu_table_counts table;
    /* worker */
    struct mu_ps_client *client;
    struct mu_vectors vectors; /* 2 * in_flight, which the servers see if rig_shares */
    int64_t acknowledged, applied, dropped;
    /* leader */
    struct mu_ps_snapshot *snapshot;
};

struct rig_order {
    int worker;
    enum mu_verdict verdict;
    double scale;
    uint64_t staleness, clock;
    int average;
    bool left; /* not a gradient: the worker leaves, or is lost */
};

struct rig {
    int server_count, worker_count, in_flight;
    size_t element_count;
    const struct mu_optimizer_ops *optimizer;
    const void *optimizer_options;
    const struct mu_policy_ops *policy;
    const void *policy_options;
    struct mu_ps_mode mode;
    const struct mu_ps_phase *later; /* (later_count) */
    int later_count;
    struct mu_ps_rows_options rows; /* width > 0: id_count must be said */
    bool relinks;
    int replicas;
    /* In simulated time, with replicas: these servers die, and others hear of it so much later. */
    struct {
        int process;
        int64_t at_ns, told_ns[RIG_TASKS_MAX];
    } losses[2];
    int loss_count;
    /* In simulated time, for links between servers that break: once all are linked, now and then
     * while the server does not run, and when it is closed. NULL: they do not. */
    struct {
        void (*begin)(struct rig_task *task), (*heal)(struct rig_task *task),
            (*end)(struct rig_task *task);
    } server_hooks;
    bool may_fail;                                /* tasks' status is looked at by the test */
    int64_t link_bits_per_second;                 /* in simulated time; 0: a gigabit */
    double (*rate)(void *owner, int64_t version); /* NULL: 0.5 and 1 by turns */
    /* Called with a client, or a snapshot, that is linked to all servers. */
    enum mu_status (*worker)(struct rig_task *task);
    enum mu_status (*leader)(struct rig_task *task); /* NULL: servers begin with zeros */
    void *owner;

    struct mu_address addresses[MU_PS_SERVERS_MAX];
    struct rig_task tasks[RIG_TASKS_MAX];
    int task_count;
    /* What the servers leave: whole vectors, and the head's order. */
    float *parameters, *slot;
    float *standby;     /* the same of standbys, as the parameters */
    bool took_over;     /* the order is that of the deputy */
    float *row;         /* (rows.id_count, rows.width * (1 + slots)) */
    bool *row_there;    /* (rows.id_count) */
    bool notes_leaving; /* in the order too */
    struct rig_order order[RIG_ORDER_MAX];
    int order_count;
};

/* Is MUSTER_RIG_SHARES set? Then workers share the memory of their vectors with the servers. */
bool rig_shares(void);
static inline float *rig_vector(struct rig_task *task, size_t index)
{
    return mu_vectors_at(&task->vectors, index);
}

/* Fills in the tasks; the world of each is the caller's to set. */
void rig_init(struct rig *rig);
void rig_finish(struct rig *rig);
/* The whole life of a task. */
void rig_task_main(void *task);
/* All tasks as threads of one real world on loopback; asserts that all ended well. */
void rig_run(struct rig *rig);
/* The same; task->status says how each ended. */
void rig_run_any(struct rig *rig);
/* A client of a worker, without links. */
enum mu_status rig_make_client(struct rig_task *task, int64_t incarnation);
/* Connects to a server, with standbys to its seat, and says who this is; retries until it listens.
 */
enum mu_status rig_connect(struct rig_task *task, int order, enum rig_kind kind,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link);

/* Element i of the k-th gradient of a worker: small, and never the same. */
float rig_gradient(int worker, int64_t k, size_t i);
void rig_fill_gradient(float *gradients, size_t count, int worker, int64_t k);
/* The same of embedding rows, (set->count, width): element j of row `id` is that of the vector's
 * id * width + j. So equal ids have one row, and a batch of one worker differs from all others. */
void rig_fill_row_gradients(
    float *gradients, size_t width, const struct mu_row_set *set, int worker, int64_t k);
/* Numbers below 2^24 that the ids of the k-th batch of a worker are made of. */
void rig_draw(uint64_t *draws, size_t count, int worker, int64_t k);
/* Pushes the k-th gradient of this worker and these rows, in the slot and by the vectors that it
 * has for it. */
enum mu_status rig_push_rows(
    struct rig_task *task, int64_t k, int64_t version, const struct mu_ps_client_rows *rows);

/*
 * Gradients that leave a mark: each is a 1 in an element of its own, once in each span, and where
 * the model has rows, in a row of its own. They are added, so that what stands there in the end
 * says how often each was applied, and whether everywhere.
 */
#define RIG_MARKS_MAX 240 /* elements of the vector */
#define RIG_HANDS_MAX 3   /* in flight */

struct rig_hands {
    float gradients[RIG_MARKS_MAX], fresh[RIG_MARKS_MAX];
    struct mu_row_set rows;
    float row_gradient[1], row_value[1];
    bool under_way;
    int k; /* the number of the push */
};

/* Of one worker. */
struct rig_marks {
    struct mu_unique unique;
    struct rig_hands hands[RIG_HANDS_MAX];
};

void rig_marks_init(struct rig_marks *marks);
void rig_marks_finish(struct rig_marks *marks);
/* Makes push `k` of these hands ready; where the model has rows, it wants row `mark`, too. */
void rig_marks_begin(struct rig_marks *marks, const struct rig_task *task, struct rig_hands *hands,
    int k, size_t mark);
/* Rows of one element that begin with 0. */
struct mu_ps_rows_options rig_mark_rows(uint64_t id_count);
/* The rate at which gradients are added. */
double rig_add(void *owner, int64_t version);

/* p += -rate * g, and the same with one slot. */
extern const struct mu_optimizer_ops rig_sgd, rig_momentum;
extern const struct mu_policy_ops rig_async, rig_drop; /* options of drop: uint64_t, the bound */

#endif
