/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/shell.h"
#include "test.h"
#include <stdio.h>
#include <string.h>

static const char *words[] = {"runs/mnist", "my run", "", "it's", "$HOME", "a;b", "`id`", "-x",
    "two\nlines", "\"", "*", "~", "\\", "!"};

static void plain_words_are_as_they_are(void **state)
{
    (void)state;
    char out[MU_SHELL_WORD_BYTES];
    assert_string_equal(
        mu_shell_word(out, "runs/mnist-2_b.1,c:d=e%f+g@h"), "runs/mnist-2_b.1,c:d=e%f+g@h");
    assert_string_equal(mu_shell_word(out, "my run"), "'my run'");
    assert_string_equal(mu_shell_word(out, "it's"), "'it'\\''s'");
    assert_string_equal(mu_shell_word(out, ""), "''");
}

static void a_shell_reads_each_word_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(words); i++) {
        struct mu_text command;
        char read[64] = "", expected[64];
        mu_text_init(&command);
        mu_shell_add_word(&command, "printf '<%s>' ", words[i]);
        FILE *shell = popen(command.data, "r");
        assert_non_null(shell);
        assert_true(fread(read, 1, sizeof(read) - 1, shell) > 0);
        assert_int_equal(pclose(shell), 0);
        mu_format(expected, sizeof(expected), "<%s>", words[i]);
        assert_string_equal(read, expected);
        mu_text_finish(&command);
    }
}

static void a_word_that_is_too_long_is_cut(void **state)
{
    (void)state;
    char out[MU_SHELL_WORD_BYTES], word[2 * MU_SHELL_WORD_BYTES];
    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_int_equal(strlen(mu_shell_word(out, word)), MU_SHELL_WORD_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_words_are_as_they_are),
        cmocka_unit_test(a_shell_reads_each_word_back),
        cmocka_unit_test(a_word_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests_name("shell", tests, NULL, NULL);
}
