/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/row_spool.h"

#define RUNS MU_COUNT_OF(((struct mu_row_spool *)NULL)->run)

static void enter(struct mu_row_spool *spool)
{
    spool->world->ops->enter(spool->world, spool->monitor);
}

static void leave(struct mu_row_spool *spool)
{
    spool->world->ops->leave(spool->world, spool->monitor);
}

static void wake_writer(struct mu_row_spool *spool)
{
    spool->world->ops->notify(spool->world, spool->monitor);
}

/* The first run in this state; -1: none is. */
static int find(const struct mu_row_spool *spool, int state)
{
    for (size_t i = 0; i < RUNS; i++)
        if ((int)spool->state[i] == state)
            return (int)i;
    return -1;
}

static void empty(struct mu_row_spool *spool, int i)
{
    spool->run[i].count = 0;
    spool->state[i] = MU_RUN_FREE;
}

/* ---- life ---- */

void mu_row_spool_init(struct mu_row_spool *spool, struct mu_world *world,
    struct mu_monitor *monitor, struct mu_save_trouble *trouble, size_t width, int slot_count)
{
    *spool = (struct mu_row_spool){
        .world = world, .monitor = monitor, .trouble = trouble, .run_bytes = MU_ROW_RUN_BYTES};
    mu_row_runs_init(&spool->runs, world->store, width, slot_count);
}

static void free_runs(struct mu_row_spool *spool)
{
    for (size_t i = 0; i < RUNS; i++)
        mu_row_run_finish(&spool->run[i]);
}

void mu_row_spool_finish(struct mu_row_spool *spool)
{
    mu_row_runs_clear(&spool->runs);
    free_runs(spool);
    *spool = (struct mu_row_spool){0};
}

/* ---- where rows come ---- */

static bool has_memory(struct mu_row_spool *spool)
{
    size_t stride = spool->runs.width * (1 + (size_t)spool->runs.slot_count);
    for (size_t i = 0; i < RUNS; i++)
        if (spool->run[i].room == 0 &&
            mu_row_run_init(&spool->run[i], stride, spool->run_bytes) != MU_OK)
            return false;
    return true;
}

/* A run that is being written stays the writer's until it is done with it. */
static void forget(struct mu_row_spool *spool)
{
    for (int i = 0; i < (int)RUNS; i++)
        if (spool->state[i] != MU_RUN_WRITTEN)
            empty(spool, i);
    spool->waits_since_ns = -1;
    spool->drops = true;
    wake_writer(spool);
}

void mu_row_spool_begin(struct mu_row_spool *spool, int64_t patience_ns)
{
    enter(spool);
    forget(spool);
    spool->patience_ns = patience_ns;
    spool->begins = true;
    spool->is_given_up = false;
    spool->has_no_memory = spool->is_lost = !has_memory(spool);
    leave(spool);
}

void mu_row_spool_drop(struct mu_row_spool *spool)
{
    forget(spool);
    spool->is_lost = true;
}

/* The run that has room for so many rows; NULL: not yet. */
static struct mu_row_run *run_with_room(struct mu_row_spool *spool, size_t count)
{
    int i = find(spool, MU_RUN_FILLING);
    if (i >= 0 && count <= spool->run[i].room - spool->run[i].count)
        return &spool->run[i];
    if (i >= 0) {
        spool->state[i] = MU_RUN_FULL;
        wake_writer(spool);
    }
    i = find(spool, MU_RUN_FREE);
    if (i < 0)
        return NULL;
    assert(count <= spool->run[i].room);
    spool->state[i] = MU_RUN_FILLING;
    return &spool->run[i];
}

/* Is the disk to be waited for? */
static bool waits_on(struct mu_row_spool *spool)
{
    int64_t now = mu_now(spool->world);
    if (spool->waits_since_ns < 0)
        spool->waits_since_ns = now;
    spool->is_given_up = now >= mu_deadline(spool->waits_since_ns, spool->patience_ns);
    if (spool->is_given_up)
        mu_row_spool_drop(spool);
    return !spool->is_given_up;
}

bool mu_row_spool_put(void *owner, const uint64_t *ids, const float *rows, size_t count)
{
    struct mu_row_spool *spool = owner;
    enter(spool);
    struct mu_row_run *run = spool->is_lost ? NULL : run_with_room(spool, count);
    bool waits = !run && !spool->is_lost && waits_on(spool);
    if (run)
        spool->waits_since_ns = -1;
    leave(spool);
    if (run)
        mu_row_run_add(run, ids, rows, count);
    return !waits;
}

/* ---- the writer ---- */

bool mu_row_spool_has_work(const struct mu_row_spool *spool)
{
    return spool->monitor && (spool->drops || find(spool, MU_RUN_FULL) >= 0);
}

static void start_anew(struct mu_row_spool *spool, bool begins)
{
    mu_row_runs_clear(&spool->runs);
    spool->status = MU_OK;
    if (begins)
        (void)mu_save_trouble_listen(spool->trouble);
}

/* After a failure the disk has its room back at once: others write there, too. */
static void append(struct mu_row_spool *spool, struct mu_row_run *run)
{
    if (spool->status == MU_OK)
        spool->status = mu_row_runs_append(&spool->runs, &spool->trouble->heard, run);
    if (spool->status != MU_OK)
        mu_row_runs_clear(&spool->runs);
}

void mu_row_spool_work(struct mu_row_spool *spool)
{
    bool drops = spool->drops, begins = spool->begins;
    int full = find(spool, MU_RUN_FULL);
    spool->drops = spool->begins = false;
    if (full >= 0)
        spool->state[full] = MU_RUN_WRITTEN;
    leave(spool);
    if (drops)
        start_anew(spool, begins);
    if (full >= 0)
        append(spool, &spool->run[full]);
    enter(spool);
    if (full >= 0)
        empty(spool, full);
}

static enum mu_status say_lost(struct mu_row_spool *spool)
{
    struct mu_log *log = &spool->trouble->heard;
    char patience[32];
    mu_text_duration(patience, sizeof(patience), spool->patience_ns);
    if (spool->status != MU_OK)
        return spool->status;
    if (spool->has_no_memory)
        return mu_fail(
            log, MU_E0801, NULL, "no memory for embedding rows on their way to the disk");
    if (spool->is_given_up)
        return mu_fail(
            log, MU_E0605, NULL, "the disk took no embedding rows of the servers for %s", patience);
    return MU_OK;
}

enum mu_status mu_row_spool_close(struct mu_row_spool *spool)
{
    enter(spool);
    int last = find(spool, MU_RUN_FILLING);
    if (last >= 0)
        spool->state[last] = MU_RUN_FULL;
    while (mu_row_spool_has_work(spool))
        mu_row_spool_work(spool);
    free_runs(spool); /* a merge needs memory, too */
    leave(spool);
    return say_lost(spool);
}

void mu_row_spool_end(struct mu_row_spool *spool)
{
    mu_row_runs_clear(&spool->runs);
}
