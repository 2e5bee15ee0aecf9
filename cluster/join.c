/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 *   member                          leader
 *   listens                         listens
 *   calls the leader  --hello-->    is it one of ours, with the same spec, job, model, data?
 *                     <--hello--
 *                     <--waiting--  every five seconds: for whom
 *                                   calls who is missing, to learn why
 *                     <--start---   all are here: the run id, generation 1
 */
#define CALL_PAUSE_MIN_NS (50 * MU_MS)
#define CALL_PAUSE_MAX_NS MU_SECOND
#define CALL_PATIENCE_NS (2 * MU_SECOND)
/* Those who are a little later than the leader are not called: they come by themselves. */
#define PROBE_AFTER_NS MU_SECOND
#define SETTLING_TURNS_MAX 64
/* A leader that gives up when its members do has so long to tell them for whom it waited. */
#define VERDICT_NS MU_SECOND

static void turn(struct mu_cluster *cluster, int64_t deadline_ns)
{
    enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline_ns);
    (void)turned; /* whether something ran shows in what has changed */
}

/* Half of it to all of it, so that tasks that started together do not call together. */
static int64_t jittered(struct mu_cluster *cluster, int64_t pause_ns)
{
    uint32_t random;
    cluster->world->ops->random_bytes(cluster->world, &random, sizeof(random));
    return pause_ns / 2 + (int64_t)((double)random / UINT32_MAX * (double)(pause_ns / 2));
}

/* ---- what a failed call means ---- */

/* Another service, another version or a refusal will not change by waiting. */
static enum mu_status call_verdict(
    struct mu_cluster *cluster, int task, const struct mu_caller *caller)
{
    const struct mu_refusal *refusal = &caller->refusal;
    char who[160];
    mu_cluster_who(cluster, task, who, sizeof(who));
    if (caller->refused && !refusal->passes)
        return mu_fail(cluster->log, refusal->error, refusal->help[0] ? refusal->help : NULL,
            "%s refuses: %s", who, refusal->text);
    if (caller->peer_version != 0)
        return mu_fail(cluster->log, MU_E0308, "install the same version on every host",
            "%s speaks protocol %d, this task %d", who, caller->peer_version, MU_PROTOCOL_VERSION);
    if (caller->echoed)
        return mu_fail(cluster->log, MU_E0306, "check the address in the cluster spec",
            "the peer at %s sends back what it is sent: it is not muster", who);
    if (caller->stray[0])
        return mu_fail(cluster->log, MU_E0306, "check the address in the cluster spec",
            "the peer at %s answered `%s`, not muster", who, caller->stray);
    return MU_OK;
}

/* Of a process that is stopped the kernel still accepts connections. */
static void add_mute(const struct mu_cluster *cluster, int task, char out[MU_CLUSTER_ABSENT_MAX])
{
    const struct mu_address *address = &cluster->spec->task[task].address;
    char age[32];
    mu_text_duration(
        age, sizeof(age), mu_now(cluster->world) - cluster->member[task].mute_since_ns);
    snprintf(out, MU_CLUSTER_ABSENT_MAX,
        "it accepts connections but has not answered for %s: it is stopped or hangs, or is not "
        "muster; on %.100s `ps -o pid,stat,cmd -C muster` shows state T of one that is stopped, "
        "`ss "
        "-ltnp 'sport = :%d'` who listens",
        age, address->host, address->port);
}

/* Why the call has not brought it, in words. */
static void say_reason(
    struct mu_cluster *cluster, int task, struct mu_caller *caller, char out[MU_CLUSTER_ABSENT_MAX])
{
    struct mu_member *member = &cluster->member[task];
    bool is_under_way = !caller->done && !caller->connected;
    if (!is_under_way)
        member->call_error = caller->error;
    if (!mu_caller_is_mute(caller)) {
        member->mute_since_ns = 0;
        if (is_under_way && member->call_error != 0)
            mu_format(out, MU_CLUSTER_ABSENT_MAX, "%s, then no answer",
                mu_caller_error_text(member->call_error));
        else
            mu_text_copy(out, MU_CLUSTER_ABSENT_MAX, mu_caller_reason(caller));
        return;
    }
    if (member->mute_since_ns == 0)
        member->mute_since_ns = member->called_ns;
    add_mute(cluster, task, out);
}

/* ---- saying for whom we wait ---- */

/* Since when it is waited for: that of a task that was there is not the age of this one. */
static void add_since(const struct mu_cluster *cluster, int task, struct mu_text *text)
{
    int64_t lost_ns = cluster->member[task].lost_ns, now = mu_now(cluster->world);
    char age[32], time[40];
    mu_text_duration(age, sizeof(age), now - (lost_ns ? lost_ns : cluster->join_ns));
    mu_text_time(
        time, sizeof(time), cluster->world->ops->wall_ns(cluster->world) - (now - lost_ns));
    if (lost_ns)
        mu_text_add(text, " (gone since %s, %s ago)", time, age);
    else
        mu_text_add(text, " (it has not joined in %s of waiting)", age);
}

void mu_cluster_say_how_to_start(struct mu_cluster *cluster, int task)
{
    char name[MU_TASK_NAME_MAX] = "evaluator/0", start[MU_CLUSTER_GO_ON_MAX];
    if (!mu_cluster_how_to_start(cluster, task, start))
        return;
    if (task < cluster->spec->task_count)
        mu_task_name(&cluster->spec->task[task], name, sizeof(name));
    mu_say(cluster->log, MU_LEVEL_INFO, "`%s` starts %s, if nothing else does", start, name);
}

static int first_missing(const struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++)
        if (i != cluster->spec->self && mu_cluster_needs(cluster, i) && !cluster->member[i].joined)
            return i;
    return -1;
}

int mu_cluster_missing_count(const struct mu_cluster *cluster)
{
    int missing = 0;
    for (int i = 0; i < cluster->spec->task_count; i++)
        missing +=
            i != cluster->spec->self && mu_cluster_needs(cluster, i) && !cluster->member[i].joined;
    return missing;
}

void mu_cluster_list_missing(const struct mu_cluster *cluster, int most, struct mu_text *text)
{
    int listed = 0, missing = mu_cluster_missing_count(cluster);
    for (int i = 0; i < cluster->spec->task_count && listed < most; i++) {
        const struct mu_member *member = &cluster->member[i];
        if (i == cluster->spec->self || !mu_cluster_needs(cluster, i) || member->joined)
            continue;
        char who[160];
        mu_cluster_who(cluster, i, who, sizeof(who));
        mu_text_add(text, "%s%s%s%s", listed ? ", " : "", who, member->absent[0] ? ": " : "",
            member->absent);
        add_since(cluster, i, text);
        listed++;
    }
    if (missing > listed)
        mu_text_add(text, " and %d more", missing - listed);
}

static void put_short(struct mu_body *body, const char *key, const char *text)
{
    char short_text[MU_CLUSTER_TEXT_MAX];
    mu_text_copy(short_text, sizeof(short_text), text);
    mu_body_put_text(body, key, short_text);
}

static void say_missing(struct mu_cluster *cluster)
{
    struct mu_text text, missing;
    mu_text_init(&text);
    mu_text_init(&missing);
    mu_cluster_list_missing(cluster, 3, &missing);
    mu_text_add(&text, "waiting for %d of %d tasks: %s", mu_cluster_missing_count(cluster),
        cluster->needed, missing.data);
    mu_cluster_add_left(cluster, &text);
    mu_say(cluster->log, MU_LEVEL_INFO, "%s", text.data);
    if (!cluster->start_said)
        mu_cluster_say_how_to_start(cluster, first_missing(cluster));
    cluster->start_said = true;
    uint8_t memory[2 * MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 2);
    put_short(&body, "text", text.data);
    put_short(&body, "missing", missing.data);
    mu_control_broadcast(cluster, MU_FRAME_WAITING, &body);
    mu_text_finish(&text);
    mu_text_finish(&missing);
}

/* ---- the leader's side ---- */

static enum mu_status end_probe(struct mu_cluster *cluster, int task)
{
    struct mu_member *member = &cluster->member[task];
    struct mu_caller *caller = &member->caller;
    int64_t now = mu_now(cluster->world);
    enum mu_status status = MU_OK;
    if (caller->done && caller->status == MU_OK) {
        member->call_error = 0;
        snprintf(member->absent, sizeof(member->absent), "is there, but has not called yet");
    } else {
        say_reason(cluster, task, caller, member->absent);
        status = call_verdict(cluster, task, caller);
    }
    mu_caller_finish(caller);
    int64_t pause = 2 * member->call_pause_ns;
    member->call_pause_ns = pause < 500 * MU_MS     ? 500 * MU_MS
                            : pause > 4 * MU_SECOND ? 4 * MU_SECOND
                                                    : pause;
    member->call_again_ns = now + jittered(cluster, member->call_pause_ns);
    return status;
}

static enum mu_status probe_missing(struct mu_cluster *cluster, const struct mu_hello *hello)
{
    int64_t now = mu_now(cluster->world);
    for (int i = 0; i < cluster->spec->task_count; i++) {
        struct mu_member *member = &cluster->member[i];
        if (i == cluster->spec->self || !mu_cluster_needs(cluster, i))
            continue;
        bool calling = member->caller.theirs != NULL;
        if (calling && (member->caller.done || now >= member->call_again_ns))
            MU_TRY(end_probe(cluster, i));
        else if (!calling && !member->joined && now >= member->call_again_ns) {
            member->called_ns = now;
            member->call_again_ns = now + CALL_PATIENCE_NS;
            mu_caller_start(&member->caller, cluster->loop, &cluster->spec->task[i].address, hello);
        }
    }
    return MU_OK;
}

static void end_probes(struct mu_cluster *cluster)
{
    for (int i = 0; i < cluster->spec->task_count; i++)
        mu_caller_finish(&cluster->member[i].caller);
}

/* "; `ip route get 10.0.0.2` shows the way to it": what of its address can be seen from here. */
static void add_how_to_look(const struct mu_cluster *cluster, int task, struct mu_text *help)
{
    const struct mu_address *address = &cluster->spec->task[task].address;
    unsigned char number[sizeof(struct in6_addr)];
    bool is_number = inet_pton(AF_INET, address->host, number) == 1 ||
                     inet_pton(AF_INET6, address->host, number) == 1;
    if (mu_address_is_loopback(address))
        return;
    mu_text_add(help,
        is_number ? "; `ip route get %s` shows which way there is to it"
                  : "; `getent hosts %s` shows what its name means on this host",
        address->host);
}

/* What to type for a task that has not come. */
static void add_how_to_bring(
    const struct mu_cluster *cluster, int task, const char *what, struct mu_text *help)
{
    char start[MU_CLUSTER_GO_ON_MAX];
    mu_text_add(help, "%s", what);
    if (mu_cluster_how_to_start(cluster, task, start))
        mu_text_add(help, " (`%s`)", start);
    mu_text_add(
        help, ", or give %s longer with --start-timeout SECONDS", cluster->leads ? "them" : "it");
    add_how_to_look(cluster, task, help);
}

static enum mu_status say_never_came(struct mu_cluster *cluster)
{
    struct mu_text text, help;
    char waited[32];
    mu_text_init(&text);
    mu_text_init(&help);
    add_how_to_bring(
        cluster, first_missing(cluster), "start the missing tasks, each on its host", &help);
    mu_text_duration(waited, sizeof(waited), cluster->options.start_timeout_ns);
    mu_cluster_list_missing(cluster, MU_TASKS_MAX, &text);
    enum mu_status status =
        mu_fail(cluster->log, MU_E0301, help.data, "%d of %d tasks did not come within %s: %s",
            mu_cluster_missing_count(cluster), cluster->needed, waited, text.data);
    mu_text_finish(&text);
    mu_text_finish(&help);
    mu_cluster_goodbye(cluster, status, cluster->log->first_text);
    return status;
}

/* One that is called answers in a way that no waiting changes: the others need not wait either. */
static enum mu_status give_up(struct mu_cluster *cluster, enum mu_status status)
{
    enum mu_error error;
    if (mu_error_find(cluster->log->first_number, &error))
        mu_cluster_tell(cluster, error, -1, cluster->log->first_text);
    mu_cluster_fail(cluster, status);
    return status;
}

static void begin_run(struct mu_cluster *cluster)
{
    while (cluster->run == 0)
        cluster->world->ops->random_bytes(cluster->world, &cluster->run, sizeof(cluster->run));
    cluster->hello.run = cluster->run;
    cluster->started = true;
    mu_recover_begin(cluster);
}

/* Who has given up on a leader that was slow calls again on another link: the end of the first one
 * is behind its hello, and has to be seen before the start makes a death of it. */
static bool all_stay(struct mu_cluster *cluster)
{
    for (int turns = 0; turns < SETTLING_TURNS_MAX && cluster->failed == MU_OK; turns++)
        if (cluster->loop->ops->turn(cluster->loop, mu_now(cluster->world)) == MU_TIMEOUT)
            break;
    return mu_cluster_missing_count(cluster) == 0;
}

static enum mu_status gather(struct mu_cluster *cluster)
{
    int64_t deadline = mu_cluster_start_deadline(cluster), now = mu_now(cluster->world);
    cluster->probe = cluster->hello;
    cluster->probe.kind = MU_KIND_PROBE;
    for (int i = 0; i < cluster->spec->task_count; i++)
        cluster->member[i].call_again_ns = now + PROBE_AFTER_NS;
    while (mu_cluster_missing_count(cluster) > 0 || !all_stay(cluster)) {
        turn(cluster, mu_now(cluster->world) + cluster->options.heartbeat_ns);
        if (cluster->failed != MU_OK)
            return cluster->failed;
        if (mu_cluster_stop_wanted(cluster))
            return MU_PREEMPTED;
        /* The last may have come in that very turn. */
        if (mu_now(cluster->world) >= deadline && mu_cluster_missing_count(cluster) > 0)
            return say_never_came(cluster);
        enum mu_status probed = probe_missing(cluster, &cluster->probe);
        if (probed != MU_OK)
            return give_up(cluster, probed);
        if (mu_cluster_missing_count(cluster) > 0 && mu_cluster_time_to_say(cluster))
            say_missing(cluster);
    }
    end_probes(cluster);
    if (cluster->failed != MU_OK)
        return cluster->failed;
    begin_run(cluster);
    return MU_OK;
}

/* ---- a member's side ---- */

static void say_no_leader(struct mu_cluster *cluster, const char *reason)
{
    char who[160];
    struct mu_text text;
    mu_text_init(&text);
    mu_cluster_who(cluster, cluster->spec->leader, who, sizeof(who));
    mu_text_add(&text, "waiting for %s: %s", who, reason);
    add_since(cluster, cluster->spec->leader, &text);
    mu_cluster_add_left(cluster, &text);
    mu_say(cluster->log, MU_LEVEL_INFO, "%s", text.data);
    mu_text_finish(&text);
}

static enum mu_status say_leader_never_came(struct mu_cluster *cluster, const char *reason)
{
    char who[160], waited[32], waits[MU_CLUSTER_TEXT_MAX + 32];
    int leader = cluster->spec->leader;
    struct mu_text help;
    mu_text_init(&help);
    if (cluster->member[leader].joined) {
        snprintf(waits, sizeof(waits), "it waits for %s",
            cluster->missing[0] ? cluster->missing : "others");
        reason = waits;
        mu_text_add(&help, "start those, or wait longer with --start-timeout SECONDS");
    } else {
        add_how_to_bring(cluster, leader, "start it on its host", &help);
    }
    mu_cluster_who(cluster, leader, who, sizeof(who));
    mu_text_duration(waited, sizeof(waited), cluster->options.start_timeout_ns);
    enum mu_status status = MU_UNAVAILABLE;
    if (cluster->options.has_left && cluster->options.has_left(cluster->options.owner))
        mu_say(cluster->log, MU_LEVEL_INFO, "%s did not begin the run within %s: %s", who, waited,
            reason);
    else
        status = mu_fail(cluster->log, MU_E0301, help.data,
            "%s did not begin the run within %s: %s", who, waited, reason);
    mu_text_finish(&help);
    return status;
}

/* One call to the leader: OK with `joined`, OK without (try again), or final. */
static enum mu_status call_leader(struct mu_cluster *cluster, char reason[MU_CLUSTER_ABSENT_MAX])
{
    int leader = cluster->spec->leader;
    struct mu_caller *caller = &cluster->call;
    cluster->member[leader].called_ns = mu_now(cluster->world);
    mu_caller_start(caller, cluster->loop, &cluster->spec->task[leader].address, &cluster->hello);
    int64_t deadline = mu_now(cluster->world) + CALL_PATIENCE_NS,
            end = mu_cluster_start_deadline(cluster);
    enum mu_status status =
        mu_loop_until(cluster->loop, &caller->done, deadline < end ? deadline : end);
    if (status != MU_OK && status != MU_TIMEOUT)
        return status;
    say_reason(cluster, leader, caller, reason);
    bool here = caller->done && caller->status == MU_OK && mu_link_alive(caller->link);
    if (!here) {
        status = call_verdict(cluster, leader, caller);
        mu_caller_finish(caller);
        return status;
    }
    struct mu_link *link = caller->link;
    cluster->member[leader].hello = *caller->theirs;
    caller->link = NULL;
    mu_caller_finish(caller);
    mu_control_adopt(cluster, leader, link);
    mu_link_resume(link);
    return MU_OK;
}

/* One more call; a run that was there before it, and whose leader does not answer, is over. */
static enum mu_status call_again(struct mu_cluster *cluster, char reason[MU_CLUSTER_ABSENT_MAX])
{
    const struct mu_cluster_options *options = &cluster->options;
    bool was_there = options->was_there && options->was_there(options->owner);
    MU_TRY(call_leader(cluster, reason));
    if (!was_there || cluster->member[cluster->spec->leader].joined)
        return MU_OK;
    mu_say(cluster->log, MU_LEVEL_INFO, "the run was over before this task could join it");
    return MU_UNAVAILABLE;
}

static enum mu_status join_leader(struct mu_cluster *cluster)
{
    struct mu_member *leader = &cluster->member[cluster->spec->leader];
    int64_t deadline = mu_cluster_start_deadline(cluster), pause = CALL_PAUSE_MIN_NS;
    int64_t again = mu_now(cluster->world);
    char reason[MU_CLUSTER_ABSENT_MAX] = "no answer yet";
    while (!cluster->started) {
        if (cluster->failed != MU_OK)
            return cluster->failed;
        if (mu_cluster_stop_wanted(cluster) || mu_stop_requested(cluster->world))
            return MU_PREEMPTED;
        int64_t now = mu_now(cluster->world);
        if (now >= mu_deadline(deadline, leader->joined ? VERDICT_NS : 0))
            return say_leader_never_came(cluster, reason);
        if (!leader->joined && now >= again) {
            MU_TRY(call_again(cluster, reason));
            again = mu_now(cluster->world) + jittered(cluster, pause);
            pause = 2 * pause < CALL_PAUSE_MAX_NS ? 2 * pause : CALL_PAUSE_MAX_NS;
        }
        if (!leader->joined && mu_cluster_time_to_say(cluster))
            say_no_leader(cluster, reason);
        if (!cluster->started)
            turn(cluster,
                leader->joined ? mu_now(cluster->world) + cluster->options.heartbeat_ns : again);
    }
    leader->heard_ns = mu_now(cluster->world);
    return MU_OK;
}

enum mu_status mu_cluster_join(struct mu_cluster *cluster)
{
    MU_TRY(cluster->leads ? gather(cluster) : join_leader(cluster));
    cluster->entered = cluster->generation;
    return MU_OK;
}
