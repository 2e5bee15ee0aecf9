/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/shared.h"
#include "roles/sync/exchange_inside.h"
#include "runtime/base/text.h"
#include <string.h>

#define TRIALS 5 /* of each way to exchange, to choose */

/* ---- summing on the training thread ---- */

/* A failure of the training thread, to be explained by the thread that owns the cluster. */
struct failure {
    struct mu_exchange_bucket *bucket;
    enum mu_status status;
    int rank;
    int64_t since;
};

static enum mu_status run_blame(struct mu_command *command)
{
    struct failure *failure = command->owner;
    MU_TRY(failure->bucket->exchange->replica->failed);
    return mu_exchange_blame(failure->bucket, failure->status, failure->rank, failure->since);
}

/* The loop is the communication thread's, which turns it; here we only look what it says. */
static enum mu_status look(void *owner)
{
    struct mu_replica *replica = owner;
    return (enum mu_status)atomic_load_explicit(
        &replica->communicator.cancelled, memory_order_acquire);
}

enum mu_status mu_exchange_thread_run(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    enum mu_status status = MU_OK;
    /* Only what needs no event loop, also for the shortest: the loop is another thread's. */
    const struct mu_algorithm *forced = replica->group.forced;
    replica->group.forced = exchange->here;
    mu_shared_set_pause(replica->group.shared, look, replica);
    for (int i = 0; i < exchange->bucket_count && status == MU_OK; i++) {
        struct failure failure = {.bucket = exchange->bucket[i], .rank = -1};
        failure.status = mu_exchange_sum(failure.bucket, &failure.since, &failure.rank);
        if (failure.status != MU_OK)
            status = mu_communicator_do(&replica->communicator, run_blame, &failure);
    }
    mu_shared_set_pause(replica->group.shared, NULL, NULL);
    replica->group.forced = forced;
    return status;
}

/* ---- which thread ---- */

static enum mu_status run_nothing(struct mu_command *command)
{
    return command->status;
}

static double seconds_since(struct mu_replica *replica, int64_t since)
{
    return (double)(mu_now(replica->world) - since) / 1e9;
}

/* Could the buckets be summed by the training thread: does it need no event loop? */
static bool can_run_here(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    const struct mu_request whole = {
        .kind = MU_ALLREDUCE, .data = exchange->gradients, .count = replica->layout.element_count};
    if (!exchange->shared || replica->count == 1)
        return false;
    exchange->here = mu_choose(&replica->group, &whole);
    return exchange->here && exchange->here->any_thread &&
           strcmp(replica->job->compressor->name, "none") == 0;
}

static enum mu_status run_trial(struct mu_exchange *exchange, double *ret_seconds)
{
    struct mu_replica *replica = exchange->replica;
    int64_t since = mu_now(replica->world);
    MU_TRY(mu_exchange_begin(exchange));
    mu_exchange_slice(exchange, (struct mu_span){0, replica->layout.element_count});
    MU_TRY(mu_exchange_finish(exchange));
    *ret_seconds = seconds_since(replica, since);
    return MU_OK;
}

/* With the reason: without a processor to spare the two times decide nothing. */
static void say_thread(
    const struct mu_exchange *exchange, float here_seconds, float wake_seconds, bool crowded)
{
    char why[128];
    if (crowded)
        mu_text_copy(why, sizeof(why), "not every replica has a processor to spare");
    else
        mu_format(why, sizeof(why),
            "an exchange takes %.0f us here, waking the communication thread %.0f us",
            here_seconds * 1e6F, wake_seconds * 1e6F);
    mu_say(exchange->replica->log, MU_LEVEL_DEBUG, "%s: gradients are summed on the %s thread", why,
        exchange->on_training_thread ? "training" : "communication");
}

/* The least of several trials of each, summed over the replicas, and how many have no processor to
 * spare: all choose alike. */
enum mu_status mu_exchange_thread_choose(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    float least[3] = {1e9F, 1e9F, 0};
    if (!can_run_here(exchange))
        return MU_OK;
    exchange->on_training_thread = true;
    for (int i = 0; i < TRIALS; i++) {
        double here;
        MU_TRY(run_trial(exchange, &here));
        int64_t since = mu_now(replica->world);
        MU_TRY(mu_communicator_do(&replica->communicator, run_nothing, NULL));
        double wake = seconds_since(replica, since);
        least[0] = here < least[0] ? (float)here : least[0];
        least[1] = wake < least[1] ? (float)wake : least[1];
    }
    exchange->on_training_thread = false;
    least[2] = mu_replica_is_crowded(replica) ? 1 : 0;
    MU_TRY(mu_replica_sum(replica, least, 3));
    exchange->on_training_thread = least[2] > 0 || least[0] < least[1];
    say_thread(
        exchange, least[0] / (float)replica->count, least[1] / (float)replica->count, least[2] > 0);
    return MU_OK;
}
