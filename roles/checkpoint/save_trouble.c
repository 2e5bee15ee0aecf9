/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/save_trouble.h"
#include "roles/task.h"
#include "runtime/base/shell.h"
#include <stdio.h>
#include <string.h>

static void hear(struct mu_log *heard, enum mu_level level, const char *text)
{
    struct mu_save_trouble *trouble = heard->owner;
    if (level > MU_LEVEL_ERROR && level <= trouble->log->level)
        trouble->log->write(trouble->log, level, text);
}

void mu_save_trouble_init(struct mu_save_trouble *trouble, struct mu_world *world,
    struct mu_store *store, struct mu_log *log)
{
    *trouble =
        (struct mu_save_trouble){.world = world, .store = store, .log = log, .saved_step = -1};
}

struct mu_log *mu_save_trouble_listen(struct mu_save_trouble *trouble)
{
    trouble->heard = (struct mu_log){.write = hear, .owner = trouble, .level = trouble->log->level};
    return &trouble->heard;
}

/* ---- words ---- */

/* "the last good checkpoint is runs/a/checkpoints/600, saved 8.0 s ago" */
static void add_last_good(const struct mu_save_trouble *trouble, struct mu_text *out)
{
    struct mu_store *store = trouble->store;
    int64_t newest = mu_task_newest(store);
    char where[512], age[32];
    if (newest < 0) {
        mu_text_add(out, "there is no good checkpoint");
        return;
    }
    store->ops->describe(store, newest, where, sizeof(where));
    mu_text_add(out, "the last good checkpoint is %s", where);
    if (newest != trouble->saved_step)
        return;
    mu_text_duration(age, sizeof(age), mu_now(trouble->world) - trouble->saved_ns);
    mu_text_add(out, ", saved %s ago", age);
}

/* "chief/0 cannot save step 1600, 4 times in a row since step 800, 6.2 s ago" */
static void add_what(const struct mu_save_trouble *trouble, const char *which, struct mu_text *out)
{
    char age[32];
    mu_text_add(out, "%s%scannot save step %lld%s", trouble->log->task,
        trouble->log->task[0] ? " " : "", (long long)trouble->step, which);
    if (trouble->failures < 2)
        return;
    mu_text_duration(age, sizeof(age), mu_now(trouble->world) - trouble->since_ns);
    mu_text_add(out, ", %d times in a row since step %lld, %s ago", trouble->failures,
        (long long)trouble->since_step, age);
}

static const char *why(const struct mu_save_trouble *trouble)
{
    return trouble->heard.first_number > 0 ? trouble->heard.first_text
                                           : mu_status_text(trouble->status);
}

/* What is typed to look at the place where checkpoints are kept: "`df -h DIR; df -i DIR`". */
static void add_look(const struct mu_save_trouble *trouble, struct mu_text *out)
{
    struct mu_store *store = trouble->store;
    char where[512], word[MU_SHELL_WORD_BYTES];
    store->ops->describe(store, trouble->step, where, sizeof(where));
    char *slash = strrchr(where, '/');
    if (slash)
        *slash = '\0';
    mu_shell_word(word, where);
    if (slash && trouble->status != MU_NO_MEMORY)
        mu_text_add(out, "`df -h %s; df -i %s; ls -ld %s`", word, word, word);
    else
        mu_text_add(out, "`free -m; df -h`");
}

/* ---- saying ---- */

static bool is_power_of_two(int number)
{
    return (number & (number - 1)) == 0;
}

static void warn(const struct mu_save_trouble *trouble)
{
    struct mu_text text;
    mu_text_init(&text);
    add_what(trouble, "", &text);
    mu_text_add(&text, ", and trains on (E%04d): %s; ",
        trouble->heard.first_number > 0 ? trouble->heard.first_number : 801, why(trouble));
    add_last_good(trouble, &text);
    mu_text_add(&text, "\n  = help: ");
    add_look(trouble, &text);
    mu_text_add(&text, ", then make room; the next checkpoint is tried when it is due");
    mu_say(trouble->log, MU_LEVEL_WARN, "%s", text.data);
    mu_text_finish(&text);
}

static void note_good(struct mu_save_trouble *trouble)
{
    char age[32], where[512];
    trouble->saved_step = trouble->step;
    trouble->saved_ns = mu_now(trouble->world);
    if (trouble->failures == 0)
        return;
    mu_text_duration(age, sizeof(age), trouble->saved_ns - trouble->since_ns);
    trouble->store->ops->describe(trouble->store, trouble->step, where, sizeof(where));
    mu_say(trouble->log, MU_LEVEL_INFO,
        "checkpoints are saved again: %s, after %d that failed since step %lld, %s ago", where,
        trouble->failures, (long long)trouble->since_step, age);
    trouble->failures = 0;
    if (trouble->tell)
        trouble->tell(trouble->owner, -1, NULL);
}

void mu_save_trouble_note(
    struct mu_save_trouble *trouble, int64_t step, enum mu_status status, bool is_last)
{
    trouble->step = step;
    trouble->status = status;
    if (status == MU_OK) {
        note_good(trouble);
        return;
    }
    if (trouble->failures++ == 0) {
        trouble->since_step = step;
        trouble->since_ns = mu_now(trouble->world);
    }
    if (!is_last && is_power_of_two(trouble->failures))
        warn(trouble);
    if (trouble->tell)
        trouble->tell(trouble->owner, trouble->since_step, why(trouble));
}

enum mu_status mu_save_trouble_end(struct mu_save_trouble *trouble, const struct mu_go_on *go_on)
{
    enum mu_error error = MU_E0801;
    struct mu_text text, help;
    mu_text_init(&text);
    mu_text_init(&help);
    bool found = mu_error_find(trouble->heard.first_number, &error);
    add_what(trouble, ", the last of the run", &text);
    mu_text_add(&text, ": %s; ", why(trouble));
    add_last_good(trouble, &text);
    add_look(trouble, &help);
    mu_text_add(&help, ", then make room");
    if (go_on) {
        char how[MU_CLUSTER_GO_ON_MAX];
        mu_go_on_say(go_on, how, sizeof(how));
        mu_text_add(&help, "; %s", how);
    }
    enum mu_status status = mu_fail(trouble->log, error, help.data, "%s", text.data);
    mu_text_finish(&text);
    mu_text_finish(&help);
    return found ? status : trouble->status;
}
