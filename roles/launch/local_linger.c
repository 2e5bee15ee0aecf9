/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/launch/local_inside.h"

/* Who is still there when training is over, and for how long. */

static bool is_awaited(const struct mu_local_child *child)
{
    return child->state != MU_LOCAL_ENDED && !child->sent && child->due_ns != MU_FOREVER;
}

/* One that is stopped (state T) ends nothing by itself, whatever it is. */
static void set_due(struct mu_local_child *child, int64_t now_ns)
{
    int64_t linger_ms = child->role == MU_ROLE_PS ? MU_LOCAL_LINGER_MS : MU_LOCAL_EVALUATOR_MS;
    if (child->state == MU_LOCAL_STOPPED)
        linger_ms = MU_LOCAL_SURVIVORS_MS;
    if (!child->sent)
        child->due_ns = mu_deadline(now_ns, linger_ms * MU_MS);
}

void mu_local_linger_begin(struct mu_local *launcher, int64_t now_ns)
{
    for (int i = 0; i < launcher->count; i++)
        set_due(&launcher->children[i], now_ns);
    launcher->say_linger_ns = mu_deadline(now_ns, MU_LOCAL_SAY_MS * MU_MS);
}

void mu_local_linger_watch(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns)
{
    if (!launcher->lingering || launcher->stopping)
        return;
    set_due(child, now_ns);
    launcher->say_linger_ns = now_ns;
}

void mu_local_linger_say(struct mu_local *launcher, int64_t now_ns)
{
    struct mu_text text;
    if (launcher->say_linger_ns == 0 || now_ns < launcher->say_linger_ns)
        return;
    launcher->say_linger_ns = 0;
    mu_text_init(&text);
    for (int i = 0; i < launcher->count; i++) {
        const struct mu_local_child *child = &launcher->children[i];
        char left[32];
        if (!is_awaited(child))
            continue;
        mu_text_duration(left, sizeof(left), child->due_ns - now_ns);
        mu_text_add(&text, "%s%s%s (%s at the most)", text.bytes ? ", " : "", child->name,
            child->state == MU_LOCAL_STOPPED ? ", which is stopped" : "", left);
    }
    if (text.bytes > 0 && !text.failed && !launcher->request->quiet)
        mu_local_output_say(&launcher->output, "training is over: waiting for %s", text.data);
    mu_text_finish(&text);
}
