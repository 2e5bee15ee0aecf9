/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/metrics.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mu_metrics {
    int fd;
    struct mu_log *log;
    struct mu_text line; /* kept between lines */
    uint64_t failed_count;
    char *path;
};

/* A line that a killed process left unfinished would join the next one: it is cut off. */
static bool cut_unfinished_line(int fd)
{
    struct stat stat_;
    if (fstat(fd, &stat_) != 0)
        return false;
    off_t end = stat_.st_size;
    for (char byte; end > 0; end--)
        if (pread(fd, &byte, 1, end - 1) != 1)
            return false;
        else if (byte == '\n')
            break;
    return end == stat_.st_size || ftruncate(fd, end) == 0;
}

static int open_file(const char *path, bool append)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC);
    int fd = open(path, flags, 0600);
    if (fd < 0 || !append || cut_unfinished_line(fd))
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

enum mu_status mu_metrics_open(
    struct mu_log *log, const char *path, bool append, struct mu_metrics **ret_metrics)
{
    struct mu_metrics *metrics = calloc(1, sizeof(*metrics));
    char *copy = strdup(path);
    if (!metrics || !copy) {
        free(metrics);
        free(copy);
        return mu_fail(log, MU_E0801, NULL, "no memory for %s", path);
    }
    *metrics = (struct mu_metrics){.fd = open_file(path, append), .log = log, .path = copy};
    mu_text_init(&metrics->line);
    if (metrics->fd < 0) {
        enum mu_status status =
            mu_fail(log, MU_E0604, NULL, "cannot create %s: %s", path, strerror(errno));
        mu_metrics_close(metrics);
        return status;
    }
    *ret_metrics = metrics;
    return MU_OK;
}

void mu_metrics_close(struct mu_metrics *metrics)
{
    if (!metrics)
        return;
    if (metrics->failed_count > 0)
        mu_say(metrics->log, MU_LEVEL_WARN, "%s lacks %llu lines that could not be written",
            metrics->path, (unsigned long long)metrics->failed_count);
    if (metrics->fd >= 0)
        (void)close(metrics->fd);
    mu_text_finish(&metrics->line);
    free(metrics->path);
    free(metrics);
}

void mu_metrics_begin(struct mu_metrics *metrics, int64_t wall_ns, int64_t step)
{
    mu_text_clear(&metrics->line);
    mu_text_add(&metrics->line, "{\"time\":%lld.%03lld,\"step\":%lld",
        (long long)(wall_ns / 1000000000), (long long)(wall_ns / 1000000 % 1000), (long long)step);
}

static void add_key(struct mu_metrics *metrics, const char *key)
{
    mu_text_append(&metrics->line, ",", 1);
    mu_text_add_json_string(&metrics->line, key);
    mu_text_append(&metrics->line, ":", 1);
}

void mu_metrics_number(struct mu_metrics *metrics, const char *key, double value)
{
    add_key(metrics, key);
    mu_text_add_double(&metrics->line, value);
}

void mu_metrics_integer(struct mu_metrics *metrics, const char *key, int64_t value)
{
    add_key(metrics, key);
    mu_text_add(&metrics->line, "%lld", (long long)value);
}

void mu_metrics_end(struct mu_metrics *metrics)
{
    mu_text_append(&metrics->line, "}\n", 2);
    errno = ENOMEM;
    if (!metrics->line.failed &&
        mu_folder_append(metrics->fd, metrics->line.data, metrics->line.bytes))
        return;
    if (metrics->failed_count++ == 0)
        mu_say(metrics->log, MU_LEVEL_WARN, "cannot write %s: %s; lines are lost", metrics->path,
            strerror(errno));
}
