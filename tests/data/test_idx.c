/* SPDX-License-Identifier: Apache-2.0 */
#include "idx_rig.h"
#include "runtime/base/crc32c.h"
#include <sys/stat.h>

#define IMAGES "train-images-idx3-ubyte"
#define LABELS "train-labels-idx1-ubyte"
#define REFUSED(status, ...) idx_rig_refused(status, (const char *const[]){__VA_ARGS__, NULL})

static const uint32_t image_shape[] = {30, 4, 5}, label_shape[] = {30};
static uint8_t images[1024], labels[1024];
static size_t image_bytes, label_bytes;

static int begin(void **state)
{
    image_bytes = idx_rig_make(images, 3, image_shape, 256);
    label_bytes = idx_rig_make(labels, 1, label_shape, 10);
    if (idx_rig_begin(state) != 0)
        return 1;
    idx_rig_write(IMAGES, images, image_bytes);
    idx_rig_write(LABELS, labels, label_bytes);
    return 0;
}

static void expect_good(enum mu_split split)
{
    void *dataset;
    struct mu_dataset_facts facts;
    if (idx_rig_open(split, &dataset, &facts) != MU_OK)
        fail_msg("%s", idx_rig_said.text);
    assert_int_equal(facts.sample_count, 30);
    assert_int_equal(facts.feature_count, 20);
    assert_int_equal(facts.class_count, 10);
    uint32_t crc = mu_crc32c(0, images + 16, 600);
    assert_int_equal(facts.crc32c, mu_crc32c(crc, labels + 8, 30));
    const uint32_t index[] = {29, 0, 13};
    float features[3 * 20];
    int32_t got[3];
    mu_dataset_find("idx")->read(dataset, index, 3, features, got);
    for (size_t row = 0; row < 3; row++) {
        assert_int_equal(got[row], index[row] % 10);
        for (size_t k = 0; k < 20; k++)
            assert_float_equal(
                features[row * 20 + k], (float)((index[row] * 20 + k) % 256) / 255.0F, 0);
    }
    mu_dataset_find("idx")->close(dataset);
}

static void plain_files_are_read(void **state)
{
    expect_good(MU_SPLIT_TRAIN);
}

static void packed_files_are_read(void **state)
{
    idx_rig_remove(IMAGES);
    idx_rig_remove(LABELS);
    idx_rig_write_packed(IMAGES ".gz", images, image_bytes);
    idx_rig_write_packed(LABELS ".gz", labels, label_bytes);
    expect_good(MU_SPLIT_TRAIN);
}

static void the_content_tells_what_is_packed(void **state)
{
    idx_rig_write_packed(IMAGES, images, image_bytes);
    expect_good(MU_SPLIT_TRAIN);
}

static void the_test_split_has_its_own_files(void **state)
{
    void *dataset;
    struct mu_dataset_facts facts;
    assert_int_equal(idx_rig_open(MU_SPLIT_TEST, &dataset, &facts), MU_NO_INPUT);
    assert_said(&idx_rig_said, "t10k-images-idx3-ubyte");
    idx_rig_write("t10k-images-idx3-ubyte", images, image_bytes);
    idx_rig_write("t10k-labels-idx1-ubyte", labels, label_bytes);
    expect_good(MU_SPLIT_TEST);
}

static void test_images_are_of_the_size_of_those_to_train_with(void **state)
{
    const uint32_t smaller[] = {30, 4, 4}, turned[] = {30, 5, 4}, equal[] = {30, 20};
    uint8_t others[1024];
    void *dataset = NULL;
    struct mu_dataset_facts facts;
    idx_rig_write("t10k-labels-idx1-ubyte", labels, label_bytes);
    idx_rig_write("t10k-images-idx3-ubyte", others, idx_rig_make(others, 3, smaller, 256));
    assert_int_equal(idx_rig_open(MU_SPLIT_TEST, &dataset, &facts), MU_BAD_DATA);
    assert_null(dataset);
    assert_said(&idx_rig_said, "error[E0504]");
    assert_said(&idx_rig_said, "t10k-images-idx3-ubyte are of 4x4 pixels, but those of ");
    assert_said(&idx_rig_said, "/" IMAGES " of 4x5");
    idx_rig_write("t10k-images-idx3-ubyte", others, idx_rig_make(others, 3, turned, 256));
    assert_int_equal(idx_rig_open(MU_SPLIT_TEST, &dataset, &facts), MU_BAD_DATA);
    assert_said(&idx_rig_said, "t10k-images-idx3-ubyte are of 5x4 pixels, but those of ");
    idx_rig_write("t10k-images-idx3-ubyte", others, idx_rig_make(others, 2, equal, 256));
    expect_good(MU_SPLIT_TEST);
    idx_rig_write(IMAGES, "no IDX", 6);
    assert_int_equal(idx_rig_open(MU_SPLIT_TEST, &dataset, &facts), MU_BAD_DATA);
    assert_said(&idx_rig_said, "/" IMAGES " is not an IDX file");
}

static void who_only_tests_needs_no_images_to_train_with(void **state)
{
    idx_rig_write("t10k-images-idx3-ubyte", images, image_bytes);
    idx_rig_write("t10k-labels-idx1-ubyte", labels, label_bytes);
    idx_rig_remove(IMAGES);
    expect_good(MU_SPLIT_TEST);
}

static void images_may_have_any_shape(void **state)
{
    const uint32_t flat[] = {30, 20}, deep[] = {30, 2, 2, 5};
    idx_rig_write(IMAGES, images, idx_rig_make(images, 4, deep, 256));
    void *dataset;
    struct mu_dataset_facts facts;
    assert_ok(idx_rig_open(MU_SPLIT_TRAIN, &dataset, &facts));
    assert_int_equal(facts.feature_count, 20);
    mu_dataset_find("idx")->close(dataset);
    idx_rig_write(IMAGES, images, idx_rig_make(images, 2, flat, 256));
    assert_ok(idx_rig_open(MU_SPLIT_TRAIN, &dataset, &facts));
    assert_int_equal(facts.feature_count, 20);
    mu_dataset_find("idx")->close(dataset);
}

static void a_missing_file_is_named(void **state)
{
    idx_rig_remove(LABELS);
    REFUSED(MU_NO_INPUT, "error[E0501]", "/" LABELS, "data.path");
}

static void what_is_no_file_is_refused(void **state)
{
    idx_rig_remove(IMAGES);
    assert_int_equal(mkdir(idx_rig_path(IMAGES), 0700), 0);
    REFUSED(MU_NO_INPUT, "error[E0501]", "/" IMAGES, "not a regular file");
    char help[512];
    snprintf(help, sizeof(help), "help: `ls -l %s` on the host", idx_rig_path(IMAGES));
    assert_said(&idx_rig_said, help);
    idx_rig_remove(IMAGES);
    assert_int_equal(mkfifo(idx_rig_path(IMAGES), 0600), 0);
    REFUSED(MU_NO_INPUT, "error[E0501]", "/" IMAGES, "not a regular file");
}

static void a_wrong_magic_is_named(void **state)
{
    images[0] = 1;
    idx_rig_write(IMAGES, images, image_bytes);
    REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES " is not an IDX file", "01 00");
    images[0] = 0;
    images[2] = 0x0d;
    idx_rig_write(IMAGES, images, image_bytes);
    REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES, "type 0d");
}

static void exchanged_files_are_refused(void **state)
{
    idx_rig_write(LABELS, images, image_bytes);
    REFUSED(MU_BAD_DATA, "/" LABELS " has 3 dimensions", "exchanged");
    idx_rig_write(LABELS, labels, label_bytes);
    idx_rig_write(IMAGES, labels, label_bytes);
    REFUSED(MU_BAD_DATA, "/" IMAGES " has 1 dimensions");
}

static void a_rank_without_limit_is_refused(void **state)
{
    images[3] = 255;
    idx_rig_write(IMAGES, images, image_bytes);
    REFUSED(MU_BAD_DATA, "/" IMAGES " has 255 dimensions, expected 2 to 8");
}

static void an_empty_dimension_is_refused(void **state)
{
    const uint32_t shape[] = {30, 0, 5};
    idx_rig_write(IMAGES, images, idx_rig_make(images, 3, shape, 256));
    REFUSED(MU_BAD_DATA, "/" IMAGES " is empty: dimension 1 is 0");
}

static void counts_that_differ_name_both_files(void **state)
{
    const uint32_t shape[] = {29};
    idx_rig_write(LABELS, labels, idx_rig_make(labels, 1, shape, 10));
    REFUSED(MU_BAD_DATA, "error[E0504]", "/" IMAGES " has 30 images", "/" LABELS " has 29 labels");
}

static void a_label_out_of_range_is_named(void **state)
{
    labels[8 + 12] = 37;
    idx_rig_write(LABELS, labels, label_bytes);
    REFUSED(
        MU_BAD_DATA, "error[E0503]", "label 37 of record 12 in ", LABELS " is out of range 0 to 9");
}

/* The header's claims are held against the file's length before memory is taken: with the limit of
 * deflate, 1032 to 1, this file cannot hold a terabyte. */
static void a_shape_that_lies_is_refused(void **state)
{
    static const uint32_t shapes[][3] = {
        {30, 1 << 20, 1 << 15}, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, {30, 4, 6}};
    for (size_t i = 0; i < MU_COUNT_OF(shapes); i++) {
        (void)idx_rig_make(images, 3, image_shape, 256);
        for (int k = 0; k < 12; k++)
            images[4 + k] = (uint8_t)(shapes[i][k / 4] >> (24 - k % 4 * 8));
        idx_rig_write(IMAGES, images, image_bytes);
        REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES " is cut off");
        idx_rig_write_packed(IMAGES, images, image_bytes);
        REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES);
    }
}

static const char *in_record(size_t record)
{
    static char text[32];
    snprintf(text, sizeof(text), " in record %zu", record);
    return text;
}

static void a_plain_file_cut_off_anywhere_is_refused(void **state)
{
    for (size_t cut = 0; cut < image_bytes; cut++) {
        idx_rig_write(IMAGES, images, cut);
        if (cut < 16)
            REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES);
        else
            REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES, in_record((cut - 16) / 20));
    }
}

/* Packed in blocks that are not compressed, so that what is there is known. */
static void a_packed_file_cut_off_names_the_record(void **state)
{
    uint8_t packed[1024];
    idx_rig_write_stored(IMAGES, images, image_bytes);
    size_t bytes = idx_rig_read(IMAGES, packed, sizeof(packed));
    size_t tail = 8, cut = bytes - tail - 45; /* checksum and length; two records and a bit */
    idx_rig_write(IMAGES, packed, cut);
    REFUSED(MU_BAD_DATA, "error[E0502]", "ends in the middle", in_record(27));
}

static void a_packed_file_cut_off_anywhere_is_refused(void **state)
{
    uint8_t packed[1024];
    idx_rig_write_packed(IMAGES, images, image_bytes);
    size_t bytes = idx_rig_read(IMAGES, packed, sizeof(packed));
    for (size_t cut = 0; cut < bytes; cut++) {
        idx_rig_write(IMAGES, packed, cut);
        REFUSED(MU_BAD_DATA, "error[E0502]", "/" IMAGES);
    }
}

/* A few bits mean nothing: in gzip's header, and between the data and the checksum. */
static void a_flipped_bit_of_packed_data_never_changes_the_data(void **state)
{
    uint8_t packed[1024];
    struct mu_dataset_facts facts, good;
    void *dataset;
    int refused = 0;
    assert_ok(idx_rig_open(MU_SPLIT_TRAIN, &dataset, &good));
    mu_dataset_find("idx")->close(dataset);
    idx_rig_write_packed(IMAGES, images, image_bytes);
    size_t bytes = idx_rig_read(IMAGES, packed, sizeof(packed));
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        idx_rig_write(IMAGES, packed, bytes);
        packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (idx_rig_open(MU_SPLIT_TRAIN, &dataset, &facts) == MU_OK) {
            assert_int_equal(facts.crc32c, good.crc32c);
            mu_dataset_find("idx")->close(dataset);
            continue;
        }
        assert_said(&idx_rig_said, "error[E0502]");
        assert_said(&idx_rig_said, "/" IMAGES);
        refused++;
    }
    assert_in_range(refused, 8 * (bytes - 12), 8 * bytes); /* all but the header and some */
}

static void bytes_after_the_end_are_refused(void **state)
{
    uint8_t packed[1024];
    idx_rig_write(IMAGES, images, image_bytes + 1);
    REFUSED(MU_BAD_DATA, "/" IMAGES " has bytes after its end");
    idx_rig_write_packed(IMAGES, images, image_bytes + 1);
    REFUSED(MU_BAD_DATA, "/" IMAGES " has bytes after its end");
    idx_rig_write_packed(IMAGES, images, image_bytes);
    size_t bytes = idx_rig_read(IMAGES, packed, sizeof(packed));
    packed[bytes] = 'x';
    idx_rig_write(IMAGES, packed, bytes + 1);
    REFUSED(MU_BAD_DATA, "/" IMAGES);
}

static void packed_files_may_have_several_members(void **state)
{
    uint8_t packed[2048];
    idx_rig_write_packed(IMAGES, images, 100);
    size_t bytes = idx_rig_read(IMAGES, packed, sizeof(packed));
    idx_rig_write_packed(IMAGES, images + 100, image_bytes - 100);
    bytes += idx_rig_read(IMAGES, packed + bytes, sizeof(packed) - bytes);
    idx_rig_write(IMAGES, packed, bytes);
    expect_good(MU_SPLIT_TRAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, idx_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_files_are_read),
        TEST(packed_files_are_read),
        TEST(the_content_tells_what_is_packed),
        TEST(the_test_split_has_its_own_files),
        TEST(test_images_are_of_the_size_of_those_to_train_with),
        TEST(who_only_tests_needs_no_images_to_train_with),
        TEST(images_may_have_any_shape),
        TEST(a_missing_file_is_named),
        TEST(what_is_no_file_is_refused),
        TEST(a_wrong_magic_is_named),
        TEST(exchanged_files_are_refused),
        TEST(a_rank_without_limit_is_refused),
        TEST(an_empty_dimension_is_refused),
        TEST(counts_that_differ_name_both_files),
        TEST(a_label_out_of_range_is_named),
        TEST(a_shape_that_lies_is_refused),
        TEST(a_plain_file_cut_off_anywhere_is_refused),
        TEST(a_packed_file_cut_off_names_the_record),
        TEST(a_packed_file_cut_off_anywhere_is_refused),
        TEST(a_flipped_bit_of_packed_data_never_changes_the_data),
        TEST(bytes_after_the_end_are_refused),
        TEST(packed_files_may_have_several_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
