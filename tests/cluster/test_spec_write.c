/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec.h"

static const char whole[] = "{\"cluster\":{\"chief\":[\"c:1\"],\"worker\":[\"a:1\",\"[::1]:2\"],"
                            "\"ps\":[\"p:1\"]}";

static void parse(const char *text, const char *task, struct mu_spec *spec)
{
    static struct mu_test_log log;
    memset(spec, 0, sizeof(*spec));
    assert_ok(mu_spec_parse(mu_test_log_init(&log), "text", text, strlen(text), task, spec));
}

static void the_canonical_text_does_not_depend_on_how_it_was_written(void **state)
{
    static const char *const same[] = {
        "{\"cluster\":{\"chief\":[\"c:1\"],\"worker\":[\"a:1\",\"[::1]:2\"],\"ps\":[\"p:1\"]}}",
        "{ \"task\":{\"index\":0,\"type\":\"ps\"}, \"cluster\":{\"ps\":{\"0\":\"P:1\"},"
        "\"master\":[\"c:1\"],\"worker\":{\"1\":\"[0::1]:2\",\"0\":\"A:1\"},\"evaluator\":[]}}",
        "{\"cluster\":{\"workerpool0\":[\"c:1\"],\"workerpool1\":[\"a:1\",\"[::1]:2\"],"
        "\"workerpool2\":[\"p:1\"],\"workerpool3\":[\"e:1\"]}}",
    };
    uint64_t hash = 0;
    for (size_t i = 0; i < MU_COUNT_OF(same); i++) {
        struct mu_spec spec;
        struct mu_text text;
        parse(same[i], NULL, &spec);
        mu_text_init(&text);
        mu_spec_write(&spec, &text);
        assert_string_equal(text.data, same[0]);
        assert_true(i == 0 || spec.hash == hash);
        hash = spec.hash;
        mu_text_finish(&text);
        mu_spec_finish(&spec);
    }
}

static void another_cluster_has_another_hash(void **state)
{
    static const char *const texts[] = {"{\"cluster\":{\"worker\":[\"a:1\"]}}",
        "{\"cluster\":{\"worker\":[\"a:2\"]}}", "{\"cluster\":{\"worker\":{\"1\":\"a:1\"}}}",
        "{\"cluster\":{\"chief\":[\"a:1\"]}}"};
    uint64_t hash[MU_COUNT_OF(texts)];
    for (size_t i = 0; i < MU_COUNT_OF(texts); i++) {
        struct mu_spec spec;
        parse(texts[i], NULL, &spec);
        hash[i] = spec.hash;
        mu_spec_finish(&spec);
        for (size_t j = 0; j < i; j++)
            assert_true(hash[i] != hash[j]);
    }
}

static void a_written_tf_config_reads_back(void **state)
{
    struct mu_spec spec, again;
    struct mu_text text;
    char source[200];
    mu_format(source, sizeof(source), "%s}", whole);
    parse(source, NULL, &spec);
    for (int i = 0; i < spec.task_count; i++) {
        mu_text_init(&text);
        mu_spec_write_tf_config(&spec, i, &text);
        parse(text.data, NULL, &again);
        assert_int_equal(again.self, i);
        assert_int_equal(again.hash, spec.hash);
        mu_text_finish(&text);
        mu_spec_finish(&again);
    }
    mu_spec_finish(&spec);
}

static void an_evaluator_outside_keeps_standing_outside(void **state)
{
    struct mu_spec spec;
    struct mu_text text;
    parse("{\"cluster\":{\"worker\":[\"a:1\"]}}", "evaluator", &spec);
    mu_text_init(&text);
    mu_spec_write_tf_config(&spec, spec.self, &text);
    assert_string_equal(text.data,
        "{\"cluster\":{\"worker\":[\"a:1\"]},\"task\":{\"type\":\"evaluator\",\"index\":0}}");
    mu_text_finish(&text);
    mu_spec_finish(&spec);
}

static void a_difference_is_two_lines_about_the_first_role_that_differs(void **state)
{
#define C(x) "{\"cluster\":{" x "}}"
    static const struct {
        const char *ours, *theirs, *said;
    } rows[] = {
        {C("\"worker\":[\"a:1\",\"b:1\"]"), C("\"worker\":[\"a:1\",\"b:1\"]"), ""},
        {C("\"worker\":[\"a:1\",\"b:1\"],\"ps\":[\"p:1\"]"),
            C("\"worker\":[\"a:1\",\"b:2\"],\"ps\":[\"p:2\"]"),
            "- worker/1 b:1 (2 worker in all)\n+ worker/1 b:2 (2 worker in all)\n"},
        {C("\"worker\":[\"a:1\"]"), C("\"worker\":[\"a:1\",\"b:2\"]"),
            "- no further worker (1 worker in all)\n+ worker/1 b:2 (2 worker in all)\n"},
        {C("\"worker\":[\"a:1\"],\"chief\":[\"c:1\"]"), C("\"worker\":[\"a:1\"]"),
            "- chief/0 c:1 (1 chief in all)\n+ no further chief (0 chief in all)\n"},
        {C("\"worker\":[\"a:1\"]"), C("\"worker\":{\"3\":\"a:1\"}"),
            "- worker/0 a:1 (1 worker in all)\n+ worker/3 a:1 (1 worker in all)\n"},
        {C("\"worker\":[\"a:1\"]"), "nonsense",
            "- {\"cluster\":{\"worker\":[\"a:1\"]}}\n+ nonsense\n"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_text text;
        mu_text_init(&text);
        mu_spec_difference(rows[i].ours, rows[i].theirs, &text);
        assert_string_equal(text.data, rows[i].said);
        mu_text_finish(&text);
    }
}

static void a_spec_is_made_from_counts(void **state)
{
    static struct mu_test_log log;
    struct mu_spec spec;
    struct mu_text text;
    const int counts[MU_ROLE_COUNT] = {1, 2, 1, 1}, ports[] = {1, 2, 3, 4, 5};
    assert_ok(mu_spec_make(mu_test_log_init(&log), counts, "127.0.0.1", ports, &spec));
    assert_int_equal(spec.task_count, 5);
    assert_int_equal(spec.self, -1);
    mu_text_init(&text);
    mu_spec_write(&spec, &text);
    assert_string_equal(text.data,
        "{\"cluster\":{\"chief\":[\"127.0.0.1:1\"],\"worker\":[\"127.0.0.1:2\",\"127.0.0.1:3\"],"
        "\"ps\":[\"127.0.0.1:4\"]}}");
    mu_text_finish(&text);
    mu_spec_finish(&spec);
}

static void a_spec_is_made_from_addresses(void **state)
{
    static struct mu_test_log log;
    struct mu_spec spec;
    const int counts[MU_ROLE_COUNT] = {0, 2, 1, 0};
    const struct mu_address addresses[] = {{"h1", 7}, {"h2", 7}, {"h1", 8}};
    assert_ok(
        mu_spec_from_addresses(mu_test_log_init(&log), counts, addresses, 2, "Open MPI", &spec));
    assert_int_equal(spec.self, 2);
    assert_int_equal(spec.task[2].role, MU_ROLE_PS);
    assert_string_equal(spec.origin, "Open MPI");
    mu_spec_finish(&spec);
    const struct mu_address same[] = {{"h1", 7}, {"h2", 7}, {"h1", 7}};
    assert_int_equal(
        mu_spec_from_addresses(&log.log, counts, same, 2, "Open MPI", &spec), MU_CONFIG);
    assert_said(&log, "Open MPI: worker/0 and ps/0 have the same address h1:7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_text_does_not_depend_on_how_it_was_written),
        cmocka_unit_test(another_cluster_has_another_hash),
        cmocka_unit_test(a_written_tf_config_reads_back),
        cmocka_unit_test(an_evaluator_outside_keeps_standing_outside),
        cmocka_unit_test(a_difference_is_two_lines_about_the_first_role_that_differs),
        cmocka_unit_test(a_spec_is_made_from_counts),
        cmocka_unit_test(a_spec_is_made_from_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
