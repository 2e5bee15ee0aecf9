/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim_net.h"
#include "sim/sim_loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- loops ---- */

void mu_sim_item_queue(struct mu_sim_item *item)
{
    struct mu_sim_loop *loop = item->loop;
    if (item->queued)
        return;
    item->queued = true;
    item->turn = loop->turn;
    item->next = NULL;
    item->previous = loop->last;
    if (loop->last)
        loop->last->next = item;
    else
        loop->first = item;
    loop->last = item;
    if (loop->waiting)
        mu_strand_ready(loop->strand);
}

void mu_sim_item_unqueue(struct mu_sim_item *item)
{
    struct mu_sim_loop *loop = item->loop;
    if (!item->queued)
        return;
    item->queued = false;
    if (item->next)
        item->next->previous = item->previous;
    else
        loop->last = item->previous;
    if (item->previous)
        item->previous->next = item->next;
    else
        loop->first = item->next;
}

/* Calls back for all that was ready before this turn; what becomes ready meanwhile is for the next
 * one. */
static bool run_items(struct mu_sim_loop *loop)
{
    bool any = loop->woken;
    loop->woken = false;
    loop->turn++;
    while (loop->first && loop->first->turn < loop->turn) {
        struct mu_sim_item *item = loop->first;
        mu_sim_item_unqueue(item);
        item->run(item);
        any = true;
    }
    return any;
}

static enum mu_status turn(struct mu_loop *base, int64_t deadline_ns)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    struct mu_scheduler *scheduler = loop->strand->scheduler;
    assert(scheduler->running == loop->strand); /* a loop has one owner */
    if (run_items(loop))
        return MU_OK;
    loop->waiting = true;
    mu_strand_wait(scheduler, "the network", deadline_ns);
    loop->waiting = false;
    return run_items(loop) ? MU_OK : MU_TIMEOUT;
}

static void wake(struct mu_loop *base)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    loop->woken = true;
    if (loop->waiting)
        mu_strand_ready(loop->strand);
}

static void loop_unlink(struct mu_sim_loop *loop)
{
    struct mu_sim_loop **at = &loop->host->loops;
    while (*at != loop)
        at = &(*at)->next;
    *at = loop->next;
}

static void destroy(struct mu_loop *base)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    assert(!loop->first);
    assert(!loop->timers);
    loop_unlink(loop);
    free(loop);
}

/* ---- listeners ---- */

struct mu_listener *mu_sim_net_listener(struct mu_sim_host *host, int port)
{
    struct mu_listener *listener = host->listeners;
    while (listener && listener->port != port)
        listener = listener->next;
    return listener;
}

static void listener_free(struct mu_listener *listener)
{
    mu_sim_item_unqueue(&listener->item);
    free(listener);
}

/* Frees the port and refuses who was waiting to be accepted. */
static void listener_stop(struct mu_listener *listener)
{
    struct mu_listener **at = &listener->item.loop->host->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    listener->closed = true;
    struct mu_stream *stream;
    while ((stream = mu_sim_stream_next(listener)) != NULL)
        mu_sim_stream_close(stream);
}

static void listener_close(struct mu_listener *listener)
{
    if (!listener || listener->closed)
        return;
    listener_stop(listener);
    if (!listener->running)
        listener_free(listener);
}

static void listener_run(struct mu_sim_item *item)
{
    struct mu_listener *listener = (struct mu_listener *)item;
    struct mu_stream *stream;
    listener->running = true;
    while (!listener->closed && (stream = mu_sim_stream_next(listener)) != NULL)
        mu_sim_stream_hand_over(listener, stream);
    listener->running = false;
    if (listener->closed)
        listener_free(listener);
}

static enum mu_status listen_at(struct mu_loop *base, const struct mu_address *address,
    int inherited_fd, void (*accepted)(void *owner, struct mu_stream *stream), void *owner,
    struct mu_listener **ret_listener, int *ret_error)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    struct mu_sim_host *host = loop->host;
    assert(inherited_fd < 0); /* nobody launches simulated tasks */
    assert(address->port > 0);
    if (mu_sim_net_find(host, address->host) != host) {
        *ret_error = EADDRNOTAVAIL;
        return MU_CONFIG;
    }
    if (mu_sim_net_listener(host, address->port)) {
        *ret_error = EADDRINUSE;
        return MU_UNAVAILABLE;
    }
    struct mu_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return MU_NO_MEMORY;
    listener->item = (struct mu_sim_item){.loop = loop, .run = listener_run};
    listener->port = address->port;
    listener->accepted = accepted;
    listener->owner = owner;
    listener->next = host->listeners;
    host->listeners = listener;
    mu_event_log_line(
        host->net->events, host->task, "listens at %s:%d", host->address, address->port);
    *ret_listener = listener;
    return MU_OK;
}

/* ---- timers ---- */

struct mu_timer {
    struct mu_sim_item item;
    struct mu_event event;
    int64_t period_ns;
    void (*fired)(void *owner);
    void *owner;
    struct mu_timer *next; /* of the loop */
};

static void on_period(void *owner)
{
    struct mu_timer *timer = owner;
    mu_sim_item_queue(&timer->item);
}

static void timer_run(struct mu_sim_item *item)
{
    struct mu_timer *timer = (struct mu_timer *)item;
    /* From now and not from when it was due: who comes late does not get a burst. */
    mu_agenda_arm(&timer->event, mu_deadline(timer->event.agenda->now_ns, timer->period_ns));
    timer->fired(timer->owner);
}

static enum mu_status timer_start(struct mu_loop *base, int64_t period_ns,
    void (*fired)(void *owner), void *owner, struct mu_timer **ret_timer)
{
    struct mu_sim_loop *loop = (struct mu_sim_loop *)base;
    struct mu_agenda *agenda = &loop->strand->scheduler->agenda;
    assert(period_ns > 0);
    struct mu_timer *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return MU_NO_MEMORY;
    if (mu_agenda_event_init(agenda, &timer->event, on_period, timer) != MU_OK) {
        free(timer);
        return MU_NO_MEMORY;
    }
    timer->item = (struct mu_sim_item){.loop = loop, .run = timer_run};
    timer->period_ns = period_ns;
    timer->fired = fired;
    timer->owner = owner;
    timer->next = loop->timers;
    loop->timers = timer;
    mu_agenda_arm(&timer->event, mu_deadline(agenda->now_ns, period_ns));
    *ret_timer = timer;
    return MU_OK;
}

static void timer_stop(struct mu_timer *timer)
{
    if (!timer)
        return;
    struct mu_timer **at = &timer->item.loop->timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    mu_sim_item_unqueue(&timer->item);
    mu_agenda_event_finish(&timer->event);
    free(timer);
}

/* ---- hosts ---- */

static bool is_loopback(const char *address)
{
    return strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0 ||
           strcmp(address, "localhost") == 0;
}

struct mu_sim_host *mu_sim_net_find(struct mu_sim_host *from, const char *address)
{
    struct mu_sim_net *net = from->net;
    if (is_loopback(address))
        return from;
    for (int i = 0; i < net->host_count; i++) {
        if (strcmp(net->hosts[i].address, address) == 0)
            return &net->hosts[i];
    }
    return NULL;
}

int64_t mu_sim_net_latency_ns(const struct mu_sim_host *from, const struct mu_sim_host *to)
{
    const struct mu_sim_net *net = from->net;
    const struct mu_sim_faults *faults = net->faults;
    if (!faults->link_delay_ns)
        return net->latency_ns;
    int64_t now_ns = net->scheduler->agenda.now_ns;
    return mu_deadline(
        net->latency_ns, faults->link_delay_ns(faults->owner, from->index, to->index, now_ns));
}

enum mu_status mu_sim_net_host_init(
    struct mu_sim_net *net, int index, const char *task, int64_t bits_per_second)
{
    struct mu_sim_host *host = &net->hosts[index];
    assert(index < MU_SIM_HOSTS_MAX);
    *host = (struct mu_sim_host){
        .net = net, .index = index, .task = task, .ephemeral_port = MU_SIM_EPHEMERAL_FIRST};
    mu_format(host->address, sizeof(host->address), "10.%d.%d.%d", index / 62500, index / 250 % 250,
        index % 250 + 1);
    return mu_port_init(&host->port, &net->scheduler->agenda, bits_per_second);
}

void mu_sim_net_host_reset(struct mu_sim_host *host)
{
    while (host->listeners) {
        struct mu_listener *listener = host->listeners;
        listener_stop(listener);
        listener_free(listener);
    }
    mu_sim_stream_reset_all(host);
    while (host->loops) {
        struct mu_sim_loop *loop = host->loops;
        while (loop->timers)
            timer_stop(loop->timers);
        loop_unlink(loop);
        free(loop);
    }
}

void mu_sim_net_host_finish(struct mu_sim_host *host)
{
    mu_port_finish(&host->port);
}

static const struct mu_net_ops sim_net_ops = {
    .destroy = destroy,
    .turn = turn,
    .wake = wake,
    .listen = listen_at,
    .listener_close = listener_close,
    .connect = mu_sim_stream_connect,
    .own = mu_sim_stream_own,
    .write = mu_sim_stream_write,
    .resume = mu_sim_stream_resume,
    .delivered = mu_sim_stream_delivered,
    .peer_name = mu_sim_stream_peer_name,
    .close = mu_sim_stream_close,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
};

enum mu_status mu_sim_net_loop_create(
    struct mu_sim_host *host, struct mu_world *world, struct mu_loop **ret_loop)
{
    struct mu_sim_loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return MU_NO_MEMORY;
    loop->base = (struct mu_loop){.ops = &sim_net_ops, .world = world};
    loop->host = host;
    loop->strand = host->net->scheduler->running;
    loop->next = host->loops;
    host->loops = loop;
    *ret_loop = &loop->base;
    return MU_OK;
}
