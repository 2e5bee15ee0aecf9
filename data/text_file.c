/* SPDX-License-Identifier: Apache-2.0 */
#include "data/text_file.h"

#include "data/gz.h"

static enum mu_status choose(struct mu_log *log, const char *path, const char *test_path,
    enum mu_split split, const char **ret_chosen)
{
    *ret_chosen = split == MU_SPLIT_TRAIN ? path : test_path;
    if ((*ret_chosen)[0] == '\0')
        return mu_fail(log, MU_E0501,
            split == MU_SPLIT_TRAIN ? "set data.path to a file" : "set data.test_path to a file",
            "there is no file to %s with", split == MU_SPLIT_TRAIN ? "train" : "test");
    return MU_OK;
}

enum mu_status mu_text_file_open(struct mu_log *log, const char *path, const char *test_path,
    enum mu_split split, struct mu_text_source **ret_source)
{
    const char *chosen;
    MU_TRY(choose(log, path, test_path, split, &chosen));
    return mu_text_source_open(log, chosen, MU_TEXT_SOURCE_HELD_MAX, ret_source);
}

enum mu_status mu_text_file_find(
    struct mu_log *log, const char *path, const char *test_path, enum mu_split split)
{
    const char *chosen;
    struct mu_gz *gz;
    MU_TRY(choose(log, path, test_path, split, &chosen));
    MU_TRY(mu_gz_open(log, chosen, &gz));
    mu_gz_close(gz);
    return MU_OK;
}
