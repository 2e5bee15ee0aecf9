/* SPDX-License-Identifier: Apache-2.0 */
/* A first byte that chooses options, then any bytes as a table. */
#include "fuzz_text_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_text text;
    if (bytes == 0 || bytes > FUZZ_TEXT_BYTES_MAX)
        return 0;
    void *options = fuzz_text_init(&text, "csv");
    fuzz_text_set(&text, options, "delimiter", data[0] & 1 ? "tab" : ",");
    fuzz_text_set(&text, options, "quotes", data[0] & 2 ? "false" : "true");
    fuzz_text_set(&text, options, "header", data[0] & 4 ? "true" : "false");
    fuzz_text_set(&text, options, "log1p", data[0] & 8 ? "true" : "false");
    fuzz_text_set(&text, options, "label", data[0] & 16 ? "2" : "0");
    fuzz_text_set(&text, options, "numeric", "1,3");
    fuzz_text_set(&text, options, "categorical", "4-5");
    fuzz_text_run(&text, options, data + 1, bytes - 1);
    return 0;
}
