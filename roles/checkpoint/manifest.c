/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/manifest.h"
#include "config.h"
#include "runtime/base/crc32c.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of every manifest, of any format: the checksum of all bytes before it. */
#define TRAILER_FORM ",\n  \"crc32c\": \"%08x\"\n}\n"
#define TRAILER_BYTES 27

void mu_manifest_init(struct mu_manifest *manifest)
{
    memset(manifest, 0, sizeof(*manifest));
    snprintf(manifest->writer, sizeof(manifest->writer), "muster %s", MU_VERSION);
}

void mu_manifest_finish(struct mu_manifest *manifest)
{
    for (int i = 0; i < manifest->position_count; i++) {
        free(manifest->positions[i].stretch.steps_done);
        free(manifest->positions[i].stretch.epochs);
    }
    for (int i = 0; i < manifest->file_count; i++)
        free(manifest->files[i].tensors);
    manifest->position_count = 0;
    manifest->file_count = 0;
}

enum mu_status mu_manifest_add_position(
    struct mu_manifest *manifest, const struct mu_position *position)
{
    if (manifest->position_count == MU_POSITIONS_MAX)
        return MU_BUG;
    const struct mu_stretch *stretch = &position->stretch;
    size_t bytes = (size_t)stretch->replica_count * sizeof(int64_t);
    int64_t *steps_done = malloc(bytes);
    int64_t *epochs = stretch->epochs ? malloc(bytes) : NULL;
    if (!steps_done || (stretch->epochs && !epochs)) {
        free(steps_done);
        free(epochs);
        return MU_NO_MEMORY;
    }
    memcpy(steps_done, stretch->steps_done, bytes);
    if (epochs)
        memcpy(epochs, stretch->epochs, bytes);
    struct mu_position *copy = &manifest->positions[manifest->position_count++];
    *copy = *position;
    copy->stretch.steps_done = steps_done;
    copy->stretch.epochs = epochs;
    return MU_OK;
}

enum mu_status mu_manifest_add_file(struct mu_manifest *manifest, const char *name,
    size_t tensor_count, struct mu_manifest_file **ret_file)
{
    assert(manifest->file_count < MU_STORE_FILES_MAX);
    /* One more than asked for: an empty file has an array too. */
    struct mu_manifest_tensor *tensors = calloc(tensor_count + 1, sizeof(*tensors));
    if (!tensors)
        return MU_NO_MEMORY;
    struct mu_manifest_file *file = &manifest->files[manifest->file_count++];
    *file = (struct mu_manifest_file){.tensors = tensors, .tensor_count = tensor_count};
    mu_format(file->name, sizeof(file->name), "%s", name);
    *ret_file = file;
    return MU_OK;
}

const struct mu_manifest_file *mu_manifest_file(
    const struct mu_manifest *manifest, const char *name)
{
    for (int i = 0; i < manifest->file_count; i++)
        if (strcmp(manifest->files[i].name, name) == 0)
            return &manifest->files[i];
    return NULL;
}

/* ---- out ---- */

static void write_string(struct mu_text *out, const char *key, const char *value)
{
    mu_text_add(out, "  \"%s\": ", key);
    mu_text_add_json_string(out, value);
    mu_text_add(out, ",\n");
}

static void write_integer(struct mu_text *out, const char *key, int64_t value)
{
    mu_text_add(out, "  \"%s\": %lld,\n", key, (long long)value);
}

static void write_numbers(struct mu_text *out, const char *key, const int64_t *numbers, int count)
{
    mu_text_add(out, "\"%s\": [", key);
    for (int i = 0; i < count; i++)
        mu_text_add(out, "%s%lld", i > 0 ? ", " : "", (long long)numbers[i]);
    mu_text_add(out, "]");
}

static void write_position(const struct mu_position *position, struct mu_text *out)
{
    const struct mu_stretch *stretch = &position->stretch;
    mu_text_add(out, "\n    {\"epoch\": %lld, \"replica_count\": %d, \"batch\": %d, ",
        (long long)position->epoch, stretch->replica_count, stretch->batch);
    if (stretch->epochs) {
        write_numbers(out, "epochs", stretch->epochs, stretch->replica_count);
        mu_text_add(out, ", ");
    }
    write_numbers(out, "steps_done", stretch->steps_done, stretch->replica_count);
    mu_text_add(out, "}");
}

/* The oldest that has all that the manifest says, so that older readers can read it. */
static int format_of(const struct mu_manifest *manifest)
{
    for (int i = 0; i < manifest->position_count; i++)
        if (manifest->positions[i].stretch.epochs)
            return MU_MANIFEST_FORMAT;
    return 1;
}

static void write_file(const struct mu_manifest_file *file, struct mu_text *out)
{
    mu_text_add(out, "\n    \"%s\": {\n      \"bytes\": %zu,\n      \"crc32c\": \"%08x\",\n",
        file->name, file->bytes, file->crc32c);
    mu_text_add(out, "      \"tensors\": {");
    for (size_t i = 0; i < file->tensor_count; i++) {
        mu_text_add(out, "%s\n        ", i > 0 ? "," : "");
        mu_text_add_json_string(out, file->tensors[i].name);
        mu_text_add(out, ": \"%08x\"", file->tensors[i].crc32c);
    }
    mu_text_add(out, "%s}\n    }", file->tensor_count > 0 ? "\n      " : "");
}

void mu_manifest_write(const struct mu_manifest *manifest, struct mu_text *out)
{
    size_t start = out->bytes;
    mu_text_add(out, "{\n");
    write_integer(out, "format", format_of(manifest));
    write_string(out, "writer", manifest->writer);
    write_string(out, "run", manifest->run);
    write_integer(out, "written_ms", manifest->wall_ns / 1000000);
    write_integer(out, "step", manifest->step);
    write_integer(out, "epoch", manifest->epoch);
    write_integer(out, "samples_done", manifest->samples_done);
    write_integer(out, "seed", (int64_t)manifest->seed);
    write_string(out, "model", manifest->model);
    write_string(out, "optimizer", manifest->optimizer);
    mu_text_add(out, "  \"job_hash\": \"%016llx\",\n", (unsigned long long)manifest->job_hash);
    mu_text_add(out, "  \"layout_crc32c\": \"%08x\",\n", manifest->layout_crc32c);
    mu_text_add(out, "  \"parameters_crc32c\": \"%08x\",\n", manifest->parameters_crc32c);
    mu_text_add(out, "  \"positions\": [");
    for (int i = 0; i < manifest->position_count; i++) {
        mu_text_add(out, "%s", i > 0 ? "," : "");
        write_position(&manifest->positions[i], out);
    }
    mu_text_add(out, "%s],\n  \"files\": {", manifest->position_count > 0 ? "\n  " : "");
    for (int i = 0; i < manifest->file_count; i++) {
        mu_text_add(out, "%s", i > 0 ? "," : "");
        write_file(&manifest->files[i], out);
    }
    mu_text_add(out, "\n  }");
    uint32_t crc = mu_crc32c(0, out->data + start, out->bytes - start);
    mu_text_add(out, TRAILER_FORM, crc);
}

/* ---- in ---- */

/* Reads members; the first that is missing or wrong is remembered, and what follows reads zeros. */
struct reader {
    const mu_json_value *object;
    char wrong[3 * MU_NAME_MAX]; /* "": nothing yet */
};

static void set_wrong(struct reader *reader, const char *key)
{
    if (!reader->wrong[0])
        mu_text_copy(reader->wrong, sizeof(reader->wrong), key);
}

static const mu_json_value *member(struct reader *reader, const char *key, enum mu_json_type type)
{
    const mu_json_value *value = reader->object ? mu_json_member(reader->object, key) : NULL;
    if (value && mu_json_type(value) == type)
        return value;
    set_wrong(reader, key);
    return NULL;
}

static int64_t read_integer(struct reader *reader, const char *key, int64_t min, int64_t max)
{
    const mu_json_value *value = member(reader, key, MU_JSON_INTEGER);
    int64_t integer = value ? mu_json_integer(value) : min;
    if (integer >= min && integer <= max)
        return integer;
    set_wrong(reader, key);
    return min;
}

static void read_string(struct reader *reader, const char *key, char *out, size_t bytes)
{
    const mu_json_value *value = member(reader, key, MU_JSON_STRING);
    const char *string = value ? mu_json_string(value) : "";
    if (strlen(string) >= bytes)
        set_wrong(reader, key);
    mu_text_copy(out, bytes, string);
}

static uint64_t parse_hex(struct reader *reader, const char *key, const char *string, int digits)
{
    bool good =
        (int)strlen(string) == digits && strspn(string, "0123456789abcdef") == (size_t)digits;
    if (!good)
        set_wrong(reader, key);
    return good ? strtoull(string, NULL, 16) : 0;
}

static uint64_t read_hex(struct reader *reader, const char *key, int digits)
{
    char string[20] = "";
    read_string(reader, key, string, sizeof(string));
    return parse_hex(reader, key, string, digits);
}

/* As many integers as replicas, each `min` at least. */
static void read_numbers(
    struct reader *reader, const char *key, int64_t min, int count, int64_t *ret_numbers)
{
    const mu_json_value *numbers = member(reader, key, MU_JSON_ARRAY);
    if (!numbers || mu_json_count(numbers) != (size_t)count)
        set_wrong(reader, key);
    for (int i = 0; i < count && !reader->wrong[0]; i++) {
        const mu_json_value *number = mu_json_element(numbers, (size_t)i);
        if (mu_json_type(number) != MU_JSON_INTEGER || mu_json_integer(number) < min)
            set_wrong(reader, key);
        else
            ret_numbers[i] = mu_json_integer(number);
    }
}

static enum mu_status read_position(
    struct reader *reader, const mu_json_value *value, struct mu_manifest *manifest)
{
    struct reader inside = {.object = mu_json_type(value) == MU_JSON_OBJECT ? value : NULL};
    int64_t steps_done[MU_REPLICAS_MAX], epochs[MU_REPLICAS_MAX];
    struct mu_position position = {.epoch = read_integer(&inside, "epoch", 0, INT64_MAX)};
    position.stretch = (struct mu_stretch){
        .replica_count = (int)read_integer(&inside, "replica_count", 1, MU_REPLICAS_MAX),
        .batch = (int)read_integer(&inside, "batch", 1, INT_MAX),
        .steps_done = steps_done,
    };
    read_numbers(&inside, "steps_done", 0, position.stretch.replica_count, steps_done);
    if (inside.object && mu_json_member(inside.object, "epochs")) {
        read_numbers(&inside, "epochs", position.epoch, position.stretch.replica_count, epochs);
        position.stretch.epochs = epochs;
    }
    if (!inside.wrong[0])
        return mu_manifest_add_position(manifest, &position);
    set_wrong(reader, "positions");
    return MU_OK;
}

static enum mu_status read_positions(struct reader *reader, struct mu_manifest *manifest)
{
    const mu_json_value *positions = member(reader, "positions", MU_JSON_ARRAY);
    size_t count = positions ? mu_json_count(positions) : 0;
    if (count > MU_POSITIONS_MAX)
        set_wrong(reader, "positions");
    for (size_t i = 0; i < count && !reader->wrong[0]; i++)
        MU_TRY(read_position(reader, mu_json_element(positions, i), manifest));
    return MU_OK;
}

static void read_tensors(
    struct reader *reader, const mu_json_value *tensors, struct mu_manifest_file *file)
{
    for (size_t i = 0; i < file->tensor_count; i++) {
        const char *name = mu_json_key(tensors, i);
        const mu_json_value *crc = mu_json_member_at(tensors, i);
        if (strlen(name) >= sizeof(file->tensors[i].name) || mu_json_type(crc) != MU_JSON_STRING) {
            set_wrong(reader, name);
            return;
        }
        mu_text_copy(file->tensors[i].name, sizeof(file->tensors[i].name), name);
        file->tensors[i].crc32c = (uint32_t)parse_hex(reader, name, mu_json_string(crc), 8);
    }
}

static enum mu_status read_file(struct reader *reader, const char *name, const mu_json_value *value,
    struct mu_manifest *manifest)
{
    struct reader inside = {.object = mu_json_type(value) == MU_JSON_OBJECT ? value : NULL};
    const mu_json_value *tensors = member(&inside, "tensors", MU_JSON_OBJECT);
    if (!mu_text_is_name(name) || strlen(name) >= MU_STORE_NAME_MAX || !tensors ||
        mu_json_count(tensors) > MU_SAFETENSORS_TENSORS_MAX) {
        set_wrong(reader, name);
        return MU_OK;
    }
    struct mu_manifest_file *file;
    MU_TRY(mu_manifest_add_file(manifest, name, mu_json_count(tensors), &file));
    file->bytes = (size_t)read_integer(&inside, "bytes", 0, INT64_MAX);
    file->crc32c = (uint32_t)read_hex(&inside, "crc32c", 8);
    read_tensors(&inside, tensors, file);
    if (inside.wrong[0])
        set_wrong(reader, name);
    return MU_OK;
}

static enum mu_status read_files(struct reader *reader, struct mu_manifest *manifest)
{
    const mu_json_value *files = member(reader, "files", MU_JSON_OBJECT);
    size_t count = files ? mu_json_count(files) : 0;
    if (count > MU_STORE_FILES_MAX)
        set_wrong(reader, "files");
    for (size_t i = 0; i < count && !reader->wrong[0]; i++)
        MU_TRY(read_file(reader, mu_json_key(files, i), mu_json_member_at(files, i), manifest));
    return MU_OK;
}

static enum mu_status read_members(struct reader *reader, struct mu_manifest *manifest)
{
    read_string(reader, "writer", manifest->writer, sizeof(manifest->writer));
    read_string(reader, "run", manifest->run, sizeof(manifest->run));
    read_string(reader, "model", manifest->model, sizeof(manifest->model));
    read_string(reader, "optimizer", manifest->optimizer, sizeof(manifest->optimizer));
    manifest->wall_ns = read_integer(reader, "written_ms", 0, INT64_MAX / 1000000) * 1000000;
    manifest->step = read_integer(reader, "step", 0, INT64_MAX);
    manifest->epoch = read_integer(reader, "epoch", 0, INT64_MAX);
    manifest->samples_done = read_integer(reader, "samples_done", 0, INT64_MAX);
    manifest->seed = (uint64_t)read_integer(reader, "seed", INT64_MIN, INT64_MAX);
    manifest->job_hash = read_hex(reader, "job_hash", 16);
    manifest->layout_crc32c = (uint32_t)read_hex(reader, "layout_crc32c", 8);
    manifest->parameters_crc32c = (uint32_t)read_hex(reader, "parameters_crc32c", 8);
    MU_TRY(read_positions(reader, manifest));
    return read_files(reader, manifest);
}

static enum mu_status check_format(struct mu_log *log, const char *source, struct reader *reader)
{
    int64_t format = read_integer(reader, "format", 1, INT64_MAX);
    if (format <= MU_MANIFEST_FORMAT)
        return MU_OK;
    return mu_fail(log, MU_E0606, "use the version of muster that wrote it, or a later one",
        "%s is of format %lld; this muster (%s) reads formats up to %d", source, (long long)format,
        MU_VERSION, MU_MANIFEST_FORMAT);
}

static enum mu_status read_root(
    struct mu_log *log, const char *source, const mu_json_value *root, struct mu_manifest *manifest)
{
    struct reader reader = {.object = mu_json_type(root) == MU_JSON_OBJECT ? root : NULL};
    MU_TRY(check_format(log, source, &reader));
    enum mu_status status = read_members(&reader, manifest);
    if (status != MU_OK)
        return mu_fail(log, MU_E0801, NULL, "no memory to read %s", source);
    if (reader.wrong[0])
        return mu_fail(log, MU_E0601, NULL, "%s: `%s` is missing or wrong", source, reader.wrong);
    return MU_OK;
}

/* Before anything is parsed: a damaged manifest must not be taken for one of another meaning. */
static enum mu_status check_trailer(
    struct mu_log *log, const char *source, const char *text, size_t bytes)
{
    char trailer[TRAILER_BYTES + 1];
    if (bytes > TRAILER_BYTES) {
        mu_format(
            trailer, sizeof(trailer), TRAILER_FORM, mu_crc32c(0, text, bytes - TRAILER_BYTES));
        if (memcmp(text + bytes - TRAILER_BYTES, trailer, TRAILER_BYTES) == 0)
            return MU_OK;
    }
    return mu_fail(
        log, MU_E0601, NULL, "%s: its own checksum does not match, or it is cut short", source);
}

enum mu_status mu_manifest_parse(struct mu_log *log, const char *source, const char *text,
    size_t bytes, struct mu_manifest *ret_manifest)
{
    mu_manifest_init(ret_manifest);
    MU_TRY(check_trailer(log, source, text, bytes));
    struct mu_json *json = NULL;
    MU_TRY(mu_json_parse(log, MU_E0601, source, text, bytes, &json));
    enum mu_status status = read_root(log, source, mu_json_root(json), ret_manifest);
    mu_json_destroy(json);
    if (status != MU_OK)
        mu_manifest_finish(ret_manifest);
    return status;
}
