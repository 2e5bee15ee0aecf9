/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/event_file.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include "watch/proto.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A record: length (8) | masked CRC-32C of the length (4) | data | masked CRC-32C of the data (4).
 * The data is an Event, of tensorflow/core/util/event.proto.
 */
#define RECORD_HEAD_BYTES 12
#define NAMES_TRIED_MAX 1000

enum event_field {
    EVENT_WALL_TIME = 1,
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION_LOG = 7,
    EVENT_SOURCE = 10,
};
enum session_log_field { SESSION_LOG_STATUS = 1 };
enum source_field { SOURCE_WRITER = 1 };
enum summary_field { SUMMARY_VALUE = 1 };
enum value_field { VALUE_TAG = 1, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
enum metadata_field { METADATA_PLUGIN = 1, METADATA_CLASS = 4 };
enum plugin_field { PLUGIN_NAME = 1 };
enum tensor_field {
    TENSOR_TYPE = 1,
    TENSOR_SHAPE = 2,
    TENSOR_CONTENT = 4,
    TENSOR_FLOATS = 5,
};
enum shape_field { SHAPE_DIMENSION = 2 };
enum dimension_field { DIMENSION_COUNT = 1 };
enum data_class { CLASS_SCALAR = 1, CLASS_TENSOR = 2 };
enum tensor_type { TYPE_FLOAT = 1, TYPE_DOUBLE = 2 };
enum session_status { SESSION_START = 1 };

struct mu_event_file {
    int fd;
    struct mu_log *log;
    struct mu_text record; /* kept between appends */
    uint64_t failed_count;
    char path[PATH_MAX];
};

static void begin_event(struct mu_event_file *file, int64_t wall_ns, int64_t step)
{
    static const char head[RECORD_HEAD_BYTES];
    mu_text_clear(&file->record);
    mu_text_append(&file->record, head, sizeof(head));
    mu_proto_double(&file->record, EVENT_WALL_TIME, (double)wall_ns / 1e9);
    mu_proto_varint(&file->record, EVENT_STEP, (uint64_t)step);
}

static void frame_record(struct mu_text *record)
{
    uint64_t bytes = record->bytes - RECORD_HEAD_BYTES;
    uint32_t length_crc = mu_crc32c_mask(mu_crc32c(0, &bytes, sizeof(bytes)));
    uint32_t data_crc = mu_crc32c_mask(mu_crc32c(0, record->data + RECORD_HEAD_BYTES, bytes));
    memcpy(record->data, &bytes, sizeof(bytes));
    memcpy(record->data + sizeof(bytes), &length_crc, sizeof(length_crc));
    mu_text_append(record, (const char *)&data_crc, sizeof(data_crc));
}

/* Training goes on without this point; the first loss is said, all are counted. */
static void end_event(struct mu_event_file *file)
{
    if (!file->record.failed)
        frame_record(&file->record);
    errno = ENOMEM;
    if (!file->record.failed && mu_folder_append(file->fd, file->record.data, file->record.bytes))
        return;
    if (file->failed_count++ == 0)
        mu_say(file->log, MU_LEVEL_WARN, "cannot write %s: %s; points are lost", file->path,
            strerror(errno));
}

static void write_session_start(struct mu_event_file *file, int64_t wall_ns, int64_t step)
{
    begin_event(file, wall_ns, step);
    size_t session = mu_proto_begin(&file->record, EVENT_SESSION_LOG);
    mu_proto_varint(&file->record, SESSION_LOG_STATUS, SESSION_START);
    mu_proto_end(&file->record, session);
    end_event(file);
}

/* TensorBoard takes the first START that it meets for the beginning and purges at the next. */
void mu_event_file_go_on(struct mu_event_file *file, int64_t wall_ns, int64_t step)
{
    write_session_start(file, wall_ns, step + 1);
    write_session_start(file, wall_ns, step + 1);
}

static void write_opening(struct mu_event_file *file, const struct mu_event_file_options *options)
{
    begin_event(file, options->wall_ns, 0);
    mu_proto_string(&file->record, EVENT_FILE_VERSION, "brain.Event:2");
    size_t source = mu_proto_begin(&file->record, EVENT_SOURCE);
    mu_proto_string(&file->record, SOURCE_WRITER, "muster");
    mu_proto_end(&file->record, source);
    end_event(file);
    if (options->resume_step >= 0)
        mu_event_file_go_on(file, options->wall_ns, options->resume_step);
}

/* A new file, whatever another incarnation of this process made in the same second. */
static int create_file(const struct mu_event_file_options *options, char path[PATH_MAX])
{
    for (int unique = 0; unique < NAMES_TRIED_MAX; unique++) {
        int bytes = snprintf(path, PATH_MAX, "%s/events.out.tfevents.%010lld.%s.%d.%d",
            options->directory, (long long)(options->wall_ns / 1000000000), options->host,
            options->process, unique);
        if (bytes >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

enum mu_status mu_event_file_open(struct mu_log *log, const struct mu_event_file_options *options,
    struct mu_event_file **ret_file)
{
    MU_TRY(mu_folder_make(log, options->directory));
    struct mu_event_file *file = malloc(sizeof(*file));
    if (!file)
        return mu_fail(log, MU_E0801, NULL, "no memory for an event file");
    *file = (struct mu_event_file){.log = log};
    file->fd = create_file(options, file->path);
    if (file->fd < 0) {
        enum mu_status status =
            mu_fail(log, MU_E0604, NULL, "cannot create %s: %s", file->path, strerror(errno));
        free(file);
        return status;
    }
    mu_text_init(&file->record);
    write_opening(file, options);
    *ret_file = file;
    return MU_OK;
}

void mu_event_file_close(struct mu_event_file *file)
{
    if (!file)
        return;
    if (file->failed_count > 0)
        mu_say(file->log, MU_LEVEL_WARN, "%s lacks %llu points that could not be written",
            file->path, (unsigned long long)file->failed_count);
    (void)close(file->fd);
    mu_text_finish(&file->record);
    free(file);
}

/* The messages that are open while the tensor of a value is written. */
struct open_value {
    size_t summary, value, tensor;
};

static struct open_value begin_value(struct mu_event_file *file, int64_t wall_ns, int64_t step,
    const char *tag, enum tensor_type type)
{
    struct open_value open;
    begin_event(file, wall_ns, step);
    open.summary = mu_proto_begin(&file->record, EVENT_SUMMARY);
    open.value = mu_proto_begin(&file->record, SUMMARY_VALUE);
    mu_proto_string(&file->record, VALUE_TAG, tag);
    open.tensor = mu_proto_begin(&file->record, VALUE_TENSOR);
    mu_proto_varint(&file->record, TENSOR_TYPE, (uint64_t)type);
    return open;
}

static void end_value(
    struct mu_event_file *file, struct open_value open, const char *plugin, enum data_class class)
{
    mu_proto_end(&file->record, open.tensor);
    size_t metadata = mu_proto_begin(&file->record, VALUE_METADATA);
    size_t plugin_data = mu_proto_begin(&file->record, METADATA_PLUGIN);
    mu_proto_string(&file->record, PLUGIN_NAME, plugin);
    mu_proto_end(&file->record, plugin_data);
    mu_proto_varint(&file->record, METADATA_CLASS, (uint64_t) class);
    mu_proto_end(&file->record, metadata);
    mu_proto_end(&file->record, open.value);
    mu_proto_end(&file->record, open.summary);
    end_event(file);
}

static void write_shape(struct mu_text *record, const uint64_t *shape, int rank)
{
    size_t message = mu_proto_begin(record, TENSOR_SHAPE);
    for (int i = 0; i < rank; i++) {
        size_t dimension = mu_proto_begin(record, SHAPE_DIMENSION);
        mu_proto_varint(record, DIMENSION_COUNT, shape[i]);
        mu_proto_end(record, dimension);
    }
    mu_proto_end(record, message);
}

void mu_event_file_scalar(
    struct mu_event_file *file, int64_t wall_ns, int64_t step, const char *tag, float value)
{
    struct open_value open = begin_value(file, wall_ns, step, tag, TYPE_FLOAT);
    write_shape(&file->record, NULL, 0);
    mu_proto_bytes(&file->record, TENSOR_FLOATS, &value, sizeof(value)); /* packed: one float */
    end_value(file, open, "scalars", CLASS_SCALAR);
}

void mu_event_file_histogram(struct mu_event_file *file, int64_t wall_ns, int64_t step,
    const char *tag, const double *edges, const double *counts, size_t bucket_count)
{
    struct open_value open = begin_value(file, wall_ns, step, tag, TYPE_DOUBLE);
    write_shape(&file->record, (const uint64_t[]){bucket_count, 3}, 2);
    size_t content = mu_proto_begin(&file->record, TENSOR_CONTENT);
    for (size_t i = 0; i < bucket_count; i++) {
        double row[3] = {edges[i], edges[i + 1], counts[i]};
        mu_text_append(&file->record, (const char *)row, sizeof(row));
    }
    mu_proto_end(&file->record, content);
    end_value(file, open, "histograms", CLASS_TENSOR);
}
