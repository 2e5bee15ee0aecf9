/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/server/ps_links.h"
#include "ps/seats.h"
#include "roles/relink.h"
#include "roles/task_cluster.h"

static enum mu_status answer(
    struct mu_ps_links *links, int task, int kind, uint32_t lane, struct mu_link **ret_link)
{
    return mu_task_answer(
        links->run, links->cluster, task, kind, lane, "waiting for a link", ret_link);
}

/* ---- between servers ---- */

static int server_count(const struct mu_ps_links *links)
{
    return links->run->spec->ps_count;
}

static int task_of_seat(const struct mu_ps_links *links, int seat)
{
    return mu_relink_task(links->run->spec, seat);
}

/* Two seats of one process may have a link to the same one of another. */
static uint32_t lane_between(int from, int to)
{
    return (uint32_t)(from * MU_PS_SEATS_MAX + to);
}

/* The deputy's seat is there only with standbys. */
static int deputy_of(const struct mu_ps_links *links)
{
    return links->count > 1 ? server_count(links) : -1;
}

/* Those that judge, or would: every other seat calls them, but the head does not call its deputy.
 */
static bool calls(const struct mu_ps_links *links, int from, int to)
{
    return from != to && !(to == deputy_of(links) && from == 0);
}

static int unlinked(const void *server, int seat)
{
    return mu_ps_server_unlinked(server, seat);
}

static int64_t unlinked_since_ns(const void *server, int seat)
{
    return mu_ps_server_unlinked_since_ns(server, seat);
}

static void add_judge(void *server, int seat, struct mu_link *link)
{
    if (seat == 0)
        mu_ps_server_add_head(server, link);
    else
        mu_ps_server_add_deputy(server, link);
}

/* The links that this seat calls for. */
static struct mu_relink relink_of(const struct mu_ps_links *links, int own)
{
    static const struct mu_relink_ops judges = {
        .kind = MU_KIND_ORDER,
        .unlinked = unlinked,
        .unlinked_since_ns = unlinked_since_ns,
        .add = add_judge,
    };
    return (struct mu_relink){
        .ops = &judges,
        .owner = links->server[own],
        .run = links->run,
        .cluster = links->cluster,
        .lane = lane_between(links->seat[own], 0),
    };
}

static enum mu_status call_seat(struct mu_ps_links *links, int own, int to)
{
    const struct mu_relink relink = relink_of(links, own);
    return to >= 0 && calls(links, links->seat[own], to) ? mu_relink_make(&relink, to) : MU_OK;
}

static enum mu_status await_seats(struct mu_ps_links *links, int own)
{
    struct mu_link *link;
    int to = links->seat[own], seats = links->count * server_count(links);
    if (to != 0 && to != deputy_of(links))
        return MU_OK;
    for (int from = 0; from < seats; from++) {
        if (!calls(links, from, to))
            continue;
        MU_TRY(
            answer(links, task_of_seat(links, from), MU_KIND_ORDER, lane_between(from, to), &link));
        mu_ps_server_add_follower(links->server[own], from, link);
    }
    return MU_OK;
}

/* ---- from replicas ---- */

static enum mu_status await_replicas(struct mu_ps_links *links, int own)
{
    const struct mu_spec *spec = links->run->spec;
    uint32_t seat = (uint32_t)links->seat[own];
    struct mu_link *link;
    MU_TRY(answer(links, spec->leader, MU_KIND_STATE, seat, &link));
    mu_ps_server_add_leader(links->server[own], link);
    for (int r = 0; r < spec->replica_count; r++) {
        MU_TRY(answer(links, mu_spec_replica(spec, r), MU_KIND_PUSH, seat, &link));
        mu_ps_server_add_worker(links->server[own], r, link);
    }
    return MU_OK;
}

enum mu_status mu_ps_links_make(struct mu_ps_links *links)
{
    for (int own = 0; own < links->count; own++) {
        MU_TRY(call_seat(links, own, 0));
        MU_TRY(call_seat(links, own, deputy_of(links)));
    }
    for (int own = 0; own < links->count; own++)
        MU_TRY(await_seats(links, own));
    for (int own = 0; own < links->count; own++)
        MU_TRY(await_replicas(links, own));
    MU_TRY(mu_redial_init(&links->redial, links->cluster));
    links->made = true;
    return MU_OK;
}

/* ---- links that broke ---- */

/* False: nobody has called again. */
static bool is_there_again(
    struct mu_ps_links *links, int task, int kind, uint32_t lane, struct mu_link **ret_link)
{
    char name[MU_TASK_NAME_MAX];
    /* A deadline that has passed: it is there, or not. */
    if (mu_cluster_answer(links->cluster, task, kind, lane, 0, ret_link) != MU_OK)
        return false;
    mu_task_name(&links->run->spec->task[task], name, sizeof(name));
    mu_say(links->run->log, MU_LEVEL_INFO,
        "the connection of %s broke and is there again: nothing is taken twice", name);
    return true;
}

static void take_replicas(struct mu_ps_links *links, int own)
{
    const struct mu_spec *spec = links->run->spec;
    uint32_t seat = (uint32_t)links->seat[own];
    struct mu_link *link;
    for (int r = 0; r < spec->replica_count; r++)
        if (is_there_again(links, mu_spec_replica(spec, r), MU_KIND_PUSH, seat, &link))
            mu_ps_server_add_worker(links->server[own], r, link);
    if (is_there_again(links, spec->leader, MU_KIND_STATE, seat, &link))
        mu_ps_server_add_leader(links->server[own], link);
}

static void take_seats(struct mu_ps_links *links, int own)
{
    struct mu_link *link;
    int to = links->seat[own], seats = links->count * server_count(links);
    if (to != 0 && to != deputy_of(links))
        return;
    for (int from = 0; from < seats; from++)
        if (calls(links, from, to) && is_there_again(links, task_of_seat(links, from),
                                          MU_KIND_ORDER, lane_between(from, to), &link))
            mu_ps_server_add_follower(links->server[own], from, link);
}

void mu_ps_links_take(struct mu_ps_links *links)
{
    struct mu_relink relinks[2];
    if (!links->made)
        return;
    for (int own = 0; own < links->count; own++) {
        take_replicas(links, own);
        take_seats(links, own);
        relinks[own] = relink_of(links, own);
    }
    mu_relink_look(relinks, links->count, &links->redial);
}

void mu_ps_links_finish(struct mu_ps_links *links)
{
    mu_redial_finish(&links->redial);
    links->made = false;
}

/* ---- who is lost ---- */

void mu_ps_links_lose(struct mu_ps_links *links, int order)
{
    for (int own = 0; own < links->count; own++)
        mu_ps_server_lose_server(links->server[own], order);
}

int mu_ps_links_culprit(const struct mu_ps_links *links)
{
    const struct mu_spec *spec = links->run->spec;
    /* Of two that run together each says whose fault the failure of either was. */
    const struct mu_ps_culprit culprit = mu_ps_server_culprit(links->server[0]);
    switch (culprit.kind) {
    case MU_PS_PEER_WORKER:
        return mu_spec_replica(spec, culprit.index);
    case MU_PS_PEER_SERVER:
        return mu_spec_ps(spec, culprit.index);
    default:
        return spec->leader;
    }
}
