/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <stdio.h>

/*
 * This task is the one that the others do without, or have ended with: it was stopped, or cut off,
 * and finds that when it goes on. It says since when the leader had heard nothing from it, and what
 * has become of its part.
 */

/* "chief/0 (10.0.0.1:2222) has heard nothing from it since ..., for longer than 5.0 s"; false: that
 * was not why. */
static bool read_silence(
    const struct mu_cluster *cluster, struct mu_decoder *decoder, char out[MU_CLUSTER_TEXT_MAX])
{
    char who[160], time[40], limit[32];
    int64_t since, limit_ns;
    if (!mu_decoder_int(decoder, "since", 1, INT64_MAX, &since) ||
        !mu_decoder_int(decoder, "limit", 1, INT64_MAX, &limit_ns))
        return false;
    mu_cluster_who(cluster, cluster->spec->leader, who, sizeof(who));
    mu_text_time(time, sizeof(time), since);
    mu_text_duration(limit, sizeof(limit), limit_ns);
    snprintf(out, MU_CLUSTER_TEXT_MAX, "%s had heard nothing from it since %s, and the limit is %s",
        who, time, limit);
    return true;
}

static void end_given_up(
    struct mu_cluster *cluster, const char *why, const char *then, const char *help)
{
    if (cluster->failed != MU_OK || cluster->over)
        return;
    mu_cluster_fail(cluster,
        mu_fail(cluster->log, MU_E0405, help, "this task was given up: %s; %s", why, then));
}

bool mu_given_up_ends(struct mu_cluster *cluster, struct mu_decoder *decoder, int64_t task)
{
    char why[MU_CLUSTER_TEXT_MAX], go_on[MU_CLUSTER_GO_ON_MAX];
    if (task != cluster->spec->self || !cluster->started || !read_silence(cluster, decoder, why))
        return false;
    end_given_up(
        cluster, why, "the run has ended with that", mu_cluster_how_to_go_on(cluster, go_on));
    return true;
}

/* What a leader finds within this time of going on was so before. */
#define JUST_AWAKE_NS (2 * MU_SECOND)

/* The last that the others have heard was said at the last tick. */
void mu_given_up_note_sleep(struct mu_cluster *cluster, int64_t now)
{
    int64_t slept_ns = now - cluster->ticked_ns;
    if (slept_ns < cluster->options.dead_ns)
        return;
    cluster->slept_ns = slept_ns;
    cluster->woke_ns = now;
}

bool mu_given_up_is_likely(struct mu_cluster *cluster)
{
    int64_t now = mu_now(cluster->world);
    mu_given_up_note_sleep(cluster, now);
    return cluster->started && !cluster->over && cluster->slept_ns > 0 &&
           now - cluster->woke_ns <= JUST_AWAKE_NS;
}

bool mu_given_up_slept(struct mu_cluster *cluster, const char *text)
{
    char slept[32], limit[32], time[40], why[MU_CLUSTER_TEXT_MAX], then[MU_CLUSTER_TEXT_MAX];
    char go_on[MU_CLUSTER_GO_ON_MAX];
    struct mu_world *world = cluster->world;
    int64_t now = mu_now(world);
    /* What has come on a link may be seen before the tick that is late. */
    mu_given_up_note_sleep(cluster, now);
    if (!cluster->leads || !cluster->started || cluster->slept_ns == 0 ||
        now - cluster->woke_ns > JUST_AWAKE_NS)
        return false;
    mu_text_duration(slept, sizeof(slept), cluster->slept_ns);
    mu_text_duration(limit, sizeof(limit), cluster->options.dead_ns);
    mu_text_time(time, sizeof(time),
        world->ops->wall_ns(world) - (now - cluster->woke_ns) - cluster->slept_ns);
    snprintf(why, sizeof(why),
        "it did nothing for %s, since %s (stopped, or on a machine that slept), and the limit of "
        "the others is %s",
        slept, time, limit);
    snprintf(then, sizeof(then),
        "the run has ended with that, and what it finds now is no cause: %s", text);
    end_given_up(cluster, why, then, mu_cluster_how_to_go_on(cluster, go_on));
    return true;
}

/* A process that the run knows no more: a new one takes its place. */
static void end_awaited(struct mu_cluster *cluster, const char *why)
{
    char start[MU_CLUSTER_GO_ON_MAX], help[MU_CLUSTER_GO_ON_MAX + 64];
    if (mu_cluster_how_to_start(cluster, cluster->spec->self, start))
        snprintf(help, sizeof(help), "`%s` starts it again, if nothing else does", start);
    else
        mu_text_copy(help, sizeof(help), "start it again as it was started, if nothing else does");
    end_given_up(cluster, why, "the run waits for it to be started again", help);
}

void mu_given_up_read(struct mu_cluster *cluster, struct mu_decoder *decoder, const char *text)
{
    char why[MU_CLUSTER_TEXT_MAX], then[160], help[240], name[MU_TASK_NAME_MAX];
    if (!read_silence(cluster, decoder, why))
        mu_text_copy(why, sizeof(why), text);
    if (!cluster->options.standby_of) {
        end_awaited(cluster, why);
        return;
    }
    mu_gone_name_standby(cluster, cluster->spec->self, name);
    snprintf(then, sizeof(then),
        "the run goes on without it: %s has what it had and serves that, and nothing acknowledged "
        "is lost",
        name);
    mu_task_name(&cluster->spec->task[cluster->spec->self], name, sizeof(name));
    snprintf(help, sizeof(help),
        "nothing to type: leave %s ended, it is one of the servers again when all tasks are "
        "started "
        "for the next run, or to resume this one",
        name);
    end_given_up(cluster, why, then, help);
}

void mu_given_up_add_help(const struct mu_cluster *cluster, int task, struct mu_text *help)
{
    const struct mu_spec *spec = cluster->spec;
    char name[MU_TASK_NAME_MAX];
    if (task != spec->leader || cluster->leads || !cluster->options.standby_of ||
        cluster->gone >= 0 || spec->task[spec->self].role != MU_ROLE_PS)
        return;
    mu_gone_name_standby(cluster, spec->self, name);
    mu_text_add(help,
        "if it is there and only this task was cut off, the run goes on with %s in its "
        "place, and there is nothing to type; if not, ",
        name);
}
