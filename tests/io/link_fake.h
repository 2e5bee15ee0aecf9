/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_LINK_FAKE_H
#define MU_TEST_LINK_FAKE_H

#include "runtime/io/link.h"
#include "test.h"

/* A link on a driver of its own, which gives each byte when the test says so, and an owner that
 * remembers what it was told. */
#define WRITES_MAX 400

struct mu_stream {
    const struct mu_stream_events *events;
    void *owner;
    bool closed;
    int resumed;
    int undelivered;                     /* looks until all is with the other host */
    struct mu_write *writes[WRITES_MAX]; /* not done yet */
    int write_count;
    uint8_t written[256 << 10];
    size_t written_bytes;
};

extern struct mu_stream stream; /* of the link at hand */

struct owner {
    int asked, arrived, ended, error;
    enum mu_status why;
    uint32_t crc32c; /* of all that has arrived */
    uint64_t last_tag;
    size_t landed; /* of the payload at hand */
    enum mu_link_answer answer;
    uint8_t payload[200 << 10];
    /* Where to close, or whom to hand the link to. */
    bool close_in_frame, close_in_arrived, close_in_ended;
    struct owner *heir_in_frame, *heir_in_arrived;
};

extern const struct mu_link_events owner_events;

/* Opens the stream anew and clears the owner. */
struct mu_link *open_link(struct owner *owner);
/* Gives bytes, `step` at a time, as far as the link takes them. Returns how many it took. */
size_t feed(const void *data, size_t bytes, size_t step);
void end_stream(int error);
void finish_writes(struct mu_stream *at, enum mu_status status);
/* Appends a frame whose bytes follow from its sizes. */
size_t add_frame(uint8_t *out, uint64_t tag, size_t body_bytes, size_t payload_bytes);

#endif
