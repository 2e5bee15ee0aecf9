/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec.h"
#include "runtime/base/random.h"
#include <sys/resource.h>
#include <time.h>

/* Whatever is given as a spec: an answer in a bounded time and a bounded memory. */
#define NS_MAX INT64_C(200000000)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 10 /* instrumented code */
#else
#define SLOWER 1
#endif

/* Under valgrind nothing is as quick or as small as it is. */
static bool is_hurried(void)
{
    return getenv("MUSTER_UNHURRIED") == NULL;
}

static void assert_quick(int64_t ns, int64_t ns_max)
{
    if (is_hurried())
        assert_in_range(ns, 0, SLOWER * ns_max);
}

static int64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void refused_in_time(const char *text, size_t bytes, const char *said)
{
    struct mu_test_log log;
    struct mu_spec spec = {0};
    int64_t start = cpu_ns();
    enum mu_status status =
        mu_spec_parse(mu_test_log_init(&log), "$TF_CONFIG", text, bytes, "worker/0", &spec);
    assert_quick(cpu_ns() - start, NS_MAX);
    assert_int_equal(status, MU_CONFIG);
    assert_said(&log, said);
}

static void ten_mebibytes_are_refused(void **state)
{
    size_t bytes = 10 << 20;
    char *text = malloc(bytes);
    memset(text, ' ', bytes);
    refused_in_time(text, bytes,
        "error[E0103]: $TF_CONFIG is too large for a spec: 10485760 bytes, at most 1048576");
    free(text);
}

static void nesting_a_hundred_thousand_deep_is_refused(void **state)
{
    size_t depth = 100000;
    char *text = malloc(depth);
    memset(text, '[', depth);
    refused_in_time(text, depth, "error[E0102]");
    memset(text, '{', depth);
    refused_in_time(text, depth, "error[E0102]");
    free(text);
}

static void a_hundred_thousand_tasks_are_refused(void **state)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text, "{\"cluster\":{\"worker\":[\"a:1\"");
    for (int i = 1; i < 100000; i++)
        mu_text_add(&text, ",\"%x:1\"", i);
    mu_text_add(&text, "]}}");
    assert_in_range(text.bytes, 0, MU_JSON_BYTES_MAX); /* the number is refused, not the length */
    refused_in_time(text.data, text.bytes,
        "error[E0103]: the cluster has more than 4096 tasks: cluster.worker alone has 100000");
    mu_text_finish(&text);
}

static void a_hundred_thousand_keys_are_refused(void **state)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text, "{\"cluster\":{\"worker\":{\"0\":\"\"");
    for (int i = 1; i < 80000; i++)
        mu_text_add(&text, ",\"%d\":\"\"", i);
    mu_text_add(&text, "}}}");
    assert_in_range(text.bytes, 0, MU_JSON_BYTES_MAX);
    refused_in_time(text.data, text.bytes, "error[E0103]");
    mu_text_finish(&text);
}

/* Each makes a tree of some hundred bytes for two or three bytes of text. */
static void wide_texts_are_refused_before_they_are_read(void **state)
{
    static const struct {
        const char *head, *item, *tail, *said;
    } rows[] = {
        {"{\"worker\":[{}", ",{}", "]}", "the spec has 300003 keys and values, at most 32768"},
        {"{\"worker\":[[]", ",[]", "]}", "the spec has 300003 keys and values"},
        {"[1", ",1", "]", "the spec has 300001 keys and values"},
        {"{\"a\":[[]", ",[],[],[]],[[]", "]}", "the spec has"},
        {"{\"cluster\":{\"worker\":[{}", ",{}", "", "cluster.worker alone has 300000"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_text text;
        mu_text_init(&text);
        mu_text_add(&text, "%s", rows[i].head);
        for (int k = 1; k < 300000 && text.bytes < MU_JSON_BYTES_MAX - 64; k++)
            mu_text_add(&text, "%s", rows[i].item);
        mu_text_add(&text, "%s", rows[i].tail);
        assert_in_range(text.bytes, 0, MU_JSON_BYTES_MAX);
        refused_in_time(text.data, text.bytes, "error[E0103]");
        refused_in_time(text.data, text.bytes, rows[i].said);
        mu_text_finish(&text);
    }
}

static void add_unknown_keys(struct mu_text *text, int count)
{
    mu_text_add(text, "{\"cluster\":{\"worker\":[\"a:1\",\"b:1\"]}");
    for (int i = 0; i < count; i++)
        mu_text_add(text, ",\"%x\":1", i);
    mu_text_add(text, "}");
}

static void a_thousand_unknown_keys_are_counted_not_listed(void **state)
{
    struct mu_text text;
    struct mu_test_log log;
    struct mu_spec spec = {0};
    mu_text_init(&text);
    add_unknown_keys(&text, 1000);
    assert_ok(mu_spec_parse(
        mu_test_log_init(&log), "$TF_CONFIG", text.data, text.bytes, "worker/0", &spec));
    assert_said(&log, "unknown key `7` is ignored");
    assert_null(strstr(log.text, "unknown key `8`"));
    assert_said(&log, "$TF_CONFIG: 992 more unknown keys are ignored");
    mu_spec_finish(&spec);
    mu_text_clear(&text);
    add_unknown_keys(&text, 80000);
    refused_in_time(text.data, text.bytes, "error[E0103]: the spec has 160007 keys and values");
    mu_text_finish(&text);
}

static void the_largest_cluster_is_read_in_time(void **state)
{
    struct mu_text text;
    struct mu_test_log log;
    struct mu_spec spec = {0};
    mu_text_init(&text);
    mu_text_add(&text, "{\"cluster\":{\"worker\":{");
    for (int i = 0; i < MU_TASKS_MAX; i++)
        mu_text_add(&text, "%s\"%d\":\"h%d:1\"", i == 0 ? "" : ",", 2 * i, i);
    mu_text_add(&text, "}}}");
    int64_t start = cpu_ns();
    assert_ok(mu_spec_parse(
        mu_test_log_init(&log), "$TF_CONFIG", text.data, text.bytes, "worker/0", &spec));
    assert_quick(cpu_ns() - start, NS_MAX / 2);
    assert_int_equal(spec.replica_count, MU_TASKS_MAX);
    mu_spec_finish(&spec);
    mu_text_finish(&text);
}

static void memory_stays_bounded(void **state)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (SLOWER == 1 && is_hurried())
        assert_in_range(usage.ru_maxrss, 0, 64 * 1024);
}

/* A mutated spec is read or refused; it never crashes, and a refusal always has a number. */
static void mutated_specs_never_crash(void **state)
{
    static const char good[] =
        "{\"cluster\":{\"chief\":[\"h0:2222\"],\"worker\":[\"10.0.0.1:2222\",\"[::1]:2223\"],"
        "\"ps\":{\"0\":\"p:1\",\"4\":\"q:2\"},\"evaluator\":[\"e:5\"]},"
        "\"task\":{\"type\":\"worker\",\"index\":\"1\"},\"environment\":\"cloud\"}";
    struct mu_random random;
    int refused = 0;
    mu_random_init(&random, 20);
    for (int round = 0; round < 2000; round++) {
        char text[sizeof(good)];
        size_t bytes = sizeof(good) - 1;
        memcpy(text, good, sizeof(good));
        for (uint64_t edits = 1 + mu_random_below(&random, 4); edits > 0; edits--) {
            size_t at = mu_random_below(&random, bytes);
            switch (mu_random_below(&random, 4)) {
            case 0:
                text[at] = (char)mu_random_next(&random);
                break;
            case 1:
                text[at] = "{}[]\":,0-1etfn.\\"[mu_random_below(&random, 16)];
                break;
            case 2: /* a byte is lost */
                memmove(text + at, text + at + 1, bytes - at - 1);
                bytes--;
                break;
            default: /* the rest is lost */
                bytes = mu_random_below(&random, 8) == 0 ? at + 1 : bytes;
            }
        }
        struct mu_test_log log;
        struct mu_spec spec = {0};
        enum mu_status status =
            mu_spec_parse(mu_test_log_init(&log), "$TF_CONFIG", text, bytes, NULL, &spec);
        if (status == MU_OK) {
            mu_spec_finish(&spec);
            continue;
        }
        refused++;
        assert_int_equal(status, MU_CONFIG);
        assert_said(&log, "error[E01");
        assert_said(&log, "$TF_CONFIG:1:");
        assert_null(spec.task);
    }
    assert_in_range(refused, 1000, 2000);
}

static void every_truncation_is_refused_with_its_place(void **state)
{
    static const char good[] = "{\"cluster\":{\"worker\":[\"a:1\",\"b:1\"]}}";
    for (size_t bytes = 0; bytes + 1 < sizeof(good) - 1; bytes++) {
        struct mu_test_log log;
        struct mu_spec spec = {0};
        assert_int_equal(
            mu_spec_parse(mu_test_log_init(&log), "$TF_CONFIG", good, bytes, NULL, &spec),
            MU_CONFIG);
        assert_said(&log, "error[E0102]");
        assert_said(&log, "$TF_CONFIG:1:");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_mebibytes_are_refused),
        cmocka_unit_test(nesting_a_hundred_thousand_deep_is_refused),
        cmocka_unit_test(a_hundred_thousand_tasks_are_refused),
        cmocka_unit_test(a_hundred_thousand_keys_are_refused),
        cmocka_unit_test(wide_texts_are_refused_before_they_are_read),
        cmocka_unit_test(a_thousand_unknown_keys_are_counted_not_listed),
        cmocka_unit_test(the_largest_cluster_is_read_in_time),
        cmocka_unit_test(memory_stays_bounded),
        cmocka_unit_test(mutated_specs_never_crash),
        cmocka_unit_test(every_truncation_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
