/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group_report.h"
#include "collectives/group_judge.h"
#include "collectives/shared.h"
#include "runtime/base/text.h"
#include <stdio.h>

#define SURVEY_NS MU_SECOND /* what a rank that is alive answers in */
#define NAMED_MAX 3         /* of those that are missing; the others are counted */
#define GOES_NO_FURTHER " goes no further: "

/* ---- words ---- */

/* "worker/1 (10.0.0.2:2222)", "rank 1 (10.0.0.2:2222)", "rank 1": by its number in the whole. */
static void add_peer(struct mu_group *group, int peer)
{
    const char *name = group->transport->names ? group->transport->names[peer] : NULL;
    if (!name)
        mu_group_add_error(group, "rank %d", peer);
    else if (strchr(name, '('))
        mu_group_add_error(group, "%s", name);
    else
        mu_group_add_error(group, "rank %d (%s)", peer, name);
}

static void add_name(struct mu_group *group, int rank)
{
    add_peer(group, mu_group_peer(group, rank));
}

static void add_signature(struct mu_group *group, const struct mu_signature *signature)
{
    char text[MU_SIGNATURE_TEXT_MAX];
    mu_signature_describe(signature, text, sizeof(text));
    mu_group_add_error(group, "%s", text);
}

static void add_duration(struct mu_group *group, int64_t ns)
{
    char text[32];
    mu_text_duration(text, sizeof(text), ns);
    mu_group_add_error(group, "%s", text);
}

/* ---- what is known about a rank ---- */

/* Is the transport, and what it has heard, another thread's? Then shared memory has to do. */
static bool is_apart(const struct mu_group *group)
{
    return group->shared && mu_shared_is_paused(group->shared);
}

struct sight {
    struct mu_signature signature; /* sequence 0: nothing is known */
    int64_t since_ns;              /* when that was heard, or entered; 0: not known */
    bool inside, silent;           /* still in it; did not answer */
    bool hearsay;                  /* then it may be further on by now */
};

static struct sight look(const struct mu_group *group, int rank)
{
    struct sight sight = {0};
    const struct mu_transport *transport = group->transport;
    if (group->shared)
        sight.inside = mu_shared_seen(group->shared, rank, &sight.signature, &sight.since_ns);
    if (!transport->seen || is_apart(group))
        return sight;
    const struct mu_seen *seen = &transport->seen[mu_group_peer(group, rank)];
    sight.silent = transport->ops->survey && !seen->answers;
    if (sight.signature.sequence)
        return sight;
    sight.signature = seen->signature;
    sight.since_ns = seen->since_ns;
    sight.inside = seen->inside;
    sight.hearsay = seen->hearsay;
    return sight;
}

/* Sequences go around. */
static bool entered(const struct mu_group *group, const struct sight *sight)
{
    return sight->signature.group == group->id && sight->signature.sequence &&
           (int32_t)(sight->signature.sequence - group->signature.sequence) >= 0;
}

static bool knows(const struct mu_group *group)
{
    return group->shared || group->transport->seen;
}

/* What it does now is not known: only that it was there, and does not answer. */
static bool is_unknown(const struct sight *sight)
{
    return sight->hearsay && sight->silent;
}

/* ---- PROTOCOL, CLOSED ---- */

/* Why it went no further; "": it has not said so. */
static const char *farewell_of(const struct mu_group *group, int peer)
{
    const struct mu_seen *seen = is_apart(group) ? NULL : group->transport->seen;
    return seen ? seen[peer].farewell : "";
}

static void report_closed(struct mu_group *group, int peer)
{
    const char *farewell = farewell_of(group, peer);
    add_signature(group, &group->signature);
    mu_group_add_error(group, ": ");
    add_peer(group, peer);
    if (farewell[0])
        mu_group_add_error(group, GOES_NO_FURTHER "%s", farewell);
    else
        mu_group_add_error(group, " is gone");
}

/* It may be no rank of the group: then only what messages have said is known. */
static struct mu_signature signature_of(const struct mu_group *group, int peer)
{
    int rank = mu_group_rank_of(group, peer);
    return rank >= 0 ? look(group, rank).signature : group->transport->seen[peer].signature;
}

static void report_mismatch(struct mu_group *group, int peer)
{
    struct mu_signature theirs = signature_of(group, peer);
    if (!mu_group_differs(group, &theirs) && farewell_of(group, peer)[0]) {
        report_closed(group, peer); /* it has seen the others disagree */
        return;
    }
    if (theirs.sequence == 0 || mu_signature_equal(&theirs, &group->signature)) {
        add_signature(group, &group->signature);
        mu_group_add_error(group, ": ");
        add_peer(group, peer);
        mu_group_add_error(group, " sent what does not belong to it");
        return;
    }
    const struct mu_signature *ours = mu_group_counterpart(group, &theirs);
    ours = ours ? ours : &group->signature;
    add_peer(group, peer);
    mu_group_add_error(group, " does ");
    add_signature(group, &theirs);
    mu_group_add_error(group, theirs.group == ours->group ? "; " : " in another group; ");
    add_name(group, group->rank);
    mu_group_add_error(group, " does ");
    add_signature(group, ours);
    theirs.counts_crc = ours->counts_crc;
    if (mu_signature_equal(&theirs, ours))
        mu_group_add_error(group, ", in other parts");
}

/* ---- TIMEOUT ---- */

/* The later the operation that a rank was last seen in, the less it is to blame. */
static int64_t progress(const struct mu_group *group, const struct sight *sight)
{
    int64_t behind = (int32_t)(group->signature.sequence - sight->signature.sequence);
    if (entered(group, sight))
        return sight->silent ? 0 : 1;
    return sight->signature.group == group->id ? -behind : -1;
}

/* Who is furthest behind; among equals whom the algorithm was waiting for. */
static int find_last(const struct mu_group *group, int waited_for)
{
    int last = waited_for;
    int64_t least = INT64_MAX;
    for (int i = 0; i < group->count; i++) {
        int rank = (i + (waited_for < 0 ? 0 : waited_for)) % group->count;
        struct sight sight = look(group, rank);
        if (rank == group->rank || progress(group, &sight) >= least)
            continue;
        least = progress(group, &sight);
        last = rank;
    }
    return last;
}

static void add_missing(struct mu_group *group, int rank)
{
    struct sight sight = look(group, rank);
    int64_t now = mu_now(group->world);
    add_name(group, rank);
    if (is_unknown(&sight))
        mu_group_add_error(group, " has not been heard in it, and may have entered it");
    else
        mu_group_add_error(group, " has not entered it");
    if (sight.signature.sequence == 0) {
        mu_group_add_error(group, "; it has not been seen in any");
    } else {
        char name[MU_SIGNATURE_TEXT_MAX];
        mu_signature_name(&sight.signature, name, sizeof(name));
        mu_group_add_error(group, "; last %s %s %s", is_unknown(&sight) ? "heard" : "seen",
            sight.inside ? "in" : "after", name);
        if (sight.signature.group != group->id)
            mu_group_add_error(group, " of another group");
    }
    if (sight.since_ns) {
        mu_group_add_error(group, " ");
        add_duration(group, now - sight.since_ns);
        mu_group_add_error(group, " ago");
    }
    if (sight.silent)
        mu_group_add_error(group, ", and does not answer");
}

/* Those that are not there yet, `first` before the others; how many. */
static int add_all_missing(struct mu_group *group, int first)
{
    int missing = 0;
    for (int i = 0; i < group->count; i++) {
        int rank = (i + first) % group->count;
        struct sight sight = look(group, rank);
        if (rank == group->rank || entered(group, &sight))
            continue;
        if (missing++ >= NAMED_MAX)
            continue;
        mu_group_add_error(group, missing == 1 ? ": " : "; ");
        add_missing(group, rank);
    }
    if (missing > NAMED_MAX)
        mu_group_add_error(group, "; and %d more", missing - NAMED_MAX);
    return missing;
}

/* Somebody does something else under the same number: -1 if nobody does. */
static int find_other(const struct mu_group *group)
{
    for (int rank = 0; rank < group->count; rank++) {
        struct sight sight = look(group, rank);
        if (rank != group->rank && mu_group_differs(group, &sight.signature))
            return rank;
    }
    return -1;
}

/* It is there, and goes no further. */
static void add_stuck(struct mu_group *group, int rank)
{
    struct sight sight = look(group, rank);
    mu_group_add_error(group, knows(group) ? "; " : ": ");
    add_name(group, rank);
    if (sight.since_ns) {
        mu_group_add_error(group, " did so ");
        add_duration(group, mu_now(group->world) - sight.since_ns);
        mu_group_add_error(group, " ago and");
    }
    mu_group_add_error(group, sight.silent ? " does not answer" : " has sent nothing more");
}

/* Another rank has waited too long before this one, and says for whom. */
static void report_relayed(struct mu_group *group, int peer, int *ret_rank)
{
    *ret_rank = mu_group_rank_of(group, group->transport->seen[peer].late);
    report_closed(group, peer);
}

/* It may have done so in another group, and this one has waited for it: `rank`. -1: none has. */
static int find_teller(const struct mu_group *group, int rank)
{
    if (is_apart(group))
        return -1;
    const struct mu_seen *seen = group->transport->seen;
    int peer = mu_group_find_cause(group, MU_TIMEOUT);
    if (peer >= 0 || rank < 0 || !seen)
        return peer;
    peer = mu_group_peer(group, rank);
    return seen[peer].ended == MU_TIMEOUT ? peer : -1;
}

static enum mu_status report_timeout(struct mu_group *group, int *ret_rank)
{
    int64_t now = mu_now(group->world);
    int teller = find_teller(group, *ret_rank);
    if (teller >= 0) {
        report_relayed(group, teller, ret_rank);
        return MU_TIMEOUT;
    }
    if (group->transport->ops->survey && !is_apart(group))
        group->transport->ops->survey(group->transport, mu_deadline(now, SURVEY_NS));
    int other = find_other(group);
    if (other >= 0) {
        *ret_rank = other;
        report_mismatch(group, mu_group_peer(group, other));
        return MU_PROTOCOL;
    }
    add_signature(group, &group->signature);
    if (mu_group_entered(group)) {
        mu_group_add_error(group, " waited ");
        add_duration(group, now - mu_group_entered(group));
    } else {
        mu_group_add_error(group, " waited until its deadline");
    }
    if (knows(group))
        *ret_rank = find_last(group, *ret_rank);
    if (*ret_rank < 0 || (knows(group) && add_all_missing(group, *ret_rank) > 0))
        return MU_TIMEOUT;
    if (knows(group))
        mu_group_add_error(group, ": all have entered it");
    add_stuck(group, *ret_rank);
    return MU_TIMEOUT;
}

/* ---- all of it ---- */

/* The step that failed has said why, and knows better. "": none did. */
static const char *step_error(const struct mu_group *group)
{
    if (group->home && group->home->error[0])
        return group->home->error;
    return group->abroad ? group->abroad->error : "";
}

/* The trainer's ranks hear of each other by cluster/, which knows better who was first. */
static bool stands_alone(const struct mu_group *group)
{
    while (group->parent)
        group = group->parent;
    return group->close_owner != NULL;
}

/* In ranks of the transport: it may be none of the group, which then is a step of others'
 * operation, too. */
static int find_cause(const struct mu_group *group, enum mu_status status, int rank)
{
    if (rank >= 0)
        return mu_group_peer(group, rank);
    return is_apart(group) ? -1 : mu_group_find_cause(group, status);
}

static enum mu_status report(struct mu_group *group, enum mu_status status, int *ret_rank)
{
    if (step_error(group)[0]) {
        add_signature(group, &group->signature);
        mu_group_add_error(group, ": %s", step_error(group));
        return status;
    }
    if (status == MU_TIMEOUT)
        return report_timeout(group, ret_rank);
    int cause = find_cause(group, status, *ret_rank);
    if (status == MU_PROTOCOL && cause >= 0) {
        report_mismatch(group, cause);
        return status;
    }
    if (status == MU_CLOSED && cause >= 0) {
        report_closed(group, cause);
        return status;
    }
    add_signature(group, &group->signature);
    mu_group_add_error(group, ": %s", mu_status_text(status));
    return status;
}

/* What others have told is passed on as the first of them has said it. */
static const char *reason_of(const struct mu_group *group)
{
    const char *reason = group->error;
    for (const char *at = reason; (at = strstr(at, GOES_NO_FURTHER));)
        reason = at += strlen(GOES_NO_FURTHER);
    return reason;
}

enum mu_status mu_group_report(struct mu_group *group, enum mu_status status, int *ret_rank)
{
    group->error[0] = '\0';
    status = report(group, status, ret_rank);
    bool tells = stands_alone(group) && !mu_group_is_step(group) && !is_apart(group);
    if (group->transport->ops->abort && tells)
        group->transport->ops->abort(group->transport, status,
            *ret_rank >= 0 ? mu_group_peer(group, *ret_rank) : -1, reason_of(group));
    return status;
}
