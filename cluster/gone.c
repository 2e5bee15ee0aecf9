/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster_inside.h"
#include <stdio.h>

/*
 * A parameter server is lost whose part of the parameters others have, too: the run goes on without
 * it, and nothing of it comes back. The leader tells everybody (GONE); what that means for the
 * links to it is for the layers above.
 */

bool mu_gone_can(const struct mu_cluster *cluster, int task)
{
    return cluster->leads && cluster->stands_by && cluster->gone < 0 && task >= 0 &&
           task < cluster->spec->task_count && cluster->spec->task[task].role == MU_ROLE_PS;
}

static void note(struct mu_cluster *cluster, int task, const char *text)
{
    mu_say(cluster->log, MU_LEVEL_WARN, "%s", text);
    cluster->gone = task;
    cluster->suspect = -1;
    if (cluster->on_gone)
        cluster->on_gone(cluster->gone_owner, task);
}

void mu_gone_tell(struct mu_cluster *cluster, int task, const char *text)
{
    struct mu_member *member = &cluster->member[task];
    char said[MU_CLUSTER_TEXT_MAX];
    uint8_t memory[MU_CLUSTER_TEXT_MAX + 64];
    struct mu_body body;
    snprintf(said, sizeof(said), "%.560s; the run goes on without it", text);
    /* One that said goodbye hangs up by itself. */
    if (!member->left) {
        mu_link_close(member->link);
        member->link = NULL;
    }
    mu_body_begin(&body, memory, sizeof(memory), 2);
    mu_body_put_int(&body, "task", task);
    mu_body_put_text(&body, "text", said);
    mu_control_broadcast(cluster, MU_FRAME_GONE, &body);
    note(cluster, task, said);
}

void mu_gone_read(struct mu_cluster *cluster, struct mu_decoder *decoder)
{
    char text[MU_CLUSTER_TEXT_MAX];
    int64_t task;
    /* An observer has no links to it. */
    if (cluster->leads || cluster->gone >= 0 || cluster->over ||
        !mu_cluster_needs(cluster, cluster->spec->self) ||
        !mu_decoder_int(decoder, "task", 0, cluster->spec->task_count - 1, &task) ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)))
        return;
    note(cluster, (int)task, text);
}

void mu_cluster_stand_by(struct mu_cluster *cluster)
{
    cluster->stands_by = true;
}

void mu_cluster_on_gone(
    struct mu_cluster *cluster, void (*on_gone)(void *owner, int task), void *owner)
{
    cluster->on_gone = on_gone;
    cluster->gone_owner = owner;
}
