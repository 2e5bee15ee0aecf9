/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/hello.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_BODY_MAX (MU_HELLO_SPEC_MAX + MU_HELLO_JOB_MAX + 1024)

void mu_hello_send(struct mu_link *link, const struct mu_hello *hello)
{
    uint8_t memory[HELLO_BODY_MAX];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 16);
    mu_body_put_int(&body, "kind", hello->kind);
    mu_body_put_int(&body, "role", hello->role);
    mu_body_put_int(&body, "index", hello->index);
    mu_body_put_uint(&body, "spec", hello->spec_hash);
    mu_body_put_uint(&body, "job", hello->job_hash);
    mu_body_put_uint(&body, "layout", hello->layout_crc32c);
    mu_body_put_uint(&body, "data", hello->data_crc32c);
    mu_body_put_uint(&body, "incarnation", hello->incarnation);
    mu_body_put_uint(&body, "run", hello->run);
    mu_body_put_uint(&body, "generation", hello->generation);
    mu_body_put_uint(&body, "lane", hello->lane);
    mu_body_put_int(&body, "process", hello->process);
    mu_body_put_text(&body, "host", hello->host);
    mu_body_put_int(&body, "started", hello->started_wall_ns);
    mu_body_put_text(&body, "cluster", hello->spec);
    mu_body_put_text(&body, "settings", hello->job);
    assert(!body.failed);
    mu_link_post(link, MU_FRAME_HELLO, 0, 0, &body);
}

static bool read_u32(struct mu_decoder *decoder, const char *key, uint32_t *ret_value)
{
    uint64_t value;
    if (!mu_decoder_uint(decoder, key, &value) || value > UINT32_MAX)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

enum mu_status mu_hello_read(
    struct mu_link *link, const void *body, size_t bytes, struct mu_hello *ret_hello)
{
    struct mu_decoder *decoder = mu_link_decoder(link);
    MU_TRY(mu_decoder_read(decoder, body, bytes));
    int64_t kind, role, index, process;
    bool sound = mu_decoder_int(decoder, "kind", 0, MU_KIND_COUNT - 1, &kind) &&
                 mu_decoder_int(decoder, "role", 0, MU_ROLE_COUNT - 1, &role) &&
                 mu_decoder_int(decoder, "index", 0, MU_TASK_INDEX_MAX, &index) &&
                 mu_decoder_uint(decoder, "spec", &ret_hello->spec_hash) &&
                 mu_decoder_uint(decoder, "job", &ret_hello->job_hash) &&
                 read_u32(decoder, "layout", &ret_hello->layout_crc32c) &&
                 read_u32(decoder, "data", &ret_hello->data_crc32c) &&
                 mu_decoder_uint(decoder, "incarnation", &ret_hello->incarnation) &&
                 mu_decoder_uint(decoder, "run", &ret_hello->run) &&
                 mu_decoder_int(decoder, "process", 0, INT32_MAX, &process) &&
                 mu_decoder_text(decoder, "host", ret_hello->host, sizeof(ret_hello->host)) &&
                 mu_decoder_int(decoder, "started", 0, INT64_MAX, &ret_hello->started_wall_ns) &&
                 mu_decoder_text(decoder, "cluster", ret_hello->spec, sizeof(ret_hello->spec));
    if (!sound)
        return MU_PROTOCOL;
    if (!mu_decoder_text(decoder, "settings", ret_hello->job, sizeof(ret_hello->job)))
        ret_hello->job[0] = '\0';
    if (!read_u32(decoder, "lane", &ret_hello->lane))
        ret_hello->lane = 0;
    if (!read_u32(decoder, "generation", &ret_hello->generation))
        ret_hello->generation = 0;
    ret_hello->kind = (enum mu_link_kind)kind;
    ret_hello->role = (enum mu_role)role;
    ret_hello->index = (int)index;
    ret_hello->process = (int)process;
    return MU_OK;
}

void mu_refusal_send(struct mu_link *link, const struct mu_refusal *refusal)
{
    uint8_t memory[MU_REFUSAL_TEXT_MAX + MU_REFUSAL_HELP_MAX + 64];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 3 + refusal->passes);
    mu_body_put_int(&body, "error", mu_error_number(refusal->error));
    if (refusal->passes)
        mu_body_put_int(&body, "passes", 1);
    mu_body_put_text(&body, "text", refusal->text);
    mu_body_put_text(&body, "help", refusal->help);
    assert(!body.failed);
    mu_link_post(link, MU_FRAME_REFUSAL, 0, 0, &body);
}

enum mu_status mu_refusal_read(
    struct mu_link *link, const void *body, size_t bytes, struct mu_refusal *ret_refusal)
{
    struct mu_decoder *decoder = mu_link_decoder(link);
    MU_TRY(mu_decoder_read(decoder, body, bytes));
    int64_t number;
    if (!mu_decoder_int(decoder, "error", 1, 9999, &number) ||
        !mu_decoder_text(decoder, "text", ret_refusal->text, sizeof(ret_refusal->text)))
        return MU_PROTOCOL;
    if (!mu_decoder_text(decoder, "help", ret_refusal->help, sizeof(ret_refusal->help)))
        ret_refusal->help[0] = '\0';
    int64_t passes;
    ret_refusal->passes = mu_decoder_int(decoder, "passes", 1, 1, &passes);
    return mu_error_find(number, &ret_refusal->error) ? MU_OK : MU_PROTOCOL;
}

static void name_of(const struct mu_hello *hello, char *out, size_t bytes)
{
    const struct mu_task task = {.role = hello->role, .index = hello->index};
    mu_task_name(&task, out, bytes);
}

static bool refuse_spec(const struct mu_hello *ours, const struct mu_hello *theirs,
    const char *their_name, struct mu_refusal *refusal)
{
    struct mu_text difference;
    char name[MU_TASK_NAME_MAX];
    name_of(ours, name, sizeof(name));
    mu_text_init(&difference);
    if (ours->spec[0] && theirs->spec[0])
        mu_spec_difference(ours->spec, theirs->spec, &difference);
    const char *sign[] = {difference.bytes ? " (-)" : "", difference.bytes ? " (+)" : ""};
    refusal->error = MU_E0304;
    snprintf(refusal->text, sizeof(refusal->text),
        "%s has another cluster spec: %016" PRIx64 " on %s%s, %016" PRIx64 " on %s%s%s%.700s",
        their_name, ours->spec_hash, name, sign[0], theirs->spec_hash, their_name, sign[1],
        difference.bytes ? "\n" : "", difference.data);
    mu_text_finish(&difference);
    return false;
}

static bool refuse_job(const struct mu_hello *ours, const struct mu_hello *theirs,
    const char *their_name, struct mu_refusal *refusal)
{
    struct mu_text difference;
    char name[MU_TASK_NAME_MAX];
    name_of(ours, name, sizeof(name));
    mu_text_init(&difference);
    const struct mu_hello_sides sides = {
        .ours = ours->job, .theirs = theirs->job, .our_name = name, .their_name = their_name};
    if (!mu_hello_job_difference(&sides, &difference))
        mu_text_add(&difference, "%016" PRIx64 " on %s, %016" PRIx64 " on %s", ours->job_hash, name,
            theirs->job_hash, their_name);
    refusal->error = MU_E0305;
    snprintf(refusal->text, sizeof(refusal->text), "%s has another job: %.700s", their_name,
        difference.data);
    mu_text_finish(&difference);
    return false;
}

bool mu_hello_agrees(
    const struct mu_hello *ours, const struct mu_hello *theirs, struct mu_refusal *ret_refusal)
{
    char name[MU_TASK_NAME_MAX], own[MU_TASK_NAME_MAX];
    name_of(theirs, name, sizeof(name));
    name_of(ours, own, sizeof(own));
    if (ours->spec_hash != theirs->spec_hash)
        return refuse_spec(ours, theirs, name, ret_refusal);
    if (ours->job_hash != theirs->job_hash)
        return refuse_job(ours, theirs, name, ret_refusal);
    const char *what = NULL;
    uint32_t here = 0, there = 0;
    if (ours->layout_crc32c != theirs->layout_crc32c && ours->layout_crc32c &&
        theirs->layout_crc32c) {
        what = "model";
        here = ours->layout_crc32c;
        there = theirs->layout_crc32c;
    } else if (ours->data_crc32c != theirs->data_crc32c && ours->data_crc32c &&
               theirs->data_crc32c) {
        what = "training data";
        here = ours->data_crc32c;
        there = theirs->data_crc32c;
    }
    if (what) {
        ret_refusal->error = MU_E0305;
        snprintf(ret_refusal->text, sizeof(ret_refusal->text),
            "%s has another %s: %08" PRIx32 " on %s, %08" PRIx32 " on %s", name, what, here, own,
            there, name);
        return false;
    }
    if (theirs->run != 0 && ours->run != 0 && theirs->run != ours->run) {
        ret_refusal->error = MU_E0309;
        snprintf(ret_refusal->text, sizeof(ret_refusal->text),
            "%s belongs to run %016" PRIx64 ", which has ended; this is run %016" PRIx64, name,
            theirs->run, ours->run);
        return false;
    }
    return true;
}
