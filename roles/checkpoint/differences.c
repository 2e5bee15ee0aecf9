/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/differences.h"
#include "runtime/base/shell.h"
#include <stdio.h>
#include <string.h>

#define ROWS_MAX 8
#define HELP_BYTES (MU_SHELL_WORD_BYTES + 128)

void mu_differences_init(struct mu_differences *differences)
{
    differences->count = 0;
    differences->kind[0] = '\0';
    mu_text_init(&differences->table);
}

void mu_differences_kind(
    struct mu_differences *differences, const char *what, const char *expected, const char *found)
{
    if (strcmp(expected, found) != 0)
        snprintf(differences->kind, sizeof(differences->kind),
            " is of another %s: expected `%s`, found `%s`", what, expected, found);
}

void mu_differences_add(
    struct mu_differences *differences, const char *name, const char *expected, const char *found)
{
    if (differences->count == 0)
        mu_text_copy(differences->first, sizeof(differences->first), name);
    if (differences->count++ < ROWS_MAX)
        mu_text_add(
            &differences->table, "\n    %-20s expected %s, found %s", name, expected, found);
}

/* What to type about `where`, which is of another job: a checkpoint, or a file of it. */
static void write_help(const char *where, char out[HELP_BYTES])
{
    const char *slash = strrchr(where, '/');
    char entry[MU_SHELL_WORD_BYTES], word[MU_SHELL_WORD_BYTES];
    snprintf(entry, sizeof(entry), "%.*s",
        slash && strchr(slash, '.') ? (int)(slash - where) : (int)strlen(where), where);
    mu_format(out, HELP_BYTES,
        "`muster checkpoint show %s` shows what it was saved with: resume with that job, or "
        "start in another directory",
        mu_shell_word(word, entry));
}

enum mu_status mu_differences_finish(
    struct mu_differences *differences, struct mu_log *log, const char *where)
{
    if (differences->count > ROWS_MAX)
        mu_text_add(&differences->table, "\n    and %d more", differences->count - ROWS_MAX);
    enum mu_status status = MU_OK;
    char help[HELP_BYTES];
    write_help(where, help);
    if (differences->kind[0])
        status = mu_fail(
            log, MU_E0602, help, "%s%s%s", where, differences->kind, differences->table.data);
    else if (differences->count > 0)
        status =
            mu_fail(log, MU_E0602, help, "%s does not have the tensors of this job, %s for one%s",
                where, differences->first, differences->table.data);
    mu_text_finish(&differences->table);
    return status;
}

void mu_differences_shape(
    char out[MU_DIFFERENCES_SHAPE_BYTES], int rank, const int64_t *shape, const char *dtype)
{
    size_t bytes = 0, most = MU_DIFFERENCES_SHAPE_BYTES;
    for (int i = 0; i < rank; i++)
        bytes += (size_t)snprintf(
            out + bytes, most - bytes, "%s%lld", i > 0 ? "x" : "", (long long)shape[i]);
    snprintf(out + bytes, most - bytes, "%s%s", rank > 0 ? " " : "scalar ", dtype);
}

void mu_differences_found(char out[MU_DIFFERENCES_SHAPE_BYTES], const struct mu_safetensor *tensor)
{
    if (!tensor)
        mu_text_copy(out, MU_DIFFERENCES_SHAPE_BYTES, "nothing");
    else if (tensor->rank <= MU_RANK_MAX)
        mu_differences_shape(out, tensor->rank, tensor->shape, tensor->dtype);
    else
        mu_format(out, MU_DIFFERENCES_SHAPE_BYTES, "%d dimensions", tensor->rank);
}
