/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include "runtime/base/log_quiet.h"
#include <string.h>

static int role_count(const struct mu_spec *spec, enum mu_role role, int *ret_first)
{
    int count = 0;
    for (int i = 0; i < spec->task_count; i++) {
        /* An evaluator that stands outside has no address to list. */
        if (spec->task[i].role != role || spec->task[i].address.host[0] == '\0')
            continue;
        if (count++ == 0)
            *ret_first = i;
    }
    return count;
}

/* A list where the indices are 0, 1, 2, ...; an object where there are holes. */
static void write_role(const struct mu_task *task, int count, struct mu_text *out)
{
    bool dense = task[count - 1].index == count - 1;
    char address[MU_HOST_MAX + 16];
    mu_text_add(out, dense ? "[" : "{");
    for (int i = 0; i < count; i++) {
        mu_address_format(&task[i].address, address, sizeof(address));
        mu_text_add(out, i == 0 ? "" : ",");
        if (!dense)
            mu_text_add(out, "\"%d\":", task[i].index);
        mu_text_add_json_string(out, address);
    }
    mu_text_add(out, dense ? "]" : "}");
}

static void write_cluster(const struct mu_spec *spec, enum mu_role last, struct mu_text *out)
{
    bool any = false;
    mu_text_add(out, "\"cluster\":{");
    for (int role = 0; role <= (int)last; role++) {
        int first = 0, count = role_count(spec, (enum mu_role)role, &first);
        if (count == 0)
            continue;
        mu_text_add(out, "%s\"%s\":", any ? "," : "", mu_role_name((enum mu_role)role));
        write_role(&spec->task[first], count, out);
        any = true;
    }
    mu_text_add(out, "}");
}

void mu_spec_write(const struct mu_spec *spec, struct mu_text *out)
{
    mu_text_add(out, "{");
    write_cluster(spec, MU_ROLE_PS, out);
    mu_text_add(out, "}");
}

void mu_spec_write_tf_config(const struct mu_spec *spec, int task, struct mu_text *out)
{
    assert(task >= 0);
    assert(task < spec->task_count);
    mu_text_add(out, "{");
    write_cluster(spec, MU_ROLE_EVALUATOR, out);
    mu_text_add(out, ",\"task\":{\"type\":\"%s\",\"index\":%d}}",
        mu_role_name(spec->task[task].role), spec->task[task].index);
}

static void write_task(const struct mu_spec *spec, int task, struct mu_text *out)
{
    char name[MU_TASK_NAME_MAX], address[MU_HOST_MAX + 16];
    mu_task_name(&spec->task[task], name, sizeof(name));
    mu_address_format(&spec->task[task].address, address, sizeof(address));
    mu_text_add(out, "%s %s", name, address);
}

/* "- worker/1 10.0.0.2:2222 (3 worker in all)" */
static void write_side(
    const struct mu_spec *spec, enum mu_role role, int order, const char *sign, struct mu_text *out)
{
    int first = 0, count = role_count(spec, role, &first);
    mu_text_add(out, "%s ", sign);
    if (order < count)
        write_task(spec, first + order, out);
    else
        mu_text_add(out, "no further %s", mu_role_name(role));
    mu_text_add(out, " (%d %s in all)\n", count, mu_role_name(role));
}

static bool tasks_differ(const struct mu_task *a, const struct mu_task *b)
{
    return a->index != b->index || a->address.port != b->address.port ||
           strcmp(a->address.host, b->address.host) != 0;
}

/* The first place where the tasks of a role differ, or -1. */
static int first_difference(
    const struct mu_spec *ours, const struct mu_spec *theirs, enum mu_role role)
{
    int our_first = 0, their_first = 0;
    int our_count = role_count(ours, role, &our_first);
    int their_count = role_count(theirs, role, &their_first);
    int common = our_count < their_count ? our_count : their_count;
    for (int i = 0; i < common; i++)
        if (tasks_differ(&ours->task[our_first + i], &theirs->task[their_first + i]))
            return i;
    return our_count == their_count ? -1 : common;
}

void mu_spec_difference(const char *ours, const char *theirs, struct mu_text *out)
{
    struct mu_log silent = mu_log_quiet();
    struct mu_spec our_spec = {0}, their_spec = {0};
    bool readable =
        mu_spec_parse(&silent, "ours", ours, strlen(ours), NULL, &our_spec) == MU_OK &&
        mu_spec_parse(&silent, "theirs", theirs, strlen(theirs), NULL, &their_spec) == MU_OK;
    for (int role = 0; readable && role < MU_ROLE_EVALUATOR; role++) {
        int order = first_difference(&our_spec, &their_spec, (enum mu_role)role);
        if (order < 0)
            continue;
        write_side(&our_spec, (enum mu_role)role, order, "-", out);
        write_side(&their_spec, (enum mu_role)role, order, "+", out);
        break;
    }
    if (!readable && strcmp(ours, theirs) != 0)
        mu_text_add(out, "- %.200s\n+ %.200s\n", ours, theirs);
    mu_spec_finish(&our_spec);
    mu_spec_finish(&their_spec);
}
