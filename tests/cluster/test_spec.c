/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec.h"

#define W2 "\"worker\":[\"a:1\",\"b:1\"]"
#define AS_WORKER ",\"task\":{\"type\":\"worker\",\"index\":0}"

static enum mu_status parse(
    struct mu_test_log *log, const char *text, const char *task, struct mu_spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    return mu_spec_parse(mu_test_log_init(log), "$TF_CONFIG", text, strlen(text), task, spec);
}

/* Each malformed text with its error and what must be said. */
struct refusal {
    const char *text, *first, *second;
};

static const struct refusal not_json[] = {
    {"", "error[E0102]", "$TF_CONFIG:1:1"},
    {"{", "error[E0102]", "$TF_CONFIG:1:"},
    {"{\"cluster\": {\"worker\": [\"a:1\",]}}", "error[E0102]", "$TF_CONFIG:1:"},
    {"{} x", "error[E0102]", "$TF_CONFIG:1:4"},
    {"{\"cluster\":{" W2 "," W2 "}}", "error[E0102]", "worker"},
    {"{\"cluster\":{},\"cluster\":{}}", "error[E0102]", "cluster"},
    {"{\"cluster\":{\"worker\":[\"a\\u0000b:1\"]}}", "error[E0102]", "$TF_CONFIG:1:"},
    {"{\"cluster\":{\"worker\":[\"\xff:1\"]}}", "error[E0102]", "$TF_CONFIG:1:"},
};

static const struct refusal wrong_shape[] = {
    {"null", "error[E0105]: the spec must be an object, not null", "$TF_CONFIG:1:1"},
    {"[]", "the spec must be an object, not an array", "expected {\"cluster\": {...}"},
    {"{}", "error[E0105]: the spec has no `cluster`", "\"worker\": [\"10.0.0.1:2222\""},
    {"{\"clutser\":{" W2 "}}", "error[E0105]: unknown key `clutser`", "did you mean `cluster`?"},
    {"{\"cluster\":[]}", "error[E0105]: `cluster` must be an object", "$TF_CONFIG:1:12"},
    {"{\"cluster\":{\"worker\":\"a:1\"}}",
        "cluster.worker must be a list or an object of addresses", "$TF_CONFIG:1:22"},
    {"{\"cluster\":{\"worker\":{\"x\":\"a:1\"}}}",
        "`x` in cluster.worker is not the index of a task", "expected a number from 0 to 65535"},
    {"{\"cluster\":{\"worker\":{\"-1\":\"a:1\"}}}", "`-1` in cluster.worker", "error[E0105]"},
    {"{\"cluster\":{\"worker\":{\"65536\":\"a:1\"}}}", "`65536` in cluster.worker", "error[E0105]"},
    {"{\"cluster\":{\"worker\":{\"1\":\"a:1\",\"01\":\"b:1\"}}}", "worker/1 is listed twice",
        "error[E0105]"},
    {"{\"cluster\":{" W2 "},\"task\":7}", "`task` must be an object, not an integer",
        "$TF_CONFIG:1:"},
};

static const struct refusal wrong_roles[] = {
    {"{\"cluster\":{\"workers\":[\"a:1\"]}}", "error[E0104]: unknown task type `workers`",
        "did you mean `worker`?"},
    {"{\"cluster\":{\"cheif\":[\"a:1\"]}}", "unknown task type `cheif`", "did you mean `chief`?"},
    {"{\"cluster\":{\"gpu\":[\"a:1\"]}}", "unknown task type `gpu`",
        "expected `chief`, `worker`, `ps` or `evaluator`"},
    {"{\"cluster\":{\"Worker\":[\"a:1\"]}}", "unknown task type `Worker`",
        "did you mean `worker`?"},
    {"{\"cluster\":{\"chief\":[\"a:1\"],\"master\":[\"b:1\"]}}",
        "error[E0106]: `chief` and `master` both mean chief", "$TF_CONFIG:1:29"},
    {"{\"cluster\":{\"chief\":[\"a:1\",\"b:1\"]}}",
        "error[E0106]: a cluster has at most one chief, this one has 2", "$TF_CONFIG:1:28"},
    {"{\"cluster\":{" W2 ",\"evaluator\":[\"c:1\",\"d:1\"]}}",
        "a cluster has at most one evaluator, this one has 2", "error[E0106]"},
    {"{\"cluster\":{" W2 ",\"evaluator\":{\"1\":\"c:1\"}}}",
        "the evaluator has the index 1: it must be 0", "error[E0106]"},
    {"{\"cluster\":{\"chief\":{\"1\":\"c:1\"}}}", "the chief has the index 1: it must be 0",
        "error[E0106]"},
    {"{\"cluster\":{}}", "error[E0106]: the cluster is empty", "$TF_CONFIG:1:12"},
    {"{\"cluster\":{\"worker\":[]}}", "error[E0106]: the cluster is empty", "$TF_CONFIG:1:12"},
    {"{\"cluster\":{\"ps\":[\"a:1\"]}}",
        "has parameter servers (`ps`) but no chief or worker: nobody would train", "error[E0106]"},
    {"{\"cluster\":{\"evaluator\":[\"a:1\"]}}", "has an evaluator but no chief or worker",
        "error[E0106]"},
};

#define TASK(type, index)                                                                          \
    "{\"cluster\":{\"worker\":[\"a:1\",\"b:1\",\"c:1\"]},\"task\":{\"type\":" type                 \
    ",\"index\":" index "}}"

static const struct refusal wrong_tasks[] = {
    {TASK("\"worker\"", "3"), "error[E0107]: index 3 is out of range: the cluster has worker/0..2",
        "$TF_CONFIG:1:"},
    {TASK("\"worker\"", "-1"), "index -1 is out of range: the cluster has worker/0..2", "E0107"},
    {TASK("\"worker\"", "1000000000"), "index 1000000000 is out of range", "E0107"},
    {TASK("\"worker\"", "\"99999999999999999999\""),
        "index 99999999999999999999 is out of range: the cluster has worker/0..2", "E0107"},
    {TASK("\"worker\"", "1.5"), "task.index must be an integer, not",
        "expected an integer or a string of digits"},
    {TASK("\"worker\"", "1.0"), "task.index must be an integer, not", "E0107"},
    {TASK("\"worker\"", "1e0"), "task.index must be an integer, not", "E0107"},
    {TASK("\"worker\"", "true"), "task.index must be an integer, not", "E0107"},
    {TASK("\"worker\"", "null"), "task.index must be an integer, not null", "E0107"},
    {TASK("\"worker\"", "\"\""), "not a string that is not one", "E0107"},
    {TASK("\"worker\"", "\" 1\""), "not a string that is not one", "E0107"},
    {TASK("\"worker\"", "\"1.0\""), "not a string that is not one", "E0107"},
    {TASK("\"ps\"", "0"), "error[E0107]: ps/0 is not in the cluster, which has worker/0..2",
        "list it in the cluster"},
    {TASK("\"chief\"", "0"), "chief/0 is not in the cluster",
        "without a chief the first worker leads: start this task as `worker`"},
    {TASK("\"evaluator\"", "1"), "at most one evaluator, index 0", "E0107"},
    {TASK("\"wroker\"", "0"), "error[E0104]: unknown task type `wroker`", "did you mean `worker`?"},
    {TASK("3", "0"), "task.type must be a string, not an integer", "E0107"},
    {"{\"cluster\":{" W2 "},\"task\":{\"index\":0}}", "`task` has no `type`", "E0107"},
    {"{\"cluster\":{" W2 "},\"task\":{\"type\":\"worker\"}}", "`task` has no `index`", "E0107"},
    {"{\"cluster\":{\"worker\":{\"1\":\"a:1\",\"2\":\"b:1\",\"5\":\"c:1\"}},"
     "\"task\":{\"type\":\"worker\",\"index\":0}}",
        "index 0 is out of range: the cluster has worker/1..2, 5", "E0107"},
};

static const struct refusal wrong_addresses[] = {
    {"{\"cluster\":{\"worker\":[\"a:1\",\"b\"]}}", "error[E0108]: cluster.worker[1] has no port",
        "$TF_CONFIG:1:29"},
    {"{\"cluster\":{\"worker\":{\"0\":\"a:1\",\"7\":\"b:0\"}}}",
        "cluster.worker.7 has a port that is not between 1 and 65535", "E0108"},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"b:70000\"]}}", "cluster.worker[1] has a port that is not",
        "E0108"},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"host:22 22\"]}}",
        "cluster.worker[1] contains white space", "E0108"},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"::1:2222\"]}}",
        "cluster.worker[1] has an IPv6 address without brackets",
        "write an IPv6 address as \"[::1]:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"[::1]\"]}}", "cluster.worker[1] has no port",
        "help: write an IPv6 address as \"[::1]:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"[::1]:0\"]}}", "is not between 1 and 65535",
        "help: write an IPv6 address as \"[::1]:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"[::1:2222\"]}}", "has a bracket that is not closed",
        "help: write an IPv6 address as \"[::1]:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"[::ffff:10.0.0.1]:1\"]}}", "in the form of IPv6",
        "help: write it as \"10.0.0.1:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"[10.0.0.1]:1\"]}}", "what is no IPv6 address",
        "help: write it as \"10.0.0.1:2222\""},
    {"{\"cluster\":{\"worker\":[\"a:1\",\"0x7f000001:1\"]}}",
        "cluster.worker[1] has a host of digits", "help: write it as \"10.0.0.1:2222\""},
    {"{\"cluster\":{\"worker\":[\"a.b:1\",\"a:1\",\"a.b-c:1\",\"A.b.:1\"]}}",
        "error[E0109]: worker/0 and worker/3 have the same address a.b.:1",
        "give each task a port of its own"},
    {"{\"cluster\":{\"ps\":[3],\"worker\":[\"a:1\"]}}",
        "cluster.ps[0] must be an address, not an integer", "E0108"},
    {"{\"cluster\":{\"worker\":[\"a:1\"],\"ps\":[\"A:1\"]}}",
        "error[E0109]: worker/0 and ps/0 have the same address a:1",
        "give each task a port of its own"},
    {"{\"cluster\":{\"worker\":[\"[::1]:1\",\"[0:0::1]:1\"]}}",
        "worker/0 and worker/1 have the same address [::1]:1", "E0109"},
    {"{\"cluster\":{\"worker\":[\"localhost:1\",\"127.0.0.1:1\"]}}",
        "error[E0109]: worker/0 and worker/1 have the same address 127.0.0.1:1: localhost is "
        "127.0.0.1",
        "give each task a port of its own"},
    {"{\"cluster\":{\"chief\":[\"127.0.0.1:1\"],\"worker\":[\"localhost.:1\"]}}",
        "chief/0 and worker/0 have the same address localhost.:1: localhost is 127.0.0.1", "E0109"},
};

static void all_refused(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mu_test_log log;
        struct mu_spec spec;
        if (parse(&log, rows[i].text, NULL, &spec) != MU_CONFIG)
            fail_msg("not refused as CONFIG: %s\n%s", rows[i].text, log.text);
        assert_said(&log, rows[i].first);
        assert_said(&log, rows[i].second);
        assert_null(spec.task);
    }
}

static void text_that_is_not_json_is_refused_with_its_place(void **state)
{
    all_refused(not_json, MU_COUNT_OF(not_json));
}

static void values_of_the_wrong_shape_are_refused(void **state)
{
    all_refused(wrong_shape, MU_COUNT_OF(wrong_shape));
}

static void clusters_that_cannot_train_are_refused(void **state)
{
    all_refused(wrong_roles, MU_COUNT_OF(wrong_roles));
}

static void tasks_that_are_not_in_the_cluster_are_refused(void **state)
{
    all_refused(wrong_tasks, MU_COUNT_OF(wrong_tasks));
}

static void addresses_that_cannot_be_used_are_refused(void **state)
{
    all_refused(wrong_addresses, MU_COUNT_OF(wrong_addresses));
}

static void an_unknown_task_type_is_shown_with_a_caret(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_int_equal(parse(&log, "{\"cluster\":{\"workers\":[\"a:1\"]}}", NULL, &spec), MU_CONFIG);
    assert_string_equal(log.text,
        "error[E0104]: unknown task type `workers`\n"
        "  --> $TF_CONFIG:1:13\n"
        "   |\n"
        " 1 | {\"cluster\":{\"workers\":[\"a:1\"]}}\n"
        "   |             ^^^^^^^^^ expected `chief`, `worker`, `ps` or `evaluator`\n"
        "   = help: did you mean `worker`?\n");
}

static void a_whole_cluster_is_numbered(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log,
        "{\"cluster\":{\"ps\":[\"p0:1\",\"p1:1\"],\"evaluator\":[\"e:1\"],\"worker\":[\"w0:1\","
        "\"w1:1\"],\"chief\":[\"c:1\"]},\"task\":{\"type\":\"worker\",\"index\":\"1\"}}",
        NULL, &spec));
    assert_int_equal(spec.task_count, 6);
    assert_int_equal(spec.replica_count, 3);
    assert_int_equal(spec.ps_count, 2);
    assert_int_equal(spec.evaluator_count, 1);
    assert_int_equal(spec.self, 2);
    assert_int_equal(spec.leader, 0);
    assert_false(spec.local);
    static const int replicas[] = {0, 1, 2, -1, -1, -1};
    static const char *const names[] = {
        "chief/0", "worker/0", "worker/1", "ps/0", "ps/1", "evaluator/0"};
    for (int i = 0; i < 6; i++) {
        char name[MU_TASK_NAME_MAX];
        mu_task_name(&spec.task[i], name, sizeof(name));
        assert_string_equal(name, names[i]);
        assert_int_equal(spec.task[i].replica, replicas[i]);
    }
    assert_int_equal(mu_spec_replica(&spec, 2), 2);
    assert_int_equal(mu_spec_replica(&spec, 3), -1);
    assert_int_equal(mu_spec_ps(&spec, 1), 4);
    assert_int_equal(mu_spec_ps(&spec, 2), -1);
    static const int orders[] = {-1, -1, -1, 0, 1, -1};
    for (int i = 0; i < 6; i++)
        assert_int_equal(mu_spec_ps_order(&spec, i), orders[i]);
    assert_int_equal(mu_spec_find(&spec, MU_ROLE_EVALUATOR, 0), 5);
    assert_string_equal(log.text, "");
    mu_spec_finish(&spec);
}

static void without_a_chief_the_first_worker_leads(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log, "{\"cluster\":{" W2 "}}", "worker/1", &spec));
    assert_int_equal(spec.leader, 0);
    assert_int_equal(spec.task[spec.leader].role, MU_ROLE_WORKER);
    assert_int_equal(spec.task[0].replica, 0);
    assert_int_equal(spec.self, 1);
    mu_spec_finish(&spec);
}

static void master_means_chief(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log,
        "{\"cluster\":{\"master\":[\"m:1\"]," W2 "},\"task\":{\"type\":\"master\",\"index\":0}}",
        NULL, &spec));
    assert_int_equal(spec.task[spec.self].role, MU_ROLE_CHIEF);
    assert_int_equal(spec.task[1].replica, 1);
    mu_spec_finish(&spec);
}

static void an_evaluator_may_stand_outside(void **state)
{
    struct mu_test_log log;
    struct mu_spec inside, outside, other;
    assert_ok(parse(&log, "{\"cluster\":{" W2 "},\"task\":{\"type\":\"evaluator\",\"index\":0}}",
        NULL, &outside));
    assert_int_equal(outside.task[outside.self].role, MU_ROLE_EVALUATOR);
    assert_string_equal(outside.task[outside.self].address.host, "");
    assert_int_equal(outside.replica_count, 2);
    assert_int_equal(outside.evaluator_count, 1);
    assert_ok(parse(&log,
        "{\"cluster\":{" W2 ",\"evaluator\":[\"e:1\"]},\"task\":{\"type\":\"evaluator\","
        "\"index\":0}}",
        NULL, &inside));
    assert_ok(parse(&log, "{\"cluster\":{" W2 "}" AS_WORKER "}", NULL, &other));
    /* Listed, outside or elsewhere: the cluster is the same. */
    assert_int_equal(inside.hash, outside.hash);
    assert_int_equal(inside.hash, other.hash);
    mu_spec_finish(&inside);
    mu_spec_finish(&outside);
    mu_spec_finish(&other);
}

static void holes_between_indices_are_legal(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log,
        "{\"cluster\":{\"worker\":{\"7\":\"b:1\",\"2\":\"a:1\"}},"
        "\"task\":{\"type\":\"worker\",\"index\":7}}",
        NULL, &spec));
    assert_int_equal(spec.task[0].index, 2);
    assert_int_equal(spec.self, 1);
    assert_int_equal(spec.task[1].replica, 1);
    mu_spec_finish(&spec);
}

static void vertex_ai_names_are_understood(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log,
        "{\"cluster\":{\"workerpool0\":[\"c:1\"],\"workerpool1\":[\"w:1\"],\"workerpool2\":[\"p:"
        "1\"],"
        "\"workerpool3\":[\"e:1\"]},\"environment\":\"cloud\",\"job\":\"{\\\"a\\\":1}\","
        "\"task\":{\"type\":\"workerpool2\",\"index\":0,\"trial\":\"3\"}}",
        NULL, &spec));
    assert_int_equal(spec.task[spec.self].role, MU_ROLE_PS);
    assert_int_equal(spec.evaluator_count, 1);
    assert_string_equal(log.text, "");
    mu_spec_finish(&spec);
}

static void known_foreign_keys_pass_in_silence_and_others_warn(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log,
        "{\"cluster\":{" W2 "},\"environment\":\"cloud\",\"rpc_layer\":\"grpc\",\"job\":{},"
        "\"session_master\":\"\",\"service\":{},\"model_dir\":\"x\"}",
        "worker/0", &spec));
    assert_string_equal(log.text, "");
    mu_spec_finish(&spec);
    assert_ok(parse(&log, "{\"cluster\":{" W2 "},\"colour\":1}", "worker/0", &spec));
    assert_said(&log, "unknown key `colour` is ignored");
    mu_spec_finish(&spec);
    assert_ok(parse(&log, "{\"cluster\":{" W2 "}" AS_WORKER ",\"taks\":1}", NULL, &spec));
    assert_said(&log, "unknown key `taks` is ignored: did you mean `task`?");
    mu_spec_finish(&spec);
}

static void loopback_beside_other_hosts_is_a_warning_that_names_both(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(
        parse(&log, "{\"cluster\":{\"worker\":[\"localhost:1\",\"10.0.0.2:1\"]}}", NULL, &spec));
    assert_said(&log, "worker/0 (localhost:1)");
    assert_said(&log, "worker/1 (10.0.0.2:1)");
    mu_spec_finish(&spec);
    assert_ok(
        parse(&log, "{\"cluster\":{\"worker\":[\"localhost:1\",\"127.0.0.1:2\"]}}", NULL, &spec));
    assert_string_equal(log.text, "");
    mu_spec_finish(&spec);
}

static void a_text_without_a_task_has_no_self(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    assert_ok(parse(&log, "{\"cluster\":{" W2 "}}", NULL, &spec));
    assert_int_equal(spec.self, -1);
    mu_spec_finish(&spec);
}

static void task_names_are_read(void **state)
{
    static const struct {
        const char *text;
        bool good;
        enum mu_role role;
        int index;
    } rows[] = {{"worker/1", true, MU_ROLE_WORKER, 1}, {"ps:0", true, MU_ROLE_PS, 0},
        {"chief", true, MU_ROLE_CHIEF, 0}, {"evaluator", true, MU_ROLE_EVALUATOR, 0},
        {"master/0", true, MU_ROLE_CHIEF, 0}, {"worker/65535", true, MU_ROLE_WORKER, 65535},
        {"worker", false, 0, 0}, {"worker/", false, 0, 0}, {"worker/-1", false, 0, 0},
        {"worker/65536", false, 0, 0}, {"worker/1x", false, 0, 0}, {"", false, 0, 0},
        {"workers/1", false, 0, 0}, {"averyveryverylongname/1", false, 0, 0}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        enum mu_role role = MU_ROLE_CHIEF;
        int index = 0;
        assert_int_equal(mu_task_parse(rows[i].text, &role, &index), rows[i].good);
        assert_int_equal(role, rows[i].role);
        assert_int_equal(index, rows[i].index);
    }
}

static void counts_are_read(void **state)
{
    struct mu_test_log log;
    int counts[MU_ROLE_COUNT];
    assert_ok(mu_spec_parse_counts(
        mu_test_log_init(&log), "--local", "chief=1,worker=3,ps=2,evaluator=1", counts));
    assert_int_equal(counts[MU_ROLE_CHIEF], 1);
    assert_int_equal(counts[MU_ROLE_WORKER], 3);
    assert_int_equal(counts[MU_ROLE_PS], 2);
    assert_int_equal(counts[MU_ROLE_EVALUATOR], 1);
    assert_ok(mu_spec_parse_counts(&log.log, "--local", "4", counts));
    assert_int_equal(counts[MU_ROLE_CHIEF], 0);
    assert_int_equal(counts[MU_ROLE_WORKER], 4);
}

static void wrong_counts_name_the_flag(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {{"", "--local"}, {"workers=2", "did you mean `worker`?"},
        {"worker=x", "the number of worker must be from 0 to 4096"},
        {"worker=-1", "from 0 to 4096"}, {"chief=2", "the number of chief must be from 0 to 1"},
        {"evaluator=2,worker=1", "from 0 to 1"}, {"ps=2", "nobody would train"},
        {"worker=1,worker=2", "worker is given twice"}, {"worker=4096,ps=1", "4097 tasks"},
        {"1,2", "is not chief=N"}, {"0", "nobody would train"}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        int counts[MU_ROLE_COUNT] = {-1};
        assert_int_equal(
            mu_spec_parse_counts(mu_test_log_init(&log), "--local", rows[i].text, counts),
            MU_USAGE);
        assert_said(&log, rows[i].said);
        assert_said(&log, "error[E0001]: --local");
        assert_int_equal(counts[0], -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(values_of_the_wrong_shape_are_refused),
        cmocka_unit_test(clusters_that_cannot_train_are_refused),
        cmocka_unit_test(tasks_that_are_not_in_the_cluster_are_refused),
        cmocka_unit_test(addresses_that_cannot_be_used_are_refused),
        cmocka_unit_test(an_unknown_task_type_is_shown_with_a_caret),
        cmocka_unit_test(a_whole_cluster_is_numbered),
        cmocka_unit_test(without_a_chief_the_first_worker_leads),
        cmocka_unit_test(master_means_chief),
        cmocka_unit_test(an_evaluator_may_stand_outside),
        cmocka_unit_test(holes_between_indices_are_legal),
        cmocka_unit_test(vertex_ai_names_are_understood),
        cmocka_unit_test(known_foreign_keys_pass_in_silence_and_others_warn),
        cmocka_unit_test(loopback_beside_other_hosts_is_a_warning_that_names_both),
        cmocka_unit_test(a_text_without_a_task_has_no_self),
        cmocka_unit_test(task_names_are_read),
        cmocka_unit_test(counts_are_read),
        cmocka_unit_test(wrong_counts_name_the_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
