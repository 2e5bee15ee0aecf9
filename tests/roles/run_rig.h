/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_RUN_RIG_H
#define MU_TEST_RUN_RIG_H

#include "roles/checkpoint/checkpoint.h"
#include "runtime/tensor/layout.h"
#include "test.h"

#define RUN_RIG_VECTORS 3 /* the parameters and two slots */
#define RUN_RIG_ELEMENTS_MAX 512

/* A run that has something to save, a small network and an optimizer with two slots, and the store
 * in memory that it saves to. */
struct run_rig {
    struct mu_test_log log;
    struct mu_log *said; /* inside `log` */
    struct mu_store *store;
    struct mu_layout layout;
    _Alignas(64) float vector[RUN_RIG_VECTORS][RUN_RIG_ELEMENTS_MAX];
    int64_t steps_done[2][4];
    struct mu_position positions[2];
    struct mu_snapshot snapshot;
    /* What a resumed run has before it loads: vectors full of something else. */
    struct {
        _Alignas(64) float vector[RUN_RIG_VECTORS][RUN_RIG_ELEMENTS_MAX];
        struct mu_checkpoint_target target;
        struct mu_manifest manifest;
    } loaded;
};
extern struct run_rig rig;

int run_rig_begin(void **state);
int run_rig_end(void **state);
#define RUN_RIG_CASE(name) cmocka_unit_test_setup_teardown(name, run_rig_begin, run_rig_end)

void run_rig_make_layout(struct mu_layout *layout, int64_t inputs);
void run_rig_fill_vectors(uint64_t seed);
void run_rig_save(int64_t step, int keep);
/* Into `loaded`. What is not given of its target is that of the run; given once, it serves once. */
enum mu_status run_rig_load(int64_t step);
bool run_rig_vectors_are_equal(void);

/* ---- the files of an entry ---- */

#define RUN_RIG_FILES 3
extern const char *const run_rig_file_names[RUN_RIG_FILES];

struct run_rig_bytes {
    void *data; /* to be freed */
    size_t bytes;
};

struct run_rig_bytes run_rig_get(int64_t step, int file);
/* Puts the entry again with one file replaced; `data` NULL leaves the file out. */
void run_rig_replace(int64_t step, int file, const void *data, size_t bytes);
void run_rig_flip(int64_t step, int file, size_t bit);
size_t run_rig_header_bytes(int64_t step, int file);
size_t run_rig_file_bytes(int64_t step, int file);

#endif
