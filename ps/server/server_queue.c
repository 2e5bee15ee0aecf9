/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_queue.h"
#include <assert.h>
#include <stdlib.h>

enum mu_status mu_ps_queue_init(struct mu_ps_queue *queue, size_t capacity)
{
    *queue = (struct mu_ps_queue){.capacity = capacity};
    queue->events = calloc(capacity, sizeof(*queue->events));
    return queue->events ? MU_OK : MU_NO_MEMORY;
}

void mu_ps_queue_finish(struct mu_ps_queue *queue)
{
    free(queue->events);
    *queue = (struct mu_ps_queue){0};
}

void mu_ps_queue_add(struct mu_ps_queue *queue, const struct mu_ps_event *event)
{
    assert(queue->count < queue->capacity);
    queue->events[(queue->first + queue->count) % queue->capacity] = *event;
    queue->count++;
}

const struct mu_ps_event *mu_ps_queue_first(const struct mu_ps_queue *queue)
{
    return queue->count > 0 ? &queue->events[queue->first] : NULL;
}

struct mu_ps_event mu_ps_queue_take(struct mu_ps_queue *queue)
{
    assert(queue->count > 0);
    struct mu_ps_event event = queue->events[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    return event;
}
