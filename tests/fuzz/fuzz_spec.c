/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a cluster spec. What is refused has a number of its own; what is accepted keeps the
 * rules of a spec, and its canonical text reads back as the same cluster. */
#include "cluster/spec.h"
#include "fuzz_log.h"

static struct mu_log fuzz_log;

static void check_tasks(const struct mu_spec *spec)
{
    FUZZ_CHECK(spec->task_count > 0 && spec->task_count <= MU_TASKS_MAX + 1);
    FUZZ_CHECK(spec->replica_count > 0);
    FUZZ_CHECK(spec->evaluator_count <= 1);
    FUZZ_CHECK(spec->self >= -1 && spec->self < spec->task_count);
    for (int i = 0; i < spec->task_count; i++) {
        const struct mu_task *task = &spec->task[i];
        bool trains = task->role == MU_ROLE_CHIEF || task->role == MU_ROLE_WORKER;
        bool outside = i == spec->self && task->role == MU_ROLE_EVALUATOR;
        FUZZ_CHECK(task->index >= 0 && task->index <= MU_TASK_INDEX_MAX);
        FUZZ_CHECK(task->replica == (trains ? i : -1));
        FUZZ_CHECK(outside || (task->address.port >= 1 && task->address.port <= 65535));
        FUZZ_CHECK(outside || task->address.host[0] != '\0');
        if (i > 0 && task[-1].role == task->role)
            FUZZ_CHECK(task[-1].index < task->index);
    }
}

static void check_canonical(const struct mu_spec *spec)
{
    struct mu_text text, again, difference;
    struct mu_spec copy = {0};
    mu_text_init(&text);
    mu_text_init(&again);
    mu_text_init(&difference);
    mu_spec_write(spec, &text);
    FUZZ_CHECK(mu_spec_parse(&fuzz_log, "again", text.data, text.bytes, NULL, &copy) == MU_OK);
    FUZZ_CHECK(copy.hash == spec->hash);
    mu_spec_write(&copy, &again);
    FUZZ_CHECK(strcmp(text.data, again.data) == 0);
    mu_spec_difference(text.data, again.data, &difference);
    FUZZ_CHECK(difference.bytes == 0);
    mu_spec_finish(&copy);
    mu_text_finish(&text);
    mu_text_finish(&again);
    mu_text_finish(&difference);
}

static void check_written(const struct mu_spec *spec)
{
    struct mu_text text;
    struct mu_spec copy = {0};
    if (spec->self < 0)
        return;
    mu_text_init(&text);
    mu_spec_write_tf_config(spec, spec->self, &text);
    FUZZ_CHECK(mu_spec_parse(&fuzz_log, "again", text.data, text.bytes, NULL, &copy) == MU_OK);
    FUZZ_CHECK(copy.self == spec->self);
    mu_spec_finish(&copy);
    mu_text_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mu_spec spec = {0};
    fuzz_log_init(&fuzz_log);
    if (mu_spec_parse(&fuzz_log, "$TF_CONFIG", (const char *)data, bytes, NULL, &spec) != MU_OK) {
        FUZZ_CHECK(fuzz_log.first_number >= 102 && fuzz_log.first_number <= 109);
        FUZZ_CHECK(!spec.task);
        return 0;
    }
    check_tasks(&spec);
    check_canonical(&spec);
    check_written(&spec);
    mu_spec_finish(&spec);
    return 0;
}
