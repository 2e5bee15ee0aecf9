/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mesh_inside.h"
#include <string.h>

void mu_mesh_name_rank(
    const struct mu_mesh_request *request, int rank, char out[MU_MESH_NAME_BYTES])
{
    char name[48];
    if (request->names)
        mu_text_copy(name, sizeof(name), request->names[rank]);
    else
        mu_format(name, sizeof(name), "rank %d", rank);
    if (rank >= mu_mesh_listeners(request)) {
        mu_text_copy(out, MU_MESH_NAME_BYTES, name);
        return;
    }
    const struct mu_address *address = &request->address[rank];
    bool bare = strchr(address->host, ':') != NULL;
    mu_format(out, MU_MESH_NAME_BYTES, "%s (%s%s%s:%d)", name, bare ? "[" : "", address->host,
        bare ? "]" : "", address->port);
}

void mu_mesh_send_hello(struct mu_link *link, const struct mu_mesh_request *request, int to)
{
    uint8_t memory[MU_BODY_SMALL + MU_MESH_TERMS_MAX];
    struct mu_body body;
    mu_body_begin(&body, memory, sizeof(memory), 4 + (request->terms != NULL));
    mu_body_put_uint(&body, "group", request->group);
    mu_body_put_int(&body, "count", request->count);
    mu_body_put_int(&body, "from", request->rank);
    mu_body_put_int(&body, "to", to);
    if (request->terms)
        mu_body_put_text(&body, "terms", request->terms);
    assert(!body.failed);
    mu_link_post(link, MU_FRAME_HELLO, 0, 0, &body);
}

bool mu_mesh_read_hello(struct mu_link *link, const struct mu_frame *frame, const void *body,
    struct mu_mesh_hello *ret_hello)
{
    struct mu_decoder *decoder = mu_link_decoder(link);
    bool sound = mu_decoder_read(decoder, body, frame->body_bytes) == MU_OK &&
                 mu_decoder_uint(decoder, "group", &ret_hello->group) &&
                 mu_decoder_int(decoder, "count", 1, INT32_MAX, &ret_hello->count) &&
                 mu_decoder_int(decoder, "from", 0, ret_hello->count - 1, &ret_hello->from) &&
                 mu_decoder_int(decoder, "to", 0, ret_hello->count - 1, &ret_hello->to);
    if (!sound)
        return false;
    if (!mu_decoder_text(decoder, "terms", ret_hello->terms, sizeof(ret_hello->terms)))
        ret_hello->terms[0] = '\0';
    return true;
}

bool mu_mesh_same_group(const struct mu_mesh_request *request, const struct mu_mesh_hello *hello)
{
    return hello->group == request->group && hello->count == request->count &&
           hello->to == request->rank;
}
