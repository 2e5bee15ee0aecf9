/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A task that somebody misses has this long to show that it is alive and well connected. */
#define SUSPICION_NS MU_SECOND
/* A tick that comes this many heartbeats late: it was we who slept, not the others. */
#define LATE_TICKS 5

/* ---- sending ---- */

void mu_control_broadcast(struct mu_cluster *cluster, uint8_t type, const struct mu_body *body)
{
    for (int i = 0; i <= cluster->spec->task_count; i++)
        if (cluster->member[i].link)
            mu_link_post(cluster->member[i].link, type, cluster->entered, 0, body);
}

void mu_control_tell_start(struct mu_cluster *cluster)
{
    uint8_t memory[128];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 7);
    mu_body_put_uint(&body, "run", cluster->run);
    mu_body_put_int(&body, "samples", cluster->options.shape.samples);
    mu_body_put_int(&body, "features", cluster->options.shape.features);
    mu_body_put_int(&body, "classes", cluster->options.shape.classes);
    mu_body_put_int(&body, "fields", cluster->options.shape.fields);
    mu_body_put_int(&body, "entries", cluster->options.shape.entries);
    mu_body_put_uint(&body, "ids", cluster->options.shape.ids);
    for (int i = 0; i <= cluster->spec->task_count; i++) {
        struct mu_member *member = &cluster->member[i];
        /* Who has come back gets it with the others, of the next generation. */
        if (!member->link || member->told || member->lost)
            continue;
        member->told = true;
        mu_link_post(member->link, MU_FRAME_START, cluster->generation, 0, &body);
    }
}

void mu_control_beat(struct mu_cluster *cluster, int64_t now)
{
    const struct mu_member *self = &cluster->member[cluster->spec->self];
    uint8_t memory[MU_BODY_SMALL + MU_VIEW_BYTES_MAX];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 7 + mu_view_field_count(cluster));
    mu_body_put_int(&body, "doing", self->doing);
    mu_body_put_int(&body, "step", self->step);
    mu_body_put_int(&body, "age", now - self->since_ns);
    mu_body_put_int(&body, "collective", self->collective);
    mu_body_put_int(&body, "samples", self->samples);
    mu_body_put_real(&body, "loss", self->loss);
    mu_body_put_real(&body, "accuracy", self->accuracy);
    mu_view_put(cluster, &body);
    assert(!body.failed);
    mu_control_broadcast(cluster, MU_FRAME_HEARTBEAT, &body);
}

/* ---- receiving ---- */

static void read_heartbeat(struct mu_member *member, struct mu_decoder *decoder, int64_t now)
{
    int64_t doing, age;
    member->beaten = true;
    if (mu_decoder_int(decoder, "doing", 0, MU_DOING_COUNT - 1, &doing))
        member->doing = (int)doing;
    if (mu_decoder_int(decoder, "age", 0, now, &age))
        member->since_ns = now - age;
    mu_decoder_int(decoder, "step", 0, INT64_MAX, &member->step);
    mu_decoder_int(decoder, "collective", 0, INT64_MAX, &member->collective);
    mu_decoder_int(decoder, "samples", 0, INT64_MAX, &member->samples);
    mu_decoder_real(decoder, "loss", &member->loss);
    mu_decoder_real(decoder, "accuracy", &member->accuracy);
}

static void read_start(struct mu_cluster *cluster, struct mu_decoder *decoder, uint32_t generation)
{
    uint64_t run;
    struct mu_data_shape shape;
    bool began = cluster->started && generation <= cluster->generation;
    if (cluster->leads || began || !mu_decoder_uint(decoder, "run", &run) ||
        !mu_decoder_int(decoder, "samples", 1, UINT32_MAX, &shape.samples) ||
        !mu_decoder_int(decoder, "features", 0, INT32_MAX, &shape.features) ||
        !mu_decoder_int(decoder, "classes", 1, INT32_MAX, &shape.classes) ||
        !mu_decoder_int(decoder, "fields", 0, INT32_MAX, &shape.fields) ||
        !mu_decoder_int(decoder, "entries", 0, INT32_MAX, &shape.entries) ||
        !mu_decoder_uint(decoder, "ids", &shape.ids))
        return;
    cluster->options.shape = shape;
    cluster->run = cluster->hello.run = run;
    cluster->generation = generation;
    cluster->started = true;
    cluster->paused = false;
    /* An observer has nothing to leave: what it does is of the new generation at once. */
    if (!mu_cluster_needs(cluster, cluster->spec->self))
        cluster->entered = generation;
}

/* An observer has nothing that it would have to do again. */
static void read_pause(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    if (cluster->leads || !mu_cluster_needs(cluster, cluster->spec->self) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    mu_say(cluster->log, MU_LEVEL_WARN, "%s", text);
    mu_recover_interrupt(cluster);
}

/* Who is lost, and with what exit code; -1: nobody, or that is not known. */
static void read_named(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    int64_t task, exit_code;
    cluster->named = -1;
    if (mu_decoder_int(decoder, "task", 0, cluster->spec->task_count, &task))
        cluster->named = (int)task;
    if (cluster->named >= 0 && mu_decoder_int(decoder, "exit", 0, 255, &exit_code))
        cluster->member[cluster->named].exit = (int)exit_code;
}

static void read_lost(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    int64_t number, late;
    if (cluster->leads || !mu_decoder_int(decoder, "error", 1, 9999, &number) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    enum mu_error error;
    if (!mu_error_find(number, &error))
        error = MU_E0401;
    read_named(cluster, decoder);
    /* Of others all is said. */
    int task = cluster->named == cluster->spec->self ? cluster->named : -1;
    if (mu_given_up_ends(cluster, decoder, task))
        return;
    cluster->late = mu_decoder_int(decoder, "late", 0, 1, &late) && late;
    mu_cluster_lose(cluster, error, task, text);
    cluster->late = false;
}

/* An evaluator: the run does not end with it, but nobody evaluates any more. */
static void warn_of_loss(struct mu_cluster *cluster, int task, const char *how)
{
    char who[160];
    if (cluster->over || cluster->failed != MU_OK || mu_cluster_stop_wanted(cluster))
        return;
    mu_cluster_who(cluster, task, who, sizeof(who));
    bool was_asked = cluster->member[task].exit == mu_status_exit(MU_PREEMPTED);
    mu_say(cluster->log, was_asked ? MU_LEVEL_INFO : MU_LEVEL_WARN,
        "%s is gone (%s); training goes on without it", who, how);
    mu_cluster_say_how_to_start(cluster, task);
}

static void read_goodbye(struct mu_cluster *cluster, int task, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX], said[MU_CLUSTER_TEXT_MAX + 128], who[160];
    int64_t exit_code;
    if (!mu_decoder_int(decoder, "exit", 0, 255, &exit_code) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    /* Its patience with the start is its own: it may be started again, and the others wait on. */
    if (cluster->leads && !cluster->started && exit_code == mu_status_exit(MU_UNAVAILABLE)) {
        mu_cluster_who(cluster, task, who, sizeof(who));
        mu_say(cluster->log, MU_LEVEL_WARN, "%s waits no longer: %s", who, text);
        return;
    }
    cluster->member[task].left = true;
    cluster->member[task].exit = (int)exit_code;
    if (exit_code == 0)
        return;
    if (!mu_cluster_needs(cluster, task)) {
        warn_of_loss(cluster, task, text);
        return;
    }
    mu_cluster_who(cluster, task, who, sizeof(who));
    snprintf(said, sizeof(said), "%s failed (exit %d): %s", who, (int)exit_code, text);
    mu_cluster_lose(cluster, MU_E0403, task, said);
}

/* Another task has cut it off, and knows why: there is nothing to wait for. */
static void evict(
    struct mu_cluster *cluster, int from, int task, enum mu_error error, const char *text)
{
    char accuser[160], said[MU_CLUSTER_TEXT_MAX];
    if (task < 0)
        return;
    mu_cluster_who(cluster, from, accuser, sizeof(accuser));
    snprintf(said, sizeof(said), "%.400s (so says %.150s)", text, accuser);
    if (error == MU_E0403) /* as it will, when it is told */
        cluster->member[task].exit = mu_status_exit(mu_error_status(MU_E0404));
    mu_cluster_lose(cluster, error, task, said);
}

/* Without memory for them the run ends all the same. */
static void read_numbers(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    if (cluster->failed != MU_OK)
        return;
    if (!cluster->accused_with)
        cluster->accused_with = calloc(MU_CLUSTER_NUMBERS_MAX, sizeof(*cluster->accused_with));
    if (!cluster->accused_with || !mu_decoder_ints(decoder, "numbers", cluster->accused_with,
                                      MU_CLUSTER_NUMBERS_MAX, &cluster->accused_with_count))
        cluster->accused_with_count = 0;
}

static void read_suspect(struct mu_cluster *cluster, int from, struct mu_decoder *decoder)
{
    int64_t task, age, late, number, now = mu_now(cluster->world);
    char text[MU_CLUSTER_TEXT_MAX];
    if (!cluster->leads ||
        !mu_decoder_int(decoder, "task", -1, cluster->spec->task_count - 1, &task) ||
        !mu_decoder_int(decoder, "age", 0, now, &age) ||
        !mu_decoder_int(decoder, "late", 0, 1, &late) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    if (mu_decoder_int(decoder, "error", 402, 404, &number)) {
        read_numbers(cluster, decoder);
        evict(cluster, from, (int)task, number == 402 ? MU_E0402 : MU_E0403, text);
        return;
    }
    if (cluster->suspect >= 0)
        return;
    if (late) {
        mu_control_note_self(cluster, now);
        mu_cluster_lose_laggard(cluster, (int)task, text, now - age);
        return;
    }
    if (task < 0)
        return;
    char reporter[160];
    mu_cluster_who(cluster, from, reporter, sizeof(reporter));
    cluster->suspect = (int)task;
    cluster->suspect_since_ns = now;
    snprintf(cluster->suspect_text, sizeof(cluster->suspect_text), "%.400s (so says %.150s)", text,
        reporter);
}

static void read_waiting(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    if (cluster->started || !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    mu_say(cluster->log, MU_LEVEL_INFO, "%s", text);
    if (!mu_decoder_text(decoder, "missing", cluster->missing, sizeof(cluster->missing)))
        cluster->missing[0] = '\0';
}

static void read_over(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    int64_t status;
    if (cluster->leads || !mu_decoder_int(decoder, "status", 0, MU_STATUS_COUNT - 1, &status))
        return;
    cluster->over = true;
    cluster->over_status = (enum mu_status)status;
}

static void read_stop(struct mu_cluster *cluster, int from)
{
    if (!mu_cluster_stop_wanted(cluster)) {
        char who[160];
        mu_cluster_who(cluster, from, who, sizeof(who));
        mu_say(cluster->log, MU_LEVEL_INFO, "%s asks the run to stop", who);
    }
    mu_cluster_want_stop(cluster);
}

/* Which task is at the other end. The owner of a control link is the cluster. */
static int task_of(const struct mu_cluster *cluster, const struct mu_link *link)
{
    for (int i = 0; i <= cluster->spec->task_count; i++)
        if (cluster->member[i].link == link)
            return i;
    return -1;
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)ret_payload;
    struct mu_cluster *cluster = owner;
    /* Nobody is ahead of the leader; who has not heard of a new generation yet is behind. */
    bool fenced = cluster->started && frame->type != MU_FRAME_START &&
                  frame->generation > cluster->generation;
    if (frame->payload_bytes != 0 || fenced || task_of(cluster, link) < 0)
        return MU_LINK_REFUSE;
    return mu_decoder_read(mu_link_decoder(link), body, frame->body_bytes) == MU_OK
               ? MU_LINK_TAKE
               : MU_LINK_REFUSE;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)body;
    struct mu_cluster *cluster = owner;
    int task = task_of(cluster, link);
    struct mu_decoder *decoder = mu_link_decoder(link);
    bool behind =
        cluster->leads && frame->generation != 0 && frame->generation < cluster->generation;
    cluster->member[task].heard_ns = mu_now(cluster->world);
    /* What is done, or missed, in a generation that has ended is no news. */
    bool suspects = frame->type == MU_FRAME_SUSPECT;
    if ((behind && (frame->type == MU_FRAME_HEARTBEAT || suspects)) ||
        (cluster->paused && suspects))
        return;
    switch (frame->type) {
    case MU_FRAME_HEARTBEAT:
        read_heartbeat(&cluster->member[task], decoder, cluster->member[task].heard_ns);
        mu_view_read(cluster, task, decoder);
        break;
    case MU_FRAME_GONE:
        mu_gone_read(cluster, decoder);
        break;
    case MU_FRAME_PAUSE:
        read_pause(cluster, decoder);
        break;
    case MU_FRAME_BACK:
        mu_recover_read_back(cluster, decoder);
        break;
    case MU_FRAME_WAITING:
        read_waiting(cluster, decoder);
        break;
    case MU_FRAME_START:
        read_start(cluster, decoder, frame->generation);
        break;
    case MU_FRAME_SUSPECT:
        read_suspect(cluster, task, decoder);
        break;
    case MU_FRAME_LOST:
        read_lost(cluster, decoder);
        break;
    case MU_FRAME_GOODBYE:
        read_goodbye(cluster, task, decoder);
        break;
    case MU_FRAME_STOP:
        read_stop(cluster, task);
        break;
    case MU_FRAME_OVER:
        read_over(cluster, decoder);
        break;
    default:
        mu_say(cluster->log, MU_LEVEL_WARN, "a frame of type %s on a control link was ignored",
            mu_frame_type_name(frame->type));
    }
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    struct mu_cluster *cluster = owner;
    int task = task_of(cluster, link);
    struct mu_member *member = &cluster->member[task];
    member->link = NULL;
    mu_link_close(link);
    if (!cluster->started) {
        /* It may come back before the start. */
        member->joined = false;
        member->lost_ns = mu_now(cluster->world);
        mu_text_copy(member->absent, sizeof(member->absent), "came and has gone before the start");
        return;
    }
    member->done = cluster->over ? cluster->over_status == MU_OK : member->left && !member->exit;
    if (cluster->over || member->left)
        return;
    char who[160], seen[MU_CLUSTER_SEEN_MAX], text[MU_CLUSTER_TEXT_MAX];
    const char *how = why == MU_PROTOCOL ? "sent what the protocol does not allow"
                      : error != 0       ? strerror(error)
                                         : "its connection closed";
    if (cluster->leads && !mu_cluster_needs(cluster, task)) {
        warn_of_loss(cluster, task, how);
        return;
    }
    mu_cluster_who(cluster, task, who, sizeof(who));
    mu_cluster_last_seen(cluster, task, seen);
    snprintf(text, sizeof(text), "%s died: %s%s", who, how, seen);
    mu_cluster_lose(cluster, MU_E0401, task, text);
}

const struct mu_link_events mu_control_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

void mu_control_adopt(struct mu_cluster *cluster, int task, struct mu_link *link)
{
    struct mu_member *member = &cluster->member[task];
    member->link = link;
    member->joined = true;
    member->call_error = 0;
    member->left = member->done = member->told = member->beaten = false;
    member->exit = 0;
    member->doing = MU_DOING_STARTING;
    member->heard_ns = member->since_ns = mu_now(cluster->world);
    mu_link_adopt(link, &mu_control_events, cluster);
}

/* ---- the tick ---- */

void mu_control_note_self(struct mu_cluster *cluster, int64_t now)
{
    const struct mu_activity *own = cluster->options.activity;
    struct mu_member *self = &cluster->member[cluster->spec->self];
    self->heard_ns = now;
    self->doing = atomic_load_explicit(&own->doing, memory_order_relaxed);
    self->step = atomic_load_explicit(&own->step, memory_order_relaxed);
    self->since_ns = atomic_load_explicit(&own->since_ns, memory_order_relaxed);
    self->collective = atomic_load_explicit(&own->collective, memory_order_relaxed);
    self->samples = atomic_load_explicit(&own->samples, memory_order_relaxed);
    self->loss = atomic_load_explicit(&own->loss, memory_order_relaxed);
    self->accuracy = atomic_load_explicit(&own->accuracy, memory_order_relaxed);
}

static void check_silence(struct mu_cluster *cluster, int64_t now)
{
    for (int i = 0; i < cluster->spec->task_count; i++) {
        struct mu_member *member = &cluster->member[i];
        int64_t silence = now - member->heard_ns;
        /* One that has come back says nothing before the start. */
        if (!member->link || member->left || member->lost || !mu_cluster_needs(cluster, i) ||
            silence < cluster->options.dead_ns)
            continue;
        mu_cluster_lose_silent(cluster, i, silence);
        return;
    }
}

/* A task whose heartbeats come may still do nothing: a thread that hangs in a driver or a disk. */
static void check_stuck(struct mu_cluster *cluster, int64_t now)
{
    for (int i = 0; i < cluster->spec->task_count; i++) {
        const struct mu_member *member = &cluster->member[i];
        bool alone = member->doing == MU_DOING_READING || member->doing == MU_DOING_COMPUTING ||
                     member->doing == MU_DOING_UPDATING;
        if (!alone || cluster->spec->task[i].replica < 0 || member->left ||
            now - member->since_ns < cluster->options.step_ns)
            continue;
        char who[160], seen[MU_CLUSTER_SEEN_MAX], text[MU_CLUSTER_TEXT_MAX];
        mu_cluster_who(cluster, i, who, sizeof(who));
        mu_cluster_last_seen(cluster, i, seen);
        snprintf(text, sizeof(text), "%s does not get on%s", who, seen);
        mu_cluster_lose_late(cluster, i, text);
        return;
    }
}

static void check_suspect(struct mu_cluster *cluster, int64_t now)
{
    if (cluster->suspect >= 0 && now - cluster->suspect_since_ns > SUSPICION_NS)
        mu_cluster_lose(cluster, MU_E0401, cluster->suspect, cluster->suspect_text);
}

/* An evaluator is asked for itself alone. */
static void pass_stop_on(struct mu_cluster *cluster)
{
    if (!mu_cluster_needs(cluster, cluster->spec->self))
        return;
    if (mu_stop_requested(cluster->world))
        mu_cluster_want_stop(cluster);
    if (!cluster->stop_told && cluster->started && mu_cluster_stop_wanted(cluster)) {
        cluster->stop_told = true;
        mu_control_broadcast(cluster, MU_FRAME_STOP, NULL);
    }
}

void mu_control_tick(void *owner)
{
    struct mu_cluster *cluster = owner;
    int64_t now = mu_now(cluster->world);
    if (cluster->options.beat)
        cluster->options.beat(cluster->options.owner);
    int64_t late_ns = now - cluster->ticked_ns - cluster->options.heartbeat_ns;
    if (late_ns <= LATE_TICKS * cluster->options.heartbeat_ns)
        late_ns = 0;
    mu_given_up_note_sleep(cluster, now);
    cluster->ticked_ns = now;
    mu_door_tick(&cluster->door, now);
    pass_stop_on(cluster);
    if (!cluster->started)
        return;
    if (cluster->leads)
        mu_control_tell_start(cluster);
    mu_control_note_self(cluster, now);
    mu_control_beat(cluster, now);
    if (cluster->over || cluster->failed != MU_OK)
        return;
    if (late_ns > 0) {
        /* The time we slept is nobody's silence. */
        for (int i = 0; i <= cluster->spec->task_count; i++)
            if (cluster->member[i].link)
                cluster->member[i].heard_ns += late_ns;
        return;
    }
    check_silence(cluster, now);
    if (cluster->leads)
        check_stuck(cluster, now);
    check_suspect(cluster, now);
    mu_recover_tick(cluster, now);
}
