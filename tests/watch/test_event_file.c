/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/crc32c.h"
#include "test.h"
#include "watch/event_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Records as TensorBoard 2.21 writes them: its own protobufs and its RecordWriter. */
/* clang-format off */
static const unsigned char first_record[] = {
    0x22, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x78, 0x11, 0x3d, 0xfd, 0x09, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69, 0x6e,
    0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0x52, 0x08, 0x0a, 0x06, 0x6d, 0x75,
    0x73, 0x74, 0x65, 0x72, 0xdd, 0x50, 0x7b, 0x5b
};
static const unsigned char start_record[] = {
    0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x95, 0xfb, 0xfe, 0x18, 0x09, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x10, 0xad, 0x06, 0x3a, 0x02, 0x08, 0x01,
    0x4a, 0x39, 0x2a, 0xef
};
static const unsigned char scalar_record[] = {
    0x37, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe7, 0xe8, 0xca, 0x59, 0x09, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x10, 0xac, 0x06, 0x2a, 0x29, 0x0a, 0x27,
    0x0a, 0x0a, 0x74, 0x72, 0x61, 0x69, 0x6e, 0x2f, 0x6c, 0x6f, 0x73, 0x73, 0x42, 0x0a,
    0x08, 0x01, 0x12, 0x00, 0x2a, 0x04, 0x00, 0x00, 0x80, 0x3e, 0x4a, 0x0d, 0x0a, 0x09,
    0x0a, 0x07, 0x73, 0x63, 0x61, 0x6c, 0x61, 0x72, 0x73, 0x20, 0x01, 0xea, 0x63, 0x29, 0x56
};
static const unsigned char histo_record[] = {
    0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x94, 0x29, 0xad, 0xcd, 0x09, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x10, 0xac, 0x06, 0x2a, 0x62, 0x0a, 0x60,
    0x0a, 0x0c, 0x70, 0x73, 0x2f, 0x73, 0x74, 0x61, 0x6c, 0x65, 0x6e, 0x65, 0x73, 0x73,
    0x42, 0x3e, 0x08, 0x02, 0x12, 0x08, 0x12, 0x02, 0x08, 0x02, 0x12, 0x02, 0x08, 0x03,
    0x22, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0xf0, 0x3f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x14, 0x40, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xf0, 0x3f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1c, 0x40, 0x4a, 0x10, 0x0a, 0x0c, 0x0a, 0x0a,
    0x68, 0x69, 0x73, 0x74, 0x6f, 0x67, 0x72, 0x61, 0x6d, 0x73, 0x20, 0x02, 0x08, 0x2f,
    0xb6, 0xf9
};
/* clang-format on */

static struct mu_test_log test_log;
static char directory[64];
static char path[400];

static int make_directory(void **state)
{
    mu_test_log_init(&test_log);
    strcpy(directory, "/tmp/muster-events-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char name[400];
    DIR *names = opendir(directory);
    for (struct dirent *item; (item = readdir(names));) {
        snprintf(name, sizeof(name), "%s/%s", directory, item->d_name);
        (void)unlink(name);
    }
    closedir(names);
    return rmdir(directory);
}

static struct mu_event_file *open_file(int64_t resume_step)
{
    struct mu_event_file_options options = {.directory = directory,
        .host = "h2",
        .process = 412,
        .wall_ns = 1500000000,
        .resume_step = resume_step};
    struct mu_event_file *file = NULL;
    assert_ok(mu_event_file_open(&test_log.log, &options, &file));
    return file;
}

static size_t read_back(unsigned char *data, size_t bytes)
{
    snprintf(path, sizeof(path), "%s/events.out.tfevents.0000000001.h2.412.0", directory);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, data, bytes);
    close(fd);
    assert_true(got >= 0);
    return (size_t)got;
}

/* Takes what the file must go on with, and returns what comes after it. */
static const unsigned char *expect_next(
    const unsigned char *at, const unsigned char *record, size_t bytes)
{
    if (bytes > 0)
        assert_memory_equal(at, record, bytes);
    return at + bytes;
}

/* Asserts that the file is its opening and then this record. */
static void expect_record(const unsigned char *record, size_t bytes)
{
    unsigned char data[1024];
    assert_int_equal(read_back(data, sizeof(data)), sizeof(first_record) + bytes);
    expect_next(expect_next(data, first_record, sizeof(first_record)), record, bytes);
}

static void a_file_starts_with_its_version(void **state)
{
    mu_event_file_close(open_file(-1));
    expect_record(NULL, 0);
}

/* Twice: readers that take the first START for the beginning purge at the second. */
static void a_resumed_run_says_what_to_purge(void **state)
{
    mu_event_file_close(open_file(812));
    unsigned char data[1024];
    assert_int_equal(
        read_back(data, sizeof(data)), sizeof(first_record) + 2 * sizeof(start_record));
    const unsigned char *at = expect_next(data, first_record, sizeof(first_record));
    at = expect_next(at, start_record, sizeof(start_record));
    expect_next(at, start_record, sizeof(start_record));
}

static void one_that_goes_back_says_what_to_purge_too(void **state)
{
    struct mu_event_file *file = open_file(-1);
    mu_event_file_go_on(file, 1500000000, 812);
    mu_event_file_close(file);
    unsigned char data[1024];
    assert_int_equal(
        read_back(data, sizeof(data)), sizeof(first_record) + 2 * sizeof(start_record));
    expect_next(data + sizeof(first_record), start_record, sizeof(start_record));
}

static void a_scalar_is_what_tensorboard_writes(void **state)
{
    struct mu_event_file *file = open_file(-1);
    mu_event_file_scalar(file, 1500000000, 812, "train/loss", 0.25f);
    mu_event_file_close(file);
    expect_record(scalar_record, sizeof(scalar_record));
}

static void a_histogram_is_what_tensorboard_writes(void **state)
{
    struct mu_event_file *file = open_file(-1);
    double edges[] = {0, 1, 2}, counts[] = {5, 7};
    mu_event_file_histogram(file, 1500000000, 812, "ps/staleness", edges, counts, 2);
    mu_event_file_close(file);
    expect_record(histo_record, sizeof(histo_record));
}

/* Walks the records; returns how many whole ones there are and where the last of them ends. */
static size_t count_records(const unsigned char *data, size_t bytes, size_t *ret_end)
{
    size_t at = 0, count = 0;
    while (bytes - at >= 16) {
        uint64_t length;
        uint32_t length_crc, data_crc;
        memcpy(&length, data + at, 8);
        memcpy(&length_crc, data + at + 8, 4);
        assert_int_equal(length_crc, mu_crc32c_mask(mu_crc32c(0, &length, 8)));
        if (bytes - at < 16 + length)
            break;
        memcpy(&data_crc, data + at + 12 + length, 4);
        assert_int_equal(data_crc, mu_crc32c_mask(mu_crc32c(0, data + at + 12, length)));
        at += 16 + length;
        count++;
    }
    *ret_end = at;
    return count;
}

static void long_records_are_whole(void **state)
{
    struct mu_event_file *file = open_file(-1);
    static double edges[301], counts[300];
    mu_event_file_histogram(file, 0, 1, "wide", edges, counts, 300);
    mu_event_file_scalar(file, 0, INT64_MAX, "far", 1);
    mu_event_file_histogram(file, 0, 1, "empty", edges, counts, 0);
    mu_event_file_close(file);
    static unsigned char data[1 << 16];
    size_t end, bytes = read_back(data, sizeof(data));
    assert_int_equal(count_records(data, bytes, &end), 4);
    assert_int_equal(end, bytes);
}

static void two_files_of_one_second_have_two_names(void **state)
{
    struct mu_event_file *first = open_file(-1), *second = open_file(-1);
    mu_event_file_close(first);
    mu_event_file_close(second);
    char name[400];
    snprintf(name, sizeof(name), "%s/events.out.tfevents.0000000001.h2.412.1", directory);
    assert_int_equal(access(name, R_OK), 0);
}

/* A full disk: the write is cut at the limit of the file's size. What was cut is taken back, and
 * when there is room again whole records follow whole records. */
static void a_full_disk_loses_points_but_no_records(void **state)
{
    struct mu_event_file *file = open_file(-1);
    struct rlimit before, full;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    full = before;
    full.rlim_cur = sizeof(first_record) + sizeof(scalar_record) + 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    for (int64_t step = 1; step <= 3; step++)
        mu_event_file_scalar(file, 1500000000, step, "train/loss", 0.25f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    mu_event_file_scalar(file, 1500000000, 4, "train/loss", 0.25f);
    mu_event_file_close(file);
    unsigned char data[1024];
    size_t end, bytes = read_back(data, sizeof(data));
    assert_int_equal(count_records(data, bytes, &end), 3);
    assert_int_equal(end, bytes);
    assert_said(&test_log, "points are lost");
    assert_said(&test_log, "lacks 2 points");
    assert_null(strstr(strstr(test_log.text, "points are lost") + 1, "points are lost"));
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    struct mu_event_file_options options = {
        .directory = "/proc/nothing/tb", .host = "h", .resume_step = -1};
    struct mu_event_file *file = NULL;
    assert_int_equal(mu_event_file_open(&test_log.log, &options, &file), MU_CANNOT_CREATE);
    assert_said(&test_log, "/proc/nothing");
    mu_event_file_close(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_starts_with_its_version),
        CASE(a_resumed_run_says_what_to_purge),
        CASE(one_that_goes_back_says_what_to_purge_too),
        CASE(a_scalar_is_what_tensorboard_writes),
        CASE(a_histogram_is_what_tensorboard_writes),
        CASE(long_records_are_whole),
        CASE(two_files_of_one_second_have_two_names),
        CASE(a_full_disk_loses_points_but_no_records),
        CASE(a_directory_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
