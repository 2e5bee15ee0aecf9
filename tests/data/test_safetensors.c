/* SPDX-License-Identifier: Apache-2.0 */
#include "data/safetensors.h"
#include "test.h"

static struct mu_test_log said;
static char file[1 << 16];

/* A file of a header and `data_bytes` bytes of data; returns its bytes. */
static size_t file_of(const char *header, size_t data_bytes)
{
    size_t bytes = strlen(header);
    assert_true(8 + bytes + data_bytes <= sizeof(file));
    memset(file, 0, sizeof(file));
    for (int i = 0; i < 8; i++)
        file[i] = (char)(bytes >> (8 * i) & 0xff);
    memcpy(file + 8, header, bytes);
    return 8 + bytes + data_bytes;
}

/* Parses memory of exactly that size, so that a sanitizer sees a read beyond its end. */
static enum mu_status parse(const void *data, size_t bytes, struct mu_safetensors *ret_tensors)
{
    char *exact = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(exact);
    memcpy(exact, data, bytes);
    enum mu_status status = mu_safetensors_parse(
        mu_test_log_init(&said), "model.safetensors", exact, bytes, ret_tensors);
    free(exact);
    return status;
}

static void accept(const char *header, size_t data_bytes, size_t tensor_count)
{
    struct mu_safetensors tensors;
    enum mu_status status = parse(file, file_of(header, data_bytes), &tensors);
    if (status != MU_OK)
        fail_msg("%s\nwas refused: %s", header, said.text);
    assert_int_equal(tensors.tensor_count, tensor_count);
    mu_safetensors_finish(&tensors);
}

static void refuse(const char *header, size_t data_bytes, const char *reason)
{
    struct mu_safetensors tensors = {0};
    if (parse(file, file_of(header, data_bytes), &tensors) == MU_OK)
        fail_msg("%s\nwas accepted", header);
    assert_said(&said, "error[E0601]");
    assert_said(&said, "model.safetensors");
    assert_said(&said, reason);
    assert_null(tensors.tensor);
}

/* One tensor `a` described by the members given. */
static void refuse_tensor(const char *members, size_t data_bytes, const char *reason)
{
    char header[1024];
    mu_format(header, sizeof(header), "{\"a\":{%s}}", members);
    refuse(header, data_bytes, reason);
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void what_the_format_allows_is_read(void **state)
{
    accept("{}", 0, 0);
    accept("{}      ", 0, 0);
    accept("{" A "}", 8, 1);
    accept("{\"__metadata__\":{\"step\":\"5\"}," A "}", 8, 1);
    accept("{\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, 1);
    accept("{\"e\":{\"dtype\":\"I8\",\"shape\":[3,0],\"data_offsets\":[0,0]}," A "}", 8, 2);
    accept("{\"f\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[8,10]}," A "}", 10, 2);
    accept("{\"f\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1);
}

static void every_dtype_has_its_size(void **state)
{
    static const struct {
        const char *dtype;
        size_t bytes; /* of 8 elements */
    } all[] = {
        {"U64", 64},
        {"I64", 64},
        {"F64", 64},
        {"C64", 64},
        {"F32", 32},
        {"U32", 32},
        {"I32", 32},
        {"BF16", 16},
        {"F16", 16},
        {"U16", 16},
        {"I16", 16},
        {"F8_E5M2FNUZ", 8},
        {"F8_E4M3FNUZ", 8},
        {"F8_E8M0", 8},
        {"F8_E4M3", 8},
        {"F8_E5M2", 8},
        {"I8", 8},
        {"U8", 8},
        {"F6_E3M2", 6},
        {"F6_E2M3", 6},
        {"F4", 4},
        {"BOOL", 8},
    };
    for (size_t i = 0; i < MU_COUNT_OF(all); i++) {
        char header[256];
        mu_format(header, sizeof(header),
            "{\"a\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%zu]}}", all[i].dtype,
            all[i].bytes);
        accept(header, all[i].bytes, 1);
    }
}

static void tensors_come_in_the_order_of_their_offsets(void **state)
{
    struct mu_safetensors tensors;
    size_t bytes =
        file_of("{\"b\":{\"dtype\":\"U8\",\"shape\":[1,2,3],\"data_offsets\":[8,14]}," A "}", 14);
    assert_ok(parse(file, bytes, &tensors));
    const struct mu_safetensor *b = mu_safetensors_find(&tensors, "b");
    assert_ptr_equal(b, &tensors.tensor[1]);
    assert_string_equal(b->dtype, "U8");
    assert_int_equal(b->rank, 3);
    assert_int_equal(b->shape[2], 3);
    assert_int_equal(b->end, bytes);
    assert_int_equal(b->end - b->begin, 6);
    assert_null(mu_safetensors_find(&tensors, "c"));
    mu_safetensors_finish(&tensors);
}

static void tensors_may_not_overlap(void **state)
{
    refuse("{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
        "tensor `b` overlaps `a`");
    refuse("{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
        "tensor `b` overlaps `a`");
}

static void data_may_have_no_hole(void **state)
{
    refuse("{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9,10]}}", 10,
        "tensor `b` begins after a hole of 1 bytes");
    refuse_tensor("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]", 5, "hole of 4 bytes");
}

static void data_may_have_no_rest(void **state)
{
    refuse("{" A "}", 9, "1 bytes belong to no tensor");
    refuse("{}", 1, "1 bytes belong to no tensor");
}

static void no_name_comes_twice(void **state)
{
    refuse("{" A "," A "}", 8, "");
    refuse("{" A ",\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}", 8, "");
}

static void shapes_that_lie_are_refused(void **state)
{
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[274877906944],\"data_offsets\":[0,8]", 8,
        "has 8 bytes of data, but its shape needs 1099511627776");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[-1,-2],\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"data_offsets\":[0,8]", 8, "`shape`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]", 0,
        "overflows");
    refuse_tensor(
        "\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]", 0, "overflows");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]", 4,
        "has 9 dimensions");
    refuse_tensor("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]", 2, "whole byte");
}

static void offsets_that_lie_are_refused(void **state)
{
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]", 8, "before its begin");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,12]", 8,
        "ends at 12, but there are only 8 bytes");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]", 8, "`data_offsets`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]", 8, "`data_offsets`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]", 8, "`data_offsets`");
    refuse_tensor(
        "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,\"8\"]", 8, "`data_offsets`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2]", 8, "`data_offsets`");
    refuse_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775800,"
                  "9223372036854775807]",
        8, "only 8 bytes");
    refuse_tensor(
        "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551616]", 8, "");
}

static void headers_of_another_kind_are_refused(void **state)
{
    refuse("", 0, "does not begin with {");
    refuse(" {}", 0, "does not begin with {");
    refuse("[]", 0, "does not begin with {");
    refuse("{", 0, "");
    refuse("{}{}", 0, "");
    refuse("{\"a\":\"\xff\"}", 0, "");
    refuse("{\"a\":1}", 0, "not described by an object");
    refuse_tensor("", 0, "`dtype`");
    refuse_tensor("\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]", 8, "`F33`");
    refuse_tensor("\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]", 8, "`dtype`");
    refuse_tensor(
        "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1", 8, "has keys besides");
    refuse("{\"__metadata__\":{\"step\":5}}", 0, "__metadata__");
    refuse("{\"__metadata__\":[]}", 0, "__metadata__");
}

static void names_have_a_limit(void **state)
{
    char header[512], name[2 * MU_NAME_MAX + 1];
    memset(name, 'n', sizeof(name));
    for (size_t bytes = sizeof(name) - 1; bytes >= sizeof(name) - 2; bytes--) {
        name[bytes] = '\0';
        mu_format(header, sizeof(header),
            "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        if (bytes < 2 * MU_NAME_MAX)
            accept(header, 1, 1);
        else
            refuse(header, 1, "has a name of over 127 bytes");
    }
}

static void header_lengths_that_lie_are_refused(void **state)
{
    static const uint64_t lengths[] = {UINT64_C(1) << 63, UINT64_MAX, (UINT64_C(1) << 32) + 2,
        MU_SAFETENSORS_HEADER_MAX + 1, MU_SAFETENSORS_HEADER_MAX, 3, 0};
    struct mu_safetensors tensors;
    for (size_t i = 0; i < MU_COUNT_OF(lengths); i++) {
        size_t bytes = file_of("{}", 0);
        for (int k = 0; k < 8; k++)
            file[k] = (char)(lengths[i] >> (8 * k) & 0xff);
        assert_int_equal(parse(file, bytes, &tensors), MU_BAD_DATA);
        assert_said(&said, "error[E0601]");
    }
}

static void a_file_cut_off_anywhere_is_refused(void **state)
{
    struct mu_safetensors tensors;
    size_t bytes =
        file_of("{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}", 8);
    assert_ok(parse(file, bytes, &tensors));
    mu_safetensors_finish(&tensors);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(parse(file, cut, &tensors), MU_BAD_DATA);
}

static void more_tensors_than_the_limit_are_refused(void **state)
{
    struct mu_safetensors tensors;
    struct mu_text text;
    for (int count = MU_SAFETENSORS_TENSORS_MAX; count <= MU_SAFETENSORS_TENSORS_MAX + 1; count++) {
        mu_text_init(&text);
        mu_text_append(&text, (const char[8]){0}, 8);
        for (int i = 0; i < count; i++)
            mu_text_add(&text, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                i > 0 ? "," : "{", i);
        mu_text_add(&text, "}");
        for (int k = 0; k < 8; k++)
            text.data[k] = (char)((text.bytes - 8) >> (8 * k) & 0xff);
        if (count <= MU_SAFETENSORS_TENSORS_MAX) {
            assert_ok(parse(text.data, text.bytes, &tensors));
            mu_safetensors_finish(&tensors);
        } else {
            assert_int_equal(parse(text.data, text.bytes, &tensors), MU_BAD_DATA);
            assert_said(&said, "more than 4096");
        }
        mu_text_finish(&text);
    }
}

/* ---- writing ---- */

static void what_is_written_is_read(void **state)
{
    static const float w[6] = {1, 2, 3, 4, 5, 6}, b[3] = {7, 8, 9}, scale = 10;
    struct mu_safetensor_source sources[] = {
        {.name = "dense1/w", .rank = 2, .shape = {2, 3}, .data = w},
        {.name = "b \"quoted\"", .rank = 1, .shape = {3}, .data = b},
        {.name = "scale", .rank = 0, .data = &scale},
        {.name = "none", .rank = 2, .shape = {0, 5}, .data = w},
    };
    static const char *const metadata[] = {"writer", "muster", "step", "5", NULL};
    struct mu_safetensors tensors;
    struct mu_text text;
    mu_text_init(&text);
    mu_safetensors_sort(sources, 4);
    assert_ok(mu_safetensors_header(sources, 4, metadata, &text));
    assert_int_equal(text.bytes % 8, 0);
    mu_text_append(&text, (const char *)b, sizeof(b));
    mu_text_append(&text, (const char *)w, sizeof(w));
    mu_text_append(&text, (const char *)&scale, sizeof(scale));
    assert_ok(parse(text.data, text.bytes, &tensors));
    assert_int_equal(tensors.tensor_count, 4);
    const struct mu_safetensor *found = mu_safetensors_find(&tensors, "dense1/w");
    assert_int_equal(found->rank, 2);
    assert_int_equal(found->shape[1], 3);
    assert_memory_equal(text.data + found->begin, w, sizeof(w));
    found = mu_safetensors_find(&tensors, "b \"quoted\"");
    assert_memory_equal(text.data + found->begin, b, sizeof(b));
    assert_int_equal(mu_safetensors_find(&tensors, "none")->shape[1], 5);
    mu_safetensors_finish(&tensors);
    mu_text_finish(&text);
}

static void a_file_may_be_empty(void **state)
{
    struct mu_safetensors tensors;
    struct mu_text text;
    mu_text_init(&text);
    assert_ok(mu_safetensors_header(NULL, 0, NULL, &text));
    assert_memory_equal(text.data, "\x08\0\0\0\0\0\0\0{}      ", 16);
    assert_ok(parse(text.data, text.bytes, &tensors));
    assert_int_equal(tensors.tensor_count, 0);
    mu_safetensors_finish(&tensors);
    mu_text_finish(&text);
}

static void wide_tensors_lie_before_narrow_ones(void **state)
{
    static const int64_t ids[3] = {4, 7, INT64_MIN};
    static const float rows[3] = {1, 2, 3};
    struct mu_safetensor_source sources[] = {
        {.name = "a", .rank = 2, .shape = {3, 1}, .data = rows},
        {.name = "z", .dtype = MU_SAFETENSORS_I64, .rank = 1, .shape = {3}, .data = ids},
    };
    struct mu_safetensors tensors;
    struct mu_text text;
    mu_text_init(&text);
    mu_safetensors_sort(sources, 2);
    assert_string_equal(sources[0].name, "z");
    assert_int_equal(mu_safetensors_source_bytes(&sources[0]), sizeof(ids));
    assert_ok(mu_safetensors_header(sources, 2, NULL, &text));
    mu_text_append(&text, (const char *)ids, sizeof(ids));
    mu_text_append(&text, (const char *)rows, sizeof(rows));
    assert_ok(parse(text.data, text.bytes, &tensors));
    const struct mu_safetensor *found = mu_safetensors_find(&tensors, "z");
    assert_string_equal(found->dtype, "I64");
    assert_memory_equal(text.data + found->begin, ids, sizeof(ids));
    found = mu_safetensors_find(&tensors, "a");
    assert_string_equal(found->dtype, "F32");
    assert_memory_equal(text.data + found->begin, rows, sizeof(rows));
    mu_safetensors_finish(&tensors);
    mu_text_finish(&text);
}

/* Only the header: nobody has to have the bytes to say where they would lie. */
static void tensors_of_many_gigabytes_have_their_offsets(void **state)
{
    struct mu_safetensor_source sources[] = {
        {.name = "ids",
            .dtype = MU_SAFETENSORS_I64,
            .rank = 1,
            .shape = {INT64_C(5000000000)},
            .data = NULL},
        {.name = "rows", .rank = 2, .shape = {INT64_C(5000000000), 64}, .data = NULL},
    };
    struct mu_text text;
    mu_text_init(&text);
    assert_ok(mu_safetensors_header(sources, 2, NULL, &text));
    assert_non_null(strstr(text.data + 8, "[0,40000000000]"));
    assert_non_null(strstr(text.data + 8, "[40000000000,1320000000000]"));
    mu_text_finish(&text);
}

static void sources_are_sorted_by_name(void **state)
{
    struct mu_safetensor_source sources[] = {
        {.name = "b"}, {.name = "a/z"}, {.name = "a"}, {.name = "B"}};
    mu_safetensors_sort(sources, 4);
    assert_string_equal(sources[0].name, "B");
    assert_string_equal(sources[1].name, "a");
    assert_string_equal(sources[2].name, "a/z");
    assert_string_equal(sources[3].name, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_format_allows_is_read),
        cmocka_unit_test(every_dtype_has_its_size),
        cmocka_unit_test(tensors_come_in_the_order_of_their_offsets),
        cmocka_unit_test(tensors_may_not_overlap),
        cmocka_unit_test(data_may_have_no_hole),
        cmocka_unit_test(data_may_have_no_rest),
        cmocka_unit_test(no_name_comes_twice),
        cmocka_unit_test(shapes_that_lie_are_refused),
        cmocka_unit_test(offsets_that_lie_are_refused),
        cmocka_unit_test(headers_of_another_kind_are_refused),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(header_lengths_that_lie_are_refused),
        cmocka_unit_test(a_file_cut_off_anywhere_is_refused),
        cmocka_unit_test(more_tensors_than_the_limit_are_refused),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_may_be_empty),
        cmocka_unit_test(wide_tensors_lie_before_narrow_ones),
        cmocka_unit_test(tensors_of_many_gigabytes_have_their_offsets),
        cmocka_unit_test(sources_are_sorted_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
