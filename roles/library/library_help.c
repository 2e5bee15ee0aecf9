/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/library_help.h"
#include "runtime/base/status.h"
#include <stddef.h>
#include <string.h>

/* A program of somebody else has fields to set, and neither our commands and flags nor a job. */

#define IN_GENERAL "the header of the call says what each field and argument may be"
#define IN_TF_CONFIG                                                                               \
    "docs/CLUSTER_SPEC.md says what TF_CONFIG has; or give the addresses in the options"

/* clang-format off */
static const char *const helps[MU_ERROR_COUNT] = {
    [MU_E0101] = "set TF_CONFIG, or give the addresses in the options",
    [MU_E0102] = IN_TF_CONFIG,
    [MU_E0103] = IN_TF_CONFIG,
    [MU_E0104] = IN_TF_CONFIG,
    [MU_E0105] = IN_TF_CONFIG,
    [MU_E0106] = "server_count and worker_count, or the tasks in TF_CONFIG, say how many there are",
    [MU_E0107] = "index or rank, or the task in TF_CONFIG, says which one this process is",
    [MU_E0109] = IN_TF_CONFIG,
    [MU_E0110] = "env | grep -E 'TF_CONFIG|SLURM|OMPI|MUSTER'; unset what is left over",
    [MU_E0111] = "ip addr on every host; give the addresses in the options",
    [MU_E0204] =
        "use a smaller row_max or more servers; a row_limit must have room for what one step may "
        "touch",
    [MU_E0301] =
        "is it started, and does a firewall let it through? A larger timeout_seconds waits longer",
    [MU_E0303] = "ip addr; index or rank says which of the addresses belongs here",
    [MU_E0305] = "give all of them the same options",
    [MU_E0308] = "link all programs with the same version of libmuster",
    [MU_E0309] = "start all of them again, with the same addresses",
    [MU_E0311] = "transport \"tcp\" leaves shared memory out",
    [MU_E0401] = "dmesg -T | grep -i oom on its host; the output of that process",
    [MU_E0402] = "kill -KILL PID if it is stopped; a larger timeout_seconds waits longer",
    [MU_E0403] = "the output of the process that is named has its error",
    [MU_E0404] = "link all programs with the same version of libmuster; report it if they are",
    [MU_E0405] = "the output of the other processes says why",
    [MU_E0406] = "what each gradient had is in the lines before; for NaN, infinity or 2^48 use a "
                 "smaller learning_rate, else look at what that worker computes",
    [MU_E0701] = "start again without that host; memtester there",
    [MU_E0702] = "use a smaller learning_rate",
    [MU_E0801] = "free -g; ulimit -v; smaller row_max and in_flight, a row_limit, or more servers",
    [MU_E0802] = "leave transport out, or install what is missing",
    [MU_E0803] = "ulimit -n; ulimit -u",
    [MU_E0804] = "report it, with the output of all processes",
};
/* clang-format on */

static bool is_of_trainer(const char *help)
{
    static const char *const words[] = {"--", "muster run", "muster spec", "muster man",
        "muster doctor", "muster status", "muster audit", "muster checkpoint", "mode.", "data.",
        "optimizer.", "model.", "job", "`mode", "run directory"};
    for (size_t i = 0; i < MU_COUNT_OF(words); i++)
        if (strstr(help, words[i]))
            return true;
    return false;
}

const char *mu_library_help(enum mu_error error, const char *help)
{
    if (!is_of_trainer(help))
        return help;
    return helps[error] ? helps[error] : IN_GENERAL;
}
