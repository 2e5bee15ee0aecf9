/* SPDX-License-Identifier: Apache-2.0 */
#include "data/labels.h"

#include "data/decimal.h"
#include <assert.h>
#include <stdio.h>

const char *mu_labels_parse(const char *at, int64_t *ret_label)
{
    uint64_t number;
    bool negative = *at == '-';
    at = mu_decimal_id(at + (negative || *at == '+'), &number);
    if (!at || number > MU_LABELS_CLASSES_MAX)
        return NULL;
    if (*at == '.')
        for (at++; *at == '0'; at++)
            ;
    *ret_label = negative ? -(int64_t)number : (int64_t)number;
    return at;
}

void mu_labels_see(struct mu_labels *labels, int64_t label)
{
    if (labels->count == 0 || label < labels->least) {
        labels->least = label;
        labels->least_at = labels->count;
    }
    if (labels->count == 0 || label > labels->most) {
        labels->most = label;
        labels->most_at = labels->count;
    }
    if (label == 0 && labels->zero_count++ == 0)
        labels->zero_at = labels->count;
    labels->count++;
}

static enum mu_labels_style find_style(const struct mu_labels *labels)
{
    if (labels->style != MU_LABELS_AUTO)
        return labels->style;
    if (labels->least < 0)
        return MU_LABELS_SIGNS;
    return labels->least == 0 || labels->most == 1 ? MU_LABELS_FROM_0 : MU_LABELS_FROM_1;
}

struct naming {
    struct mu_log *log;
    const char *file, *help;
};

static enum mu_status out_of_range(
    const struct mu_labels *labels, const struct naming *naming, int64_t label, uint64_t at)
{
    int64_t first = labels->style == MU_LABELS_FROM_1 ? 1 : 0;
    char range[64] = "-1 or 1";
    if (labels->style != MU_LABELS_SIGNS)
        snprintf(range, sizeof(range), "%lld to %lld", (long long)first,
            (long long)(labels->class_count + first - 1));
    return mu_fail(naming->log, MU_E0503, naming->help,
        "label %lld of record %llu in %s is out of range %s", (long long)label,
        (unsigned long long)at, naming->file, range);
}

/* What lies between the least and the most is a class, but for the 0 between signs. */
static enum mu_status check(const struct mu_labels *labels, const struct naming *naming)
{
    if (mu_labels_class(labels, labels->least) < 0)
        return out_of_range(labels, naming, labels->least, labels->least_at);
    if (mu_labels_class(labels, labels->most) < 0)
        return out_of_range(labels, naming, labels->most, labels->most_at);
    if (labels->style == MU_LABELS_SIGNS && labels->zero_count > 0)
        return out_of_range(labels, naming, 0, labels->zero_at);
    return MU_OK;
}

enum mu_status mu_labels_decide(struct mu_labels *labels, struct mu_log *log, const char *name)
{
    assert(labels->count > 0);
    labels->style = find_style(labels);
    int64_t top = labels->style == MU_LABELS_FROM_1 ? labels->most - 1 : labels->most;
    if (labels->class_count == 0)
        labels->class_count = top < 1 || labels->style == MU_LABELS_SIGNS ? 2 : top + 1;
    const struct naming naming = {
        log, name, "data.labels says how classes are numbered, data.classes how many there are"};
    return check(labels, &naming);
}

enum mu_status mu_labels_adopt(
    struct mu_labels *labels, const struct mu_labels *trained, struct mu_log *log, const char *name)
{
    assert(labels->count > 0 && trained->class_count > 0);
    labels->style = trained->style;
    labels->class_count = trained->class_count;
    const struct naming naming = {log, name,
        "test data have the classes of the data to train with; data.classes says how many"};
    return check(labels, &naming);
}

int32_t mu_labels_class(const struct mu_labels *labels, int64_t label)
{
    if (labels->style == MU_LABELS_SIGNS)
        return label == 1 ? 1 : label == -1 ? 0 : -1;
    int64_t class = label - (labels->style == MU_LABELS_FROM_1 ? 1 : 0);
    return class >= 0 && class < labels->class_count ? (int32_t) class : -1;
}
