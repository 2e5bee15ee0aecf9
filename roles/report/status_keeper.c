/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/status_keeper.h"
#include "runtime/io/host.h"
#include "runtime/io/kept_file.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct mu_status_keeper {
    struct mu_world *world;
    struct mu_log *log;
    struct mu_monitor *monitor;
    struct mu_thread *thread;
    struct mu_status_page page;
    struct mu_text text; /* the writer's alone */
    bool due, leaving, said;
    size_t room_bytes;
    char path[2200];
};

/* More than the page ever has of the run, and of a task and its load. */
#define RUN_BYTES ((size_t)16 << 10)
#define TASK_BYTES ((size_t)1 << 10)

/* ---- writing ---- */

static void write_file(struct mu_status_keeper *keeper)
{
    errno = ENOMEM;
    if (!keeper->text.failed &&
        mu_kept_file_write(keeper->path, keeper->text.data, keeper->text.bytes, keeper->room_bytes))
        return;
    if (!keeper->said)
        mu_say(keeper->log, MU_LEVEL_WARN, "cannot write %s: %s; `muster status` will not know",
            keeper->path, strerror(errno));
    keeper->said = true;
}

/* Inside: the page is not to change while its text is made. */
static void make_text(struct mu_status_keeper *keeper)
{
    keeper->page.written_wall_ns = keeper->world->ops->wall_ns(keeper->world);
    mu_status_page_write(&keeper->page, &keeper->text);
    keeper->due = false;
}

static void run_thread(void *argument)
{
    struct mu_status_keeper *keeper = argument;
    struct mu_world *world = keeper->world;
    world->ops->enter(world, keeper->monitor);
    for (;;) {
        while (!keeper->due && !keeper->leaving) {
            enum mu_status waited = world->ops->wait(world, keeper->monitor, MU_FOREVER);
            (void)waited;
        }
        if (!keeper->due)
            break;
        make_text(keeper);
        world->ops->leave(world, keeper->monitor);
        write_file(keeper);
        world->ops->enter(world, keeper->monitor);
    }
    world->ops->leave(world, keeper->monitor);
}

/* ---- the page ---- */

static enum mu_status make_page(struct mu_status_keeper *keeper, const struct mu_job *job,
    const struct mu_spec *spec, int64_t started_wall_ns)
{
    struct mu_status_page *page = &keeper->page;
    struct mu_world *world = keeper->world;
    *page = (struct mu_status_page){
        .started_wall_ns = started_wall_ns,
        .process = world->process,
        .process_started = mu_host_process_started(world->process),
        .progress = {.loss = (double)NAN,
            .accuracy = (double)NAN,
            .samples_per_second = (double)NAN,
            .seconds_left = (double)NAN},
        .task_count = spec->task_count,
    };
    page->task = calloc((size_t)spec->task_count, sizeof(*page->task));
    if (!page->task)
        return MU_NO_MEMORY;
    mu_text_copy(page->run, sizeof(page->run), job->name);
    mu_text_copy(page->host, sizeof(page->host), world->host);
    mu_task_name(&spec->task[spec->leader], page->leader, sizeof(page->leader));
    for (int i = 0; i < spec->task_count; i++) {
        struct mu_status_task *task = &page->task[i];
        mu_task_name(&spec->task[i], task->name, sizeof(task->name));
        if (!spec->local && spec->task[i].address.host[0])
            mu_address_format(&spec->task[i].address, task->address, sizeof(task->address));
    }
    return MU_OK;
}

/* Until it looks itself, which is when its data are there: it is here, and starts. */
static void note_leader(struct mu_status_keeper *keeper, const struct mu_spec *spec)
{
    struct mu_status_page *page = &keeper->page;
    struct mu_world *world = keeper->world;
    const struct mu_task_view view = {.here = true,
        .joined = true,
        .process = world->process,
        .host = world->host,
        .started_wall_ns = page->started_wall_ns,
        .heard_wall_ns = world->ops->wall_ns(world),
        .doing = MU_DOING_STARTING,
        .absent = ""};
    mu_status_page_look(&page->task[spec->leader], &view, mu_now(world));
}

struct mu_status_page *mu_status_keeper_enter(struct mu_status_keeper *keeper)
{
    keeper->world->ops->enter(keeper->world, keeper->monitor);
    return &keeper->page;
}

void mu_status_keeper_leave(struct mu_status_keeper *keeper, bool write)
{
    keeper->due = keeper->due || write;
    if (write)
        keeper->world->ops->notify(keeper->world, keeper->monitor);
    keeper->world->ops->leave(keeper->world, keeper->monitor);
}

/* ---- life ---- */

static void destroy(struct mu_status_keeper *keeper)
{
    keeper->world->ops->monitor_destroy(keeper->world, keeper->monitor);
    mu_text_finish(&keeper->text);
    free(keeper->page.task);
    free(keeper);
}

enum mu_status mu_status_keeper_start(struct mu_world *world, struct mu_log *log,
    const char *directory, const struct mu_job *job, const struct mu_spec *spec,
    int64_t started_wall_ns, struct mu_status_keeper **ret_keeper)
{
    struct mu_status_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return MU_NO_MEMORY;
    keeper->world = world;
    keeper->log = log;
    mu_text_init(&keeper->text);
    mu_format(keeper->path, sizeof(keeper->path), "%s/status.json", directory);
    int listed = spec->task_count < MU_STATUS_TASKS_MAX ? spec->task_count : MU_STATUS_TASKS_MAX;
    keeper->room_bytes = RUN_BYTES + (size_t)listed * TASK_BYTES;
    enum mu_status status = make_page(keeper, job, spec, started_wall_ns);
    if (status == MU_OK)
        note_leader(keeper, spec);
    if (status == MU_OK)
        status = world->ops->monitor_create(world, &keeper->monitor);
    if (status == MU_OK) {
        make_text(keeper);
        write_file(keeper);
        status = world->ops->spawn(world, "status", run_thread, keeper, &keeper->thread);
    }
    if (status != MU_OK) {
        destroy(keeper);
        return status;
    }
    *ret_keeper = keeper;
    return MU_OK;
}

void mu_status_keeper_foresee(struct mu_status_keeper *keeper, int exit)
{
    struct mu_status_page *page = mu_status_keeper_enter(keeper);
    page->phase = MU_STATUS_ENDED;
    page->exit = exit;
    mu_status_keeper_leave(keeper, true);
}

void mu_status_keeper_stop(struct mu_status_keeper *keeper, int exit)
{
    if (!keeper)
        return;
    struct mu_status_page *page = mu_status_keeper_enter(keeper);
    page->phase = MU_STATUS_ENDED;
    page->exit = exit;
    page->error_number = keeper->log->first_number;
    mu_text_copy(page->error, sizeof(page->error), keeper->log->first_text);
    mu_text_copy(page->error_help, sizeof(page->error_help), keeper->log->first_help);
    keeper->leaving = true;
    mu_status_keeper_leave(keeper, true);
    keeper->world->ops->join(keeper->world, keeper->thread);
    mu_kept_file_finish(keeper->path);
    destroy(keeper);
}
