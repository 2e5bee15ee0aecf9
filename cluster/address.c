/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HOST_NAME_MAX_BYTES 253 /* RFC 1035, without the final dot */
static_assert(HOST_NAME_MAX_BYTES < MU_HOST_MAX);

static bool refuse(char *reason, size_t bytes, const char *why)
{
    if (reason)
        mu_text_copy(reason, bytes, why);
    return false;
}

static bool parse_port(const char *text, int *ret_port, char *reason, size_t bytes)
{
    int64_t port = 0;
    if (text[0] == '\0')
        return refuse(reason, bytes, "has no port after the colon: write host:port");
    if (strspn(text, "0123456789") != strlen(text))
        return refuse(reason, bytes, "has a port that is not a number");
    if (!mu_text_to_int64(text, &port) || port < 1 || port > 65535)
        return refuse(reason, bytes, "has a port that is not between 1 and 65535");
    *ret_port = (int)port;
    return true;
}

/* Of one host and of no other: what a task can listen at and what others can connect to. */
static bool is_of_one_host(const struct in_addr *four, char *reason, size_t bytes)
{
    uint32_t number = ntohl(four->s_addr);
    if (number == INADDR_ANY)
        return refuse(reason, bytes, "means every address of a host: name the one to connect to");
    if (IN_MULTICAST(number) || number == INADDR_BROADCAST)
        return refuse(reason, bytes, "means many hosts: name the one to connect to");
    return true;
}

/* An address has one spelling, so that no two tasks share one unseen. */
static bool is_plain_ipv6(const struct in6_addr *six, char *reason, size_t bytes)
{
    if (IN6_IS_ADDR_UNSPECIFIED(six))
        return refuse(reason, bytes, "means every address of a host: name the one to connect to");
    if (IN6_IS_ADDR_MULTICAST(six))
        return refuse(reason, bytes, "means many hosts: name the one to connect to");
    if (IN6_IS_ADDR_V4MAPPED(six))
        return refuse(reason, bytes, "has an IPv4 address in the form of IPv6");
    return true;
}

/* "fe80::1%eth0": the part before the zone, in its one canonical spelling, and the zone. */
static bool parse_ipv6(const char *text, char *host, char *reason, size_t bytes)
{
    struct in6_addr binary;
    char address[INET6_ADDRSTRLEN], zone[32] = "";
    const char *percent = strchr(text, '%');
    size_t length = percent ? (size_t)(percent - text) : strlen(text);
    if (percent && strlen(percent) >= sizeof(zone))
        return refuse(reason, bytes, "has a zone that is too long");
    if (percent)
        mu_text_copy(zone, sizeof(zone), percent);
    if (length >= sizeof(address))
        return refuse(reason, bytes, "has brackets around what is no IPv6 address");
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET6, address, &binary) != 1)
        return refuse(reason, bytes, "has brackets around what is no IPv6 address");
    if (!is_plain_ipv6(&binary, reason, bytes))
        return false;
    if (!inet_ntop(AF_INET6, &binary, address, sizeof(address)))
        return refuse(reason, bytes, "has brackets around what is no IPv6 address");
    mu_format(host, MU_HOST_MAX, "%s%s", address, zone);
    return true;
}

/* A name whose last label is a number can only be meant as an IPv4 address (as in URLs): resolvers
 * read 0x7f000001, 0177.1 and 127.1 as 127.0.0.1. A dot at the end does not make it a name. */
static bool looks_like_ipv4(const char *host)
{
    size_t end = strlen(host);
    end -= end > 0 && host[end - 1] == '.';
    size_t start = end;
    while (start > 0 && host[start - 1] != '.')
        start--;
    const char *last = host + start;
    bool hex = end - start >= 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X');
    const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
    return end > start && start + 2 * hex + strspn(last + 2 * hex, digits) >= end;
}

static bool parse_ipv4(const char *host, char *reason, size_t bytes)
{
    struct in_addr binary;
    if (inet_pton(AF_INET, host, &binary) != 1)
        return refuse(reason, bytes, "has a host of digits that is no IPv4 address");
    return is_of_one_host(&binary, reason, bytes);
}

static bool parse_name(const char *host, char *reason, size_t bytes)
{
    if (strlen(host) > HOST_NAME_MAX_BYTES)
        return refuse(reason, bytes, "has a host of more than 253 characters");
    size_t label = 0;
    for (const char *at = host; *at; at++) {
        bool plain = isalnum((unsigned char)*at) || *at == '-' || *at == '_';
        if (!plain && *at != '.')
            return refuse(reason, bytes, "has a character that no host name has");
        label = plain ? label + 1 : 0;
        if (label > 63)
            return refuse(reason, bytes, "has a part of its host of more than 63 characters");
        if (*at == '.' && (at == host || at[-1] == '.'))
            return refuse(reason, bytes, "has an empty part in its host");
    }
    if (host[0] == '-')
        return refuse(reason, bytes, "has a host that begins with a dash");
    return looks_like_ipv4(host) ? parse_ipv4(host, reason, bytes) : true;
}

static bool split(const char *text, char *host, const char **ret_port, bool *ret_bracketed,
    char *reason, size_t bytes)
{
    bool bracketed = text[0] == '[';
    const char *end = bracketed ? strchr(text, ']') : strrchr(text, ':');
    if (bracketed && !end)
        return refuse(reason, bytes, "has a bracket that is not closed");
    if (!end || (bracketed && end[1] != ':'))
        return refuse(reason, bytes, "has no port: write host:port");
    const char *start = bracketed ? text + 1 : text;
    size_t length = (size_t)(end - start);
    if (length == 0)
        return refuse(reason, bytes, "has no host: write host:port");
    if (length >= MU_HOST_MAX)
        return refuse(reason, bytes, "has a host of more than 253 characters");
    memcpy(host, start, length);
    host[length] = '\0';
    *ret_port = bracketed ? end + 2 : end + 1;
    *ret_bracketed = bracketed;
    return true;
}

bool mu_address_parse(
    const char *text, struct mu_address *ret_address, char *reason, size_t reason_bytes)
{
    struct mu_address address = {0};
    const char *port = NULL;
    bool bracketed = false;
    if (text[0] == '\0')
        return refuse(reason, reason_bytes, "is empty: write host:port");
    for (const char *at = text; *at; at++)
        if (isspace((unsigned char)*at) || iscntrl((unsigned char)*at))
            return refuse(reason, reason_bytes, "contains white space or a control character");
    if (strstr(text, "://"))
        return refuse(reason, reason_bytes, "has a scheme: write only host:port");
    if (!split(text, address.host, &port, &bracketed, reason, reason_bytes))
        return false;
    if (!bracketed && strchr(address.host, ':'))
        return refuse(
            reason, reason_bytes, "has an IPv6 address without brackets: write [::1]:2222");
    if (!parse_port(port, &address.port, reason, reason_bytes))
        return false;
    if (bracketed) {
        char inner[MU_HOST_MAX];
        mu_text_copy(inner, sizeof(inner), address.host);
        if (!parse_ipv6(inner, address.host, reason, reason_bytes))
            return false;
    } else if (!parse_name(address.host, reason, reason_bytes)) {
        return false;
    }
    for (char *at = address.host; *at && *at != '%'; at++)
        *at = (char)tolower((unsigned char)*at);
    *ret_address = address;
    return true;
}

void mu_address_format(const struct mu_address *address, char *out, size_t bytes)
{
    bool brackets = strchr(address->host, ':') != NULL;
    mu_format(out, bytes, brackets ? "[%s]:%d" : "%s:%d", address->host, address->port);
}

bool mu_address_is_loopback(const struct mu_address *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcmp(address->host, "localhost") == 0 || strcmp(address->host, "localhost.") == 0)
        return true;
    if (inet_pton(AF_INET, address->host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, address->host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return false;
}
