/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"
#include "ps/seats.h"
#include "roles/launch/local_inside.h"
#include <signal.h>

/* Parameter servers that the cluster waits for are started again. */

bool mu_local_again_awaited(const struct mu_local *launcher, const struct mu_local_child *child)
{
    const struct mu_local_request *request = launcher->request;
    return child->role == MU_ROLE_PS && (request->ps_restarts > 0 || request->has_standbys);
}

/* One that says that another task is unavailable may only be the first to have heard of its end,
 * and be seen before it. */
static bool was_told(const struct mu_local_child *child)
{
    return mu_local_child_code(child) == mu_status_exit(MU_UNAVAILABLE);
}

/* Who has the part of this server, too. */
static const struct mu_local_child *standby_of(
    const struct mu_local *launcher, const struct mu_local_child *child)
{
    const struct mu_local_child *first = launcher->children;
    while (first->role != MU_ROLE_PS)
        first++;
    return first +
           mu_ps_seat_standby_of((int)(child - first), launcher->request->counts[MU_ROLE_PS]);
}

/* The run can do without one server. */
static void add_standby(
    const struct mu_local *launcher, const struct mu_local_child *child, char *out, size_t bytes)
{
    int ended = 0;
    for (int i = 0; i < launcher->count; i++) {
        const struct mu_local_child *other = &launcher->children[i];
        ended += other->role == MU_ROLE_PS && other->state == MU_LOCAL_ENDED && !was_told(other);
    }
    if (ended == 1)
        mu_format(
            out, bytes, ": %s has what it had and takes over", standby_of(launcher, child)->name);
    else
        mu_format(
            out, bytes, ": no standby is left, for it is the server number %d that ended", ended);
}

void mu_local_again_consequence(
    const struct mu_local *launcher, const struct mu_local_child *child, char *out, size_t bytes)
{
    const struct mu_local_request *request = launcher->request;
    out[0] = 0;
    if (child->role != MU_ROLE_PS || launcher->stopping || launcher->lingering || was_told(child))
        return;
    for (int i = 0; i < launcher->count; i++)
        if (mu_local_is_replica(&launcher->children[i]) &&
            launcher->children[i].state == MU_LOCAL_ENDED)
            return;
    if (request->has_standbys)
        add_standby(launcher, child, out, bytes);
    else if (request->ps_restarts > 0 && child->restarts >= request->ps_restarts)
        mu_format(out, bytes,
            ": it has been started again %d times, which is the most, and is not any more; the "
            "run ends when it has waited for it (mode.recovery_seconds)",
            child->restarts);
}

/* A server that the cluster waits for. Without all its replicas it waits for nobody. */
static bool may_come_again(const struct mu_local *launcher, const struct mu_local_child *child)
{
    for (int i = 0; i < launcher->count; i++)
        if (mu_local_is_replica(&launcher->children[i]) &&
            launcher->children[i].state == MU_LOCAL_ENDED)
            return false;
    return child->role == MU_ROLE_PS && child->restarts < launcher->request->ps_restarts &&
           !launcher->stopping;
}

static bool comes_again(const struct mu_local *launcher, const struct mu_local_child *child)
{
    int code = mu_local_child_code(child);
    return may_come_again(launcher, child) && code != 0 && code != mu_status_exit(MU_PREEMPTED) &&
           !mu_cluster_would_fail_again(code);
}

void mu_local_again_watch(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns)
{
    int64_t patience_ms = launcher->request->silence_ms + MU_LOCAL_GIVEN_UP_MS;
    if (may_come_again(launcher, child))
        child->due_ns = child->state == MU_LOCAL_STOPPED ? mu_deadline(now_ns, patience_ms * MU_MS)
                                                         : MU_FOREVER;
}

bool mu_local_again_replace(struct mu_local *launcher, struct mu_local_child *child)
{
    if (child->state != MU_LOCAL_STOPPED || !may_come_again(launcher, child))
        return false;
    mu_local_output_say(&launcher->output,
        "%s is stopped (state T) and the others have given it up: killed, to be started again",
        child->name);
    mu_local_child_signal(child, SIGKILL);
    child->due_ns = MU_FOREVER;
    return true;
}

static int64_t pause_before(const struct mu_local_child *child)
{
    return (MU_LOCAL_AGAIN_MS * MU_MS * (was_told(child) ? 5 : 1)) << child->restarts;
}

bool mu_local_again_plan(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns)
{
    if (!comes_again(launcher, child))
        return false;
    child->again_ns = now_ns + pause_before(child);
    return true;
}

/* What has happened since may have made it pointless. */
static void start_again(struct mu_local *launcher, int index)
{
    struct mu_local_child *child = &launcher->children[index];
    char how[128];
    child->again_ns = 0;
    mu_local_child_describe(child, how, sizeof(how));
    if (comes_again(launcher, child) &&
        mu_local_start_task(launcher, index, mu_local_child_start_again) == MU_OK)
        mu_local_output_say(&launcher->output,
            "%s ended with %s: started again, pid %d (%d of at most %d times)", child->name, how,
            (int)child->pid, child->restarts, launcher->request->ps_restarts);
    else
        mu_local_output_say(&launcher->output, "%s ended with %s", child->name, how);
}

void mu_local_again_check(struct mu_local *launcher)
{
    int64_t now_ns = mu_local_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < launcher->count; i++) {
        const struct mu_local_child *child = &launcher->children[i];
        if (child->again_ns > 0 && (child->again_ns <= now_ns || !comes_again(launcher, child)))
            start_again(launcher, i);
    }
}
