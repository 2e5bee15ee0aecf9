/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/shell.h"
#include <string.h>

void mu_shell_add_word(struct mu_text *out, const char *before, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_@%+=:,./-";
    mu_text_add(out, "%s", before);
    if (word[0] && word[strspn(word, plain)] == '\0') {
        mu_text_add(out, "%s", word);
        return;
    }
    mu_text_add(out, "'");
    for (; *word; word++)
        mu_text_add(out, *word == '\'' ? "'\\''" : "%c", *word);
    mu_text_add(out, "'");
}

const char *mu_shell_word(char out[MU_SHELL_WORD_BYTES], const char *word)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_shell_add_word(&text, "", word);
    mu_text_copy(out, MU_SHELL_WORD_BYTES, text.data);
    mu_text_finish(&text);
    return out;
}
