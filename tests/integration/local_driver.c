/* SPDX-License-Identifier: Apache-2.0 */
/* local_driver PROGRAM GRACE_MS COUNTS [words for every task]: the launcher as a process. Several
 * servers have standbys. */
#include "roles/launch/local.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    struct mu_log log;
    int counts[MU_ROLE_COUNT];
    mu_log_init_stderr(&log, MU_LEVEL_INFO);
    if (argc < 4 || mu_spec_parse_counts(&log, "--local", argv[3], counts) != MU_OK)
        return 64;
    struct mu_local_request request = {.counts = counts,
        .argv = argv + 4,
        .out_dir = "runs/fake",
        .program = argv[1],
        .has_standbys = counts[MU_ROLE_PS] > 1,
        .grace_ms = atoi(argv[2])};
    return mu_local_run(&log, &request);
}
