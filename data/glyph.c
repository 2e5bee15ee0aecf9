/* SPDX-License-Identifier: Apache-2.0 */
#include "data/glyph.h"

#include "runtime/base/random.h"
#include <assert.h>
#include <string.h>

/*
 * How a glyph comes about:
 *
 *   style of the digit   control points on a 10 x 10 grid, a few ways to write each digit
 *     -> wobble          every control point is moved a little
 *     -> affine map      turned, sheared, scaled, shifted; now in pixels
 *     -> Chaikin         corners cut twice: the strokes become curves (Chaikin 1974)
 *     -> distance field  each pixel's squared distance to the nearest segment
 *     -> ink             a soft pen: full near the stroke, fading with the squared distance
 *     -> clutter, noise  a few stray strokes, then noise on every pixel
 */

#define STYLES_MAX 4
#define POINTS_MAX 16 /* control points of a stroke */
#define CURVE_MAX 64  /* points of a curve after two rounds of Chaikin: 4 * POINTS_MAX */
#define FOURS (MU_GLYPH_SIDE / 4) /* a row of the canvas, four pixels at a time */
#define NOISE 20                  /* of 255 */
#define FAR 1e6F                  /* squared pixels: further than any pen reaches */

/* Points are "xy" on the grid, x to the right, y down; a comma lifts the pen. */
static const char *const styles[MU_GLYPH_CLASSES][STYLES_MAX] = {
    {"50 20 03 06 29 69 96 93 70 50", "60 30 14 17 39 59 86 82 60",
        "70 20 02 07 39 89 95 92 60 30"},
    {"50 59", "23 50,50 59", "23 50,50 59,29 89", "60 49"},
    {"12 20 60 82 84 46 09,09 99", "12 30 70 83 56 18 07 26 49 99", "11 50 92 85 19,19 88"},
    {"11 40 80 83 44,44 75 97 79 39 08", "10 80,80 44,44 74 97 79 29 08",
        "12 30 70 82 64 34,64 96 98 59 18"},
    {"60 06,06 96,63 69", "20 15,15 85,80 69", "70 05,05 95,70 69", "10 04 25 84,81 79"},
    {"80 20,20 14,14 64 86 88 59 08", "90 20 14 64 96 79 18", "20 14,14 73 97 69 29 08,20 80"},
    {"70 31 05 08 39 79 97 75 45 17", "60 14 17 39 69 87 65 25 17", "80 40 12 07 49 88 76 45 16"},
    {"00 90,90 39", "00 90,90 39,34 84", "02 00 90,90 55 39", "11 80,80 48"},
    {"80 40 11 23 55 87 79 29 07 45 73 82 70", "50 21 23 44 73 71 50,44 15 08 49 98 85 44",
        "71 40 11 24 75 97 59 17 26 74 71"},
    {"82 50 21 03 25 65 83,82 79", "80 40 12 24 64 81,81 86 69 29", "81 40 13 35 74 81,81 89"},
};

struct point {
    float x, y;
};

/* From the grid to pixels. */
struct map {
    float xx, xy, yx, yy, x, y;
};

/* Four pixels of a row. Written out, because gcc 12 does not find the vectors at -O2. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_masks __attribute__((vector_size(16)));

struct canvas {
    four distance2[MU_GLYPH_SIDE][FOURS];
};

static float between(struct mu_random *random, float low, float high)
{
    return low + (high - low) * (float)mu_random_unit(random);
}

/* Turned by twice the angle whose tangent is `half`: a rotation without sine and cosine. */
static struct map map_draw(struct mu_random *random)
{
    float half = between(random, -0.15F, 0.15F);
    float norm = 1.0F / (1.0F + half * half);
    float cosine = (1.0F - half * half) * norm;
    float sine = 2.0F * half * norm;
    float shear = between(random, -0.25F, 0.25F);
    float wide = between(random, 1.3F, 2.1F);
    float high = between(random, 1.6F, 2.2F);
    struct map map = {
        .xx = cosine * wide,
        .xy = (cosine * shear - sine) * high,
        .yx = sine * wide,
        .yy = (sine * shear + cosine) * high,
    };
    float middle = 0.5F * (MU_GLYPH_SIDE - 1);
    map.x = middle + between(random, -2.0F, 2.0F) - 4.5F * (map.xx + map.xy);
    map.y = middle + between(random, -2.0F, 2.0F) - 4.5F * (map.yx + map.yy);
    return map;
}

/* One round of corner cutting; the ends stay. Returns how many points `out` has. */
static int chaikin(const struct point *in, int count, struct point *out)
{
    int made = 0;
    out[made++] = in[0];
    for (int i = 0; i + 1 < count; i++) {
        struct point a = in[i], b = in[i + 1];
        if (i > 0)
            out[made++] = (struct point){0.75F * a.x + 0.25F * b.x, 0.75F * a.y + 0.25F * b.y};
        if (i + 2 < count)
            out[made++] = (struct point){0.25F * a.x + 0.75F * b.x, 0.25F * a.y + 0.75F * b.y};
    }
    out[made++] = in[count - 1];
    return made;
}

static int whole_clamped(float value, int low, int high)
{
    if (value < (float)low)
        return low;
    if (value > (float)high)
        return high;
    return (int)value;
}

static four lower(four a, four b)
{
    four_masks less = a < b;
    return (four)((less & (four_masks)a) | (~less & (four_masks)b));
}

static four higher(four a, four b)
{
    four_masks more = a > b;
    return (four)((more & (four_masks)a) | (~more & (four_masks)b));
}

/* Lowers the distances of the pixels that the segment's ink can reach. */
static void segment(struct canvas *canvas, struct point a, struct point b, float reach)
{
    const int last = MU_GLYPH_SIDE - 1;
    const four steps = {0.0F, 1.0F, 2.0F, 3.0F}, zero = {0}, one = {1.0F, 1.0F, 1.0F, 1.0F};
    float dx = b.x - a.x, dy = b.y - a.y;
    float inverse = 1.0F / (dx * dx + dy * dy + 1e-6F);
    int left = whole_clamped((a.x < b.x ? a.x : b.x) - reach, 0, last) / 4;
    int right = whole_clamped((a.x < b.x ? b.x : a.x) + reach + 1.0F, 0, last) / 4;
    int top = whole_clamped((a.y < b.y ? a.y : b.y) - reach, 0, last);
    int bottom = whole_clamped((a.y < b.y ? b.y : a.y) + reach + 1.0F, 0, last);
    for (int x = left; x <= right; x++) {
        four px = steps + ((float)(4 * x) - a.x);
        for (int y = top; y <= bottom; y++) {
            float py = (float)y - a.y;
            four along = higher(lower((px * dx + py * dy) * inverse, one), zero);
            four ex = px - along * dx, ey = py - along * dy;
            four *at = &canvas->distance2[y][x];
            *at = lower(ex * ex + ey * ey, *at);
        }
    }
}

static void curve(struct canvas *canvas, const struct point *points, int count, float reach)
{
    struct point once[CURVE_MAX], twice[CURVE_MAX];
    int made = chaikin(once, chaikin(points, count, once), twice);
    for (int i = 0; i + 1 < made; i++)
        segment(canvas, twice[i], twice[i + 1], reach);
}

static void strokes(struct canvas *canvas, struct mu_random *random, const char *style, float reach)
{
    struct map map = map_draw(random);
    float wobble = between(random, 0.2F, 0.8F);
    struct point points[POINTS_MAX];
    int count = 0;
    for (const char *at = style; *at; at += at[2] ? 3 : 2) {
        assert(count < POINTS_MAX);
        float x = (float)(at[0] - '0') + between(random, -wobble, wobble);
        float y = (float)(at[1] - '0') + between(random, -wobble, wobble);
        points[count++] =
            (struct point){map.xx * x + map.xy * y + map.x, map.yx * x + map.yy * y + map.y};
        if (at[2] == ' ')
            continue;
        curve(canvas, points, count, reach);
        count = 0;
    }
}

static void clutter(struct canvas *canvas, struct mu_random *random, float reach)
{
    int count = (int)mu_random_below(random, 3);
    for (int i = 0; i < count; i++) {
        struct point a = {between(random, 0.0F, 27.0F), between(random, 0.0F, 27.0F)};
        struct point b = {a.x + between(random, -5.0F, 5.0F), a.y + between(random, -5.0F, 5.0F)};
        segment(canvas, a, b, reach);
    }
}

static void clear(struct canvas *canvas)
{
    for (int y = 0; y < MU_GLYPH_SIDE; y++)
        for (int x = 0; x < FOURS; x++)
            canvas->distance2[y][x] = (four){FAR, FAR, FAR, FAR};
}

/* Full ink within half the reach of the pen, none beyond it. */
static void ink(const struct canvas *canvas, float reach, float full, int pixels[MU_GLYPH_PIXELS])
{
    const four zero = {0}, most = {full, full, full, full};
    float reach2 = reach * reach;
    float slope = full / (0.75F * reach2);
    for (int y = 0; y < MU_GLYPH_SIDE; y++) {
        for (int x = 0; x < FOURS; x++) {
            four value = (reach2 - canvas->distance2[y][x]) * slope;
            value = higher(lower(value, most), zero);
            for (int i = 0; i < 4; i++)
                pixels[y * MU_GLYPH_SIDE + 4 * x + i] = (int)value[i];
        }
    }
}

/* Adds up to `strength` of 255 to every pixel, or takes it away. */
static void noise(
    const int pixels[MU_GLYPH_PIXELS], struct mu_random *random, int strength, uint8_t *ret_pixels)
{
    for (int i = 0; i < MU_GLYPH_PIXELS; i += 8) {
        uint64_t bits = mu_random_next(random);
        for (int k = 0; k < 8; k++, bits >>= 8) {
            int value = pixels[i + k] - strength + (((int)(bits & 0xff) * strength) >> 7);
            value = value > 0 ? value : 0;
            ret_pixels[i + k] = (uint8_t)(value < 255 ? value : 255);
        }
    }
}

int mu_glyph_draw(uint64_t seed, uint8_t ret_pixels[MU_GLYPH_PIXELS])
{
    struct mu_random random;
    mu_random_init(&random, seed);
    int digit = (int)mu_random_below(&random, MU_GLYPH_CLASSES);
    int style_count = 0;
    while (style_count < STYLES_MAX && styles[digit][style_count])
        style_count++;
    const char *style = styles[digit][mu_random_below(&random, (uint64_t)style_count)];

    float reach = between(&random, 1.2F, 2.6F);
    struct canvas canvas;
    int pixels[MU_GLYPH_PIXELS];
    clear(&canvas);
    strokes(&canvas, &random, style, reach);
    clutter(&canvas, &random, reach);
    ink(&canvas, reach, between(&random, 150.0F, 255.0F), pixels);
    noise(pixels, &random, NOISE, ret_pixels);
    return digit;
}
