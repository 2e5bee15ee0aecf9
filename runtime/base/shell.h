/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_SHELL_H
#define MU_BASE_SHELL_H

#include "runtime/base/text.h"

/* Commands that a message offers are pasted into a shell: a directory may have a space. */

#define MU_SHELL_WORD_BYTES 1024 /* of a path with its quotes; a longer one is cut */

/* One word: as it is, or in single quotes. `before` comes before it as it is. */
void mu_shell_add_word(struct mu_text *out, const char *before, const char *word);
/* The same into `out`, which is returned. */
const char *mu_shell_word(char out[MU_SHELL_WORD_BYTES], const char *word);

#endif
