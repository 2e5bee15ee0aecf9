/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_audit.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_rows.h"

/* What a server writes into its audit log: each place in the order that changes something. */

/* Which row leaves next depends on those that have left: a log must begin before. */
static void check_none_left(struct mu_ps_server *server)
{
    if (mu_table_count(server->rows.store.table).evicted == 0)
        return;
    mu_ps_failed(server, &server->leader,
        mu_fail(server->options.log, MU_E0204, "raise mode.row_limit, or leave out mode.audit",
            "ps/%d was given more embedding rows than mode.row_limit lets it keep, and an audit "
            "log cannot begin with rows that have left",
            mu_ps_process(server)));
}

void mu_ps_audit_begin(struct mu_ps_server *server)
{
    const struct mu_shard *shard = &server->shard;
    const float *vectors[MU_SHARD_VECTORS_MAX];
    if (!server->options.audit)
        return;
    for (int i = 0; i < shard->vector_count; i++)
        vectors[i] = shard->vectors[i].data;
    if (server->rows.store.table) {
        check_none_left(server);
        mu_audit_begin_rows(server->options.audit, server->rows.store.table);
    }
    mu_audit_begin(server->options.audit, shard->version, server->state.updates_total, vectors,
        shard->vector_count, shard->span.count);
}

bool mu_ps_audit_ready(const struct mu_ps_server *server)
{
    return !server->options.audit || mu_audit_ready(server->options.audit);
}

enum mu_status mu_ps_audit_status(const struct mu_ps_server *server)
{
    return server->options.audit ? mu_audit_status(server->options.audit) : MU_OK;
}

/* HEADER: it changes nothing, and leaves no record. */
static enum mu_audit_kind kind_of(enum mu_ps_item item)
{
    switch (item) {
    case MU_PS_ITEM_GRADIENT:
        return MU_AUDIT_GRADIENT;
    case MU_PS_ITEM_LEAVE:
        return MU_AUDIT_LEAVE;
    case MU_PS_ITEM_LOSS:
        return MU_AUDIT_LOSS;
    case MU_PS_ITEM_CHOICE:
        return MU_AUDIT_CHOICE;
    default:
        return MU_AUDIT_HEADER;
    }
}

/* A gradient that counts for nothing leaves no payload. */
static bool counts(const struct mu_ps_verdict_body *verdict)
{
    return verdict->item == MU_PS_ITEM_GRADIENT && verdict->verdict != MU_VERDICT_DROP &&
           verdict->verdict != MU_VERDICT_REFUSE;
}

void mu_ps_audit_note(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict,
    const struct mu_ps_buffer *buffer)
{
    enum mu_audit_kind kind = kind_of(verdict->item);
    if (!server->options.audit || kind == MU_AUDIT_HEADER)
        return;
    const void *rows = NULL;
    size_t row_bytes = 0;
    if (counts(verdict) && buffer->rows.counts.given > 0)
        row_bytes = mu_ps_rows_given(buffer, server->rows.store.options.width, &rows);
    struct mu_audit_record record = {
        .kind = kind,
        .verdict = verdict->verdict,
        .flaw = (int)verdict->flaw,
        .worker = verdict->worker,
        .average = (int)verdict->average,
        .payload_bytes = counts(verdict) ? mu_ps_span_bytes(server) + row_bytes : 0,
        .sequence = buffer ? buffer->sequence : 0,
        .version = verdict->version,
        .staleness = verdict->staleness,
        .clock = verdict->clock,
        .scale = verdict->scale,
        .weight = verdict->weight,
        .learning_rate = verdict->learning_rate,
    };
    if (kind == MU_AUDIT_GRADIENT) {
        record.seen = verdict->version - verdict->staleness;
        record.has_seen = mu_seen_find(&server->seen, verdict->worker, record.seen) != NULL;
        record.corrects_rows = mu_ps_rows_seen(server, buffer) != NULL;
    }
    mu_audit_add_rows(
        server->options.audit, &record, buffer ? buffer->data : NULL, rows, row_bytes);
}
