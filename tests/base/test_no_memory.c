/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 1st, 2nd, ... nth allocation fails, until a run gets through without one that fails. Every
 * run before that must say so, leak nothing (the sanitizers look) and leave what it was given.
 */
#include "option_rows.h"
#include "runtime/base/json.h"
#include "runtime/base/store.h"
#include "runtime/base/text.h"
#include "test.h"

#define RUNS_MAX 1000

static int allocations_left = -1; /* before the one that fails; -1: none fails */
static bool has_failed;

static bool fails(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_left = -1;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static struct mu_test_log said;

/* Runs until nothing fails any more; returns how many runs had a failure. */
static int run_all(enum mu_status (*run)(void))
{
    for (int n = 0; n < RUNS_MAX; n++) {
        mu_test_log_init(&said);
        allocations_left = n;
        has_failed = false;
        enum mu_status status = run();
        allocations_left = -1;
        if (!has_failed) {
            assert_ok(status);
            return n;
        }
        assert_int_equal(status, MU_NO_MEMORY);
    }
    fail_msg("an allocation still fails after %d runs", RUNS_MAX);
    return -1;
}

static const char document[] = "{\"a\":{\"b\":[1,2.5,\"text\"],\"c\":null},\"d\":true}";

static enum mu_status parse(void)
{
    struct mu_json *json = NULL;
    enum mu_status status =
        mu_json_parse(&said.log, MU_E0201, "job", document, strlen(document), &json);
    assert_int_equal(status == MU_OK, json != NULL);
    if (status != MU_OK)
        assert_said(&said, "error[E0801]: no memory to read JSON");
    mu_json_destroy(json);
    return status;
}

static void parsing_says_that_there_is_no_memory(void **state)
{
    (void)state;
    assert_true(run_all(parse) > 10);
}

static char *canonical(const struct mu_json *json)
{
    int kept = allocations_left;
    allocations_left = -1;
    struct mu_text text;
    mu_text_init(&text);
    mu_json_write_canonical(mu_json_root(json), &text);
    allocations_left = kept;
    return text.data;
}

static enum mu_status set(void)
{
    struct mu_json *json = NULL;
    int kept = allocations_left;
    allocations_left = -1;
    assert_ok(mu_json_parse(&said.log, MU_E0201, "job", document, strlen(document), &json));
    allocations_left = kept;
    char *before = canonical(json);
    enum mu_status status = mu_json_set(&said.log, json, "a.x.y", "[3]");
    char *after = canonical(json);
    assert_int_equal(status == MU_OK, strcmp(before, after) != 0);
    free(before);
    free(after);
    mu_json_destroy(json);
    return status;
}

static void failed_set_leaves_the_document(void **state)
{
    (void)state;
    assert_true(run_all(set) > 20);
}

static enum mu_status write_texts(void)
{
    struct mu_text text;
    mu_text_init(&text);
    for (int i = 0; i < 100; i++) {
        size_t before = text.bytes;
        mu_text_add(&text, "%d,", i);
        assert_int_equal(strlen(text.data), text.bytes);
        assert_true(text.bytes >= before);
        mu_text_add_json_string(&text, "q\"");
    }
    enum mu_status status = text.failed ? MU_NO_MEMORY : MU_OK;
    mu_text_finish(&text);
    return status;
}

static void text_remembers_that_it_failed_and_stays_valid(void **state)
{
    (void)state;
    assert_true(run_all(write_texts) > 3);
}

static enum mu_status write_json(void)
{
    struct mu_json *json = NULL;
    struct mu_text text;
    int kept = allocations_left;
    allocations_left = -1;
    assert_ok(mu_json_parse(&said.log, MU_E0201, "job", document, strlen(document), &json));
    allocations_left = kept;
    mu_text_init(&text);
    mu_json_write_canonical(mu_json_root(json), &text);
    mu_json_write_pretty(mu_json_root(json), &text);
    enum mu_status status = text.failed ? MU_NO_MEMORY : MU_OK;
    mu_text_finish(&text);
    mu_json_destroy(json);
    return status;
}

static void json_text_remembers_that_it_failed(void **state)
{
    (void)state;
    assert_true(run_all(write_json) > 3);
}

static enum mu_status put_and_get(void)
{
    struct mu_store *store;
    struct mu_store_piece piece = {"abc", 3};
    struct mu_store_file files[] = {{.name = "a", .pieces = &piece, .piece_count = 1},
        {.name = "b", .pieces = &piece, .piece_count = 1}};
    void *data = NULL;
    size_t bytes;
    MU_TRY(mu_store_memory_open(&store));
    enum mu_status status = store->ops->put(store, &said.log, 1, files, 2);
    int64_t number;
    assert_int_equal(store->ops->list(store, &number, 1), status == MU_OK);
    if (status == MU_OK)
        status = store->ops->get(store, &said.log, 1, "b", 9, &data, &bytes);
    if (status != MU_OK)
        assert_said(&said, "error[E0801]: no memory");
    free(data);
    store->ops->close(store);
    return status;
}

static void failed_put_leaves_no_entry(void **state)
{
    (void)state;
    assert_int_equal(run_all(put_and_get), 5);
}

/* A refusal needs memory only for its help: it is said all the same. */
static void errors_are_said_without_memory(void **state)
{
    (void)state;
    struct mu_json *json;
    struct sample sample;
    static const char text[] = "{\"zzz\":1}";
    assert_ok(mu_json_parse(&said.log, MU_E0201, "job", text, strlen(text), &json));
    for (int n = 0; n < 5; n++) {
        mu_test_log_init(&said);
        allocations_left = n;
        assert_int_equal(
            mu_options_read(&said.log, json, mu_json_root(json), "", sample_rows, NULL, &sample),
            MU_CONFIG);
        allocations_left = -1;
        assert_said(&said, "error[E0202]: unknown key `zzz`");
    }
    mu_json_destroy(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing_says_that_there_is_no_memory),
        cmocka_unit_test(failed_set_leaves_the_document),
        cmocka_unit_test(text_remembers_that_it_failed_and_stays_valid),
        cmocka_unit_test(json_text_remembers_that_it_failed),
        cmocka_unit_test(failed_put_leaves_no_entry),
        cmocka_unit_test(errors_are_said_without_memory),
    };
    return cmocka_run_group_tests_name("no_memory", tests, NULL, NULL);
}
