/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mu_sources_get(const struct mu_spec_request *request, const char *name)
{
    return request->environment ? request->environment(request->owner, name) : getenv(name);
}

/* A number that a launcher sets; `fallback` where it does not. */
static enum mu_status read_number(struct mu_log *log, const struct mu_spec_request *request,
    const char *launcher, const char *name, int fallback, int *ret_value)
{
    const char *text = mu_sources_get(request, name);
    int64_t value = 0;
    *ret_value = fallback;
    if (!text)
        return MU_OK;
    if (!mu_text_to_int64(text, &value) || value < 0 || value > INT32_MAX)
        return mu_fail(log, MU_E0105, "it is set by the launcher: unset it if none is at work",
            "%s: $%s is `%.20s`, which is not a number from 0 up", launcher, name, text);
    *ret_value = (int)value;
    return MU_OK;
}

static enum mu_status read_launcher(struct mu_log *log, const struct mu_spec_request *request,
    const char *name, const char *rank_variable, const char *size_variable,
    struct mu_launcher *ret_launcher)
{
    struct mu_launcher launcher = {.name = name, .rank_variable = rank_variable};
    MU_TRY(read_number(log, request, name, rank_variable, -1, &launcher.rank));
    if (size_variable)
        MU_TRY(read_number(log, request, name, size_variable, 0, &launcher.size));
    if (launcher.size > 0 && launcher.rank >= launcher.size)
        return mu_fail(log, MU_E0107, NULL, "%s: $%s is %d, but $%s is %d", name, rank_variable,
            launcher.rank, size_variable, launcher.size);
    *ret_launcher = launcher;
    return MU_OK;
}

/* In a batch script Slurm sets SLURM_PROCID=0 for the script itself: only a job step (srun) has a
 * list of nodes of its own, and only its numbers say who a task is. */
static void doubt_slurm(const struct mu_spec_request *request, struct mu_launcher *slurm)
{
    if (slurm->rank == 0 && !mu_sources_get(request, "SLURM_STEP_NODELIST"))
        slurm->rank = -1;
}

/* Under mpirun the daemons are Slurm's tasks, and its numbers those of the daemons. */
static bool is_outer(const struct mu_launcher *slurm, const struct mu_launcher *mpi)
{
    return mpi->size > 0 && slurm->size != mpi->size;
}

enum mu_status mu_sources_launchers(struct mu_log *log, const struct mu_spec_request *request,
    struct mu_launcher ret_launcher[MU_LAUNCHERS_MAX], int *ret_count)
{
    struct mu_launcher torch, slurm, mpi, pmix;
    int count = 0;
    MU_TRY(read_launcher(log, request, "torchrun", "RANK", "WORLD_SIZE", &torch));
    MU_TRY(read_launcher(log, request, "Slurm", "SLURM_PROCID",
        mu_sources_get(request, "SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS",
        &slurm));
    MU_TRY(read_launcher(
        log, request, "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", &mpi));
    MU_TRY(read_launcher(log, request, "PMIx", "PMIX_RANK", NULL, &pmix));
    doubt_slurm(request, &slurm);
    if (torch.size == 0) /* $RANK alone is too common a name to mean torchrun */
        torch.rank = -1;
    if (torch.size > 0)
        ret_launcher[count++] = torch;
    if ((slurm.rank >= 0 || slurm.size > 0) && !is_outer(&slurm, &mpi))
        ret_launcher[count++] = slurm;
    if (mpi.rank >= 0 || mpi.size > 0)
        ret_launcher[count++] = mpi;
    if (pmix.rank >= 0 && mpi.rank < 0)
        ret_launcher[count++] = pmix;
    *ret_count = count;
    return MU_OK;
}

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum mu_status fail_sagemaker(struct mu_log *log, const char *text)
{
    return mu_fail(log, MU_E0105,
        "as in SM_HOSTS='[\"algo-1\", \"algo-2\"]' SM_CURRENT_HOST=algo-1", "SageMaker: %s", text);
}

static enum mu_status read_hosts(
    struct mu_log *log, const mu_json_value *list, char (**ret_hosts)[MU_HOST_MAX])
{
    bool valid = mu_json_type(list) == MU_JSON_ARRAY && mu_json_count(list) > 0 &&
                 mu_json_count(list) <= MU_TASKS_MAX;
    for (size_t i = 0; valid && i < mu_json_count(list); i++) {
        const mu_json_value *host = mu_json_element(list, i);
        valid = mu_json_type(host) == MU_JSON_STRING &&
                strlen(mu_json_string(host)) < MU_HOST_MAX && mu_json_string(host)[0] != '\0';
    }
    if (!valid)
        return fail_sagemaker(log, "$SM_HOSTS is not a list of host names");
    char(*hosts)[MU_HOST_MAX] = calloc(mu_json_count(list), MU_HOST_MAX);
    if (!hosts)
        return mu_fail(log, MU_E0801, NULL, "no memory for a list of hosts");
    for (size_t i = 0; i < mu_json_count(list); i++)
        mu_text_copy(hosts[i], MU_HOST_MAX, mu_json_string(mu_json_element(list, i)));
    *ret_hosts = hosts;
    return MU_OK;
}

/* Checks each "host:port" as it would be in a spec. */
static enum mu_status make_address(struct mu_log *log, const char *origin, const char *host,
    int port, struct mu_address *ret_address)
{
    char text[MU_HOST_MAX + 16], reason[96];
    mu_format(text, sizeof(text), "%s:%d", host, port);
    if (mu_address_parse(text, ret_address, reason, sizeof(reason)))
        return MU_OK;
    return mu_fail(log, MU_E0108, NULL, "%s: the address `%.80s` %s", origin, text, reason);
}

static enum mu_status read_port_base(
    struct mu_log *log, const struct mu_spec_request *request, int *ret_base)
{
    MU_TRY(read_number(log, request, "muster", "MUSTER_PORT", MU_SPEC_PORT_BASE, ret_base));
    if (*ret_base < 1 || *ret_base > 65535)
        return mu_fail(
            log, MU_E0108, NULL, "$MUSTER_PORT is %d: it must be from 1 to 65535", *ret_base);
    return MU_OK;
}

static enum mu_status sagemaker_cluster(struct mu_log *log, const struct mu_spec_request *request,
    char (*hosts)[MU_HOST_MAX], int count, struct mu_spec_draft *draft)
{
    const char *current = mu_sources_get(request, "SM_CURRENT_HOST");
    int base = 0, counts[MU_ROLE_COUNT] = {[MU_ROLE_WORKER] = count};
    MU_TRY(read_port_base(log, request, &base));
    qsort(hosts, (size_t)count, sizeof(*hosts), compare_hosts);
    struct mu_address *addresses = calloc((size_t)count, sizeof(*addresses));
    if (!addresses)
        return mu_fail(log, MU_E0801, NULL, "no memory for a list of hosts");
    enum mu_status status = MU_OK;
    int self = -1;
    for (int i = 0; i < count && status == MU_OK; i++) {
        status = make_address(log, "SageMaker", hosts[i], base, &addresses[i]);
        if (current && strcmp(current, hosts[i]) == 0)
            self = i;
    }
    if (status == MU_OK && self < 0)
        status = fail_sagemaker(log,
            current ? "$SM_CURRENT_HOST is not among $SM_HOSTS" : "$SM_CURRENT_HOST is not set");
    if (status == MU_OK)
        status = mu_spec_draft_make(log, counts, addresses, "SageMaker", draft);
    free(addresses);
    if (status == MU_OK) {
        draft->has_task = true;
        draft->role = MU_ROLE_WORKER;
        draft->index = self;
    }
    return status;
}

enum mu_status mu_sources_sagemaker(
    struct mu_log *log, const struct mu_spec_request *request, struct mu_spec_draft *ret_draft)
{
    const char *text = mu_sources_get(request, "SM_HOSTS");
    struct mu_json *json = NULL;
    char(*hosts)[MU_HOST_MAX] = NULL;
    if (!text)
        return MU_OK;
    if (text[0] == '\0')
        return fail_sagemaker(log, "$SM_HOSTS is empty");
    MU_TRY(mu_json_parse(log, MU_E0102, "$SM_HOSTS", text, strlen(text), &json));
    int count = 0;
    enum mu_status status = read_hosts(log, mu_json_root(json), &hosts);
    if (status == MU_OK)
        count = (int)mu_json_count(mu_json_root(json));
    mu_json_destroy(json);
    if (status == MU_OK && count > 1) /* one host: it trains alone */
        status = sagemaker_cluster(log, request, hosts, count, ret_draft);
    free(hosts);
    return status;
}

static enum mu_status fail_slurm(struct mu_log *log, const char *text)
{
    return mu_fail(log, MU_E0105, "give the cluster as a file: --cluster FILE", "Slurm: %s", text);
}

/* Which node and which place on it every task has. "cyclic" deals tasks out one by one, the
 * ordinary way fills node after node. */
static enum mu_status place_tasks(struct mu_log *log, const struct mu_spec_request *request,
    const int *per_node, int node_count, int task_count, int *node_of, int *local_of)
{
    const char *distribution = mu_sources_get(request, "SLURM_DISTRIBUTION");
    bool cyclic = distribution && strncmp(distribution, "cyclic", 6) == 0;
    int placed = 0;
    for (int round = 0; cyclic && placed < task_count; round++) {
        int before = placed;
        for (int node = 0; node < node_count && placed < task_count; node++)
            if (round < per_node[node]) {
                node_of[placed] = node;
                local_of[placed++] = round;
            }
        if (placed == before)
            break;
    }
    for (int node = 0; !cyclic && node < node_count; node++)
        for (int local = 0; local < per_node[node] && placed < task_count; local++) {
            node_of[placed] = node;
            local_of[placed++] = local;
        }
    if (placed != task_count)
        return fail_slurm(log, "$SLURM_STEP_TASKS_PER_NODE does not add up to the number of tasks");
    return MU_OK;
}

/* What Slurm says about this one task must be what was computed for it, or all are wrong. */
static enum mu_status check_place(
    struct mu_log *log, const struct mu_spec_request *request, int node, int local)
{
    int said_node = 0, said_local = 0;
    MU_TRY(read_number(log, request, "Slurm", "SLURM_NODEID", node, &said_node));
    MU_TRY(read_number(log, request, "Slurm", "SLURM_LOCALID", local, &said_local));
    if (said_node == node && said_local == local)
        return MU_OK;
    return mu_fail(log, MU_E0110, "start with `srun --distribution=block`, or give --cluster FILE",
        "Slurm: $SLURM_NODEID and $SLURM_LOCALID say place %d on node %d, "
        "but the list of nodes says place %d on node %d",
        said_local, said_node, local, node);
}

struct slurm_places {
    int per_node[MU_TASKS_MAX], node[MU_TASKS_MAX], local[MU_TASKS_MAX];
    struct mu_address address[MU_TASKS_MAX];
};

static enum mu_status address_tasks(struct mu_log *log, const struct mu_spec_request *request,
    const struct mu_launcher *launcher, char (*hosts)[MU_HOST_MAX], int host_count,
    struct slurm_places *places)
{
    const char *list = mu_sources_get(request, "SLURM_STEP_TASKS_PER_NODE");
    int base = 0;
    if (!list)
        return fail_slurm(log, "$SLURM_STEP_TASKS_PER_NODE is not set");
    if (mu_spec_slurm_counts(list, MU_TASKS_MAX, places->per_node) != host_count)
        return fail_slurm(
            log, "$SLURM_STEP_TASKS_PER_NODE and $SLURM_STEP_NODELIST do not fit together");
    MU_TRY(place_tasks(
        log, request, places->per_node, host_count, launcher->size, places->node, places->local));
    MU_TRY(check_place(log, request, places->node[launcher->rank], places->local[launcher->rank]));
    MU_TRY(read_port_base(log, request, &base));
    for (int i = 0; i < launcher->size; i++)
        MU_TRY(make_address(
            log, "Slurm", hosts[places->node[i]], base + places->local[i], &places->address[i]));
    return MU_OK;
}

enum mu_status mu_sources_slurm(struct mu_log *log, const struct mu_spec_request *request,
    const struct mu_launcher *launcher, struct mu_spec_draft *ret_draft)
{
    const char *list = mu_sources_get(request, "SLURM_STEP_NODELIST");
    char(*hosts)[MU_HOST_MAX] = NULL;
    char reason[96];
    int counts[MU_ROLE_COUNT], total = 0;
    if (!list || launcher->rank < 0 || launcher->size < 2)
        return MU_OK;
    memcpy(counts, request->counts, sizeof(counts));
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        total += counts[role];
    if (total == 0)
        counts[MU_ROLE_WORKER] = launcher->size;
    if ((total > 0 && total != launcher->size) || launcher->size > MU_TASKS_MAX)
        return mu_fail(log, MU_E0110, "make --roles and the number of tasks of srun equal",
            "Slurm started %d tasks, but --roles asks for %d", launcher->size, total);
    int host_count = mu_spec_slurm_hosts(list, MU_TASKS_MAX, &hosts, reason, sizeof(reason));
    if (host_count < 0)
        return mu_fail(log, MU_E0105, "give the cluster as a file: --cluster FILE",
            "Slurm: $SLURM_STEP_NODELIST `%.80s` cannot be read: %s", list, reason);
    struct slurm_places *places = calloc(1, sizeof(*places));
    enum mu_status status = places
                                ? address_tasks(log, request, launcher, hosts, host_count, places)
                                : mu_fail(log, MU_E0801, NULL, "no memory for a list of hosts");
    if (status == MU_OK)
        status = mu_spec_draft_make(log, counts, places->address, "Slurm", ret_draft);
    free(places);
    free(hosts);
    return status;
}
