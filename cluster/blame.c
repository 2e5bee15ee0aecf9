/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a task that misses another waits for the leader to say who is lost. */
#define VERDICT_NS (1500 * MU_MS)

void mu_cluster_who(const struct mu_cluster *cluster, int task, char *out, size_t bytes)
{
    char name[MU_TASK_NAME_MAX] = "evaluator/0", address[MU_HOST_MAX + 16] = "?";
    if (task >= 0 && task < cluster->spec->task_count) {
        mu_task_name(&cluster->spec->task[task], name, sizeof(name));
        mu_address_format(&cluster->spec->task[task].address, address, sizeof(address));
    }
    snprintf(out, bytes, "%s (%.100s)", name, address);
}

/* " (no heartbeat has come from it yet; chief/0 is computing step 3)": a run that is younger than
 * its heartbeats knows of the others only that they were starting, and of this task all. */
static void add_how_far(const struct mu_cluster *cluster, int task, struct mu_text *text)
{
    const struct mu_activity *own = cluster->options.activity;
    char self[MU_TASK_NAME_MAX], doing[96], heard[32];
    mu_task_name(&cluster->spec->task[cluster->spec->self], self, sizeof(self));
    mu_activity_text(atomic_load_explicit(&own->doing, memory_order_relaxed),
        atomic_load_explicit(&own->step, memory_order_relaxed), doing, sizeof(doing));
    mu_text_duration(heard, sizeof(heard), mu_now(cluster->world) - cluster->member[task].heard_ns);
    if (cluster->member[task].beaten)
        mu_text_add(text, " (by its last heartbeat, %s ago; %s is %s)", heard, self, doing);
    else
        mu_text_add(text, " (no heartbeat has come from it yet; %s is %s)", self, doing);
}

void mu_cluster_last_seen(const struct mu_cluster *cluster, int task, char out[MU_CLUSTER_SEEN_MAX])
{
    const struct mu_member *member = &cluster->member[task];
    char doing[96], age[32];
    struct mu_text text;
    out[0] = '\0';
    if (member->since_ns == 0)
        return;
    mu_activity_text(member->doing, member->step, doing, sizeof(doing));
    mu_text_duration(age, sizeof(age), mu_now(cluster->world) - member->since_ns);
    mu_text_init(&text);
    mu_text_add(&text, "; last seen %s, since %s", doing, age);
    if (member->doing == MU_DOING_STARTING && task != cluster->spec->self)
        add_how_far(cluster, task, &text);
    mu_text_copy(out, MU_CLUSTER_SEEN_MAX, text.data);
    mu_text_finish(&text);
}

void mu_cluster_tell(struct mu_cluster *cluster, enum mu_error error, int task, const char *text)
{
    char short_text[MU_CLUSTER_TEXT_MAX];
    mu_text_copy(short_text, sizeof(short_text), text);
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 128];
    struct mu_body body;
    bool has_exit = error == MU_E0403 && task >= 0;
    mu_body_begin(&body, memory, sizeof(memory), 4 + has_exit + MU_GONE_SILENCE_FIELDS);
    mu_body_put_int(&body, "error", mu_error_number(error));
    mu_body_put_int(&body, "task", task);
    if (has_exit)
        mu_body_put_int(&body, "exit", cluster->member[task].exit);
    mu_body_put_int(&body, "late", cluster->late);
    mu_body_put_text(&body, "text", short_text);
    mu_gone_put_silence(cluster, task, &body);
    assert(!body.failed);
    mu_control_broadcast(cluster, MU_FRAME_LOST, &body);
}

void mu_cluster_fail(struct mu_cluster *cluster, enum mu_status status)
{
    if (cluster->failed != MU_OK)
        return;
    cluster->failed = status;
    cluster->loop->cancelled = status;
}

/* Is it a process of this host that has been stopped? */
static bool is_stopped(const struct mu_cluster *cluster, int task)
{
    const struct mu_hello *hello = &cluster->member[task].hello;
    return hello->process > 0 && strcmp(hello->host, cluster->hello.host) == 0 &&
           mu_process_stopped(cluster->world, hello->process);
}

/* Where to look after a task that hangs, and what to type there. -1: whom the leader has named. */
static void add_where_it_hangs(const struct mu_cluster *cluster, int task, struct mu_text *help)
{
    const struct mu_hello *hello = task >= 0 ? &cluster->member[task].hello : NULL;
    bool has_address = task >= 0 && task < cluster->spec->task_count;
    /* It ends that task by itself, now. */
    if (cluster->options.launcher_kills)
        return;
    if (!hello || hello->process <= 0)
        mu_text_add(help, "on %s: `ps -o pid,stat,cmd -C muster`; ",
            has_address ? cluster->spec->task[task].address.host : "its host");
    else if (is_stopped(cluster, task))
        mu_text_add(help, "`kill -KILL %d` ends it; ", hello->process);
    else
        mu_text_add(help, "on %s: `ps -o pid,stat,cmd -p %d`; ", hello->host, hello->process);
    if (task >= 0 && !is_stopped(cluster, task))
        mu_given_up_add_help(cluster, task, help);
}

/* Nobody need be lost: a step may only take longer than it is given. */
static void add_how_to_wait(struct mu_text *help)
{
    mu_text_add(help, "`--step-timeout SECONDS` gives all tasks longer for a step; ");
}

const char *mu_cluster_how_to_go_on(
    const struct mu_cluster *cluster, char out[MU_CLUSTER_GO_ON_MAX])
{
    if (!cluster->options.go_on)
        return NULL;
    cluster->options.go_on(cluster->options.owner, out, MU_CLUSTER_GO_ON_MAX);
    return out;
}

bool mu_cluster_how_to_start(
    const struct mu_cluster *cluster, int task, char out[MU_CLUSTER_GO_ON_MAX])
{
    out[0] = '\0';
    if (cluster->options.start)
        cluster->options.start(cluster->options.owner, task, out, MU_CLUSTER_GO_ON_MAX);
    return out[0] != '\0';
}

/* Who is told that it failed still runs: the leader believes somebody else who cut it off. */
static bool is_told_of_itself(const struct mu_cluster *cluster, enum mu_error error, int task)
{
    return error == MU_E0403 && task == cluster->spec->self;
}

/* Those who have come cannot work together: begun again as they are, they could not again. */
static bool is_of_the_start(enum mu_error error)
{
    return error == MU_E0304 || error == MU_E0305 || error == MU_E0306 || error == MU_E0308;
}

/* A task has ended for a reason of its own, which it said first, in its log. */
static void add_where_it_failed(const struct mu_cluster *cluster, int task, struct mu_text *help)
{
    char name[MU_TASK_NAME_MAX] = "evaluator/0"; /* outside the cluster */
    if (task < cluster->spec->task_count)
        mu_task_name(&cluster->spec->task[task], name, sizeof(name));
    name[strcspn(name, "/")] = '-';
    mu_text_add(help, "the first error in logs/%s.log of the run directory says why; ", name);
    if (mu_cluster_would_fail_again(cluster->member[task].exit))
        mu_text_add(help,
            "mend that first: begun again or resumed as it is, the run would end with exit code %d "
            "again",
            cluster->member[task].exit);
}

/* Would the same command help? What a task says of itself may be the same after a resume. */
static bool can_again(const struct mu_cluster *cluster, enum mu_error error, int task)
{
    if (error == MU_E0403)
        return task >= 0 && !mu_cluster_would_fail_again(cluster->member[task].exit);
    return !is_of_the_start(error);
}

static void say_lost(
    const struct mu_cluster *cluster, enum mu_error error, int task, const char *text)
{
    struct mu_text help;
    mu_text_init(&help);
    bool is_own = is_told_of_itself(cluster, error, task);
    int named = is_own ? -1 : task >= 0 ? task : cluster->named;
    if (error == MU_E0402)
        add_where_it_hangs(cluster, task, &help);
    if (error == MU_E0403 && named >= 0)
        add_where_it_failed(cluster, named, &help);
    if (cluster->late)
        add_how_to_wait(&help);
    char go_on[MU_CLUSTER_GO_ON_MAX];
    bool again = can_again(cluster, error, named);
    if (again && mu_cluster_how_to_go_on(cluster, go_on))
        mu_text_add(&help, "%s", go_on);
    else if (help.bytes > 0 && again)
        mu_text_add(&help, "then start all tasks again");
    enum mu_status said = mu_fail(cluster->log, is_own ? MU_E0404 : error,
        help.bytes > 0 ? help.data : NULL, "%s%s", is_own ? "this task is put out: " : "", text);
    (void)said; /* the cluster has failed with that already */
    mu_text_finish(&help);
}

/* Said here at the end, for that writes to a log, whose disk may hang. */
static void end_run(struct mu_cluster *cluster, enum mu_error error, int task, const char *text)
{
    char said[MU_CLUSTER_TEXT_MAX];
    mu_text_copy(said, sizeof(said), text);
    if (mu_recover_is_server(cluster, task))
        mu_recover_add_cost(cluster, said);
    bool is_own = is_told_of_itself(cluster, error, task);
    mu_cluster_fail(cluster, mu_error_status(is_own ? MU_E0404 : error));
    if (cluster->leads)
        mu_cluster_tell(cluster, error, task, said);
    say_lost(cluster, error, task, said);
}

void mu_cluster_lose(struct mu_cluster *cluster, enum mu_error error, int task, const char *text)
{
    if (cluster->failed != MU_OK || cluster->over)
        return;
    if (mu_given_up_slept(cluster, text))
        return;
    if (mu_gone_can(cluster, task)) {
        mu_gone_tell(cluster, task, text);
        return;
    }
    if (mu_recover_can(cluster, error, task)) {
        bool hangs = error == MU_E0402 && !cluster->options.launcher_kills;
        int stopped = hangs && is_stopped(cluster, task) ? cluster->member[task].hello.process : 0;
        bool is_news = mu_recover_await(cluster, task, text);
        /* Whoever starts tasks waits for its end first. */
        if (stopped > 0)
            mu_say(cluster->log, MU_LEVEL_WARN,
                "`kill -KILL %d` ends it, so that it can be started again", stopped);
        if (is_news)
            mu_cluster_say_how_to_start(cluster, task);
        return;
    }
    end_run(cluster, error, task, text);
}

void mu_cluster_lose_late(struct mu_cluster *cluster, int task, const char *text)
{
    char limit[32], said[MU_CLUSTER_TEXT_MAX];
    mu_text_duration(limit, sizeof(limit), cluster->options.step_ns);
    snprintf(said, sizeof(said), "%.560s, and the time-out of a step is %s", text, limit);
    cluster->late = true;
    mu_cluster_lose(cluster, MU_E0402, task, said);
    cluster->late = false;
}

void mu_cluster_lose_silent(struct mu_cluster *cluster, int task, int64_t silence_ns)
{
    char who[160], seen[MU_CLUSTER_SEEN_MAX], age[32], text[MU_CLUSTER_TEXT_MAX];
    mu_cluster_who(cluster, task, who, sizeof(who));
    mu_cluster_last_seen(cluster, task, seen);
    mu_text_duration(age, sizeof(age), silence_ns);
    snprintf(text, sizeof(text), "%s %s: nothing heard from it for %s%s", who,
        is_stopped(cluster, task) ? "is stopped (state T)" : "is unresponsive", age, seen);
    mu_cluster_lose(cluster, MU_E0402, task, text);
}

/* The replica that has entered the fewest collectives, and only if others have entered more. */
static int laggard(const struct mu_cluster *cluster)
{
    int64_t most = -1, least = INT64_MAX;
    int found = -1;
    for (int i = 0; i < cluster->spec->task_count; i++) {
        int64_t collective = cluster->member[i].collective;
        if (cluster->spec->task[i].replica < 0)
            continue;
        most = collective > most ? collective : most;
        if (collective < least) {
            least = collective;
            found = i;
        }
    }
    return most > least ? found : -1;
}

/* Where all have entered as many: the replica that has said nothing for the longest time, and only
 * if that is longer than one that is well takes. */
static int most_silent(const struct mu_cluster *cluster)
{
    int64_t longest = MU_SILENT_BEATS * cluster->options.heartbeat_ns;
    int found = -1;
    for (int i = 0; i < cluster->spec->task_count; i++) {
        int64_t silence = mu_now(cluster->world) - cluster->member[i].heard_ns;
        if (i == cluster->spec->self || cluster->spec->task[i].replica < 0 || silence < longest)
            continue;
        longest = silence;
        found = i;
    }
    return found;
}

/* The leader knows what everybody does: it can name who keeps the others waiting. */
void mu_cluster_lose_laggard(
    struct mu_cluster *cluster, int task, const char *what, int64_t since_ns)
{
    char who[160], seen[MU_CLUSTER_SEEN_MAX], age[32], text[MU_CLUSTER_TEXT_MAX];
    int culprit = laggard(cluster);
    if (culprit < 0)
        culprit = task >= 0 ? task : most_silent(cluster);
    mu_text_duration(age, sizeof(age), mu_now(cluster->world) - since_ns);
    if (culprit < 0) {
        snprintf(text, sizeof(text), "%s waited %s, and nobody is behind", what, age);
    } else {
        mu_cluster_who(cluster, culprit, who, sizeof(who));
        mu_cluster_last_seen(cluster, culprit, seen);
        snprintf(text, sizeof(text), "%s waited %s: %s has not come%s", what, age, who, seen);
    }
    mu_cluster_lose_late(cluster, culprit, text);
}

/* `late`: a wait that has lasted too long, for `what`; otherwise `text` says what broke. */
static void ask_leader(
    struct mu_cluster *cluster, int task, bool late, int64_t since_ns, const char *text)
{
    struct mu_link *leader = cluster->member[cluster->spec->leader].link;
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    if (!leader)
        return;
    mu_body_begin(&body, memory, sizeof(memory), 4);
    mu_body_put_int(&body, "task", task);
    mu_body_put_int(&body, "age", mu_now(cluster->world) - since_ns);
    mu_body_put_int(&body, "late", late);
    mu_body_put_text(&body, "text", text);
    mu_link_post(leader, MU_FRAME_SUSPECT, cluster->generation, 0, &body);
}

#define NUMBER_BYTES 9 /* at most */

static_assert(
    MU_CLUSTER_NUMBERS_MAX * NUMBER_BYTES + MU_CLUSTER_TEXT_MAX + 128 <= MU_FRAME_BODY_MAX,
    "an accusation fits in a frame");

void mu_cluster_accuse(struct mu_cluster *cluster, int task, enum mu_error error, const char *text,
    struct mu_cluster_numbers numbers)
{
    struct mu_link *leader = cluster->member[cluster->spec->leader].link;
    char short_text[MU_CLUSTER_TEXT_MAX];
    size_t bytes = MU_CLUSTER_TEXT_MAX + 128 + numbers.count * NUMBER_BYTES;
    struct mu_body body;
    assert(!cluster->leads && (error == MU_E0402 || error == MU_E0404));
    assert(numbers.count <= MU_CLUSTER_NUMBERS_MAX);
    if (cluster->failed != MU_OK || cluster->over || !leader)
        return;
    uint8_t few[MU_CLUSTER_TEXT_MAX + 128], *many = numbers.count > 0 ? malloc(bytes) : NULL;
    mu_control_beat(cluster, mu_now(cluster->world)); /* the last load that the leader hears */
    mu_text_copy(short_text, sizeof(short_text), text);
    mu_body_begin(&body, many ? many : few, many ? bytes : sizeof(few), many ? 6 : 5);
    mu_body_put_int(&body, "task", task);
    mu_body_put_int(&body, "age", 0);
    mu_body_put_int(&body, "late", error == MU_E0402);
    mu_body_put_int(&body, "error", mu_error_number(error));
    mu_body_put_text(&body, "text", short_text);
    if (many)
        mu_body_put_ints(&body, "numbers", numbers.value, numbers.count);
    assert(!body.failed);
    mu_link_post(leader, MU_FRAME_SUSPECT, cluster->generation, 0, &body);
    free(many);
}

struct mu_cluster_numbers mu_cluster_accused_with(const struct mu_cluster *cluster)
{
    return (struct mu_cluster_numbers){cluster->accused_with, cluster->accused_with_count};
}

/* What a wait ends with when somebody is known to be lost; OK: nobody is. */
static enum mu_status verdict(const struct mu_cluster *cluster)
{
    return cluster->failed == MU_OK && cluster->interrupted ? MU_UNAVAILABLE : cluster->failed;
}

static void await_verdict(struct mu_cluster *cluster)
{
    int64_t deadline = mu_now(cluster->world) + VERDICT_NS;
    while (cluster->failed == MU_OK && !cluster->interrupted && mu_now(cluster->world) < deadline) {
        enum mu_status turned = cluster->loop->ops->turn(cluster->loop, deadline);
        (void)turned;
    }
}

/* What a wait has ended with. `task` -1: because of whom is not known here. */
static void describe(const struct mu_cluster *cluster, enum mu_status status, int task,
    const char *what, int64_t since_ns, char out[MU_CLUSTER_TEXT_MAX])
{
    char who[160], age[32];
    mu_text_duration(age, sizeof(age), mu_now(cluster->world) - since_ns);
    mu_cluster_who(cluster, task, who, sizeof(who));
    if (status == MU_TIMEOUT && task >= 0)
        snprintf(out, MU_CLUSTER_TEXT_MAX, "%s waited %s for %s", what, age, who);
    else if (status == MU_TIMEOUT)
        snprintf(out, MU_CLUSTER_TEXT_MAX, "%s waited %s", what, age);
    else if (task >= 0)
        snprintf(out, MU_CLUSTER_TEXT_MAX, "the connection to %s broke in %s", who, what);
    else
        snprintf(out, MU_CLUSTER_TEXT_MAX, "a connection between the replicas broke in %s", what);
}

/* A member whose leader has not said who it is. If it does not know either, the leader itself is
 * all that it misses. */
static void lose_unheard(struct mu_cluster *cluster, enum mu_status status, int task, char *text)
{
    char who[160];
    size_t used = strlen(text);
    if (status != MU_TIMEOUT) {
        mu_cluster_lose(cluster, MU_E0401, task, text);
        return;
    }
    if (task < 0 && !cluster->leads) {
        task = cluster->spec->leader;
        mu_cluster_who(cluster, task, who, sizeof(who));
        snprintf(
            text + used, MU_CLUSTER_TEXT_MAX - used, "; %s, which knows for whom, is silent", who);
    }
    mu_cluster_lose_late(cluster, task, text);
}

enum mu_status mu_cluster_blame(
    struct mu_cluster *cluster, enum mu_status status, int task, const char *what, int64_t since_ns)
{
    if (verdict(cluster) != MU_OK)
        return verdict(cluster);
    if (status != MU_TIMEOUT && status != MU_CLOSED)
        return status;
    char text[MU_CLUSTER_TEXT_MAX];
    describe(cluster, status, task, what, since_ns, text);
    if (cluster->leads && status == MU_TIMEOUT) {
        mu_control_note_self(cluster, mu_now(cluster->world));
        mu_cluster_lose_laggard(cluster, task, what, since_ns);
        return verdict(cluster);
    }
    if (!cluster->leads)
        ask_leader(
            cluster, task, status == MU_TIMEOUT, since_ns, status == MU_TIMEOUT ? what : text);
    await_verdict(cluster);
    if (verdict(cluster) == MU_OK)
        lose_unheard(cluster, status, task, text);
    /* Nothing is a loss once the run is over; the wait has failed all the same. */
    if (verdict(cluster) == MU_OK)
        return cluster->over && cluster->over_status != MU_OK ? cluster->over_status : status;
    return verdict(cluster);
}
