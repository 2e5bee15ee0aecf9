/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include "runtime/base/log_quiet.h"
#include <stdlib.h>
#include <string.h>

/*
 * Two questions, answered in the same order of precedence: who is in the cluster (the first source
 * that lists one is taken), and which task this is (every source that says so must say the same).
 * Launchers that only count their processes give a rank: the position of the task in the cluster,
 * chief first, then workers, ps, evaluator.
 */
struct claim {
    char source[64]; /* "$TF_CONFIG" */
    bool by_rank;
    enum mu_role role;
    int index, rank;
};

#define CLAIMS_MAX 12

struct search {
    struct mu_log *log;
    const struct mu_spec_request *request;
    struct mu_spec_draft draft; /* the cluster; empty origin: none was found */
    struct claim claim[CLAIMS_MAX];
    int claim_count;
    struct mu_launcher launcher[MU_LAUNCHERS_MAX];
    int launcher_count;
};

static const char *get(const struct search *search, const char *name)
{
    return mu_sources_get(search->request, name);
}

static bool has_cluster(const struct search *search)
{
    return search->draft.origin[0] != '\0';
}

static void add_claim(struct search *search, const char *source, enum mu_role role, int index)
{
    assert(search->claim_count < CLAIMS_MAX);
    struct claim *claim = &search->claim[search->claim_count++];
    *claim = (struct claim){.role = role, .index = index};
    mu_text_copy(claim->source, sizeof(claim->source), source);
}

static void add_rank(struct search *search, const struct mu_launcher *launcher)
{
    assert(search->claim_count < CLAIMS_MAX);
    struct claim *claim = &search->claim[search->claim_count++];
    *claim = (struct claim){.by_rank = true, .rank = launcher->rank};
    mu_format(
        claim->source, sizeof(claim->source), "%s ($%s)", launcher->name, launcher->rank_variable);
}

static enum mu_status claim_named_task(struct search *search, const char *source, const char *text)
{
    enum mu_role role = MU_ROLE_CHIEF;
    int index = 0;
    char name[24], help[80];
    if (!text)
        return MU_OK;
    if (mu_task_parse(text, &role, &index)) {
        add_claim(search, source, role, index);
        return MU_OK;
    }
    mu_text_copy(name, sizeof(name), text);
    name[strcspn(name, "/:")] = '\0';
    const char *nearest = mu_spec_role_nearest(name);
    mu_format(help, sizeof(help), "write it as %s/0", nearest ? nearest : "worker");
    return mu_fail(search->log, MU_E0107, help, "%s: `%.40s` is no task", source, text);
}

/* The cluster is taken from the first source; a text further down only says who this task is. It
 * may be in another system's dialect: one that cannot be read has no say. */
static void hear(
    struct search *search, const char *source, enum mu_status read, struct mu_spec_draft *draft)
{
    if (read != MU_OK)
        return;
    if (draft->has_task)
        add_claim(search, source, draft->role, draft->index);
    mu_spec_draft_finish(draft);
}

static enum mu_status take_text(struct search *search, const char *source, const char *text)
{
    if (!text)
        return MU_OK;
    if (!has_cluster(search)) {
        MU_TRY(mu_spec_draft_parse(search->log, source, text, strlen(text), &search->draft));
        if (search->draft.has_task)
            add_claim(search, source, search->draft.role, search->draft.index);
        return MU_OK;
    }
    struct mu_log silent = mu_log_quiet();
    struct mu_spec_draft draft = {0};
    hear(search, source, mu_spec_draft_parse(&silent, source, text, strlen(text), &draft), &draft);
    return MU_OK;
}

/* `variable` that has the path; NULL: it was typed. */
static enum mu_status take_file(struct search *search, const char *variable, const char *path)
{
    if (!path)
        return MU_OK;
    if (!has_cluster(search)) {
        MU_TRY(mu_spec_draft_file(search->log, variable, path, &search->draft));
        if (search->draft.has_task)
            add_claim(search, search->draft.origin, search->draft.role, search->draft.index);
        return MU_OK;
    }
    struct mu_log silent = mu_log_quiet();
    struct mu_spec_draft draft = {0};
    hear(search, "$MUSTER_CLUSTER", mu_spec_draft_file(&silent, variable, path, &draft), &draft);
    return MU_OK;
}

static enum mu_status take_texts(struct search *search)
{
    const char *own = get(search, "MUSTER_CLUSTER");
    MU_TRY(claim_named_task(search, "--task", search->request->task));
    MU_TRY(take_file(search, NULL, search->request->cluster_path));
    MU_TRY(claim_named_task(search, "$MUSTER_TASK", get(search, "MUSTER_TASK")));
    if (own && strchr("{", own[strspn(own, " \t\n")])) /* the JSON itself, or nothing at all */
        MU_TRY(take_text(search, "$MUSTER_CLUSTER", own));
    else if (own)
        MU_TRY(take_file(search, "MUSTER_CLUSTER", own));
    MU_TRY(take_text(search, "$TF_CONFIG", get(search, "TF_CONFIG")));
    MU_TRY(take_text(search, "$CLUSTER_SPEC", get(search, "CLUSTER_SPEC")));
    return MU_OK;
}

static enum mu_status take_launchers(struct search *search)
{
    MU_TRY(mu_sources_launchers(
        search->log, search->request, search->launcher, &search->launcher_count));
    if (!has_cluster(search)) {
        MU_TRY(mu_sources_sagemaker(search->log, search->request, &search->draft));
        if (search->draft.has_task)
            add_claim(search, "SageMaker", search->draft.role, search->draft.index);
    }
    for (int i = 0; i < search->launcher_count; i++) {
        const struct mu_launcher *launcher = &search->launcher[i];
        if (!has_cluster(search) && strcmp(launcher->name, "Slurm") == 0)
            MU_TRY(mu_sources_slurm(search->log, search->request, launcher, &search->draft));
        if (launcher->rank >= 0 && launcher->size != 1) /* a world of one says nothing of others */
            add_rank(search, launcher);
    }
    return MU_OK;
}

static void name_claim(
    const struct search *search, const struct claim *claim, char *out, size_t bytes)
{
    struct mu_task task = {.role = claim->role, .index = claim->index};
    if (claim->by_rank && claim->rank < search->draft.count)
        task = search->draft.entry[claim->rank].task;
    char name[MU_TASK_NAME_MAX];
    mu_task_name(&task, name, sizeof(name));
    if (!claim->by_rank)
        mu_format(out, bytes, "%s", name);
    else if (claim->rank < search->draft.count)
        mu_format(out, bytes, "rank %d, which is %s", claim->rank, name);
    else
        mu_format(out, bytes, "rank %d of more tasks than the %d of %s", claim->rank,
            search->draft.count, search->draft.origin);
}

/* -1: a task outside the list (an evaluator). */
static int position_of(const struct search *search, const struct claim *claim)
{
    return claim->by_rank ? claim->rank
                          : mu_spec_draft_find(&search->draft, claim->role, claim->index);
}

static bool claims_agree(const struct search *search, const struct claim *a, const struct claim *b)
{
    if (!a->by_rank && !b->by_rank)
        return a->role == b->role && a->index == b->index;
    int left = position_of(search, a), right = position_of(search, b);
    /* An evaluator outside the cluster has the place after all others. */
    left = left < 0 ? search->draft.count : left;
    right = right < 0 ? search->draft.count : right;
    return left == right;
}

static enum mu_status compare_claims(const struct search *search)
{
    for (int i = 1; i < search->claim_count; i++) {
        const struct claim *first = &search->claim[0], *other = &search->claim[i];
        char left[160], right[160];
        if (claims_agree(search, first, other))
            continue;
        name_claim(search, first, left, sizeof(left));
        name_claim(search, other, right, sizeof(right));
        return mu_fail(search->log, MU_E0110, "remove one of the two, or make them agree",
            "%s says that this task is %s, but %s says %s", first->source, left, other->source,
            right);
    }
    return MU_OK;
}

static const struct mu_launcher *launcher_of(const struct search *search, bool larger_than_one)
{
    for (int i = 0; i < search->launcher_count; i++)
        if (!larger_than_one || search->launcher[i].size > 1 || search->launcher[i].rank > 0)
            return &search->launcher[i];
    return NULL;
}

/* A task that believes to be alone while it is one of many would train, in silence, a model of its
 * own. */
static enum mu_status refuse_to_be_alone(const struct search *search)
{
    const struct mu_launcher *launcher = launcher_of(search, true);
    char world[32] = "others";
    if (!launcher)
        return MU_OK;
    if (launcher->size > 0)
        mu_format(world, sizeof(world), "%d tasks", launcher->size);
    if (has_cluster(search))
        return mu_fail(search->log, MU_E0110, "list all tasks in the cluster",
            "%s started %s, but %s lists this task alone", launcher->name, world,
            search->draft.origin);
    return mu_fail(search->log, MU_E0101,
        strcmp(launcher->name, "Slurm") == 0
            ? "start every task with `srun muster run ...`, or give --cluster FILE or TF_CONFIG"
            : "add --cluster FILE or TF_CONFIG: the rank then gives the task; "
              "$MASTER_ADDR and the like name only one host",
        "no cluster spec: %s ($%s) started %s, and this one would train alone", launcher->name,
        launcher->rank_variable, world);
}

static enum mu_status fail_without_cluster(const struct search *search)
{
    if (search->claim_count > 0 && !search->claim[0].by_rank)
        return mu_fail(search->log, MU_E0101, "add --cluster FILE, or set TF_CONFIG",
            "%s names a task, but no cluster was given", search->claim[0].source);
    return mu_fail(search->log, MU_E0101,
        "`muster run --local 2 configs/demo.json` trains with two workers on this machine\n"
        "  = note: the same by hand, and on several hosts with their addresses:\n"
        "      export TF_CONFIG='{\"cluster\": {\"worker\": [\"127.0.0.1:2222\", "
        "\"127.0.0.1:2223\"]}}'\n"
        "      muster run configs/demo.json --task worker/0 &\n"
        "      muster run configs/demo.json --task worker/1",
        "no cluster spec: TF_CONFIG is not set and there is no --cluster");
}

static enum mu_status make_local(struct search *search, struct mu_spec *ret_spec)
{
    struct mu_spec spec = {.local = true, .task_count = 1, .replica_count = 1};
    spec.task = calloc(1, sizeof(*spec.task));
    if (!spec.task)
        return mu_fail(search->log, MU_E0801, NULL, "no memory for a spec of one task");
    spec.task[0] = (struct mu_task){.role = MU_ROLE_WORKER};
    mu_text_copy(spec.origin, sizeof(spec.origin), "nothing: local");
    *ret_spec = spec;
    return MU_OK;
}

static enum mu_status fail_without_task(const struct search *search)
{
    char tasks[200];
    mu_spec_describe_tasks(&search->draft, tasks, sizeof(tasks));
    return mu_spec_fail(search->log, MU_E0107, &search->draft, "", "expected a key `task` in here",
        "add \"task\": {\"type\": \"worker\", \"index\": 0}, or --task worker/0",
        "the spec does not say which task this is: the cluster has %s", tasks);
}

/* A rank is a position only if the launcher's world is the whole cluster. */
static enum mu_status check_rank(const struct search *search, const struct claim *claim)
{
    const struct mu_launcher *launcher = launcher_of(search, true);
    int size = launcher ? launcher->size : 0;
    if ((size == 0 || size == search->draft.count) && claim->rank < search->draft.count)
        return MU_OK;
    char tasks[200];
    mu_spec_describe_tasks(&search->draft, tasks, sizeof(tasks));
    return mu_fail(search->log, MU_E0110,
        "start as many tasks as the cluster lists, or name this one: --task worker/0",
        "%s is rank %d of %d, but %s lists %d tasks: %s", claim->source, claim->rank, size,
        search->draft.origin, search->draft.count, tasks);
}

static void add_count(struct mu_text *out, int role, int count)
{
    if (count > 0)
        mu_text_add(out, "%s%s=%d", out->bytes ? "," : "", mu_role_name((enum mu_role)role), count);
}

/* What --roles says the ranks become, the cluster says too: whoever gave both believes that they
 * are the same. An evaluator may stand outside the cluster. */
static enum mu_status check_roles(const struct search *search)
{
    const int *wanted = search->request->counts;
    int listed[MU_ROLE_COUNT] = {0}, named = 0, different = 0;
    for (int i = 0; i < search->draft.count; i++)
        listed[search->draft.entry[i].task.role]++;
    for (int role = 0; role < MU_ROLE_COUNT; role++) {
        bool outside = role == MU_ROLE_EVALUATOR && listed[role] == 0 && wanted[role] == 1;
        named += wanted[role];
        different += wanted[role] != listed[role] && !outside;
    }
    if (named == 0 || different == 0)
        return MU_OK;
    struct mu_text ours, theirs;
    mu_text_init(&ours);
    mu_text_init(&theirs);
    for (int role = 0; role < MU_ROLE_COUNT; role++) {
        add_count(&ours, role, wanted[role]);
        add_count(&theirs, role, listed[role]);
    }
    enum mu_status status =
        mu_fail(search->log, MU_E0110, "leave --roles out: the cluster says what each task is",
            "--roles says %s, but %s lists %s", ours.data, search->draft.origin, theirs.data);
    mu_text_finish(&ours);
    mu_text_finish(&theirs);
    return status;
}

static enum mu_status decide(struct search *search, bool allow_local, struct mu_spec *ret_spec)
{
    enum mu_role role = MU_ROLE_CHIEF;
    int index = 0;
    if (!has_cluster(search)) {
        MU_TRY(refuse_to_be_alone(search));
        if (!allow_local || search->claim_count > 0)
            return fail_without_cluster(search);
        return make_local(search, ret_spec);
    }
    if (search->draft.count == 1)
        MU_TRY(refuse_to_be_alone(search));
    MU_TRY(check_roles(search));
    MU_TRY(compare_claims(search));
    if (search->claim_count == 0) {
        if (!search->request->task_optional)
            return fail_without_task(search);
        return mu_spec_assemble(search->log, &search->draft, false, role, index, ret_spec);
    }
    const struct claim *claim = &search->claim[0];
    role = claim->role;
    index = claim->index;
    if (claim->by_rank) {
        MU_TRY(check_rank(search, claim));
        role = search->draft.entry[claim->rank].task.role;
        index = search->draft.entry[claim->rank].task.index;
    }
    MU_TRY(mu_spec_check_task(search->log, &search->draft, role, index, claim->source));
    return mu_spec_assemble(search->log, &search->draft, true, role, index, ret_spec);
}

enum mu_status mu_spec_load(struct mu_log *log, const struct mu_spec_request *request,
    bool allow_local, struct mu_spec *ret_spec)
{
    struct search search = {.log = log, .request = request};
    enum mu_status status = take_texts(&search);
    if (status == MU_OK)
        status = take_launchers(&search);
    if (status == MU_OK)
        status = decide(&search, allow_local, ret_spec);
    mu_spec_draft_finish(&search.draft);
    return status;
}

enum mu_status mu_spec_from_exchange(struct mu_log *log, const struct mu_spec_request *request,
    const int counts[MU_ROLE_COUNT], const struct mu_address *addresses, struct mu_spec *ret_spec)
{
    struct search search = {.log = log, .request = request};
    enum mu_status status = claim_named_task(&search, "--task", request->task);
    if (status == MU_OK)
        status = claim_named_task(&search, "$MUSTER_TASK", get(&search, "MUSTER_TASK"));
    if (status == MU_OK)
        status = mu_spec_draft_make(log, counts, addresses, "mpirun", &search.draft);
    if (status == MU_OK)
        status = take_launchers(&search);
    if (status == MU_OK)
        status = decide(&search, false, ret_spec);
    mu_spec_draft_finish(&search.draft);
    return status;
}

bool mu_spec_launched(const struct mu_spec_request *request, struct mu_launcher *ret_launcher)
{
    struct mu_log silent = mu_log_quiet();
    struct mu_launcher launcher[MU_LAUNCHERS_MAX];
    int count = 0;
    if (mu_sources_launchers(&silent, request, launcher, &count) != MU_OK)
        return false;
    for (int i = 0; i < count; i++)
        if (launcher[i].rank >= 0 && (launcher[i].size > 1 || launcher[i].rank > 0)) {
            *ret_launcher = launcher[i];
            return true;
        }
    return false;
}

/* Has it started us, and can its ranks tell each other their addresses? PMIx says of how many only
 * when it is asked; Slurm's ranks know each other from their variables. */
static bool can_exchange(const struct mu_launcher *launcher, int launcher_count)
{
    if (launcher->rank < 0)
        return false;
    if (strcmp(launcher->name, "PMIx") == 0)
        return launcher_count == 1;
    return strcmp(launcher->name, "Open MPI") == 0 && launcher->size > 1;
}

bool mu_spec_needs_exchange(const struct mu_spec_request *request, struct mu_launcher *ret_launcher)
{
    static const char *const clusters[] = {
        "MUSTER_CLUSTER", "TF_CONFIG", "CLUSTER_SPEC", "SM_HOSTS"};
    struct mu_log silent = mu_log_quiet();
    struct mu_launcher launcher[MU_LAUNCHERS_MAX];
    int count = 0;
    if (request->cluster_path)
        return false;
    for (size_t i = 0; i < MU_COUNT_OF(clusters); i++)
        if (mu_sources_get(request, clusters[i]))
            return false;
    if (mu_sources_launchers(&silent, request, launcher, &count) != MU_OK)
        return false;
    for (int i = 0; i < count; i++)
        if (can_exchange(&launcher[i], count)) {
            *ret_launcher = launcher[i];
            return true;
        }
    return false;
}
