/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_FUZZ_H
#define MU_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* What a fuzz target is; the name and the types are libFuzzer's. A property that does not hold
 * ends the program, by FUZZ_CHECK or by a sanitizer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* An assertion that stays in every build. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : __builtin_trap())

#endif
