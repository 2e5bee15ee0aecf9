/* SPDX-License-Identifier: Apache-2.0 */
#include "idx_rig.h"

#include "runtime/base/options.h"
#include <dirent.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];
struct mu_test_log idx_rig_said;

int idx_rig_begin(void **state)
{
    strcpy(folder, "/tmp/muster-idx-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

int idx_rig_end(void **state)
{
    DIR *entries = opendir(folder);
    if (!entries)
        return 1;
    for (const struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_name[0] != '.')
            idx_rig_remove(entry->d_name);
    closedir(entries);
    return rmdir(folder);
}

const char *idx_rig_path(const char *name)
{
    static char path[512];
    mu_format(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

void idx_rig_write(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(idx_rig_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void write_gzip(const char *name, const char *mode, const void *data, size_t bytes)
{
    gzFile file = gzopen(idx_rig_path(name), mode);
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(file), Z_OK);
}

void idx_rig_write_packed(const char *name, const void *data, size_t bytes)
{
    write_gzip(name, "wb", data, bytes);
}

void idx_rig_write_stored(const char *name, const void *data, size_t bytes)
{
    write_gzip(name, "wb0", data, bytes);
}

size_t idx_rig_read(const char *name, void *out, size_t bytes_max)
{
    FILE *file = fopen(idx_rig_path(name), "rb");
    assert_non_null(file);
    size_t bytes = fread(out, 1, bytes_max, file);
    fclose(file);
    return bytes;
}

void idx_rig_remove(const char *name)
{
    if (unlink(idx_rig_path(name)) != 0)
        (void)rmdir(idx_rig_path(name));
}

size_t idx_rig_make(uint8_t *out, int rank, const uint32_t *shape, int modulus)
{
    size_t bytes = 0, count = 1;
    out[bytes++] = 0;
    out[bytes++] = 0;
    out[bytes++] = 0x08;
    out[bytes++] = (uint8_t)rank;
    for (int i = 0; i < rank; i++) {
        for (int shift = 24; shift >= 0; shift -= 8)
            out[bytes++] = (uint8_t)(shape[i] >> shift);
        count *= shape[i];
    }
    for (size_t i = 0; i < count; i++)
        out[bytes++] = (uint8_t)(i % (size_t)modulus);
    return bytes;
}

void idx_rig_options(void *options)
{
    const struct mu_option *rows = mu_dataset_find("idx")->options;
    mu_options_defaults(rows, options);
    assert_ok(mu_options_set(
        mu_test_log_init(&idx_rig_said), "path", mu_options_find(rows, "path"), folder, options));
}

enum mu_status idx_rig_open(
    enum mu_split split, void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("idx");
    void *options = calloc(1, ops->option_bytes);
    assert_non_null(options);
    idx_rig_options(options);
    enum mu_status status =
        ops->open(options, split, mu_test_log_init(&idx_rig_said), ret_dataset, ret_facts);
    free(options);
    return status;
}

void idx_rig_refused(enum mu_status status, const char *const needles[])
{
    void *dataset = NULL;
    struct mu_dataset_facts facts;
    assert_int_equal(idx_rig_open(MU_SPLIT_TRAIN, &dataset, &facts), status);
    assert_null(dataset);
    for (size_t i = 0; needles[i]; i++)
        assert_said(&idx_rig_said, needles[i]);
}
