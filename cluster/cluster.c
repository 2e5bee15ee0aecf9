/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include "runtime/io/host.h"
#include <stdlib.h>
#include <string.h>

#define FLUSH_NS (300 * MU_MS)
#define FINISH_NS (2 * MU_SECOND)

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
    cluster->named = -1;
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
