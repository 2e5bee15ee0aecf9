/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/activity.h"
#include <stdio.h>

void mu_activity_set(
    struct mu_activity *activity, enum mu_doing doing, int64_t step, int64_t now_ns)
{
    atomic_store_explicit(&activity->doing, doing, memory_order_relaxed);
    atomic_store_explicit(&activity->step, step, memory_order_relaxed);
    atomic_store_explicit(&activity->since_ns, now_ns, memory_order_relaxed);
}

void mu_activity_text(int doing, int64_t step, char *out, size_t bytes)
{
    static const struct {
        const char *text;
        bool numbered;
    } rows[] = {
#define MU_ACTIVITY_TEXT(name, text, numbered) [MU_DOING_##name] = {text, numbered},
        MU_ACTIVITY_ROWS(MU_ACTIVITY_TEXT)
#undef MU_ACTIVITY_TEXT
    };
    if (doing < 0 || doing >= MU_DOING_COUNT)
        snprintf(out, bytes, "doing something unknown");
    else if (rows[doing].numbered)
        snprintf(out, bytes, "%s %lld", rows[doing].text, (long long)step);
    else
        snprintf(out, bytes, "%s", rows[doing].text);
}
