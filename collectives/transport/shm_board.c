/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/shm_board.h"
#include "runtime/base/text.h"
#include "runtime/io/futex.h"
#include <string.h>

void mu_shm_board_enter(
    struct mu_shm_board *board, const struct mu_signature *signature, int64_t now_ns)
{
    uint64_t words[MU_SHM_SIGNATURE_WORDS];
    memcpy(words, signature, sizeof(words));
    uint32_t version = atomic_load_explicit(&board->version, memory_order_relaxed);
    /* Each store releases the ones before it: who reads a new word, then reads an odd version. */
    atomic_store_explicit(&board->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < MU_SHM_SIGNATURE_WORDS; i++)
        atomic_store_explicit(&board->signature[i], words[i], memory_order_release);
    atomic_store_explicit(&board->since_ns, now_ns, memory_order_release);
    atomic_store_explicit(&board->version, version + 2, memory_order_release);
}

void mu_shm_board_end(struct mu_shm_board *board, enum mu_status status, int late, const char *why)
{
    board->late = late;
    mu_text_copy(board->farewell, sizeof(board->farewell), why);
    assert(status != MU_OK);
    atomic_store_explicit(&board->ended, (uint32_t)status, memory_order_seq_cst);
}

/* A writer that was stopped in the middle is not waited for: what was seen before stays. */
static void read_signature(const struct mu_shm_board *board, struct mu_seen *seen)
{
    uint64_t words[MU_SHM_SIGNATURE_WORDS];
    for (int tries = 0; tries < 100; tries++) {
        uint32_t before = atomic_load_explicit(&board->version, memory_order_acquire);
        int64_t since_ns = atomic_load_explicit(&board->since_ns, memory_order_acquire);
        for (size_t i = 0; i < MU_SHM_SIGNATURE_WORDS; i++)
            words[i] = atomic_load_explicit(&board->signature[i], memory_order_acquire);
        uint32_t after = atomic_load_explicit(&board->version, memory_order_relaxed);
        if (before == after && before % 2 == 0) {
            memcpy(&seen->signature, words, sizeof(seen->signature));
            seen->since_ns = since_ns;
            return;
        }
    }
}

void mu_shm_board_read(const struct mu_shm_board *board, struct mu_seen *seen)
{
    read_signature(board, seen);
    seen->inside = atomic_load_explicit(&board->inside, memory_order_relaxed) != 0;
    uint32_t ended = atomic_load_explicit(&board->ended, memory_order_seq_cst);
    if (!ended)
        return;
    struct mu_seen last = {0};
    read_signature(board, &last); /* nothing more is entered */
    seen->ended_in = last.signature;
    seen->ended = mu_seen_status((enum mu_status)ended);
    seen->late = board->late;
    mu_text_copy(seen->farewell, sizeof(seen->farewell), board->farewell);
}

void mu_shm_board_ring(struct mu_shm_board *board)
{
    /* Either the sleeper sees what was stored, or we see that it sleeps (Dekker 1965): all four are
     * sequentially consistent, which costs less than a fence. */
    if (atomic_load_explicit(&board->sleeping, memory_order_seq_cst) == 0)
        return;
    atomic_store_explicit(&board->sleeping, 0, memory_order_relaxed);
    mu_futex_wake(&board->sleeping);
}

void mu_shm_board_doze(struct mu_shm_board *board)
{
    atomic_store_explicit(&board->sleeping, 1, memory_order_seq_cst);
}

void mu_shm_board_sleep(struct mu_shm_board *board, int64_t timeout_ns)
{
    mu_futex_wait(&board->sleeping, 1, timeout_ns);
    atomic_store_explicit(&board->sleeping, 0, memory_order_relaxed);
}
