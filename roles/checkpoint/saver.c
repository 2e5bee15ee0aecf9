/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/saver.h"
#include <stdlib.h>

static void enter(struct mu_saver *saver)
{
    saver->world->ops->enter(saver->world, saver->monitor);
}

static void leave(struct mu_saver *saver)
{
    saver->world->ops->leave(saver->world, saver->monitor);
}

static void change(struct mu_saver *saver, int state)
{
    saver->state = state;
    saver->world->ops->notify(saver->world, saver->monitor);
}

static void await(struct mu_saver *saver)
{
    enum mu_status waited = saver->world->ops->wait(saver->world, saver->monitor, MU_FOREVER);
    (void)waited;
}

/* Rows that servers keep are on the disk by now, and what went wrong there has been heard. */
static enum mu_status save(struct mu_saver *saver)
{
    struct mu_row_spool *spool = saver->snapshot.runs ? &saver->spool : NULL;
    struct mu_log *log = spool ? &saver->trouble.heard : mu_save_trouble_listen(&saver->trouble);
    enum mu_status status = spool ? mu_row_spool_close(spool) : MU_OK;
    if (status == MU_OK)
        status = mu_checkpoint_save(saver->store, log, &saver->snapshot, saver->keep);
    if (spool)
        mu_row_spool_end(spool);
    return status;
}

/* Who reads both in between finds the same step twice, not neither. */
static void note_written(struct mu_saver *saver, enum mu_status status)
{
    if (status == MU_OK)
        atomic_store(&saver->saved->whole, saver->snapshot.step);
    atomic_store(&saver->saved->written, 0);
}

static void run_writer(void *argument)
{
    struct mu_saver *saver = argument;
    enter(saver);
    for (;;) {
        if (saver->state != MU_SAVER_FULL && saver->leaving)
            break;
        if (saver->state != MU_SAVER_FULL) {
            if (mu_row_spool_has_work(&saver->spool))
                mu_row_spool_work(&saver->spool);
            else
                await(saver);
            continue;
        }
        leave(saver);
        mu_go_on_note_saving(saver->go_on);
        enum mu_status status = save(saver);
        if (status == MU_OK)
            mu_go_on_note_saved(saver->go_on);
        if (saver->saved)
            note_written(saver, status);
        mu_save_trouble_note(&saver->trouble, saver->snapshot.step, status, saver->is_last);
        enter(saver);
        saver->status = status;
        change(saver, MU_SAVER_IDLE);
    }
    leave(saver);
}

static enum mu_status make_buffers(struct mu_saver *saver, size_t position_numbers)
{
    struct mu_snapshot *snapshot = &saver->snapshot;
    size_t count = snapshot->layout->element_count;
    saver->memory = calloc(position_numbers + 1, sizeof(*saver->memory));
    if (!saver->memory)
        return MU_NO_MEMORY;
    snapshot->positions = saver->positions;
    for (int i = 0; i <= snapshot->slot_count; i++)
        MU_TRY(mu_arena_init(&saver->vectors[i], count));
    snapshot->parameters = saver->vectors[0].data;
    for (int i = 0; i < snapshot->slot_count; i++)
        snapshot->slots[i] = saver->vectors[1 + i].data;
    return MU_OK;
}

enum mu_status mu_saver_start(struct mu_saver *saver, struct mu_world *world, struct mu_log *log,
    const struct mu_snapshot *fixed, int keep, size_t position_numbers)
{
    *saver =
        (struct mu_saver){.world = world, .store = world->store, .keep = keep, .snapshot = *fixed};
    mu_save_trouble_init(&saver->trouble, world, world->store, log);
    enum mu_status status = make_buffers(saver, position_numbers);
    if (status == MU_OK)
        status = world->ops->monitor_create(world, &saver->monitor);
    if (status == MU_OK)
        status = world->ops->spawn(world, "saver", run_writer, saver, &saver->thread);
    if (status != MU_OK)
        mu_saver_stop(saver);
    return status;
}

void mu_saver_stop(struct mu_saver *saver)
{
    if (!saver->world)
        return;
    if (saver->thread) {
        enter(saver);
        saver->leaving = true;
        saver->world->ops->notify(saver->world, saver->monitor);
        leave(saver);
        saver->world->ops->join(saver->world, saver->thread);
    }
    saver->world->ops->monitor_destroy(saver->world, saver->monitor);
    for (int i = 0; i <= MU_SLOTS_MAX; i++)
        mu_arena_finish(&saver->vectors[i]);
    mu_arena_finish(&saver->residuals);
    mu_saved_rows_finish(&saver->rows);
    mu_row_spool_finish(&saver->spool);
    free(saver->memory);
    *saver = (struct mu_saver){0};
}

bool mu_saver_begin(struct mu_saver *saver, bool wait)
{
    enter(saver);
    while (wait && saver->state != MU_SAVER_IDLE)
        await(saver);
    bool free_now = saver->state == MU_SAVER_IDLE;
    if (free_now) {
        saver->state = MU_SAVER_FILLING;
        saver->is_last = wait;
    }
    leave(saver);
    return free_now;
}

void mu_saver_expect_rows(struct mu_saver *saver, size_t width)
{
    saver->rows.width = width;
    saver->rows.slot_count = saver->snapshot.slot_count;
    saver->snapshot.rows = &saver->rows;
}

void mu_saver_expect_spooled_rows(struct mu_saver *saver, size_t width)
{
    enter(saver); /* the writer looks for work there already */
    mu_row_spool_init(&saver->spool, saver->world, saver->monitor, &saver->trouble, width,
        saver->snapshot.slot_count);
    leave(saver);
    saver->snapshot.runs = &saver->spool.runs;
    saver->snapshot.ret_parameters_crc32c = &saver->parameters_crc32c;
}

void mu_saver_submit(struct mu_saver *saver)
{
    enter(saver);
    if (saver->saved)
        atomic_store(&saver->saved->written, saver->snapshot.step);
    change(saver, MU_SAVER_FULL);
    leave(saver);
}

void mu_saver_drop(struct mu_saver *saver)
{
    enter(saver);
    if (saver->snapshot.runs)
        mu_row_spool_drop(&saver->spool);
    change(saver, MU_SAVER_IDLE);
    leave(saver);
}

enum mu_status mu_saver_drain(struct mu_saver *saver)
{
    enter(saver);
    while (saver->state == MU_SAVER_FULL)
        await(saver);
    enum mu_status status = saver->status;
    leave(saver);
    return status;
}

enum mu_status mu_saver_end(struct mu_saver *saver)
{
    enum mu_status status = mu_saver_drain(saver);
    return status == MU_OK ? MU_OK : mu_save_trouble_end(&saver->trouble, saver->go_on);
}
