/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a peer sends: a header with its body, and the body alone, read as every body of
 * the parameter servers. What the scan refuses is never read. */
#include "fuzz.h"
#include "ps/ps_bodies.h"
#include "ps/shard.h"
#include "runtime/io/frame.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct mu_decoder *decoder;

static void check_fields(void)
{
    int64_t value, values[8];
    uint64_t large;
    double real;
    char text[16];
    size_t count;
    if (mu_decoder_int(decoder, "worker", -5, 5, &value))
        FUZZ_CHECK(value >= -5 && value <= 5);
    if (mu_decoder_text(decoder, "name", text, sizeof(text)))
        FUZZ_CHECK(strlen(text) < sizeof(text));
    if (mu_decoder_ints(decoder, "judged", values, 8, &count))
        FUZZ_CHECK(count <= 8);
    (void)mu_decoder_uint(decoder, "seen", &large);
    (void)mu_decoder_real(decoder, "scale", &real);
}

static void check_bodies(const uint8_t *data, size_t bytes)
{
    static int64_t judged[16];
    struct mu_ps_push_body push;
    struct mu_ps_fresh_body fresh;
    struct mu_ps_verdict_body verdict;
    struct mu_ps_state_body state;
    struct mu_ps_note_body note;
    struct mu_ps_rows_body rows;
    struct mu_ps_offer_body offer;
    struct mu_shared_memory_host host;
    char why[MU_SHARED_MEMORY_WHY_MAX];
    enum mu_ps_item item;
    int64_t fresh_at;
    if (mu_ps_push_read(decoder, data, bytes, &push))
        FUZZ_CHECK(push.seen >= 0 && push.gradient_at >= 0 && push.fresh_at >= 0);
    if (mu_ps_offer_read(decoder, data, bytes, &offer))
        FUZZ_CHECK(offer.bytes > 0 && strlen(offer.name) < MU_SHARED_MEMORY_NAME_MAX);
    if (mu_ps_mapped_read(decoder, data, bytes, why))
        FUZZ_CHECK(strlen(why) < MU_SHARED_MEMORY_WHY_MAX);
    if (mu_ps_host_read(decoder, data, bytes, &host))
        FUZZ_CHECK(host.reserved == 0);
    if (mu_ps_note_read(decoder, data, bytes, &note))
        FUZZ_CHECK(note.worker >= 0 && note.worker < MU_PS_REPLICAS_MAX);
    if (mu_ps_rows_read(decoder, data, bytes, &rows))
        FUZZ_CHECK(mu_ps_rows_bytes(&rows, 16) / 80 <= UINT32_MAX);
    if (mu_ps_pull_read(decoder, data, bytes, &item, &fresh_at))
        FUZZ_CHECK(fresh_at >= 0 && (item == MU_PS_ITEM_PULL || item == MU_PS_ITEM_LEAVE ||
                                        item == MU_PS_ITEM_LOOK));
    if (mu_ps_fresh_read(decoder, data, bytes, &fresh))
        FUZZ_CHECK(fresh.version >= 0 && fresh.rows >= 0 && fresh.verdict < MU_VERDICT_COUNT);
    if (mu_ps_verdict_read(decoder, data, bytes, &verdict))
        FUZZ_CHECK(verdict.worker < MU_PS_REPLICAS_MAX && verdict.verdict < MU_VERDICT_COUNT);
    if (mu_ps_state_read(decoder, data, bytes, judged, 16, &state))
        FUZZ_CHECK(state.vector >= 0 && state.vector < state.vector_count &&
                   state.vector_count <= MU_SHARD_VECTORS_MAX &&
                   (state.replica_count == 0 || state.replica_count == 16));
}

static void check_body(const uint8_t *data, size_t bytes)
{
    bool scanned = mu_body_scan(data, bytes);
    enum mu_status status = mu_decoder_read(decoder, data, bytes);
    FUZZ_CHECK(scanned || bytes == 0 || status == MU_PROTOCOL);
    check_fields();
    check_bodies(data, bytes);
}

/* A frame that is decoded is encoded to the same bytes. */
static void check_frame(const uint8_t *data, size_t bytes)
{
    struct mu_frame frame;
    uint8_t again[MU_FRAME_HEADER_BYTES];
    if (bytes < MU_FRAME_HEADER_BYTES || mu_frame_decode(data, &frame) != MU_OK)
        return;
    FUZZ_CHECK(frame.body_bytes <= MU_FRAME_BODY_MAX);
    FUZZ_CHECK(frame.payload_bytes <= MU_FRAME_PAYLOAD_MAX);
    const uint8_t *body = data + MU_FRAME_HEADER_BYTES;
    if (bytes - MU_FRAME_HEADER_BYTES < frame.body_bytes)
        return;
    mu_frame_encode(&frame, body, again);
    FUZZ_CHECK(memcmp(again, data, MU_FRAME_HEADER_BYTES - 4) == 0);
    FUZZ_CHECK(mu_frame_check(again, body));
    if (mu_frame_check(data, body))
        FUZZ_CHECK(memcmp(again, data, MU_FRAME_HEADER_BYTES) == 0);
    check_body(body, frame.body_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!decoder && mu_decoder_create(&decoder) != MU_OK)
        return 0;
    /* A copy of the exact size shows a byte read too far. */
    uint8_t *copy = malloc(bytes + 1);
    if (!copy)
        return 0;
    if (bytes)
        memcpy(copy, data, bytes);
    uint8_t *exact = realloc(copy, bytes ? bytes : 1);
    check_frame(exact ? exact : copy, bytes);
    check_body(exact ? exact : copy, bytes);
    free(exact ? exact : copy);
    return 0;
}
