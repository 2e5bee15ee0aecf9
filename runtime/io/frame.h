/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_FRAME_H
#define MU_IO_FRAME_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What travels on a link: a fixed 32-byte little-endian header, a msgpack body for control fields,
 * and a raw payload. Documented in docs/PROTOCOL.md.
 *
 *   offset  0  u32  magic        "MUST"
 *           4  u8   version
 *           5  u8   type
 *           6  u16  flags        of the type
 *           8  u32  generation   of the view the sender acts in; 0 before there is one
 *          12  u64  tag          of the type: sequence numbers, bucket and segment
 *          20  u32  body bytes
 *          24  u32  payload bytes
 *          28  u32  crc32c       of the 28 bytes before it and of the body
 *
 * A payload has no checksum of its own: replicas compare their parameters now and then instead,
 * and checkpoints have theirs.
 */
#define MU_FRAME_MAGIC UINT32_C(0x5453554d) /* "MUST" */
#define MU_PROTOCOL_VERSION 1
#define MU_FRAME_HEADER_BYTES 32
#define MU_FRAME_BODY_MAX (64u << 10)
#define MU_FRAME_PAYLOAD_MAX (1u << 30)

#define MU_FRAME_TYPE_ROWS(ROW)                                                                    \
    ROW(NONE)                                                                                      \
    ROW(HELLO)     /* first on every link, both ways: who I am, what I run */                      \
    ROW(REFUSAL)   /* instead of a welcome: why not, and what ours is */                           \
    ROW(WAITING)   /* leader: who is missing, before the start */                                  \
    ROW(START)     /* leader: everybody is here; the run id and the generation */                  \
    ROW(HEARTBEAT) /* both ways: alive, and what I am doing */                                     \
    ROW(SUSPECT)   /* member: I miss this task */                                                  \
    ROW(LOST)      /* leader: this task is gone, and why; the run ends */                          \
    ROW(GOODBYE)   /* I end, with this status and for this reason */                               \
    ROW(STOP)      /* the run is to stop with its state saved */                                   \
    ROW(OVER)      /* leader: the run is over; end with 0 (or with the status it names) */         \
    ROW(SEGMENT)   /* collectives: a piece of a vector */                                          \
    ROW(PUSH)      /* worker to ps: a gradient and the version it saw */                           \
    ROW(PULL)      /* worker to ps: parameters wanted */                                           \
    ROW(FRESH)     /* ps to worker: verdict, staleness, version, and the span as it is now */      \
    ROW(VERDICT)   /* first ps to the others: what becomes of a gradient, in order */              \
    ROW(SNAPSHOT)  /* leader to first ps: the state, please; first ps to the others */             \
    ROW(STATE)     /* ps to leader: one vector of one span at a version */                         \
    ROW(RESTORE)   /* leader to ps: one vector of one span to begin with */                        \
    ROW(READY)     /* ps to leader: restored; worker to ps */                                      \
    ROW(DOING)     /* collectives: what I am doing; what are you doing? */                         \
    ROW(ROWS)      /* worker or leader to ps, and back: rows of an embedding table */              \
    ROW(SHARE)     /* worker to ps, ps to worker: memory that both of one host see */              \
    ROW(PLACE)     /* ps to ps: how far I am in the order, after the head was lost */              \
    ROW(PAUSE)     /* leader: a ps is gone, and the run waits until it has come back */            \
    ROW(GONE)      /* leader: a ps is gone, and the run goes on without it */                      \
    ROW(BACK)      /* leader: it has come back, and the run goes on from a version */

#define MU_FRAME_TYPE_ENUM(name) MU_FRAME_##name,
enum mu_frame_type { MU_FRAME_TYPE_ROWS(MU_FRAME_TYPE_ENUM) MU_FRAME_TYPE_COUNT };
#undef MU_FRAME_TYPE_ENUM

struct mu_frame {
    uint8_t version; /* set by decode */
    uint8_t type;
    uint16_t flags;
    uint32_t generation;
    uint64_t tag;
    uint32_t body_bytes;
    uint32_t payload_bytes;
    uint32_t crc32c; /* set by decode */
};

const char *mu_frame_type_name(int type);

void mu_frame_encode(
    const struct mu_frame *frame, const void *body, uint8_t out[MU_FRAME_HEADER_BYTES]);
/* Checks magic, version, type and caps: PROTOCOL. Nothing is allocated. Only the magic and the
 * version are looked at if they are wrong, so `version` is then set. */
enum mu_status mu_frame_decode(
    const uint8_t header[MU_FRAME_HEADER_BYTES], struct mu_frame *ret_frame);
/* Is the checksum that of this header and this body? */
bool mu_frame_check(const uint8_t header[MU_FRAME_HEADER_BYTES], const void *body);

#endif
