/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as LIBSVM text, plain or gzip. */
#include "fuzz_text_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_text text;
    if (bytes <= FUZZ_TEXT_BYTES_MAX)
        fuzz_text_run(&text, fuzz_text_init(&text, "libsvm"), data, bytes);
    return 0;
}
