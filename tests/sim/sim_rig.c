/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_rig.h"
#include "runtime/base/json.h"
#include <ftw.h>
#include <sys/stat.h>

static char folder[64];

/* ---- files ---- */

static int remove_one(const char *name, const struct stat *stat_, int kind, struct FTW *place)
{
    (void)stat_;
    (void)kind;
    (void)place;
    return remove(name);
}

static void remove_all(const char *name)
{
    (void)nftw(name, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void file_in_folder(char out[SIM_RIG_NAME_MAX], const char *name)
{
    snprintf(out, SIM_RIG_NAME_MAX, "%s/%s", folder, name);
}

void sim_rig_file(char out[SIM_RIG_NAME_MAX], const char *name)
{
    snprintf(out, SIM_RIG_NAME_MAX, "%s/run/%s", folder, name);
}

void sim_rig_begin(const char *job_text)
{
    char name[SIM_RIG_NAME_MAX];
    strcpy(folder, "/tmp/muster-sim-XXXXXX");
    assert_non_null(mkdtemp(folder));
    if (!job_text)
        return;
    file_in_folder(name, "job.json");
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(job_text, file);
    fclose(file);
}

void sim_rig_end(void)
{
    remove_all(folder);
}

uint32_t sim_rig_crc_of_summary(void)
{
    static struct mu_test_log test_log;
    char name[SIM_RIG_NAME_MAX];
    struct mu_json *json;
    sim_rig_file(name, "summary.json");
    assert_ok(mu_json_read(mu_test_log_init(&test_log), MU_E0201, name, &json));
    const char *digits = mu_json_string(mu_json_member(mu_json_root(json), "parameters_crc32c"));
    uint32_t crc = (uint32_t)strtoul(digits, NULL, 16);
    mu_json_destroy(json);
    return crc;
}

/* ---- runs ---- */

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    const struct sim_rig_run *run = owner;
    struct sim_rig_fault *fault = run->fault;
    fault->last_ns = now_ns;
    if (task != run->replicas + fault->server || fault->done || now_ns < fault->at_ns)
        return 0;
    fault->done = true;
    return fault->hangs_ns > 0 ? fault->hangs_ns : MU_SIM_KILL;
}

enum mu_status sim_rig_run(const struct sim_rig_run *run, struct mu_test_log *said)
{
    struct sim_rig_run own = *run;
    const struct mu_sim_faults faults = {.owner = &own, .task_stop_ns = stop_ns};
    char job_name[SIM_RIG_NAME_MAX], out_dir[SIM_RIG_NAME_MAX];
    struct mu_log *log = mu_test_log_init(said);
    struct mu_job *job = NULL;
    file_in_folder(job_name, "job.json");
    file_in_folder(out_dir, "run");
    if (!run->resume)
        remove_all(out_dir);
    assert_ok(mu_job_load(log, run->job ? run->job : job_name, run->sets, &job));
    log->level = MU_LEVEL_INFO;
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = run->replicas,
        .servers = run->servers,
        .seed = run->seed,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = run->sigma},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .out_dir = out_dir,
        .resume = run->resume,
        .faults = run->fault ? &faults : NULL,
    };
    enum mu_status status = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
    return status;
}
