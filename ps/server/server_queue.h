/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_QUEUE_H
#define MU_PS_SERVER_QUEUE_H

#include "muster/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The order: what callbacks of links append, and run serves one after the other. */
struct mu_ps_buffer;

enum mu_ps_event_kind {
    MU_PS_EVENT_BUFFER, /* a gradient, or another request of a worker */
    MU_PS_EVENT_LOSS,
    MU_PS_EVENT_JOIN,
    MU_PS_EVENT_CHOICE, /* server_auto.h */
    MU_PS_EVENT_SNAPSHOT,
    MU_PS_EVENT_HEAD_ENDS, /* all is served that a head which is lost has said */
};

struct mu_ps_event {
    enum mu_ps_event_kind kind;
    struct mu_ps_buffer *buffer; /* BUFFER */
    int worker;                  /* LOSS, JOIN */
    uint64_t snapshot_id;        /* SNAPSHOT */
    bool gives;                  /* SNAPSHOT: it goes to the leader */
};

struct mu_ps_queue {
    struct mu_ps_event *events; /* a ring of `capacity` */
    size_t first, count, capacity;
};

enum mu_status mu_ps_queue_init(struct mu_ps_queue *queue, size_t capacity); /* NO_MEMORY */
void mu_ps_queue_finish(struct mu_ps_queue *queue); /* takes a zeroed one */
/* There is room: who makes the queue knows how many events there can be. */
void mu_ps_queue_add(struct mu_ps_queue *queue, const struct mu_ps_event *event);
/* NULL: it is empty. */
const struct mu_ps_event *mu_ps_queue_first(const struct mu_ps_queue *queue);
struct mu_ps_event mu_ps_queue_take(struct mu_ps_queue *queue);

#endif
