/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include "runtime/io/host.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_NS (300 * MU_MS)
#define FINISH_NS (2 * MU_SECOND)
#define REDIAL_PATIENCE_NS (2 * MU_SECOND)
#define REDIAL_PAUSE_NS (50 * MU_MS)

static void fill_hello(struct mu_cluster *cluster)
{
    const struct mu_cluster_options *options = &cluster->options;
    const struct mu_task *self = &cluster->spec->task[cluster->spec->self];
    struct mu_hello *hello = &cluster->hello;
    *hello = (struct mu_hello){
        .kind = MU_KIND_CONTROL,
        .role = self->role,
        .index = self->index,
        .spec_hash = cluster->spec->hash,
        .job_hash = options->job_hash,
        .layout_crc32c = options->layout_crc32c,
        .data_crc32c = options->data_crc32c,
        .process = cluster->world->process,
        .started_wall_ns = options->started_wall_ns,
    };
    cluster->world->ops->random_bytes(
        cluster->world, &hello->incarnation, sizeof(hello->incarnation));
    mu_text_copy(hello->host, sizeof(hello->host), cluster->world->host);
    struct mu_text text;
    mu_text_init(&text);
    mu_spec_write(cluster->spec, &text);
    if (!text.failed && text.bytes < sizeof(hello->spec))
        mu_text_copy(hello->spec, sizeof(hello->spec), text.data);
    mu_text_finish(&text);
    if (options->job && strlen(options->job) < sizeof(hello->job))
        mu_text_copy(hello->job, sizeof(hello->job), options->job);
    cluster->options.job = NULL; /* borrowed until here */
}

bool mu_cluster_needs(const struct mu_cluster *cluster, int task)
{
    return task < cluster->spec->task_count && task != cluster->gone &&
           cluster->spec->task[task].role != MU_ROLE_EVALUATOR;
}

enum mu_status mu_cluster_create(
    const struct mu_cluster_options *options, struct mu_cluster **ret_cluster)
{
    struct mu_cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster)
        return MU_NO_MEMORY;
    cluster->options = *options;
    cluster->world = options->world;
    cluster->loop = options->loop;
    cluster->log = options->log;
    cluster->spec = options->spec;
    cluster->leads = options->spec->self == options->spec->leader;
    cluster->suspect = cluster->gone = -1;
    /* One more than there are tasks: an evaluator may be outside the cluster. */
    cluster->member = calloc((size_t)options->spec->task_count + 1, sizeof(*cluster->member));
    cluster->waiting_count = 2 * (4 * options->spec->task_count + 4);
    cluster->waiting = calloc((size_t)cluster->waiting_count, sizeof(*cluster->waiting));
    if (!cluster->member || !cluster->waiting) {
        free(cluster->member);
        free(cluster->waiting);
        free(cluster);
        return MU_NO_MEMORY;
    }
    for (int i = 0; i < options->spec->task_count; i++)
        cluster->needed += mu_cluster_needs(cluster, i);
    fill_hello(cluster);
    *ret_cluster = cluster;
    return MU_OK;
}

/* What was said last should arrive: "refused", "lost", "over". */
static void flush_links(struct mu_cluster *cluster)
{
    int64_t deadline = mu_now(cluster->world) + FLUSH_NS;
    for (int i = 0; i <= cluster->spec->task_count; i++) {
        struct mu_link *link = cluster->member[i].link;
        cluster->member[i].link = NULL;
        if (link)
            mu_link_flush(link, deadline);
    }
}

void mu_cluster_destroy(struct mu_cluster *cluster)
{
    if (!cluster)
        return;
    /* Nobody comes in any more, and nothing is done on a heartbeat. */
    cluster->loop->ops->timer_stop(cluster->timer);
    mu_door_shut(&cluster->door);
    flush_links(cluster);
    mu_door_flush(&cluster->door, mu_now(cluster->world) + FLUSH_NS);
    mu_door_close(&cluster->door);
    for (int i = 0; i <= cluster->spec->task_count; i++)
        mu_caller_finish(&cluster->member[i].caller);
    mu_caller_finish(&cluster->call);
    for (int i = 0; i <= cluster->spec->task_count; i++)
        mu_link_close(cluster->member[i].parting);
    for (int i = 0; i < cluster->waiting_count; i++)
        mu_link_close(cluster->waiting[i].link);
    free(cluster->member);
    free(cluster->waiting);
    free(cluster->accused_with);
    free(cluster);
}

/* ---- links for the layers above ---- */

static void waiting_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    struct mu_waiting_link *waiting = owner;
    waiting->link = NULL;
    mu_link_close(link);
}

static const struct mu_link_events waiting_events = {
    .frame = mu_link_hold,
    .ended = waiting_ended,
};

bool mu_cluster_keep(
    struct mu_cluster *cluster, struct mu_link *link, int task, const struct mu_hello *hello)
{
    for (int i = 0; i < cluster->waiting_count; i++) {
        struct mu_waiting_link *place = &cluster->waiting[i];
        if (place->link)
            continue;
        *place = (struct mu_waiting_link){.link = link,
            .task = task,
            .kind = hello->kind,
            .lane = hello->lane,
            .generation = hello->generation};
        mu_link_adopt(link, &waiting_events, place);
        return true;
    }
    return false;
}

static bool take_waiting(
    struct mu_cluster *cluster, int task, int kind, uint32_t lane, struct mu_link **ret_link)
{
    for (int i = 0; i < cluster->waiting_count; i++) {
        struct mu_waiting_link *place = &cluster->waiting[i];
        bool other = place->generation != 0 && place->generation != cluster->entered;
        if (!place->link || place->task != task || place->kind != kind || place->lane != lane ||
            other)
            continue;
        *ret_link = place->link;
        mu_link_adopt(place->link, &mu_link_hold_events, NULL);
        place->link = NULL;
        return true;
    }
    return false;
}

enum mu_status mu_cluster_answer(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link)
{
    while (!take_waiting(cluster, task, kind, lane, ret_link)) {
        if (cluster->loop->cancelled != MU_OK)
            return cluster->loop->cancelled;
        if (mu_now(cluster->world) >= deadline_ns)
            return MU_TIMEOUT;
        enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline_ns);
        (void)turned;
    }
    return MU_OK;
}

/* What a link for the layers above begins with. */
static struct mu_hello hello_of(const struct mu_cluster *cluster, int kind, uint32_t lane)
{
    struct mu_hello hello = cluster->hello;
    hello.kind = (enum mu_link_kind)kind;
    hello.lane = lane;
    hello.generation = cluster->entered;
    hello.spec[0] = hello.job[0] = '\0';
    return hello;
}

enum mu_status mu_cluster_dial(struct mu_cluster *cluster, int task, int kind, uint32_t lane,
    int64_t deadline_ns, struct mu_link **ret_link)
{
    struct mu_hello hello = hello_of(cluster, kind, lane);
    struct mu_caller caller;
    mu_caller_start(&caller, cluster->loop, &cluster->spec->task[task].address, &hello);
    enum mu_status status = mu_loop_until(cluster->loop, &caller.done, deadline_ns);
    if (status == MU_OK)
        status = caller.status;
    if (status == MU_OK) {
        *ret_link = caller.link;
        mu_link_adopt(caller.link, &mu_link_hold_events, NULL);
        caller.link = NULL;
    } else if (caller.refused) {
        status = mu_fail(cluster->log, caller.refusal.error, NULL, "%s", caller.refusal.text);
    } else if (status == MU_PROTOCOL) {
        status =
            mu_fail(cluster->log, MU_E0404, NULL, "task %d answers a call with nonsense", task);
    }
    mu_caller_finish(&caller);
    return status == MU_UNAVAILABLE && cluster->loop->cancelled == MU_OK ? MU_CLOSED : status;
}

/* ---- links that broke ---- */

void mu_redial_finish(struct mu_redial *redial)
{
    if (redial->calls)
        mu_caller_finish(redial->caller);
    free(redial->caller);
    free(redial->hello);
    *redial = (struct mu_redial){0};
}

enum mu_status mu_redial_init(struct mu_redial *redial, struct mu_cluster *cluster)
{
    *redial = (struct mu_redial){.cluster = cluster};
    redial->caller = calloc(1, sizeof(*redial->caller));
    redial->hello = calloc(1, sizeof(*redial->hello));
    if (redial->caller && redial->hello)
        return MU_OK;
    mu_redial_finish(redial);
    return MU_NO_MEMORY;
}

void mu_redial_start(struct mu_redial *redial, int task, int kind, uint32_t lane)
{
    struct mu_cluster *cluster = redial->cluster;
    int64_t now = mu_now(cluster->world);
    if (redial->calls || now < redial->again_ns)
        return;
    *redial->hello = hello_of(cluster, kind, lane);
    mu_caller_start(
        redial->caller, cluster->loop, &cluster->spec->task[task].address, redial->hello);
    redial->calls = true;
    redial->lane = lane;
    redial->until_ns = now + REDIAL_PATIENCE_NS;
}

bool mu_redial_done(struct mu_redial *redial, struct mu_link **ret_link, uint32_t *ret_lane)
{
    struct mu_caller *caller = redial->caller;
    int64_t now = mu_now(redial->cluster->world);
    if (!redial->calls || (!caller->done && now < redial->until_ns))
        return false;
    bool here = caller->done && caller->status == MU_OK && mu_link_alive(caller->link);
    if (here) {
        *ret_link = caller->link;
        *ret_lane = redial->lane;
        mu_link_adopt(caller->link, &mu_link_hold_events, NULL);
        caller->link = NULL;
    }
    mu_caller_finish(caller);
    redial->calls = false;
    int64_t pause = 2 * redial->pause_ns;
    redial->pause_ns = here                      ? 0
                       : pause < REDIAL_PAUSE_NS ? REDIAL_PAUSE_NS
                       : pause > MU_SECOND       ? MU_SECOND
                                                 : pause;
    redial->again_ns = now + redial->pause_ns;
    return here;
}

/* ---- questions ---- */

uint64_t mu_cluster_run(const struct mu_cluster *cluster)
{
    return cluster->run;
}

uint32_t mu_cluster_generation(const struct mu_cluster *cluster)
{
    return cluster->entered;
}

struct mu_data_shape mu_cluster_shape(const struct mu_cluster *cluster)
{
    return cluster->options.shape;
}

int64_t mu_cluster_last_start_wall_ns(const struct mu_cluster *cluster)
{
    int64_t last = cluster->hello.started_wall_ns;
    for (int i = 0; i < cluster->spec->task_count; i++)
        if (cluster->member[i].hello.started_wall_ns > last)
            last = cluster->member[i].hello.started_wall_ns;
    return last;
}

/* ---- stopping and ending ---- */

bool mu_cluster_stop_wanted(const struct mu_cluster *cluster)
{
    return atomic_load(&cluster->stop_wanted);
}

void mu_cluster_want_stop(struct mu_cluster *cluster)
{
    atomic_store(&cluster->stop_wanted, true);
}

const bool *mu_cluster_over(const struct mu_cluster *cluster)
{
    return &cluster->over;
}

enum mu_status mu_cluster_over_status(const struct mu_cluster *cluster)
{
    return cluster->over_status;
}

enum mu_status mu_cluster_wait_over(struct mu_cluster *cluster)
{
    MU_TRY(mu_loop_until(cluster->loop, &cluster->over, MU_FOREVER));
    return cluster->over_status;
}

static bool everybody_has_gone(const struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++)
        if (mu_cluster_needs(cluster, i) && cluster->member[i].link)
            return false;
    return true;
}

void mu_cluster_finish(struct mu_cluster *cluster, enum mu_status status)
{
    uint8_t memory[64];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 1);
    mu_body_put_int(&body, "status", status);
    cluster->over = true;
    cluster->over_status = status;
    mu_control_broadcast(cluster, MU_FRAME_OVER, &body);
    int64_t deadline = mu_now(cluster->world) + FINISH_NS;
    while (!everybody_has_gone(cluster) && mu_now(cluster->world) < deadline) {
        enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline);
        (void)turned;
    }
}

void mu_cluster_goodbye(struct mu_cluster *cluster, enum mu_status status, const char *text)
{
    if (cluster->failed != MU_OK || cluster->over)
        return;
    char short_text[MU_CLUSTER_TEXT_MAX];
    mu_text_copy(short_text, sizeof(short_text), text);
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 2);
    mu_body_put_int(&body, "exit", mu_status_exit(status));
    mu_body_put_text(&body, "text", short_text);
    /* From here on, links that end are no news. */
    cluster->failed = status;
    mu_control_broadcast(cluster, MU_FRAME_GOODBYE, &body);
}
