/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SAVE_TROUBLE_H
#define MU_ROLES_SAVE_TROUBLE_H

#include "roles/checkpoint/go_on.h"
#include "runtime/base/store.h"
#include "runtime/base/world.h"

/*
 * What is said when a checkpoint cannot be written: that training goes on, which one is good, and
 * what to type. A disk that stays full is told of the 1st, 2nd, 4th, 8th ... time. Only the last
 * checkpoint of a run makes an error of it: without that one the run has not done what it was
 * asked.
 */
struct mu_save_trouble {
    struct mu_world *world;
    struct mu_store *store;
    struct mu_log *log;
    struct mu_log heard; /* what the writing says: an error is kept for us, the rest goes on */
    enum mu_status status;
    int failures; /* in a row; 0: the last was saved */
    int64_t step, since_step, since_ns;
    int64_t saved_step, saved_ns; /* -1: none by this process */
    /* A failure, or with NULL the end of all failures; `text` is one line. NULL: nobody is told. */
    void (*tell)(void *owner, int64_t since_step, const char *text);
    void *owner;
};

void mu_save_trouble_init(struct mu_save_trouble *trouble, struct mu_world *world,
    struct mu_store *store, struct mu_log *log);
/* For the next checkpoint: whoever writes it says to this log why it cannot. */
struct mu_log *mu_save_trouble_listen(struct mu_save_trouble *trouble);
/* That one has ended with `status`; the run does not, unless it `is_last`. */
void mu_save_trouble_note(
    struct mu_save_trouble *trouble, int64_t step, enum mu_status status, bool is_last);
/* The last checkpoint has failed: says so, and how to go on (NULL: nobody knows). Returns the
 * status to end with. */
enum mu_status mu_save_trouble_end(struct mu_save_trouble *trouble, const struct mu_go_on *go_on);

#endif
