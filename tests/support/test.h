/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_H
#define MU_TEST_H

/* The one door to cmocka. Its asserts jump: use them only on the test's own thread. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "runtime/base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A log that remembers everything said, for asserting on texts. */
struct mu_test_log {
    struct mu_log log;
    char text[1 << 16];
    size_t bytes;
};

static inline void mu_test_log_write(struct mu_log *log, enum mu_level level, const char *text)
{
    struct mu_test_log *test = log->owner;
    (void)level;
    int written =
        snprintf(test->text + test->bytes, sizeof(test->text) - test->bytes, "%s\n", text);
    if (written > 0 && test->bytes + (size_t)written < sizeof(test->text))
        test->bytes += (size_t)written;
}

static inline struct mu_log *mu_test_log_init(struct mu_test_log *test)
{
    memset(test, 0, sizeof(*test));
    test->log.write = mu_test_log_write;
    test->log.owner = test;
    test->log.level = MU_LEVEL_DEBUG;
    return &test->log;
}

#define assert_said(test, needle)                                                                  \
    do {                                                                                           \
        if (!strstr((test)->text, needle))                                                         \
            fail_msg("expected \"%s\" in:\n%s", needle, (test)->text);                             \
    } while (0)
/* Ends the case as cmocka's skip() does, which is a failure to who reads its TAP ("not ok"). */
#define skip_saying(...)                                                                           \
    do {                                                                                           \
        print_message("# skipped: " __VA_ARGS__);                                                  \
        print_message("\n");                                                                       \
        return;                                                                                    \
    } while (0)
#define assert_ok(call) assert_int_equal((call), MU_OK)

#endif
