/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_PS_LIMITS_H
#define MU_PS_PS_LIMITS_H

/* What servers, workers and what they say to each other agree on. */
#define MU_PS_REPLICAS_MAX 1024
#define MU_PS_IN_FLIGHT_MAX 64
#define MU_PS_REFUSED_MAX 3     /* gradients of a worker in a row: then it is put out */
#define MU_PS_BOUND_AUTO_MAX 16 /* the largest bound that is chosen by itself */

/* What the kernel holds of a push or an answer that nobody has read yet, so that it is read from a
 * cache. With standbys a worker's gradient goes to all servers at once, and they come to it one
 * after another. */
static inline int mu_ps_held_bytes(int replicas)
{
    return (replicas == 0 ? 768 : 2560) << 10;
}

#endif
