/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_entries(const void *a, const void *b)
{
    const struct mu_task *left = &((const struct mu_spec_entry *)a)->task;
    const struct mu_task *right = &((const struct mu_spec_entry *)b)->task;
    if (left->role != right->role)
        return left->role < right->role ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

static int count_role(const struct mu_spec_draft *draft, enum mu_role role)
{
    int count = 0;
    for (int i = 0; i < draft->count; i++)
        count += draft->entry[i].task.role == role;
    return count;
}

static const struct mu_spec_entry *first_of(const struct mu_spec_draft *draft, enum mu_role role)
{
    for (int i = 0; i < draft->count; i++)
        if (draft->entry[i].task.role == role)
            return &draft->entry[i];
    return NULL;
}

int mu_spec_draft_find(const struct mu_spec_draft *draft, enum mu_role role, int index)
{
    struct mu_spec_entry key = {.task = {.role = role, .index = index}};
    const struct mu_spec_entry *found =
        draft->count == 0
            ? NULL
            : bsearch(&key, draft->entry, (size_t)draft->count, sizeof(key), compare_entries);
    return found ? (int)(found - draft->entry) : -1;
}

/* "worker/0..2, 5"; a long list of holes ends in "...". */
static void describe_role(const struct mu_spec_draft *draft, enum mu_role role, struct mu_text *out)
{
    const struct mu_spec_entry *entry = draft->entry;
    int ranges = 0;
    for (int i = 0; i < draft->count; i++) {
        if (entry[i].task.role != role)
            continue;
        int first = i;
        while (i + 1 < draft->count && entry[i + 1].task.role == role &&
               entry[i + 1].task.index == entry[i].task.index + 1)
            i++;
        if (++ranges > 6) {
            mu_text_add(out, ", ...");
            return;
        }
        mu_text_add(out, "%s%d", ranges > 1 ? ", " : "", entry[first].task.index);
        if (i > first)
            mu_text_add(out, "..%d", entry[i].task.index);
    }
}

void mu_spec_describe_tasks(const struct mu_spec_draft *draft, char *out, size_t bytes)
{
    struct mu_text text;
    mu_text_init(&text);
    int last = -1, described = 0;
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        if (first_of(draft, (enum mu_role)role))
            last = role;
    for (int role = 0; role <= last; role++) {
        const struct mu_spec_entry *first = first_of(draft, (enum mu_role)role);
        if (!first)
            continue;
        mu_text_add(&text, "%s%s/",
            described++ == 0 ? ""
            : role == last   ? " and "
                             : ", ",
            mu_role_name((enum mu_role)role));
        describe_role(draft, (enum mu_role)role, &text);
    }
    mu_text_copy(out, bytes, text.data);
    mu_text_finish(&text);
}

static enum mu_status check_identities(struct mu_log *log, const struct mu_spec_draft *draft)
{
    for (int i = 1; i < draft->count; i++) {
        const struct mu_spec_entry *entry = &draft->entry[i];
        char name[MU_TASK_NAME_MAX];
        if (compare_entries(entry - 1, entry) != 0)
            continue;
        mu_task_name(&entry->task, name, sizeof(name));
        return mu_spec_fail(log, MU_E0105, draft, entry->path, NULL, NULL,
            "%s is listed twice: %s and %s", name, entry[-1].path, entry->path);
    }
    return MU_OK;
}

/* Chief and evaluator: at most one, and its index is 0. */
static enum mu_status check_single(
    struct mu_log *log, const struct mu_spec_draft *draft, enum mu_role role)
{
    const struct mu_spec_entry *first = first_of(draft, role);
    const char *name = mu_role_name(role);
    if (!first)
        return MU_OK;
    if (count_role(draft, role) > 1)
        return mu_spec_fail(log, MU_E0106, draft, first[1].path, "one too many",
            role == MU_ROLE_CHIEF ? "list the others under `worker`" : NULL,
            "a cluster has at most one %s, this one has %d", name, count_role(draft, role));
    if (first->task.index != 0)
        return mu_spec_fail(log, MU_E0106, draft, first->path, NULL, NULL,
            "the %s has the index %d: it must be 0", name, first->task.index);
    return MU_OK;
}

static enum mu_status check_somebody_trains(struct mu_log *log, const struct mu_spec_draft *draft)
{
    const char *example =
        draft->example ? draft->example : "\"worker\": [\"10.0.0.1:2222\", \"10.0.0.2:2222\"]";
    if (count_role(draft, MU_ROLE_CHIEF) + count_role(draft, MU_ROLE_WORKER) > 0)
        return MU_OK;
    const char *expected = "expected a `chief` or a `worker` in here";
    if (draft->count == 0)
        return mu_spec_fail(
            log, MU_E0106, draft, "cluster", expected, example, "the cluster is empty");
    bool ps = count_role(draft, MU_ROLE_PS) > 0;
    return mu_spec_fail(log, MU_E0106, draft, "cluster", expected, example,
        "the cluster has %s but no chief or worker: nobody would train",
        ps ? "parameter servers (`ps`)" : "an evaluator");
}

/* The name that every host has for itself is one of its addresses. */
static const char *plain_host(const char *host)
{
    bool is_own = strcmp(host, "localhost") == 0 || strcmp(host, "localhost.") == 0;
    return is_own ? "127.0.0.1" : host;
}

/* A dot at the end says that a name is whole: the host is the same. */
static int compare_hosts(const char *left, const char *right)
{
    left = plain_host(left);
    right = plain_host(right);
    size_t left_bytes = strlen(left), right_bytes = strlen(right);
    left_bytes -= left_bytes > 0 && left[left_bytes - 1] == '.';
    right_bytes -= right_bytes > 0 && right[right_bytes - 1] == '.';
    int order = memcmp(left, right, left_bytes < right_bytes ? left_bytes : right_bytes);
    return order != 0 ? order : (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

static int compare_addresses(const void *a, const void *b)
{
    const struct mu_spec_entry *left = *(const struct mu_spec_entry *const *)a;
    const struct mu_spec_entry *right = *(const struct mu_spec_entry *const *)b;
    int order = compare_hosts(left->task.address.host, right->task.address.host);
    if (order != 0)
        return order;
    if (left->task.address.port != right->task.address.port)
        return left->task.address.port < right->task.address.port ? -1 : 1;
    return compare_entries(left, right);
}

static bool same_address(const struct mu_spec_entry *a, const struct mu_spec_entry *b)
{
    return a->task.address.port == b->task.address.port &&
           compare_hosts(a->task.address.host, b->task.address.host) == 0;
}

static enum mu_status say_same(struct mu_log *log, const struct mu_spec_draft *draft,
    const struct mu_spec_entry *a, const struct mu_spec_entry *b)
{
    char first[MU_TASK_NAME_MAX], second[MU_TASK_NAME_MAX], address[MU_HOST_MAX + 16];
    const char *one = a->task.address.host, *other = b->task.address.host;
    bool by_name = (plain_host(one) != one) != (plain_host(other) != other);
    mu_task_name(&a->task, first, sizeof(first));
    mu_task_name(&b->task, second, sizeof(second));
    mu_address_format(&b->task.address, address, sizeof(address));
    return mu_spec_fail(log, MU_E0109, draft, b->path, NULL, "give each task a port of its own",
        "%s and %s have the same address %s%s", first, second, address,
        by_name ? ": localhost is 127.0.0.1" : "");
}

static enum mu_status check_addresses(struct mu_log *log, const struct mu_spec_draft *draft)
{
    const struct mu_spec_entry **by_address = calloc((size_t)draft->count, sizeof(*by_address));
    if (!by_address)
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %d tasks", draft->count);
    for (int i = 0; i < draft->count; i++)
        by_address[i] = &draft->entry[i];
    qsort(by_address, (size_t)draft->count, sizeof(*by_address), compare_addresses);
    enum mu_status status = MU_OK;
    for (int i = 1; i < draft->count && status == MU_OK; i++) {
        const struct mu_spec_entry *a = by_address[i - 1], *b = by_address[i];
        if (same_address(a, b))
            status = say_same(log, draft, a, b);
    }
    free(by_address);
    return status;
}

/* One host's name for itself in a list that other hosts read: they would connect to themselves. */
static void warn_of_loopback(struct mu_log *log, const struct mu_spec_draft *draft)
{
    const struct mu_spec_entry *inside = NULL, *outside = NULL;
    for (int i = 0; i < draft->count; i++) {
        const struct mu_spec_entry *entry = &draft->entry[i];
        const struct mu_spec_entry **kind =
            mu_address_is_loopback(&entry->task.address) ? &inside : &outside;
        if (!*kind)
            *kind = entry;
    }
    if (!inside || !outside)
        return;
    char names[2][MU_TASK_NAME_MAX], addresses[2][MU_HOST_MAX + 16];
    mu_task_name(&inside->task, names[0], sizeof(names[0]));
    mu_task_name(&outside->task, names[1], sizeof(names[1]));
    mu_address_format(&inside->task.address, addresses[0], sizeof(addresses[0]));
    mu_address_format(&outside->task.address, addresses[1], sizeof(addresses[1]));
    mu_say(log, MU_LEVEL_WARN,
        "%s: %s (%s) is a loopback address beside %s (%s): tasks on other hosts cannot reach it",
        draft->origin, names[0], addresses[0], names[1], addresses[1]);
}

enum mu_status mu_spec_check(struct mu_log *log, struct mu_spec_draft *draft)
{
    if (draft->count > 0)
        qsort(draft->entry, (size_t)draft->count, sizeof(*draft->entry), compare_entries);
    MU_TRY(check_identities(log, draft));
    MU_TRY(check_single(log, draft, MU_ROLE_CHIEF));
    MU_TRY(check_single(log, draft, MU_ROLE_EVALUATOR));
    MU_TRY(check_somebody_trains(log, draft));
    MU_TRY(check_addresses(log, draft));
    warn_of_loopback(log, draft);
    return MU_OK;
}

enum mu_status mu_spec_check_task(struct mu_log *log, const struct mu_spec_draft *draft,
    enum mu_role role, int index, const char *where)
{
    char tasks[200], name[MU_TASK_NAME_MAX];
    struct mu_task task = {.role = role, .index = index};
    bool in_json = draft->json && strcmp(where, "task") == 0;
    const char *prefix = in_json ? "" : where, *colon = in_json ? "" : ": ";
    if (mu_spec_draft_find(draft, role, index) >= 0 || (role == MU_ROLE_EVALUATOR && index == 0))
        return MU_OK;
    mu_task_name(&task, name, sizeof(name));
    mu_spec_describe_tasks(draft, tasks, sizeof(tasks));
    if (role == MU_ROLE_EVALUATOR)
        return mu_spec_fail(log, MU_E0107, draft, in_json ? "task.index" : NULL, NULL, NULL,
            "%s%sindex %d is out of range: a cluster has at most one evaluator, index 0", prefix,
            colon, index);
    if (count_role(draft, role) > 0)
        return mu_spec_fail(log, MU_E0107, draft, in_json ? "task.index" : NULL, NULL, NULL,
            "%s%sindex %d is out of range: the cluster has %s", prefix, colon, index, tasks);
    return mu_spec_fail(log, MU_E0107, draft, in_json ? "task.type" : NULL, NULL,
        role == MU_ROLE_CHIEF
            ? "without a chief the first worker leads: start this task as `worker`"
            : "list it in the cluster, or start this task as one of those",
        "%s%s%s is not in the cluster, which has %s", prefix, colon, name, tasks);
}
