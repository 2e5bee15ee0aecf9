/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/ps_handle.h"
#include <string.h>

/*
 * Memory that servers of this host see (ps/client_share.c). Callers have their vectors in memory of
 * their own, so each push has two beside them there:
 *
 *   mu_ps_push  gradients  -- copied -->  its gradient  .. applied where it lies ..  server
 *   mu_ps_wait  parameters <-- copied --  its fresh ones  .. written there ........  server
 *
 * What goes to servers elsewhere travels from there and to there.
 */

static bool is_anything_under_way(const struct mu_ps *ps)
{
    for (int i = 0; i < ps->in_flight; i++)
        if (ps->push[i].in_use)
            return true;
    return false;
}

enum mu_status mu_ps_handle_share(struct mu_ps *ps, int64_t deadline_ns)
{
    if (ps->has_asked || is_anything_under_way(ps))
        return MU_OK;
    ps->has_asked = true;
    return mu_ps_client_share_home(
        ps->client, ps->sharing, 2 * (size_t)ps->in_flight, deadline_ns, &ps->vectors);
}

static float *own_gradients(const struct mu_ps *ps, int push)
{
    return mu_vectors_at(&ps->vectors, 2 * (size_t)push);
}

static float *own_fresh(const struct mu_ps *ps, int push)
{
    return mu_vectors_at(&ps->vectors, 2 * (size_t)push + 1);
}

const float *mu_ps_handle_gradients(struct mu_ps *ps, int push, const float *gradients)
{
    if (!ps->vectors.data)
        return gradients;
    return memcpy(own_gradients(ps, push), gradients, ps->count * sizeof(float));
}

float *mu_ps_handle_fresh(struct mu_ps *ps, int push, float *parameters)
{
    ps->push[push].parameters = ps->vectors.data ? parameters : NULL;
    return ps->vectors.data ? own_fresh(ps, push) : parameters;
}

void mu_ps_handle_fresh_came(struct mu_ps *ps, int push)
{
    if (ps->push[push].parameters)
        memcpy(ps->push[push].parameters, own_fresh(ps, push), ps->count * sizeof(float));
}
