/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/relink.h"
#include "ps/seats.h"
#include "roles/task_cluster.h"
#include "runtime/base/text.h"

int mu_relink_task(const struct mu_spec *spec, int seat)
{
    return mu_spec_ps(spec, mu_ps_seat_process(seat, spec->ps_count));
}

enum mu_status mu_relink_make(const struct mu_relink *relink, int seat)
{
    struct mu_link *link;
    MU_TRY(mu_task_dial(relink->run, relink->cluster, mu_relink_task(relink->run->spec, seat),
        relink->ops->kind, relink->lane + (uint32_t)seat, &link));
    relink->ops->add(relink->owner, seat, link);
    return MU_OK;
}

/* ---- links that broke ---- */

static void say_there(const struct mu_relink *relink, int seat, int64_t since_ns)
{
    const struct mu_task_run *run = relink->run;
    char name[MU_TASK_NAME_MAX], age[32];
    mu_task_name(&run->spec->task[mu_relink_task(run->spec, seat)], name, sizeof(name));
    mu_text_duration(age, sizeof(age), mu_now(run->world) - since_ns);
    mu_say(run->log, MU_LEVEL_INFO,
        "the connection to %s broke and is there again after %s: nothing is lost", name, age);
}

static void add(const struct mu_relink *relink, int seat, struct mu_link *link)
{
    const struct mu_relink_ops *ops = relink->ops;
    if (ops->unlinked(relink->owner, seat) != seat) {
        mu_link_close(link);
        return;
    }
    int64_t since = ops->unlinked_since_ns(relink->owner, seat);
    ops->add(relink->owner, seat, link);
    say_there(relink, seat, since);
}

void mu_relink_look(const struct mu_relink relinks[], int count, struct mu_redial *redial)
{
    struct mu_link *link;
    uint32_t lane;
    if (mu_redial_done(redial, &link, &lane)) {
        int whose = 0;
        while (whose < count && relinks[whose].lane != lane - lane % MU_PS_SEATS_MAX)
            whose++;
        assert(whose < count); /* only these dial */
        add(&relinks[whose], (int)(lane % MU_PS_SEATS_MAX), link);
    }
    for (int i = 0; i < count; i++) {
        const struct mu_relink *relink = &relinks[i];
        int seat = relink->ops->unlinked(relink->owner, 0);
        if (seat >= 0)
            mu_redial_start(redial, mu_relink_task(relink->run->spec, seat), relink->ops->kind,
                relink->lane + (uint32_t)seat);
    }
}
