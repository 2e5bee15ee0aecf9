/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cluster/spec.h"
#include <unistd.h>

#define CLUSTER "{\"cluster\":{\"chief\":[\"c:1\"],\"worker\":[\"a:1\",\"b:1\"],\"ps\":[\"p:1\"]}"
#define IS(type, index) ",\"task\":{\"type\":\"" type "\",\"index\":" index "}}"

/* An environment of "NAME=value" strings, NULL-terminated. */
static const char *look_up(void *owner, const char *name)
{
    size_t length = strlen(name);
    for (const char *const *row = owner; *row; row++)
        if (strncmp(*row, name, length) == 0 && (*row)[length] == '=')
            return *row + length + 1;
    return NULL;
}

static enum mu_status load(struct mu_test_log *log, const char *const environment[],
    struct mu_spec_request *request, bool allow_local, struct mu_spec *spec)
{
    request->environment = look_up;
    request->owner = (void *)(uintptr_t)environment;
    memset(spec, 0, sizeof(*spec));
    return mu_spec_load(mu_test_log_init(log), request, allow_local, spec);
}

struct row {
    const char *environment[10];
    const char *task;    /* --task */
    const char *self;    /* the task that this is; NULL: refused */
    const char *said[2]; /* when refused */
    int counts[MU_ROLE_COUNT];
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mu_test_log log;
        struct mu_spec spec;
        struct mu_spec_request request = {.task = rows[i].task};
        memcpy(request.counts, rows[i].counts, sizeof(request.counts));
        enum mu_status status = load(&log, rows[i].environment, &request, true, &spec);
        if (!rows[i].self) {
            if (status != MU_CONFIG)
                fail_msg("row %zu is not refused as CONFIG: %d", i, (int)status);
            for (int j = 0; j < 2; j++)
                if (rows[i].said[j])
                    assert_said(&log, rows[i].said[j]);
            assert_null(spec.task);
            continue;
        }
        if (status != MU_OK)
            fail_msg("row %zu: %s", i, log.text);
        char name[MU_TASK_NAME_MAX];
        mu_task_name(&spec.task[spec.self], name, sizeof(name));
        assert_string_equal(name, rows[i].self);
        assert_false(spec.local);
        mu_spec_finish(&spec);
    }
}

static void nothing_given_is_local_where_that_is_allowed(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    struct mu_spec_request request = {0};
    const char *const none[] = {NULL};
    assert_ok(load(&log, none, &request, true, &spec));
    assert_true(spec.local);
    assert_int_equal(spec.task_count, 1);
    assert_int_equal(spec.replica_count, 1);
    assert_int_equal(spec.self, 0);
    mu_spec_finish(&spec);
    assert_int_equal(load(&log, none, &request, false, &spec), MU_CONFIG);
    assert_string_equal(log.text,
        "error[E0101]: no cluster spec: TF_CONFIG is not set and there is no --cluster\n"
        "  = help: `muster run --local 2 configs/demo.json` trains with two workers on this "
        "machine\n"
        "  = note: the same by hand, and on several hosts with their addresses:\n"
        "      export TF_CONFIG='{\"cluster\": {\"worker\": [\"127.0.0.1:2222\", "
        "\"127.0.0.1:2223\"]}}'\n"
        "      muster run configs/demo.json --task worker/0 &\n"
        "      muster run configs/demo.json --task worker/1\n");
}

static void an_empty_variable_is_an_error_that_shows_the_place(void **state)
{
    static const struct row rows[] = {
        {.environment = {"TF_CONFIG="}, .said = {"error[E0102]", "$TF_CONFIG:1:1"}},
        {.environment = {"TF_CONFIG=null"}, .said = {"error[E0105]", "$TF_CONFIG:1:1"}},
        {.environment = {"CLUSTER_SPEC="}, .said = {"error[E0102]", "$CLUSTER_SPEC:1:1"}},
        {.environment = {"MUSTER_CLUSTER="},
            .said = {"error[E0102]: $MUSTER_CLUSTER is empty\n  --> $MUSTER_CLUSTER:1:1\n",
                "`unset MUSTER_CLUSTER`, or set it to {\"cluster\""}},
        {.environment = {"MUSTER_CLUSTER= \n"}, .said = {"$MUSTER_CLUSTER is empty"}},
        {.environment = {"TF_CONFIG="}, .said = {"$TF_CONFIG is empty", "`unset TF_CONFIG`"}},
        {.environment = {"TF_CONFIG= \t"}, .said = {"$TF_CONFIG is empty", "`unset TF_CONFIG`"}},
        {.environment = {"MUSTER_TASK="}, .said = {"$MUSTER_TASK: `` is no task", "worker/0"}},
        {.environment = {"SM_HOSTS="}, .said = {"error[E0105]: SageMaker: $SM_HOSTS is empty"}},
        {.environment = {"MUSTER_CLUSTER={"}, .said = {"error[E0102]", "$MUSTER_CLUSTER:1:"}},
    };
    check(rows, MU_COUNT_OF(rows));
}

static void a_variable_that_names_no_file_is_named(void **state)
{
    static const struct {
        const char *variable, *said;
    } rows[] = {{"MUSTER_CLUSTER=/missing/cluster.json",
                    "error[E0002]: $MUSTER_CLUSTER: cannot read /missing/cluster.json: No such"},
        {"MUSTER_CLUSTER=/", "error[E0002]: $MUSTER_CLUSTER: cannot read /: Is a directory"}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_spec spec;
        struct mu_spec_request request = {0};
        const char *const environment[] = {rows[i].variable, NULL};
        assert_int_equal(load(&log, environment, &request, true, &spec), MU_NO_INPUT);
        assert_said(&log, rows[i].said);
        assert_said(&log, "help: `unset MUSTER_CLUSTER`, or set it to a file");
    }
}

static void the_first_source_in_order_is_taken(void **state)
{
    static const struct row rows[] = {
        {.environment = {"TF_CONFIG=" CLUSTER IS("ps", "0")}, .self = "ps/0"},
        {.environment = {"TF_CONFIG=" CLUSTER "}"}, .task = "worker/1", .self = "worker/1"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "MUSTER_TASK=worker:0"}, .self = "worker/0"},
        {.environment = {"MUSTER_CLUSTER= " CLUSTER IS("chief", "0"),
             "TF_CONFIG={\"cluster\":{\"worker\":[\"z:1\"]}}"},
            .self = "chief/0"},
        {.environment = {"CLUSTER_SPEC={\"cluster\":{\"workerpool0\":[\"c:1\"],"
                         "\"workerpool1\":[\"a:1\"]},\"task\":{\"type\":\"workerpool1\","
                         "\"index\":0,\"trial\":\"1\"},\"job\":\"{}\"}"},
            .self = "worker/0"},
        /* A later text in another dialect has no say. */
        {.environment = {"TF_CONFIG=" CLUSTER IS("ps", "0"), "CLUSTER_SPEC={{"}, .self = "ps/0"},
        {.environment = {"TF_CONFIG=" CLUSTER IS("evaluator", "0")}, .self = "evaluator/0"},
    };
    check(rows, MU_COUNT_OF(rows));
}

static void a_rank_is_a_position_in_the_cluster(void **state)
{
    static const struct row rows[] = {
        {.environment = {"TF_CONFIG=" CLUSTER "}", "OMPI_COMM_WORLD_RANK=0",
             "OMPI_COMM_WORLD_SIZE=4"},
            .self = "chief/0"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "OMPI_COMM_WORLD_RANK=3",
             "OMPI_COMM_WORLD_SIZE=4"},
            .self = "ps/0"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "RANK=2", "WORLD_SIZE=4"}, .self = "worker/1"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "PMIX_RANK=1", "PMIX_NAMESPACE=x"},
            .self = "worker/0"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "SLURM_PROCID=1", "SLURM_NTASKS=4",
             "SLURM_STEP_NODELIST=n1"},
            .self = "worker/0"},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "RANK=1", "WORLD_SIZE=3"},
            .said = {"torchrun ($RANK) is rank 1 of 3, but $TF_CONFIG lists 4 tasks",
                "--task worker/0"}},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "PMIX_RANK=9"},
            .said = {"PMIx ($PMIX_RANK) is rank 9", "lists 4 tasks"}},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "RANK=4", "WORLD_SIZE=4"},
            .said = {"torchrun: $RANK is 4, but $WORLD_SIZE is 4"}},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "RANK=x", "WORLD_SIZE=4"},
            .said = {"torchrun: $RANK is `x`, which is not a number"}},
        {.environment = {"TF_CONFIG=" CLUSTER "}"},
            .said = {"error[E0107]: the spec does not say which task this is", "--task worker/0"}},
        {.environment = {"TF_CONFIG=" CLUSTER ",\"taks\":{}}"},
            .said = {"error[E0105]: unknown key `taks`", "did you mean `task`?"}},
        {.environment = {"TF_CONFIG=" CLUSTER ",\"taks\":{}}", "RANK=2", "WORLD_SIZE=4"},
            .said = {"error[E0105]: unknown key `taks`", "did you mean `task`?"}},
        {.environment = {"MUSTER_CLUSTER=" CLUSTER ",\"taks\":{}}"},
            .task = "worker/1",
            .said = {"error[E0105]: unknown key `taks`", "did you mean `task`?"}},
    };
    check(rows, MU_COUNT_OF(rows));
}

static void roles_that_are_not_those_of_the_cluster_are_refused(void **state)
{
    static const struct row rows[] = {
        {.environment = {"TF_CONFIG=" CLUSTER "}", "OMPI_COMM_WORLD_RANK=2",
             "OMPI_COMM_WORLD_SIZE=4"},
            .counts = {0, 3, 1, 0},
            .said = {"error[E0110]: --roles says worker=3,ps=1, but $TF_CONFIG lists "
                     "chief=1,worker=2,ps=1",
                "leave --roles out"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("ps", "0")},
            .counts = {1, 2, 9, 0},
            .said = {"--roles says chief=1,worker=2,ps=9, but $TF_CONFIG lists"}},
        {.environment = {"SM_HOSTS=[\"a\",\"b\"]", "SM_CURRENT_HOST=a"},
            .counts = {1, 1, 0, 0},
            .said = {"--roles says chief=1,worker=1, but SageMaker lists worker=2"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("ps", "0")},
            .counts = {1, 2, 1, 0},
            .self = "ps/0"},
        /* The evaluator may stand outside the cluster. */
        {.environment = {"TF_CONFIG=" CLUSTER IS("evaluator", "0")},
            .counts = {1, 2, 1, 1},
            .self = "evaluator/0"},
    };
    check(rows, MU_COUNT_OF(rows));
}

/* What the ranks of mpirun become; NULL: refused. */
static void exchanged(const struct row *row)
{
    static const struct mu_address addresses[] = {{"h", 1}, {"h", 2}, {"h", 3}};
    const int counts[MU_ROLE_COUNT] = {1, 1, 1, 0};
    struct mu_test_log log;
    struct mu_spec spec = {0};
    struct mu_spec_request request = {
        .task = row->task, .environment = look_up, .owner = (void *)(uintptr_t)row->environment};
    enum mu_status status =
        mu_spec_from_exchange(mu_test_log_init(&log), &request, counts, addresses, &spec);
    assert_int_equal(status, row->self ? MU_OK : MU_CONFIG);
    if (row->self) {
        char name[MU_TASK_NAME_MAX];
        mu_task_name(&spec.task[spec.self], name, sizeof(name));
        assert_string_equal(name, row->self);
        assert_string_equal(spec.origin, "mpirun");
    } else {
        assert_said(&log, row->said[0]);
    }
    mu_spec_finish(&spec);
}

static void a_rank_without_a_spec_is_who_the_other_sources_say_or_refuses(void **state)
{
#define RANK_1 "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=3"
    static const struct row rows[] = {
        {.environment = {RANK_1}, .self = "worker/0"},
        {.environment = {RANK_1}, .task = "worker/0", .self = "worker/0"},
        {.environment = {RANK_1, "MUSTER_TASK=worker/0"}, .self = "worker/0"},
        {.environment = {RANK_1},
            .task = "ps/0",
            .said = {"error[E0110]: --task says that this task is ps/0, but Open MPI "
                     "($OMPI_COMM_WORLD_RANK) says rank 1, which is worker/0"}},
        {.environment = {RANK_1, "MUSTER_TASK=worker/5"},
            .said = {"error[E0110]: $MUSTER_TASK says that this task is worker/5, but Open MPI"}},
        {.environment = {RANK_1, "RANK=2", "WORLD_SIZE=3"},
            .said = {"error[E0110]: torchrun ($RANK) says that this task is rank 2"}},
        {.environment = {RANK_1}, .task = "wroker/0", .said = {"`wroker/0` is no task"}},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++)
        exchanged(&rows[i]);
}

static void one_of_several_processes_is_known_by_its_launcher(void **state)
{
    static const struct {
        const char *environment[4], *launcher;
    } rows[] = {
        {{"RANK=1", "WORLD_SIZE=4"}, "torchrun"},
        {{"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2"}, "Open MPI"},
        {{"PMIX_RANK=1"}, "PMIx"},
        {{"RANK=0", "WORLD_SIZE=1"}, NULL},
        {{"SLURM_PROCID=0", "SLURM_NTASKS=4"}, NULL}, /* the batch script itself */
        {{"RANK=1"}, NULL},
        {{NULL}, NULL},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_launcher launcher;
        const struct mu_spec_request request = {
            .environment = look_up, .owner = (void *)(uintptr_t)rows[i].environment};
        assert_int_equal(mu_spec_launched(&request, &launcher), rows[i].launcher != NULL);
        if (rows[i].launcher)
            assert_string_equal(launcher.name, rows[i].launcher);
    }
}

static void two_sources_that_disagree_are_both_named(void **state)
{
    static const struct row rows[] = {
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0")},
            .task = "worker/1",
            .said = {"error[E0110]: --task says that this task is worker/1, but $TF_CONFIG says "
                     "worker/0",
                "remove one of the two"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "MUSTER_TASK=ps/0"},
            .said = {"$MUSTER_TASK says that this task is ps/0, but $TF_CONFIG says worker/0"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"),
             "CLUSTER_SPEC=" CLUSTER IS("worker", "1")},
            .said = {"$TF_CONFIG says that this task is worker/0, but $CLUSTER_SPEC says "
                     "worker/1"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "RANK=2", "WORLD_SIZE=4"},
            .said = {"$TF_CONFIG says that this task is worker/0, but torchrun ($RANK) says rank "
                     "2, which is worker/1"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "RANK=6", "WORLD_SIZE=8"},
            .said = {"rank 6 of more tasks than the 4 of $TF_CONFIG"}},
        {.environment = {"TF_CONFIG=" CLUSTER "}", "RANK=2", "WORLD_SIZE=4",
             "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=4"},
            .said = {"torchrun ($RANK)", "Open MPI ($OMPI_COMM_WORLD_RANK)"}},
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "RANK=1", "WORLD_SIZE=4"},
            .self = "worker/0"},
        /* A world of one says nothing about the cluster. */
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "RANK=0", "WORLD_SIZE=1"},
            .self = "worker/0"},
        /* In a batch script the numbers are those of the script. */
        {.environment = {"TF_CONFIG=" CLUSTER IS("worker", "0"), "SLURM_PROCID=0",
             "SLURM_NTASKS=4"},
            .self = "worker/0"},
        /* Under mpirun Slurm's tasks are the daemons. */
        {.environment = {"TF_CONFIG=" CLUSTER "}", "SLURM_PROCID=1", "SLURM_NTASKS=2",
             "SLURM_STEP_NODELIST=n[1-2]", "OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4"},
            .self = "ps/0"},
        {.environment = {"TF_CONFIG=" CLUSTER IS("evaluator", "0"), "RANK=4", "WORLD_SIZE=5"},
            .self = "evaluator/0"},
    };
    check(rows, MU_COUNT_OF(rows));
}

static void a_task_alone_in_a_larger_world_refuses(void **state)
{
#define ONE                                                                                        \
    "TF_CONFIG={\"cluster\":{\"worker\":[\"a:1\"]},\"task\":{\"type\":\"worker\",\"index\":0}}"
    static const struct row rows[] = {
        {.environment = {"RANK=0", "WORLD_SIZE=4", "MASTER_ADDR=h", "MASTER_PORT=1"},
            .said = {"error[E0101]: no cluster spec: torchrun ($RANK) started 4 tasks",
                "add --cluster FILE or TF_CONFIG"}},
        {.environment = {"WORLD_SIZE=4"}, .said = {"torchrun ($RANK) started 4 tasks"}},
        {.environment = {"SLURM_NTASKS=2", "SLURM_PROCID=0"},
            .said = {"Slurm ($SLURM_PROCID) started 2 tasks", "srun muster run"}},
        {.environment = {"OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1"},
            .said = {"Open MPI ($OMPI_COMM_WORLD_RANK) started 2 tasks"}},
        {.environment = {"PMIX_RANK=1"}, .said = {"PMIx ($PMIX_RANK) started others"}},
        {.environment = {ONE, "RANK=0", "WORLD_SIZE=2"},
            .said =
                {"error[E0110]: torchrun started 2 tasks, but $TF_CONFIG lists this task alone"}},
        {.environment = {ONE}, .self = "worker/0"},
        {.environment = {ONE, "RANK=0", "WORLD_SIZE=1"}, .self = "worker/0"},
        {.environment = {"MUSTER_TASK=worker/0"},
            .said = {"$MUSTER_TASK names a task, but no cluster was given"}},
        {.task = "wroker/1",
            .environment = {ONE},
            .said = {"--task: `wroker/1` is no task", "worker/0"}},
        {.task = "worker/1", .environment = {"TF_CONFIG=" CLUSTER "}"}, .self = "worker/1"},
        {.task = "worker/2",
            .environment = {"TF_CONFIG=" CLUSTER "}"},
            .said = {"--task: index 2 is out of range: the cluster has chief/0, worker/0..1 and "
                     "ps/0"}},
    };
    check(rows, MU_COUNT_OF(rows));
    struct mu_test_log log;
    struct mu_spec spec;
    struct mu_spec_request request = {0};
    const char *const alone[] = {"RANK=0", "WORLD_SIZE=1", NULL};
    assert_ok(load(&log, alone, &request, true, &spec));
    assert_true(spec.local);
    mu_spec_finish(&spec);
}

static void sagemaker_hosts_are_workers_in_sorted_order(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    struct mu_spec_request request = {0};
    const char *const hosts[] = {
        "SM_HOSTS=[\"algo-2\",\"algo-1\",\"algo-3\"]", "SM_CURRENT_HOST=algo-2", NULL};
    assert_ok(load(&log, hosts, &request, false, &spec));
    assert_int_equal(spec.replica_count, 3);
    assert_int_equal(spec.self, 1);
    assert_string_equal(spec.task[0].address.host, "algo-1");
    assert_int_equal(spec.task[0].address.port, 29400);
    mu_spec_finish(&spec);
    static const struct row rows[] = {
        {.environment = {"SM_HOSTS=[\"a\",\"b\"]", "SM_CURRENT_HOST=c"},
            .said = {"$SM_CURRENT_HOST is not among $SM_HOSTS"}},
        {.environment = {"SM_HOSTS=[\"a\",\"b\"]"}, .said = {"$SM_CURRENT_HOST is not set"}},
        {.environment = {"SM_HOSTS=[1]", "SM_CURRENT_HOST=c"},
            .said = {"not a list of host names"}},
        {.environment = {"SM_HOSTS=[", "SM_CURRENT_HOST=c"}, .said = {"$SM_HOSTS:1:"}},
        {.environment = {"SM_HOSTS=[\"a b\",\"b\"]", "SM_CURRENT_HOST=b"},
            .said = {"error[E0108]: SageMaker: the address `a b:29400`"}},
    };
    check(rows, MU_COUNT_OF(rows));
}

static void slurm_steps_become_clusters(void **state)
{
    struct mu_test_log log;
    struct mu_spec spec;
    struct mu_spec_request request = {.counts = {1, 2, 1, 0}};
    const char *const step[] = {"SLURM_PROCID=2", "SLURM_NTASKS=4", "SLURM_STEP_NODELIST=n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE=2(x2)", "SLURM_NODEID=1", "SLURM_LOCALID=0", "MUSTER_PORT=5000",
        NULL};
    assert_ok(load(&log, step, &request, false, &spec));
    static const char *const addresses[] = {"n1:5000", "n1:5001", "n2:5000", "n2:5001"};
    assert_int_equal(spec.task_count, 4);
    for (int i = 0; i < 4; i++) {
        char address[MU_HOST_MAX + 16];
        mu_address_format(&spec.task[i].address, address, sizeof(address));
        assert_string_equal(address, addresses[i]);
    }
    assert_int_equal(spec.self, 2);
    assert_int_equal(spec.task[2].role, MU_ROLE_WORKER);
    assert_int_equal(spec.task[3].role, MU_ROLE_PS);
    assert_string_equal(spec.origin, "Slurm");
    mu_spec_finish(&spec);
}

#define STEP "SLURM_NTASKS=5", "SLURM_STEP_NODELIST=n[1-2]", "SLURM_STEP_TASKS_PER_NODE=3,2"

static void slurm_places_must_agree(void **state)
{
    static const struct row rows[] = {
        {.environment = {STEP, "SLURM_PROCID=4", "SLURM_NODEID=1", "SLURM_LOCALID=1"},
            .self = "worker/4"},
        {.environment = {STEP, "SLURM_PROCID=1", "SLURM_NODEID=1", "SLURM_LOCALID=0",
             "SLURM_DISTRIBUTION=cyclic"},
            .self = "worker/1"},
        {.environment = {STEP, "SLURM_PROCID=4", "SLURM_NODEID=0", "SLURM_LOCALID=2",
             "SLURM_DISTRIBUTION=cyclic"},
            .self = "worker/4"},
        {.environment = {STEP, "SLURM_PROCID=1", "SLURM_NODEID=1", "SLURM_LOCALID=0"},
            .said = {"say place 0 on node 1, but the list of nodes says place 1 on node 0",
                "srun --distribution=block"}},
        {.environment = {"SLURM_NTASKS=5", "SLURM_PROCID=1", "SLURM_STEP_NODELIST=n[1-3]",
             "SLURM_STEP_TASKS_PER_NODE=3,2"},
            .said = {"do not fit together"}},
        {.environment = {"SLURM_NTASKS=6", "SLURM_PROCID=1", "SLURM_STEP_NODELIST=n[1-2]",
             "SLURM_STEP_TASKS_PER_NODE=3,2"},
            .said = {"does not add up"}},
        {.environment = {"SLURM_NTASKS=5", "SLURM_PROCID=1", "SLURM_STEP_NODELIST=n[1-2"},
            .said = {"$SLURM_STEP_NODELIST `n[1-2` cannot be read: a bracket"}},
        {.environment = {"SLURM_NTASKS=5", "SLURM_PROCID=1", "SLURM_STEP_NODELIST=n1"},
            .said = {"$SLURM_STEP_TASKS_PER_NODE is not set"}},
        {.environment = {STEP, "SLURM_PROCID=1"},
            .counts = {1, 1, 1, 0},
            .said = {"Slurm started 5 tasks, but --roles asks for 3"}},
        {.environment = {STEP, "SLURM_PROCID=1", "MUSTER_PORT=65534"},
            .said = {"has a port that is not between 1 and 65535"}},
        {.environment = {STEP, "SLURM_PROCID=1", "MUSTER_PORT=0"},
            .said = {"$MUSTER_PORT is 0: it must be from 1 to 65535"}},
    };
    check(rows, MU_COUNT_OF(rows));
}

/* `path`: a pattern, then the name. */
static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_file_is_read_and_wins(void **state)
{
    char path[] = "/tmp/muster-spec-XXXXXX", whose[] = "/tmp/muster-spec-XXXXXX";
    write_file(path, CLUSTER "}");
    write_file(whose, CLUSTER IS("worker", "1"));
    struct mu_test_log log;
    struct mu_spec spec;
    struct mu_spec_request request = {.cluster_path = path, .task = "ps/0"};
    const char *const other[] = {"TF_CONFIG={\"cluster\":{\"worker\":[\"z:1\"]}}", NULL};
    assert_ok(load(&log, other, &request, false, &spec));
    assert_int_equal(spec.task_count, 4);
    assert_string_equal(spec.origin, path);
    mu_spec_finish(&spec);
    /* Another file only says who this task is. */
    char names_it[sizeof(path) + 16];
    snprintf(names_it, sizeof(names_it), "MUSTER_CLUSTER=%s", whose);
    const char *const both[] = {names_it, NULL};
    assert_int_equal(load(&log, both, &request, false, &spec), MU_CONFIG);
    assert_said(&log, "--task says that this task is ps/0, but $MUSTER_CLUSTER says worker/1");
    request.task = NULL;
    assert_ok(load(&log, both, &request, false, &spec));
    assert_int_equal(spec.task[spec.self].index, 1);
    assert_int_equal(spec.task_count, 4);
    mu_spec_finish(&spec);
    unlink(whose);
    request = (struct mu_spec_request){.cluster_path = path, .task_optional = true};
    const char *const none[] = {NULL};
    assert_ok(load(&log, none, &request, false, &spec));
    assert_int_equal(spec.self, -1);
    mu_spec_finish(&spec);
    unlink(path);
    assert_int_equal(load(&log, none, &request, false, &spec), MU_NO_INPUT);
    assert_said(&log, path);
}

static void ranks_of_mpi_without_a_cluster_exchange_addresses(void **state)
{
    struct mu_spec_request request = {.environment = look_up};
    struct mu_launcher launcher = {0};
#define MPI "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=3"
    static const struct {
        const char *environment[4];
        bool needed;
    } rows[] = {{{MPI}, true}, {{MPI, "TF_CONFIG={}"}, false},
        {{"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=1"}, false}, {{"RANK=1"}, false},
        {{MPI, "MUSTER_CLUSTER=x"}, false}, {{"PMIX_RANK=0"}, true},
        {{"PMIX_RANK=0", "RANK=0", "WORLD_SIZE=2"}, false},
        {{"PMIX_RANK=0", "SLURM_PROCID=0", "SLURM_NTASKS=2"}, false}, {{MPI, "PMIX_RANK=1"}, true}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        request.owner = (void *)(uintptr_t)rows[i].environment;
        assert_int_equal(mu_spec_needs_exchange(&request, &launcher), rows[i].needed);
    }
    assert_int_equal(launcher.rank, 1);
    assert_int_equal(launcher.size, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_is_local_where_that_is_allowed),
        cmocka_unit_test(an_empty_variable_is_an_error_that_shows_the_place),
        cmocka_unit_test(a_variable_that_names_no_file_is_named),
        cmocka_unit_test(the_first_source_in_order_is_taken),
        cmocka_unit_test(a_rank_is_a_position_in_the_cluster),
        cmocka_unit_test(roles_that_are_not_those_of_the_cluster_are_refused),
        cmocka_unit_test(a_rank_without_a_spec_is_who_the_other_sources_say_or_refuses),
        cmocka_unit_test(one_of_several_processes_is_known_by_its_launcher),
        cmocka_unit_test(two_sources_that_disagree_are_both_named),
        cmocka_unit_test(a_task_alone_in_a_larger_world_refuses),
        cmocka_unit_test(sagemaker_hosts_are_workers_in_sorted_order),
        cmocka_unit_test(slurm_steps_become_clusters),
        cmocka_unit_test(slurm_places_must_agree),
        cmocka_unit_test(a_file_is_read_and_wins),
        cmocka_unit_test(ranks_of_mpi_without_a_cluster_exchange_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
