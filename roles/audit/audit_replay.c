/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_replay.h"
#include "ps/audit_read.h"
#include "ps/shard.h"
#include "ps/table/table_save.h"
#include "roles/audit/audit_header.h"
#include "roles/audit/audit_judge.h"
#include "roles/audit/audit_rows.h"
#include "roles/audit/audit_seen.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"
#include "runtime/base/shell.h"
#include "runtime/base/text.h"
#include "runtime/tensor/layout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *   open      the headers say what the logs are of: job, layout, spans
 *   restore   the vectors that the servers began with
 *   go        record by record, the same one of each server: judge, apply
 *   finish    the spans side by side are the parameters
 */

/* One server. */
struct source {
    struct mu_audit_reader reader;
    struct mu_audit_header header;
    uint64_t row_count; /* that the log begins with */
    struct mu_shard shard;
    struct mu_arena gradient, mean_square;
    struct mu_audit_seen seen;
    struct mu_audit_rows rows;
};

struct replay {
    struct mu_log *log;
    const struct mu_audit_files *files;
    struct source *source; /* (source_count) */
    int source_count;
    struct mu_layout layout;
    struct mu_audit_judge judge;
    struct mu_audit_whole whole;
    struct mu_audit_replayed done;
};

/* ---- opening ---- */

static enum mu_status read_header(struct source *source, struct mu_audit_record *ret_record)
{
    enum mu_status status = mu_audit_header_next(&source->reader, ret_record, &source->header);
    source->row_count = ret_record->sequence;
    return status;
}

static enum mu_status open_source(
    struct replay *replay, struct source *source, int order, struct mu_audit_record *ret_record)
{
    const struct mu_audit_files *files = replay->files;
    char path[sizeof(files->folder) + MU_AUDIT_NAME_MAX];
    mu_format(path, sizeof(path), "%s/%s", files->folder, files->name[order]);
    MU_TRY(mu_audit_reader_open(&source->reader, replay->log, path));
    source->reader.whole = &replay->whole;
    MU_TRY(read_header(source, ret_record));
    if (source->header.order != order)
        return mu_audit_reader_fail(
            &source->reader, "this is the log of ps/%d", source->header.order);
    return MU_OK;
}

/* Do the logs of two servers say that they are of one run? */
static bool same_run(const struct source *a, const struct source *b)
{
    const struct mu_audit_header *x = &a->header, *y = &b->header;
    return x->server_count == y->server_count && x->replica_count == y->replica_count &&
           x->element_count == y->element_count && x->layout_crc32c == y->layout_crc32c &&
           x->job->hash == y->job->hash;
}

static enum mu_status make_layout(struct replay *replay)
{
    struct source *first = &replay->source[0];
    const struct mu_audit_header *header = &first->header;
    const struct mu_job *job = header->job;
    MU_TRY(job->model->layout(job->model_options, &header->facts, replay->log, &replay->layout));
    if (replay->layout.element_count != header->element_count ||
        mu_layout_crc32c(&replay->layout) != header->layout_crc32c)
        return mu_audit_reader_fail(&first->reader,
            "model `%s` of this muster has other parameters than those of the log",
            job->model->name);
    return MU_OK;
}

static enum mu_status make_shard(struct replay *replay, struct source *source)
{
    const struct mu_job *job = source->header.job;
    struct mu_span span =
        mu_split(source->header.element_count, source->header.server_count, source->header.order);
    MU_TRY(mu_audit_rows_init(&source->rows, &source->header, &replay->judge.modes, replay->log));
    enum mu_status status = mu_shard_init(
        &source->shard, span, job->optimizer, job->optimizer_options, job->optim.weight_decay);
    source->shard.layout = &replay->layout;
    if (status == MU_OK)
        status = mu_arena_init(&source->gradient,
            span.count + source->rows.given_bytes_max / sizeof(float) + MU_VIEW_ALIGN);
    if (status == MU_OK && mu_ps_plan_gathers(&replay->judge.modes))
        status = mu_shard_make_room(&source->shard);
    if (status == MU_OK && mu_ps_plan_correcting(&replay->judge.modes))
        status = mu_arena_init(&source->mean_square, span.count + MU_VIEW_ALIGN);
    return status == MU_OK ? MU_OK
                           : mu_fail(replay->log, MU_E0801, NULL,
                                 "no memory for the part of ps/%d, %zu parameters",
                                 source->header.order, span.count);
}

static enum mu_status open_logs(struct replay *replay, struct mu_audit_record *ret_first)
{
    struct mu_audit_record record;
    replay->source = calloc(MU_PS_SERVERS_MAX, sizeof(*replay->source));
    if (!replay->source)
        return mu_fail(replay->log, MU_E0801, NULL, "no memory for a replay");
    replay->source_count = 1;
    MU_TRY(open_source(replay, &replay->source[0], 0, ret_first));
    if (replay->source[0].header.server_count != replay->files->server_count)
        return mu_audit_reader_fail(&replay->source[0].reader, "the file has changed just now");
    for (int i = 1; i < replay->files->server_count; i++) {
        struct source *source = &replay->source[replay->source_count++];
        MU_TRY(open_source(replay, source, i, &record));
        if (!same_run(&replay->source[0], source) || record.version != ret_first->version)
            return mu_audit_reader_fail(
                &source->reader, "this log is of another run than that of ps/0");
    }
    return MU_OK;
}

/* ---- restoring ---- */

static enum mu_status restore(struct source *source, int64_t version)
{
    struct mu_audit_record record;
    struct mu_shard *shard = &source->shard;
    for (int i = 0; i < shard->vector_count; i++) {
        MU_TRY(mu_audit_reader_next(&source->reader, &record));
        if (record.kind != MU_AUDIT_STATE || record.sequence != (uint64_t)i ||
            record.version != version)
            return mu_audit_reader_fail(
                &source->reader, "vector %d of version %lld belongs here", i, (long long)version);
        MU_TRY(mu_audit_reader_payload(
            &source->reader, shard->vectors[i].data, shard->span.count * sizeof(float)));
    }
    shard->version = version;
    return mu_audit_rows_restore(&source->rows, &source->reader, source->row_count, version);
}

/* ---- going ---- */

static bool same_record(const struct mu_audit_record *a, const struct mu_audit_record *b)
{
    return a->kind == b->kind && a->verdict == b->verdict && a->flaw == b->flaw &&
           a->has_seen == b->has_seen && a->worker == b->worker && a->average == b->average &&
           a->sequence == b->sequence && a->seen == b->seen && a->version == b->version &&
           a->clock == b->clock && memcmp(&a->scale, &b->scale, sizeof(a->scale)) == 0 &&
           memcmp(&a->weight, &b->weight, sizeof(a->weight)) == 0 &&
           memcmp(&a->learning_rate, &b->learning_rate, sizeof(a->learning_rate)) == 0;
}

/* Which server was lost before the end is not the same on one that was lost itself. */
static bool is_end(const struct mu_audit_record *a, const struct mu_audit_record *b)
{
    return a->kind == MU_AUDIT_END && b->kind == MU_AUDIT_END && a->version == b->version;
}

/* The next record of all servers, which is one but for their rows. */
static enum mu_status next_record(struct replay *replay, struct mu_audit_record *ret_record)
{
    struct mu_audit_record other;
    MU_TRY(mu_audit_reader_next(&replay->source[0].reader, ret_record));
    replay->source[0].rows.corrects = ret_record->corrects_rows;
    for (int i = 1; i < replay->source_count; i++) {
        struct source *source = &replay->source[i];
        MU_TRY(mu_audit_reader_next(&source->reader, &other));
        if (!same_record(ret_record, &other) && !is_end(ret_record, &other))
            return mu_audit_reader_fail(&source->reader,
                "this record (%s, version %lld) is not the one of ps/0 (%s, version %lld)",
                mu_audit_kind_name(other.kind), (long long)other.version,
                mu_audit_kind_name(ret_record->kind), (long long)ret_record->version);
        source->rows.corrects = other.corrects_rows;
    }
    return MU_OK;
}

static enum mu_status correct(
    struct source *source, const struct mu_ps_phase *phase, const struct mu_audit_record *record)
{
    const struct mu_correction correction = {
        .correct = phase->policy->correct,
        .options = phase->policy_options,
        .seen = mu_audit_seen_take(&source->seen, record->seen),
        .mean_square = source->mean_square.data,
    };
    if (!correction.seen)
        return mu_audit_reader_fail(&source->reader,
            "it was computed with version %lld, which is not in this log", (long long)record->seen);
    mu_shard_apply_corrected(&source->shard, source->gradient.data, (float)record->weight,
        (float)record->learning_rate, &correction, NULL);
    return MU_OK;
}

/* Of this server: the rows of a gradient are not as many on all of them. */
static enum mu_status read_gradient(struct source *source, bool counts)
{
    struct mu_audit_reader *reader = &source->reader;
    size_t bytes = mu_audit_reader_bytes(reader);
    size_t span_bytes = counts ? source->shard.span.count * sizeof(float) : 0;
    size_t most = counts ? span_bytes + source->rows.given_bytes_max : 0;
    source->rows.given_count = 0;
    if (bytes < span_bytes || bytes > most)
        bytes = span_bytes; /* which fails */
    MU_TRY(mu_audit_reader_payload(reader, source->gradient.data, bytes));
    return mu_audit_rows_given(&source->rows, reader,
        (const uint8_t *)source->gradient.data + span_bytes, bytes - span_bytes);
}

/* What the record says of the rows; before the same of the shard. */
static enum mu_status apply_rows(
    struct source *source, const struct mu_ps_phase *phase, const struct mu_audit_record *record)
{
    if (source->rows.given_count == 0)
        return MU_OK;
    if (record->verdict != MU_VERDICT_GATHER)
        return mu_audit_rows_apply(
            &source->rows, &source->reader, record, phase, source->shard.version);
    mu_audit_rows_gather(&source->rows, record);
    return MU_OK;
}

/* What later records were computed with, if that is what there is now. */
static enum mu_status keep_seen(struct source *source)
{
    const struct mu_shard *shard = &source->shard;
    MU_TRY(mu_audit_rows_keep(&source->rows, &source->reader, shard->version));
    return mu_audit_seen_keep(&source->seen, shard->version, shard->vectors[0].data);
}

static enum mu_status apply(
    struct source *source, const struct mu_ps_phase *phase, const struct mu_audit_record *record)
{
    struct mu_shard *shard = &source->shard;
    bool counts = record->kind == MU_AUDIT_GRADIENT && record->verdict != MU_VERDICT_DROP &&
                  record->verdict != MU_VERDICT_REFUSE;
    MU_TRY(read_gradient(source, counts));
    MU_TRY(apply_rows(source, phase, record));
    if (counts && record->verdict == MU_VERDICT_GATHER)
        mu_shard_gather(shard, source->gradient.data, (float)record->weight);
    else if (counts && record->verdict == MU_VERDICT_CORRECT)
        MU_TRY(correct(source, phase, record));
    else if (counts)
        mu_shard_apply(
            shard, source->gradient.data, (float)record->weight, (float)record->learning_rate);
    if (record->average > 0) {
        MU_TRY(
            mu_audit_rows_apply_gathered(&source->rows, record, shard->version, shard->gathered));
        mu_shard_apply_gathered(shard, (float)record->learning_rate);
    }
    return keep_seen(source);
}

static enum mu_status take(struct replay *replay, const struct mu_audit_record *record)
{
    char why[160];
    struct mu_audit_replayed *done = &replay->done;
    const struct mu_ps_phase *phase = mu_audit_judge_phase(&replay->judge); /* before it */
    if (!mu_audit_judge_take(&replay->judge, record, why, sizeof(why)))
        return mu_audit_reader_fail(&replay->source[0].reader, "%s %llu of replica %d: %s",
            mu_audit_kind_name(record->kind), (unsigned long long)record->sequence, record->worker,
            why);
    for (int i = 0; i < replay->source_count; i++)
        MU_TRY(apply(&replay->source[i], phase, record));
    if (record->kind == MU_AUDIT_GRADIENT) {
        done->gradients++;
        done->verdicts[record->verdict]++;
    }
    return MU_OK;
}

static uint32_t get_u32(const uint8_t bytes[4])
{
    uint32_t number = 0;
    for (int i = 0; i < 4; i++)
        number |= (uint32_t)bytes[i] << 8 * i;
    return number;
}

/* What the server had at its end is what we have. */
static enum mu_status check_end(struct source *source, const struct mu_audit_record *record)
{
    uint8_t bytes[8];
    const struct mu_shard *shard = &source->shard;
    const struct mu_table *table = source->rows.store.table;
    uint32_t row_crc = 0;
    MU_TRY(mu_audit_reader_payload(&source->reader, bytes, table ? 8 : 4));
    if (table && mu_table_crc32c(table, &row_crc) != MU_OK)
        return mu_fail(source->reader.log, MU_E0801, NULL, "no memory for a checksum of rows");
    if (record->version != shard->version)
        return mu_audit_reader_fail(&source->reader,
            "the server ended at version %lld, and the log has made %lld",
            (long long)record->version, (long long)shard->version);
    if (get_u32(bytes) != mu_crc32c(0, shard->vectors[0].data, shard->span.count * sizeof(float)))
        return mu_audit_reader_fail(
            &source->reader, "the server ended with other parameters than the log makes");
    if (table && get_u32(bytes + 4) != row_crc)
        return mu_audit_reader_fail(
            &source->reader, "the server ended with other embedding rows than the log makes");
    if (source->reader.next != source->reader.bytes)
        return mu_audit_reader_fail(&source->reader, "the file goes on after the end record");
    return MU_OK;
}

static enum mu_status fail_version(const struct replay *replay, int64_t to)
{
    char word[MU_SHELL_WORD_BYTES], help[sizeof(word) + 96];
    mu_shell_word(word, replay->files->directory);
    mu_format(help, sizeof(help),
        "--to takes one of these versions; `muster audit replay %s` goes to the end", word);
    return mu_fail(replay->log, MU_E0001, help, "--to %lld: the log has versions %lld to %lld",
        (long long)to, (long long)replay->done.version_first, (long long)replay->judge.version);
}

static enum mu_status go(struct replay *replay, int64_t to)
{
    struct mu_audit_record record;
    if (to >= 0 && to < replay->judge.version)
        return fail_version(replay, to);
    while (to < 0 || replay->judge.version < to) {
        MU_TRY(next_record(replay, &record));
        if (record.kind == MU_AUDIT_END) {
            for (int i = 0; i < replay->source_count; i++)
                MU_TRY(check_end(&replay->source[i], &record));
            return to < 0 ? MU_OK : fail_version(replay, to);
        }
        if (record.kind < MU_AUDIT_GRADIENT || record.kind == MU_AUDIT_ROWS)
            return mu_audit_reader_fail(&replay->source[0].reader,
                "a record of kind `%s` has no place here", mu_audit_kind_name(record.kind));
        MU_TRY(take(replay, &record));
        replay->whole.last = replay->judge.version;
    }
    return MU_OK;
}

/* ---- the state of all servers ---- */

/* A row that is as it begins: whether it is there then is the table's affair. `fresh` (width). */
static bool is_fresh(const struct mu_table *table, uint64_t id, const float *row, float *fresh)
{
    size_t width = mu_table_width(table), stride = mu_table_stride(table);
    mu_table_fresh_row(table, id, fresh);
    if (memcmp(row, fresh, width * sizeof(float)) != 0)
        return false;
    for (size_t i = width; i < stride; i++)
        if (row[i] != 0)
            return false;
    return true;
}

/* Those that begin with their first gradient, and those that are all there from the start, make the
 * same: only what has changed counts. */
static enum mu_status add_changed_rows(const struct mu_table *table, struct mu_audit_state *state)
{
    size_t place = 0, bytes = mu_table_stride(table) * sizeof(float);
    float *fresh = malloc(mu_table_width(table) * sizeof(float));
    uint64_t id;
    const float *row;
    if (!fresh)
        return MU_NO_MEMORY;
    while ((row = mu_table_next(table, &place, &id))) {
        if (is_fresh(table, id, row, fresh))
            continue;
        state->row_count++;
        state->row_sum += mu_random_mix(mu_crc32c(0, row, bytes), id);
    }
    free(fresh);
    return MU_OK;
}

static enum mu_status note_state(const struct replay *replay, struct mu_audit_state *ret_state)
{
    struct mu_arena whole;
    *ret_state = (struct mu_audit_state){.vector_count = replay->source[0].shard.vector_count};
    MU_TRY(mu_arena_init(&whole, replay->layout.element_count));
    for (int v = 0; v < ret_state->vector_count; v++) {
        for (int i = 0; i < replay->source_count; i++) {
            const struct mu_shard *shard = &replay->source[i].shard;
            memcpy(whole.data + shard->span.first, shard->vectors[v].data,
                shard->span.count * sizeof(float));
        }
        ret_state->crcs[v] = mu_crc32c(0, whole.data, replay->layout.element_count * sizeof(float));
    }
    mu_arena_finish(&whole);
    for (int i = 0; i < replay->source_count; i++) {
        const struct mu_table *table = replay->source[i].rows.store.table;
        if (table)
            MU_TRY(add_changed_rows(table, ret_state));
    }
    return MU_OK;
}

/* ---- the whole ---- */

/* The rows of all servers as if they were one table. */
static enum mu_status add_rows(struct replay *replay)
{
    const struct mu_table *tables[MU_PS_SERVERS_MAX];
    struct mu_audit_replayed *done = &replay->done;
    done->embedding_rows = -1;
    if (!replay->source[0].rows.store.table)
        return MU_OK;
    done->embedding_rows = 0;
    for (int i = 0; i < replay->source_count; i++) {
        tables[i] = replay->source[i].rows.store.table;
        done->embedding_rows += (int64_t)mu_table_count(tables[i]).rows;
    }
    if (mu_tables_crc32c(tables, replay->source_count, &done->parameters_crc32c) == MU_OK)
        return MU_OK;
    return mu_fail(replay->log, MU_E0801, NULL, "no memory for the checksum of %lld rows",
        (long long)done->embedding_rows);
}

static enum mu_status sum_up(struct replay *replay)
{
    struct mu_arena whole;
    MU_TRY(mu_arena_init(&whole, replay->layout.element_count));
    for (int i = 0; i < replay->source_count; i++) {
        const struct mu_shard *shard = &replay->source[i].shard;
        mu_shard_copy(shard, whole.data + shard->span.first);
    }
    replay->done.server_count = replay->source_count;
    memcpy(replay->done.standby, replay->files->standby, sizeof(replay->done.standby));
    replay->done.version = replay->judge.version;
    replay->done.parameters_crc32c = mu_layout_crc32c_of(&replay->layout, whole.data);
    mu_arena_finish(&whole);
    return add_rows(replay);
}

static enum mu_status run(struct replay *replay, int64_t to)
{
    struct mu_audit_record first;
    MU_TRY(open_logs(replay, &first));
    MU_TRY(make_layout(replay));
    const struct mu_audit_header *header = &replay->source[0].header;
    MU_TRY(mu_audit_judge_init(&replay->judge, header->job, header->replica_count,
        header->facts.sample_count, first.version, first.clock));
    replay->done.version_first = first.version;
    for (int i = 0; i < replay->source_count; i++) {
        struct source *source = &replay->source[i];
        MU_TRY(make_shard(replay, source));
        if (mu_ps_plan_correcting(&replay->judge.modes))
            MU_TRY(mu_audit_seen_init(
                &source->seen, &source->reader, source->shard.span.count, &source->rows.seen));
        MU_TRY(restore(source, first.version));
        MU_TRY(keep_seen(source));
    }
    MU_TRY(note_state(replay, &replay->done.first));
    replay->whole.any = true;
    replay->whole.first = replay->whole.last = first.version;
    MU_TRY(go(replay, to));
    MU_TRY(note_state(replay, &replay->done.last));
    return sum_up(replay);
}

enum mu_status mu_audit_replay_files(struct mu_log *log, const struct mu_audit_files *files,
    int64_t to, struct mu_audit_replayed *ret_replayed)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return mu_fail(log, MU_E0801, NULL, "no memory for a replay");
    replay->log = log;
    replay->files = files;
    replay->whole.directory = files->directory;
    enum mu_status status = run(replay, to);
    *ret_replayed = replay->done;
    for (int i = 0; i < replay->source_count; i++) {
        struct source *source = &replay->source[i];
        mu_audit_reader_close(&source->reader);
        mu_job_destroy(source->header.job);
        mu_shard_finish(&source->shard);
        mu_arena_finish(&source->gradient);
        mu_arena_finish(&source->mean_square);
        mu_audit_seen_finish(&source->seen);
        mu_audit_rows_finish(&source->rows);
    }
    mu_audit_judge_finish(&replay->judge);
    free(replay->source);
    free(replay);
    return status;
}
