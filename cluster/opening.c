/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include "runtime/io/host.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* This task's address: how it comes to listen there, and who may come in. */
#define SAY_EVERY_NS (5 * MU_SECOND)
#define ASK_AGAIN_NS (200 * MU_MS)

int64_t mu_cluster_start_deadline(const struct mu_cluster *cluster)
{
    return mu_deadline(cluster->join_ns, cluster->options.start_timeout_ns);
}

void mu_cluster_add_left(const struct mu_cluster *cluster, struct mu_text *text)
{
    int64_t left_ns = mu_cluster_start_deadline(cluster) - mu_now(cluster->world);
    char left[32];
    mu_text_duration(left, sizeof(left), left_ns > 0 ? left_ns : 0);
    mu_text_add(text, ", %s left", left);
}

bool mu_cluster_time_to_say(struct mu_cluster *cluster)
{
    int64_t now = mu_now(cluster->world);
    if (now - cluster->said_ns < SAY_EVERY_NS)
        return false;
    cluster->said_ns += SAY_EVERY_NS;
    return true;
}

/* ---- the door ---- */

static int task_of_hello(const struct mu_cluster *cluster, const struct mu_hello *hello)
{
    int task = mu_spec_find(cluster->spec, hello->role, hello->index);
    if (task < 0 && hello->role == MU_ROLE_EVALUATOR)
        task = cluster->spec->task_count;
    return task;
}

static bool refuse(struct mu_refusal *refusal, enum mu_error error, const char *text)
{
    refusal->error = error;
    mu_text_copy(refusal->text, sizeof(refusal->text), text);
    return false;
}

static bool refuse_double(const struct mu_hello *there, struct mu_refusal *refusal)
{
    const struct mu_task task = {.role = there->role, .index = there->index};
    char name[MU_TASK_NAME_MAX], since[40], text[256];
    mu_task_name(&task, name, sizeof(name));
    mu_text_time(since, sizeof(since), there->started_wall_ns);
    snprintf(text, sizeof(text), "%s is already running as pid %d on %s since %s", name,
        there->process, there->host, since);
    return refuse(refusal, MU_E0307, text);
}

/* A parameter server that was started again before the end of the last one was seen: a host that
 * lost its power says nothing. True: the one that we had is given up. */
static bool replaces(struct mu_cluster *cluster, int task)
{
    struct mu_member *member = &cluster->member[task];
    int64_t silence = mu_now(cluster->world) - member->heard_ns;
    char who[160], text[MU_CLUSTER_TEXT_MAX];
    if (member->lost && member->joined)
        return false;
    if (!member->lost && (silence < MU_SILENT_BEATS * cluster->options.heartbeat_ns ||
                             !mu_recover_can(cluster, MU_E0401, task)))
        return false;
    mu_cluster_who(cluster, task, who, sizeof(who));
    snprintf(text, sizeof(text), "%s died: it has been started again", who);
    mu_cluster_lose(cluster, MU_E0401, task, text);
    mu_link_close(member->link);
    member->link = NULL;
    return cluster->failed == MU_OK;
}

/* Where one that was killed is started again before we looked, the end of its link is behind the
 * hellos of its successor: that is asked to call again, and by then its end has been read. */
static bool may_have_ended(
    const struct mu_cluster *cluster, int task, const struct mu_hello *successor)
{
    struct mu_member *member = &cluster->member[task];
    int64_t now = mu_now(cluster->world);
    if (cluster->started && !mu_recover_can(cluster, MU_E0401, task))
        return false;
    if (member->asked_again != successor->incarnation)
        member->asked_again_ns = now;
    member->asked_again = successor->incarnation;
    return now - member->asked_again_ns < ASK_AGAIN_NS;
}

static bool greet_member(struct mu_cluster *cluster, int task, struct mu_link *link,
    const struct mu_hello *theirs, struct mu_refusal *refusal)
{
    struct mu_member *member = &cluster->member[task];
    if (!cluster->leads)
        return refuse(refusal, MU_E0404, "this task does not lead the cluster");
    if (task == cluster->spec->self)
        return refuse_double(&cluster->hello, refusal);
    /* The very same process has given up waiting for an answer and calls again. */
    if (member->link && member->hello.incarnation == theirs->incarnation &&
        (!cluster->started || member->lost)) {
        mu_link_close(member->link);
        member->link = NULL;
    }
    if (member->link && !replaces(cluster, task)) {
        refusal->passes = may_have_ended(cluster, task, theirs);
        return refuse_double(&member->hello, refusal);
    }
    if (task == cluster->gone) {
        mu_gone_refuse(cluster, refusal);
        return false;
    }
    if (cluster->started && mu_cluster_needs(cluster, task) && !member->lost)
        return refuse(refusal, MU_E0309,
            "the run is under way, and a task cannot join it again: it will end and can be "
            "resumed");
    member->hello = *theirs;
    mu_control_adopt(cluster, task, link);
    return true;
}

/* What does not fit before the start ends both sides, and with a leader all who have come: nobody
 * trains. */
static void fail_start(struct mu_cluster *cluster, const struct mu_refusal *refusal)
{
    if (cluster->started || cluster->failed != MU_OK)
        return;
    char who[160], text[MU_CLUSTER_TEXT_MAX];
    mu_cluster_who(cluster, cluster->spec->self, who, sizeof(who));
    snprintf(text, sizeof(text), "%s refuses: %s", who, refusal->text);
    if (cluster->leads)
        mu_cluster_tell(cluster, refusal->error, -1, text);
    mu_cluster_fail(cluster,
        mu_fail(cluster->log, refusal->error,
            refusal->help[0] ? refusal->help
                             : "start every task of a cluster with the same spec, job and data",
            "%s", refusal->text));
}

/* For who looks why it has not come. */
static void note_refused(
    struct mu_cluster *cluster, const struct mu_hello *theirs, const struct mu_refusal *refusal)
{
    int task = task_of_hello(cluster, theirs);
    if (task < 0 || cluster->started)
        return;
    struct mu_member *member = &cluster->member[task];
    char text[MU_CLUSTER_TEXT_MAX + 64];
    snprintf(text, sizeof(text), "came as pid %d on %.64s and was refused: %s", theirs->process,
        theirs->host, refusal->text);
    mu_text_copy(member->absent, sizeof(member->absent), text);
}

/* Nobody but a task of this cluster, installed otherwise, calls like that. */
static void on_other_version(void *owner, const char *from, int version)
{
    struct mu_cluster *cluster = owner;
    struct mu_refusal refusal = {
        .error = MU_E0308, .help = "install the same version on every host"};
    snprintf(refusal.text, sizeof(refusal.text),
        "a task that called from %s speaks protocol %d, this task %d", from, version,
        MU_PROTOCOL_VERSION);
    fail_start(cluster, &refusal);
}

/* Who finds its own address taken asks by whom: that they agree is not the question. */
static bool asks_who_is_here(const struct mu_cluster *cluster, const struct mu_hello *theirs)
{
    return theirs->kind == MU_KIND_PROBE && theirs->role == cluster->hello.role &&
           theirs->index == cluster->hello.index;
}

/* The caller is of another run, and waits until this one is gone. */
static void refuse_for_now(const struct mu_cluster *cluster, struct mu_refusal *refusal)
{
    char text[MU_REFUSAL_TEXT_MAX];
    mu_text_copy(text, sizeof(text), refusal->text);
    refusal->passes = true;
    snprintf(refusal->text, sizeof(refusal->text),
        "pid %d is of an older run, was stopped, and is about to end: %.600s",
        cluster->hello.process, text);
}

static bool on_greeted(void *owner, struct mu_link *link, const struct mu_hello *theirs,
    struct mu_refusal *ret_refusal)
{
    struct mu_cluster *cluster = owner;
    if (asks_who_is_here(cluster, theirs))
        return true;
    if (!mu_hello_agrees(&cluster->hello, theirs, ret_refusal)) {
        note_refused(cluster, theirs, ret_refusal);
        fail_start(cluster, ret_refusal);
        if (mu_given_up_is_likely(cluster))
            refuse_for_now(cluster, ret_refusal);
        return false;
    }
    int task = task_of_hello(cluster, theirs);
    if (task < 0)
        return refuse(ret_refusal, MU_E0304, "there is no such task in this cluster");
    if (theirs->kind == MU_KIND_PROBE)
        return true;
    if (theirs->kind == MU_KIND_CONTROL)
        return greet_member(cluster, task, link, theirs, ret_refusal);
    if (!mu_cluster_keep(cluster, link, task, theirs))
        return refuse(ret_refusal, MU_E0404, "too many links wait here");
    return true;
}

/* ---- opening ---- */

static enum mu_status say_held(struct mu_cluster *cluster, const char *address, int port)
{
    struct mu_host_holder holder;
    char help[240];
    const char *host = cluster->spec->task[cluster->spec->self].address.host;
    if (!mu_host_port_holder(host, port, &holder)) {
        snprintf(help, sizeof(help), "`sudo ss -ltnp 'sport = :%d'` shows which", port);
        return mu_fail(cluster->log, MU_E0302, help,
            "%s is in use by another process, which this user may not see", address);
    }
    snprintf(help, sizeof(help),
        "`kill %d` ends it if it is left over; if not, give this task another port in the spec; "
        "`ss -ltnp 'sport = :%d'` looks again",
        holder.process, port);
    if (!holder.stopped)
        return mu_fail(cluster->log, MU_E0302, help, "%s is in use by pid %d (%s)", address,
            holder.process, holder.command);
    snprintf(help, sizeof(help),
        "`kill -KILL %d` ends it, as is right if its run has given it up; if not, `kill -CONT %d` "
        "lets it go on",
        holder.process, holder.process);
    return mu_fail(cluster->log, MU_E0302, help,
        "%s is in use by pid %d (%s), which is stopped (state T)", address, holder.process,
        holder.command);
}

/* Somebody listens at our address. If it is this very task, say so. */
static enum mu_status say_in_use(struct mu_cluster *cluster, const char *address, int port)
{
    struct mu_hello hello = cluster->hello;
    hello.kind = MU_KIND_PROBE;
    struct mu_caller caller;
    mu_caller_start(
        &caller, cluster->loop, &cluster->spec->task[cluster->spec->self].address, &hello);
    int64_t deadline = mu_now(cluster->world) + 500 * MU_MS;
    enum mu_status status = mu_loop_until(cluster->loop, &caller.done, deadline);
    if (status == MU_OK && caller.status == MU_OK && caller.theirs->role == hello.role &&
        caller.theirs->index == hello.index) {
        struct mu_refusal refusal;
        char help[160];
        refuse_double(caller.theirs, &refusal);
        snprintf(help, sizeof(help), "leave it, or `kill %d` on %s ends it", caller.theirs->process,
            caller.theirs->host);
        mu_caller_finish(&caller);
        return mu_fail(cluster->log, MU_E0307, help, "%s", refusal.text);
    }
    mu_caller_finish(&caller);
    return say_held(cluster, address, port);
}

static enum mu_status say_not_open(struct mu_cluster *cluster, enum mu_status status, int error)
{
    const struct mu_address *own = &cluster->spec->task[cluster->spec->self].address;
    char address[MU_HOST_MAX + 16], have[400], help[MU_HOST_MAX + 64];
    mu_address_format(own, address, sizeof(address));
    switch (status) {
    case MU_UNAVAILABLE:
        return say_in_use(cluster, address, own->port);
    case MU_CONFIG:
        mu_host_addresses(have, sizeof(have));
        return mu_fail(cluster->log, MU_E0303,
            "is this the host that the spec means? --task names another task of it",
            "%s is not an address of this host (it has %s)", own->host, have);
    case MU_NO_INPUT:
        snprintf(help, sizeof(help), "`getent hosts %s` shows what the resolver knows", own->host);
        return mu_fail(cluster->log, MU_E0310, help, "the name %s cannot be resolved%s", own->host,
            error == EAGAIN ? ": the resolver has not answered" : "");
    default:
        return mu_fail(
            cluster->log, MU_E0303, NULL, "cannot listen at %s: %s", address, strerror(error));
    }
}

/* A resolver that has not answered yet takes its time without our sleeping. */
static void wait_for_own_name(struct mu_cluster *cluster, int error)
{
    if (error != EAGAIN)
        cluster->world->ops->sleep_until(cluster->world, mu_now(cluster->world) + MU_SECOND);
    if (!mu_cluster_time_to_say(cluster))
        return;
    const struct mu_task *self = &cluster->spec->task[cluster->spec->self];
    char name[MU_TASK_NAME_MAX], tried[32];
    struct mu_text text;
    mu_task_name(self, name, sizeof(name));
    mu_text_init(&text);
    mu_text_duration(tried, sizeof(tried), mu_now(cluster->world) - cluster->join_ns);
    mu_text_add(&text, "%s: the name %s of its own host %s: trying for %s", name,
        self->address.host, error == EAGAIN ? "is still looked up" : "cannot be resolved yet",
        tried);
    mu_cluster_add_left(cluster, &text);
    mu_say(cluster->log, MU_LEVEL_INFO, "%s", text.data);
    mu_text_finish(&text);
}

enum mu_status mu_cluster_open(struct mu_cluster *cluster)
{
    const struct mu_task *self = &cluster->spec->task[cluster->spec->self];
    cluster->join_ns = cluster->said_ns = cluster->ticked_ns = mu_now(cluster->world);
    cluster->door.loop = cluster->loop;
    cluster->door.log = cluster->log;
    cluster->door.ours = &cluster->hello;
    cluster->door.greeted = on_greeted;
    cluster->door.other_version = on_other_version;
    cluster->door.owner = cluster;
    MU_TRY(cluster->loop->ops->timer_start(
        cluster->loop, cluster->options.heartbeat_ns, mu_control_tick, cluster, &cluster->timer));
    /* Only the leader of an evaluator needs an address; nobody calls an evaluator. */
    if (self->role == MU_ROLE_EVALUATOR)
        return MU_OK;
    for (;;) {
        int error = 0;
        enum mu_status status =
            mu_door_open(&cluster->door, &self->address, cluster->options.inherited_fd, &error);
        bool again = status == MU_NO_INPUT &&
                     mu_now(cluster->world) < mu_cluster_start_deadline(cluster) &&
                     !mu_stop_requested(cluster->world);
        if (status == MU_OK)
            return MU_OK;
        if (!again)
            return say_not_open(cluster, status, error);
        wait_for_own_name(cluster, error);
    }
}
