/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/swap.h"
#include "collectives/transport/tcp_peer.h"
#include <stdlib.h>
#include <string.h>

/*
 * More streams between ranks of different hosts, before the group does anything else:
 *
 *   all say how many they want: the least counts
 *   links are made, one more to each rank at a time, and all say to whom they keep how many
 *   if nobody has asked for a number: messages to the right and from the left, in 1, 2 and 4 parts
 *   all say what that took; the slowest counts, so that all choose alike
 */
#define TAG (UINT64_C(0xff) << 56 | 0x200) /* of no operation; others: segments.c, tcp_home.c */
#define CHOSEN_MAX 4                       /* streams that are tried */
#define MESSAGE_BYTES ((size_t)256 << 10)
#define MESSAGES 2
#define BATCHES 2       /* that are timed; the better one counts */
#define CLEARLY 1.25    /* faster: or else fewer streams do */
#define RANKS_CHOSEN 32 /* ranks of a group that more links are tried for unasked */

static const int tried[] = {1, 2, CHOSEN_MAX};

/* What each rank gives each. */
struct note {
    int32_t wanted;
    int32_t abroad;  /* has it ranks on other hosts? */
    int32_t streams; /* that it keeps to you */
    int32_t reserved;
    double seconds[MU_COUNT_OF(tried)];
};

struct widening {
    struct mu_tcp *tcp;
    struct mu_log *log;
    const bool *home; /* NULL: not known */
    const struct mu_tcp_more *more;
    int64_t deadline_ns;
    struct mu_swap *swap;  /* of struct note */
    struct mu_link **link; /* (count, MU_TCP_STREAMS_MAX - 1) */
    uint64_t tag;
    bool kept; /* the swap, by the transport */
};

static bool is_peer(const struct widening *widening, int rank)
{
    return widening->tcp->peer[rank].link != NULL;
}

/* ---- agreement ---- */

static enum mu_status swap_notes(struct widening *widening, const struct note *note)
{
    for (int rank = 0; rank < widening->tcp->base.count; rank++) {
        struct note *given = mu_swap_out(widening->swap, rank);
        int32_t streams = given->streams;
        *given = *note;
        given->streams = streams;
    }
    enum mu_status status = mu_swap_run(widening->swap, widening->tag++, widening->deadline_ns);
    widening->kept = status != MU_OK;
    return status;
}

static const struct note *note_of(struct widening *widening, int rank)
{
    return mu_swap_in(widening->swap, rank);
}

static bool is_home(const struct widening *widening, int rank)
{
    return !widening->home || widening->home[rank];
}

/* How many streams there may be: 1 if there is nothing to gain. */
static enum mu_status agree(struct widening *widening, int *wanted, int *ret_most)
{
    int count = widening->tcp->base.count;
    struct note note = {.wanted = *wanted};
    for (int rank = 0; rank < count; rank++)
        note.abroad |= is_peer(widening, rank) && !is_home(widening, rank);
    bool abroad = note.abroad;
    MU_TRY(swap_notes(widening, &note));
    for (int rank = 0; rank < count; rank++) {
        if (!is_peer(widening, rank))
            continue;
        int theirs = note_of(widening, rank)->wanted;
        *wanted = theirs < *wanted ? theirs : *wanted;
        abroad = abroad || note_of(widening, rank)->abroad;
    }
    bool tries = *wanted == 0 && abroad && count <= RANKS_CHOSEN;
    *ret_most = *wanted > 0 ? *wanted : tries ? CHOSEN_MAX : 1;
    if (*ret_most > MU_TCP_STREAMS_MAX)
        *ret_most = MU_TCP_STREAMS_MAX;
    return *ret_most < 1 ? MU_PROTOCOL : MU_OK;
}

/* ---- the links ---- */

static struct mu_link **links_of(struct widening *widening, int rank)
{
    return widening->link + rank * (MU_TCP_STREAMS_MAX - 1);
}

static enum mu_status make_links(struct widening *widening, int number, struct mu_link *link[])
{
    int count = widening->tcp->base.count;
    memset(link, 0, (size_t)count * sizeof(*link));
    MU_TRY(widening->more->links(widening->more->owner, widening->deadline_ns, link));
    for (int rank = 0; rank < count; rank++) {
        links_of(widening, rank)[number] = link[rank];
        if (link[rank]) /* whoever has made it is gone */
            mu_link_adopt(link[rank], &mu_link_hold_events, NULL);
    }
    /* So that the second to a rank is not taken for its first. */
    return swap_notes(widening, &(struct note){0});
}

static enum mu_status make_all_links(struct widening *widening, int most)
{
    size_t count = (size_t)widening->tcp->base.count;
    struct mu_link **link = calloc(count, sizeof(*link));
    enum mu_status status = link ? MU_OK : MU_NO_MEMORY;
    for (int number = 0; number < most - 1 && status == MU_OK; number++)
        status = make_links(widening, number, link);
    free(link);
    return status;
}

static void close_from(struct mu_link *link[], int first)
{
    for (int i = first; i < MU_TCP_STREAMS_MAX - 1; i++) {
        mu_link_close(link[i]);
        link[i] = NULL;
    }
}

/* Those to whom this rank has more: how many, which both ends know. */
static enum mu_status keep_links(struct widening *widening, bool asked, int most)
{
    int count = widening->tcp->base.count;
    for (int rank = 0; rank < count; rank++) {
        const struct mu_tcp_peer *peer = &widening->tcp->peer[rank];
        bool keeps = peer->link && !peer->at_home && (asked || !is_home(widening, rank));
        ((struct note *)mu_swap_out(widening->swap, rank))->streams = keeps ? most - 1 : 0;
    }
    MU_TRY(swap_notes(widening, &(struct note){0}));
    enum mu_status status = MU_OK;
    for (int rank = 0; rank < count; rank++) {
        struct mu_link **link = links_of(widening, rank);
        int ours = ((struct note *)mu_swap_out(widening->swap, rank))->streams;
        int theirs = is_peer(widening, rank) ? note_of(widening, rank)->streams : 0;
        int streams = theirs < ours ? theirs : ours;
        close_from(link, streams > 0 ? streams : 0);
        if (streams > 0 && status == MU_OK) {
            status = mu_tcp_add_streams(&widening->tcp->peer[rank], link, streams);
            memset(link, 0, sizeof(*link) * (MU_TCP_STREAMS_MAX - 1));
        }
    }
    return status;
}

/* ---- the measurement ---- */

struct batch {
    struct mu_op send[MESSAGES], receive[MESSAGES];
    char out[MESSAGES][MESSAGE_BYTES], in[MESSAGES][MESSAGE_BYTES];
};

static void use_streams(struct mu_tcp *tcp, int streams)
{
    for (int rank = 0; rank < tcp->base.count; rank++) {
        struct mu_tcp_peer *peer = &tcp->peer[rank];
        peer->parts_max = streams < peer->streams + 1 ? streams : peer->streams + 1;
    }
}

/* To the right and from the left, where there is something to choose. */
static enum mu_status exchange(struct widening *widening)
{
    struct mu_tcp *tcp = widening->tcp;
    struct mu_transport *base = &tcp->base;
    struct batch *batch = tcp->probe;
    int right = (base->rank + 1) % base->count;
    int left = (base->rank + base->count - 1) % base->count;
    bool sends = tcp->peer[right].streams > 0, receives = tcp->peer[left].streams > 0;
    for (int i = 0; i < MESSAGES; i++) {
        uint64_t tag = widening->tag + (uint64_t)i;
        if (receives)
            base->ops->receive(base, &batch->receive[i], left, tag, batch->in[i], MESSAGE_BYTES);
        if (sends)
            base->ops->send(base, &batch->send[i], right, tag, batch->out[i], MESSAGE_BYTES);
    }
    for (int i = 0; i < MESSAGES; i++) {
        if (receives)
            MU_TRY(base->ops->wait(base, &batch->receive[i], widening->deadline_ns));
        if (sends)
            MU_TRY(base->ops->wait(base, &batch->send[i], widening->deadline_ns));
    }
    widening->tag += MESSAGES;
    return MU_OK;
}

/* All begin together. The first exchange is not timed: it opens the windows. */
static enum mu_status measure(struct widening *widening, double *ret_seconds)
{
    struct mu_world *world = widening->tcp->base.loop->world;
    MU_TRY(exchange(widening));
    for (int i = 0; i < BATCHES; i++) {
        MU_TRY(swap_notes(widening, &(struct note){0}));
        int64_t begin_ns = mu_now(world);
        MU_TRY(exchange(widening));
        double seconds = (double)(mu_now(world) - begin_ns) / 1e9;
        if (i == 0 || seconds < *ret_seconds)
            *ret_seconds = seconds;
    }
    return MU_OK;
}

static enum mu_status agree_on_seconds(struct widening *widening, struct note *note)
{
    MU_TRY(swap_notes(widening, note));
    for (int rank = 0; rank < widening->tcp->base.count; rank++)
        for (size_t i = 0; i < MU_COUNT_OF(tried); i++)
            if (is_peer(widening, rank) && note_of(widening, rank)->seconds[i] > note->seconds[i])
                note->seconds[i] = note_of(widening, rank)->seconds[i];
    return MU_OK;
}

static enum mu_status choose(struct widening *widening, int *ret_streams)
{
    struct note note = {0};
    widening->tcp->probe = calloc(1, sizeof(struct batch));
    if (!widening->tcp->probe)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < MU_COUNT_OF(tried); i++) {
        use_streams(widening->tcp, tried[i]);
        MU_TRY(measure(widening, &note.seconds[i]));
    }
    MU_TRY(agree_on_seconds(widening, &note));
    size_t best = 0;
    for (size_t i = 1; i < MU_COUNT_OF(tried); i++)
        if (note.seconds[i] * CLEARLY <= note.seconds[best])
            best = i;
    *ret_streams = tried[best];
    free(widening->tcp->probe);
    widening->tcp->probe = NULL;
    mu_say(widening->log, MU_LEVEL_DEBUG,
        "%d x %zu KiB take %.1f, %.1f, %.1f ms by 1, 2, 4 streams", MESSAGES, MESSAGE_BYTES >> 10,
        note.seconds[0] * 1e3, note.seconds[1] * 1e3, note.seconds[2] * 1e3);
    return MU_OK;
}

/* ---- all of it ---- */

static void leave(struct mu_tcp *tcp, int streams)
{
    for (int rank = 0; rank < tcp->base.count; rank++)
        if (streams == 1)
            mu_tcp_end_streams(&tcp->peer[rank]);
        else
            mu_tcp_trim_streams(&tcp->peer[rank], streams - 1);
}

static enum mu_status run(struct widening *widening, int wanted)
{
    int streams;
    MU_TRY(agree(widening, &wanted, &streams));
    if (streams == 1)
        return MU_OK;
    MU_TRY(make_all_links(widening, streams));
    MU_TRY(keep_links(widening, wanted > 0, streams));
    if (wanted == 0) {
        MU_TRY(choose(widening, &streams));
        leave(widening->tcp, streams);
    }
    mu_say(widening->log, MU_LEVEL_INFO, "%d stream%s to each rank of another host, %s", streams,
        streams == 1 ? "" : "s", wanted ? "as asked" : "as measured");
    return MU_OK;
}

enum mu_status mu_tcp_widen(struct mu_transport *transport, struct mu_log *log, int wanted,
    const bool home[], const struct mu_tcp_more *more, int64_t deadline_ns)
{
    struct widening widening = {.tcp = (struct mu_tcp *)transport,
        .log = log,
        .home = home,
        .more = more,
        .deadline_ns = deadline_ns,
        .tag = TAG};
    size_t count = (size_t)transport->count;
    assert(!transport->signature);
    if (wanted == 0 && transport->loop->processors == 0) /* simulated time is not to be measured */
        return MU_OK;
    MU_TRY(mu_swap_create(transport, sizeof(struct note), &widening.swap));
    widening.link = calloc(count * (MU_TCP_STREAMS_MAX - 1), sizeof(*widening.link));
    if (!widening.link) {
        mu_swap_destroy(widening.swap);
        return MU_NO_MEMORY;
    }
    enum mu_status status = run(&widening, wanted);
    for (int rank = 0; rank < transport->count; rank++)
        close_from(links_of(&widening, rank), 0);
    free(widening.link);
    if (!widening.kept)
        mu_swap_destroy(widening.swap);
    return status;
}
