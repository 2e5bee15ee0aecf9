/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client_inside.h"
#include "ps/spin.h"
#include "runtime/base/text.h"
#include <math.h>
#include <stdlib.h>

/* ---- life ---- */

enum mu_status mu_ps_client_create(
    const struct mu_ps_client_options *options, struct mu_ps_client **ret_client)
{
    assert(options->server_count > 0 && options->server_count <= MU_PS_SERVERS_MAX);
    assert(options->in_flight > 0 && options->in_flight <= MU_PS_IN_FLIGHT_MAX);
    size_t seats = (size_t)mu_ps_seat_count(options->server_count, options->replicas);
    struct mu_ps_client *client = calloc(1, sizeof(*client));
    struct mu_client_part *parts = calloc(seats * (size_t)options->in_flight, sizeof(*parts));
    if (!client || !parts) {
        free(parts);
        free(client);
        return mu_fail(options->log, MU_E0801, NULL, "no memory for a parameter server's client");
    }
    *client = (struct mu_ps_client){.options = *options, .parts = parts, .culprit = -1};
    client->options.relinks = options->relinks || options->replicas > 0;
    client->seat_count = (int)seats;
    client->lost = -1;
    if (client->options.incarnation == 0)
        client->options.incarnation = 1;
    for (size_t i = 0; i < seats; i++)
        client->servers[i] = (struct mu_client_server){
            .client = client,
            .order = (int)i,
            .span = mu_split(options->element_count, options->server_count,
                mu_ps_seat_span((int)i, options->server_count)),
            .lost_since_ns = mu_now(options->loop->world),
        };
    for (size_t i = 0; i < (size_t)options->in_flight; i++)
        client->slots[i] = (struct mu_client_slot){.client = client, .parts = parts + i * seats};
    if (mu_client_rows_init(client) != MU_OK) {
        mu_ps_client_destroy(client);
        return mu_fail(options->log, MU_E0801, "use a smaller data.batch, or fewer in flight",
            "no memory for %zu embedding rows of %zu floats, in %d pushes", options->row_max,
            options->row_width, options->in_flight);
    }
    *ret_client = client;
    return MU_OK;
}

void mu_ps_client_destroy(struct mu_ps_client *client)
{
    if (!client)
        return;
    for (int i = 0; i < client->seat_count; i++)
        mu_link_close(client->servers[i].link);
    mu_client_rows_finish(client);
    free(client->parts);
    free(client);
}

/* ---- failing ---- */

void mu_client_fail(struct mu_ps_client *client, int order, enum mu_status why)
{
    if (client->failure == MU_OK) {
        client->failure = why;
        client->culprit = mu_ps_seat_process(order, client->options.server_count);
    }
    for (int i = 0; i < client->options.in_flight; i++)
        client->slots[i].ended = client->slots[i].in_use;
}

enum mu_link_answer mu_client_refuse(struct mu_client_server *server, const char *what)
{
    struct mu_ps_client *client = server->client;
    server->refused = true;
    mu_client_fail(client, server->order,
        mu_fail(client->options.log, MU_E0404, NULL, "ps/%d %s",
            mu_ps_seat_process(server->order, client->options.server_count), what));
    return MU_LINK_REFUSE;
}

/* ---- receiving ---- */

static struct mu_client_part *part_of(struct mu_client_server *server, uint64_t sequence)
{
    struct mu_ps_client *client = server->client;
    for (int i = 0; i < client->options.in_flight; i++) {
        struct mu_client_slot *slot = &client->slots[i];
        if (slot->in_use && slot->sequence == sequence &&
            mu_client_awaits(&slot->parts[server->order]))
            return &slot->parts[server->order];
    }
    return NULL;
}

/* With the numbers: they tell what was answered twice from what was never asked. */
static enum mu_link_answer refuse_stray(struct mu_client_server *server, uint64_t sequence)
{
    uint64_t next = server->client->sequence_next;
    char what[128];
    mu_format(what, sizeof(what),
        sequence < next ? "answers push %llu again, and %llu is next"
                        : "answers push %llu, which was not sent: %llu is next",
        (unsigned long long)sequence, (unsigned long long)next);
    return mu_client_refuse(server, what);
}

static enum mu_link_answer on_rows(struct mu_client_server *server, struct mu_client_part *part,
    const struct mu_frame *frame, void **ret_payload)
{
    if (!mu_client_rows_take(part, frame, ret_payload))
        return mu_client_refuse(server, "sent embedding rows that were not wanted");
    server->part = part;
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    struct mu_client_server *server = owner;
    bool is_rows = frame->type == MU_FRAME_ROWS;
    if (frame->type == MU_FRAME_SHARE)
        return mu_client_share_frame(server, frame, body);
    if (frame->type == MU_FRAME_REFUSAL)
        return mu_client_hear_refusal(server, link, frame, body);
    if ((frame->type != MU_FRAME_FRESH && !is_rows) ||
        frame->generation != server->client->options.generation)
        return mu_client_refuse(server, "sent a frame that has no place here");
    struct mu_client_part *part = part_of(server, frame->tag);
    if (!part)
        return refuse_stray(server, frame->tag);
    if (is_rows)
        return on_rows(server, part, frame, ret_payload);
    if (!mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &part->fresh) ||
        part->fresh.item != part->slot->item)
        return mu_client_refuse(server, "sent a FRESH whose body is malformed");
    bool brings = !part->fresh.bare;
    if (part->row_values_missing && brings && part->fresh.verdict != MU_VERDICT_REFUSE)
        return mu_client_refuse(server, "sent a FRESH without the embedding rows that were wanted");
    float *fresh = brings && !mu_client_share_is_in_place(part, frame) ? part->slot->fresh : NULL;
    if (frame->payload_bytes != (fresh ? server->span.count * sizeof(float) : 0))
        return mu_client_refuse(server, "sent parameters of another length than its span has");
    server->part = part;
    *ret_payload = fresh ? fresh + server->span.first : NULL;
    return MU_LINK_TAKE;
}

void mu_client_end_if_whole(struct mu_client_slot *slot)
{
    if (slot->in_use && slot->replies_missing == 0 && slot->sends_pending == 0)
        slot->ended = true;
}

/* All servers say the same of a gradient: the first is heard. */
static void count_refusal(
    const struct mu_client_server *server, const struct mu_ps_fresh_body *fresh)
{
    int *in_row = &server->client->refused_in_row;
    if (server->order == 0 && fresh->item == MU_PS_ITEM_GRADIENT)
        *in_row = fresh->verdict == MU_VERDICT_REFUSE ? *in_row + 1 : 0;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_client_server *server = owner;
    struct mu_client_part *part = server->part;
    if (frame->type == MU_FRAME_SHARE)
        return;
    if (frame->type == MU_FRAME_ROWS) {
        mu_client_rows_arrived(part, frame);
        return;
    }
    count_refusal(server, &part->fresh);
    part->replied = true;
    part->slot->replies_missing--;
    mu_client_end_if_whole(part->slot);
}

/* Is an answer of this server missing? */
static bool owes(const struct mu_client_server *server)
{
    for (int i = 0; i < server->client->options.in_flight; i++) {
        const struct mu_client_slot *slot = &server->client->slots[i];
        if (slot->in_use && !slot->parts[server->order].replied)
            return true;
    }
    return false;
}

/* Nobody answers the gradient that is one too many: the link ends. */
static bool is_put_out(const struct mu_ps_client *client)
{
    bool pushes = false;
    for (int i = 0; i < client->options.in_flight; i++)
        pushes = pushes || (client->slots[i].in_use && client->slots[i].gradients);
    return pushes && client->refused_in_row == MU_PS_REFUSED_MAX - 1;
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct mu_client_server *server = owner;
    server->ended = true;
    mu_client_share_ended(server);
    if (why == MU_PROTOCOL && !server->refused)
        mu_client_refuse(server, "sent what is not a frame");
    else if (server->client->options.relinks && !server->refused)
        mu_client_relink_end(server);
    else if (owes(server)) {
        server->client->put_out = is_put_out(server->client);
        mu_client_fail(server->client, server->order, MU_CLOSED);
    }
}

static const struct mu_link_events server_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

void mu_ps_client_add_server(struct mu_ps_client *client, int order, struct mu_link *link)
{
    assert(order >= 0 && order < client->seat_count);
    struct mu_client_server *server = &client->servers[order];
    if (client->options.relinks)
        mu_client_relink_end(server);
    assert(!server->link);
    server->link = link;
    server->ended = !mu_link_alive(link);
    mu_link_hold_at_most(link, mu_ps_held_bytes(client->options.replicas));
    mu_link_adopt(link, &server_events, server);
    if (client->options.relinks)
        mu_client_relink_resume(server);
    else
        mu_link_resume(link);
}

/* ---- sending ---- */

void mu_client_send_finished(struct mu_send *send)
{
    struct mu_client_part *part = send->owner;
    part->slot->sends_pending--;
    mu_client_end_if_whole(part->slot);
}

static const uint8_t *write_quiet(struct mu_client_part *part, struct mu_frame *frame)
{
    struct mu_ps_push_body push = part->slot->push;
    push.quiet = true;
    frame->body_bytes = (uint32_t)mu_ps_push_write(part->own_body, &push);
    return part->own_body;
}

void mu_client_send_part(struct mu_client_slot *slot, struct mu_client_server *server)
{
    struct mu_client_part *part = &slot->parts[server->order];
    struct mu_frame frame = slot->frame;
    const float *gradients = slot->gradients;
    if (!server->link)
        return;
    mu_client_rows_send(slot, server, frame);
    const float *gradient = gradients ? gradients + server->span.first : NULL;
    const uint8_t *body = slot->body;
    if (gradient)
        frame.payload_bytes = (uint32_t)(server->span.count * sizeof(float));
    if (part->quiet)
        body = write_quiet(part, &frame);
    mu_client_share_part(slot, server, &frame, &gradient, &body);
    part->send.owner = part;
    part->send.finished = mu_client_send_finished;
    slot->sends_pending++;
    mu_link_send(server->link, &part->send, &frame, body, gradient);
}

enum mu_status mu_client_check_servers(struct mu_ps_client *client)
{
    for (int i = 0; !client->options.relinks && i < client->seat_count; i++) {
        assert(client->servers[i].link);
        if (client->servers[i].ended)
            mu_client_fail(client, i, MU_CLOSED);
    }
    return client->failure;
}

enum mu_status mu_client_start(struct mu_ps_client *client, struct mu_client_slot *slot,
    size_t body_bytes, const float *gradients, float *fresh)
{
    slot->in_use = true;
    slot->ended = false;
    slot->sequence = client->sequence_next++;
    slot->gradients = gradients;
    slot->fresh = fresh;
    slot->frame = (struct mu_frame){
        .type = gradients ? MU_FRAME_PUSH : MU_FRAME_PULL,
        .generation = client->options.generation,
        .tag = slot->sequence,
        .body_bytes = (uint32_t)body_bytes,
    };
    for (int i = 0; i < client->seat_count; i++) {
        slot->parts[i].slot = slot;
        slot->parts[i].in_place = slot->parts[i].was_in_place = false;
        slot->parts[i].rows_in_place = slot->parts[i].rows_were_in_place = false;
        slot->parts[i].row_values_missing = slot->parts[i].rows.wanted > 0;
    }
    mu_client_expect(slot);
    for (int i = 0; i < client->seat_count; i++)
        mu_client_send_part(slot, &client->servers[i]);
    return client->failure;
}

static struct mu_client_slot *free_slot(
    struct mu_ps_client *client, int index, enum mu_ps_item item)
{
    assert(index >= 0 && index < client->options.in_flight);
    struct mu_client_slot *slot = &client->slots[index];
    assert(!slot->in_use);
    slot->item = item;
    return slot;
}

enum mu_status mu_ps_client_push(struct mu_ps_client *client, int slot, const float *gradients,
    float scale, int64_t seen, float *fresh)
{
    assert(gradients && gradients != fresh);
    assert(isfinite(scale));
    assert(seen >= 0);
    const struct mu_ps_push_body push = {
        .seen = seen, .scale = (double)scale, .acknowledge_only = !fresh};
    MU_TRY(mu_client_check_servers(client));
    struct mu_client_slot *own = free_slot(client, slot, MU_PS_ITEM_GRADIENT);
    own->push = push;
    return mu_client_start(client, own, mu_ps_push_write(own->body, &push), gradients, fresh);
}

/* ---- waiting ---- */

static void name_missing(struct mu_ps_client *client, const struct mu_client_slot *slot)
{
    int missing = 0, lost = -1; /* if none is, the loss of the head (mu_client_awaits_loss) */
    for (int i = client->seat_count - 1; i >= 0; i--) {
        if (!mu_client_awaits(&slot->parts[i]))
            continue;
        missing = i;
        lost = client->servers[i].link ? lost : i;
    }
    client->culprit = mu_ps_seat_process(lost >= 0 ? lost : missing, client->options.server_count);
}

/* OK: all have answered, with the same, and nothing of what is wanted is missing. */
static enum mu_status wait_whole(
    struct mu_ps_client *client, struct mu_client_slot *slot, int64_t deadline_ns)
{
    for (;;) {
        enum mu_status status = mu_loop_until(client->options.loop, &slot->ended, deadline_ns);
        if (client->failure != MU_OK)
            return client->failure;
        if (status == MU_TIMEOUT)
            name_missing(client, slot);
        MU_TRY(status);
        if (mu_client_awaits_loss(slot)) {
            slot->ended = false;
            continue;
        }
        MU_TRY(mu_client_check_agreement(slot));
        if (!mu_client_relink_asks(slot))
            return client->failure;
    }
}

static void free_slot_of(struct mu_client_slot *slot)
{
    for (int i = 0; i < slot->client->seat_count; i++)
        slot->parts[i].rows = (struct mu_ps_rows_body){0};
    slot->in_use = slot->is_judged = false;
}

static enum mu_status wait_for(
    struct mu_ps_client *client, int index, int64_t deadline_ns, struct mu_ps_fresh_body *ret_fresh)
{
    assert(index >= 0 && index < client->options.in_flight);
    struct mu_client_slot *slot = &client->slots[index];
    assert(slot->in_use);
    struct mu_loop *loop = client->options.loop;
    int64_t spin_ns = loop->spin_ns;
    loop->spin_ns = mu_ps_spin_ns(loop);
    enum mu_status status = wait_whole(client, slot, deadline_ns);
    loop->spin_ns = spin_ns;
    MU_TRY(status);
    const struct mu_ps_fresh_body *fresh = &mu_client_first_part(slot)->fresh;
    *ret_fresh = *fresh;
    if (slot->is_judged) {
        *ret_fresh = slot->judged;
        ret_fresh->version = fresh->version;
    }
    if (slot->item != MU_PS_ITEM_GRADIENT) /* answers to those do not say it */
        client->row_count = mu_client_count_rows(slot);
    free_slot_of(slot);
    return MU_OK;
}

enum mu_status mu_ps_client_wait(
    struct mu_ps_client *client, int slot, int64_t deadline_ns, struct mu_ps_result *ret_result)
{
    struct mu_ps_fresh_body fresh;
    MU_TRY(wait_for(client, slot, deadline_ns, &fresh));
    *ret_result = (struct mu_ps_result){
        .verdict = fresh.verdict,
        .scale = (float)fresh.scale,
        .staleness = fresh.staleness,
        .version = fresh.version,
        .refused = fresh.flaw != MU_PS_FLAW_NONE ? mu_ps_flaw_text(fresh.flaw) : NULL,
    };
    return MU_OK;
}

static enum mu_status start_pull(
    struct mu_ps_client *client, int index, enum mu_ps_item item, float *parameters)
{
    MU_TRY(mu_client_check_servers(client));
    struct mu_client_slot *slot = free_slot(client, index, item);
    size_t bytes = mu_ps_pull_write(slot->body, item, 0);
    return mu_client_start(client, slot, bytes, NULL, parameters);
}

enum mu_status mu_ps_client_pull_start(struct mu_ps_client *client, int slot, float *parameters)
{
    assert(parameters);
    return start_pull(client, slot, MU_PS_ITEM_PULL, parameters);
}

static enum mu_status ask(struct mu_ps_client *client, int index, enum mu_ps_item item,
    float *parameters, int64_t deadline_ns, struct mu_ps_fresh_body *ret_fresh)
{
    MU_TRY(start_pull(client, index, item, parameters));
    return wait_for(client, index, deadline_ns, ret_fresh);
}

static int any_free(const struct mu_ps_client *client)
{
    int slot = 0;
    while (slot + 1 < client->options.in_flight && client->slots[slot].in_use)
        slot++;
    return slot;
}

enum mu_status mu_ps_client_pull(
    struct mu_ps_client *client, float *parameters, int64_t deadline_ns, int64_t *ret_version)
{
    struct mu_ps_fresh_body fresh;
    MU_TRY(ask(client, any_free(client), MU_PS_ITEM_PULL, parameters, deadline_ns, &fresh));
    *ret_version = fresh.version;
    return MU_OK;
}

enum mu_status mu_ps_client_leave(struct mu_ps_client *client, int64_t deadline_ns)
{
    struct mu_ps_fresh_body fresh;
    return ask(client, any_free(client), MU_PS_ITEM_LEAVE, NULL, deadline_ns, &fresh);
}

enum mu_status mu_ps_client_look(struct mu_ps_client *client, int slot,
    const struct mu_row_set *wanted, float *values, int64_t deadline_ns)
{
    struct mu_ps_fresh_body fresh;
    const struct mu_ps_client_rows rows = {.wanted = wanted, .values = values};
    mu_ps_client_put_rows(client, slot, &rows);
    return ask(client, slot, MU_PS_ITEM_LOOK, NULL, deadline_ns, &fresh);
}

int64_t mu_ps_client_row_count(const struct mu_ps_client *client)
{
    return client->row_count;
}

bool mu_ps_client_put_out(const struct mu_ps_client *client)
{
    return client->put_out;
}

int mu_ps_client_culprit(const struct mu_ps_client *client)
{
    return client->culprit;
}
