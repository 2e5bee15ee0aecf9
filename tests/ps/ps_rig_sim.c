/* SPDX-License-Identifier: Apache-2.0 */
#include "ps_rig_sim.h"
#include "sim/simulate.h"

static void place(struct rig *rig, struct mu_sim *sim)
{
    for (int i = 0; i < rig->server_count; i++) {
        strcpy(rig->addresses[i].host, mu_sim_task_host(sim, i));
        rig->addresses[i].port = 2222;
    }
    for (int i = 0; i < rig->task_count; i++) {
        rig->tasks[i].world = mu_sim_task_world(sim, i);
        assert_ok(mu_sim_start(sim, i, "main", rig_task_main, &rig->tasks[i]));
    }
}

static bool is_killed(const struct rig *rig, int task)
{
    for (int i = 0; i < rig->loss_count; i++)
        if (rig->losses[i].process == task)
            return true;
    return false;
}

void rig_simulate(struct rig *rig, const char *name, uint64_t seed)
{
    static struct mu_test_log log;
    struct mu_sim_options options = {
        .tasks = rig->task_count,
        .seed = seed,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = 0.8},
        .link_bits_per_second = rig->link_bits_per_second ? rig->link_bits_per_second : 1000000000,
        .link_latency_ns = 50000,
        .level = MU_LEVEL_INFO,
    };
    struct mu_sim *sim;
    assert_ok(mu_sim_create(&options, mu_test_log_init(&log), &sim));
    place(rig, sim);
    for (int i = 0; i < rig->loss_count; i++)
        assert_ok(mu_sim_kill(sim, rig->losses[i].process, rig->losses[i].at_ns));
    if (mu_sim_run(sim) != MU_OK)
        fail_msg("%s: %s", name, log.text);
    mu_sim_destroy(sim);
    for (int i = 0; i < rig->task_count && !rig->may_fail; i++)
        if (!is_killed(rig, i) && rig->tasks[i].status != MU_OK)
            fail_msg(
                "%s: task %d: %d: %s", name, i, (int)rig->tasks[i].status, rig->tasks[i].log.text);
}
