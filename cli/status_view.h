/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_STATUS_VIEW_H
#define MU_CLI_STATUS_VIEW_H

#include "runtime/base/json.h"
#include "runtime/base/text.h"

/* status.json of a run, read, and what can be found out about the run besides. */
enum mu_status_state {
    MU_STATUS_RUNNING,
    MU_STATUS_OVER,  /* it has said so */
    MU_STATUS_DIED,  /* its leader is gone and has not said why */
    MU_STATUS_SILENT /* nothing has been written for too long, and whether it lives is not known */
};

struct mu_status_view {
    char directory[4096];
    struct mu_json *json;
    const mu_json_value *root;
    enum mu_status_state state;
    bool stopped;       /* the leader's process: state T */
    double age_seconds; /* since it was written */
    int64_t checkpoint; /* step of the newest; -1: there is none */
    double checkpoint_age_seconds;
};

/* NO_INPUT (MU_E0002, MU_E0609), BAD_DATA (MU_E0610). */
enum mu_status mu_status_view_read(
    struct mu_log *log, const char *directory, struct mu_status_view *view);
void mu_status_view_finish(struct mu_status_view *view); /* takes a zeroed one */
const char *mu_status_state_name(enum mu_status_state state);

/* Of an object: NaN, or `fallback`, where the key is missing or of another type. */
double mu_status_number(const mu_json_value *object, const char *key);
const char *mu_status_string(const mu_json_value *object, const char *key, const char *fallback);

/* The process of a task, or of the leader (the root), if it can be seen from here; 0: it cannot. */
int mu_status_process_here(const mu_json_value *task);

/* status_help.c: was the run asked to stop while it could not save, as one that waits for a server?
 * What came after its newest checkpoint is lost. */
bool mu_status_stopped_unsaved(const struct mu_status_view *view);
/* What went wrong or is waited for, and what to type. */
void mu_status_help(const struct mu_status_view *view, struct mu_text *out);
/* status_show.c: for people, without colour. */
void mu_status_show(const struct mu_status_view *view, struct mu_text *out);
/* One line of JSON: what the file says, and what was found out. */
void mu_status_show_json(const struct mu_status_view *view, struct mu_text *out);

#endif
