/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_STORE_RIG_H
#define MU_TEST_STORE_RIG_H

#include "runtime/io/store_directory.h"
#include "test.h"

/*
 * A folder of the test's own, and a disk whose calls can be cut: those that change it are wrapped
 * by the linker; a countdown makes one of them the last (the process dies, as the machine would) or
 * a failing one (ENOSPC, EIO).
 */
enum store_rig_cut { STORE_RIG_NO_CUT, STORE_RIG_DIE, STORE_RIG_FAIL };

struct store_rig_disk {
    enum store_rig_cut kind;
    int calls_left; /* before the cut */
    int error;
    bool no_exchange;     /* as on a file system that cannot exchange two names */
    void (*closes)(void); /* called once, before the next file is closed */
    /* Files that were written and not synced: a machine that stops loses them. */
    int unsynced[16];
    int unsynced_count;
};
extern struct store_rig_disk store_rig_disk;

extern struct mu_test_log store_rig_log;
extern struct mu_log *store_rig_said; /* into it */
extern char store_rig_folder[64];
extern char store_rig_checkpoints[96]; /* in it; not made */

int store_rig_begin(void **state);
int store_rig_end(void **state); /* removes the folder */
#define STORE_RIG_CASE(name) cmocka_unit_test_setup_teardown(name, store_rig_begin, store_rig_end)

struct mu_store *store_rig_open(void);
/* An entry whose two files both say `word`, one of them in two pieces. */
enum mu_status store_rig_put(struct mu_store *store, int64_t number, const char *word);
bool store_rig_says(struct mu_store *store, int64_t number, const char *name, const char *word);
bool store_rig_entry_says(struct mu_store *store, int64_t number, const char *word);
/* Hidden names in the folder: leftovers. */
int store_rig_count_hidden(void);

#endif
