/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_modes.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_inside.h"

/* Which phase of the plan a server is in. It follows from the version alone, so all servers change
 * at the same place in the order. */

void mu_ps_modes_init(struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    struct mu_ps_plan *plan = &server->plan;
    assert(options->later_count >= 0 && options->later_count < MU_PS_PHASES_MAX);
    *plan = (struct mu_ps_plan){
        .replica_count = options->replica_count, .phase_count = 1 + options->later_count};
    plan->phase[0] = (struct mu_ps_phase){.mode = options->mode,
        .policy = options->policy,
        .policy_options = options->policy_options};
    for (int i = 0; i < options->later_count; i++) {
        plan->phase[i + 1] = options->later[i];
        assert(plan->phase[i + 1].from > plan->phase[i].from);
        assert(plan->phase[i + 1].mode.warmup_steps == options->mode.warmup_steps);
    }
}

static void say_phase(const struct mu_ps_server *server)
{
    const struct mu_ps_phase *phase = mu_ps_phase_of(server);
    char text[80];
    if (!mu_ps_is_head(server) || server->phase == 0)
        return;
    mu_ps_mode_text(&phase->mode, text, sizeof(text));
    mu_say(server->options.log, MU_LEVEL_INFO, "from version %lld on: %s, policy `%s`",
        (long long)server->shard.version, text, phase->policy->name);
}

void mu_ps_modes_follow(struct mu_ps_server *server)
{
    int phase = mu_ps_plan_at(&server->plan, server->shard.version);
    if (phase == server->phase)
        return;
    assert(server->shard.gathered == 0); /* a gradient would be of two phases */
    server->phase = phase;
    for (int i = 0; i < server->options.replica_count; i++)
        if (mu_ps_plan_restarts_clocks(&server->plan, phase))
            server->ledger[i].clock = 0;
    mu_ps_auto_enter(server);
    say_phase(server);
}
