/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_serve.h"
#include "ps/server/server_audit.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_buffer.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_known.h"
#include "ps/server/server_modes.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_relink.h"
#include "ps/server/server_rows.h"
#include <string.h>

/*
 * One place in the order, from its verdict to its answer:
 *
 *   head       judge: a verdict for all servers ------ VERDICT ------> followers
 *   every one  carry_out: apply or gather, and the step if it is complete
 *              answer: at once, or held until the version or the slowest worker gets there
 *              release: answers that were held and need not be any more
 *
 * The verdict says all that is to be done with a gradient. When it has made a version with which
 * another mode begins (ps_plan.h), each server goes on in that one before anybody is answered.
 */

/* ---- judging: on the head, for all servers ---- */

static bool is_warming_up(const struct mu_ps_server *server)
{
    return server->shard.version < mu_ps_phase_of(server)->mode.warmup_steps &&
           !server->warmup_left;
}

static struct mu_push_facts facts_of(
    const struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    bool warming_up = is_warming_up(server);
    int64_t version = server->shard.version;
    int64_t seen = buffer->flaw == MU_PS_FLAW_NONE ? buffer->seen : version;
    return (struct mu_push_facts){
        .worker = buffer->worker,
        .replica_count = server->options.replica_count,
        .version_seen = (uint64_t)seen,
        .version = (uint64_t)version,
        .staleness = (uint64_t)(version - seen),
        .bound = (uint64_t)mu_ps_phase_of(server)->mode.bound,
        .has_seen = mu_seen_find(&server->seen, buffer->worker, seen) != NULL,
        .is_flawed = buffer->flaw != MU_PS_FLAW_NONE,
        .warming_up = warming_up,
        .gathered = server->shard.gathered,
        .active_count = server->active_count,
        .clock = server->ledger[buffer->worker].clock + !warming_up,
    };
}

static void judge_gradient(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_server_options *options = &server->options;
    const struct mu_ps_phase *phase = mu_ps_phase_of(server);
    struct mu_ps_verdict_body *verdict = &buffer->verdict;
    bool is_open = buffer->flaw == MU_PS_FLAW_NONE || buffer->flaw == MU_PS_FLAW_DIFFERS;
    if (is_open && buffer->seen > verdict->version)
        buffer->flaw = MU_PS_FLAW_FUTURE;
    struct mu_push_facts facts = facts_of(server, buffer);
    struct mu_ps_decision decision =
        mu_ps_mode_decide(&phase->mode, phase->policy, phase->policy_options, &facts);
    double scale = (double)decision.judgement.scale;
    bool on_rate = decision.judgement.verdict == MU_VERDICT_SCALE;
    verdict->verdict = decision.judgement.verdict;
    verdict->flaw = buffer->flaw;
    verdict->scale = scale;
    verdict->weight = (double)buffer->scale * (on_rate ? 1 : scale);
    verdict->learning_rate =
        options->learning_rate(options->owner, verdict->version) * (on_rate ? scale : 1);
    verdict->staleness = (int64_t)facts.staleness;
    verdict->clock = (int64_t)facts.clock;
    verdict->average = decision.average;
    verdict->version_awaited = decision.version_awaited;
    verdict->clock_awaited = (int64_t)decision.clock_awaited;
    if (options->judged)
        options->judged(options->owner, &facts, &decision);
}

/* What was gathered may be complete without this worker. */
static void judge_leaving(const struct mu_ps_server *server, struct mu_ps_verdict_body *verdict)
{
    const struct mu_ps_server_options *options = &server->options;
    int active_count = server->active_count - !server->ledger[verdict->worker].left;
    verdict->average =
        mu_ps_mode_left(&mu_ps_phase_of(server)->mode, server->shard.gathered, active_count);
    verdict->learning_rate = options->learning_rate(options->owner, verdict->version);
    if (options->left && !server->ledger[verdict->worker].left)
        options->left(options->owner, verdict->worker, (int)verdict->average);
}

static void judge(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    buffer->verdict = (struct mu_ps_verdict_body){
        .worker = buffer->worker, .item = buffer->item, .version = server->shard.version};
    if (buffer->item == MU_PS_ITEM_GRADIENT)
        judge_gradient(server, buffer);
    else if (buffer->item == MU_PS_ITEM_LEAVE)
        judge_leaving(server, &buffer->verdict);
    else if (buffer->item == MU_PS_ITEM_PULL)
        buffer->verdict.version_awaited =
            mu_ps_mode_first_pull(&mu_ps_phase_of(server)->mode, buffer->worker);
}

static void tell_followers(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    if (server->standby.live_count == 1)
        return;
    struct mu_frame frame = {
        .type = MU_FRAME_VERDICT,
        .generation = server->options.generation,
        .tag = buffer->sequence,
        .body_bytes = (uint32_t)mu_ps_verdict_write(buffer->told_body, &buffer->verdict),
    };
    for (int i = 0; i < server->standby.seat_count; i++)
        if (mu_ps_is_told(server, i))
            mu_ps_buffer_send(
                buffer, &server->others[i], &buffer->told[i], &frame, buffer->told_body, NULL);
}

/* ---- carrying out: on every server ---- */

static enum mu_status differs(const struct mu_ps_server *server, const char *what)
{
    return mu_fail(server->options.log, MU_E0701, NULL, "ps/%d has another %s than ps/%d",
        mu_ps_process(server), what,
        mu_ps_seat_process(server->standby.head, server->options.server_count));
}

/* A gradient that is a step of its own; leaves the fresh parameters in the buffer, if they are
 * wanted. */
static enum mu_status apply(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    struct mu_correction correction = {
        .correct = mu_ps_phase_of(server)->policy->correct,
        .options = mu_ps_phase_of(server)->policy_options,
        .seen = mu_seen_find(&server->seen, buffer->worker, verdict->version - verdict->staleness),
        .mean_square = server->seen.mean_square.data,
    };
    bool corrects = verdict->verdict == MU_VERDICT_CORRECT;
    bool brings = buffer->wants_fresh && mu_ps_brings(server);
    if (corrects && !correction.seen)
        return differs(server, "record of what a worker has seen");
    MU_TRY(mu_ps_rows_apply(server, buffer));
    /* To correct a gradient is to change it: not the worker's own. */
    if (corrects && buffer->data != buffer->own)
        memcpy(buffer->own, buffer->data, mu_ps_span_bytes(server));
    mu_shard_apply_corrected(&server->shard, corrects ? buffer->own : buffer->data,
        (float)verdict->weight, (float)verdict->learning_rate, corrects ? &correction : NULL,
        brings ? buffer->fresh : NULL);
    if (brings)
        buffer->fresh_version = server->shard.version;
    return MU_OK;
}

static void count(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    struct mu_ps_worker *worker = &server->ledger[verdict->worker];
    bool is_refused = verdict->verdict == MU_VERDICT_REFUSE;
    mu_staleness_add(&server->staleness, verdict->verdict, (uint64_t)verdict->staleness);
    worker->verdicts[verdict->verdict]++;
    worker->clock = (uint64_t)verdict->clock;
    worker->refused_in_row = is_refused ? worker->refused_in_row + 1 : 0;
    server->judged[verdict->worker]++;
}

static enum mu_status carry_out_gradient(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    count(server, verdict);
    switch (verdict->verdict) {
    case MU_VERDICT_APPLY:
    case MU_VERDICT_SCALE:
    case MU_VERDICT_CORRECT:
        return apply(server, buffer);
    case MU_VERDICT_GATHER:
        mu_shard_gather(&server->shard, buffer->data, (float)verdict->weight);
        mu_ps_rows_gather(server, buffer);
        return MU_OK;
    case MU_VERDICT_DROP:
    case MU_VERDICT_REFUSE:
    case MU_VERDICT_COUNT:
        break;
    }
    return MU_OK;
}

static void leave(struct mu_ps_server *server, int worker)
{
    server->active_count -= !server->ledger[worker].left;
    server->ledger[worker].left = true;
    server->warmup_left |= worker == 0;
}

static enum mu_status step_if_complete(
    struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    if (verdict->average == 0)
        return MU_OK;
    if (verdict->average != server->shard.gathered)
        return differs(server, "number of gathered gradients");
    MU_TRY(mu_ps_rows_apply_gathered(server, verdict->learning_rate));
    mu_shard_apply_gathered(&server->shard, (float)verdict->learning_rate);
    return MU_OK;
}

/* ---- answering ---- */

/* What its worker will have seen: the same on all servers, although one may have found no place
 * for it. */
static bool is_remembered(const struct mu_ps_buffer *buffer)
{
    enum mu_ps_flaw flaw = buffer->verdict.flaw;
    return buffer->asks_fresh && flaw != MU_PS_FLAW_DIFFERS && flaw != MU_PS_FLAW_FUTURE;
}

static void reply(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    struct mu_ps_peer *worker = &server->workers[buffer->worker];
    const struct mu_table *table = server->rows.store.table;
    int64_t version = server->shard.version;
    bool brings = buffer->wants_fresh && mu_ps_brings(server);
    bool travels = brings && buffer->fresh == buffer->own;
    mu_ps_auto_sent(server, buffer->worker);
    if (brings && buffer->fresh_version != version)
        mu_shard_copy(&server->shard, buffer->fresh);
    if (is_remembered(buffer))
        mu_seen_store(&server->seen, buffer->worker, buffer->sequence,
            server->shard.vectors[0].data, version);
    if (brings && !travels)
        server->load.bytes_out += mu_ps_span_bytes(server);
    struct mu_ps_fresh_body fresh = {
        .item = buffer->item,
        .verdict = buffer->verdict.verdict,
        .flaw = buffer->verdict.flaw,
        .scale = buffer->verdict.scale,
        .staleness = buffer->verdict.staleness,
        .version = version,
        .rows = table ? (int64_t)mu_table_count(table).rows : 0,
        .bare = !mu_ps_brings(server),
    };
    struct mu_frame frame = {
        .type = MU_FRAME_FRESH,
        .generation = server->options.generation,
        .tag = buffer->tag,
        .body_bytes = (uint32_t)mu_ps_fresh_write(buffer->reply_body, &fresh),
        .payload_bytes = travels ? (uint32_t)mu_ps_span_bytes(server) : 0,
    };
    mu_ps_rows_reply(server, buffer);
    mu_ps_relink_note(server, buffer, &fresh);
    buffer->state = MU_PS_BUFFER_SENDING;
    if (mu_ps_relink_sends(server, buffer))
        mu_ps_buffer_send(
            buffer, worker, &buffer->reply, &frame, buffer->reply_body, buffer->fresh);
    else
        mu_ps_buffer_leave(buffer); /* nobody is there who waits for it */
    if (!travels)
        mu_ps_buffer_give(buffer);
}

uint64_t mu_ps_slowest(const struct mu_ps_server *server, int except)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < server->options.replica_count; i++)
        if (i != except && !server->ledger[i].left && server->ledger[i].clock < least)
            least = server->ledger[i].clock;
    return least;
}

static bool may_go(
    const struct mu_ps_server *server, const struct mu_ps_buffer *buffer, uint64_t clock)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    if (server->ledger[buffer->worker].left)
        return true;
    /* A pull waits for the warm-up, which has ended if its worker has left. */
    if (verdict->item == MU_PS_ITEM_PULL && server->warmup_left)
        return true;
    return server->shard.version >= verdict->version_awaited &&
           (verdict->clock_awaited == 0 ||
               clock >= mu_ps_mode_clock_awaited(
                            &mu_ps_phase_of(server)->mode, (uint64_t)verdict->clock));
}

void mu_ps_release(struct mu_ps_server *server)
{
    uint64_t clock = server->held_count > 0 ? mu_ps_slowest(server, -1) : 0;
    size_t count_max =
        (size_t)server->options.replica_count * (size_t)server->options.in_flight_max;
    for (size_t i = 0; server->held_count > 0 && i < count_max; i++) {
        struct mu_ps_buffer *buffer = &server->buffers[i];
        if (buffer->state != MU_PS_BUFFER_HELD || !may_go(server, buffer, clock))
            continue;
        server->held_count--;
        reply(server, buffer);
    }
}

static void answer(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    bool awaits = buffer->verdict.clock_awaited > 0 || buffer->verdict.version_awaited > 0;
    if (!awaits || may_go(server, buffer, mu_ps_slowest(server, -1))) {
        reply(server, buffer);
    } else {
        buffer->state = MU_PS_BUFFER_HELD;
        server->held_count++;
    }
}

/* ---- refusing ---- */

static void warn(struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    char name[MU_TASK_NAME_MAX + 8];
    mu_ps_peer_name(&server->workers[buffer->worker], name, sizeof(name));
    mu_say(server->options.log, MU_LEVEL_WARN, "%s sent a gradient %s: it is refused (%d of %d)",
        name, mu_ps_flaw_text(buffer->verdict.flaw), server->ledger[buffer->worker].refused_in_row,
        MU_PS_REFUSED_MAX);
}

/* The third in a row. Every server ends its link; the head says why. */
static void cut_off(struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    struct mu_ps_peer *peer = &server->workers[buffer->worker];
    if (mu_ps_is_head(server)) {
        mu_ps_blame(peer, MU_E0406, "sent %d gradients in a row that were refused, the last %s",
            MU_PS_REFUSED_MAX, mu_ps_flaw_text(buffer->verdict.flaw));
        mu_ps_lost(server, peer->index);
    }
    mu_ps_cut(peer);
}

static void look_at_refusal(struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    const struct mu_ps_verdict_body *verdict = &buffer->verdict;
    if (verdict->item != MU_PS_ITEM_GRADIENT || verdict->verdict != MU_VERDICT_REFUSE)
        return;
    if (mu_ps_is_head(server))
        warn(server, buffer);
    if (server->ledger[buffer->worker].refused_in_row == MU_PS_REFUSED_MAX)
        cut_off(server, buffer);
}

/* ---- one place in the order ---- */

enum mu_status mu_ps_check_version(
    const struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    if (verdict->version == server->shard.version)
        return MU_OK;
    return mu_fail(server->options.log, MU_E0701, NULL,
        "ps/%d is at version %lld where ps/%d is at %lld", mu_ps_process(server),
        (long long)server->shard.version,
        mu_ps_seat_process(server->standby.head, server->options.server_count),
        (long long)verdict->version);
}

enum mu_status mu_ps_serve_buffer(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    assert(buffer->state == MU_PS_BUFFER_QUEUED);
    server->sequence_served[buffer->worker]++;
    if (mu_ps_is_head(server)) {
        buffer->flaw = buffer->here_flaw;
        buffer->here_count = 0;
        buffer->here_flaw = MU_PS_FLAW_NONE;
        server->waiting_count--;
        judge(server, buffer);
        tell_followers(server, buffer);
    }
    if (buffer->item == MU_PS_ITEM_GRADIENT)
        mu_ps_auto_came(server, buffer->worker);
    mu_ps_known_add(&server->standby.known, buffer->sequence, &buffer->verdict);
    MU_TRY(mu_ps_check_version(server, &buffer->verdict));
    mu_ps_audit_note(server, &buffer->verdict, buffer);
    buffer->fresh_version = -1;
    if (buffer->item == MU_PS_ITEM_GRADIENT)
        MU_TRY(carry_out_gradient(server, buffer));
    else if (buffer->item == MU_PS_ITEM_LEAVE)
        leave(server, buffer->worker);
    MU_TRY(step_if_complete(server, &buffer->verdict));
    mu_ps_modes_follow(server);
    look_at_refusal(server, buffer);
    answer(server, buffer);
    mu_ps_release(server);
    mu_ps_auto_look(server, &buffer->verdict);
    return MU_OK;
}

void mu_ps_tell_change(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict)
{
    for (int i = 0; i < server->standby.seat_count; i++) {
        uint8_t memory[MU_PS_BODY_MAX];
        struct mu_body body;
        mu_ps_verdict_put(&body, memory, verdict);
        if (mu_ps_is_told(server, i))
            mu_link_post(
                server->others[i].link, MU_FRAME_VERDICT, server->options.generation, 0, &body);
    }
}

enum mu_status mu_ps_serve_loss(struct mu_ps_server *server, int worker)
{
    struct mu_ps_verdict_body *verdict = &server->ledger[worker].change;
    if (mu_ps_is_head(server)) {
        *verdict = (struct mu_ps_verdict_body){
            .worker = worker, .item = MU_PS_ITEM_LOSS, .version = server->shard.version};
        judge_leaving(server, verdict);
        mu_ps_tell_change(server, verdict);
    } else {
        server->ledger[worker].changes = false;
        server->look_again = true;
    }
    mu_ps_known_add(&server->standby.known, 0, verdict);
    MU_TRY(mu_ps_check_version(server, verdict));
    mu_ps_audit_note(server, verdict, NULL);
    leave(server, worker);
    server->ledger[worker].is_lost = true;
    mu_ps_relink_lose(server, worker);
    MU_TRY(step_if_complete(server, verdict));
    mu_ps_modes_follow(server);
    mu_ps_release(server);
    return MU_OK;
}
