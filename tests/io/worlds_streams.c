/* SPDX-License-Identifier: Apache-2.0 */
#include "worlds_cases.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- streams ---- */

const char *what_is_said_is_heard_and_answered(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t heard[2 * ROOM_BYTES] = {0}, answered[2 * ROOM_BYTES] = {0};
    pair.server.into = heard;
    pair.client.into = answered;
    mu_ends_expect(&pair.server, 5);
    mu_ends_send_bytes(&pair.client, "hello", 5);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
    CHECK(memcmp(heard, "hello", 6) == 0);
    mu_ends_expect(&pair.client, 3);
    mu_ends_send_bytes(&pair.server, "bye", 3);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.enough) == MU_OK);
    CHECK(memcmp(answered, "bye", 4) == 0);
    return mu_ends_pair_close(&pair);
}

const char *peers_have_names(struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    char of_server[300], of_client[300], expected[300];
    pair.loop->ops->peer_name(pair.client.stream, of_server, sizeof(of_server));
    pair.loop->ops->peer_name(pair.server.stream, of_client, sizeof(of_client));
    snprintf(expected, sizeof(expected), "%s:%d", free_address->host, free_address->port);
    CHECK(strcmp(of_server, expected) == 0);
    snprintf(expected, sizeof(expected), "%s:", free_address->host);
    CHECK(strncmp(of_client, expected, strlen(expected)) == 0);
    CHECK(strcmp(of_client, of_server) != 0);
    return mu_ends_pair_close(&pair);
}

#define LARGE_BYTES ((size_t)8 << 20)

const char *large_transfers_survive_pauses(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = mu_ends_pattern(LARGE_BYTES), *heard = calloc(1, LARGE_BYTES + ROOM_BYTES);
    CHECK(sent && heard);
    pair.server.into = heard;
    pair.server.hold_at = LARGE_BYTES / 8;
    mu_ends_send_bytes(&pair.client, sent, LARGE_BYTES);
    while (pair.server.got < LARGE_BYTES) {
        mu_ends_expect(&pair.server, pair.server.hold_at - pair.server.got);
        CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
        mu_ends_turn_for(pair.loop, MU_MS / 2);
        CHECK(pair.server.got == pair.server.hold_at); /* nothing comes without room */
        pair.server.hold_at += LARGE_BYTES / 8;
        pair.loop->ops->resume(pair.server.stream);
    }
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    CHECK(pair.client.done_ok == 1);
    CHECK(memcmp(sent, heard, LARGE_BYTES) == 0);
    free(sent);
    free(heard);
    return mu_ends_pair_close(&pair);
}

#define HUGE_BYTES ((size_t)48 << 20)

const char *a_reader_that_pauses_stops_the_writer(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = calloc(1, HUGE_BYTES);
    CHECK(sent);
    pair.server.hold = true;
    mu_ends_send_bytes(&pair.client, sent, HUGE_BYTES);
    mu_ends_turn_for(pair.loop, 100 * MU_MS);
    CHECK(pair.server.held);
    CHECK(pair.client.done == 0);
    CHECK(pair.server.got == 0);
    pair.server.hold = false;
    mu_ends_expect(&pair.server, HUGE_BYTES);
    pair.loop->ops->resume(pair.server.stream);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    CHECK(pair.client.done_ok == 1);
    free(sent);
    return mu_ends_pair_close(&pair);
}

#define ORDERED_WRITES 32

static const char *check_order(
    struct mu_world *world, const struct mu_address *free_address, size_t part, bool gathers)
{
    static struct pair pair;
    OPEN(&pair);
    size_t bytes = ORDERED_WRITES * 3 * part;
    uint8_t *sent = mu_ends_pattern(bytes), *heard = calloc(1, bytes + ROOM_BYTES);
    CHECK(sent && heard);
    pair.loop->gathers = gathers;
    pair.server.into = heard;
    mu_ends_expect(&pair.server, bytes);
    for (size_t i = 0; i < ORDERED_WRITES; i++) {
        const uint8_t *at = sent + i * 3 * part;
        struct mu_part parts[3] = {{at, 10}, {at + 10, part}, {at + 10 + part, 2 * part - 10}};
        mu_ends_send_parts(&pair.client, parts, 3);
    }
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    CHECK(pair.client.done_ok == ORDERED_WRITES);
    CHECK(pair.client.out_of_order == 0);
    CHECK(memcmp(sent, heard, bytes) == 0);
    free(sent);
    free(heard);
    return mu_ends_pair_close(&pair);
}

const char *writes_arrive_and_finish_in_order(
    struct mu_world *world, const struct mu_address *free_address)
{
    return check_order(world, free_address, 9000, false);
}

const char *gathered_writes_arrive_and_finish_in_order(
    struct mu_world *world, const struct mu_address *free_address)
{
    static const size_t parts[] = {20, 9000, 200000}; /* one writev, some, more than fits */
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *wrong = check_order(world, free_address, parts[i], true);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* What fits leaves, so that a last word is heard; the rest has an end all the same. */
const char *close_finishes_gathered_writes(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = calloc(1, HUGE_BYTES);
    CHECK(sent);
    pair.loop->gathers = true;
    mu_ends_expect(&pair.server, 5);
    mu_ends_send_bytes(&pair.client, "hello", 5);
    mu_ends_send_bytes(&pair.client, sent, HUGE_BYTES);
    mu_ends_send_bytes(&pair.client, "never", 5);
    mu_ends_shut(&pair.client);
    CHECK(pair.client.done == 3);
    CHECK(pair.client.done_closed >= 2);
    CHECK(pair.client.out_of_order == 0);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
    free(sent);
    return mu_ends_pair_close(&pair);
}

const char *the_end_comes_after_the_last_byte(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = mu_ends_pattern((size_t)1 << 20);
    CHECK(sent);
    mu_ends_send_bytes(&pair.client, sent, (size_t)1 << 20);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    mu_ends_shut(&pair.client);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.ended) == MU_OK);
    CHECK(pair.server.got == (size_t)1 << 20);
    CHECK(pair.server.error == 0);
    mu_ends_turn_for(pair.loop, MU_MS);
    CHECK(pair.server.ended_count == 1);
    free(sent);
    return mu_ends_pair_close(&pair);
}

const char *a_paused_reader_sees_the_end_when_it_resumes(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    pair.server.hold = true;
    mu_ends_send_bytes(&pair.client, "last words", 10);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    mu_ends_shut(&pair.client);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.held) == MU_OK);
    mu_ends_turn_for(pair.loop, 2 * MU_MS);
    CHECK(!pair.server.ended && pair.server.got == 0);
    pair.server.hold = false;
    pair.loop->ops->resume(pair.server.stream);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.ended) == MU_OK);
    CHECK(pair.server.got == 10);
    CHECK(pair.server.error == 0);
    return mu_ends_pair_close(&pair);
}

const char *closing_on_unread_bytes_is_a_reset(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    pair.server.hold = true;
    mu_ends_send_bytes(&pair.client, "unread", 6);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.held) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.drained) == MU_OK);
    mu_ends_shut(&pair.server);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.ended) == MU_OK);
    CHECK(pair.client.error == ECONNRESET);
    CHECK(pair.client.ended_count == 1);
    return mu_ends_pair_close(&pair);
}

const char *writes_are_over_before_the_end_is_told(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = calloc(1, HUGE_BYTES);
    CHECK(sent);
    pair.server.hold = true;
    mu_ends_send_bytes(&pair.client, sent, HUGE_BYTES);
    mu_ends_send_bytes(&pair.client, sent, 100);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.held) == MU_OK);
    mu_ends_shut(&pair.server);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.ended) == MU_OK);
    CHECK(pair.client.under_way_at_end == 0);
    CHECK(pair.client.done_closed == 2);
    free(sent);
    return mu_ends_pair_close(&pair);
}

const char *close_finishes_writes_from_inside(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = calloc(1, HUGE_BYTES);
    CHECK(sent);
    pair.server.hold = true;
    for (int i = 0; i < 3; i++)
        mu_ends_send_bytes(&pair.client, sent, HUGE_BYTES);
    mu_ends_turn_for(pair.loop, MU_MS);
    CHECK(pair.client.done == 0);
    mu_ends_shut(&pair.client);
    CHECK(pair.client.done_closed == 3);
    pair.client.called_back = false;
    mu_ends_turn_for(pair.loop, MU_MS);
    CHECK(!pair.client.called_back);
    free(sent);
    return mu_ends_pair_close(&pair);
}

/* ---- closing from inside callbacks ---- */

const char *connected_may_close(struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    const char *wrong = mu_ends_pair_listen(world, free_address, &pair);
    pair.client.close_when_connected = true;
    if (!wrong)
        wrong = mu_ends_pair_connect(free_address, &pair);
    if (wrong)
        return wrong;
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.connected) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.accepted) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.ended) == MU_OK);
    return mu_ends_pair_close(&pair);
}

const char *got_may_close(struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    uint8_t *sent = mu_ends_pattern((size_t)1 << 20);
    CHECK(sent);
    pair.server.close_when_got = true;
    mu_ends_send_bytes(&pair.client, sent, (size_t)1 << 20);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.ended) == MU_OK);
    CHECK(!pair.server.stream);
    CHECK(pair.server.got > 0 && pair.server.got <= ROOM_BYTES);
    CHECK(!pair.server.ended);
    free(sent);
    return mu_ends_pair_close(&pair);
}

const char *ended_may_close(struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    OPEN(&pair);
    pair.server.close_when_ended = true;
    mu_ends_shut(&pair.client);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.ended) == MU_OK);
    CHECK(!pair.server.stream);
    mu_ends_turn_for(pair.loop, MU_MS);
    return mu_ends_pair_close(&pair);
}

const char *accepted_may_close_stream_and_listener(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    const char *wrong = mu_ends_pair_listen(world, free_address, &pair);
    pair.refuse = pair.close_listener = true;
    if (!wrong)
        wrong = mu_ends_pair_connect(free_address, &pair);
    if (wrong)
        return wrong;
    CHECK(mu_ends_wait_flag(pair.loop, &pair.client.ended) == MU_OK);
    CHECK(pair.accepted_count == 1);
    return mu_ends_pair_close(&pair);
}

const char *closing_while_it_connects_is_silent(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    const char *wrong = mu_ends_pair_listen(world, free_address, &pair);
    if (!wrong)
        wrong = mu_ends_pair_connect(free_address, &pair);
    if (wrong)
        return wrong;
    mu_ends_shut(&pair.client);
    mu_ends_turn_for(pair.loop, 5 * MU_MS);
    CHECK(!pair.client.called_back);
    return mu_ends_pair_close(&pair);
}
