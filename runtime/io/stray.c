/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/stray.h"
#include <ctype.h>
#include <stdint.h>

void mu_stray_show(const void *data, size_t bytes, char *out, size_t out_bytes)
{
    const uint8_t *at = data;
    size_t kept = 0;
    for (; kept < bytes && kept + 1 < out_bytes; kept++) {
        if (at[kept] == '\r' || at[kept] == '\n')
            break;
        out[kept] = isprint(at[kept]) ? (char)at[kept] : '.';
    }
    out[kept] = '\0';
}
