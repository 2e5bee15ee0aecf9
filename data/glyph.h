/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_GLYPH_H
#define MU_DATA_GLYPH_H

#include <stdint.h>

#define MU_GLYPH_SIDE 28
#define MU_GLYPH_PIXELS (MU_GLYPH_SIDE * MU_GLYPH_SIDE)
#define MU_GLYPH_CLASSES 10

/*
 * Draws one handwritten-looking digit and returns which digit it is. A pure function of the seed:
 * only + - * / on floats that are never contracted, so that every compiler and machine draws the
 * same bytes. 0 is background, 255 full ink.
 */
int mu_glyph_draw(uint64_t seed, uint8_t ret_pixels[MU_GLYPH_PIXELS]);

#endif
