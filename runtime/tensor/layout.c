/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/tensor/layout.h"

#include "runtime/base/crc32c.h"
#include <string.h>

/* Far beyond any memory, and sums of such counts and their bytes still fit in a size_t. */
#define ELEMENTS_MAX ((size_t)1 << 56)

void mu_layout_init(struct mu_layout *layout)
{
    memset(layout, 0, sizeof(*layout)); /* equal layouts are equal bytes */
}

static bool product_of(int rank, const int64_t shape[], size_t *ret_count)
{
    size_t count = 1;
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] <= 0 || (uint64_t)shape[axis] > ELEMENTS_MAX / count)
            return false;
        count *= (size_t)shape[axis];
    }
    *ret_count = count;
    return true;
}

bool mu_layout_add(struct mu_layout *layout, const char *name, int rank, const int64_t shape[])
{
    size_t count = 0;
    if (layout->view_count == MU_VIEWS_MAX || rank < 0 || rank > MU_RANK_MAX ||
        strlen(name) >= MU_NAME_MAX || !product_of(rank, shape, &count) ||
        layout->element_count + count > ELEMENTS_MAX)
        return false;
    struct mu_view *view = &layout->view[layout->view_count++];
    memset(view, 0, sizeof(*view));
    memcpy(view->name, name, strlen(name));
    view->rank = rank;
    for (int axis = 0; axis < rank; axis++)
        view->shape[axis] = shape[axis];
    view->span = (struct mu_span){layout->element_count, count};
    size_t end = layout->element_count + count;
    layout->element_count = (end + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
    return true;
}

/* Numbers go in as eight little-endian bytes, so that every machine gets the same sum. */
static uint32_t crc_of_number(uint32_t crc, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> (8 * i));
    return mu_crc32c(crc, bytes, sizeof(bytes));
}

uint32_t mu_layout_crc32c(const struct mu_layout *layout)
{
    uint32_t crc = crc_of_number(0, (uint64_t)layout->view_count);
    for (int i = 0; i < layout->view_count; i++) {
        const struct mu_view *view = &layout->view[i];
        crc = mu_crc32c(crc, view->name, strlen(view->name) + 1);
        crc = crc_of_number(crc, (uint64_t)view->rank);
        for (int axis = 0; axis < view->rank; axis++)
            crc = crc_of_number(crc, (uint64_t)view->shape[axis]);
    }
    return crc;
}

uint32_t mu_layout_crc32c_of(const struct mu_layout *layout, const float *vector)
{
    uint32_t crc = 0;
    for (int i = 0; i < layout->view_count; i++) {
        struct mu_span span = layout->view[i].span;
        crc = mu_crc32c(crc, vector + span.first, span.count * sizeof(float));
    }
    return crc;
}
