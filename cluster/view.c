/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <string.h>

/*
 * What the leader sees of everybody, beyond what it needs to name who is lost. A parameter server's
 * heartbeats carry its load, a replica's what became of its gradients. Who must have numbers of now
 * asks for them: a heartbeat with a number, which the other answers at once with a heartbeat that
 * repeats it.
 */

/* ---- in heartbeats ---- */

/* Nobody but the leader wants to know. */
static bool tells_counts(const struct mu_cluster *cluster)
{
    return cluster->counts && !cluster->leads;
}

int mu_view_field_count(const struct mu_cluster *cluster)
{
    return (cluster->load != NULL) + tells_counts(cluster) + (cluster->asked > 0) +
           (cluster->answered > 0);
}

static void note_own_counts(struct mu_cluster *cluster)
{
    struct mu_member *self = &cluster->member[cluster->spec->self];
    if (!cluster->counts)
        return;
    self->count_count = cluster->counts(cluster->counts_owner, self->counts);
    assert(self->count_count <= MU_CLUSTER_COUNTS_MAX);
}

void mu_view_put(struct mu_cluster *cluster, struct mu_body *body)
{
    if (cluster->load) {
        struct mu_load load = {0};
        cluster->load(cluster->load_owner, &load);
        mu_body_put_ints(body, "load", load.value, MU_LOAD_COUNT);
    }
    if (tells_counts(cluster)) {
        const struct mu_member *self = &cluster->member[cluster->spec->self];
        note_own_counts(cluster);
        mu_body_put_ints(body, "counts", self->counts, self->count_count);
    }
    if (cluster->asked > 0)
        mu_body_put_int(body, "asks", cluster->asked);
    if (cluster->answered > 0)
        mu_body_put_int(body, "answers", cluster->answered);
}

static void read_load(struct mu_member *member, struct mu_decoder *decoder)
{
    struct mu_load load = {0};
    size_t count;
    if (!mu_decoder_ints(decoder, "load", load.value, MU_LOAD_COUNT, &count) ||
        count != MU_LOAD_COUNT)
        return;
    member->load = load;
    member->has_load = true;
}

static void read_counts(struct mu_member *member, struct mu_decoder *decoder)
{
    int64_t counts[MU_CLUSTER_COUNTS_MAX];
    size_t count;
    if (!mu_decoder_ints(decoder, "counts", counts, MU_CLUSTER_COUNTS_MAX, &count))
        return;
    memcpy(member->counts, counts, count * sizeof(*counts));
    member->count_count = count;
}

void mu_view_read(struct mu_cluster *cluster, int from, struct mu_decoder *decoder)
{
    struct mu_member *member = &cluster->member[from];
    int64_t asks;
    read_load(member, decoder);
    read_counts(member, decoder);
    mu_decoder_int(decoder, "answers", 0, cluster->asked, &member->answered);
    if (cluster->leads || !mu_decoder_int(decoder, "asks", 0, INT64_MAX, &asks) ||
        asks <= cluster->answered)
        return;
    cluster->answered = asks;
    mu_control_note_self(cluster, mu_now(cluster->world));
    mu_control_beat(cluster, mu_now(cluster->world));
}

/* ---- asking ---- */

static bool all_have_answered(const struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++) {
        const struct mu_member *member = &cluster->member[i];
        if (cluster->spec->task[i].role == MU_ROLE_PS && member->link &&
            member->answered < cluster->asked)
            return false;
    }
    return true;
}

enum mu_status mu_cluster_ask_loads(struct mu_cluster *cluster, int64_t deadline_ns)
{
    assert(cluster->leads);
    cluster->asked++;
    mu_control_note_self(cluster, mu_now(cluster->world));
    mu_control_beat(cluster, mu_now(cluster->world));
    while (!all_have_answered(cluster)) {
        if (cluster->loop->cancelled != MU_OK)
            return cluster->loop->cancelled;
        if (mu_now(cluster->world) >= deadline_ns)
            return MU_TIMEOUT;
        enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline_ns);
        (void)turned; /* whether something ran shows in what has changed */
    }
    return MU_OK;
}

void mu_cluster_tell_load(
    struct mu_cluster *cluster, void (*load)(void *owner, struct mu_load *ret_load), void *owner)
{
    cluster->load = load;
    cluster->load_owner = owner;
}

void mu_cluster_tell_counts(struct mu_cluster *cluster,
    size_t (*counts)(void *owner, int64_t out[MU_CLUSTER_COUNTS_MAX]), void *owner)
{
    cluster->counts = counts;
    cluster->counts_owner = owner;
}

/* ---- looking ---- */

bool mu_cluster_started(const struct mu_cluster *cluster)
{
    return cluster->started;
}

/* Before the start for all that it needs, later for servers that may come back. */
static int64_t awaited_ns(const struct mu_cluster *cluster, int task, int64_t now)
{
    const struct mu_member *member = &cluster->member[task];
    bool awaited = cluster->leads && task != cluster->spec->self && cluster->failed == MU_OK &&
                   (cluster->started ? member->lost : mu_cluster_needs(cluster, task)) &&
                   !member->joined;
    int64_t until =
        cluster->started ? cluster->paused_until_ns : mu_cluster_start_deadline(cluster);
    return awaited && until > now ? until - now : 0;
}

struct mu_task_view mu_cluster_view(struct mu_cluster *cluster, int task)
{
    assert(task >= 0 && task < cluster->spec->task_count);
    bool is_self = task == cluster->spec->self;
    int64_t now = mu_now(cluster->world);
    if (is_self) {
        mu_control_note_self(cluster, now);
        note_own_counts(cluster);
    }
    const struct mu_member *member = &cluster->member[task];
    const struct mu_hello *hello = is_self ? &cluster->hello : &member->hello;
    return (struct mu_task_view){
        .here = is_self || member->link,
        .joined = is_self || member->joined,
        .done = member->done,
        .process = hello->process,
        .host = hello->host,
        .started_wall_ns = hello->started_wall_ns,
        .heard_wall_ns = cluster->world->ops->wall_ns(cluster->world) - (now - member->heard_ns),
        .heard_age_ns = now - member->heard_ns,
        .doing = member->doing,
        .step = member->step,
        .doing_age_ns = (is_self || member->link ? now : member->heard_ns) - member->since_ns,
        .samples = member->samples,
        .absent = member->absent,
        .awaited_ns = awaited_ns(cluster, task, now),
        .load = member->has_load ? &member->load : NULL,
        .counts = {member->counts, member->count_count},
    };
}
