/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_FUZZ_LOG_H
#define MU_TEST_FUZZ_LOG_H

#include "fuzz.h"
#include "runtime/base/log.h"
#include "runtime/base/text.h"
#include <string.h>

/* A log that says nothing and checks what it should have said: whatever the input, a terminal gets
 * valid UTF-8 without control codes, in lines of bounded length. */
static inline void fuzz_log_write(struct mu_log *log, enum mu_level level, const char *text)
{
    (void)log;
    (void)level;
    size_t bytes = strlen(text);
    FUZZ_CHECK(bytes < MU_LOG_TEXT_MAX);
    FUZZ_CHECK(mu_text_is_utf8(text, bytes));
    for (size_t i = 0; i < bytes; i++)
        FUZZ_CHECK((unsigned char)text[i] >= 0x20 || text[i] == '\n');
}

static inline void fuzz_log_init(struct mu_log *log)
{
    *log = (struct mu_log){.write = fuzz_log_write, .level = MU_LEVEL_DEBUG};
}

#endif
