/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/positions.h"
#include <stdlib.h>
#include <string.h>

/* ---- what was done before ---- */

/* Has the stretch something of this epoch or a later one? */
static bool reaches(const struct mu_position *position, int64_t epoch)
{
    const struct mu_stretch *stretch = &position->stretch;
    for (int r = 0; r < stretch->replica_count; r++) {
        int64_t at = stretch->epochs ? stretch->epochs[r] : position->epoch;
        if (at > epoch || (at == epoch && stretch->steps_done[r] > 0))
            return true;
    }
    return false;
}

static bool is_part_of(const struct mu_position *position, int64_t epoch)
{
    return position->stretch.epochs ? position->epoch <= epoch && reaches(position, epoch)
                                    : position->epoch == epoch;
}

int mu_positions_done(
    const struct mu_positions *positions, int64_t epoch, struct mu_stretch *ret_done)
{
    int count = 0;
    for (int i = 0; i < positions->before_count && count < MU_STRETCHES_MAX; i++)
        if (is_part_of(&positions->before[i], epoch))
            ret_done[count++] = positions->before[i].stretch;
    return count;
}

static size_t numbers_of(const struct mu_stretch *stretch)
{
    return (size_t)stretch->replica_count * (stretch->epochs ? 2 : 1);
}

static enum mu_status copy_before(
    struct mu_positions *positions, const struct mu_position *before, int before_count)
{
    size_t numbers = 0;
    for (int i = 0; i < before_count; i++)
        numbers += numbers_of(&before[i].stretch);
    positions->numbers = calloc(numbers + 1, sizeof(*positions->numbers));
    if (!positions->numbers)
        return MU_NO_MEMORY;
    int64_t *at = positions->numbers;
    for (int i = 0; i < before_count; i++) {
        const struct mu_stretch *from = &before[i].stretch;
        struct mu_stretch *to = &positions->before[i].stretch;
        size_t replicas = (size_t)from->replica_count;
        positions->before[i] = before[i];
        to->steps_done = memcpy(at, from->steps_done, replicas * sizeof(*at));
        if (from->epochs)
            to->epochs = memcpy(at + replicas, from->epochs, replicas * sizeof(*at));
        at += numbers_of(from);
    }
    positions->before_count = before_count;
    return MU_OK;
}

/* ---- what is to be done of each epoch ---- */

static int by_number(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Adds an epoch and the next one to those at which something may change. */
static size_t add_change(int64_t *changes, size_t count, int64_t epoch)
{
    changes[count++] = epoch;
    if (epoch < INT64_MAX)
        changes[count++] = epoch + 1;
    return count;
}

/* The epochs from which on something else may have been done than of the one before, sorted; the
 * caller frees them. NULL: no memory. */
static int64_t *list_changes(const struct mu_positions *positions, size_t *ret_count)
{
    size_t most = 2, count = 0;
    for (int i = 0; i < positions->before_count; i++)
        most += 2 + 2 * numbers_of(&positions->before[i].stretch);
    int64_t *changes = calloc(most, sizeof(*changes));
    if (!changes)
        return NULL;
    changes[count++] = 0;
    changes[count++] = positions->alone_epochs;
    for (int i = 0; i < positions->before_count; i++) {
        const struct mu_position *before = &positions->before[i];
        count = add_change(changes, count, before->epoch);
        for (int r = 0; before->stretch.epochs && r < before->stretch.replica_count; r++)
            count = add_change(changes, count, before->stretch.epochs[r]);
    }
    qsort(changes, count, sizeof(*changes), by_number);
    *ret_count = count;
    return changes;
}

static struct mu_epochs_alike look_at(const struct mu_positions *positions, int64_t epoch)
{
    struct mu_stretch done[MU_STRETCHES_MAX];
    int count = mu_positions_done(positions, epoch, done);
    struct mu_epochs_alike alike = {.first = epoch,
        .left = positions->sample_count,
        .readers = mu_plan_readers(positions->alone_epochs, epoch, positions->replica_count)};
    for (int i = 0; i < count; i++)
        alike.left = mu_plan_left(alike.left, &done[i], epoch);
    if (count == MU_STRETCHES_MAX)
        alike.left = 0; /* given up */
    alike.steps = mu_plan_steps(alike.left, alike.readers, positions->batch);
    return alike;
}

static bool is_alike(const struct mu_epochs_alike *a, const struct mu_epochs_alike *b)
{
    return a->steps == b->steps && a->left == b->left && a->readers == b->readers;
}

static enum mu_status find_alike(struct mu_positions *positions)
{
    size_t count;
    int64_t *changes = list_changes(positions, &count);
    struct mu_epochs_alike *alike = changes ? calloc(count, sizeof(*alike)) : NULL;
    if (!alike) {
        free(changes);
        return MU_NO_MEMORY;
    }
    free(positions->alike);
    positions->alike = alike;
    positions->alike_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && changes[i] == changes[i - 1])
            continue;
        struct mu_epochs_alike next = look_at(positions, changes[i]);
        if (positions->alike_count == 0 || !is_alike(&alike[positions->alike_count - 1], &next))
            alike[positions->alike_count++] = next;
    }
    free(changes);
    return MU_OK;
}

static int64_t end_of(const struct mu_positions *positions, int i)
{
    return i + 1 < positions->alike_count ? positions->alike[i + 1].first : INT64_MAX;
}

static int alike_at(const struct mu_positions *positions, int64_t epoch)
{
    int i = 0;
    while (epoch >= end_of(positions, i) && i + 1 < positions->alike_count)
        i++;
    return i;
}

/* How many of the epochs [from, to) are among those of entry i. */
static int64_t epochs_within(const struct mu_positions *positions, int i, int64_t from, int64_t to)
{
    int64_t first = positions->alike[i].first, end = end_of(positions, i);
    first = first > from ? first : from;
    end = end < to ? end : to;
    return end > first ? end - first : 0;
}

/* Would a list of now, with what this process does of these epochs, be short enough? The epochs
 * of replica 0 alone and the others are two stretches. */
static bool fits(const struct mu_positions *positions, int64_t epoch)
{
    int count = 0;
    for (int i = 0; i < positions->before_count; i++)
        count += reaches(&positions->before[i], epoch);
    return count + 2 <= MU_POSITIONS_MAX;
}

static void find_first(struct mu_positions *positions)
{
    for (;;) {
        int i = alike_at(positions, positions->epoch);
        if (positions->alike[i].steps == 0 && i + 1 < positions->alike_count)
            positions->epoch = end_of(positions, i);
        else if (!fits(positions, positions->epoch))
            positions->epoch++;
        else
            return;
    }
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
        status = find_alike(positions);
    if (status != MU_OK) {
        mu_positions_finish(positions);
        return status;
    }
    find_first(positions);
    return MU_OK;
}

enum mu_status mu_positions_set_alone(struct mu_positions *positions, int64_t epochs)
{
    positions->alone_epochs = epochs;
    return find_alike(positions);
}

void mu_positions_finish(struct mu_positions *positions)
{
    free(positions->numbers);
    free(positions->alike);
    *positions = (struct mu_positions){0};
}

int64_t mu_positions_steps_left(const struct mu_positions *positions, int replica, int64_t epochs)
{
    int64_t steps = 0;
    for (int i = 0; i < positions->alike_count; i++)
        if (replica < positions->alike[i].readers)
            steps +=
                positions->alike[i].steps * epochs_within(positions, i, positions->epoch, epochs);
    return steps;
}

/* ---- as numbers: epoch, replicas, batch, steps..., one stretch after the other ---- */

/* Where replicas are in several epochs, these follow the steps, and the batch is negative: who does
 * not know of that refuses it. */

#define STRETCH_HEAD 3

size_t mu_positions_pack(const struct mu_positions *positions, int64_t *ret_numbers)
{
    size_t count = 0;
    for (int i = 0; i < positions->before_count; i++) {
        const struct mu_stretch *stretch = &positions->before[i].stretch;
        size_t replicas = (size_t)stretch->replica_count;
        if (ret_numbers) {
            int64_t *at = ret_numbers + count;
            at[0] = positions->before[i].epoch;
            at[1] = stretch->replica_count;
            at[2] = stretch->epochs ? -stretch->batch : stretch->batch;
            memcpy(at + STRETCH_HEAD, stretch->steps_done, replicas * sizeof(*at));
            if (stretch->epochs)
                memcpy(at + STRETCH_HEAD + replicas, stretch->epochs, replicas * sizeof(*at));
        }
        count += STRETCH_HEAD + numbers_of(stretch);
    }
    return count;
}

/* One stretch; false: the numbers are none. */
static bool unpack_one(int64_t *numbers, size_t count, struct mu_position *ret_position)
{
    if (count < STRETCH_HEAD)
        return false;
    int64_t epoch = numbers[0], replicas = numbers[1], batch = numbers[2];
    bool spread = batch < 0;
    if (epoch < 0 || replicas < 1 || replicas > MU_REPLICAS_MAX || batch == 0 ||
        batch > INT32_MAX || batch < -INT32_MAX ||
        (size_t)replicas * (spread ? 2 : 1) > count - STRETCH_HEAD)
        return false;
    int64_t *steps_done = numbers + STRETCH_HEAD, *epochs = steps_done + replicas;
    *ret_position = (struct mu_position){.epoch = epoch,
        .stretch = {.replica_count = (int)replicas,
            .batch = (int)(spread ? -batch : batch),
            .steps_done = steps_done,
            .epochs = spread ? epochs : NULL}};
    for (int64_t r = 0; r < replicas; r++)
        if (steps_done[r] < 0 || (spread && epochs[r] < epoch))
            return false;
    return true;
}

int mu_positions_unpack(int64_t *numbers, size_t count, struct mu_position *ret_list)
{
    int found = 0;
    for (size_t at = 0; at < count; found++) {
        if (found == MU_POSITIONS_MAX || !unpack_one(numbers + at, count - at, &ret_list[found]))
            return -1;
        at += STRETCH_HEAD + numbers_of(&ret_list[found].stretch);
    }
    return found;
}

/* ---- now ---- */

size_t mu_positions_memory(const struct mu_positions *positions)
{
    return 1 + 2 * (size_t)positions->replica_count;
}

/* Steps of an epoch that are counted for a replica. */
static int64_t counted_steps(
    const struct mu_positions *positions, const struct mu_epochs_alike *alike, int replica)
{
    size_t readers = (size_t)alike->readers;
    size_t rows = alike->left % (readers * (size_t)positions->batch);
    bool empty = rows > 0 && rows < readers && (size_t)replica >= rows;
    return alike->steps - (positions->empty_uncounted && empty ? 1 : 0);
}

/* Where a replica stands after `steps` steps: in *ret_epoch, after the returned number of steps. */
static int64_t stand(
    const struct mu_positions *positions, int replica, int64_t steps, int64_t *ret_epoch)
{
    int64_t epoch = positions->epoch;
    if (replica > 0 && epoch < positions->alone_epochs)
        epoch = positions->alone_epochs;
    for (int i = alike_at(positions, epoch); steps > 0; i++) {
        int64_t each = counted_steps(positions, &positions->alike[i], replica);
        int64_t epochs = epochs_within(positions, i, epoch, INT64_MAX);
        bool is_last = i + 1 == positions->alike_count;
        if (each > 0 && steps / each < epochs)
            epochs = steps / each;
        else if (is_last)
            break; /* it never has a sample: nothing was counted */
        steps -= epochs * each;
        epoch += epochs;
        if (epoch < end_of(positions, i))
            break;
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

/* Of an epoch of these, after so many of its steps. */
static int64_t share_of(const struct mu_positions *positions, int i, int replica, int64_t steps)
{
    const struct mu_epochs_alike *alike = &positions->alike[i];
    if (replica >= alike->readers)
        return 0;
    return mu_plan_share(alike->left, alike->readers, positions->batch, replica, steps);
}

int64_t mu_positions_samples(const struct mu_positions *positions, const int64_t *steps_since)
{
    int64_t samples = 0;
    for (int r = 0; r < positions->replica_count; r++) {
        int64_t at, within = stand(positions, r, steps_since[r], &at);
        int present = alike_at(positions, at);
        for (int i = 0; i <= present; i++)
            samples += epochs_within(positions, i, positions->epoch, at) *
                       share_of(positions, i, r, INT64_MAX);
        samples += share_of(positions, present, r, within);
    }
    return samples;
}

static bool is_in_step(const struct mu_stretch *stretch)
{
    for (int r = 1; r < stretch->replica_count; r++)
        if (stretch->steps_done[r] != stretch->steps_done[0])
            return false;
    return !stretch->epochs;
}

/* Two stretches of an epoch that were worked alike, by replicas in step, are one. */
static bool merges(const struct mu_position *before, const struct mu_position *now)
{
    return before->epoch == now->epoch &&
           before->stretch.replica_count == now->stretch.replica_count &&
           before->stretch.batch == now->stretch.batch && is_in_step(&before->stretch) &&
           is_in_step(&now->stretch);
}

struct listing {
    const struct mu_positions *positions;
    const int64_t *steps_since;
    int64_t *memory;
    struct mu_position *list;
    int count;
};

static void add(struct listing *listing, const struct mu_position *position)
{
    assert(listing->count < MU_POSITIONS_MAX);
    listing->list[listing->count++] = *position;
}

/* What this process has done of the epochs [from, to), which so many replicas read. */
static void list_own(struct listing *listing, int64_t from, int64_t to, int readers)
{
    struct mu_position now = {.epoch = from,
        .stretch = {.replica_count = readers,
            .batch = listing->positions->batch,
            .steps_done = listing->memory}};
    int64_t *epochs = listing->memory + readers;
    bool is_spread = false;
    for (int r = 0; r < readers; r++) {
        int64_t at, within = stand(listing->positions, r, listing->steps_since[r], &at);
        epochs[r] = at < from ? from : at < to ? at : to;
        now.stretch.steps_done[r] = epochs[r] == at ? within : 0;
        is_spread |= epochs[r] != from;
    }
    if (is_spread)
        now.stretch.epochs = epochs;
    if (!reaches(&now, from))
        return;
    struct mu_position *last = listing->count > 0 ? &listing->list[listing->count - 1] : NULL;
    if (last && merges(last, &now)) {
        for (int r = 0; r < readers; r++)
            now.stretch.steps_done[r] += last->stretch.steps_done[r];
        *last = now;
    } else {
        add(listing, &now);
    }
    listing->memory += numbers_of(&now.stretch);
}

int mu_positions_now(const struct mu_positions *positions, const int64_t *steps_since,
    int64_t *memory, struct mu_position *ret_list, int64_t *ret_epoch)
{
    int64_t first = INT64_MAX;
    for (int r = 0; r < positions->replica_count; r++) {
        int64_t epoch = mu_positions_epoch(positions, r, steps_since[r]);
        first = epoch < first ? epoch : first;
    }
    struct listing listing = {
        .positions = positions, .steps_since = steps_since, .memory = memory, .list = ret_list};
    for (int i = 0; i < positions->before_count; i++)
        if (reaches(&positions->before[i], first))
            add(&listing, &positions->before[i]);
    /* Those that replica 0 reads alone are a stretch of their own. */
    int64_t alone = positions->alone_epochs;
    if (first < alone)
        list_own(&listing, first, alone, 1);
    list_own(&listing, first > alone ? first : alone, INT64_MAX, positions->replica_count);
    *ret_epoch = first;
    return listing.count;
}
