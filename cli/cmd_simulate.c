/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/job_file.h"
#include "sim/sim_job.h"

/* What takes time, and how long. */
static enum mu_status read_times(
    struct mu_log *log, const struct mu_cmd_simulate_options *options, struct mu_sim_job *simulated)
{
    enum mu_simulate_compute kind;
    double mean_ms, sigma, fraction, factor;
    MU_TRY(mu_simulate_parse_compute(log, options->compute, &kind, &mean_ms, &sigma));
    MU_TRY(mu_simulate_parse_straggle(log, options->straggle, &fraction, &factor));
    simulated->compute = (struct mu_sim_compute){
        .kind = kind == MU_SIMULATE_LOGNORMAL ? MU_SIM_COMPUTE_LOGNORMAL : MU_SIM_COMPUTE_FIXED,
        .mean_ns = (int64_t)(mean_ms * (double)MU_MS),
        .sigma = sigma,
        .straggle_fraction = fraction,
        .straggle_factor = factor,
    };
    return mu_simulate_parse_link(
        log, options->link, &simulated->link_bits_per_second, &simulated->link_latency_ns);
}

static enum mu_status check_resume(
    struct mu_log *log, const struct mu_cmd_simulate_options *options)
{
    if (!options->resume || options->out[0])
        return MU_OK;
    return mu_fail(log, MU_E0001, "add --out DIR, where the run to go on with was written",
        "--resume needs --out: without it nothing is kept");
}

static int run(struct mu_log *log, const void *given, char *const *arguments)
{
    (void)arguments;
    const struct mu_cmd_simulate_options *options = given;
    struct mu_job *job = NULL;
    log->level = options->verbose ? MU_LEVEL_DEBUG : options->quiet ? MU_LEVEL_WARN : MU_LEVEL_INFO;
    struct mu_sim_job simulated = {
        .replicas = (int)options->workers,
        .servers = (int)options->ps,
        .has_evaluator = options->evaluator,
        .seed = (uint64_t)options->seed,
        .out_dir = options->out[0] ? options->out : NULL,
        .resume = options->resume,
    };
    enum mu_status status = check_resume(log, options);
    if (status == MU_OK)
        status = mu_job_file_load(log, options->job, options->sets.item, &job);
    if (status == MU_OK)
        status = read_times(log, options, &simulated);
    if (status == MU_OK)
        status = mu_job_fit_cluster(log, job, simulated.replicas, simulated.servers);
    simulated.job = job;
    if (status == MU_OK)
        status = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
    return mu_status_exit(status);
}

static const char *const examples[] = {
    "muster simulate configs/demo.json --workers 3 --seed 1 --out runs/simulated",
    "muster simulate configs/demo.json --workers 8 --compute lognormal:20,0.3 --link 1G,50us",
    "muster simulate configs/demo-async.json --workers 4 --ps 1 --straggle 0.02,10", NULL};

const struct mu_command mu_command_simulate = {
    .name = "simulate",
    .doc = "trains on a simulated cluster: virtual time, one seed",
    .details = "The same roles as `muster run`, in one process: threads are fibers, links have a "
               "rate and a delay, and computing a step takes the time that --compute says. Two "
               "runs with the same seed write the same events.log, byte for byte. `--workers N` is "
               "N replicas in all, the first of them the chief.",
    .examples = examples,
    .flags = mu_flags_simulate,
    .operands = mu_operands_simulate,
    .option_bytes = sizeof(struct mu_cmd_simulate_options),
    .run = run,
};
