/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_TEXT_FILE_H
#define MU_DATA_TEXT_FILE_H

#include "data/text_source.h"
#include "muster/dataset.h"

/* The two files of a data set that is text: options `path` and `test_path`. */
#define MU_TEXT_PATH_BYTES 512

/* The file of this split. MU_E0501 naming the option where there is none, MU_E0502, MU_E0801. */
enum mu_status mu_text_file_open(struct mu_log *log, const char *path, const char *test_path,
    enum mu_split split, struct mu_text_source **ret_source);
/* Is it there? The same errors, but for what shows when it is read. */
enum mu_status mu_text_file_find(
    struct mu_log *log, const char *path, const char *test_path, enum mu_split split);

#endif
