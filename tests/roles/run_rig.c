/* SPDX-License-Identifier: Apache-2.0 */
#include "run_rig.h"
#include "runtime/base/random.h"

struct run_rig rig;

void run_rig_make_layout(struct mu_layout *layout, int64_t inputs)
{
    mu_layout_init(layout);
    assert_true(mu_layout_add(layout, "dense1/w", 2, (const int64_t[]){inputs, 5}));
    assert_true(mu_layout_add(layout, "dense1/b", 1, (const int64_t[]){5}));
    assert_true(mu_layout_add(layout, "scale", 0, NULL));
    assert_in_range(layout->element_count, 1, RUN_RIG_ELEMENTS_MAX);
}

void run_rig_fill_vectors(uint64_t seed)
{
    for (int v = 0; v < RUN_RIG_VECTORS; v++) {
        memset(rig.vector[v], 0, sizeof(rig.vector[v]));
        for (int i = 0; i < rig.layout.view_count; i++) {
            struct mu_span span = rig.layout.view[i].span;
            for (size_t e = span.first; e < span.first + span.count; e++)
                rig.vector[v][e] = (float)(mu_random_mix(seed + (uint64_t)v, e) % 1000) + 0.5f;
        }
    }
}

int run_rig_begin(void **state)
{
    rig.said = mu_test_log_init(&rig.log);
    run_rig_make_layout(&rig.layout, 7);
    run_rig_fill_vectors(1);
    for (int i = 0; i < 4; i++) {
        rig.steps_done[0][i] = 10 + i;
        rig.steps_done[1][i] = i;
    }
    rig.positions[0] = (struct mu_position){3, {4, 64, rig.steps_done[0], NULL}};
    rig.positions[1] = (struct mu_position){4, {2, 32, rig.steps_done[1], NULL}};
    rig.snapshot = (struct mu_snapshot){.step = 500,
        .epoch = 3,
        .samples_done = 32000,
        .seed = UINT64_MAX - 5,
        .job_hash = UINT64_C(0x8123456789abcdef),
        .wall_ns = INT64_C(1763764801123000000),
        .run = "7f3a",
        .model = "mlp",
        .optimizer = "adam",
        .positions = rig.positions,
        .position_count = 2,
        .layout = &rig.layout,
        .parameters = rig.vector[0],
        .slot_count = 2,
        .slot_names = {"m", "v"},
        .slots = {rig.vector[1], rig.vector[2]}};
    return mu_store_memory_open(&rig.store) == MU_OK ? 0 : -1;
}

int run_rig_end(void **state)
{
    rig.store->ops->close(rig.store);
    return 0;
}

void run_rig_save(int64_t step, int keep)
{
    rig.snapshot.step = step;
    assert_ok(mu_checkpoint_save(rig.store, rig.said, &rig.snapshot, keep));
}

enum mu_status run_rig_load(int64_t step)
{
    memset(rig.loaded.vector, 0x55, sizeof(rig.loaded.vector));
    if (!rig.loaded.target.model)
        rig.loaded.target = (struct mu_checkpoint_target){
            .model = "mlp", .optimizer = "adam", .slot_count = 2, .slot_names = {"m", "v"}};
    rig.loaded.target.layout = rig.loaded.target.layout ? rig.loaded.target.layout : &rig.layout;
    rig.loaded.target.parameters = rig.loaded.vector[0];
    rig.loaded.target.slots[0] = rig.loaded.vector[1];
    rig.loaded.target.slots[1] = rig.loaded.vector[2];
    enum mu_status status =
        mu_checkpoint_load(rig.store, rig.said, step, &rig.loaded.target, &rig.loaded.manifest);
    memset(&rig.loaded.target, 0, sizeof(rig.loaded.target));
    return status;
}

bool run_rig_vectors_are_equal(void)
{
    for (int v = 0; v < RUN_RIG_VECTORS; v++)
        if (memcmp(rig.loaded.vector[v], rig.vector[v], rig.layout.element_count * sizeof(float)) !=
            0)
            return false;
    return true;
}

/* ---- the files of an entry ---- */

const char *const run_rig_file_names[RUN_RIG_FILES] = {
    MU_CHECKPOINT_MODEL, MU_CHECKPOINT_OPTIMIZER, MU_MANIFEST_NAME};

struct run_rig_bytes run_rig_get(int64_t step, int file)
{
    struct run_rig_bytes got;
    assert_ok(rig.store->ops->get(
        rig.store, rig.said, step, run_rig_file_names[file], 1 << 20, &got.data, &got.bytes));
    return got;
}

void run_rig_replace(int64_t step, int file, const void *data, size_t bytes)
{
    struct run_rig_bytes kept[RUN_RIG_FILES];
    struct mu_store_piece pieces[RUN_RIG_FILES];
    struct mu_store_file files[RUN_RIG_FILES];
    size_t count = 0;
    for (int i = 0; i < RUN_RIG_FILES; i++) {
        kept[i] = run_rig_get(step, i);
        pieces[i] = i == file ? (struct mu_store_piece){data, bytes}
                              : (struct mu_store_piece){kept[i].data, kept[i].bytes};
        if (i == file && !data)
            continue;
        files[count] = (struct mu_store_file){.pieces = &pieces[i], .piece_count = 1};
        strcpy(files[count++].name, run_rig_file_names[i]);
    }
    assert_ok(rig.store->ops->put(rig.store, rig.said, step, files, count));
    for (int i = 0; i < RUN_RIG_FILES; i++)
        free(kept[i].data);
}

void run_rig_flip(int64_t step, int file, size_t bit)
{
    struct run_rig_bytes got = run_rig_get(step, file);
    ((unsigned char *)got.data)[bit / 8] ^= (unsigned char)(1u << bit % 8);
    run_rig_replace(step, file, got.data, got.bytes);
    free(got.data);
}

size_t run_rig_header_bytes(int64_t step, int file)
{
    uint64_t length;
    struct run_rig_bytes got = run_rig_get(step, file);
    memcpy(&length, got.data, sizeof(length));
    free(got.data);
    return sizeof(length) + (size_t)length;
}

size_t run_rig_file_bytes(int64_t step, int file)
{
    struct run_rig_bytes got = run_rig_get(step, file);
    free(got.data);
    return got.bytes;
}
