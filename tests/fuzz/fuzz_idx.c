/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an IDX file, plain or gzip. What is accepted has the elements that its shape says,
 * and nothing takes more memory than the file can fill. */
#include "data/idx_file.h"
#include "fuzz_log.h"
#include <stdlib.h>

#define INPUT_BYTES_MAX (1 << 16) /* times 1032, the most that gzip can unpack */

static struct mu_log fuzz_log;

static void check_file(const struct mu_idx_file *file, size_t bytes_max)
{
    size_t count = 1, sum = 0;
    FUZZ_CHECK(file->rank >= 1 && file->rank <= MU_IDX_RANK_MAX);
    for (int i = 0; i < file->rank; i++)
        FUZZ_CHECK(!__builtin_mul_overflow(count, file->shape[i], &count));
    FUZZ_CHECK(count > 0 && count == file->element_count && count <= bytes_max);
    for (size_t i = 0; i < count; i++)
        sum += file->elements[i];
    FUZZ_CHECK(sum <= 255 * count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mu_idx_file file;
    struct mu_gz *gz;
    if (bytes > INPUT_BYTES_MAX)
        return 0;
    uint8_t *copy = malloc(bytes + 1);
    FUZZ_CHECK(copy);
    memcpy(copy, data, bytes);
    FILE *stream = fmemopen(copy, bytes, "rb");
    FUZZ_CHECK(stream);
    fuzz_log_init(&fuzz_log);
    enum mu_status opened = mu_gz_open_file(&fuzz_log, "input", stream, &gz);
    FUZZ_CHECK(opened == MU_OK);
    if (mu_idx_file_read(&fuzz_log, gz, 1, MU_IDX_RANK_MAX, &file) == MU_OK) {
        check_file(&file, mu_gz_bytes_max(gz));
        mu_idx_file_finish(&file);
    } else {
        FUZZ_CHECK(fuzz_log.first_number == 502);
    }
    mu_gz_close(gz);
    free(copy);
    return 0;
}
