/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_auto.h"
#include "ps/server/server_audit.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_known.h"
#include "ps/server/server_serve.h"
#include "runtime/base/text.h"
#include <stdlib.h>

/*
 * How many backups, or which bound, from the times that gradients took (arrivals.h). The head
 * measures and chooses; the choice has a place in the order of its own, so every server, and a
 * replay of the audit log, changes at the same version without a clock.
 *
 *   waiting    for the first whole step of the phase: then all begin together
 *   measuring  auto_steps steps in which all replicas count and go in step
 *   due        the choice is made; it is the next place in the order
 *   checking   as many steps with it: the gain that it has brought
 *
 * The deputy measures the same at its own end, and hears of the choice what was predicted and how
 * fast it was before. So it goes on with either where the head was when it is lost. Of the time
 * from the last gradient of then to the first of its own it knows nothing that counts: a worker's
 * time that spans it is left out, and the seconds are not of the steps.
 */

static struct mu_loop *loop_of(const struct mu_ps_server *server)
{
    return server->options.loop;
}

static const struct mu_ps_mode *mode_of(const struct mu_ps_server *server)
{
    return &mu_ps_phase_of(server)->mode;
}

enum mu_status mu_ps_auto_init(struct mu_ps_server *server)
{
    struct mu_ps_auto *own = &server->auto_;
    int replicas = server->options.replica_count, order = server->options.order;
    int64_t steps = 0;
    for (int i = 0; i < server->plan.phase_count; i++)
        if (server->plan.phase[i].mode.auto_steps > steps)
            steps = server->plan.phase[i].mode.auto_steps;
    if (steps == 0 || (order != 0 && order != server->options.server_count)) /* nor will it be */
        return MU_OK;
    own->sent_ns = calloc((size_t)replicas, sizeof(*own->sent_ns));
    return own->sent_ns ? mu_arrivals_init(&own->arrivals, replicas, steps) : MU_NO_MEMORY;
}

void mu_ps_auto_finish(struct mu_ps_server *server)
{
    free(server->auto_.sent_ns);
    mu_arrivals_finish(&server->auto_.arrivals);
}

void mu_ps_auto_enter(struct mu_ps_server *server)
{
    struct mu_ps_auto *own = &server->auto_;
    if (own->sent_ns)
        own->state = mode_of(server)->auto_steps > 0 ? MU_PS_AUTO_WAITING : MU_PS_AUTO_IDLE;
}

/* ---- steps ---- */

/* Versions of a step in which each replica has one gradient. */
static int64_t step_versions(const struct mu_ps_server *server)
{
    return mode_of(server)->kind == MU_PS_SYNC ? 1 : server->options.replica_count;
}

static bool in_step(const struct mu_ps_server *server)
{
    for (int i = 1; i < server->options.replica_count; i++)
        if (server->ledger[i].clock != server->ledger[0].clock)
            return false;
    return server->ledger[0].clock > 0;
}

/* Has a step of all replicas just come to its end, so that all are sent on together? */
static bool is_whole_step(
    const struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    if (mode_of(server)->kind == MU_PS_SYNC)
        return verdict->average == server->options.replica_count;
    return in_step(server);
}

static double seconds_since(const struct mu_ps_auto *own, int64_t now_ns)
{
    return now_ns > own->since_ns ? (double)(now_ns - own->since_ns) / (double)MU_SECOND : 1e-9;
}

/* ---- measuring ---- */

static void measure(struct mu_ps_server *server, int64_t now_ns)
{
    struct mu_ps_auto *own = &server->auto_;
    own->state = MU_PS_AUTO_MEASURING;
    own->since_ns = now_ns;
    own->since_version = server->shard.version;
    mu_arrivals_clear(&own->arrivals);
    for (int i = 0; i < server->options.replica_count; i++)
        own->sent_ns[i] = now_ns;
}

void mu_ps_auto_came(struct mu_ps_server *server, int worker)
{
    struct mu_ps_auto *own = &server->auto_;
    if (own->state != MU_PS_AUTO_MEASURING || own->sent_ns[worker] < 0)
        return;
    int64_t now_ns = mu_now(loop_of(server)->world);
    mu_arrivals_add(
        &own->arrivals, worker, (double)(now_ns - own->sent_ns[worker]) / (double)MU_SECOND);
}

void mu_ps_auto_sent(struct mu_ps_server *server, int worker)
{
    if (server->auto_.state == MU_PS_AUTO_MEASURING)
        server->auto_.sent_ns[worker] = mu_now(loop_of(server)->world);
}

static void choose(struct mu_ps_server *server, int64_t now_ns)
{
    struct mu_ps_auto *own = &server->auto_;
    bool is_sync = mode_of(server)->kind == MU_PS_SYNC;
    int64_t gradients =
        (server->shard.version - own->since_version) * (is_sync ? mode_of(server)->workers : 1);
    struct mu_arrivals_choice choice = is_sync ? mu_arrivals_choose_backups(&own->arrivals)
                                               : mu_arrivals_choose_bound(&own->arrivals);
    own->rate = (double)gradients / seconds_since(own, now_ns);
    own->value = choice.value;
    own->gain = choice.gain;
    own->state = MU_PS_AUTO_DUE;
    own->since_ns = now_ns;
    own->since_version = server->shard.version;
}

static void say_choice(const struct mu_ps_server *server)
{
    const struct mu_ps_auto *own = &server->auto_;
    const struct mu_ps_mode *mode = mode_of(server);
    char what[64];
    if (mode->kind == MU_PS_SYNC)
        mu_format(what, sizeof(what), "%d workers and %lld backups", mode->workers,
            (long long)own->value);
    else
        mu_format(what, sizeof(what), "a bound of %lld", (long long)own->value);
    mu_say(server->options.log, MU_LEVEL_INFO,
        "auto: %s, after %d steps: %.2f times the gradients a second predicted", what,
        own->arrivals.step_count, own->chosen.predicted);
}

/* ---- checking ---- */

static void check(struct mu_ps_server *server, int64_t now_ns)
{
    struct mu_ps_auto *own = &server->auto_;
    const struct mu_ps_mode *mode = mode_of(server);
    int64_t versions = server->shard.version - own->since_version;
    if (versions < own->arrivals.step_count * step_versions(server))
        return;
    int64_t gradients = versions * (mode->kind == MU_PS_SYNC ? mode->workers : 1);
    own->chosen.measured = (double)gradients / seconds_since(own, now_ns) / own->rate;
    own->state = MU_PS_AUTO_IDLE;
    if (mu_ps_is_head(server))
        mu_say(server->options.log, MU_LEVEL_INFO,
            "auto: %.2f times the gradients a second measured, %.2f predicted",
            own->chosen.measured, own->chosen.predicted);
}

/* With fewer replicas the times of before say nothing. */
static void give_up(struct mu_ps_server *server)
{
    struct mu_ps_auto *own = &server->auto_;
    bool chosen = own->state == MU_PS_AUTO_CHECKING;
    own->state = MU_PS_AUTO_IDLE;
    if (!chosen && mu_ps_is_head(server))
        mu_say(server->options.log, MU_LEVEL_INFO,
            "auto: a replica has left before %d steps were measured: nothing is chosen",
            own->arrivals.step_count);
}

void mu_ps_auto_look(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    struct mu_ps_auto *own = &server->auto_;
    if (own->state == MU_PS_AUTO_IDLE || own->state == MU_PS_AUTO_DUE)
        return;
    if (server->active_count < server->options.replica_count) {
        give_up(server);
        return;
    }
    int64_t now_ns = mu_now(loop_of(server)->world);
    own->last_ns = now_ns;
    if (own->state == MU_PS_AUTO_CHECKING)
        check(server, now_ns);
    else if (!is_whole_step(server, verdict))
        return;
    else if (own->state == MU_PS_AUTO_WAITING)
        measure(server, now_ns);
    else if (mu_arrivals_full(&own->arrivals) && mu_ps_is_head(server))
        choose(server, now_ns);
}

void mu_ps_auto_take_over(struct mu_ps_server *server)
{
    struct mu_ps_auto *own = &server->auto_;
    if (own->state != MU_PS_AUTO_MEASURING && own->state != MU_PS_AUTO_CHECKING)
        return;
    own->since_ns += mu_now(loop_of(server)->world) - own->last_ns;
    for (int i = 0; i < server->options.replica_count; i++)
        own->sent_ns[i] = -1;
}

/* ---- the choice, on every server ---- */

bool mu_ps_auto_due(const struct mu_ps_server *server)
{
    return server->auto_.state == MU_PS_AUTO_DUE && mu_ps_is_head(server);
}

bool mu_ps_auto_told(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    struct mu_ps_auto *own = &server->auto_;
    if (own->told_queued)
        return false;
    own->told_queued = true;
    own->told = *verdict;
    return true;
}

/* What was measured is in no record: a replay has no clock. */
static void note_choice(struct mu_ps_server *server, const struct mu_ps_verdict_body *told)
{
    struct mu_ps_verdict_body noted = *told;
    noted.scale = noted.learning_rate = 0;
    mu_ps_audit_note(server, &noted, NULL);
}

static void begin_check(struct mu_ps_server *server, const struct mu_ps_verdict_body *told)
{
    struct mu_ps_auto *own = &server->auto_;
    own->state = MU_PS_AUTO_IDLE;
    if (!own->sent_ns)
        return;
    own->state = MU_PS_AUTO_CHECKING;
    own->value = told->clock;
    own->rate = told->learning_rate;
    own->since_ns = own->last_ns = mu_now(loop_of(server)->world);
    own->since_version = server->shard.version;
    own->chosen = (struct mu_ps_chosen){.mode = *mode_of(server), .predicted = told->scale};
    if (mu_ps_is_head(server))
        say_choice(server);
}

enum mu_status mu_ps_auto_serve(struct mu_ps_server *server)
{
    struct mu_ps_auto *own = &server->auto_;
    struct mu_ps_verdict_body *told = &own->told;
    struct mu_ps_phase *phase = &server->plan.phase[server->phase];
    if (mu_ps_is_head(server)) {
        *told = (struct mu_ps_verdict_body){
            .item = MU_PS_ITEM_CHOICE,
            .clock = own->value,
            .version = server->shard.version,
            .scale = own->gain,
            .learning_rate = own->rate,
        };
        mu_ps_tell_change(server, told);
    }
    mu_ps_known_add(&server->standby.known, 0, told);
    MU_TRY(mu_ps_check_version(server, told));
    if (!mu_ps_mode_choose(&phase->mode, server->options.replica_count, told->clock))
        return mu_fail(server->options.log, MU_E0701, NULL,
            "ps/%d cannot have %lld chosen for its mode", mu_ps_process(server),
            (long long)told->clock);
    note_choice(server, told);
    begin_check(server, told);
    own->told_queued = false;
    server->look_again = true;
    mu_ps_release(server);
    return MU_OK;
}

struct mu_ps_chosen mu_ps_server_chosen(const struct mu_ps_server *server)
{
    return server->auto_.chosen;
}
