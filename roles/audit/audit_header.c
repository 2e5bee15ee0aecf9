/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_header.h"
#include "config.h"
#include "ps/audit_record.h"
#include "ps/server/server.h"
#include "runtime/base/text.h"
#include <inttypes.h>
#include <stdlib.h>

void mu_audit_header_write(
    const struct mu_audit_header *header, const struct mu_job *job, struct mu_text *out)
{
    mu_text_add(out, "{\"format\":%d,\"muster\":\"%s\"", MU_AUDIT_FORMAT, MU_VERSION);
    mu_text_add(out, ",\"server\":%d,\"servers\":%d,\"replicas\":%d", header->order,
        header->server_count, header->replica_count);
    mu_text_add(out, ",\"run\":\"%016" PRIx64 "\",\"generation\":%" PRIu32, header->run,
        header->generation);
    if (header->standby)
        mu_text_add(out, ",\"standby\":true");
    mu_text_add(out, ",\"elements\":%zu,\"layout_crc32c\":%u", header->element_count,
        header->layout_crc32c);
    mu_text_add(out, ",\"samples\":%zu", header->facts.sample_count);
    mu_text_add(out, ",\"features\":%zu,\"classes\":%zu,\"fields\":%zu",
        header->facts.feature_count, header->facts.class_count, header->facts.field_count);
    if (job->model->row_width)
        mu_text_add(out, ",\"entries\":%zu", header->facts.entry_max);
    bool counts_ids = job->mode.rows == MU_ROWS_DENSE || job->mode.row_split == MU_ROW_SPLIT_RANGE;
    if (job->model->row_width && counts_ids)
        mu_text_add(out, ",\"ids\":%" PRIu64, header->facts.id_count);
    mu_text_add(out, ",\"job\":");
    mu_job_write(job, out);
    mu_text_add(out, "}");
}

/* ---- reading ---- */

struct reader {
    struct mu_log *log;
    const char *path;
    const mu_json_value *root;
    bool failed;
};

static enum mu_status unsound(struct mu_log *log, const char *path, const char *what)
{
    return mu_fail(
        log, MU_E0608, NULL, "%s: at byte %d: the header %s", path, MU_AUDIT_HEAD_BYTES, what);
}

static int64_t read_integer(struct reader *reader, const char *key, int64_t most)
{
    const mu_json_value *value = mu_json_member(reader->root, key);
    int64_t number = value && mu_json_type(value) == MU_JSON_INTEGER ? mu_json_integer(value) : -1;
    reader->failed = reader->failed || number < 0 || number > most;
    return number;
}

/* Of older logs there is none. */
static void read_run(struct reader *reader, struct mu_audit_header *header)
{
    const mu_json_value *run = mu_json_member(reader->root, "run");
    header->standby = mu_json_member(reader->root, "standby") != NULL;
    if (!run)
        return;
    reader->failed = reader->failed || mu_json_type(run) != MU_JSON_STRING;
    if (reader->failed)
        return;
    header->run = strtoull(mu_json_string(run), NULL, 16);
    header->generation = (uint32_t)read_integer(reader, "generation", UINT32_MAX);
}

static void read_numbers(struct reader *reader, struct mu_audit_header *header)
{
    const int64_t many = INT64_C(1) << 53;
    header->server_count = (int)read_integer(reader, "servers", MU_PS_SERVERS_MAX);
    header->order = (int)read_integer(reader, "server", header->server_count - 1);
    header->replica_count = (int)read_integer(reader, "replicas", MU_PS_REPLICAS_MAX);
    header->element_count = (size_t)read_integer(reader, "elements", many);
    read_run(reader, header);
    header->layout_crc32c = (uint32_t)read_integer(reader, "layout_crc32c", UINT32_MAX);
    /* Of older logs there is none, and nothing that depends on it. */
    if (mu_json_member(reader->root, "samples"))
        header->facts.sample_count = (size_t)read_integer(reader, "samples", many);
    header->facts.feature_count = (size_t)read_integer(reader, "features", many);
    header->facts.class_count = (size_t)read_integer(reader, "classes", many);
    header->facts.field_count = (size_t)read_integer(reader, "fields", many);
    if (mu_json_member(reader->root, "entries"))
        header->facts.entry_max = (size_t)read_integer(reader, "entries", UINT32_MAX);
    if (mu_json_member(reader->root, "ids"))
        header->facts.id_count = (uint64_t)read_integer(reader, "ids", many);
}

static enum mu_status read_job(struct reader *reader, struct mu_audit_header *header)
{
    const mu_json_value *job = mu_json_member(reader->root, "job");
    struct mu_text text;
    if (!job)
        return unsound(reader->log, reader->path, "has no job");
    mu_text_init(&text);
    mu_json_write_canonical(job, &text);
    enum mu_status status =
        text.failed ? mu_fail(reader->log, MU_E0801, NULL, "no memory for a job")
                    : mu_job_parse(reader->log, reader->path, text.data, text.bytes, &header->job);
    mu_text_finish(&text);
    return status;
}

static enum mu_status read_root(
    struct mu_log *log, const char *path, const mu_json_value *root, struct mu_audit_header *header)
{
    struct reader reader = {.log = log, .path = path, .root = root};
    if (mu_json_type(root) != MU_JSON_OBJECT)
        return unsound(log, path, "is not an object");
    if (read_integer(&reader, "format", INT64_MAX) > MU_AUDIT_FORMAT)
        return mu_fail(log, MU_E0606, "install that version, or a newer one",
            "%s was written by a newer version of muster", path);
    read_numbers(&reader, header);
    if (reader.failed || header->replica_count < 1)
        return unsound(log, path, "has a number that is missing or out of range");
    return read_job(&reader, header);
}

static enum mu_status read_text(struct mu_log *log, const char *path, const char *text,
    size_t bytes, struct mu_audit_header *header)
{
    struct mu_json *json;
    MU_TRY(mu_json_parse(log, MU_E0608, path, text, bytes, &json));
    enum mu_status status = read_root(log, path, mu_json_root(json), header);
    mu_json_destroy(json);
    return status;
}

enum mu_status mu_audit_header_next(struct mu_audit_reader *reader,
    struct mu_audit_record *ret_record, struct mu_audit_header *ret_header)
{
    *ret_header = (struct mu_audit_header){0};
    MU_TRY(mu_audit_reader_next(reader, ret_record));
    if (ret_record->kind != MU_AUDIT_HEADER || ret_record->payload_bytes > MU_JSON_BYTES_MAX)
        return mu_audit_reader_fail(reader, "a log begins with a header");
    size_t bytes = (size_t)ret_record->payload_bytes;
    char *text = malloc(bytes + 1);
    if (!text)
        return mu_fail(reader->log, MU_E0801, NULL, "no memory for a header");
    enum mu_status status = mu_audit_reader_payload(reader, text, bytes);
    if (status == MU_OK)
        status = read_text(reader->log, reader->path, text, bytes, ret_header);
    free(text);
    return status;
}
