/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/positions.h"
#include <stdlib.h>
#include <string.h>

/* ---- what was done before ---- */

int mu_positions_done(
    const struct mu_positions *positions, int64_t epoch, struct mu_stretch *ret_done)
{
    int count = 0;
    for (int i = 0; i < positions->before_count && count < MU_STRETCHES_MAX; i++)
        if (positions->before[i].epoch == epoch)
            ret_done[count++] = positions->before[i].stretch;
    return count;
}

static enum mu_status copy_before(
    struct mu_positions *positions, const struct mu_position *before, int before_count)
{
    size_t numbers = 0;
    for (int i = 0; i < before_count; i++)
        numbers += (size_t)before[i].stretch.replica_count;
    positions->steps = calloc(numbers + 1, sizeof(*positions->steps));
    if (!positions->steps)
        return MU_NO_MEMORY;
    int64_t *at = positions->steps;
    for (int i = 0; i < before_count; i++) {
        size_t replicas = (size_t)before[i].stretch.replica_count;
        positions->before[i] = before[i];
        positions->before[i].stretch.steps_done = at;
        memcpy(at, before[i].stretch.steps_done, replicas * sizeof(*at));
        at += replicas;
    }
    positions->before_count = before_count;
    return MU_OK;
}

/* How much is left of each epoch that was begun before. */
static enum mu_status count_begun(struct mu_positions *positions)
{
    struct mu_plan plan;
    struct mu_stretch done[MU_STRETCHES_MAX];
    MU_TRY(mu_plan_init(&plan, positions->seed, positions->sample_count));
    mu_plan_set_alone(&plan, positions->alone_epochs);
    positions->begun_count = 0;
    for (int i = 0; i < positions->before_count; i++) {
        int64_t epoch = positions->before[i].epoch;
        if (i > 0 && positions->before[i - 1].epoch == epoch)
            continue;
        int count = mu_positions_done(positions, epoch, done);
        mu_plan_begin(&plan, epoch, done, count, positions->replica_count, positions->batch);
        positions->begun[positions->begun_count++] = (struct mu_epoch_steps){.epoch = epoch,
            .steps = count < MU_STRETCHES_MAX ? plan.step_count : 0,
            .left = plan.left};
    }
    mu_plan_finish(&plan);
    return MU_OK;
}

enum mu_status mu_positions_init(struct mu_positions *positions, uint64_t seed, size_t sample_count,
    int replica_count, int batch, int64_t epoch, const struct mu_position *before, int before_count)
{
    assert(before_count <= MU_POSITIONS_MAX);
    *positions = (struct mu_positions){.seed = seed,
        .sample_count = sample_count,
        .replica_count = replica_count,
        .batch = batch,
        .epoch = epoch};
    enum mu_status status = copy_before(positions, before, before_count);
    if (status == MU_OK)
        status = count_begun(positions);
    if (status != MU_OK) {
        mu_positions_finish(positions);
        return status;
    }
    while (mu_positions_epoch_steps(positions, positions->epoch) == 0)
        positions->epoch++;
    return MU_OK;
}

enum mu_status mu_positions_set_alone(struct mu_positions *positions, int64_t epochs)
{
    positions->alone_epochs = epochs;
    return count_begun(positions);
}

static int readers(const struct mu_positions *positions, int64_t epoch)
{
    return mu_plan_readers(positions->alone_epochs, epoch, positions->replica_count);
}

void mu_positions_finish(struct mu_positions *positions)
{
    free(positions->steps);
    *positions = (struct mu_positions){0};
}

int64_t mu_positions_epoch_steps(const struct mu_positions *positions, int64_t epoch)
{
    for (int i = 0; i < positions->begun_count; i++)
        if (positions->begun[i].epoch == epoch)
            return positions->begun[i].steps;
    return mu_plan_steps(positions->sample_count, readers(positions, epoch), positions->batch);
}

int64_t mu_positions_steps_left(const struct mu_positions *positions, int replica, int64_t epochs)
{
    int64_t steps = 0;
    for (int64_t epoch = positions->epoch; epoch < epochs; epoch++)
        if (replica < readers(positions, epoch))
            steps += mu_positions_epoch_steps(positions, epoch);
    return steps;
}

/* ---- as numbers: epoch, replicas, batch, steps..., one stretch after the other ---- */

#define STRETCH_HEAD 3

size_t mu_positions_pack(const struct mu_positions *positions, int64_t *ret_numbers)
{
    size_t count = 0;
    for (int i = 0; i < positions->before_count; i++) {
        const struct mu_position *position = &positions->before[i];
        size_t replicas = (size_t)position->stretch.replica_count;
        if (ret_numbers) {
            ret_numbers[count] = position->epoch;
            ret_numbers[count + 1] = position->stretch.replica_count;
            ret_numbers[count + 2] = position->stretch.batch;
            memcpy(ret_numbers + count + STRETCH_HEAD, position->stretch.steps_done,
                replicas * sizeof(int64_t));
        }
        count += STRETCH_HEAD + replicas;
    }
    return count;
}

int mu_positions_unpack(int64_t *numbers, size_t count, struct mu_position *ret_list)
{
    int found = 0;
    for (size_t at = 0; at < count; found++) {
        if (found == MU_POSITIONS_MAX || count - at < STRETCH_HEAD)
            return -1;
        int64_t epoch = numbers[at], replicas = numbers[at + 1], batch = numbers[at + 2];
        if (epoch < 0 || replicas < 1 || replicas > MU_REPLICAS_MAX || batch < 1 ||
            batch > INT32_MAX || (size_t)replicas > count - at - STRETCH_HEAD)
            return -1;
        ret_list[found] = (struct mu_position){.epoch = epoch,
            .stretch = {.replica_count = (int)replicas,
                .batch = (int)batch,
                .steps_done = numbers + at + STRETCH_HEAD}};
        at += STRETCH_HEAD + (size_t)replicas;
    }
    return found;
}

/* ---- now ---- */

size_t mu_positions_memory(const struct mu_positions *positions)
{
    return (size_t)MU_POSITIONS_MAX * (size_t)positions->replica_count;
}

/* Samples of an epoch that this process has to do. */
static size_t samples_of(const struct mu_positions *positions, int64_t epoch)
{
    for (int i = 0; i < positions->begun_count; i++)
        if (positions->begun[i].epoch == epoch)
            return positions->begun[i].steps > 0 ? positions->begun[i].left : 0;
    return positions->sample_count;
}

/* Steps of an epoch that are counted for a replica. */
static int64_t counted_steps(const struct mu_positions *positions, int64_t epoch, int replica)
{
    size_t left = samples_of(positions, epoch);
    size_t replicas = (size_t)readers(positions, epoch);
    size_t rows = left % (replicas * (size_t)positions->batch);
    bool empty = rows > 0 && rows < replicas && (size_t)replica >= rows;
    return mu_positions_epoch_steps(positions, epoch) -
           (positions->empty_uncounted && empty ? 1 : 0);
}

/* Where a replica stands after `steps` steps: in *ret_epoch, after the returned number of steps. */
static int64_t stand(
    const struct mu_positions *positions, int replica, int64_t steps, int64_t *ret_epoch)
{
    int64_t epoch = positions->epoch;
    if (replica > 0 && epoch < positions->alone_epochs)
        epoch = positions->alone_epochs;
    while (steps > 0 && steps >= counted_steps(positions, epoch, replica)) {
        steps -= counted_steps(positions, epoch, replica);
        epoch++;
    }
    *ret_epoch = epoch;
    return steps;
}

int64_t mu_positions_epoch(const struct mu_positions *positions, int replica, int64_t steps)
{
    int64_t epoch;
    stand(positions, replica, steps, &epoch);
    return epoch;
}

/* Steps of this process that a replica has done in `epoch`. */
static int64_t done_in(
    const struct mu_positions *positions, int replica, int64_t steps, int64_t epoch)
{
    int64_t at, within = stand(positions, replica, steps, &at);
    return at > epoch ? mu_positions_epoch_steps(positions, epoch) : at == epoch ? within : 0;
}

/* A replica's share of the first `steps` steps of an epoch: of each whole step its batch, and of
 * the last, smaller one what data/plan.c cuts for it. */
static int64_t share_of(
    const struct mu_positions *positions, int64_t epoch, int replica, int64_t steps)
{
    size_t replicas = (size_t)readers(positions, epoch), left = samples_of(positions, epoch);
    if ((size_t)replica >= replicas)
        return 0;
    size_t whole = replicas * (size_t)positions->batch;
    int64_t whole_steps = (int64_t)(left / whole);
    size_t rest = left % whole;
    if (steps <= whole_steps)
        return steps * positions->batch;
    return whole_steps * positions->batch +
           (int64_t)(rest / replicas + ((size_t)replica < rest % replicas));
}

int64_t mu_positions_samples(const struct mu_positions *positions, const int64_t *steps_since)
{
    int64_t samples = 0;
    for (int r = 0; r < positions->replica_count; r++) {
        int64_t at, within = stand(positions, r, steps_since[r], &at);
        for (int64_t epoch = positions->epoch; epoch < at; epoch++)
            samples += share_of(positions, epoch, r, mu_positions_epoch_steps(positions, epoch));
        samples += share_of(positions, at, r, within);
    }
    return samples;
}

static bool all_equal(const struct mu_stretch *stretch)
{
    for (int r = 1; r < stretch->replica_count; r++)
        if (stretch->steps_done[r] != stretch->steps_done[0])
            return false;
    return true;
}

/* Two stretches that were worked alike, by replicas in step, are one. */
static bool merges(const struct mu_stretch *before, const struct mu_stretch *now)
{
    return before->replica_count == now->replica_count && before->batch == now->batch &&
           all_equal(before) && all_equal(now);
}

struct listing {
    const struct mu_positions *positions;
    const int64_t *steps_since;
    int64_t *memory;
    struct mu_position *list;
    int count;
    bool full; /* something did not fit */
};

static void list_own(struct listing *listing, int64_t epoch)
{
    const struct mu_positions *positions = listing->positions;
    if (listing->count == MU_POSITIONS_MAX) {
        listing->full = true;
        return;
    }
    struct mu_stretch now = {.replica_count = readers(positions, epoch),
        .batch = positions->batch,
        .steps_done = listing->memory};
    int64_t most = 0;
    for (int r = 0; r < now.replica_count; r++) {
        now.steps_done[r] = done_in(positions, r, listing->steps_since[r], epoch);
        most = now.steps_done[r] > most ? now.steps_done[r] : most;
    }
    if (most == 0)
        return;
    struct mu_position *last = listing->count > 0 ? &listing->list[listing->count - 1] : NULL;
    if (last && last->epoch == epoch && merges(&last->stretch, &now)) {
        for (int r = 0; r < now.replica_count; r++)
            now.steps_done[r] += last->stretch.steps_done[r];
        last->stretch = now;
    } else {
        listing->list[listing->count++] = (struct mu_position){.epoch = epoch, .stretch = now};
    }
    listing->memory += now.replica_count;
}

static void list_before(struct listing *listing, int64_t epoch)
{
    const struct mu_positions *positions = listing->positions;
    for (int i = 0; i < positions->before_count; i++) {
        if (positions->before[i].epoch != epoch)
            continue;
        if (listing->count < MU_POSITIONS_MAX)
            listing->list[listing->count++] = positions->before[i];
        else
            listing->full = true;
    }
}

int mu_positions_now(const struct mu_positions *positions, const int64_t *steps_since,
    int64_t *memory, struct mu_position *ret_list, int64_t *ret_epoch)
{
    int64_t first = INT64_MAX, last = positions->epoch;
    for (int r = 0; r < positions->replica_count; r++) {
        int64_t epoch;
        stand(positions, r, steps_since[r], &epoch);
        first = epoch < first ? epoch : first;
        last = epoch > last ? epoch : last;
    }
    for (int i = 0; i < positions->before_count; i++)
        last = positions->before[i].epoch > last ? positions->before[i].epoch : last;
    struct listing listing = {
        .positions = positions, .steps_since = steps_since, .memory = memory, .list = ret_list};
    for (int64_t epoch = first; epoch <= last; epoch++) {
        list_before(&listing, epoch);
        list_own(&listing, epoch);
    }
    *ret_epoch = first;
    return listing.full ? -1 : listing.count;
}
