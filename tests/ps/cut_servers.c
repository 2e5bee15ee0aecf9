/* SPDX-License-Identifier: Apache-2.0 */
#include "cut_servers.h"
#include "cut_links.h"
#include "ps_rig_inside.h"
#include "runtime/base/random.h"

static struct cut_links cuts[RIG_TASKS_MAX];
static uint64_t seed_of_run;
static int count_of_run, count_in_all;

bool cut_servers_dead(const struct rig_task *task, int seat)
{
    const struct rig *rig = task->rig;
    int process = mu_ps_seat_process(seat, rig->server_count);
    bool is_dead = false;
    for (int i = 0; i < rig->loss_count; i++) {
        if (mu_now(task->world) < rig->losses[i].at_ns)
            continue;
        /* Its connections are gone, and others may lie where they were. */
        cut_links_forget(&cuts[rig->losses[i].process]);
        is_dead = is_dead || rig->losses[i].process == process;
    }
    return is_dead;
}

static void link_to(struct rig_seat *own, int to)
{
    struct mu_link *link;
    if (cut_servers_dead(own->task, to))
        return;
    if (rig_connect_as(own->task, to, RIG_SERVER, own->seat, NULL, NULL, &link) != MU_OK)
        return; /* its own hello was cut off */
    if (to == 0)
        mu_ps_server_add_head(own->server, link);
    else
        mu_ps_server_add_deputy(own->server, link);
}

/* Instead of the first links, which do not break. */
static void begin(struct rig_task *task)
{
    int deputy = task->rig->replicas > 0 ? task->rig->server_count : 0;
    uint64_t seed = mu_random_mix(seed_of_run, (uint64_t)(100 + task->index));
    cut_links_begin(&cuts[task->index], task->loop, seed, count_of_run);
    for (int i = 0; i < task->seat_count; i++) {
        int seat = task->seats[i].seat;
        if (seat != 0)
            link_to(&task->seats[i], 0);
        if (seat != 0 && deputy > 0 && seat != deputy)
            link_to(&task->seats[i], deputy);
    }
}

static void heal(struct rig_task *task)
{
    cut_links_tell(&cuts[task->index]);
    for (int i = 0; i < task->seat_count; i++)
        for (int to = 0; (to = mu_ps_server_unlinked(task->seats[i].server, to)) >= 0; to++)
            link_to(&task->seats[i], to);
}

static void end(struct rig_task *task)
{
    struct cut_links *own = &cuts[task->index];
    cut_links_end(own);
    count_in_all += own->cut_count;
}

void cut_servers(struct rig *rig, uint64_t seed, int count)
{
    for (int i = 0; i < RIG_TASKS_MAX; i++)
        cut_links_forget(&cuts[i]);
    seed_of_run = seed;
    count_of_run = count;
    rig->server_hooks.begin = begin;
    rig->server_hooks.heal = heal;
    rig->server_hooks.end = end;
}

int cut_servers_count(void)
{
    return count_in_all;
}
