/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an address, as the name of a task, and as Slurm's lists. What is accepted reads back
 * as the same. */
#include "cluster/spec_inside.h"
#include "fuzz_log.h"
#include <arpa/inet.h>
#include <stdlib.h>

#define HOSTS_MAX 64

/* inet_aton is what resolvers read: nothing that it takes for an address passes as a name, and none
 * of many hosts passes at all. */
static void check_number(const char *host)
{
    struct in_addr four, plain;
    if (!inet_aton(host, &four))
        return;
    FUZZ_CHECK(inet_pton(AF_INET, host, &plain) == 1 && plain.s_addr == four.s_addr);
    FUZZ_CHECK(four.s_addr != INADDR_ANY && four.s_addr != INADDR_BROADCAST);
    FUZZ_CHECK(!IN_MULTICAST(ntohl(four.s_addr)));
}

static void check_address(const char *text)
{
    struct mu_address address, again;
    char reason[96] = "", written[MU_HOST_MAX + 16];
    if (!mu_address_parse(text, &address, reason, sizeof(reason))) {
        FUZZ_CHECK(reason[0] != '\0');
        return;
    }
    FUZZ_CHECK(address.port >= 1 && address.port <= 65535);
    mu_address_format(&address, written, sizeof(written));
    FUZZ_CHECK(mu_address_parse(written, &again, NULL, 0));
    FUZZ_CHECK(again.port == address.port && strcmp(again.host, address.host) == 0);
    (void)mu_address_is_loopback(&address);
    check_number(address.host);
}

static void check_task(const char *text)
{
    struct mu_task task = {0}, again = {0};
    char name[MU_TASK_NAME_MAX];
    if (!mu_task_parse(text, &task.role, &task.index))
        return;
    mu_task_name(&task, name, sizeof(name));
    FUZZ_CHECK(mu_task_parse(name, &again.role, &again.index));
    FUZZ_CHECK(again.role == task.role && again.index == task.index);
}

static void check_slurm(const char *text)
{
    char(*hosts)[MU_HOST_MAX] = NULL;
    char reason[96] = "";
    int counts[HOSTS_MAX];
    int count = mu_spec_slurm_hosts(text, HOSTS_MAX, &hosts, reason, sizeof(reason));
    FUZZ_CHECK(count <= HOSTS_MAX);
    FUZZ_CHECK((count < 0) == (hosts == NULL));
    FUZZ_CHECK(count > 0 || reason[0] != '\0');
    for (int i = 0; i < count; i++)
        FUZZ_CHECK(memchr(hosts[i], '\0', MU_HOST_MAX) && hosts[i][0] != '\0');
    free(hosts);
    FUZZ_CHECK(mu_spec_slurm_counts(text, HOSTS_MAX, counts) <= HOSTS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    int counts[MU_ROLE_COUNT];
    struct mu_log log;
    if (!text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    fuzz_log_init(&log);
    check_address(text);
    check_task(text);
    check_slurm(text);
    /* What is typed is shown as it was typed: only text that a terminal may have is tried. */
    if (mu_text_is_utf8(text, strlen(text)) && mu_spec_parse_counts(&log, "--local", text, counts))
        FUZZ_CHECK(log.first_number == 1);
    free(text);
    return 0;
}
