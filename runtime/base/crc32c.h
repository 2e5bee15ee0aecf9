/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_CRC32C_H
#define MU_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli 1993; polynomial 0x1EDC6F41 reflected, as iSCSI and TFRecord use it). Starts
 * from `crc`: 0 for the first bytes, the last result to go on. With SSE4.2 three streams run at
 * once; results are the same everywhere. */
uint32_t mu_crc32c(uint32_t crc, const void *data, size_t bytes);
/* The table version: the oracle of the other. */
uint32_t mu_crc32c_table(uint32_t crc, const void *data, size_t bytes);
/* If a single one of `bytes` bytes is wrong, and their crc differs from what it should be by the
 * bits of `difference`: the last place before `below` where that byte may be, and which of its bits
 * are flipped; or SIZE_MAX. Damage to more bytes looks like this once in 2^24 / bytes times. */
size_t mu_crc32c_locate(uint32_t difference, size_t bytes, size_t below, uint8_t *ret_flipped);
/* TFRecord's mask: rotated right by 15, plus 0xa282ead8. */
uint32_t mu_crc32c_mask(uint32_t crc);

#endif
