/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_CODEC_H
#define MU_IO_CODEC_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bodies of frames: one msgpack map of short string keys. Written into the caller's memory, read
 * after a scan that bounds every count by the bytes that are left, so that what a body claims never
 * decides what is allocated. Tensors never travel here.
 */
#define MU_BODY_DEPTH_MAX 16
#define MU_BODY_SMALL 512 /* most bodies fit */

struct mu_body {
    uint8_t *data;
    size_t bytes, capacity;
    bool failed; /* it did not fit; asked once, at the end */
};

/* A map with exactly `fields` of the calls that follow. */
void mu_body_begin(struct mu_body *body, void *memory, size_t capacity, int fields);
void mu_body_put_int(struct mu_body *body, const char *key, int64_t value);
void mu_body_put_uint(struct mu_body *body, const char *key, uint64_t value);
void mu_body_put_real(struct mu_body *body, const char *key, double value);
void mu_body_put_text(struct mu_body *body, const char *key, const char *value);
void mu_body_put_ints(struct mu_body *body, const char *key, const int64_t *values, size_t count);
void mu_body_put_bytes(struct mu_body *body, const char *key, const void *data, size_t bytes);

/* Every count and length fits in what is left, nesting is at most MU_BODY_DEPTH_MAX, one value and
 * nothing after it. Needs no memory. */
bool mu_body_scan(const void *data, size_t bytes);

/* Reads one body at a time; its memory is reused, so that reading allocates nothing after the
 * first few. */
struct mu_decoder;
enum mu_status mu_decoder_create(struct mu_decoder **ret_decoder);
void mu_decoder_destroy(struct mu_decoder *decoder); /* takes NULL */
/* PROTOCOL: the scan failed, it is not a map with text keys, or a key is there twice. An empty body
 * is an empty map. The values stay valid until the next call; texts point into `data`. */
enum mu_status mu_decoder_read(struct mu_decoder *decoder, const void *data, size_t bytes);
/* Each: false if the key is absent, of another type, or outside the range; the result is then
 * untouched. */
bool mu_decoder_int(
    struct mu_decoder *decoder, const char *key, int64_t min, int64_t max, int64_t *ret_value);
bool mu_decoder_uint(struct mu_decoder *decoder, const char *key, uint64_t *ret_value);
bool mu_decoder_real(struct mu_decoder *decoder, const char *key, double *ret_value);
/* Copies with a NUL at the end; false also if it is longer than fits or holds a NUL. */
bool mu_decoder_text(struct mu_decoder *decoder, const char *key, char *out, size_t out_bytes);
/* Up to `most` integers; false if there are more. */
bool mu_decoder_ints(
    struct mu_decoder *decoder, const char *key, int64_t *out, size_t most, size_t *ret_count);
/* Copies exactly `bytes`; false if there are more or less. */
bool mu_decoder_bytes(struct mu_decoder *decoder, const char *key, void *out, size_t bytes);

#endif
