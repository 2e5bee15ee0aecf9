/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fiber.h"
#include "config.h"
#include <stddef.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(FIBER_ASAN)
#define FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(FIBER_TSAN)
#define FIBER_TSAN 1
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

/* Lies at the upper end of its own mapping, above its stack: one thing to map and to unmap, and the
 * registers of a suspended fiber are where a leak checker that knows the mapping finds them. */
struct mu_fiber {
    ucontext_t here, back;
    void (*run)(void *argument);
    void *argument;
    bool started, ended;

    char *mapping; /* guard page, stack, this struct */
    size_t mapping_bytes;
    char *stack;
    size_t stack_bytes;

    const void *back_stack; /* of who resumes, as the address sanitizer sees it */
    size_t back_stack_bytes;
    void *tsan, *back_tsan;
    unsigned valgrind_id;
};

static _Thread_local struct mu_fiber *running;

/* Before a switch to the fiber; the fake stack of the side that is left goes to *fake. */
static void announce_entry(struct mu_fiber *fiber, void **fake)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(fake, fiber->stack, fiber->stack_bytes);
#endif
#ifdef FIBER_TSAN
    fiber->back_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan, 0);
#endif
    (void)fiber;
    (void)fake;
}

/* Before a switch out of the fiber. `fake` is NULL when it will not run again. */
static void announce_exit(struct mu_fiber *fiber, void **fake)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(fake, fiber->back_stack, fiber->back_stack_bytes);
#endif
#ifdef FIBER_TSAN
    __tsan_switch_to_fiber(fiber->back_tsan, 0);
#endif
    (void)fiber;
    (void)fake;
}

/* After a switch into the fiber. */
static void confirm_entry(struct mu_fiber *fiber, void *fake)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake, &fiber->back_stack, &fiber->back_stack_bytes);
#endif
    (void)fiber;
    (void)fake;
}

/* After a switch back to who has resumed a fiber. */
static void confirm_exit(void *fake)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    (void)fake;
}

static void fiber_main(void)
{
    struct mu_fiber *fiber = running;
    confirm_entry(fiber, NULL);
    fiber->run(fiber->argument);
    fiber->ended = true;
    announce_exit(fiber, NULL);
    setcontext(&fiber->back);
    assert(false);
}

static void register_stack(struct mu_fiber *fiber)
{
#ifdef FIBER_TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
#if HAVE_VALGRIND
    fiber->valgrind_id = VALGRIND_STACK_REGISTER(fiber->stack, fiber->stack + fiber->stack_bytes);
#endif
    (void)fiber;
}

static void unregister_stack(struct mu_fiber *fiber)
{
#ifdef FIBER_TSAN
    __tsan_destroy_fiber(fiber->tsan);
#endif
#if HAVE_VALGRIND
    VALGRIND_STACK_DEREGISTER(fiber->valgrind_id);
#endif
    (void)fiber;
}

static void unmap(struct mu_fiber *fiber)
{
#ifdef FIBER_ASAN
    if (fiber->started && !fiber->ended) {
        /* What it owned is lost on purpose: the leak checker keeps seeing it from here. Also, the
         * marks of frames that never returned must not be inherited by the next mapping. */
        __lsan_register_root_region(fiber->stack, fiber->stack_bytes + sizeof(*fiber));
        return;
    }
#endif
    munmap(fiber->mapping, fiber->mapping_bytes);
}

/* Lays out the mapping and returns the struct at its upper end. */
static struct mu_fiber *lay_out(char *mapping, size_t mapping_bytes, size_t guard_bytes)
{
    size_t own_bytes = (sizeof(struct mu_fiber) + 63) / 64 * 64;
    struct mu_fiber *fiber = (void *)(mapping + mapping_bytes - own_bytes);
    fiber->mapping = mapping;
    fiber->mapping_bytes = mapping_bytes;
    fiber->stack = mapping + guard_bytes;
    fiber->stack_bytes = mapping_bytes - guard_bytes - own_bytes;
    assert(fiber->stack_bytes >= MU_FIBER_STACK_BYTES);
    return fiber;
}

enum mu_status mu_fiber_create(
    void (*run)(void *argument), void *argument, struct mu_fiber **ret_fiber)
{
    assert(run != NULL);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t own_pages = (sizeof(struct mu_fiber) + 63 + page - 1) / page;
    size_t bytes = page + MU_FIBER_STACK_BYTES + own_pages * page;
    char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return MU_NO_MEMORY;
    if (mprotect(mapping, page, PROT_NONE) != 0) {
        munmap(mapping, bytes);
        return MU_NO_MEMORY;
    }
    struct mu_fiber *fiber = lay_out(mapping, bytes, page);
    fiber->run = run;
    fiber->argument = argument;
    getcontext(&fiber->here);
    fiber->here.uc_stack.ss_sp = fiber->stack;
    fiber->here.uc_stack.ss_size = fiber->stack_bytes;
    makecontext(&fiber->here, fiber_main, 0);
    /* Only makecontext needs it; the address sanitizer would take it as leave to forget what it
     * knows of the stack at each switch. */
    fiber->here.uc_stack.ss_size = 0;
    register_stack(fiber);
    *ret_fiber = fiber;
    return MU_OK;
}

void mu_fiber_destroy(struct mu_fiber *fiber)
{
    if (!fiber)
        return;
    assert(running != fiber);
    unregister_stack(fiber);
    unmap(fiber);
}

void mu_fiber_resume(struct mu_fiber *fiber)
{
    assert(!running);
    assert(!fiber->ended);
    void *fake = NULL;
    running = fiber;
    fiber->started = true;
    announce_entry(fiber, &fake);
    swapcontext(&fiber->back, &fiber->here);
    confirm_exit(fake);
    running = NULL;
}

void mu_fiber_suspend(void)
{
    struct mu_fiber *fiber = running;
    assert(fiber);
    void *fake = NULL;
    announce_exit(fiber, &fake);
    swapcontext(&fiber->here, &fiber->back);
    confirm_entry(fiber, fake);
}

bool mu_fiber_ended(const struct mu_fiber *fiber)
{
    return fiber->ended;
}
