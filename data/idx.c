/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/idx_file.h"
#include "data/samples.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512
#define FILE_BYTES (PATH_BYTES + 64)
#define SHAPE_BYTES 64

struct options {
    char path[PATH_BYTES];
    int64_t classes;
};

static const struct mu_option rows[] = {
    {.name = "path",
        .type = MU_OPTION_STRING,
        .offset = offsetof(struct options, path),
        .bytes = PATH_BYTES,
        .fallback = "data/mnist",
        .doc = "directory with the four MNIST files, plain or .gz; a relative one is looked for "
               "where muster is started"},
    {.name = "classes",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, classes),
        .min = 2,
        .max = 256,
        .fallback = "10",
        .doc = "number of classes: labels are 0 to one less"},
    {0},
};

static const char *const image_names[] = {
    [MU_SPLIT_TRAIN] = "train-images-idx3-ubyte",
    [MU_SPLIT_TEST] = "t10k-images-idx3-ubyte",
};
static const char *const label_names[] = {
    [MU_SPLIT_TRAIN] = "train-labels-idx1-ubyte",
    [MU_SPLIT_TEST] = "t10k-labels-idx1-ubyte",
};

/* The plain file if there is one, else the packed one. */
static bool is_there(const char *directory, const char *name, char *out)
{
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < MU_COUNT_OF(endings); i++) {
        snprintf(out, FILE_BYTES, "%s/%s%s", directory, name, endings[i]);
        if (access(out, F_OK) == 0)
            return true;
    }
    return false;
}

static enum mu_status find_file(
    struct mu_log *log, const char *directory, const char *name, char *out)
{
    if (is_there(directory, name, out))
        return MU_OK;
    return mu_fail(log, MU_E0501,
        "set data.path to the directory that has the MNIST files, or data.kind to glyphs, which "
        "needs no files",
        "there is no %s/%s, nor %s.gz", directory, name, name);
}

static enum mu_status read_file(
    struct mu_log *log, const char *path, int rank_min, int rank_max, struct mu_idx_file *ret_file)
{
    struct mu_gz *gz;
    MU_TRY(mu_gz_open(log, path, &gz));
    enum mu_status status = mu_idx_file_read(log, gz, rank_min, rank_max, ret_file);
    mu_gz_close(gz);
    return status;
}

static enum mu_status check_labels(
    struct mu_log *log, const char *path, const struct mu_idx_file *labels, int64_t classes)
{
    for (size_t i = 0; i < labels->element_count; i++)
        if (labels->elements[i] >= classes)
            return mu_fail(log, MU_E0503, "data.classes says how many classes there are",
                "label %d of record %zu in %s is out of range 0 to %d", labels->elements[i], i,
                path, (int)classes - 1);
    return MU_OK;
}

static size_t pixels(const struct mu_idx_file *images)
{
    return images->element_count / images->shape[0];
}

/* Rows of 784 bytes may be images of 28x28; images of 14x56 are not. */
static bool same_shape(const struct mu_idx_file *a, const struct mu_idx_file *b)
{
    for (int i = 1; a->rank == b->rank && i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return pixels(a) == pixels(b);
}

/* "28x28". */
static const char *name_shape(const struct mu_idx_file *images, char out[SHAPE_BYTES])
{
    size_t used = 0;
    for (int i = 1; i < images->rank && used < SHAPE_BYTES; i++)
        used += (size_t)snprintf(
            out + used, SHAPE_BYTES - used, "%s%zu", i > 1 ? "x" : "", images->shape[i]);
    return out;
}

/* A model of the images to train with must be able to look at these. Who only tests may have no
 * others. */
static enum mu_status check_pixels(const struct options *options, struct mu_log *log,
    const char *path, const struct mu_idx_file *images)
{
    char trained_path[FILE_BYTES];
    struct mu_idx_file trained;
    struct mu_gz *gz;
    if (!is_there(options->path, image_names[MU_SPLIT_TRAIN], trained_path))
        return MU_OK;
    MU_TRY(mu_gz_open(log, trained_path, &gz));
    enum mu_status status = mu_idx_file_read_shape(log, gz, 2, MU_IDX_RANK_MAX, &trained);
    mu_gz_close(gz);
    MU_TRY(status);
    if (same_shape(images, &trained))
        return MU_OK;
    char shape[SHAPE_BYTES], trained_shape[SHAPE_BYTES];
    return mu_fail(log, MU_E0504, "both must be of one data set",
        "the images of %s are of %s pixels, but those of %s of %s", path, name_shape(images, shape),
        trained_path, name_shape(&trained, trained_shape));
}

static enum mu_status read_both(const struct options *options, enum mu_split split,
    struct mu_log *log, struct mu_idx_file *images, struct mu_idx_file *labels)
{
    char image_path[FILE_BYTES], label_path[FILE_BYTES];
    MU_TRY(find_file(log, options->path, image_names[split], image_path));
    MU_TRY(find_file(log, options->path, label_names[split], label_path));
    /* The small file first: most mistakes are found before the long read. */
    MU_TRY(read_file(log, label_path, 1, 1, labels));
    MU_TRY(check_labels(log, label_path, labels, options->classes));
    MU_TRY(read_file(log, image_path, 2, MU_IDX_RANK_MAX, images));
    if (images->shape[0] != labels->shape[0])
        return mu_fail(log, MU_E0504, "fetch both again",
            "%s has %zu images, but %s has %zu labels", image_path, images->shape[0], label_path,
            labels->shape[0]);
    return split == MU_SPLIT_TEST ? check_pixels(options, log, image_path, images) : MU_OK;
}

static enum mu_status idx_find(const void *options_void, enum mu_split split, struct mu_log *log)
{
    const struct options *options = options_void;
    const char *const names[] = {image_names[split], label_names[split]};
    for (size_t i = 0; i < MU_COUNT_OF(names); i++) {
        char path[FILE_BYTES];
        struct mu_gz *gz;
        MU_TRY(find_file(log, options->path, names[i], path));
        MU_TRY(mu_gz_open(log, path, &gz));
        mu_gz_close(gz);
    }
    return MU_OK;
}

static enum mu_status idx_open(const void *options_void, enum mu_split split, struct mu_log *log,
    void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    const struct options *options = options_void;
    struct mu_idx_file images = {0}, labels = {0};
    struct mu_samples *samples = NULL;
    enum mu_status status = read_both(options, split, log, &images, &labels);
    if (status == MU_OK && !(samples = calloc(1, sizeof(*samples))))
        status = mu_fail(log, MU_E0801, NULL, "no memory for the data set");
    if (status != MU_OK) {
        mu_idx_file_finish(&images);
        mu_idx_file_finish(&labels);
        return status;
    }
    *samples = (struct mu_samples){
        .count = images.shape[0],
        .feature_count = pixels(&images),
        .features = images.elements,
        .labels = labels.elements,
    };
    mu_samples_facts(samples, (size_t)options->classes, ret_facts);
    *ret_dataset = samples;
    return MU_OK;
}

static void idx_read(
    void *dataset, const uint32_t *index, size_t count, float *features, int32_t *labels)
{
    mu_samples_read(dataset, index, count, features, labels);
}

static void idx_close(void *dataset)
{
    if (dataset)
        mu_samples_finish(dataset);
    free(dataset);
}

const struct mu_dataset_ops mu_dataset_idx = {
    .name = "idx",
    .doc = "images and labels in IDX files, as MNIST, Fashion-MNIST and EMNIST come",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .open = idx_open,
    .find = idx_find,
    .read = idx_read,
    .close = idx_close,
};
