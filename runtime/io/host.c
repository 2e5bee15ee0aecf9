/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/host.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_STATE_LISTEN 0x0a

/* An address as /proc/net writes it: words of 4 bytes in the order of the network, each printed as
 * a number of this machine. "" for a host's name, "-" for an address of the other family. */
static void table_address(const char *host, int family, char *out, size_t bytes)
{
    uint32_t word[4];
    int other = family == AF_INET ? AF_INET6 : AF_INET;
    size_t used = 0, words = family == AF_INET ? 1 : 4;
    snprintf(out, bytes, "%s", inet_pton(other, host, word) == 1 ? "-" : "");
    for (size_t i = 0; i < words && inet_pton(family, host, word) == 1; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%08X", word[i]);
}

static bool is_at(const char *local, const char *wanted)
{
    bool everywhere = strspn(local, "0") == strlen(local);
    return everywhere || wanted[0] == '\0' || strcmp(local, wanted) == 0;
}

/* The inode of the socket that listens at the address, 0 if there is none. */
static unsigned long listener_inode(const char *table, int family, const char *host, int port)
{
    char line[512], local[33], wanted[33];
    unsigned long found = 0;
    FILE *file = fopen(table, "re");
    if (!file)
        return 0;
    table_address(host, family, wanted, sizeof(wanted));
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned local_port, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                local, &local_port, &state, &inode) == 4 &&
            (int)local_port == port && state == TCP_STATE_LISTEN && is_at(local, wanted))
            found = inode;
    }
    fclose(file);
    return found;
}

static bool holds(const char *process, unsigned long inode)
{
    char path[300], target[64], wanted[64];
    snprintf(path, sizeof(path), "/proc/%.20s/fd", process);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(directory));) {
        ssize_t bytes = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (bytes > 0) {
            target[bytes] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    closedir(directory);
    return found;
}

static void process_name(const char *process, char *out, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/comm", process);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, (int)bytes, file))
        snprintf(out, bytes, "?");
    out[strcspn(out, "\n")] = '\0';
    if (file)
        fclose(file);
}

/* The words of a command are apart by bytes that cannot be printed. */
static void process_command(const char *process, const char *name, char *out, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/cmdline", process);
    FILE *file = fopen(path, "re");
    size_t count = file ? fread(out, 1, bytes - 1, file) : 0;
    if (file)
        fclose(file);
    while (count > 0 && out[count - 1] == '\0')
        count--;
    out[count] = '\0';
    for (size_t i = 0; i < count; i++)
        if (out[i] < ' ' || out[i] > '~')
            out[i] = out[i] == '\0' ? ' ' : '?';
    if (count == 0)
        snprintf(out, bytes, "%s", name);
}

bool mu_host_port_holder(const char *host, int port, struct mu_host_holder *ret_holder)
{
    unsigned long inode = listener_inode("/proc/net/tcp", AF_INET, host, port);
    if (!inode)
        inode = listener_inode("/proc/net/tcp6", AF_INET6, host, port);
    DIR *processes = inode ? opendir("/proc") : NULL;
    if (!processes)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(processes));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !holds(entry->d_name, inode))
            continue;
        process_name(entry->d_name, ret_holder->name, sizeof(ret_holder->name));
        process_command(
            entry->d_name, ret_holder->name, ret_holder->command, sizeof(ret_holder->command));
        ret_holder->process = atoi(entry->d_name);
        ret_holder->stopped = mu_host_process_stopped(ret_holder->process);
        found = true;
    }
    closedir(processes);
    return found;
}

void mu_host_addresses(char *out, size_t bytes)
{
    struct ifaddrs *all = NULL;
    size_t used = 0;
    out[0] = '\0';
    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (!one->ifa_addr || !(one->ifa_flags & IFF_UP))
            continue;
        const void *raw =
            one->ifa_addr->sa_family == AF_INET
                ? (const void *)&((const struct sockaddr_in *)(const void *)one->ifa_addr)->sin_addr
                : (const void *)&((const struct sockaddr_in6 *)(const void *)one->ifa_addr)
                      ->sin6_addr;
        int family = one->ifa_addr->sa_family;
        if ((family != AF_INET && family != AF_INET6) ||
            !inet_ntop(family, raw, text, sizeof(text)))
            continue;
        int wrote = snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", text);
        if (wrote < 0 || (size_t)wrote >= bytes - used)
            break;
        used += (size_t)wrote;
    }
    freeifaddrs(all);
}

/* What stands behind the name of the program in /proc/PID/stat: " S 1 ..."; false: there is none.
 */
static bool process_stat(int process, char *out, int bytes)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    const char *end = read ? strrchr(line, ')') : NULL;
    if (end)
        snprintf(out, (size_t)bytes, "%s", end + 1);
    return end != NULL;
}

bool mu_host_process_stopped(int process)
{
    char stat[1024];
    return process_stat(process, stat, sizeof(stat)) && stat[0] == ' ' &&
           (stat[1] == 'T' || stat[1] == 't');
}

long long mu_host_process_started(int process)
{
    char stat[1024], state;
    long long started;
    /* The third field to the 22nd. A zombie is none any more. */
    if (!process_stat(process, stat, sizeof(stat)) ||
        sscanf(stat,
            " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
            &state, &started) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : started;
}
