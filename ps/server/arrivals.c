/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/arrivals.h"
#include "ps/ps_limits.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 *   begin   a worker takes its next time; it will be done then
 *   next    the worker that is done first
 *
 * Those that are under way are a heap, the first one on top.
 */
struct under_way {
    double done_at;
    int worker;
};

struct mu_arrivals_play {
    struct under_way *heap; /* (worker_count) */
    int heap_count;
    int *taken;    /* (worker_count) times */
    int64_t *seen; /* (worker_count) sync: version it computes with; bounded: clock */
    int *waiting;  /* (worker_count) workers */
    int waiting_count;
};

/* ---- life ---- */

enum mu_status mu_arrivals_init(struct mu_arrivals *arrivals, int worker_count, int64_t steps)
{
    size_t workers = (size_t)worker_count;
    assert(worker_count > 0 && worker_count <= MU_ARRIVALS_TIMES_MAX && steps > 0);
    int64_t most = MU_ARRIVALS_TIMES_MAX / worker_count;
    *arrivals = (struct mu_arrivals){
        .worker_count = worker_count, .step_count = (int)(steps < most ? steps : most)};
    struct mu_arrivals_play *play = calloc(1, sizeof(*play));
    arrivals->play = play;
    arrivals->seconds = calloc(workers * (size_t)arrivals->step_count, sizeof(float));
    arrivals->count = calloc(workers, sizeof(*arrivals->count));
    if (play) {
        play->heap = calloc(workers, sizeof(*play->heap));
        play->taken = calloc(workers, sizeof(*play->taken));
        play->seen = calloc(workers, sizeof(*play->seen));
        play->waiting = calloc(workers, sizeof(*play->waiting));
    }
    if (play && play->heap && play->taken && play->seen && play->waiting && arrivals->seconds &&
        arrivals->count)
        return MU_OK;
    mu_arrivals_finish(arrivals);
    return MU_NO_MEMORY;
}

uint64_t mu_arrivals_bytes(const struct mu_arrivals *arrivals)
{
    const struct mu_arrivals_play *play = arrivals->play;
    if (!play)
        return 0;
    size_t worker_bytes = (size_t)arrivals->step_count * sizeof(*arrivals->seconds) +
                          sizeof(*arrivals->count) + sizeof(*play->heap) + sizeof(*play->taken) +
                          sizeof(*play->seen) + sizeof(*play->waiting);
    return sizeof(*play) + (uint64_t)arrivals->worker_count * worker_bytes;
}

void mu_arrivals_finish(struct mu_arrivals *arrivals)
{
    if (arrivals->play) {
        free(arrivals->play->heap);
        free(arrivals->play->taken);
        free(arrivals->play->seen);
        free(arrivals->play->waiting);
    }
    free(arrivals->play);
    free(arrivals->seconds);
    free(arrivals->count);
    *arrivals = (struct mu_arrivals){0};
}

/* ---- times ---- */

void mu_arrivals_clear(struct mu_arrivals *arrivals)
{
    memset(arrivals->count, 0, (size_t)arrivals->worker_count * sizeof(*arrivals->count));
}

void mu_arrivals_add(struct mu_arrivals *arrivals, int worker, double seconds)
{
    assert(worker >= 0 && worker < arrivals->worker_count);
    assert(seconds >= 0);
    int *count = &arrivals->count[worker];
    if (*count == arrivals->step_count)
        return;
    size_t row = (size_t)worker * (size_t)arrivals->step_count;
    arrivals->seconds[row + (size_t)(*count)++] = (float)seconds;
}

bool mu_arrivals_full(const struct mu_arrivals *arrivals)
{
    for (int w = 0; w < arrivals->worker_count; w++)
        if (arrivals->count[w] < arrivals->step_count)
            return false;
    return true;
}

/* ---- playing ---- */

static bool is_before(const struct under_way *a, const struct under_way *b)
{
    return a->done_at < b->done_at || (a->done_at == b->done_at && a->worker < b->worker);
}

static void push(struct mu_arrivals_play *play, struct under_way one)
{
    int at = play->heap_count++;
    while (at > 0 && is_before(&one, &play->heap[(at - 1) / 2])) {
        play->heap[at] = play->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    play->heap[at] = one;
}

static struct under_way next(struct mu_arrivals_play *play)
{
    assert(play->heap_count > 0);
    struct under_way first = play->heap[0], last = play->heap[--play->heap_count];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < play->heap_count && is_before(&play->heap[child + 1], &play->heap[child]))
            child++;
        if (child >= play->heap_count || !is_before(&play->heap[child], &last))
            break;
        play->heap[at] = play->heap[child];
        at = child;
    }
    play->heap[at] = last;
    return first;
}

/* Who needs more times than it has been measured begins with its first again. */
static void begin(struct mu_arrivals *arrivals, int worker, double now)
{
    struct mu_arrivals_play *play = arrivals->play;
    size_t row = (size_t)worker * (size_t)arrivals->step_count;
    int at = play->taken[worker]++ % arrivals->step_count;
    push(play, (struct under_way){now + (double)arrivals->seconds[row + (size_t)at], worker});
}

static void begin_all(struct mu_arrivals *arrivals)
{
    struct mu_arrivals_play *play = arrivals->play;
    assert(mu_arrivals_full(arrivals));
    play->heap_count = play->waiting_count = 0;
    for (int w = 0; w < arrivals->worker_count; w++) {
        play->taken[w] = 0;
        play->seen[w] = 0;
        begin(arrivals, w, 0);
    }
}

double mu_arrivals_sync(struct mu_arrivals *arrivals, int workers)
{
    struct mu_arrivals_play *play = arrivals->play;
    int64_t version = 0;
    double now = 0;
    assert(workers > 0 && workers <= arrivals->worker_count);
    begin_all(arrivals);
    while (version < arrivals->step_count) {
        struct under_way one = next(play);
        now = one.done_at;
        if (play->seen[one.worker] < version) { /* late: sent on at once */
            play->seen[one.worker] = version;
            begin(arrivals, one.worker, now);
            continue;
        }
        play->waiting[play->waiting_count++] = one.worker;
        if (play->waiting_count < workers)
            continue;
        version++;
        for (int i = 0; i < play->waiting_count; i++) {
            play->seen[play->waiting[i]] = version;
            begin(arrivals, play->waiting[i], now);
        }
        play->waiting_count = 0;
    }
    return now;
}

static int64_t slowest(const struct mu_arrivals *arrivals)
{
    int64_t least = INT64_MAX;
    for (int w = 0; w < arrivals->worker_count; w++)
        if (arrivals->play->seen[w] < least)
            least = arrivals->play->seen[w];
    return least;
}

/* Those that wait and are no longer too far ahead. */
static void let_go(struct mu_arrivals *arrivals, int64_t limit, double now)
{
    struct mu_arrivals_play *play = arrivals->play;
    int kept = 0;
    for (int i = 0; i < play->waiting_count; i++) {
        int worker = play->waiting[i];
        if (play->seen[worker] <= limit)
            begin(arrivals, worker, now);
        else
            play->waiting[kept++] = worker;
    }
    play->waiting_count = kept;
}

double mu_arrivals_bounded(struct mu_arrivals *arrivals, int64_t bound)
{
    struct mu_arrivals_play *play = arrivals->play;
    int64_t done = 0, least = 0, all = (int64_t)arrivals->worker_count * arrivals->step_count;
    int at_least = arrivals->worker_count; /* workers with the least clock */
    double now = 0;
    begin_all(arrivals);
    while (done < all) {
        struct under_way one = next(play);
        now = one.done_at;
        done++;
        at_least -= play->seen[one.worker]++ == least;
        play->waiting[play->waiting_count++] = one.worker;
        if (at_least == 0) {
            least = slowest(arrivals);
            for (int w = 0; w < arrivals->worker_count; w++)
                at_least += play->seen[w] == least;
            let_go(arrivals, least + bound, now);
        } else if (play->seen[one.worker] <= least + bound) {
            play->waiting_count--;
            begin(arrivals, one.worker, now);
        }
    }
    return now;
}

/* ---- choosing ---- */

struct mu_arrivals_choice mu_arrivals_choose_backups(struct mu_arrivals *arrivals)
{
    int count = arrivals->worker_count;
    int each = (count + MU_ARRIVALS_TRIES_MAX - 1) / MU_ARRIVALS_TRIES_MAX;
    double none = mu_arrivals_sync(arrivals, count) / count; /* seconds a gradient that counts */
    struct mu_arrivals_choice best = {.value = 0, .gain = 1};
    for (int backups = each; backups < count && none > 0; backups += each) {
        int workers = count - backups;
        double seconds = mu_arrivals_sync(arrivals, workers) / workers;
        if (seconds > 0 && none / seconds > best.gain)
            best = (struct mu_arrivals_choice){.value = backups, .gain = none / seconds};
    }
    return best;
}

struct mu_arrivals_choice mu_arrivals_choose_bound(struct mu_arrivals *arrivals)
{
    double gain[MU_PS_BOUND_AUTO_MAX + 1], most = 1;
    double none = mu_arrivals_bounded(arrivals, 0);
    for (int bound = 0; bound <= MU_PS_BOUND_AUTO_MAX; bound++) {
        double seconds = mu_arrivals_bounded(arrivals, bound);
        gain[bound] = seconds > 0 ? none / seconds : 1;
        most = gain[bound] > most ? gain[bound] : most;
    }
    int64_t bound = 0;
    while (gain[bound] < MU_ARRIVALS_NEARLY * most)
        bound++;
    return (struct mu_arrivals_choice){.value = bound, .gain = gain[bound]};
}
